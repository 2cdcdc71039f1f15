//! A disk that fails below the storage engine: what a run says of it, and how it ends.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Place, lastword, program, text};

/// Whether calls can be made to fail here.
fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        assert!(std::env::var_os("LASTWORD_REQUIRE_STRACE").is_none(), "strace is not installed");
        println!("SKIPPED: strace is not installed");
    }
    there
}

/// A run in which the `when`th `call` of each thread on the file `on` fails: its code, what it said, and whether one did.
fn failing(place: &Place, call: &str, when: usize, on: &Path) -> (Option<i32>, String, bool) {
    let trace = place.dir.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", text(&trace), "-P", text(on)]).arg(format!("-etrace={call}"));
    command.arg(format!("-einject={call}:error=EIO:when={when}"));
    command.arg(program().get_program()).args(["run", text(&place.config()), "--once", "-q"]);
    let ended = command.output().unwrap();
    let is_hit = fs::read_to_string(&trace).unwrap().contains("(INJECTED)");
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap(), is_hit)
}

/// Of the storage engine's file, at any moment from the making of a log to its end. What is made durable by a call of ours later
/// may fail before: such a run ends with 0, and says in words of its own that the disk fails.
#[test]
fn defect_41_a_sync_of_the_storage_engine_that_fails_is_said_in_our_words_and_loses_nothing() {
    if !has_strace() {
        return;
    }
    let (mut wrong, mut hits) = (Vec::new(), 0);
    for (call, is_new) in [("fsync", true), ("fsync", false), ("fdatasync", false), ("pwrite64", false)] {
        for when in 1..=20 {
            let place = Place::new("");
            place.write("a.parquet", 2, 0);
            if !is_new {
                place.once().expect_code(0);
                place.write("b.parquet", 2, 1);
            }
            // What a log is made in is renamed, and the path to it is gone by then.
            let on = if is_new { place.state().join("new/made/db") } else { place.state().join("sled/db") };
            let (code, said, is_hit) = failing(&place, call, when, &on);
            let what = format!("{call} {when} (new: {is_new}): {code:?}: {said}");
            let in_our_words = !said.contains("panicked") && !said.contains(".rs:") && !said.contains("unwrap");
            let is_told = said.contains("Input/output error") && matches!(code, Some(0 | 3));
            if is_hit && !(in_our_words && is_told) {
                wrong.push(what);
            }
            // What was acknowledged is there.
            lastword(&["run", text(&place.config()), "--once", "-q"]).expect_code(0);
            if !is_hit {
                break;
            }
            hits += 1;
        }
    }
    assert!(wrong.is_empty() && hits >= 5, "{hits} failed: {wrong:#?}");
}
