//! Logs whose beginning was let go: every command goes on from the base, and says where history begins.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::Seq;
use lastword::engine::Retention;
use lastword::log::PrivateCopy;
use serde_json::Value;
use support::scene::DecisionContext;
use support::*;
use tempfile::TempDir;
use test_support::history::{LONG, builder, declare, settle, until};
use test_support::log_writer::copy_tree;

/// Where frames of the log at `path` end.
fn ends_of(path: &Path) -> Vec<Seq> {
    let copy = PrivateCopy::of(path).unwrap();
    ends(copy.reader().as_ref()).into_iter().map(|(seq, _)| seq).collect()
}

/// A log without its events up to `at`.
fn cut(whole: &Path, at: Seq) -> PathBuf {
    let path = whole.with_file_name(format!("behind-{at}"));
    copy_tree(whole, &path);
    shorten(&path, at, 1);
    path
}

/// A log that `tell` writes, without the events up to and with the frame in which `tell` says so.
fn log(tell: impl FnOnce(&mut DecisionContext) -> u64) -> (TempDir, PathBuf, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut scene = DecisionContext::open(&path);
    let at = tell(&mut scene);
    scene.close();
    shorten(&path, Seq(at), 1);
    (dir, path, at + 1)
}

fn seqs(events: &[Value], behind: Seq) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).filter(|seq| *seq > behind.0).collect()
}

/// All that the story is asked about: its last event, the names in it, and its tasks with their names.
fn asked(whole: &Path) -> (Seq, BTreeSet<String>, Vec<(String, String)>) {
    let (events, _) = json(whole, "dump", &[]);
    let name = |event: &Value| event["collection"].as_str().unwrap().to_owned();
    let of = |wanted: &'static str| events.iter().filter(move |event| event["type"] == wanted);
    let names = of("collection_declared").map(name).collect();
    (last(whole), names, of("task_created").map(|event| (name(event), event["task"].to_string())).collect())
}

#[test]
fn what_is_left_is_told_as_before() {
    let (_dir, whole) = story_log();
    let (last, names, _) = asked(&whole);
    let last_seq = last.to_string();
    let lines = |path: &Path, command: &str, more: &[&str]| json(path, command, more).0;
    for at in ends_of(&whole).into_iter().step_by(7) {
        let path = cut(&whole, at);
        let (begins, behind) = (at.next().to_string(), last.next().to_string());
        // A task that was over and had an attempt that had not stopped is not remembered.
        let known = |mut events: Vec<Value>| {
            events.iter_mut().filter(|event| event["type"] == "attempt_ended").for_each(|event| {
                let event = event.as_object_mut().unwrap();
                event.remove("generation");
                event.remove("fingerprint");
            });
            events
        };
        let selection = ["--from", &begins, "--to", &behind];
        assert_eq!(known(lines(&path, "dump", &selection)), known(lines(&whole, "dump", &selection)), "behind {at}");
        let at_end = ["--at", last_seq.as_str()];
        assert_eq!(lines(&path, "state", &at_end), lines(&whole, "state", &at_end), "behind {at}");

        let points = ["--from", &at.to_string(), "--to", &last_seq];
        let (ours, theirs) = (answer(&path, "diff", &points), answer(&whole, "diff", &points));
        assert_eq!(ours.0, theirs.0, "behind {at}");
        assert_eq!((&ours.1["counts"], &ours.1["events"]), (&theirs.1["counts"], &theirs.1["events"]));

        for name in &names {
            why_is_as_before(&path, &whole, at, &[name, "--at", &last_seq]);
        }
    }
}

