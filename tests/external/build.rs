//! One attempt after the other over real directories of real Parquet files: what is built, what is kept, and how
//! an attempt fails when the source is in the way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{Epoch, Name, ObjectHash, Seq, Timestamp, Token};
use lastword::external::{
    Build, BuildError, BuildFailed, BuildOutcome, BuildProgress, ExternalSpec, FileReader, Format, FormatError,
    Interrupted, LocalStore, Manifest, NoBuilder, Parquet, PathSet, RowRange, ScanRequest, SegmentBuilder, SegmentId,
    SegmentJob, SourceLocation, SourceUri, StopCheck, Store, TrafficCounter, build, never_interrupted, scan,
};
use lastword::objects::{FileObjects, MemoryObjects, ObjectError, Objects};
use test_support::parquet_files::{rows_read, write};

/// A source in a directory, and the collection that is built from it.
pub(crate) struct Lake {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) source: SourceLocation,
    pub(crate) objects: Box<dyn Objects>,
    pub(crate) spec: ExternalSpec,
    pub(crate) format: &'static dyn Format,
    /// What was seen last.
    pub(crate) known: RefCell<Option<PathSet>>,
    applied: Option<PathSet>,
    pub(crate) previous: Option<ObjectHash>,
    pub(crate) attempts: u64,
    /// Wall time of the attempts, in seconds from now.
    pub(crate) later: i64,
}

