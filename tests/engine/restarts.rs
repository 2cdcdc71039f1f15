//! The process ends, in order or not, and begins again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, WatchError, WatchItem};
use lastword::log::PrivateCopy;
use test_support::log_writer::copy_tree;

use crate::press::*;
use crate::support::*;

#[test]
fn case_30_whatever_a_collection_was_doing_is_found_again() {
    let lab = Lab::start();
    lab.declare("running", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.declare("retrying", r#"{"do":"fail"}"#);
    lab.declare("parked", r#"{"do":"permanent"}"#);
    lab.handle.declare(Declaration { kind: Some(kind("nobody")), ..declaration("pending", "{}") }).unwrap();
    lab.handle.declare(versioned("held", "puppet", "there")).unwrap();
    lab.handle.observe(name("held"), empty("0")).unwrap();
    lab.handle.declare(versioned("unseen", "puppet", "there")).unwrap();
    lab.handle
        .batch(vec![Command::Declare(Box::new(declaration("paused", "{}"))), Command::Pause { name: name("paused") }])
        .unwrap();
    lab.declare("fresh", "{}");
    lab.applied("fresh", 1);
    lab.until_condition("retrying", "backing_off");
    lab.until_condition("parked", "parked");

    let conditions = |lab: &Lab| -> Vec<(String, String)> {
        let list = lab.handle.list().unwrap();
        list.iter().map(|s| (s.view.name.to_string(), s.view.condition.name().to_owned())).collect()
    };
    let before = conditions(&lab);
    let expected = [
        ("fresh", "fresh"),
        ("held", "held"),
        ("parked", "parked"),
        ("paused", "paused"),
        ("pending", "no_worker"),
        ("retrying", "backing_off"),
        ("running", "running"),
        ("unseen", "awaiting_caller"),
    ];
    assert!(before.iter().map(|(n, c)| (n.as_str(), c.as_str())).eq(expected), "{before:?}");

    let lab = lab.crash();
    lab.until_condition("running", "running");
    assert_eq!(conditions(&lab), before);
    assert_eq!(lab.view("running").attempts, 2);
    assert_eq!(lab.view("running").failures, 0, "not charged");
    lab.puppet.open("g");
    lab.applied("running", 1);
    assert_eq!(lab.count("task_completed"), 2, "the zombie of the first process commits nothing");
    lab.verify();
}

#[test]
fn case_30_a_restart_at_any_moment_starts_nothing_twice() {
    let mut lab = Lab::start();
    for round in 0..25_u64 {
        for of in ["a", "b", "c"] {
            lab.declare(of, &format!(r#"{{"n":{round}}}"#));
        }
        // Sometimes before the attempts return, sometimes after.
        for _ in 0..round % 5 {
            std::thread::yield_now();
        }
        lab = lab.crash();
    }
    for of in ["a", "b", "c"] {
        lab.applied(of, lab.view(of).generation.0);
        let applied = lab.view(of).applied.unwrap();
        assert_eq!(Some(applied.fingerprint), lab.view(of).wanted);
    }
    let mut started = BTreeSet::new();
    for recorded in lab.events() {
        if let Event::TaskStarted { task, attempt, .. } = recorded.event {
            assert!(started.insert((task, attempt)), "attempt {attempt} of task {task} was started twice");
        }
    }
    let tokens: BTreeSet<Token> = lab.puppet.begun().iter().map(|begun| begun.attempt.token).collect();
    assert_eq!(tokens.len(), lab.puppet.begun().len(), "no token is given out twice");
    lab.verify();
}

#[test]
fn case_35_running_tasks_stop_at_shutdown_and_resume_uncharged() {
    let mut lab = Lab::start();
    lab.declare("listens", r#"{"do":"wait","gate":"g"}"#);
    lab.declare("deaf", r#"{"do":"deaf","gate":"h"}"#);
    lab.puppet.until_begun(2);
    let begun = std::time::Instant::now();
    lab.shutdown(Duration::from_millis(50)).unwrap();
    assert!(begun.elapsed() < LONG, "a deaf worker does not keep it");
    let last: Vec<_> = lab.types().split_off(lab.types().len() - 1);
    assert_eq!(last, ["attempt_ended"], "the one that listens has handed its attempt back");

    let lab = lab.restart();
    lab.puppet.until_begun(4);
    for of in ["listens", "deaf"] {
        let view = lab.view(of);
        assert_eq!((view.attempts, view.failures, view.condition.name()), (2, 0, "running"), "{of}");
    }
    lab.puppet.open("*");
    lab.applied("listens", 1);
    lab.applied("deaf", 1);
    assert_eq!(lab.count("task_created"), 2);
    lab.verify();
}

#[test]
fn case_35_shutdown_ends_as_soon_as_the_last_worker_has_returned() {
    let mut lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.shutdown(Duration::MAX).unwrap();
    lab.puppet.until_returned(1);
    assert_eq!(lab.count("attempt_ended"), 1);
}

#[test]
fn dropping_the_reconciler_ends_every_thread() {
    /// The lab itself, and its settings with both kinds.
    const LAB: usize = 3;
    let mut lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"never"}"#);
    lab.handle.declare(versioned("b", "seen", "there")).unwrap();
    lab.puppet.until_begun(1);
    assert!(lab.puppet.holders() > LAB);
    drop(lab.release());
    until("the end of all threads", || lab.puppet.holders() == LAB);
}

fn open(path: &Path, puppet: &Puppet) -> Reconciler {
    Reconciler::open(path).kind(kind("puppet"), puppet.clone()).start().unwrap()
}

#[test]
fn case_43_no_token_is_given_out_twice_not_even_after_a_restored_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (state, backup) = (dir.path().join("state"), dir.path().join("backup"));
    let puppet = Puppet::new();
    let mut number = 0;
    let mut work = || {
        let reconciler = open(&state, &puppet);
        let handle = reconciler.handle();
        for _ in 0..3 {
            number += 1;
            let receipt = handle.declare(declaration("a", &format!(r#"{{"n":{number}}}"#))).unwrap();
            handle.wait_applied(name("a"), receipt.generation, LONG).unwrap();
        }
        reconciler.shutdown(LONG).unwrap();
        // An epoch is at least the time in milliseconds.
        std::thread::sleep(Duration::from_millis(2));
    };
    work();
    copy_tree(&state, &backup);
    for _ in 0..3 {
        work();
        work();
        std::fs::remove_dir_all(&state).unwrap();
        copy_tree(&backup, &state);
    }
    work();
    let tokens: Vec<Token> = puppet.begun().iter().map(|begun| begun.attempt.token).collect();
    assert_eq!(tokens.len(), 24);
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

#[test]
fn case_43_a_restored_backup_is_behind_and_catches_up_with_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let (state, backup) = (dir.path().join("state"), dir.path().join("backup"));
    let puppet = Puppet::new();
    let start = || Reconciler::open(&state).kind(kind("seen"), puppet.with_eyes()).start().unwrap();
    let until_built = |reconciler: &Reconciler, version: &str| {
        let handle = reconciler.handle();
        let output = || handle.status(name("a")).unwrap()?.view.applied?.result.output.clone();
        until(version, || output().as_deref() == Some(version));
    };
    puppet.show("s3", Ok(observed("1")));
    let reconciler = start();
    reconciler.handle().declare(versioned("a", "seen", "s3")).unwrap();
    until_built(&reconciler, "1");
    reconciler.shutdown(LONG).unwrap();
    copy_tree(&state, &backup);

    puppet.show("s3", Ok(observed("2")));
    let reconciler = start();
    until_built(&reconciler, "2");
    reconciler.handle().declare(versioned("b", "seen", "s3")).unwrap();
    reconciler.shutdown(LONG).unwrap();

    std::fs::remove_dir_all(&state).unwrap();
    copy_tree(&backup, &state);
    let reconciler = start();
    until_built(&reconciler, "2");
    assert!(
        reconciler.handle().status(name("b")).unwrap().is_none(),
        "what was declared since has to be declared again"
    );
    let of_a = puppet.begun().into_iter().filter(|begun| begun.name == "a");
    let tokens: Vec<Token> = of_a.map(|begun| begun.attempt.token).collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens.is_sorted_by(|a, b| a < b), "what was built since the backup has a lower token: {tokens:?}");
}

#[test]
fn case_43_a_restored_backup_that_owes_a_publication_gets_past_it() {
    let dir = tempfile::tempdir().unwrap();
    let (state, backup) = (dir.path().join("state"), dir.path().join("backup"));
    let press = Press::new();
    let start = || Reconciler::open(&state).kind(kind("press"), press.reborn()).start().unwrap();
    let commit = |reconciler: &Reconciler, json: &str| {
        let receipt = reconciler.handle().declare(printed("a", json)).unwrap();
        reconciler.handle().wait_applied(name("a"), receipt.generation, LONG).unwrap();
    };
    let until_met = |reconciler: &Reconciler| {
        let owes = || reconciler.handle().status(name("a")).unwrap()?.view.outbox;
        until("a owing nothing", || owes().is_some_and(|owes| owes.unpublished + owes.undiscarded == 0));
    };
    let live = || press.destination.live("a").unwrap().token;

    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    let reconciler = start();
    commit(&reconciler, r#"{"n":1}"#);
    press.until_calls(Act::Publish, "a", 1);
    // It would wait for the courier.
    reconciler.shutdown(Duration::ZERO).unwrap();
    copy_tree(&state, &backup);
    gate.open();

    let reconciler = start();
    commit(&reconciler, r#"{"n":2}"#);
    until_met(&reconciler);
    reconciler.shutdown(LONG).unwrap();
    let newest = live();

    std::fs::remove_dir_all(&state).unwrap();
    copy_tree(&backup, &state);
    let reconciler = start();
    until_met(&reconciler);
    assert_eq!(live(), newest, "what is newer stays");
    commit(&reconciler, r#"{"n":3}"#);
    until_met(&reconciler);
    assert!(live() > newest);
    assert!(press.destination.live_outputs("a").is_subset(&press.destination.outputs()));
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn after_a_shutdown_the_log_can_be_opened_again_whoever_still_has_a_handle() {
    let dir = tempfile::tempdir().unwrap();
    let (path, puppet) = (dir.path().join("state"), Puppet::new());
    let reconciler = open(&path, &puppet);
    let handle = reconciler.handle();
    handle.declare(declaration("a", "{}")).unwrap();
    reconciler.shutdown(LONG).unwrap();

    let anchor = PrivateCopy::of(&path).unwrap().anchor();
    assert!(anchor.clean && anchor.db_length > 0, "nobody else had the log open when it was closed: {anchor:?}");
    let again = open(&path, &puppet);
    assert!(handle.declare(declaration("a", "{}")).is_err(), "the old handle stays what it was");
    assert_eq!(again.handle().list().unwrap().len(), 1);
}

#[test]
fn a_watch_keeps_the_log_open_until_it_has_seen_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (path, puppet) = (dir.path().join("state"), Puppet::new());
    let reconciler = open(&path, &puppet);
    reconciler.handle().declare(declaration("a", "{}")).unwrap();
    reconciler.shutdown(LONG).unwrap();

    let reconciler = open(&path, &puppet);
    let mut watch = reconciler.handle().watch(Seq(1));
    reconciler.shutdown(LONG).unwrap();
    let mut seen = Vec::new();
    loop {
        match watch.next_within(LONG) {
            Ok(WatchItem::Event(event)) => seen.push(event.seq.0),
            Ok(WatchItem::Lagged { .. }) => {}
            Err(WatchError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(seen.iter().copied().eq(1..=seen.len() as u64) && seen.len() >= 4, "{seen:?}");
    assert!(Reconciler::open(&path).start().is_ok(), "it has let go");
    drop(watch);
}

/// A state directory that is not mounted, for one, looks like a first start.
#[test]
fn defect_10_a_start_that_begins_a_new_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside, puppet) = (dir.path().join("state"), dir.path().join("aside"), Puppet::new());
    // Also one that ends before anything was declared has begun it.
    for begins in [true, false] {
        let reconciler = open(&path, &puppet);
        assert_eq!(reconciler.began_new_log(), begins);
        reconciler.shutdown(LONG).unwrap();
    }
    std::fs::rename(&path, &aside).unwrap();
    let reconciler = open(&path, &puppet);
    assert!(reconciler.began_new_log(), "it was there before");
    reconciler.shutdown(LONG).unwrap();
    assert!(!open(&aside, &puppet).began_new_log());
}
