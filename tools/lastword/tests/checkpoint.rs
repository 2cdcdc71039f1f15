//! `lastword run --checkpoint`: what is noted elsewhere, and that it never ends a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use support::{Place, lastword, program, text, until};

#[test]
fn a_run_notes_its_end_and_what_follows_extends_it() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let (note, copies) = (place.dir.path().join("note"), place.dir.path().join("copies"));
    let run = |more: &[&str]| lastword(&[&["run", text(&place.config()), "--once"], more].concat());
    run(&["--checkpoint", text(&note)]).expect_code(0);
    let first = fs::read_to_string(&note).unwrap();
    // Where the log ends: the closing of it is no event.
    let noted = |text: &str| text.lines().nth(1).unwrap().parse::<u64>().unwrap();
    assert_eq!(noted(&first), place.last_event());
    let shown = lastword(&["head", text(&place.config()), "--checkpoint"]).expect_code(0).stdout;
    assert_eq!(shown.lines().take(3).collect::<Vec<_>>(), first.lines().take(3).collect::<Vec<_>>());
    // Each with its own command, which is given the note.
    place.write("b.parquet", 1, 1);
    let command = format!("| cat >> {}", text(&copies));
    run(&["--checkpoint", &command, "--checkpoint-every", "1s"]).expect_code(0);
    let copies = fs::read_to_string(&copies).unwrap();
    let origins = copies.lines().filter(|line| Some(*line) == first.lines().next()).count();
    assert!(origins >= 2, "at its start and at its end: {copies}");
    assert!(place.last_event() > noted(&first));
    let last = copies.lines().rev().nth(2).unwrap();
    assert_eq!(last, place.last_event().to_string());
}

#[test]
fn a_checkpoint_that_cannot_be_noted_is_said_and_ends_no_run() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    for to in [text(&place.dir.path().join("absent/note")), "| exit 3", "| absent-command", "| true"] {
        let ended = lastword(&["run", text(&place.config()), "--once", "--checkpoint", to]).expect_code(0);
        assert_eq!(ended.stderr.contains("is not noted"), to != "| true", "{to}: {}", ended.stderr);
    }
    let bad = place.dir.path().join("key");
    fs::write(&bad, "no key").unwrap();
    let mut command = program();
    command.args(["run", text(&place.config()), "--once", "--checkpoint", "x", "--checkpoint-key", text(&bad)]);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
}

/// A command that never ends holds up neither the other notes for ever nor the end of the run, and does not outlive it.
#[test]
fn a_command_that_hangs_is_ended_with_the_run() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let pids = place.dir.path().join("pids");
    // A child of its own, as a script has.
    let command = format!("| echo $$ >> {pids}; sleep 1000 & echo $! >> {pids}; wait", pids = text(&pids));
    let ended = lastword(&["run", text(&place.config()), "--once", "--checkpoint", &command]).expect_code(0);
    assert!(ended.stderr.contains("was ended, because it had not come to its end for 10s"), "{}", ended.stderr);
    let pids = fs::read_to_string(&pids).unwrap();
    assert!(pids.lines().count() >= 2, "{pids}");
    // What was ended may not be reaped yet by whoever does so for orphans.
    let lives = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
    };
    until("all of them are gone", || !pids.lines().any(lives));
}