fn why_is_as_before(path: &Path, whole: &Path, at: Seq, more: &[&str]) {
    let (events, before) = answer(whole, "why", more);
    let output = on(path, "why", &[more, &["--json"]].concat());
    if before["condition"] == "dropped" && before["dropped"]["seq"].as_u64().unwrap() <= at.0 {
        let problem = format!("from event {} on, where history begins", at.next());
        assert!(code(&output) == 2 && err(&output).contains(&problem), "{more:?}: {}", err(&output));
        return;
    }
    assert_eq!(code(&output), 0, "{more:?} behind {at}: {}", err(&output));
    let (left, answer) = answer_of(&out(&output), "why");
    for key in
        ["incarnation", "condition", "generation", "latest", "latest_seq", "wanted", "applied", "applied_seq", "task"]
            .into_iter()
            .chain(["attempts", "failures", "paused", "held", "unpublished", "undiscarded", "dropped", "to", "time"])
    {
        assert_eq!(answer[key], before[key], "{key} of {more:?} behind {at}");
    }
    for key in ["since", "wanted_by"] {
        let forgotten = answer[key].is_null() && before[key]["seq"].as_u64().is_none_or(|seq| seq <= at.0);
        assert!(forgotten || answer[key] == before[key], "{key} of {more:?} behind {at}");
    }
    assert_eq!(seqs(&left, Seq::ZERO), seqs(&events, at), "{more:?} behind {at}");
    let cut_off = before["from"].as_u64().unwrap() <= at.0;
    let expected = cut_off.then_some(at.next().0);
    assert_eq!(answer["history_begins"].as_u64(), expected, "{more:?} behind {at}");
}

#[test]
fn what_became_of_a_task_is_told_as_far_as_it_is_known() {
    let (_dir, whole) = story_log();
    let (last, _, tasks) = asked(&whole);
    let last_seq = last.to_string();
    let (mut told, mut gone) = (0, 0);
    for at in ends_of(&whole).into_iter().step_by(16).skip(1) {
        let path = cut(&whole, at);
        for (name, task) in &tasks {
            let more = [name, "--task", task, "--at", &last_seq, "--json"];
            let (_, before) = answer_of(&ok(&whole, "why", &more), "why");
            let output = on(&path, "why", &more);
            if code(&output) == 2 {
                let problem = format!("older than event {}, with which history begins", at.next());
                assert!(err(&output).contains(&problem), "{}", err(&output));
                let ended = before["ended_by"]["seq"].as_u64().expect("one that is over");
                assert!(ended <= at.0 && before["outcome"] != "live", "{before} behind {at}");
                gone += 1;
                continue;
            }
            let (_, answer) = answer_of(&out(&output), "why");
            told += 1;
            for key in ["outcome", "generation", "fingerprint", "condition", "incarnation"] {
                assert_eq!(answer[key], before[key], "{key} of {more:?} behind {at}");
            }
            assert_eq!(answer["ended_by"]["seq"], before["ended_by"]["seq"]);
        }
    }
    assert!(told > 5 && gone > 5, "{told} {gone}");
}