impl Lake {
    pub(crate) fn new(spec: &str) -> Lake {
        let dir = tempfile::tempdir().unwrap();
        let source = SourceUri::parse(dir.path().to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
        let (objects, spec) = (Box::new(MemoryObjects::new()), ExternalSpec::parse(spec).unwrap());
        let known = RefCell::default();
        Lake {
            dir,
            source,
            objects,
            spec,
            format: &Parquet,
            known,
            applied: None,
            previous: None,
            attempts: 0,
            later: 0,
        }
    }

    pub(crate) fn write(&self, name: &str, row_groups: &[usize], salt: u8) {
        write(&self.dir.path().join(name), row_groups, salt);
    }

    /// What the source is now, as a look after the last one sees it.
    pub(crate) fn version(&self) -> [u8; 32] {
        let known = self.known.take();
        let looking = ScanRequest {
            known: known.as_ref(),
            applied: self.applied.as_ref(),
            format: Some(self.format),
            ..ScanRequest::new(&LocalStore, &self.source, self.now())
        };
        let seen = scan(&looking).unwrap();
        self.known.replace(Some(seen.set));
        seen.version
    }

    fn now(&self) -> Timestamp {
        Timestamp(SystemClock::new().wall().0.checked_add_signed(self.later * 1_000_000).unwrap())
    }

    pub(crate) fn attempt(
        &mut self,
        wanted: [u8; 32],
        builder: &dyn SegmentBuilder,
        stop_check: StopCheck<'_>,
    ) -> Result<BuildOutcome, BuildFailed> {
        self.attempts += 1;
        let now = self.now();
        let known = self.known.borrow();
        build(&Build {
            collection: &Name::new("lake").unwrap(),
            store: &LocalStore,
            format: self.format,
            objects: self.objects.as_ref(),
            source: &self.source,
            spec: &self.spec,
            wanted,
            known: known.as_ref(),
            applied: self.applied.as_ref(),
            previous: self.previous,
            token: Token { epoch: Epoch(1), seq: Seq(self.attempts) },
            builder,
            parallel: 1,
            leftovers: &[],
            stop_check,
            finished: &|_| (),
            progress: &|_| (),
            mounts: None,
            most_read: 1 << 29,
            learned: &|_, _, _| (),
            now: &|| now,
        })
    }

    /// An attempt for what the source is now, which has to commit.
    pub(crate) fn commit(&mut self) -> BuildOutcome {
        let outcome = self.attempt(self.version(), &NoBuilder, &never_interrupted).unwrap();
        self.previous = Some(outcome.manifest);
        self.check(&outcome);
        outcome
    }

    fn fail(&mut self) -> BuildError {
        self.attempt(self.version(), &NoBuilder, &never_interrupted).unwrap_err().error
    }

    pub(crate) fn manifest(&self) -> Manifest {
        Manifest::read(self.objects.as_ref(), self.previous.unwrap()).unwrap()
    }

    /// The manifest names exactly the rows that reading every file finds.
    fn check(&self, outcome: &BuildOutcome) {
        let mut read = BTreeMap::new();
        for (path, _) in &LocalStore.list(&self.source, &never_interrupted, &TrafficCounter::default()).unwrap().files {
            let rows = rows_read(&self.dir.path().join(String::from_utf8(path.0.clone()).unwrap()));
            if rows > 0 {
                read.insert(path.clone(), rows);
            }
        }
        let manifest = self.manifest();
        let mut held = BTreeMap::new();
        for fragment in manifest.segments.iter().flat_map(|segment| &segment.fragments) {
            *held.entry(fragment.path.clone()).or_insert(0) += fragment.rows();
        }
        assert_eq!(held, read);
        assert_eq!((outcome.rows, manifest.rows()), (read.values().sum(), read.values().sum()));
        assert_eq!(outcome.kept + outcome.new, manifest.segments.len() as u64);
    }
}

pub(crate) fn counts(outcome: &BuildOutcome) -> (u64, u64, u64, u64) {
    (outcome.kept, outcome.new, outcome.dropped, outcome.rows)
}

pub(crate) const SPEC: &str = r#"{"format":"parquet","target_rows":1000}"#;

#[test]
fn a_source_is_built_changed_added_to_and_emptied() {
    let mut lake = Lake::new(SPEC);
    assert_eq!(counts(&lake.commit()), (0, 0, 0, 0));
    for (name, rows) in [("a", 300), ("b", 400), ("c", 500), ("d", 600), ("e/e", 200)] {
        lake.write(&format!("{name}.parquet"), &[rows], 0);
    }
    lake.write("none.parquet", &[], 0);
    assert_eq!(counts(&lake.commit()), (0, 2, 0, 2_000));
    assert_eq!(counts(&lake.commit()), (2, 0, 0, 2_000));
    // case_17: the same path with as many rows and bytes, and other content.
    lake.write("a.parquet", &[300], 1);
    assert_eq!(counts(&lake.commit()), (1, 1, 1, 2_000));
    lake.write("f.parquet", &[700, 400], 0);
    assert_eq!(counts(&lake.commit()), (2, 1, 0, 3_100));
    // case_29: another layout is planned anew.
    lake.spec = ExternalSpec::parse(r#"{"format":"parquet","target_rows":2000}"#).unwrap();
    assert_eq!(counts(&lake.commit()), (0, 2, 3, 3_100));
    // case_22: emptied, it converges to no segments.
    for name in ["a", "b", "c", "d", "e/e", "f"] {
        fs::remove_file(lake.dir.path().join(name).with_extension("parquet")).unwrap();
    }
    assert_eq!(counts(&lake.commit()), (0, 0, 2, 0));
}

#[test]
fn without_a_readable_previous_manifest_everything_is_built_anew() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500, 1_500], 0);
    lake.commit();
    let segments = lake.manifest().segments;
    lake.objects.remove(lake.previous.unwrap()).unwrap();
    assert_eq!(counts(&lake.commit()), (0, 2, 0, 3_000));
    assert!(lake.manifest().segments.iter().all(|segment| segments.iter().all(|old| old.id != segment.id)));
    // An object that is there, and no manifest.
    lake.previous = Some(lake.objects.put(&[b"no manifest".to_vec()]).unwrap()[0]);
    assert_eq!(counts(&lake.commit()), (0, 2, 0, 3_000));
    // What the disk refuses may be readable at the next attempt.
    struct Refusing(MemoryObjects);
    impl Objects for Refusing {
        fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
            self.0.put(objects)
        }
        fn get(&self, _: ObjectHash) -> Result<Vec<u8>, ObjectError> {
            Err(ObjectError::Io("read".to_owned(), std::io::Error::other("refused")))
        }
        fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
            self.0.list()
        }
        fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
            self.0.remove(hash)
        }
    }
    lake.objects = Box::new(Refusing(MemoryObjects::new()));
    assert!(matches!(lake.fail(), BuildError::Transient(_)));
}

