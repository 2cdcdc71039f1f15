//! Builders and formats of careless authors: a panic of theirs ends no process, and what they say wrongly is not committed.

use std::fs;
use std::panic::panic_any;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use lastword::external::{
    BuildError, External, FileReader, Format, FormatError, RowRange, SegmentBuilder, SegmentJob, WholeFiles,
};
use lastword::{Declaration, Kind, Name, Reconciler, Seq, Source, Spec};
use test_support::history::{LONG, until};

/// Set in the process that is to survive.
const IN_CHILD: &str = "LASTWORD_TEST_PANICS_WHILE_IT_HELPS";

const HELPERS: usize = 4;

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a payload that panics when it is dropped");
    }
}

/// Panics when it is asked whether it reads, on every thread that helps.
struct PanicsAfterwards {
    all_are_here: Barrier,
    with_payload: bool,
}

impl SegmentBuilder for PanicsAfterwards {
    fn build(&self, _: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        self.all_are_here.wait();
        Ok(None)
    }

    fn reads(&self) -> bool {
        let helps = std::thread::current().name().is_some_and(|name| name.starts_with("lastword-seg"));
        match (helps, self.with_payload) {
            (false, _) => false,
            (true, true) => panic_any(PanicsWhenDropped),
            (true, false) => panic!("whether it reads is not known"),
        }
    }
}

