//! Nobody who is not looked at, or whom nobody builds, looks fresh or just waits: what only the running engine knows is in
//! the condition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::core::{CollectionView, Condition, Lag, NotObserved};
use lastword::engine::{Builder, CommandError, Handle, Reconciler};
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};

use crate::support::*;

const INTERVAL: Duration = Duration::from_millis(50);

/// Sources `MOUNT:NAME`. An observation of a source hangs while it is said to, and is counted.
#[derive(Clone, Default)]
struct Mounts {
    hang_from: Arc<AtomicUsize>,
    released: Arc<AtomicBool>,
    observed: Arc<AtomicUsize>,
}

impl Worker for Mounts {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Mounts {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let hangs = request.source.as_str().contains("dead") && self.hang_from.load(SeqCst) == 1;
        while hangs && !self.released.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if request.source.as_str().contains("well") {
            self.observed.fetch_add(1, SeqCst);
        }
        Ok(Observation::new(observed("1"), None))
    }

    fn domain(&self, source: &Source) -> Option<String> {
        source.as_str().split_once(':').map(|(mount, _)| format!("/mnt/{mount}"))
    }
}

fn start(mounts: &Mounts, settings: impl Fn(Builder) -> Builder) -> Reconciler {
    let on = Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()));
    settings(on.kind(kind("k"), mounts.clone()).observe_interval(INTERVAL)).start().unwrap()
}

fn view(handle: &Handle, of: &str) -> CollectionView {
    handle.status(name(of)).unwrap().unwrap().view
}

fn condition(handle: &Handle, of: &str) -> &'static str {
    view(handle, of).condition.name()
}