#[test]
fn case_27_the_footers_of_unchanged_files_are_not_read_again() {
    let mut lake = Lake::new(SPEC);
    for n in 0..1_000 {
        lake.write(&format!("part-{n:04}.parquet"), &[60, 50], 0);
    }
    let first = lake.commit();
    assert_eq!((first.new, first.rows), (110, 110_000));
    struct Counting;
    impl Format for Counting {
        fn fragments(&self, file: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
            READ.with(|read| read.set(read.get() + 1));
            Parquet.fragments(file, columns)
        }
    }
    thread_local!(static READ: Cell<usize> = const { Cell::new(0) });
    lake.write("part-0500.parquet", &[60, 50], 1);
    lake.format = &Counting;
    let outcome = lake.commit();
    assert_eq!(READ.with(Cell::get), 1);
    assert_eq!((outcome.kept, outcome.new, outcome.dropped, outcome.rows), (108, 2, 2, 110_000));
}

#[test]
fn case_16_ids_are_never_reused() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500, 1_500], 0);
    lake.commit();
    let first: Vec<_> = lake.manifest().segments.iter().map(|segment| segment.id.to_string()).collect();
    assert_eq!(first, ["1.1-0", "1.1-1"]);
    lake.write("a.parquet", &[1_500, 1_500], 1);
    lake.commit();
    let second: Vec<_> = lake.manifest().segments.iter().map(|segment| segment.id.to_string()).collect();
    assert_eq!(second, ["1.2-0", "1.2-1"]);
}

#[test]
fn a_source_that_is_not_what_is_wanted_is_moved() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[10], 0);
    let old = lake.version();
    lake.write("a.parquet", &[10], 1);
    match lake.attempt(old, &NoBuilder, &never_interrupted).unwrap_err().error {
        BuildError::Moved { what, scan } => {
            assert_eq!(scan.unwrap().version, lake.version());
            assert_eq!(what, "a.parquet has another content");
        }
        other => panic!("{other:?}"),
    }
    fs::write(lake.dir.path().join("a.parquet"), b"PAR1, and half a file").unwrap();
    match lake.attempt(old, &NoBuilder, &never_interrupted).unwrap_err().error {
        BuildError::Moved { what, .. } => assert_eq!(what, "it holds something else than was observed"),
        other => panic!("{other:?}"),
    }
    lake.write("a.parquet", &[10], 2);
    let new = lake.version();
    fs::write(lake.dir.path().join("a.parquet"), b"PAR1, and half a file").unwrap();
    match lake.attempt(new, &NoBuilder, &never_interrupted).unwrap_err().error {
        BuildError::Moved { what, .. } => assert_eq!(what, "a.parquet is gone or being written"),
        other => panic!("{other:?}"),
    }
}

/// A builder that does something at its first segment and writes down what it was given.
pub(crate) struct Meddler<'a> {
    meddle: &'a (dyn Fn() + Sync),
    given: Mutex<Vec<SegmentId>>,
    fail: Option<fn() -> BuildError>,
}

impl<'a> Meddler<'a> {
    pub(crate) fn new(meddle: &'a (dyn Fn() + Sync)) -> Meddler<'a> {
        Meddler { meddle, given: Mutex::default(), fail: None }
    }
}

impl SegmentBuilder for Meddler<'_> {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        let id = job.id;
        if self.given.lock().unwrap().is_empty() {
            (self.meddle)();
        }
        self.given.lock().unwrap().push(id);
        match self.fail {
            Some(fail) if id.n > 0 => Err(fail()),
            _ => Ok(Some(format!("out-{id}").into_bytes())),
        }
    }
}

