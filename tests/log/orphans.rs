//! Objects that no event names are collected, whoever stored them and however that ended; and nobody but the engine
//! removes any.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lastword::ErrorKind;
use lastword::clock::ManualClock;
use lastword::core::vocabulary::*;
use lastword::engine::{Builder, Handle, Reconciler, Retention};
use lastword::log::{Durability, MemoryLog};
use lastword::objects::{FileObjects, MemoryObjects, Objects, object_hash, tree};
use lastword::worker::{
    CommitView, Context, DeliveryError, DiscardRequest, Failure, Observation, ObserveError, ObserveRequest, Observer,
    VerifyOutcome, Worker,
};
use test_support::history::*;

fn name() -> Name {
    Name::new("a").unwrap()
}

fn declared(handle: &Handle, n: u64) {
    let mut declaration = declaration("a", n);
    declaration.kind = Some(Kind::new("k").unwrap());
    declaration.versioned = Some(true);
    let receipt = handle.declare(declaration).unwrap();
    handle.wait_applied(name(), receipt.generation, LONG).unwrap();
}

fn start(state: &Path, worker: impl Worker) -> Builder {
    Reconciler::open(state).kind(Kind::new("k").unwrap(), worker).durability(Durability::Process)
}

fn listed(state: &Path) -> Vec<ObjectHash> {
    FileObjects::open_read_only(state.join("objects")).unwrap().list().unwrap()
}

/// Removes every object there is, wherever it is given a store.
#[derive(Clone, Default)]
struct Removes(Arc<Mutex<Vec<&'static str>>>);

impl Removes {
    fn at(&self, place: &'static str, objects: &dyn Objects) {
        let kept = objects.put(&[b"one at least".to_vec()]).unwrap()[0];
        for hash in objects.list().unwrap() {
            let refused = objects.remove(hash).expect_err(place);
            assert_eq!(refused.kind(), ErrorKind::Refused, "{place}: {refused}");
            assert!(refused.to_string().contains("only the engine removes objects"), "{refused}");
        }
        assert!(objects.get(kept).is_ok(), "{place}");
        self.0.lock().unwrap().push(place);
    }
}

impl Worker for Removes {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        self.at("run", context.objects());
        Ok(Built { output: Some(context.token().to_string().into()), ..Built::default() })
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: true }
    }

    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.at("publish", commit.objects);
        Ok(())
    }

    fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        self.at("discard", request.objects);
        Ok(())
    }

    fn verifies(&self) -> bool {
        true
    }

    fn verify(&self, commit: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
        self.at("verify", commit.objects);
        Ok(VerifyOutcome::Intact)
    }
}

impl Observer for Removes {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        self.at("observe", request.objects);
        Ok(Observation::opaque(Version::new(b"1").unwrap()))
    }
}

#[test]
fn only_the_engine_removes_objects() {
    let dir = tempfile::tempdir().unwrap();
    for is_given in [false, true] {
        let removes = Removes::default();
        let builder = match is_given {
            false => start(&dir.path().join("state"), removes.clone()),
            true => Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
                .kind(Kind::new("k").unwrap(), removes.clone()),
        };
        let engine = builder.start().unwrap();
        let handle = engine.handle();
        declared(&handle, 1);
        declared(&handle, 2);
        handle.refresh(name()).unwrap();
        let met = |place| removes.0.lock().unwrap().contains(&place);
        for place in ["run", "observe", "publish", "discard", "verify"] {
            until(place, || met(place));
        }
        engine.shutdown(LONG).unwrap();
    }
}

/// Stores what nothing names, in the place that is told, and succeeds. What it names it stores as well.
#[derive(Clone)]
struct Litters {
    place: &'static str,
    calls: Arc<AtomicU64>,
}

impl Litters {
    fn at(place: &'static str) -> Litters {
        Litters { place, calls: Arc::default() }
    }

    fn litter(&self, place: &str, objects: &dyn Objects) {
        if self.place == place {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            objects.put(&[format!("named by nothing {call}").into_bytes()]).unwrap();
        }
    }
}

impl Worker for Litters {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        self.litter("run", context.objects());
        let entries = (0..500_u32).map(|n| (format!("{n:08}").into_bytes(), vec![7; 90]));
        let manifest = tree::build(context.objects(), entries).unwrap().hash;
        Ok(Built { manifest: Some(manifest), ..Built::default() })
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.litter("publish", commit.objects);
        Ok(())
    }
}

impl Observer for Litters {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        self.litter("observe", request.objects);
        Ok(Observation::opaque(Version::new(b"1").unwrap()))
    }
}

