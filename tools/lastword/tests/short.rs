//! What is short or gone: descriptors, room for copies, objects, a source that stops to answer. What is said of it, and
//! that it is not taken for damage.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lastword::core::vocabulary::Seq;
use lastword::describe::Describer;
use lastword::log::PrivateCopy;
use lastword::replay;
use rustix::process::{Pid, Signal, kill_process};
use support::{DeadMount, Ended, Place, Running, lastword, program, rows, text, until, wait};

/// How often events of this type are in the log.
fn events(place: &Place, event_type: &str) -> usize {
    let copy = PrivateCopy::of(place.state()).unwrap();
    let reader = copy.reader();
    let mut describer = Describer::behind(&replay::begin(&*reader).unwrap());
    let types = replay::events(&*reader, Seq::ZERO).map(|event| describer.describe(&event.unwrap()).json());
    types.filter(|line| line.contains(&format!("\"type\":\"{event_type}\""))).count()
}

/// The program under a limit, by `prlimit`, with a `TMPDIR` of its own.
fn limited(limit: &str, temporary: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new("prlimit");
    command.arg(limit).arg("--").arg(program().get_program()).args(arguments).env("TMPDIR", temporary);
    wait(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(), MOST)
}

const MOST: Duration = Duration::from_secs(120);

/// The files of a source whose set cannot be stored are new ones at every look, and what is said of it is not.
#[test]
fn defect_24_an_object_store_that_refuses_is_one_event() {
    let place = Place::new("");
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    // No object can be stored, whoever tries it.
    let temporary = place.state().join("objects/tmp");
    fs::remove_dir_all(&temporary).unwrap();
    fs::write(&temporary, "").unwrap();
    place.write("b.parquet", 1, 7);
    let looks = || place.status()["live"]["last_look"]["began"].as_str().map(str::to_owned);
    let mut since = Vec::new();
    for _ in 0..3 {
        let before = looks();
        until("another look has failed", || {
            let status = place.status();
            status["condition"] == "unobservable" && looks() != before
        });
        since.push(place.status()["unobservable"].clone());
    }
    run.stop();
    assert_eq!(events(&place, "observation_failed"), 1, "{since:?}");
    assert!(since.iter().all(|found| *found == since[0]), "{since:?}");
}

#[test]
fn defect_43_a_rebuild_mends_a_log_whose_objects_are_gone() {
    let place = Place::new("");
    // Younger than the clock can tell when they are looked at: their versions hold their content.
    place.write("a.parquet", 2, 0);
    place.write("b.parquet", 2, 7);
    place.once().expect_code(0);
    for entry in fs::read_dir(place.state().join("objects")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    }
    lastword(&["run", text(&place.config()), "--once", "--rebuild", "lineitem"]).expect_code(0);
    assert_eq!(rows(&place.manifest()), 2_000);
    place.once().expect_code(0);
}

/// With every limit there are few enough descriptors somewhere else.
#[test]
fn defect_41_a_log_that_lacks_descriptors_to_be_opened_is_not_damaged() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let temporary = place.dir.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let (state, config) = (place.state(), place.config());
    let mut short = 0;
    for limit in 4..18 {
        for arguments in [
            vec!["run", text(&config), "--once", "--quiet"],
            vec!["status", text(&state)],
            vec!["refresh", text(&state), "lineitem"],
        ] {
            let ended = limited(&format!("--nofile={limit}:{limit}"), &temporary, &arguments);
            let said = &ended.stderr;
            assert!(!said.contains("accept-loss"), "{limit} {arguments:?}: {said}");
            // Fewer than the program needs to be loaded.
            if said.contains("error while loading shared libraries") || ended.code == Some(127) {
                continue;
            }
            // A run that could open its log may still lack what it takes to read a source, or what it has committed.
            let lacks = said.contains("collections are not fresh") || said.contains("its manifest cannot be read");
            let is_stuck = ended.code == Some(1) && lacks;
            assert!(is_stuck || matches!(ended.code, Some(0 | 3)), "{limit} {arguments:?}: {:?}: {said}", ended.code);
            short += usize::from(said.contains("ulimit -n"));
            let left: Vec<_> = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{limit} {arguments:?}: {left:?}");
        }
    }
    assert!(short > 0, "no limit was low enough, or nothing said what to do");
    place.once().expect_code(0);
}

/// `timeout` signals its child, and then the group that the child is in.
#[test]
fn defect_06_two_signals_at_once_are_one_request_to_end() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    for signals in [[Signal::TERM, Signal::TERM], [Signal::INT, Signal::TERM], [Signal::TERM, Signal::INT]] {
        let run = Running::start(&place);
        let pid = Pid::from_raw(i32::try_from(run.pid()).unwrap()).unwrap();
        for signal in signals {
            kill_process(pid, signal).unwrap();
            // Until it was delivered: two that wait at the same time may be taken in any order.
            let status = || fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap_or_default();
            let waits =
                |line: &str| line.strip_prefix("ShdPnd:").is_some_and(|bits| bits.contains(|c| !"0\t".contains(c)));
            while status().lines().any(waits) {
                std::thread::yield_now();
            }
        }
        run.ended().expect_code(0);
    }
}

#[test]
fn defect_07_a_run_that_ends_well_needs_no_room_for_a_copy() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let mut command = program();
    command.args(["run", text(&place.config()), "--once"]).env("TMPDIR", place.dir.path().join("nowhere"));
    wait(command.spawn().unwrap(), MOST).expect_code(0);
}

#[test]
fn defect_02_a_wait_says_that_a_look_has_not_come_back() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let Some(mount) = DeadMount::at(&place.lake()) else { return };
    let ended = place.command(&["wait", "--timeout", "2s"]).expect_code(1);
    assert!(ended.stderr.contains("has not come back"), "{}", ended.stderr);
    drop(mount);
    run.stop();
}

#[test]
fn defect_06_a_limit_of_the_size_of_files_ends_a_run_with_what_is_short() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let ended = limited("--fsize=65536:65536", place.dir.path(), &["run", text(&place.config()), "--once"]);
    let ended = ended.expect_code(3);
    assert!(ended.stderr.contains("too large") && ended.stderr.contains("ulimit -f"), "{}", ended.stderr);
}

#[test]
fn defect_41_whichever_command_lacks_descriptors_says_which_limit_to_raise() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let temporary = place.dir.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let (state, config) = (place.state(), place.config());
    let (state, config) = (text(&state), text(&config));
    let commands: [&[&str]; 5] = [
        &["status", state],
        &["manifest", state, "lineitem"],
        &["plan", config],
        &["pause", state, "lineitem"],
        &["wait", state, "lineitem", "--timeout", "1s"],
    ];
    let (mut short, mut silent) = ([0; 5], Vec::new());
    for limit in 4..14 {
        for (arguments, short) in commands.iter().zip(&mut short) {
            let said = limited(&format!("--nofile={limit}:{limit}"), &temporary, arguments).stderr;
            let lacks = |line: &&str| line.starts_with("lastword: ") && line.contains("Too many open files");
            let (told, untold): (Vec<_>, Vec<_>) =
                said.lines().filter(lacks).partition(|line| line.contains("ulimit -n"));
            *short += told.len();
            silent.extend(untold.iter().map(|line| format!("{limit} {arguments:?}: {line}")));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
    assert!(short.iter().all(|short| *short > 0), "no limit was low enough: {short:?}");
}