#[test]
fn case_19_a_source_that_changes_during_the_work_is_moved_and_nothing_is_committed() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500, 1_500], 0);
    let (file, wanted) = (lake.dir.path().join("a.parquet"), lake.version());
    for change in [0, 1, 2] {
        let meddle = || match change {
            0 => write(&file, &[1_500, 1_500], 7),
            1 => fs::rename(&file, file.with_file_name("new.parquet")).unwrap(),
            _ => fs::remove_file(&file).unwrap(),
        };
        let wanted = if change == 0 { wanted } else { lake.version() };
        let builder = Meddler::new(&meddle);
        let failed = lake.attempt(wanted, &builder, &never_interrupted).unwrap_err();
        assert!(matches!(failed.error, BuildError::Moved { .. }), "{change}: {:?}", failed.error);
        // What was made meanwhile is handed back, to be discarded.
        let outputs: Vec<_> =
            failed.built.iter().map(|segment| (segment.id, segment.output.clone().unwrap())).collect();
        let given = builder.given.lock().unwrap().clone();
        assert_eq!(outputs, given.into_iter().map(|id| (id, format!("out-{id}").into_bytes())).collect::<Vec<_>>());
        if change == 1 {
            fs::rename(file.with_file_name("new.parquet"), &file).unwrap();
        }
    }
}

#[test]
fn outputs_stay_with_their_segments() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500, 1_500], 0);
    let outcome = lake.attempt(lake.version(), &Meddler::new(&|| ()), &never_interrupted).unwrap();
    lake.previous = Some(outcome.manifest);
    let outputs = |lake: &Lake| lake.manifest().segments.iter().map(|s| s.output.clone().unwrap()).collect::<Vec<_>>();
    assert_eq!(outputs(&lake), [b"out-1.1-0", b"out-1.1-1"]);
    lake.write("b.parquet", &[1_500], 0);
    let outcome = lake.attempt(lake.version(), &Meddler::new(&|| ()), &never_interrupted).unwrap();
    lake.previous = Some(outcome.manifest);
    assert_eq!(outputs(&lake), [b"out-1.1-0", b"out-1.1-1", b"out-1.2-0"]);
}

#[test]
fn a_builder_fails_its_attempt_with_its_own_class() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500, 1_500], 0);
    for (fail, expected) in [
        ((|| BuildError::Transient("busy".into())) as fn() -> BuildError, "busy"),
        (|| BuildError::Permanent("no".into()), "no"),
        (|| BuildError::Interrupted, "the work was told to stop"),
    ] {
        let builder = Meddler { fail: Some(fail), ..Meddler::new(&|| ()) };
        let failed = lake.attempt(lake.version(), &builder, &never_interrupted).unwrap_err();
        assert_eq!((failed.to_string().as_str(), failed.built.len()), (expected, 1));
    }
    // A failure while the source changes is the change's fault.
    let file = lake.dir.path().join("a.parquet");
    let meddle = || write(&file, &[10], 1);
    let builder = Meddler { fail: Some(|| BuildError::Permanent("no".into())), ..Meddler::new(&meddle) };
    assert!(matches!(
        lake.attempt(lake.version(), &builder, &never_interrupted).unwrap_err().error,
        BuildError::Moved { .. }
    ));
}

