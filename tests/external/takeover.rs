//! Taking over what attempts without a commit have built: only under its own key, over a change, a close and a damaged or
//! vanished past; and the notes of it, which go when they are not needed any more.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Coalesce, Declaration, Kind, Name, Policy, Source, Spec};
use lastword::engine::{CollectionStatus, Reconciler};
use lastword::external::{
    BuildError, Discard, External, ExternalSpec, Manifest, Segment, SegmentBuilder, SegmentJob, SegmentKey,
};
use lastword::objects::FileObjects;
use test_support::parquet_files::write;

const LONG: Duration = Duration::from_secs(60);

/// Writes a file for each segment, with what it was built from.
#[derive(Clone)]
struct Desk {
    out: PathBuf,
    /// What was built, in its order.
    built: Arc<Mutex<Vec<String>>>,
    /// So many may be built in all; whoever comes after that waits.
    most: Arc<AtomicUsize>,
}

/// The part of a spec that a segment is built from, and its fragments.
fn recipe(spec: &ExternalSpec, key: SegmentKey) -> String {
    format!("{:?} {:?} {:?} {key}", spec.columns, spec.params, spec.recipe)
}

impl SegmentBuilder for Desk {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        while self.built.lock().unwrap().len() >= self.most.load(Ordering::Acquire) {
            job.check_stop()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        // It may have been told to stop right before it may go on.
        job.check_stop()?;
        let text = recipe(job.spec, job.key);
        fs::write(self.out.join(job.id.to_string()), &text)
            .map_err(|error| BuildError::Transient(error.to_string()))?;
        self.built.lock().unwrap().push(text.clone());
        Ok(Some(text.into_bytes()))
    }