#[test]
fn why_says_where_history_begins() {
    let (_dir, path, begins) = log(|scene| {
        scene.declare_plain("orders", "lake/1");
        scene.assign();
        let at = scene.last();
        scene.declare_plain("other", "lake/2");
        at
    });
    let told = ok(&path, "why", &["orders"]);
    assert!(told.contains(&format!("since before event {begins}, with which history begins")), "{told}");
    assert!(
        told.contains(&format!("\nsince its declaration, event 2; history begins with event {begins}:\n")),
        "{told}"
    );
    assert!(told.contains("generation 1, before history begins"), "{told}");
    let told = ok(&path, "why", &["orders", "--task", "3"]);
    assert!(told.contains(&format!("\nhistory begins with event {begins}:\n")), "{told}");
    // What came later is explained as ever.
    let told = ok(&path, "why", &["other"]);
    assert!(!told.contains("history begins"), "{told}");
    assert!(answer(&path, "why", &["other"]).1["history_begins"].is_null());

    let output = on(&path, "why", &["orders", "--at", "2"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains(&format!("the log begins with event {begins}")), "{}", err(&output));
    let output = on(&path, "why", &["nothing"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains(&format!("from event {begins} on, where history begins")), "{}", err(&output));
}

#[test]
fn head_stat_and_dump_say_where_the_log_begins() {
    let (_dir, path, begins) = log(|scene| {
        scene.commit_plain("orders", "lake/1");
        scene.last()
    });
    let (lines, summary) = json(&path, "head", &[]);
    assert_eq!((&lines[0]["begins"], &summary["from"]), (&begins.into(), &begins.into()));
    assert!(ok(&path, "head", &[]).contains(&format!("begins with    {begins}\n")));
    for command in ["dump", "stat", "verify", "state"] {
        assert_eq!(json(&path, command, &[]).1["from"], begins, "{command}");
    }
    let output = on(&path, "dump", &["--from", "2"]);
    assert_eq!(code(&output), 0);
    assert!(err(&output).contains(&format!("history begins with event {begins}")), "{}", err(&output));
    assert_eq!(err(&on(&path, "dump", &[])), "");
}

#[test]
fn logs_that_begin_apart_are_compared_from_where_both_are() {
    let (dir, whole) = story_log();
    let ends = ends_of(&whole);
    let (early, late) = (cut(&whole, ends[5]), cut(&whole, ends[20]));
    let compare = |left: &Path, right: &Path| {
        let output = on(left, "diff", &[right.to_str().unwrap(), "--json"]);
        (code(&output), out(&output).lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap()))
    };
    // The base is the only difference to the whole log.
    let (exit, answer) = compare(&whole, &late);
    let answer = answer.unwrap();
    assert_eq!((exit, &answer["verdict"]), (0, &"left_is_prefix".into()));
    assert_eq!((&answer["common_seq"], &answer["right"]["events"]), (&last(&whole).0.into(), &1.into()));
    // Each has a base of its own.
    for (left, right) in [(&early, &late), (&late, &early)] {
        let (exit, answer) = compare(left, right);
        let answer = answer.unwrap();
        assert_eq!((exit, &answer["verdict"], &answer["common_seq"]), (1, &"diverged".into(), &last(&whole).0.into()));
    }
    assert_eq!(compare(&late, &late).1.unwrap()["verdict"], "same");

    // A backup that ends before the other begins shares nothing that is still there.
    let backup = dir.path().join("backup");
    DecisionContext::open(&backup).close();
    let output = on(&backup, "diff", &[late.to_str().unwrap()]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(err(&output).contains(&format!("ends before event {}", ends[20].next())), "{}", err(&output));
}

/// A reconciler that lets the past go by itself, under way.
#[test]
fn a_log_that_a_reconciler_has_shortened() {
    let dir = tempfile::tempdir().unwrap();
    let (path, stream, target) = (dir.path().join("state"), dir.path().join("log.evlog"), dir.path().join("target"));
    let reconciler = builder(&path).retain(Retention { events: Some(50), age: None }).start().unwrap();
    let handle = reconciler.handle();
    let mut rounds = 0;
    until("letting go of the past", || {
        declare(&handle, rounds..rounds + 50);
        rounds += 50;
        handle.stats().unwrap().counters.compactions > 0
    });
    settle(&handle);
    reconciler.shutdown(LONG).unwrap();

    let (_, head) = json(&path, "head", &[]);
    let begins = head["from"].as_u64().unwrap();
    assert!(begins > 50, "{begins}");
    ok(&path, "verify", &[]);
    let (events, summary) = json(&path, "dump", &[]);
    assert_eq!(events.len() as u64, summary["to"].as_u64().unwrap() - begins);
    let unnamed: Vec<&Value> =
        events.iter().filter(|event| event["incarnation"].is_u64() && event["collection"].is_null()).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    let last_change = begins.max(2) - 1;
    for n in 0..7 {
        let (_, answer) = answer(&path, "why", &[&format!("c{n}")]);
        assert_eq!(answer["condition"], "fresh");
    }
    ok(&path, "diff", &["--from", &last_change.to_string()]);
    let output = on(&path, "diff", &["--from", "1"]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains(&format!("begins with event {begins}")), "{}", err(&output));

    ok(&path, "export", &[stream.to_str().unwrap()]);
    let imported = run(&["import", target.to_str().unwrap(), stream.to_str().unwrap()]);
    assert_eq!(code(&imported), 0, "{}", err(&imported));
    for command in ["dump", "state", "stat", "head"] {
        let theirs = json(&path, command, &[]);
        assert_eq!(json(&target, command, &[]).1, theirs.1, "{command}");
        assert_eq!(json(&stream, command, &[]).1, theirs.1, "{command}");
    }
    assert_eq!(json(&target, "dump", &[]).0, events);
}