#[test]
fn work_stops_at_the_next_checkpoint() {
    let mut lake = Lake::new(SPEC);
    for n in 0..20 {
        lake.write(&format!("{n}.parquet"), &[10], 0);
    }
    // Files that age between two attempts are read in one and not in the other.
    lake.later = 9;
    let wanted = lake.version();
    let asked = AtomicUsize::new(0);
    let counting = || {
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    lake.attempt(wanted, &NoBuilder, &counting).unwrap();
    let all = asked.into_inner();
    assert!(all > 20);
    for stop in 0..all {
        let asked = AtomicUsize::new(0);
        let stop_check = || if asked.fetch_add(1, Ordering::Relaxed) >= stop { Err(Interrupted) } else { Ok(()) };
        let failed = lake.attempt(wanted, &NoBuilder, &stop_check).unwrap_err();
        assert!(matches!(failed.error, BuildError::Interrupted), "{:?}", failed.error);
    }
}

#[test]
fn case_25_a_corrupt_file_is_named_and_its_age_decides() {
    let mut lake = Lake::new(SPEC);
    lake.write("good.parquet", &[10], 0);
    fs::write(lake.dir.path().join("bad 50%.parquet"), b"id,comment\n1,hello\n").unwrap();
    let text = "bad 50%25.parquet is not Parquet (no PAR1 at its start). Move what is no data away, or exclude it";
    assert!(matches!(lake.fail(), BuildError::Transient(found) if found == text));
    lake.later = 9;
    assert!(matches!(lake.fail(), BuildError::Permanent(found) if found == text));
    // From the future: a little is a clock that is off, more says nothing about its age.
    lake.later = -4;
    assert!(matches!(lake.fail(), BuildError::Transient(_)));
    lake.later = -60;
    assert!(matches!(lake.fail(), BuildError::Permanent(_)));
    // Once it is mended or gone, all is well.
    fs::remove_file(lake.dir.path().join("bad 50%.parquet")).unwrap();
    lake.commit();
}

#[test]
fn case_29_read_keys_are_checked_in_files_that_did_not_change() {
    let mut lake = Lake::new(SPEC);
    lake.write("a.parquet", &[10], 0);
    lake.commit();
    lake.spec = ExternalSpec::parse(r#"{"format":"parquet","target_rows":1000,"columns":["price"]}"#).unwrap();
    assert!(matches!(lake.fail(), BuildError::Permanent(found) if found == "a.parquet has no column price"));
    lake.spec.columns = Some(vec!["id".to_owned()]);
    assert_eq!(counts(&lake.commit()), (0, 1, 1, 10));
}

#[test]
fn case_20_a_source_that_is_gone_is_a_failure_and_no_empty_source() {
    let mut lake = Lake::new(SPEC);
    lake.write("in/a.parquet", &[10], 0);
    lake.source = SourceUri::parse("in").unwrap().resolve(lake.dir.path()).unwrap();
    let wanted = lake.version();
    fs::remove_dir_all(lake.dir.path().join("in")).unwrap();
    let error = lake.attempt(wanted, &NoBuilder, &never_interrupted).unwrap_err().error;
    assert!(matches!(error, BuildError::Transient(text) if text.ends_with("/in does not exist")));
}

#[test]
fn case_23_odd_files_together() {
    let mut lake = Lake::new(SPEC);
    lake.write("none.parquet", &[], 0);
    lake.write("zero.parquet", &[0, 0], 0);
    lake.write("large.parquet", &[5_000], 0);
    lake.write("many.parquet", &[1; 2_000], 0);
    let outcome = lake.commit();
    assert_eq!((outcome.new, outcome.rows), (3, 7_000));
}

#[test]
fn progress_is_reported_for_files_and_segments() {
    let lake = Lake::new(SPEC);
    lake.write("a.parquet", &[1_500, 1_500], 0);
    let seen = Mutex::new(Vec::new());
    let dir = tempfile::tempdir().unwrap();
    let objects = FileObjects::open(dir.path().join("objects")).unwrap();
    let name = Name::new("lake").unwrap();
    let (wanted, known) = (lake.version(), lake.known.borrow());
    let attempt = Build {
        collection: &name,
        store: &LocalStore,
        format: &Parquet,
        objects: &objects,
        source: &lake.source,
        spec: &lake.spec,
        wanted,
        known: known.as_ref(),
        applied: None,
        previous: None,
        token: Token { epoch: Epoch(1), seq: Seq(1) },
        builder: &NoBuilder,
        parallel: 1,
        leftovers: &[],
        stop_check: &never_interrupted,
        finished: &|_| (),
        progress: &|step| seen.lock().unwrap().push(step),
        mounts: None,
        most_read: 1 << 29,
        learned: &|_, _, _| (),
        now: &|| SystemClock::new().wall(),
    };
    let outcome = build(&attempt).unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            BuildProgress::Files { done: 1, of: 1 },
            BuildProgress::Rows { done: 1_500, of: 3_000 },
            BuildProgress::Rows { done: 3_000, of: 3_000 }
        ]
    );
    // What was written is there for the next process, and the same attempt gives the same manifest.
    let again = FileObjects::open_read_only(dir.path().join("objects")).unwrap();
    assert_eq!(Manifest::read(&again, outcome.manifest).unwrap().rows(), 3_000);
    assert_eq!(build(&attempt).unwrap(), outcome);
}