/// What an engine that litters nowhere leaves: what is named.
fn clean(state: &Path) -> Vec<ObjectHash> {
    let engine = start(state, Litters::at("nowhere")).start().unwrap();
    declared(&engine.handle(), 1);
    engine.shutdown(LONG).unwrap();
    listed(state)
}

/// Starts and ends engines that store nothing new until the note says that nothing is to be swept.
fn until_nothing_is_to_be_swept(state: &Path) {
    until("a run leaves the note", || {
        let engine = start(state, Litters::at("nowhere")).start().unwrap();
        // Turns of the loop, in which the sweep is begun and its end is heard.
        for _ in 0..20 {
            engine.handle().stats().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        engine.shutdown(LONG).unwrap();
        state.join("objects/swept").exists()
    });
}

#[test]
fn what_a_success_stored_and_did_not_name_is_collected_at_the_next_start() {
    for place in ["run", "observe", "publish"] {
        let dir = tempfile::tempdir().unwrap();
        let named = clean(dir.path());
        until_nothing_is_to_be_swept(dir.path());
        assert_eq!(listed(dir.path()), named, "{place}");
        let litters = Litters::at(place);
        let engine = start(dir.path(), litters.clone()).start().unwrap();
        declared(&engine.handle(), 2);
        until(place, || litters.calls.load(Ordering::SeqCst) > 0);
        engine.shutdown(LONG).unwrap();
        assert!(listed(dir.path()).len() > named.len(), "{place}");
        assert!(!dir.path().join("objects/swept").exists(), "{place}: it says that nothing is to be swept");
        let engine = start(dir.path(), Litters::at("nowhere")).start().unwrap();
        until("the sweep", || listed(dir.path()) == named);
        engine.shutdown(LONG).unwrap();
    }
}

#[test]
fn what_is_stored_and_named_needs_no_sweep() {
    let dir = tempfile::tempdir().unwrap();
    clean(dir.path());
    until_nothing_is_to_be_swept(dir.path());
    let marker = dir.path().join("objects/swept");
    until("a run that commits leaves the note", || {
        let engine = start(dir.path(), Litters::at("nowhere")).start().unwrap();
        declared(&engine.handle(), 3);
        engine.handle().rebuild(name()).unwrap();
        // What the attempt had stored is released some turns of the loop after its end.
        for _ in 0..20 {
            engine.handle().stats().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        engine.shutdown(LONG).unwrap();
        marker.exists()
    });
}

#[test]
fn what_nothing_names_is_collected_when_the_log_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let litters = Litters::at("observe");
    let engine = start(dir.path(), litters.clone()).start().unwrap();
    let handle = engine.handle();
    declared(&handle, 1);
    let look = || {
        let before = litters.calls.load(Ordering::SeqCst);
        handle.refresh(name()).unwrap();
        until("a look", || litters.calls.load(Ordering::SeqCst) > before);
    };
    (0..20).for_each(|_| look());
    let many = listed(dir.path()).len();
    assert!(many > 20);
    until("what nothing names is collected", || {
        handle.compact(Retention { events: Some(0), age: None }).unwrap();
        listed(dir.path()).len() < many / 2
    });
    engine.shutdown(LONG).unwrap();
}

#[test]
fn a_retention_bounds_what_looks_store_though_no_event_comes() {
    for retains in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let litters = Litters::at("observe");
        let clock = ManualClock::at(Timestamp(1_800_000_000_000_000));
        let mut builder = start(dir.path(), litters.clone()).clock(clock.clone());
        // The clock makes leaps, and no look is late for it.
        builder = builder.observe_interval(Duration::from_secs(60)).observe_timeout(Duration::from_secs(1_000_000));
        if retains {
            builder = builder.retain(Retention { events: Some(1_000_000), age: None });
        }
        let engine = builder.start().unwrap();
        let handle = engine.handle();
        declared(&handle, 1);
        let look = || {
            let before = litters.calls.load(Ordering::SeqCst);
            let mut waited = 0;
            until("a look", || {
                clock.advance(Duration::from_secs(if waited % 300 == 0 { 80 } else { 0 }));
                waited += 1;
                litters.calls.load(Ordering::SeqCst) > before
            });
        };
        (0..10).for_each(|_| look());
        let durable = handle.stats().unwrap().durable;
        let first = object_hash(b"named by nothing 0");
        if retains {
            until("what nothing names is collected", || {
                look();
                !listed(dir.path()).contains(&first)
            });
        } else {
            (0..20).for_each(|_| look());
            assert!(listed(dir.path()).contains(&first), "all of the past is kept, and read at the next start");
        }
        assert_eq!(handle.stats().unwrap().durable, durable, "no event came");
        engine.shutdown(LONG).unwrap();
    }
}
