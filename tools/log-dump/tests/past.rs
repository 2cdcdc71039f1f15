//! Logs whose past was let go, and the snapshots beside them, seen with `log-dump`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::{Event, Recorded, Seq};
use lastword::engine::{Reconciler, Retention};
use lastword::log::PrivateCopy;
use lastword::replay;
use lastword::snapshot::{Limit, Snapshots, fold_until, take};
use serde_json::Value;
use support::*;
use test_support::log_writer::copy_tree;

/// The log of the story, of which at most `keep` events are kept and what came with letting the rest go. Its first
/// event.
fn cut(path: &Path, keep: u64) -> Seq {
    let reconciler = Reconciler::open(path).start().unwrap();
    let begins = reconciler.handle().compact(Retention { events: Some(keep), age: None }).unwrap();
    reconciler.shutdown(std::time::Duration::from_secs(10)).unwrap();
    assert!(begins > Seq(1));
    begins
}

/// The same log, whole and cut at an event in the middle.
fn whole_and_cut() -> (tempfile::TempDir, PathBuf, PathBuf, Seq) {
    let (dir, path) = story_log();
    let whole = dir.path().join("whole");
    // What is written by opening it is in both.
    let reconciler = Reconciler::open(&path).start().unwrap();
    reconciler.shutdown(std::time::Duration::from_secs(10)).unwrap();
    copy_tree(&path, &whole);
    let begins = cut(&path, 25);
    (dir, whole, path, begins)
}

fn seq_of(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap_or(0)
}

#[test]
fn what_is_left_is_dumped_with_its_names() {
    let (_dir, whole, path, begins) = whole_and_cut();
    let before = ok(&whole, "dump", &["--json"]);
    let after = ok(&path, "dump", &["--json"]);
    let last = before.lines().filter(|line| !line.contains("summary")).map(seq_of).max().unwrap();
    let expected: Vec<&str> =
        before.lines().filter(|line| !line.contains("summary") && seq_of(line) >= begins.0).collect();
    let found: Vec<&str> = after.lines().filter(|line| !line.contains("summary") && seq_of(line) <= last).collect();
    assert!(expected.len() > 10);
    assert_eq!(found, expected, "names and tasks come from the base");
    let summary: Value = serde_json::from_str(after.lines().last().unwrap()).unwrap();
    let events = after.lines().count() as u64 - 1;
    assert_eq!((summary["from"].as_u64(), summary["events"].as_u64()), (Some(begins.0), Some(events)));
    assert_eq!(summary["to"].as_u64(), Some(begins.0 + events));
    assert_eq!(ok(&whole, "state", &["--at", &last.to_string()]), ok(&path, "state", &["--at", &last.to_string()]));
}

#[test]
fn the_time_before_is_an_error_that_says_where_it_begins() {
    let (_dir, _, path, begins) = whole_and_cut();
    let output = on(&path, "state", &["--at", "3"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains(&format!("begins with event {begins}")), "{}", err(&output));
}

#[test]
fn verify_reports_the_base_and_export_and_import_keep_it() {
    let (dir, _, path, begins) = whole_and_cut();
    let line: Value = serde_json::from_str(ok(&path, "verify", &["--json"]).lines().next().unwrap()).unwrap();
    assert_eq!(line["base"]["begins"].as_u64(), Some(begins.0));
    assert!(line["base"]["seq"].as_u64().unwrap() > begins.0);
    assert!(ok(&path, "verify", &[]).contains("the log begins with event"));
    let (stream, again) = (dir.path().join("log.evlog"), dir.path().join("again"));
    ok(&path, "export", &[stream.to_str().unwrap()]);
    let of_stream: Value = serde_json::from_str(ok(&stream, "verify", &["--json"]).lines().next().unwrap()).unwrap();
    assert_eq!((&of_stream["base"], &of_stream["digest"]), (&line["base"], &line["digest"]));
    ok(&again, "import", &[stream.to_str().unwrap()]);
    assert_eq!(ok(&again, "dump", &["--json"]), ok(&path, "dump", &["--json"]));
}

#[test]
fn a_damaged_snapshot_is_a_note_and_a_wrong_one_a_divergence() {
    let (_dir, path) = story_log();
    let (snapshots, copy) = (Snapshots::of_log(&path), PrivateCopy::of(&path).unwrap());
    let reader = copy.reader();
    let until = |seq: u64| Limit { seq: Seq(seq), time: None };
    let header = take(&*reader, &snapshots, until(u64::MAX), &|| false).unwrap().unwrap();
    let verify =
        || -> Value { serde_json::from_str(ok(&path, "verify", &["--json"]).lines().next().unwrap()).unwrap() };
    assert_eq!(verify()["snapshots"][0]["usable"], true);
    assert!(ok(&path, "verify", &[]).contains("is the state that the events lead to"));

    let file = path.join(format!("snapshots/{:020}.snap", header.position.seq.0));
    let mut bytes = fs::read(&file).unwrap();
    bytes[200] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let line = verify();
    assert_eq!((&line["ok"], &line["snapshots"][0]["usable"]), (&Value::Bool(true), &Value::Bool(false)));
    assert!(line["snapshots"][0]["note"].as_str().unwrap().contains("damaged"), "{line}");

    // The same event and frame, and another state.
    let position = header.position;
    let whole = fold_until(&*reader, None, until(u64::MAX), &|| false).unwrap().state;
    let mut other = fold_until(&*reader, None, until(position.seq.0 - 1), &|| false).unwrap().state;
    while other.last() < position.seq {
        let (at, epoch) = (whole.at(), whole.epoch());
        let event = Event::DataLossAccepted { last: Seq(1), found: "x".into() };
        other.fold(&Recorded { seq: other.last().next(), at, epoch, by: None, event }).unwrap();
    }
    assert_ne!(other.digest(), whole.digest());
    snapshots.store(&other, position, Seq(1)).unwrap();
    let output = on(&path, "verify", &[]);
    assert_eq!(code(&output), 6, "{}", err(&output));
    assert_eq!(replay::verify(&*reader, None).unwrap().last, position.seq, "the log itself is whole");
}

#[test]
fn why_and_diff_begin_where_the_log_does() {
    let (_dir, whole, path, begins) = whole_and_cut();
    let state = replay::begin(&*PrivateCopy::of(&path).unwrap().reader()).unwrap();
    let names: Vec<String> = state.by_name().map(|(_, collection)| collection.name.to_string()).collect();
    assert!(!names.is_empty());
    for name in names {
        let first = |path: &Path| ok(path, "why", &[&name]).lines().next().unwrap().to_owned();
        assert_eq!(first(&path), first(&whole), "{name}");
    }
    let (from, to) = (begins.to_string(), (begins.0 + 20).to_string());
    let points = ["--from", &from, "--to", &to];
    let counted = |path: &Path| ok(path, "diff", &points).lines().last().unwrap().to_owned();
    assert_eq!(counted(&path), counted(&whole));
}
