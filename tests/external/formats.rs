//! Formats of one's own, and what a builder is told of its fragments.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lastword::core::Condition;
use lastword::core::vocabulary::{Coalesce, Policy};
use lastword::external::{
    BuildError, External, FileReader, Format, FormatError, Parquet, RowRange, SegmentBuilder, SegmentJob, StoreError,
    WholeFiles,
};
use lastword::{Declaration, ErrorKind, Generation, Kind, Name, Reconciler, Source, Spec, WaitOutcome};
use test_support::parquet_files;

const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What was built of each fragment.
type Pieces = Arc<Mutex<BTreeMap<String, String>>>;

/// Notes which part of its file each fragment is, and reads the file on another thread.
#[derive(Clone, Default)]
struct Noting(Pieces);

impl SegmentBuilder for Noting {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        for fragment in job.fragments {
            let file: Arc<dyn FileReader> = Arc::from(job.open(fragment)?);
            let other = Arc::clone(&file);
            let length = usize::try_from(file.len()).unwrap();
            let read = thread::spawn(move || other.read(0, length)).join().unwrap()?;
            assert_eq!(read, file.read(0, length)?);
            let text = format!("part {}, rows {} to {}", job.part(fragment)?, fragment.start, fragment.end);
            let text = if length < 20 { format!("{text}: {}", String::from_utf8_lossy(&read)) } else { text };
            self.0.lock().unwrap().insert(format!("{}@{}", fragment.path, fragment.start), text);
        }
        Ok(None)
    }
}

/// Builds a directory of files with `spec`, and gives what was noted.
fn built(external: impl FnOnce(Noting) -> External, spec: &str, files: &[(&str, Vec<u8>)]) -> (Pieces, u64, u64) {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    fs::create_dir(&lake).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(lake.join(name), bytes).unwrap());
    let (noting, kind, name) = (Noting::default(), Kind::new("external").unwrap(), Name::new("lake").unwrap());
    let pieces = Arc::clone(&noting.0);
    let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external(noting)).start().unwrap();
    let handle = reconciler.handle();
    let source = Source::new(lake.to_str().unwrap()).unwrap();
    let declaration = Declaration::new(name.clone()).kind(kind).source(source).spec(Spec::parse(spec).unwrap());
    handle.declare(declaration).unwrap();
    let waited = handle.wait_applied(name.clone(), Generation(1), LONG).unwrap();
    let view = handle.status(name).unwrap().unwrap().view;
    assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}: {view:?}");
    let result = view.applied.unwrap().result;
    reconciler.shutdown(LONG).unwrap();
    (pieces, result.rows.unwrap(), result.segments.unwrap().new)
}