    fn discards(&self) -> bool {
        true
    }

    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        for name in names(&self.out) {
            let goes = what.tokens.iter().any(|token| name.starts_with(&format!("{token}-")))
                || what.dropped.iter().any(|segment| segment.id.to_string() == name);
            if goes && !what.live.iter().any(|id| id.to_string() == name) {
                fs::remove_file(self.out.join(name)).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn verify(&self, segment: &Segment) -> Result<(), String> {
        let is_there = fs::read(self.out.join(segment.id.to_string())).ok() == segment.output;
        if is_there { Ok(()) } else { Err("it is gone, or another".to_owned()) }
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A source of one file with ten rows for each segment, and a reconciler that may be closed and opened again.
struct Office {
    dir: tempfile::TempDir,
    desk: Desk,
    reconciler: Option<Reconciler>,
}

impl Office {
    fn new(files: u8, most: usize) -> Office {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk { out: dir.path().join("out"), built: Arc::default(), most: Arc::new(AtomicUsize::new(most)) };
        fs::create_dir(&desk.out).unwrap();
        (0..files).for_each(|n| write(&dir.path().join("lake").join(format!("{n}.parquet")), &[10], n));
        let mut office = Office { dir, desk, reconciler: None };
        office.open();
        office
    }

    /// A new process, as far as the worker can tell: nothing of the one before is in its memory.
    fn open(&mut self) {
        let reconciler = Reconciler::open(self.dir.path().join("state"))
            .kind(Kind::new("external").unwrap(), External::with_builder(self.desk.clone()))
            .observe_interval(Duration::from_millis(20))
            .start();
        self.reconciler = Some(reconciler.unwrap());
    }

    fn close(&mut self) {
        self.reconciler.take().unwrap().shutdown(LONG).unwrap();
    }

    fn reconciler(&self) -> &Reconciler {
        self.reconciler.as_ref().unwrap()
    }

    fn name() -> Name {
        Name::new("lake").unwrap()
    }

    fn declare(&self, spec: &str) {
        let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
        let declaration = Declaration::new(Office::name())
            .kind(Kind::new("external").unwrap())
            .source(Source::new(self.dir.path().join("lake").to_str().unwrap()).unwrap())
            .spec(Spec::parse(spec).unwrap())
            .policy(Policy { coalesce, ..Policy::default() });
        self.reconciler().handle().declare(declaration).unwrap();
    }

    fn built(&self) -> usize {
        self.desk.built.lock().unwrap().len()
    }

    fn may_build(&self, most: usize) {
        self.desk.most.store(most, Ordering::Release);
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < LONG, "{what} did not happen: {:#?}", self.status());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn status(&self) -> CollectionStatus {
        self.reconciler().handle().status(Office::name()).unwrap().unwrap()
    }

    fn notes(&self) -> PathBuf {
        self.dir.path().join("state/notes")
    }

    /// Everything is applied and tidied up, each segment was built from exactly its key, and nothing else is there.
    #[track_caller]
    fn settle(&self, spec: &str) -> Manifest {
        self.until("a commit with nothing left to do", || {
            let view = self.status().view;
            view.condition.name() == "fresh" && view.outbox.is_some_and(|outbox| outbox.undiscarded == 0)
        });
        let objects = FileObjects::open_read_only(self.dir.path().join("state/objects")).unwrap();
        let root = self.status().view.applied.unwrap().result.manifest.unwrap();
        let manifest = Manifest::read(&objects, root).unwrap();
        let spec = ExternalSpec::parse(spec).unwrap();
        for segment in &manifest.segments {
            let text = recipe(&spec, SegmentKey::of(&spec, &segment.fragments));
            let found = fs::read_to_string(self.desk.out.join(segment.id.to_string())).unwrap();
            assert_eq!(found, text, "segment {} was built from something else", segment.id);
        }
        let live: BTreeSet<String> = manifest.segments.iter().map(|segment| segment.id.to_string()).collect();
        assert_eq!(names(&self.desk.out), live, "what is there is what is live");
        assert_eq!(names(&self.notes()), BTreeSet::new(), "what is committed needs no notes");
        manifest
    }
}

const SPEC: &str = r#"{"format":"parquet","target_rows":10}"#;

/// The same fragments under four specs; each attempt builds a part of them and is superseded.
#[test]
fn defect_49_recipe_params_and_columns_that_change_under_attempts_take_nothing_over() {
    let specs = [
        SPEC,
        r#"{"format":"parquet","target_rows":10,"recipe":"2"}"#,
        r#"{"format":"parquet","target_rows":10,"recipe":"2","params":{"lists":100}}"#,
        r#"{"format":"parquet","target_rows":10,"recipe":"2","params":{"lists":200}}"#,
        r#"{"format":"parquet","target_rows":10,"recipe":"2","params":{"lists":200},"columns":["id"]}"#,
        r#"{"format":"parquet","target_rows":10,"recipe":"2","params":{"lists":200},"columns":["comment","id"]}"#,
    ];
    let mut office = Office::new(4, 0);
    for (n, spec) in specs.into_iter().enumerate() {
        office.declare(spec);
        office.may_build(2 * (n + 1));
        office.until("two segments of a spec", || office.built() == 2 * (n + 1));
        if n == 2 {
            office.close();
            office.open();
        }
    }
    office.may_build(usize::MAX);
    office.settle(specs[5]);
    assert_eq!(office.built(), 2 * specs.len() + 2, "of its own spec both segments were taken over, and no other");
    office.close();
}

/// What was begun first is wanted again in the end.
#[test]
fn defect_49_what_is_taken_over_after_there_and_back_is_of_the_first_spec() {
    let mut office = Office::new(4, 3);
    office.declare(SPEC);
    office.until("three segments", || office.built() == 3);
    let other = r#"{"format":"parquet","target_rows":10,"columns":["id"]}"#;
    office.declare(other);
    office.may_build(5);
    office.until("two segments of the other spec", || office.built() == 5);
    office.declare(SPEC);
    office.may_build(usize::MAX);
    office.settle(SPEC);
    assert_eq!(office.built(), 3 + 2 + 1);
    office.close();
}

#[test]
fn defect_33_what_was_built_is_found_again_after_a_close_in_order() {
    let mut office = Office::new(8, 3);
    office.declare(SPEC);
    for most in [3, 5, 6] {
        office.may_build(most);
        office.until("a part of the segments", || office.built() == most);
        office.close();
        office.open();
    }
    office.may_build(usize::MAX);
    assert_eq!(office.settle(SPEC).segments.len(), 8);
    assert_eq!(office.built(), 8, "no segment was built twice");
    office.close();
}

#[test]
fn defect_33_notes_are_private_and_go_with_the_commit_or_the_collection() {
    let mut office = Office::new(3, 2);
    office.declare(SPEC);
    office.until("two segments", || office.built() == 2);
    office.until("a notebook", || names(&office.notes()).len() == 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let notebook = office.notes().join(names(&office.notes()).pop_first().unwrap());
    assert_eq!((mode(&office.notes()), mode(&notebook)), (0o700, 0o600));
    office.may_build(usize::MAX);
    office.settle(SPEC);
    // Another one, of an attempt that never commits: its collection is dropped.
    office.may_build(4);
    office.declare(r#"{"format":"parquet","target_rows":10,"recipe":"2"}"#);
    office.until("a notebook", || names(&office.notes()).len() == 1);
    office.reconciler().handle().drop_collection(Office::name()).unwrap();
    office.until_gone("notes of a dropped collection", &office.notes());
    office.until_gone("outputs of a dropped collection", &office.desk.out);
    office.close();
}

impl Office {
    #[track_caller]
    fn until_gone(&self, what: &str, directory: &Path) {
        let begun = Instant::now();
        while !names(directory).is_empty() {
            assert!(begun.elapsed() < LONG, "{what} stay: {:?}", names(directory));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Whatever is done to notes and outputs while nobody runs: what is not whole is built again, and nothing else comes of it.
#[test]
fn defect_33_damaged_and_strange_notes_and_outputs_that_are_gone_are_built_again() {
    type Harm = fn(&Office);
    fn notebook(office: &Office) -> PathBuf {
        let own = |name: &String| name.matches('.').count() == 2;
        office.notes().join(names(&office.notes()).into_iter().find(own).unwrap())
    }
    // What is done, and how many of the four segments that were built are built again.
    let harms: [(&str, Harm, usize); 8] = [
        ("nothing", |_| (), 0),
        ("the first note is damaged", |office| damage(&notebook(office), 20), 4),
        (
            "the end is cut off",
            |office| {
                let file = fs::OpenOptions::new().write(true).open(notebook(office)).unwrap();
                file.set_len(file.metadata().unwrap().len() - 1).unwrap();
            },
            1,
        ),
        ("the notebook is gone", |office| fs::remove_file(notebook(office)).unwrap(), 4),
        (
            "the notebook has the name of another attempt",
            |office| {
                let path = notebook(office);
                fs::rename(&path, path.with_extension("99999")).unwrap();
            },
            4,
        ),
        ("the directory is gone", |office| fs::remove_dir_all(office.notes()).unwrap(), 4),
        ("a stranger's file lies beside it", |office| fs::write(office.notes().join("README"), "hello").unwrap(), 0),
        (
            "an output is gone",
            |office| {
                fs::remove_file(office.desk.out.join(names(&office.desk.out).pop_first().unwrap())).unwrap();
            },
            1,
        ),
    ];
    for (what, harm, again) in harms {
        let mut office = Office::new(6, 4);
        office.declare(SPEC);
        office.until("four segments", || office.built() == 4);
        office.close();
        harm(&office);
        office.open();
        office.may_build(usize::MAX);
        office.until("a commit", || office.status().view.condition.name() == "fresh");
        let _ = fs::remove_file(office.notes().join("README"));
        office.settle(SPEC);
        assert_eq!(office.built(), 6 + again, "{what}");
        office.close();
    }
}

fn damage(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}
