//! Outputs that nobody reads, that nobody can read any more, or that lie on a full disk: the run goes on.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use lastword::log::PrivateCopy;
use support::{Ended, Place, lastword, program, rows, signal, text, until, wait};

/// A place whose log is written fast and forgets its past.
fn place() -> Place {
    let place = Place::new("quiet = \"50ms\"\n");
    place.set("durability = \"process\"\nsnapshot_every = 500\nretain = { events = 10 }\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    place
}

fn takes_commands(place: &Place) {
    until("the run takes commands", || UnixStream::connect(place.socket()).is_ok());
}

/// Far more events than a pipe holds.
fn flood(place: &Place) {
    let mut client = place.client();
    for turn in 0..2600 {
        let verb = if turn % 2 == 0 { "pause" } else { "resume" };
        let answered = client.post(&format!("/v1/collections/lineitem/{verb}"), "").unwrap();
        assert!(answered.body.contains("\"seq\":"), "{answered:?}");
    }
}

/// Commits, reads its file again and ends in order: what must not be kept from a run by who reads what it prints.
fn goes_on(place: &Place, run: Child) -> Ended {
    place.write("b.parquet", 1, 1);
    lastword(&["wait", text(&place.state()), "lineitem"]).expect_code(0);
    assert_eq!(rows(&place.manifest()), 1000);
    lastword(&["reload", text(&place.state())]).expect_code(0);
    signal(&run, "TERM");
    let ended = wait(run, Duration::from_secs(30)).expect_code(0);
    assert!(PrivateCopy::of(place.state()).unwrap().anchor().clean);
    ended
}

#[test]
fn defect_06_output_that_nobody_reads_keeps_nothing_from_being_heard() {
    let place = place();
    let mut run = program().args(["run", text(&place.config())]).spawn().unwrap();
    let unread = run.stdout.take();
    takes_commands(&place);
    flood(&place);
    until("the past is forgotten", || PrivateCopy::of(place.state()).unwrap().reader().start().seq.0 > 0);
    let ended = goes_on(&place, run);
    assert!(ended.stderr.contains("events were not printed"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("storage engine"), "{}", ended.stderr);
    drop(unread);
}

#[test]
fn defect_06_errors_that_nobody_reads_keep_nothing_from_being_heard() {
    let place = place();
    let mut run = program().args(["run", "-vv", text(&place.config())]).stdout(Stdio::null()).spawn().unwrap();
    let unread = run.stderr.take();
    takes_commands(&place);
    flood(&place);
    goes_on(&place, run);
    drop(unread);
}

#[test]
fn defect_06_a_reader_that_goes_away_does_not_take_the_run_with_it() {
    let place = place();
    let mut run = program().args(["run", text(&place.config())]).spawn().unwrap();
    drop(run.stdout.take());
    takes_commands(&place);
    let ended = goes_on(&place, run);
    assert!(ended.stderr.contains("standard output is not read any more"), "{}", ended.stderr);
}

#[test]
fn defect_06_a_full_disk_below_the_output_does_not_take_the_run_with_it() {
    let place = place();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = program().args(["run", text(&place.config())]).stdout(full()).spawn().unwrap();
    takes_commands(&place);
    let ended = goes_on(&place, run);
    assert!(ended.stderr.contains("standard output: No space left on device"), "{}", ended.stderr);

    // With --once it is built all the same, and who wanted the events is told that they are not there.
    place.write("c.parquet", 1, 2);
    let run = program().args(["run", "--once", text(&place.config())]).stdout(full()).spawn().unwrap();
    let ended = wait(run, Duration::from_secs(60)).expect_code(3);
    assert!(ended.stderr.contains("No space left on device"), "{}", ended.stderr);
    assert_eq!(rows(&place.manifest()), 1500);
}

#[test]
fn defect_06_a_slow_reader_gets_every_line_of_once() {
    let place = place();
    let mut run = program().args(["run", "--once", "--log", "json", text(&place.config())]).spawn().unwrap();
    let mut out = run.stdout.take().unwrap();
    until("the commit", || place.condition().as_deref() == Some("fresh"));
    let mut printed = String::new();
    out.read_to_string(&mut printed).unwrap();
    wait(run, Duration::from_secs(60)).expect_code(0);
    let lines = printed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert!(lines.filter(|line| line["type"] == "task_completed").count() == 1, "{printed}");
}