#[test]
fn defect_34_documents_of_any_kind_are_built_in_segments() {
    let files: Vec<(String, Vec<u8>)> =
        (0..5).map(|n| (format!("{n}.txt"), format!("text {n}").into_bytes())).collect();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let external = |builder| External::with_builder(builder).format("documents", WholeFiles);
    let (pieces, rows, segments) = built(external, r#"{"format":"documents","target_rows":2}"#, &files);
    assert_eq!((rows, segments), (5, 3));
    let pieces = pieces.lock().unwrap();
    assert_eq!(pieces.len(), 5);
    assert_eq!(pieces["3.txt@0"], "part 0, rows 0 to 1: text 3");
}

/// Lines: as many rows as a file has, two to a fragment.
struct Lines;

impl Format for Lines {
    fn fragments(&self, file: &dyn FileReader, _: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        let text = file.read(0, usize::try_from(file.len()).unwrap())?;
        let rows = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok((0..rows).step_by(2).map(|start| RowRange { start, end: rows.min(start + 2) }).collect())
    }
}

#[test]
fn defect_34_a_format_of_ones_own_is_named_by_the_spec() {
    let external = |builder| External::with_builder(builder).format("lines", Lines);
    let files = [("a", b"1\n2\n3\n".to_vec()), ("b", b"".to_vec())];
    let (pieces, rows, _) = built(external, r#"{"format":"lines"}"#, &files);
    let expected = [("a@0", "part 0, rows 0 to 2: 1\n2\n3\n"), ("a@2", "part 1, rows 2 to 3: 1\n2\n3\n")];
    let expected = expected.map(|(at, text)| (at.to_owned(), text.to_owned()));
    assert_eq!((&*pieces.lock().unwrap(), rows), (&BTreeMap::from(expected), 3));

    // One that nobody brings is refused where it is declared, with those that there are.
    let dir = tempfile::tempdir().unwrap();
    let kind = Kind::new("external").unwrap();
    let external = External::local().format("lines", Lines);
    let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external).start().unwrap();
    let declaration = Declaration::new(Name::new("a").unwrap()).kind(kind).source(Source::new("/lake").unwrap());
    let declaration = declaration.spec(Spec::parse(r#"{"format":"csv"}"#).unwrap());
    let error = reconciler.handle().declare(declaration).unwrap_err().to_string();
    assert!(error.contains(r#"spec.format: must be "files" or "lines" or "parquet", found csv"#), "{error}");
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_34_a_fragment_says_its_row_group() {
    // Row groups without rows are counted as the file counts them.
    let files = [("a.parquet", parquet_files::bytes_of(&[10, 0, 20, 0, 5], 0))];
    let (pieces, rows, _) = built(External::with_builder, r#"{"format":"parquet"}"#, &files);
    let expected = [
        ("a.parquet@0", "part 0, rows 0 to 10"),
        ("a.parquet@10", "part 2, rows 10 to 30"),
        ("a.parquet@30", "part 4, rows 30 to 35"),
    ];
    let expected = expected.map(|(at, text)| (at.to_owned(), text.to_owned()));
    assert_eq!((&*pieces.lock().unwrap(), rows), (&BTreeMap::from(expected), 35));
}

#[test]
fn defect_34_a_reader_may_go_to_other_threads() {
    fn shared<T: Send + Sync + ?Sized>() {}
    shared::<dyn FileReader>();
    // And formats answer for their parts by themselves, as far as no part is empty.
    struct Bytes(Vec<u8>);
    impl FileReader for Bytes {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
            Ok(self.0[usize::try_from(start).unwrap()..][..length].to_vec())
        }
    }
    assert_eq!(Lines.parts(&Bytes(b"1\n2\n3\n".to_vec())).unwrap(), [0, 2]);
    assert_eq!(Parquet.parts(&Bytes(parquet_files::bytes_of(&[0, 3, 0], 0))).unwrap(), [0, 0, 3]);
    assert!(matches!(
        WholeFiles.fragments(&Bytes(Vec::new()), Some(&["id".to_owned()])),
        Err(FormatError::NoColumn(column)) if column == "id"
    ));
}

/// What a careless author's format does beside cutting lines: says other parts than those that it has cut, or panics.
#[derive(Clone, Default)]
struct Careless {
    parts: Vec<u64>,
    panics_in: &'static str,
}

impl Careless {
    fn may_panic(&self, called: &str) {
        assert_ne!(self.panics_in, called, "index out of bounds");
    }
}

impl Format for Careless {
    fn fragments(&self, file: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        self.may_panic("fragments");
        Lines.fragments(file, columns)
    }

    fn parts(&self, _: &dyn FileReader) -> Result<Vec<u64>, FormatError> {
        self.may_panic("parts");
        Ok(self.parts.clone())
    }
}

/// Does not know whether a file is finished: panics, or says that it is corrupt.
struct Undecided {
    panics: bool,
}

impl Format for Undecided {
    fn fragments(&self, file: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        Lines.fragments(file, columns)
    }

    fn is_finished(&self, _: &dyn FileReader) -> Result<bool, FormatError> {
        assert!(!self.panics, "index out of bounds");
        Err(FormatError::Corrupt("no trailer".to_owned()))
    }
}

fn set_modified(path: &Path, when: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(when).unwrap();
}

/// Builds a directory with the file `a` of three lines, which was written long ago, and says how that ended.
fn built_by(careless: &Careless) -> Result<BTreeMap<String, String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    fs::create_dir(&lake).unwrap();
    fs::write(lake.join("a"), "1\n2\n3\n").unwrap();
    set_modified(&lake.join("a"), SystemTime::now() - HOUR);
    let (noting, kind, name) = (Noting::default(), Kind::new("external").unwrap(), Name::new("lake").unwrap());
    let external = External::with_builder(noting.clone()).format("careless", careless.clone());
    let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external).start().unwrap();
    let handle = reconciler.handle();
    let declaration = Declaration::new(name.clone()).kind(kind).source(Source::new(lake.to_str().unwrap()).unwrap());
    handle.declare(declaration.spec(Spec::parse(r#"{"format":"careless"}"#).unwrap())).unwrap();
    let waited = handle.wait_applied(name.clone(), Generation(1), LONG).unwrap();
    let view = handle.status(name).unwrap().unwrap().view;
    reconciler.shutdown(LONG).unwrap();
    match waited {
        WaitOutcome::Applied { .. } => Ok(noting.0.lock().unwrap().clone()),
        WaitOutcome::Parked { cause } => Err(format!("{}: {}", cause.as_str(), view.last_failure.unwrap().message)),
        other => panic!("{other:?}: {view:?}"),
    }
}

#[test]
fn parts_that_are_not_those_that_a_format_has_cut_are_refused_by_its_name_and_the_files() {
    let built = |parts: &[u64]| built_by(&Careless { parts: parts.to_vec(), panics_in: "" });
    // Rows 0 to 2 and 2 to 3; empty parts may be anywhere.
    for (parts, first, second) in [(&[0, 2][..], 0, 1), (&[0, 0, 2], 1, 2), (&[0, 2, 3, 3], 0, 1), (&[0, 2, 2], 0, 2)] {
        let pieces = built(parts).unwrap();
        let expected =
            [format!("part {first}, rows 0 to 2: 1\n2\n3\n"), format!("part {second}, rows 2 to 3: 1\n2\n3\n")];
        assert!(pieces.values().eq(&expected), "{parts:?}: {pieces:?}");
    }
    // Not in order, more or fewer than were cut, none at all, and some that hold other rows than their fragment.
    for parts in [&[2, 0][..], &[0, 2, 1], &[0], &[2], &[], &[0, 1, 2], &[0, 3], &[0, 2, 3, 2], &[1, 2]] {
        let refused = built(parts).unwrap_err();
        assert!(refused.starts_with("permanent: format \"careless\": a was cut wrongly"), "{parts:?}: {refused}");
    }
}

#[test]
fn a_format_that_panics_is_named_with_its_file_and_parks_at_once() {
    for panics_in in ["fragments", "parts"] {
        let refused = built_by(&Careless { parts: vec![0, 2], panics_in }).unwrap_err();
        let begins = "permanent: format \"careless\": a was not cut, by a bug in its format, which panicked: ";
        assert!(refused.starts_with(begins) && refused.contains("index out of bounds"), "{panics_in}: {refused}");
    }
}

#[test]
fn a_file_of_which_nobody_can_tell_whether_it_is_finished_is_not_taken_for_finished() {
    for (panics, expected) in [
        (true, "format \"undecided\" panicked when it was asked whether a is finished: index out of bounds"),
        (false, "format \"undecided\" does not tell whether a file is finished: a is corrupt: no trailer"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let lake = dir.path().join("lake");
        fs::create_dir(&lake).unwrap();
        fs::write(lake.join("a"), "1\n2\n3\n").unwrap();
        // Young for fifteen seconds: a clock that is a little ahead is believed.
        set_modified(&lake.join("a"), SystemTime::now() + Duration::from_secs(7));
        let (kind, name) = (Kind::new("external").unwrap(), Name::new("lake").unwrap());
        let external = External::local().format("undecided", Undecided { panics });
        let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external);
        let reconciler = reconciler.observe_interval(Duration::from_millis(20)).start().unwrap();
        let handle = reconciler.handle();
        let declaration =
            Declaration::new(name.clone()).kind(kind).source(Source::new(lake.to_str().unwrap()).unwrap());
        handle.declare(declaration.spec(Spec::parse(r#"{"format":"undecided"}"#).unwrap())).unwrap();
        let begun = Instant::now();
        let said = loop {
            match handle.status(name.clone()).unwrap().unwrap().view.condition {
                Condition::Unobservable { cause, .. } => break cause.to_string(),
                Condition::Fresh => panic!("it was built"),
                other => assert!(begun.elapsed() < LONG, "{other:?}"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(said.starts_with(expected), "{said}");
        // Whoever writes has stopped: there is nothing to ask.
        set_modified(&lake.join("a"), SystemTime::now() - HOUR);
        let waited = handle.wait_applied(name, Generation(1), LONG).unwrap();
        assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
        reconciler.shutdown(LONG).unwrap();
    }
}

/// Lines in files whose names end in anything. Which endings they have panics when that is asked for the n-th time.
struct Endings {
    asked: std::sync::atomic::AtomicUsize,
    panics_from: usize,
}

impl Format for Endings {
    fn fragments(&self, file: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        Lines.fragments(file, columns)
    }

    fn endings(&self) -> &[&'static str] {
        let asked = 1 + self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert!(asked < self.panics_from, "no such table");
        &[]
    }
}

#[test]
fn a_format_that_panics_when_it_is_asked_for_its_endings_is_named() {
    let begins = "format \"careless\" panicked when it was asked which endings its files have: no such table";
    for panics_from in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let lake = dir.path().join("lake");
        fs::create_dir(&lake).unwrap();
        (0..3).for_each(|n| fs::write(lake.join(n.to_string()), "1\n2\n3\n").unwrap());
        let (kind, name) = (Kind::new("external").unwrap(), Name::new("lake").unwrap());
        let external = External::local().format("careless", Endings { asked: 0.into(), panics_from });
        let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external);
        let reconciler = reconciler.observe_interval(Duration::from_secs(3_600)).start().unwrap();
        let handle = reconciler.handle();
        let policy =
            Policy { coalesce: Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO }, ..Policy::default() };
        let declaration =
            Declaration::new(name.clone()).kind(kind).source(Source::new(lake.to_str().unwrap()).unwrap());
        handle.declare(declaration.spec(Spec::parse(r#"{"format":"careless"}"#).unwrap()).policy(policy)).unwrap();
        // First the observation asks, and then the attempt.
        let begun = Instant::now();
        let said = loop {
            let view = handle.status(name.clone()).unwrap().unwrap().view;
            match &view.condition {
                Condition::Unobservable { cause, .. } if panics_from == 1 => break cause.to_string(),
                Condition::Parked { failure: Some(failure), .. } if panics_from == 2 => {
                    break failure.message.to_string();
                }
                other => assert!(begun.elapsed() < LONG, "{panics_from}: {other:?}"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(said.starts_with(begins), "{panics_from}: {said}");
        reconciler.shutdown(LONG).unwrap();
    }
    let said = "panicked when it was asked which endings its files have: no such table".to_owned();
    let error = StoreError::Format { name: "careless".to_owned(), said };
    assert_eq!((error.to_string().as_str(), error.kind()), (begins, ErrorKind::Bug));
    assert!(!error.is_transient());
}
