//! That a log extends what it was when somebody noted its head: `verify --expect-head`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use lastword::engine::{Reconciler, Retention};
use serde_json::Value;
use support::*;
use test_support::log_writer::copy_tree;

/// The head as an operator notes it.
fn note(path: &Path) -> (u64, String) {
    let head: Value = serde_json::from_str(ok(path, "head", &["--json"]).lines().next().unwrap()).unwrap();
    (head["seq"].as_u64().unwrap(), head["hash"].as_str().unwrap().to_owned())
}

/// Opens and closes it, which are events.
fn go_on(path: &Path) {
    Reconciler::open(path).start().unwrap().shutdown(std::time::Duration::from_secs(10)).unwrap();
}

fn refused(path: &Path, hash: &str) -> String {
    let output = on(path, "verify", &["--expect-head", hash]);
    assert_eq!((code(&output), out(&output).as_str()), (1, ""), "{}", err(&output));
    err(&output)
}

#[test]
fn a_log_extends_each_of_its_heads_and_no_other() {
    let (_dir, path) = story_log();
    let (seq, hash) = note(&path);
    go_on(&path);
    let (later, other) = note(&path);
    assert!(later > seq);
    for (seq, hash) in [(seq, &hash), (later, &other), (seq, &hash.to_uppercase())] {
        let said = ok(&path, "verify", &["--expect-head", hash]);
        assert!(said.contains(&format!("extends  the head that was expected, at event {seq}\n")), "{said}");
        let line: Value =
            serde_json::from_str(ok(&path, "verify", &["--json", "--expect-head", hash]).lines().next().unwrap())
                .unwrap();
        assert_eq!(line["extends"], seq);
    }
    let said = refused(&path, &"0b".repeat(32));
    assert!(said.contains(&format!("no frame up to event {later} has the hash 0b0b")), "{said}");
    for wrong in ["", "12", &"g".repeat(64)] {
        assert_eq!(code(&on(&path, "verify", &["--expect-head", wrong])), 2);
    }
}

#[test]
fn an_older_copy_and_a_log_that_was_written_again_do_not_extend_the_note() {
    let (dir, path) = story_log();
    let (older, branch) = (dir.path().join("older"), dir.path().join("branch"));
    copy_tree(&path, &older);
    copy_tree(&path, &branch);
    let (_, common) = note(&path);
    go_on(&path);
    let (_, noted) = note(&path);
    go_on(&branch);
    go_on(&branch);
    for of_another in [&older, &branch] {
        ok(of_another, "verify", &[]);
        ok(of_another, "verify", &["--expect-head", &common]);
        refused(of_another, &noted);
    }
}

#[test]
fn what_was_deleted_with_the_beginning_cannot_be_compared_and_that_is_said() {
    let (_dir, path) = story_log();
    let (_, early) = note(&path);
    let reconciler = Reconciler::open(&path).start().unwrap();
    let begins = reconciler.handle().compact(Retention { events: Some(0), age: None }).unwrap();
    reconciler.shutdown(std::time::Duration::from_secs(10)).unwrap();
    let (seq, late) = note(&path);
    assert!(seq >= begins.0);
    let said = ok(&path, "verify", &["--expect-head", &late]);
    assert!(said.contains(&format!("at event {seq}\n")), "{said}");
    let said = refused(&path, &early);
    assert!(said.contains(&format!("those before event {begins} were deleted")), "{said}");
    // A stream that was exported is checked in the same way.
    let stream = path.with_extension("evlog");
    ok(&path, "export", &[stream.to_str().unwrap()]);
    ok(&stream, "verify", &["--expect-head", &late]);
    refused(&stream, &early);
}
