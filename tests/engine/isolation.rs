//! A source, a kind or a destination that hangs holds its own share of the threads, and leaves the others theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Builder, Handle, Reconciler, WaitOutcome};
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;
use lastword::worker::{
    CommitView, Context, DeliveryError, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker,
};

use crate::support::*;

/// A call that has not returned for so long is given up.
const SHORT: Duration = Duration::from_millis(50);

/// Where a worker hangs, until it is let go; everywhere else it is quick.
#[derive(Clone, Default)]
struct Hangs {
    observing: bool,
    building: bool,
    publishing: bool,
    released: Arc<AtomicBool>,
}

impl Hangs {
    fn hang(&self, hangs: bool) {
        while hangs && !self.released.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn release(&self) {
        self.released.store(true, SeqCst);
    }
}

impl Worker for Hangs {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        self.hang(self.building);
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, _: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.hang(self.publishing);
        Ok(())
    }
}

impl Observer for Hangs {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        self.hang(self.observing && request.source.as_str().starts_with("dead:"));
        Ok(Observation::new(observed("1"), None))
    }

    /// `dead:a` and `dead:b` lie on one mount.
    fn domain(&self, source: &Source) -> Option<String> {
        source.as_str().split_once(':').map(|(mount, _)| mount.to_owned())
    }
}

fn in_memory() -> Builder {
    Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
}

#[track_caller]
fn applied(handle: &Handle, of: &str) {
    let waited = handle.wait_applied(name(of), Generation(1), LONG).unwrap();
    assert!(matches!(waited, WaitOutcome::Applied { .. }), "{of}: {waited:?}");
}

#[test]
fn a_mount_that_hangs_leaves_the_observation_of_other_mounts_alone() {
    let hangs = Hangs { observing: true, ..Hangs::default() };
    let reconciler = in_memory().kind(kind("k"), hangs.clone()).observe_timeout(SHORT).start().unwrap();
    let handle = reconciler.handle();
    // More than one domain may ever hold threads: its share, twice as many as the crew has, and 16 to probe.
    let (most, dead) = (20, (0..30).map(|n| format!("d{n}")).collect::<Vec<String>>());
    for of in &dead {
        handle.declare(versioned(of, "k", &format!("dead:{of}"))).unwrap();
    }
    let given_up = || dead.iter().filter(|of| view(&handle, of).unobservable.is_some()).count();
    until("the share of the dead mount being used up", || given_up() == most);
    assert_eq!(handle.stats().unwrap().observations as usize, most, "and no more");
    for n in 0..8 {
        let of = format!("w{n}");
        handle.declare(versioned(&of, "k", &format!("well:{n}"))).unwrap();
        applied(&handle, &of);
    }
    hangs.release();
    dead.iter().for_each(|of| applied(&handle, of));
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn a_slow_mount_does_not_hold_up_another_before_it_is_given_up() {
    let hangs = Hangs { observing: true, ..Hangs::default() };
    // Nothing is given up here.
    let reconciler =
        in_memory().kind(kind("k"), hangs.clone()).observer_threads(1).observe_timeout(LONG).start().unwrap();
    let handle = reconciler.handle();
    for of in ["d1", "d2"] {
        handle.declare(versioned(of, "k", &format!("dead:{of}"))).unwrap();
    }
    until("an observation that hangs", || handle.stats().unwrap().observations == 1);
    handle.declare(versioned("w", "k", "well:w")).unwrap();
    applied(&handle, "w");
    assert_eq!(handle.stats().unwrap().observations, 1, "the second of the dead mount waits for the first");
    hangs.release();
    applied(&handle, "d2");
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn case_05_a_kind_that_never_listens_uses_up_its_own_workers() {
    let (deaf, well) = (Hangs { building: true, ..Hangs::default() }, Hangs::default());
    let builder = in_memory().kind(kind("deaf"), deaf.clone()).kind(kind("well"), well).workers(1);
    let reconciler = builder.start().unwrap();
    let handle = reconciler.handle();
    let policy = Policy {
        attempt_timeout: AttemptTimeout(Some(SHORT)),
        grace: Grace(SHORT),
        retry: Retry { base: SHORT, cap: SHORT, ..Retry::default() },
        ..Policy::default()
    };
    handle.declare(versioned("d", "deaf", "x:d").policy(policy)).unwrap();
    until("workers_exhausted", || handle.status(name("d")).unwrap().unwrap().workers_exhausted);
    assert_eq!(handle.stats().unwrap().abandoned_workers, 2, "twice the one worker that there is");
    for of in ["w1", "w2", "w3"] {
        handle.declare(versioned(of, "well", &format!("x:{of}"))).unwrap();
        applied(&handle, of);
    }
    deaf.release();
    until("the deaf kind being built again", || view(&handle, "d").applied.is_some());
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn a_destination_that_hangs_leaves_the_deliveries_of_other_kinds_alone() {
    let (dead, well) = (Hangs { publishing: true, ..Hangs::default() }, Hangs::default());
    let builder = in_memory().kind(kind("dead"), dead.clone()).kind(kind("well"), well).delivery_timeout(SHORT);
    let reconciler = builder.start().unwrap();
    let handle = reconciler.handle();
    for n in 0..8 {
        handle.declare(versioned(&format!("d{n}"), "dead", &format!("x:{n}"))).unwrap();
    }
    until("the share of the dead destination being used up", || handle.stats().unwrap().overdue_deliveries == 4);
    handle.declare(versioned("w", "well", "x:w")).unwrap();
    until("a publication of the other kind", || {
        view(&handle, "w").outbox.is_some_and(|outbox| outbox.published.is_some() && outbox.unpublished == 0)
    });
    dead.release();
    reconciler.shutdown(LONG).unwrap();
}

fn view(handle: &Handle, of: &str) -> lastword::core::CollectionView {
    handle.status(name(of)).unwrap().unwrap().view
}
