//! What reviews have found: sources that do not answer, sights that come late, panics that carry a trap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use lastword::core::Lag;
use lastword::core::vocabulary::*;
use lastword::engine::{Builder, Reconciler, WaitOutcome};
use lastword::log::MemoryLog;
use lastword::objects::{MemoryObjects, Objects, tree};
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};

use crate::support::*;

fn in_memory() -> Builder {
    Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
}

#[test]
fn what_is_admitted_late_was_not_observed_again() {
    let lab = Lab::start();
    lab.puppet.show("a", Ok(observed("1")));
    lab.handle.declare(versioned("c", "seen", "a")).unwrap();
    lab.applied("c", 1);
    lab.puppet.show("a", Ok(observed("2")));
    lab.handle.refresh(name("c")).unwrap();
    until("settling", || lab.view("c").pending.is_some());
    lab.puppet.show("a", Err("permission denied"));
    lab.handle.refresh(name("c")).unwrap();
    until("unobservable", || lab.view("c").unobservable.is_some());
    lab.clock.advance(Duration::from_millis(250));
    until("admitted", || lab.view("c").pending.is_none());
    lab.applied("c", 2);
    assert!(lab.view("c").unobservable.is_some(), "no look has succeeded since");
    assert_eq!(lab.view("c").lag, Lag::Unknown);
}

/// Looks at sources whose name begins with `hung` do not return before they are let go.
#[derive(Clone, Default)]
struct Hanging(Arc<AtomicBool>);

impl Worker for Hanging {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Hanging {
    fn observe(&self, look: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        while look.source.as_str().starts_with("hung") && !self.0.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Observation::new(observed("1"), None))
    }
}

#[test]
fn case_36_sources_that_do_not_answer_stop_nobody_elses_looks() {
    let hanging = Hanging::default();
    let builder = in_memory().kind(kind("k"), hanging.clone()).observe_timeout(Duration::from_millis(100));
    let reconciler = builder.start().unwrap();
    let handle = reconciler.handle();
    for hung in ["x", "y"] {
        handle.declare(versioned(hung, "k", &format!("hung {hung}"))).unwrap();
    }
    handle.declare(versioned("z", "k", "fine")).unwrap();
    let waited = handle.wait_applied(name("z"), Generation(1), Duration::from_secs(20)).unwrap();
    assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
    let view = |text| handle.status(name(text)).unwrap().unwrap().view;
    until("a cause", || view("x").unobservable.is_some() && view("y").unobservable.is_some());
    hanging.0.store(true, SeqCst);
    until("everybody", || ["x", "y"].into_iter().all(|text| view(text).applied.is_some()));
    assert!(view("x").unobservable.is_none());
    reconciler.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_store_that_was_handed_in_is_not_swept() {
    let objects = Arc::new(MemoryObjects::new());
    let root = tree::build(&*objects, [(b"f".to_vec(), b"v".to_vec())]).unwrap().hash;
    let log = Box::new(MemoryLog::new());
    let reconciler =
        Reconciler::on(log, Arc::<MemoryObjects>::clone(&objects)).kind(kind("k"), Puppet::new()).start().unwrap();
    let handle = reconciler.handle();
    handle.declare(versioned("c", "k", "a")).unwrap();
    let set = Some(PathSetRef { root, files: 1, bytes: 1 });
    handle.observe(name("c"), SourceState { version: Version::new(b"1").unwrap(), set }).unwrap();
    reconciler.shutdown(Duration::from_secs(5)).unwrap();
    assert!(objects.get(root).is_ok());
}

/// Sees "2" and is slow to say so; by then a look has found "1" again.
#[derive(Clone, Default)]
struct Slow {
    running: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
}

impl Worker for Slow {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        let observation = Observation::new(observed("2"), None);
        self.running.store(true, SeqCst);
        while self.running.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(Failure::SourceMoved { what: None, observation: Some(Box::new(observation)) })
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Slow {
    fn observe(&self, _: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        self.looks.fetch_add(1, SeqCst);
        Ok(Observation::new(observed("1"), None))
    }
}

#[test]
fn case_41_an_older_sight_does_not_beat_a_newer_look_that_found_nothing_changed() {
    let slow = Slow::default();
    let reconciler =
        in_memory().kind(kind("k"), slow.clone()).observe_interval(Duration::from_secs(600)).start().unwrap();
    let handle = reconciler.handle();
    handle.declare(versioned("x", "k", "s")).unwrap();
    until("an attempt", || slow.running.load(SeqCst));
    let view = || handle.status(name("x")).unwrap().unwrap().view;
    let (before, looks) = (view().latest, slow.looks.load(SeqCst));
    handle.refresh(name("x")).unwrap();
    until("a look", || slow.looks.load(SeqCst) > looks && handle.stats().unwrap().observations == 0);
    slow.running.store(false, SeqCst);
    until("its failure", || handle.stats().unwrap().counters.failed == 1);
    assert_eq!(view().latest, before);
    drop(reconciler);
}

#[test]
fn case_33_a_panic_that_would_panic_again_when_dropped_is_contained() {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("again")
        }
    }
    struct Trapped;
    impl Worker for Trapped {
        fn run(&self, _: &Context) -> Result<Built, Failure> {
            std::panic::panic_any(Trap)
        }
    }
    let reconciler = in_memory().kind(kind("puppet"), Trapped).workers(1).start().unwrap();
    let handle = reconciler.handle();
    handle.declare(declaration("a", "{}")).unwrap();
    until("a failure", || handle.status(name("a")).unwrap().unwrap().view.failures > 0);
}

/// Its source moves under the first attempt, which does not say where to; each observation finds something new.
#[derive(Clone, Default)]
struct Moves {
    runs: Arc<AtomicUsize>,
    observations: Arc<AtomicUsize>,
}

impl Worker for Moves {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        if self.runs.fetch_add(1, SeqCst) == 0 { Err(Failure::moved("it")) } else { Ok(Built::default()) }
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for Moves {
    fn observe(&self, _: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let count = self.observations.fetch_add(1, SeqCst);
        Ok(Observation::new(observed(&count.to_string()), None))
    }
}

#[test]
fn a_source_that_has_moved_is_observed_at_once() {
    let moves = Moves::default();
    let never = Duration::from_secs(3600);
    let reconciler = in_memory().kind(kind("k"), moves.clone()).observe_interval(never).start().unwrap();
    let handle = reconciler.handle();
    handle.declare(versioned("x", "k", "s")).unwrap();
    let waited = handle.wait_applied(name("x"), Generation(2), LONG).unwrap();
    assert!(matches!(waited, WaitOutcome::Applied { generation: Generation(2), .. }), "{waited:?}");
    assert_eq!(moves.observations.load(SeqCst), 2);
    reconciler.shutdown(Duration::from_secs(5)).unwrap();
}
