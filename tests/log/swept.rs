//! Objects that nothing names any more go while the engine runs, and a start costs nothing for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, Retention};
use lastword::log::PrivateCopy;
use lastword::objects::{FileObjects, Objects, tree};
use lastword::replay;
use lastword::worker::{Context, Failure, Observation, ObserveError, ObserveRequest, Observer, Worker};
use test_support::history::*;

const NOTHING: Retention = Retention { events: Some(0), age: None };

/// A source of many files that are all other ones at each look.
struct Restless(Arc<AtomicU64>);

impl Observer for Restless {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let content = self.0.fetch_add(1, Ordering::SeqCst);
        let entries =
            (0..400u64).map(|file| (format!("{file:05}").into_bytes(), (content * 400 + file).to_le_bytes().to_vec()));
        let root = tree::build(request.objects, entries).map_err(|error| ObserveError(error.to_string()))?;
        let version = Version::new(&content.to_le_bytes()).unwrap();
        let set = Some(PathSetRef { root: root.hash, files: root.entries, bytes: 1 });
        Ok(Observation::new(SourceState { version, set }, None))
    }
}

impl Worker for Restless {
    fn run(&self, _context: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

fn restless(state: &Path) -> (Reconciler, Name) {
    let engine = builder(state).kind(Kind::new("restless").unwrap(), Restless(Arc::default())).start().unwrap();
    let mut declaration = declaration("files", 0);
    declaration.kind = Some(Kind::new("restless").unwrap());
    declaration.versioned = Some(true);
    declaration.policy =
        Some(Policy { coalesce: Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO }, ..Policy::default() });
    engine.handle().declare(declaration).unwrap();
    (engine, Name::new("files").unwrap())
}

/// The objects that lie in a directory.
fn count(state: &Path) -> usize {
    FileObjects::open_read_only(state.join("objects")).unwrap().list().unwrap().len()
}

#[test]
fn defect_28_a_retention_bounds_the_objects_while_the_engine_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, name) = restless(dir.path());
    let handle = engine.handle();
    let applied = |generation| {
        until("the next content is applied", || {
            let view = handle.status(name.clone()).unwrap().unwrap().view;
            view.generation >= generation && view.condition.name() == "fresh"
        });
    };
    applied(Generation(1));
    let one = count(dir.path());
    for n in 2..40 {
        handle.refresh(name.clone()).unwrap();
        applied(Generation(n));
    }
    // A look at its interval may have come between, so that one set was two.
    let many = count(dir.path());
    assert!(many > 10 * one, "{one} objects of one set, and {many}");
    // Only what the end of the log names is left, though the engine goes on.
    handle.compact(NOTHING).unwrap();
    handle.compact(NOTHING).unwrap();
    until("the objects of what was let go are collected", || {
        handle.compact(NOTHING).unwrap();
        handle.refresh(name.clone()).unwrap();
        count(dir.path()) < many / 4
    });
    engine.shutdown(LONG).unwrap();
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let objects = FileObjects::open_read_only(dir.path().join("objects")).unwrap();
    replay::verify(&*copy.reader(), Some(&objects)).unwrap();
}

#[test]
fn defect_28_a_start_after_a_close_in_order_reads_nothing_for_a_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("objects/swept");
    let orphaned = || {
        let objects = FileObjects::open(dir.path().join("objects")).unwrap();
        objects.put(&[b"named by nobody".to_vec()]).unwrap()[0]
    };
    let is_there = |hash| FileObjects::open_read_only(dir.path().join("objects")).unwrap().get(hash).is_ok();
    let run = |first| {
        let engine = builder(dir.path()).start().unwrap();
        assert!(!marker.exists(), "a crash from here on would leave it");
        declare(&engine.handle(), first..first + 30);
        settle(&engine.handle());
        engine
    };
    let engine = run(0);
    // The first one had to sweep; it has nothing to read, and is through before long.
    until("it has swept", || {
        declare(&engine.handle(), 30..31);
        engine.handle().status(Name::new("c0").unwrap()).unwrap().is_some()
    });
    engine.shutdown(LONG).unwrap();
    until("a run leaves the note that nothing is to be swept", || {
        marker.exists() || {
            let engine = run(100);
            std::thread::sleep(Duration::from_millis(50));
            declare(&engine.handle(), 200..210);
            engine.shutdown(LONG).unwrap();
            false
        }
    });
    let orphan = orphaned();
    run(300).shutdown(LONG).unwrap();
    assert!(is_there(orphan), "it has swept");
    // After a crash it does.
    let _ = std::fs::remove_file(&marker);
    let engine = run(400);
    until("the sweep", || !is_there(orphan));
    engine.shutdown(LONG).unwrap();
}
