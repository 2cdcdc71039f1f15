//! One listing serves all who wait for it, and nobody is served by one that began before he came.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lastword::external::never_interrupted;
use lastword::external::{Buckets, ExternalSpec, Interrupted, Listed, SourceLocation, Store, StoreError};
use lastword::worker::{Traffic, TrafficCounter};
use test_buckets::bucket::{self, Bucket};
use test_buckets::stage::{Asked, Fault, Stage};

/// A bucket of the server in this process, with the server and the bucket's name.
fn staged() -> (Stage, Bucket, String) {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let name = bucket.named().name().to_owned();
    (stage, bucket, name)
}

fn names(listed: &Listed) -> Vec<String> {
    listed.files.iter().map(|(path, _)| String::from_utf8(path.0.clone()).unwrap()).collect()
}

/// The server never answers the first page that is asked for from now on. What arrives says that it came.
fn hang_page(stage: &Stage) -> Receiver<()> {
    let (came, arrived) = channel();
    let count = AtomicU32::new(0);
    stage.before_each(move |asked| {
        let is_it = matches!(asked, Asked::List { .. }) && count.fetch_add(1, Ordering::Relaxed) == 0;
        is_it.then(|| {
            came.send(()).unwrap();
            Fault::Hang
        })
    });
    arrived
}

/// The server holds a page that is asked for from now on, until it is let go; what else is asked for waits as well. What
/// arrives says that it came.
fn hold_page(stage: &Stage, number: u32) -> (Receiver<()>, Sender<()>) {
    let ((came, arrived), (go, gone)) = (channel(), channel::<()>());
    let (count, gone) = (AtomicU32::new(0), Mutex::new(gone));
    stage.before_each(move |asked| {
        let is_it = matches!(asked, Asked::List { .. }) && count.fetch_add(1, Ordering::Relaxed) + 1 == number;
        if is_it {
            came.send(()).unwrap();
            let _ = gone.lock().unwrap().recv_timeout(Duration::from_secs(60));
        }
        None
    });
    (arrived, go)
}

/// A look on a thread of its own.
struct Look {
    thread: thread::JoinHandle<Result<Listed, StoreError>>,
    /// How often it asked whether to go on.
    turns: Arc<AtomicU32>,
    stop: Arc<AtomicU32>,
    traffic: TrafficCounter,
}

impl Look {
    fn begin(buckets: &Arc<Buckets>, source: SourceLocation) -> Look {
        let (buckets, turns, stop) = (Arc::clone(buckets), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (counted, stopped, traffic) = (Arc::clone(&turns), Arc::clone(&stop), TrafficCounter::default());
        let counter = traffic.clone();
        let stop_check = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            if stopped.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Interrupted) }
        };
        let thread = thread::spawn(move || buckets.list(&source, &stop_check, &counter));
        Look { thread, turns, stop, traffic }
    }

    /// Until it waits, whatever for.
    #[track_caller]
    fn until_it_waits(&self) {
        let waits = || self.turns.load(Ordering::Relaxed) > 0;
        assert!(
            (0..6_000).any(|_| waits() || {
                thread::sleep(Duration::from_millis(10));
                false
            }),
            "it does not wait"
        );
    }

    fn ended(self) -> (Result<Listed, StoreError>, Traffic) {
        (self.thread.join().unwrap(), self.traffic.counted())
    }
}

#[test]
fn who_comes_while_a_prefix_is_listed_shares_the_next_listing_with_all_who_come_until_then() {
    let (stage, bucket, name) = staged();
    stage.put(&name, "lake/a", b"x");
    let buckets = Arc::new(bucket.buckets());
    let (arrived, go) = hold_page(&stage, 1);
    let first = Look::begin(&buckets, bucket.source("lake/"));
    arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    let others: Vec<Look> = (0..5).map(|_| Look::begin(&buckets, bucket.source("lake/"))).collect();
    others.iter().for_each(Look::until_it_waits);
    go.send(()).unwrap();
    for look in others.into_iter().chain([first]) {
        let (listed, traffic) = look.ended();
        assert_eq!((names(&listed.unwrap()), traffic.requests), (vec!["a".to_owned()], 1));
    }
    assert_eq!(stage.asked().len(), 2, "one for the first, one for all others");
    // Nothing is kept for who comes later.
    buckets.list(&bucket.source("lake/"), &never_interrupted, &TrafficCounter::default()).unwrap();
    assert_eq!(stage.asked().len(), 1);
}

#[test]
fn what_changed_before_a_look_began_is_seen_by_it_whoever_lists() {
    let (stage, bucket, name) = staged();
    (0..1_500).for_each(|n| stage.put(&name, &format!("lake/b{n:04}"), b"x"));
    let buckets = Arc::new(bucket.buckets());
    // The first page was answered, the second is asked for: what is new on the first one is not seen any more.
    let (arrived, go) = hold_page(&stage, 2);
    let first = Look::begin(&buckets, bucket.source("lake/"));
    arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    stage.put(&name, "lake/a", b"x");
    let second = Look::begin(&buckets, bucket.source("lake/"));
    second.until_it_waits();
    go.send(()).unwrap();
    assert_eq!(first.ended().0.unwrap().files.len(), 1_500, "it began before the change");
    assert_eq!(second.ended().0.unwrap().files.len(), 1_501);
}