/// Builds a directory of so many files, and gives why the first attempt failed, or what was committed.
fn outcome_of(external: External, files: usize, target: u64) -> String {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    fs::create_dir(&lake).unwrap();
    (0..files).for_each(|n| fs::write(lake.join(format!("file{n}")), format!("text {n}")).unwrap());
    let (kind, name) = (Kind::new("external").unwrap(), Name::new("lake").unwrap());
    let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external).start().unwrap();
    let handle = reconciler.handle();
    let spec = Spec::parse(&format!(r#"{{"format":"odd","target_rows":{target}}}"#)).unwrap();
    let source = Source::new(lake.to_str().unwrap()).unwrap();
    handle.declare(Declaration::new(name.clone()).kind(kind).source(source).spec(spec)).unwrap();
    let mut outcome = String::new();
    until("the attempt having ended", || {
        let view = handle.status(name.clone()).unwrap().unwrap().view;
        outcome = match (view.applied, view.last_failure) {
            (Some(applied), _) => format!("committed: {:?}", applied.result.rows),
            (None, Some(failure)) => format!("{failure:?}"),
            (None, None) => return false,
        };
        true
    });
    reconciler.shutdown(LONG).unwrap();
    outcome
}

fn panics(with_payload: bool) -> String {
    let builder = PanicsAfterwards { all_are_here: Barrier::new(HELPERS), with_payload };
    outcome_of(External::with_builder(builder).format("odd", WholeFiles).parallel(HELPERS), HELPERS, 1)
}

#[test]
fn defect_05_a_panic_on_a_thread_that_helps_to_build_keeps_its_text() {
    let failure = panics(false);
    assert!(failure.contains("whether it reads is not known"), "{failure}");
}

#[test]
fn child_whose_helpers_panic() {
    if std::env::var_os(IN_CHILD).is_some() {
        println!("{}", panics(true));
    }
}

#[test]
fn defect_05_a_payload_that_panics_on_a_thread_that_helps_to_build_ends_no_process() {
    let arguments = ["--exact", "careless::child_whose_helpers_panic", "--nocapture"];
    let ended = Command::new(std::env::current_exe().unwrap()).args(arguments).env(IN_CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{:?}: {said}", ended.status);
    assert!(said.contains("a panic without a text"), "{said}");
}

/// Cuts every file in the same way, whatever it holds.
struct Cuts(&'static [(u64, u64)]);

impl Format for Cuts {
    fn fragments(&self, _: &dyn FileReader, _: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        Ok(self.0.iter().map(|(start, end)| RowRange { start: *start, end: *end }).collect())
    }
}

#[test]
fn defect_12_what_a_format_cuts_against_its_contract_is_not_committed_and_is_named() {
    let lies: [&[(u64, u64)]; 7] = [
        &[(5, 2)],
        &[(0, 0), (0, 3)],
        &[(0, 10), (5, 15)],
        &[(3, 10)],
        &[(0, 10), (50, 60)],
        &[(10, 20), (0, 10)],
        &[(0, 10), (0, 10)],
    ];
    for lie in lies {
        let failure = outcome_of(External::local().format("odd", Cuts(lie)), 1, 1000);
        assert!(failure.contains("file0") && failure.contains("odd"), "{lie:?}: {failure}");
    }
    let honest = outcome_of(External::local().format("odd", Cuts(&[(0, 10), (10, 15)])), 1, 1000);
    assert_eq!(honest, "committed: Some(15)");
}

#[test]
fn defect_12_rows_that_cannot_be_counted_are_not_committed_as_fewer() {
    const HALF: u64 = 1 << 63;
    let failure = outcome_of(External::local().format("odd", Cuts(&[(0, HALF)])), 2, 1000);
    let expected =
        format!("file1 is not supported: it has {HALF} rows, with which all files have more than {}", u64::MAX);
    assert!(failure.contains(&expected), "{failure}");
    let one = outcome_of(External::local().format("odd", Cuts(&[(0, HALF)])), 1, 1000);
    assert_eq!(one, format!("committed: Some({HALF})"));
}

/// Cuts every file into so many fragments of a row each.
struct Many(u64);

impl Format for Many {
    fn fragments(&self, _: &dyn FileReader, _: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        Ok((0..self.0).map(|start| RowRange { start, end: start + 1 }).collect())
    }
}

#[test]
fn defect_12_a_file_that_is_cut_into_too_many_pieces_is_named_with_the_limit() {
    let failure = outcome_of(External::local().format("odd", Many(1_000_001)), 1, 1000);
    let expected = "file0 is not supported: it has 1000001 fragments, and a file may have 1000000";
    assert!(failure.contains(expected), "{failure}");
}

/// Shuts the engine down that it serves, on a thread that helps, and then waits for what cannot come any more.
struct EndsItsEngine {
    all_are_here: Barrier,
    reconciler: Arc<Mutex<Option<Reconciler>>>,
    said: Mutex<Sender<String>>,
}

impl SegmentBuilder for EndsItsEngine {
    fn build(&self, _: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        self.all_are_here.wait();
        let helps = std::thread::current().name().is_some_and(|name| name.starts_with("lastword-seg"));
        let taken = helps.then(|| self.reconciler.lock().unwrap().take()).flatten();
        if let Some(reconciler) = taken {
            let mut watch = reconciler.handle().watch(Seq(1 << 40));
            let ended = reconciler.shutdown(Duration::MAX);
            let watched = watch.next_within(Duration::MAX).map(drop);
            self.said.lock().unwrap().send(format!("{ended:?} {watched:?}")).unwrap();
        }
        Ok(None)
    }
}

#[test]
fn a_thread_that_helps_to_build_does_not_wait_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    fs::create_dir(&lake).unwrap();
    (0..HELPERS).for_each(|n| fs::write(lake.join(format!("file{n}")), format!("text {n}")).unwrap());
    let (kind, name, (said, heard)) = (Kind::new("external").unwrap(), Name::new("lake").unwrap(), channel());
    let reconciler = Arc::new(Mutex::new(None));
    let all_are_here = Barrier::new(HELPERS);
    let builder = EndsItsEngine { all_are_here, reconciler: Arc::clone(&reconciler), said: Mutex::new(said) };
    let external = External::with_builder(builder).format("odd", WholeFiles).parallel(HELPERS);
    let started = Reconciler::open(dir.path().join("state")).kind(kind.clone(), external).start().unwrap();
    let handle = started.handle();
    *reconciler.lock().unwrap() = Some(started);
    let (spec, source) = (Spec::parse(r#"{"format":"odd","target_rows":1}"#), Source::new(lake.to_str().unwrap()));
    let declaration = Declaration::new(name).kind(kind).source(source.unwrap()).spec(spec.unwrap());
    handle.declare(declaration).unwrap();
    let said = heard.recv_timeout(LONG).expect("the answer to a shutdown on a thread that helps to build");
    assert_eq!(said, "Err(OwnCrew) Err(Closed)");
}
