//! What people read: it names what it is about, and says what to do.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::time::Duration;

use support::{Place, Running, lastword, text, until};

#[test]
fn defect_47_a_command_that_is_refused_names_its_collection() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let resting = place.command(&["cancel"]).expect_code(2);
    let run = Running::start(&place);
    let running = place.command(&["cancel"]).expect_code(2);
    for refused in [resting, running] {
        assert!(refused.stderr.contains("lineitem: cannot cancel: there is no live task"), "{}", refused.stderr);
    }
    run.stop();
}

#[test]
fn defect_47_a_lock_names_who_holds_it_and_a_duplicate_key_its_name() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    let second = place.once().expect_code(3);
    let named = format!("another writer has the log open: process {}", run.pid());
    assert!(second.stderr.contains(&named), "{}", second.stderr);
    run.stop();
    place.configure("state = \"state\"\nworkers = 1\nworkers = 2\n");
    let twice = place.once().expect_code(2);
    assert!(twice.stderr.contains("lake.toml:3: duplicate key workers"), "{}", twice.stderr);
}

#[test]
fn defect_47_what_is_wrong_comes_first_and_the_words_of_the_log_are_explained() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.spoil("bad.parquet", Duration::from_secs(60));
    let ended = place.once().expect_code(1);
    let line = ended.stderr.lines().find(|line| line.starts_with("lineitem: parked: ")).unwrap();
    assert!(line.strip_prefix("lineitem: parked: ").unwrap().starts_with("bad.parquet"), "{line}");
    assert!(line.contains("; trying again would not help; a change or a refresh starts it again; "), "{line}");
    assert!(ended.stdout.contains("parked: permanent (trying again would not help)"), "{}", ended.stdout);
    assert!(ended.stdout.contains("ended: acknowledged (its worker has returned)"), "{}", ended.stdout);
    let shown = lastword(&["status", text(&place.config())]).expect_code(0).stdout;
    let again = format!("to try it again: lastword refresh {} lineitem", text(&place.config()));
    assert!(shown.contains(&again), "{shown}");

    // A file that was just written may change again without a trace; that is not called racy.
    std::fs::remove_file(place.lake().join("bad.parquet")).unwrap();
    place.look_often();
    let run = Running::start(&place);
    place.write("b.parquet", 1, 1);
    until("a young file is seen", || {
        let shown = lastword(&["status", text(&place.state())]).stdout;
        assert!(!shown.contains("racy"), "{shown}");
        shown.contains(" too young")
    });
    run.stop();
}

#[test]
fn defect_48_the_exit_codes_are_told() {
    let help = lastword(&["--help"]).expect_code(0).stdout;
    for told in ["Exit codes: 0 ok; 1 ", "; 2 ", "; 3 ", "; 4 ", "; 5 ", "; 6 ", "SIGTERM", "--once"] {
        assert!(help.contains(told), "{told} is missing: {help}");
    }
}
