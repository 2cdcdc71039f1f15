//! Threads that were given up over many kinds: each kind within its share, and all of them together more than are replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, SettleOutcome};
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;
use lastword::worker::{CommitView, Context, DeliveryError, Failure, Worker};

use crate::support::*;

/// So many kinds that hang, so many collections of each: what a kind may have of 64 threads.
const KINDS: usize = 9;
const OF_EACH: usize = 128;

/// Hangs in one place until it is let go.
#[derive(Clone)]
struct Hangs {
    place: &'static str,
    let_go: Arc<AtomicBool>,
}

impl Hangs {
    fn at(&self, place: &str) {
        while self.place == place && !self.let_go.load(SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Worker for Hangs {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        self.at("run");
        Ok(Built::default())
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, _: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.at("publish");
        Ok(())
    }
}

fn impatient() -> Policy {
    let long = Duration::from_secs(3600);
    Policy {
        attempt_timeout: AttemptTimeout(Some(Duration::from_millis(20))),
        grace: Grace(Duration::ZERO),
        retry: Retry { base: long, cap: long, ..Retry::default() },
        ..Policy::default()
    }
}

fn of_kind(of: &str, by: &str) -> Declaration {
    versioned(of, by, "there").unversioned()
}

/// The first collection of a kind that is well, when those that hang in `place` hold every thread that there may be.
fn all_are_lost(place: &'static str, check: impl Fn(&lastword::engine::CollectionStatus)) {
    let hangs = Hangs { place, let_go: Arc::default() };
    let well = Hangs { place: "nowhere", ..hangs.clone() };
    let mut builder = Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
        .kind(kind("well"), well)
        .workers(64)
        .delivery_threads(64)
        .delivery_timeout(Duration::from_millis(20));
    for n in 0..KINDS {
        builder = builder.kind(kind(&format!("k{n}")), hangs.clone());
    }
    let reconciler = builder.start().unwrap();
    let handle = reconciler.handle();
    let hanging = |n: usize| {
        let mut declaration = of_kind(&format!("h{n}"), &format!("k{}", n % KINDS));
        // A publication is built without haste.
        declaration.policy = (place == "run").then(impatient);
        Command::Declare(Box::new(declaration))
    };
    handle.batch((0..KINDS * OF_EACH).map(hanging).collect()).unwrap();
    let lost = |stats: lastword::engine::Stats| stats.abandoned_workers.max(stats.overdue_deliveries);
    until("all threads being lost", || lost(handle.stats().unwrap()) == 1024 + 63);
    handle.declare(of_kind("well", "well")).unwrap();
    if place == "publish" {
        handle.wait_applied(name("well"), Generation(1), LONG).unwrap();
    }
    let status = handle.status(name("well")).unwrap().unwrap();
    check(&status);
    let why = status.exhausted.as_deref().expect("a cause");
    assert!(why.contains("hold 1087 threads, and beyond so many none is replaced: "), "{why}");
    assert_eq!(status.live()["exhausted"], why);
    if place == "publish" {
        let settled = handle.wait_settled(name("well"), LONG).unwrap();
        assert!(matches!(settled, SettleOutcome::DeliveriesExhausted), "{settled:?}");
    }
    hangs.let_go.store(true, SeqCst);
    until("what waited", || {
        let status = handle.status(name("well")).unwrap().unwrap();
        let is_published = status.view.outbox.as_ref().is_none_or(|outbox| outbox.unpublished == 0);
        status.view.applied.is_some() && is_published && status.exhausted.is_none()
    });
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_16_a_task_says_that_attempts_of_all_kinds_together_hold_every_worker() {
    all_are_lost("run", |status| assert!(status.workers_exhausted && !status.deliveries_exhausted));
}

#[test]
fn defect_16_a_publication_says_that_those_of_all_kinds_together_hold_every_thread() {
    all_are_lost("publish", |status| assert!(status.deliveries_exhausted && !status.workers_exhausted));
}