#[test]
fn what_lies_below_a_prefix_that_is_about_to_be_listed_is_served_by_its_listing_under_its_own_rules() {
    let (stage, bucket, name) = staged();
    for key in ["lake/a", "lake/orders/b", "lake/orders/c.csv", "lake/orders/_x/d", "lake2/e"] {
        stage.put(&name, key, b"x");
    }
    let buckets = Arc::new(bucket.buckets());
    let spec = ExternalSpec::parse(r#"{"format":"files","exclude":["*.csv"]}"#).unwrap();
    let orders = || bucket.source("lake/orders/").read_by(&spec);
    // How many keys there are is known: it is worth waiting for.
    buckets.list(&bucket.source("lake/"), &never_interrupted, &TrafficCounter::default()).unwrap();
    let alone = buckets.list(&orders(), &never_interrupted, &TrafficCounter::default()).unwrap();
    stage.asked();
    let (arrived, go) = hold_page(&stage, 1);
    let first = Look::begin(&buckets, bucket.source("lake/"));
    arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    let all = Look::begin(&buckets, bucket.source("lake/"));
    all.until_it_waits();
    let part = Look::begin(&buckets, orders());
    part.until_it_waits();
    go.send(()).unwrap();
    first.ended().0.unwrap();
    assert_eq!(names(&all.ended().0.unwrap()), ["a", "orders/b", "orders/c.csv"]);
    let part = part.ended().0.unwrap();
    assert_eq!((&part.files, &part.left_out), (&alone.files, &alone.left_out));
    assert_eq!(names(&part), ["b"]);
    assert_eq!(stage.asked().len(), 2);
}

#[test]
fn a_small_source_does_not_wait_for_a_large_one_that_encloses_it() {
    let (stage, bucket, name) = staged();
    (0..3_000).for_each(|n| stage.put(&name, &format!("lake/{n:04}"), b"x"));
    stage.put(&name, "lake/small/a", b"x");
    let buckets = Arc::new(bucket.buckets());
    for source in ["lake/", "lake/small/"] {
        buckets.list(&bucket.source(source), &never_interrupted, &TrafficCounter::default()).unwrap();
    }
    let arrived = hang_page(&stage);
    let first = Look::begin(&buckets, bucket.source("lake/"));
    arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    let second = Look::begin(&buckets, bucket.source("lake/"));
    second.until_it_waits();
    // The large one hangs all the while.
    let small = Look::begin(&buckets, bucket.source("lake/small/"));
    assert_eq!(names(&small.ended().0.unwrap()), ["a"]);
    first.stop.store(1, Ordering::Relaxed);
    assert!(matches!(first.ended().0, Err(StoreError::Interrupted)));
    assert_eq!(second.ended().0.unwrap().files.len(), 3_001);
}

#[test]
fn if_the_one_who_would_list_is_told_to_stop_another_one_lists() {
    let (stage, bucket, name) = staged();
    stage.put(&name, "lake/a", b"x");
    let buckets = Arc::new(bucket.buckets());
    let arrived = hang_page(&stage);
    let first = Look::begin(&buckets, bucket.source("lake/"));
    arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    let leads = Look::begin(&buckets, bucket.source("lake/"));
    leads.until_it_waits();
    let follows = Look::begin(&buckets, bucket.source("lake/"));
    follows.until_it_waits();
    // One that waits, and then one that lists.
    leads.stop.store(1, Ordering::Relaxed);
    assert!(matches!(leads.ended().0, Err(StoreError::Interrupted)));
    first.stop.store(1, Ordering::Relaxed);
    assert!(matches!(first.ended().0, Err(StoreError::Interrupted)));
    assert_eq!(names(&follows.ended().0.unwrap()), ["a"]);
}

#[test]
fn a_listing_that_fails_fails_for_all_who_waited_for_it() {
    let (stage, bucket, name) = staged();
    stage.put(&name, "lake/a", b"x");
    let buckets = Arc::new(bucket.buckets());
    let ((came, arrived), (go, gone)) = (channel(), channel::<()>());
    let (count, gone) = (AtomicU32::new(0), Mutex::new(gone));
    stage.before_each(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => {
            came.send(()).unwrap();
            let _ = gone.lock().unwrap().recv_timeout(Duration::from_secs(60));
            None
        }
        _ => Some(Fault::Status(403)),
    });
    let first = Look::begin(&buckets, bucket.source("lake/"));
    arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    let others: Vec<Look> = (0..3).map(|_| Look::begin(&buckets, bucket.source("lake/"))).collect();
    others.iter().for_each(Look::until_it_waits);
    go.send(()).unwrap();
    first.ended().0.unwrap();
    for look in others {
        let (listed, traffic) = look.ended();
        assert!(listed.unwrap_err().to_string().contains("status 403"));
        assert_eq!(traffic.requests, 1);
    }
    assert_eq!(stage.asked().len(), 2);
}

#[test]
fn requests_and_the_word_to_wait_are_counted_also_of_a_listing_that_fails() {
    let (stage, bucket, name) = staged();
    (0..1_500).for_each(|n| stage.put(&name, &format!("{n:04}"), b"x"));
    let count = |buckets: &Buckets| {
        let traffic = TrafficCounter::default();
        let is_listed = buckets.list(&bucket.source(""), &never_interrupted, &traffic).is_ok();
        let Traffic { requests, throttled, status, .. } = traffic.counted();
        (is_listed, requests, throttled, status)
    };
    assert_eq!(count(&bucket.buckets()), (true, 2, 0, None), "two pages");
    let asked = AtomicU32::new(0);
    stage.before_each(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Some(Fault::Status(503)),
        1 => Some(Fault::Status(429)),
        // Trouble of its own is not the word to wait.
        2 => Some(Fault::Status(500)),
        _ => None,
    });
    assert_eq!(count(&bucket.buckets()), (true, 5, 2, Some(429)));
    stage.before_each(|_| Some(Fault::Status(403)));
    assert_eq!(count(&bucket.buckets()), (false, 1, 0, None));
}