#[test]
fn defect_01_four_sources_on_a_dead_mount_leave_the_healthy_ones_alone_and_none_looks_fresh() {
    let mounts = Mounts::default();
    let reconciler = start(&mounts, |builder| builder.observe_timeout(Duration::from_millis(400)));
    let handle = reconciler.handle();
    let dead = ["a", "b", "c", "d"];
    for of in dead {
        handle.declare(versioned(of, "k", &format!("x:dead-{of}"))).unwrap();
    }
    handle.declare(versioned("w", "k", "y:well")).unwrap();
    handle.declare(versioned("v", "k", "x:well")).unwrap();
    until("everything being fresh", || dead.iter().chain(&["w", "v"]).all(|of| condition(&handle, of) == "fresh"));
    mounts.hang_from.store(1, SeqCst);
    for of in dead {
        until("a look that hangs being told", || ["not_observed", "unobservable"].contains(&condition(&handle, of)));
        assert_eq!(view(&handle, of).lag, Lag::Unknown);
    }
    until("all being given up", || dead.iter().all(|of| condition(&handle, of) == "unobservable"));
    // Another mount goes on, and so does what is well on the same mount.
    for of in ["w", "v"] {
        let before = mounts.observed.load(SeqCst);
        until("looks at what is well", || mounts.observed.load(SeqCst) >= before + 10);
        until("what is well being fresh", || condition(&handle, of) == "fresh");
    }
    // The causes go with what caused them.
    mounts.released.store(true, SeqCst);
    until("everything being fresh again", || dead.iter().all(|of| condition(&handle, of) == "fresh"));
    assert!(dead.iter().all(|of| view(&handle, of).lag == Lag::Zero && view(&handle, of).not_observed.is_none()));
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_01_a_source_that_waits_behind_a_busy_domain_says_who_holds_it() {
    let mounts = Mounts::default();
    // Nothing is given up here, and so nothing is probed for a long time.
    let reconciler = start(&mounts, |builder| builder.observe_timeout(Duration::from_secs(3600)));
    let handle = reconciler.handle();
    let all: Vec<String> = (0..30).map(|n| format!("c{n:02}")).collect();
    for of in &all {
        handle.declare(versioned(of, "k", &format!("x:dead-{of}"))).unwrap();
    }
    until("everything being fresh", || all.iter().all(|of| condition(&handle, of) == "fresh"));
    mounts.hang_from.store(1, SeqCst);
    until("none being fresh", || all.iter().all(|of| condition(&handle, of) == "not_observed"));
    let is_waiting = |of: &String| match view(&handle, of).condition {
        Condition::NotObserved(found) => found.cause.starts_with("all observers of /mnt/x are held by c"),
        _ => false,
    };
    until("as many hanging as may", || all.iter().filter(|of| is_waiting(of)).count() == 30 - 18);
    let waiting = view(&handle, all.iter().find(|of| is_waiting(of)).unwrap());
    let Some(NotObserved { since, cause }) = &waiting.not_observed else { panic!("{waiting:?}") };
    assert!(cause.ends_with(", 14 more"), "{cause}");
    assert_eq!(waiting.condition.to_string(), format!("not looked at since {since}: {cause}"));
    assert_eq!(handle.stats().unwrap().not_observed, 30);
    let json = lastword::describe::view_json(&waiting, handle.stats().unwrap().at);
    assert!(json.contains(r#""condition":"not_observed","cause":"not_observed""#), "{json}");
    assert!(json.contains(r#""not_observed":{"since":""#) && json.contains(r#""lag_seconds":null"#), "{json}");
    // A source that nobody has ever looked at says the same.
    handle.declare(versioned("new", "k", "x:dead-new")).unwrap();
    until("the new one being told", || condition(&handle, "new") == "not_observed");
    mounts.released.store(true, SeqCst);
    until("everything being fresh again", || {
        all.iter().all(|of| condition(&handle, of) == "fresh") && handle.stats().unwrap().not_observed == 0
    });
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_01_a_collection_whose_source_moves_away_from_a_dead_mount_does_not_wait_for_it() {
    let mounts = Mounts::default();
    mounts.hang_from.store(1, SeqCst);
    let reconciler = start(&mounts, |builder| builder.observe_timeout(INTERVAL));
    let handle = reconciler.handle();
    handle.declare(versioned("before", "k", "x:dead")).unwrap();
    handle.declare(versioned("after", "k", "x:dead")).unwrap();
    // One is moved before its look is given up, the other after that.
    handle.declare(versioned("before", "k", "y:well")).unwrap();
    until("the other being given up", || condition(&handle, "after") == "unobservable");
    handle.declare(versioned("after", "k", "y:well")).unwrap();
    for of in ["before", "after"] {
        until("the new source being observed", || condition(&handle, of) == "fresh");
        assert_eq!(view(&handle, of).unobservable, None);
    }
    mounts.released.store(true, SeqCst);
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_16_a_kind_that_nobody_knows_is_refused_with_those_that_are_known() {
    let log = || Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()));
    let reconciler = log().kind(kind("external"), Mounts::default()).driven(kind("remote")).start().unwrap();
    let handle = reconciler.handle();
    let refused = handle.declare(versioned("a", "extrenal", "x:well")).unwrap_err();
    let known = Box::from([kind("external"), kind("remote")]);
    assert_eq!(refused, CommandError::Refused(Rejection::UnknownKind { kind: kind("extrenal"), known }));
    assert_eq!(refused.to_string(), "kind: nobody builds \"extrenal\"; the kinds that are known are external, remote");
    handle.declare(versioned("b", "remote", "x")).unwrap();
    assert_eq!(condition(&handle, "b"), "awaiting_caller");
    // Whoever asks for an assignment of a kind drives it.
    let asked = handle.next_assignment(&[kind("late")], &WorkerName::new("w").unwrap(), INTERVAL, Duration::ZERO);
    assert!(asked.unwrap().is_none());
    handle.declare(versioned("c", "late", "x").unversioned()).unwrap();
    assert_eq!(condition(&handle, "c"), "waiting_for_worker");
    reconciler.shutdown(LONG).unwrap();

    // Where nothing is known about kinds, nothing is refused.
    let reconciler = log().start().unwrap();
    reconciler.handle().declare(versioned("a", "any", "x")).unwrap();
    assert_eq!(condition(&reconciler.handle(), "a"), "no_worker");
}

#[test]
fn defect_16_what_nobody_builds_or_observes_says_so() {
    let lab = Lab::start();
    lab.handle.declare(versioned("typo", "seeen", "there")).unwrap();
    lab.handle.declare(versioned("owed", "puppet", "there")).unwrap();
    lab.handle.declare(declaration("plain", "{}").kind(kind("nobody"))).unwrap();
    let is = |of: &str| (lab.view(of).condition.name(), lab.view(of).lag == Lag::Unknown);
    assert_eq!((is("typo"), is("plain")), (("no_worker", true), ("no_worker", false)));
    assert_eq!(is("owed"), ("awaiting_caller", false));
    assert!(lab.view("typo").condition.to_string().starts_with("nobody builds its kind"));
    lab.handle.observe(name("owed"), observed("1")).unwrap();
    lab.clock.advance(Duration::from_secs(1));
    lab.until_condition("owed", "fresh");
    // Once a caller asks for assignments of the kind it only waits.
    let asked = lab.handle.next_assignment(&[kind("nobody")], &WorkerName::new("w").unwrap(), LONG, Duration::ZERO);
    drop(asked.unwrap().map(|lent| lab.handle.release(lent.attempt()).within("an answer")));
    until("it only waiting", || lab.view("plain").condition == Condition::WaitingForWorker);
}

#[test]
fn defect_19_a_policy_is_not_held_against_what_is_declared() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    // A worker of a later version, which does not take what is there any more.
    let stricter = lab.restart();
    stricter.puppet.refuse_everything();
    let policy = Policy { priority: Priority(7), ..Policy::default() };
    stricter.handle.declare(Declaration::new(name("a")).policy(policy)).unwrap();
    let again = stricter.handle.declare(declaration("a", "{}"));
    assert!(matches!(again, Err(CommandError::Refused(Rejection::Field(_)))), "{again:?}");
    assert_eq!(stricter.count("policy_changed"), 1);
}

/// Says far too much of where its sources are, and is slow to say it; a look hangs while it is said to.
#[derive(Clone, Default)]
struct Talks {
    says: String,
    slow: Duration,
    hangs: Arc<AtomicBool>,
}

impl Worker for Talks {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Talks {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        while request.source.as_str() != "well" && self.hangs.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Observation::new(observed("1"), None))
    }

    fn domain(&self, source: &Source) -> Option<String> {
        std::thread::sleep(self.slow);
        Some(format!("{}{source}", self.says))
    }
}

fn start_talking(talks: &Talks) -> Reconciler {
    let on = Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()));
    let builder = on.kind(kind("k"), talks.clone()).observe_interval(Duration::from_millis(20));
    builder.observe_timeout(Duration::from_secs(3600)).start().unwrap()
}

#[test]
fn defect_25_the_text_of_a_domain_is_bounded_drives_no_terminal_and_stays_its_own() {
    let says = "\u{1b}[2J\0\n\u{20ac}".repeat(1 << 17);
    let talks = Talks { says, hangs: Arc::new(AtomicBool::new(true)), ..Talks::default() };
    let reconciler = start_talking(&talks);
    let handle = reconciler.handle();
    let all: Vec<String> = (0..30).map(|n| format!("c{n:02}")).collect();
    for of in &all {
        handle.declare(versioned(of, "k", "dead")).unwrap();
    }
    let cause = |of: &String| view(&handle, of).not_observed.map(|found| found.cause.to_string());
    let waits = |of: &String| cause(of).filter(|cause| cause.starts_with("all observers of "));
    until("one that waits behind others", || all.iter().any(|of| waits(of).is_some()));
    let cause = all.iter().find_map(waits).unwrap();
    assert!(cause.len() < 2048 && !cause.contains(char::is_control), "{} bytes: {cause}", cause.len());
    assert!(cause.starts_with(r"all observers of \u{1b}[2J\u{0}\n€\u{1b}"), "{cause}");
    // What differs only behind the bound is another domain.
    handle.declare(versioned("well", "k", "well")).unwrap();
    until("another domain being looked at", || condition(&handle, "well") == "fresh");
    talks.hangs.store(false, SeqCst);
    until("everything being fresh", || all.iter().all(|of| condition(&handle, of) == "fresh"));
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_01_an_engine_that_is_behind_with_its_looks_says_so() {
    let talks = Talks { slow: Duration::from_millis(5), ..Talks::default() };
    let reconciler = start_talking(&talks);
    let handle = reconciler.handle();
    for n in 0..20 {
        handle.declare(versioned(&format!("c{n:02}"), "k", "there")).unwrap();
    }
    let mut behind = 0;
    until("looks that are late", || {
        for cause in handle.list().unwrap().into_iter().filter_map(|status| status.view.not_observed) {
            assert!(!cause.cause.ends_with("held by "), "{cause:?}");
            behind += u32::from(&*cause.cause == "no look is in its way: the engine is behind with its looks");
        }
        behind > 10
    });
    reconciler.shutdown(LONG).unwrap();
}
