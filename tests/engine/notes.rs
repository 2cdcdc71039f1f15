//! Workers that leave something behind: notes for the attempts after them, and outputs that no result names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::*;
use lastword::engine::Reconciler;
use lastword::worker::{Context, DeliveryError, DiscardRequest, Failure, Worker};

const LONG: Duration = Duration::from_secs(60);

/// Takes steps from 1 to the number in its spec, and notes each. It goes on behind the last that an earlier attempt has
/// noted, and fails after three of its own.
#[derive(Clone, Default)]
struct Walker {
    discards: bool,
    /// Every step that was taken, and what `keep` said of it.
    steps: Arc<Mutex<Vec<(u64, bool)>>>,
}

impl Worker for Walker {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let steps = context.spec().to_value().get("steps").and_then(|steps| steps.as_u64()).unwrap();
        let kept = context.leftovers().iter().flat_map(|token| context.kept(*token));
        let reached = kept.map(|note| u64::from_le_bytes(note.try_into().unwrap())).max().unwrap_or(0);
        for step in (reached + 1..=steps).take(3) {
            let is_kept = context.keep(&step.to_le_bytes());
            self.steps.lock().unwrap().push((step, is_kept));
        }
        // Under its own token it finds nothing: that is no attempt before it.
        assert_eq!(context.kept(context.token()), Vec::<Vec<u8>>::new());
        if reached + 3 < steps { Err(Failure::Transient("tired".to_owned())) } else { Ok(Built::default()) }
    }

    fn duties(&self) -> Duties {
        Duties { publish: false, discard: self.discards }
    }

    fn discard(&self, _: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        Ok(())
    }
}

fn kind() -> Kind {
    Kind::new("kind").unwrap()
}

fn name() -> Name {
    Name::new("a").unwrap()
}

fn open(state: &Path, worker: impl Worker) -> Reconciler {
    Reconciler::open(state).kind(kind(), worker).start().unwrap()
}

fn declared(spec: &str) -> Declaration {
    let retry = Retry { base: Duration::from_millis(1), cap: Duration::from_millis(2), ..Retry::default() };
    Declaration::new(name())
        .kind(kind())
        .source(Source::new("nowhere").unwrap())
        .unversioned()
        .spec(Spec::parse(spec).unwrap())
        .policy(Policy { retry, ..Policy::default() })
}

fn apply(reconciler: &Reconciler, spec: &str) {
    let receipt = reconciler.handle().declare(declared(spec)).unwrap();
    let waited = reconciler.handle().wait_applied(name(), receipt.generation, LONG).unwrap();
    assert!(matches!(waited, lastword::WaitOutcome::Applied { .. }), "{waited:?}");
}

#[test]
fn defect_33_any_worker_finds_the_notes_of_the_attempts_before_until_one_commits() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Walker { discards: true, ..Walker::default() };
    let steps = Arc::clone(&worker.steps);
    let reconciler = open(&dir.path().join("state"), worker);
    apply(&reconciler, r#"{"steps":8}"#);
    let taken = std::mem::take(&mut *steps.lock().unwrap());
    assert_eq!(taken, (1..=8).map(|step| (step, true)).collect::<Vec<_>>(), "each step once");
    // What was committed is over: the next begins anew.
    apply(&reconciler, r#"{"steps":2}"#);
    assert_eq!(*steps.lock().unwrap(), [(1, true), (2, true)]);
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_33_what_a_kind_that_does_not_discard_would_note_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Walker::default();
    let steps = Arc::clone(&worker.steps);
    let reconciler = open(&dir.path().join("state"), worker);
    apply(&reconciler, r#"{"steps":3}"#);
    assert_eq!(*steps.lock().unwrap(), [(1, false), (2, false), (3, false)]);
    reconciler.shutdown(LONG).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("state/notes")).unwrap().count(), 0);
}

#[test]
fn defect_33_with_no_room_for_notes_an_attempt_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let worker = Walker { discards: true, ..Walker::default() };
    let steps = Arc::clone(&worker.steps);
    let builder = Reconciler::open(dir.path().join("state")).kind(kind(), worker).note_bytes(0);
    let reconciler = builder.start().unwrap();
    apply(&reconciler, r#"{"steps":2}"#);
    assert_eq!(*steps.lock().unwrap(), [(1, false), (2, false)]);
    reconciler.shutdown(LONG).unwrap();
}

/// Writes a file that is named by its token, says nothing of it, and removes what it is told to.
struct Silent(PathBuf);

impl Worker for Silent {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        fs::write(self.0.join(context.token().to_string()), context.spec().as_str())?;
        Ok(Built { rows: Some(1), ..Built::default() })
    }

    fn duties(&self) -> Duties {
        Duties { publish: false, discard: true }
    }

    fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        for token in request.tokens {
            match fs::remove_file(self.0.join(token.to_string())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

#[test]
fn defect_14_outputs_that_no_result_names_are_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let reconciler = open(&dir.path().join("state"), Silent(out.clone()));
    for n in 1..=4 {
        apply(&reconciler, &format!(r#"{{"n":{n}}}"#));
    }
    let files = || {
        let names = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < LONG, "{what}: {:?}", files());
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let handle = reconciler.handle();
    until("three of four commits are discarded", &|| handle.stats().unwrap().counters.discarded == 3);
    let live = handle.status(name()).unwrap().unwrap().view.applied.unwrap().token;
    assert_eq!(files(), BTreeSet::from([live.to_string()]), "what is there is what is live");
    handle.drop_collection(name()).unwrap();
    until("what a dropped collection had made goes", &|| files().is_empty());
    reconciler.shutdown(LONG).unwrap();
}
