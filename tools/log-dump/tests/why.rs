//! `why`: the answer, and the events that led there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use lastword::core::vocabulary::*;
use serde_json::Value;
use support::scene::{DecisionContext, kind, named};
use support::*;
use tempfile::TempDir;

/// A log that `tell` writes, closed, and what `tell` says of it.
fn log<T>(tell: impl FnOnce(&mut DecisionContext) -> T) -> (TempDir, PathBuf, T) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut scene = DecisionContext::open(&path);
    let told = tell(&mut scene);
    scene.close();
    (dir, path, told)
}

/// The events and the answer.
fn why(path: &Path, more: &[&str]) -> (Vec<Value>, Value) {
    answer(path, "why", more)
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn text<'v>(answer: &'v Value, key: &str) -> &'v str {
    answer[key].as_str().unwrap_or_else(|| panic!("{key} of {answer}"))
}

/// A task that is superseded while it runs, its late result, and the commit of what came after.
fn superseded(scene: &mut DecisionContext) -> (AttemptRef, Fingerprint) {
    scene.declare_plain("orders", "lake/1");
    let (first, old) = (scene.assign(), scene.wanted("orders"));
    scene.declare_plain("orders", "lake/2");
    scene.complete(first, old);
    let second = scene.assign();
    let new = scene.wanted("orders");
    scene.complete(second, new);
    (first, old)
}

#[test]
fn case_01_a_late_result_of_a_superseded_task_is_explained() {
    let (_dir, path, (first, old)) = log(superseded);
    let (events, answer) = why(&path, &["orders"]);
    let expected = [
        "collection_declared",
        "task_created",
        "task_started",
        "source_changed",
        "task_aborted",
        "task_created",
        "completion_rejected",
        "attempt_ended",
        "task_started",
        "task_completed",
        "attempt_ended",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!((text(&answer, "condition"), &answer["applied"]), ("fresh", &answer["wanted"]));
    assert_eq!(answer["wanted_by"]["type"], "source_changed");
    assert_eq!(answer["since"]["seq"], answer["applied_seq"]);
    let told = ok(&path, "why", &["orders"]);
    let (changed, aborted) = (&events[3]["seq"], &events[4]["seq"]);
    assert!(told.contains(&format!("aborted: superseded [because of event {changed}]")), "{told}");
    assert!(told.contains(&format!("task {} was superseded by event {aborted}", first.task)), "{told}");

    let task = first.task.to_string();
    let (events, answer) = why(&path, &["orders", "--task", &task]);
    let expected = [
        "collection_declared",
        "task_created",
        "task_started",
        "source_changed",
        "task_aborted",
        "completion_rejected",
        "attempt_ended",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!((text(&answer, "outcome"), text(&answer, "rejected")), ("superseded", "stale"));
    assert_eq!((&answer["obsolete_by"]["seq"], &answer["created_by"]["seq"]), (changed, &events[0]["seq"]));
    assert_eq!(answer["fingerprint"], old.to_string());
    let sentence = text(&answer, "sentence");
    assert!(sentence.contains("(source_changed) made something else wanted"), "{sentence}");
    assert!(sentence.contains(&format!("(stale): it was built from {old}, wanted was ")), "{sentence}");
}

#[test]
fn what_was_thrown_away_is_told_in_seconds() {
    let (_dir, path, (first, _)) = log(superseded);
    // Two steps of a second each until the change, and one until its late result ended it; the second took one.
    let (_, answer) = why(&path, &["orders"]);
    let work = &answer["work"];
    assert_eq!(
        (&work["attempts"], &work["seconds"], &work["thrown_away_seconds"]),
        (&2.into(), &3.0.into(), &2.0.into())
    );
    let told = ok(&path, "why", &["orders"]);
    assert!(told.contains("work      2 attempts, 3.0 s; 2.0 s of work led to nothing"), "{told}");
    assert!(told.contains("[1.0 s of work thrown away]"), "{told}");

    let task = first.task.to_string();
    let (_, answer) = why(&path, &["orders", "--task", &task]);
    let work = &answer["work"];
    assert_eq!((&work["attempts"], &work["thrown_away_seconds"]), (&1.into(), &2.0.into()));
    // The scene writes no manifests.
    assert_eq!(answer["built"], Value::Null);
}

/// What was built before the story begins is none of it, and an attempt that goes on is not thrown away.
#[test]
fn work_is_of_the_story_that_is_told() {
    let (_dir, path, ()) = log(|scene| {
        superseded(scene);
        scene.declare_plain("orders", "lake/3");
        scene.assign();
        scene.pass(9);
        scene.declare_plain("others", "lake/1");
    });
    let (_, answer) = why(&path, &["orders"]);
    let work = &answer["work"];
    assert_eq!((&work["attempts"], &work["thrown_away_seconds"]), (&1.into(), &0.0.into()));
    assert_eq!((&work["seconds"], &work["running_seconds"]), (&10.0.into(), &10.0.into()));
}

#[test]
fn the_events_are_those_of_dump() {
    let (_dir, path, (first, _)) = log(superseded);
    let all = json(&path, "dump", &[]).0;
    let task = first.task.to_string();
    for more in [&["orders"][..], &["orders", "--task", &task]] {
        let (events, answer) = why(&path, more);
        assert!(events.iter().all(|event| all.contains(event)));
        assert_eq!(answer["events"], events.len());
        assert_eq!((&answer["from"], &answer["to"]), (&events[0]["seq"], &(last(&path).0 + 1).into()));
        assert_eq!(answer["head"], json(&path, "head", &[]).0[0]["hash"]);
    }
}

#[test]
fn case_21_a_held_loss_names_what_has_to_be_confirmed() {
    let (_dir, path, ()) = log(|scene| {
        scene.declare("lake", |d| d.source = Some(Source::new("lake/").unwrap()));
        scene.observe("lake", b"three", 3);
        let attempt = scene.assign();
        let wanted = scene.wanted("lake");
        scene.complete(attempt, wanted);
        scene.observe("lake", b"none", 0);
    });
    let (events, answer) = why(&path, &["lake"]);
    assert_eq!(types(&events), ["task_completed", "attempt_ended", "collection_held"]);
    assert_eq!(text(&answer, "condition"), "held");
    assert_eq!((&answer["held"], &answer["latest"]), (&events[2]["held"], &events[2]["held"]));
    assert_eq!(answer["wanted"], answer["applied"]);
    assert!(text(&answer, "sentence").contains(text(&answer, "held")));
    let told = ok(&path, "why", &["lake"]);
    assert!(told.starts_with("lake is held: its source is empty, which looks like a loss"), "{told}");
}

#[test]
fn case_31_a_parked_task_shows_its_cause_and_no_control_characters() {
    let (_dir, path, task) = log(|scene| {
        scene.commit_plain("orders", "lake/1");
        scene.declare_plain("orders", "lake/2");
        let first = scene.assign();
        scene.fail(first, FailureClass::Transient, "connection reset");
        scene.pass(60);
        let second = scene.assign();
        scene.fail(second, FailureClass::Permanent, "no such column\u{1b}[31m");
        second.task.to_string()
    });
    let (events, answer) = why(&path, &["orders"]);
    let expected = [
        "task_completed",
        "attempt_ended",
        "source_changed",
        "task_created",
        "task_started",
        "attempt_failed",
        "attempt_ended",
        "task_started",
        "attempt_failed",
        "attempt_ended",
        "task_parked",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!((text(&answer, "condition"), &answer["failures"]), ("parked", &2.into()));
    assert!(text(&answer, "sentence").contains("no such column"));
    assert_eq!(answer["since"]["type"], "task_parked");
    let told = ok(&path, "why", &["orders"]);
    assert!(told.contains("no such column\\u{1b}[31m") && !told.contains('\u{1b}'), "{told}");
    let told = ok(&path, "why", &["orders", "--task", &task]);
    assert!(told.contains("was given up by event") && told.contains("attempt 2, event"), "{told}");
    assert!(!told.contains('\u{1b}'));
}

#[test]
fn case_03_a_name_that_was_dropped_and_declared_again() {
    let (_dir, path, (declared, dropped, old, applied)) = log(|scene| {
        scene.declare_plain("orders", "lake/1");
        let declared = scene.last() - 1;
        let first = scene.assign();
        let applied = scene.wanted("orders");
        scene.complete(first, applied);
        scene.declare_plain("orders", "lake/2");
        let (second, wanted) = (scene.assign(), scene.wanted("orders"));
        scene.command(&Command::Drop { name: named("orders") });
        let dropped = scene.last();
        scene.pass(100);
        scene.declare_plain("orders", "lake/3");
        scene.complete(second, wanted);
        (declared, dropped, second.task, applied)
    });
    let (events, answer) = why(&path, &["orders"]);
    let expected = ["collection_declared", "task_created", "completion_rejected", "attempt_ended"];
    assert_eq!(types(&events), expected, "what the old one still had to say belongs to the story");
    assert_eq!((&answer["incarnation"], &answer["applied"]), (&events[0]["seq"], &Value::Null));
    assert_eq!((&events[2]["reason"], &events[2]["incarnation"]), (&"unknown_collection".into(), &declared.into()));

    let at_the_drop = dropped.to_string();
    let (events, answer) = why(&path, &["orders", "--at", &at_the_drop]);
    assert_eq!((text(&answer, "condition"), &answer["incarnation"]), ("dropped", &declared.into()));
    assert_eq!((&answer["dropped"]["seq"], &answer["applied"]), (&dropped.into(), &applied.to_string().into()));
    assert_eq!(types(&events).last(), Some(&"collection_dropped"));
    assert_eq!(types(&events).first(), Some(&"task_completed"), "back to the last commit");
    let sentence = text(&answer, "sentence");
    assert!(sentence.contains("was dropped by event") && sentence.contains(&applied.to_string()), "{sentence}");
    // The same by the time of the drop, though the declaration comes later.
    let time = text(events.last().unwrap(), "time").to_owned();
    assert_eq!(why(&path, &["orders", "--at", &time]).1["incarnation"], declared);

    let (_, answer) = why(&path, &["orders", "--task", &old.to_string()]);
    assert_eq!((text(&answer, "outcome"), text(&answer, "rejected")), ("dropped", "unknown_collection"));
    assert_eq!((&answer["obsolete_by"]["seq"], text(&answer, "condition")), (&dropped.into(), "dropped"));

    let before = (declared - 1).to_string();
    let output = on(&path, "why", &["orders", "--at", &before]);
    assert_eq!((code(&output), out(&output)), (2, String::new()));
}

#[test]
fn a_name_or_task_that_never_was_is_a_usage_error_that_names_the_argument() {
    let (_dir, path, (first, _)) = log(|scene| {
        scene.declare_plain("other", "x");
        let _ = scene.assign();
        superseded(scene)
    });
    let task = first.task.to_string();
    for (more, named) in [
        (&["nobody"][..], "NAME \"nobody\""),
        (&["nobody", "--json"], "NAME \"nobody\""),
        (&["orders", "--task", "1"], "--task 1"),
        (&["other", "--task", &task], "--task"),
        (&["orders", "--task", "x"], "--task"),
        (&["orders", "--at", "noon"], "--at"),
        (&["", "--json"], "NAME"),
        (&[], "NAME"),
    ] {
        let output = on(&path, "why", more);
        assert_eq!((code(&output), out(&output)), (2, String::new()), "{more:?}");
        assert!(err(&output).contains(named), "{more:?}: {}", err(&output));
    }
}

#[test]
fn what_waits_says_for_what() {
    let (_dir, path, ()) = log(|scene| {
        scene.declare_plain("busy", "a");
        let _ = scene.assign();
        scene.declare_plain("waits", "b");
        scene.declare("blind", |d| d.source = Some(Source::new("c").unwrap()));
        scene.see("blind", ObservationOutcome::Failed { cause: "permission denied\nfor c".into() });
        scene.commit_plain("stopped", "d");
        scene.command(&Command::Pause { name: named("stopped") });
        scene.declare_plain("stopped", "e");
    });
    let sentence = |name: &str| text(&why(&path, &[name]).1, "sentence").to_owned();
    let condition = |name: &str| text(&why(&path, &[name]).1, "condition").to_owned();
    assert_eq!(condition("busy"), "running");
    let busy = format!("at work for collections of kind {} is task ", kind());
    assert!(sentence("waits").contains(&busy) && sentence("waits").contains(" of busy"), "{}", sentence("waits"));
    assert_eq!(condition("blind"), "unobservable");
    assert!(sentence("blind").contains("permission denied; since event"), "{}", sentence("blind"));
    assert_eq!(condition("stopped"), "paused");
    let (events, answer) = why(&path, &["stopped"]);
    assert!(types(&events).contains(&"collection_paused"));
    assert_eq!((&answer["paused"], &answer["since"]["type"]), (&true.into(), &"task_created".into()));
}

#[test]
fn who_asked_is_named_with_the_reason() {
    let (_dir, path, (task, first)) = log(|scene| {
        scene.commit_plain("orders", "lake/1");
        scene.declare_plain("orders", "lake/2");
        let attempt = scene.assign();
        let by = By::new(Some("anna"), Some("the disk is swapped")).unwrap();
        scene.command_by(&Command::Cancel { name: named("orders"), task: None }, Some(by.clone()));
        scene.command_by(&Command::Drop { name: named("orders") }, Some(by.clone()));
        let dropped = scene.last();
        scene.commit_plain("orders", "lake/3");
        scene.command_by(&Command::Pause { name: named("orders") }, Some(by));
        scene.declare_plain("orders", "lake/4");
        (attempt.task.to_string(), dropped.to_string())
    });
    let (_, answer) = why(&path, &["orders", "--at", &first]);
    let asked = "(collection_dropped by anna: the disk is swapped)";
    assert!(text(&answer, "sentence").contains(asked), "{answer}");
    assert_eq!((&answer["since"]["actor"], &answer["since"]["cause"]), (&"anna".into(), &"the disk is swapped".into()));
    let (_, answer) = why(&path, &["orders", "--task", &task]);
    let asked = "was cancelled by a person, event ";
    assert!(text(&answer, "sentence").contains(asked) && text(&answer, "sentence").contains("by anna"), "{answer}");
    let (events, _) = why(&path, &["orders"]);
    let paused = events.iter().find(|event| event["type"] == "collection_paused").unwrap();
    assert_eq!(paused["by"]["actor"], "anna");
}

#[test]
fn what_waits_for_a_limit_names_the_limit_and_who_has_used_it_up() {
    let (_dir, path, ()) = log(|scene| {
        scene.command(&Command::Limit(Limits { total: Some(1), ..Limits::default() }));
        scene.declare_plain("busy", "a");
        let _ = scene.assign();
        scene.declare_plain("waits", "b");
    });
    let (_, answer) = why(&path, &["waits"]);
    assert_eq!(text(&answer, "condition"), "limit");
    let sentence = text(&answer, "sentence");
    for part in ["at most 1 attempt may run for all collections", "event 2 (limits_changed)", " of busy"] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn case_45_what_a_destination_is_owed_is_told_with_the_cause() {
    let (_dir, path, ()) = log(|scene| {
        scene.duties = Duties { publish: true, discard: false };
        scene.declare_plain("orders", "lake/1");
        let (attempt, wanted) = (scene.assign(), scene.wanted("orders"));
        scene.complete(attempt, wanted);
        let collection = attempt.collection;
        let obligation = Seq(scene.last() - 1);
        let delivered = DeliveryRef { collection, obligation, delivery: DeliveryKind::Publish };
        scene.command(&EngineCommand::DeliveryFailed { delivered, message: "503\nlater".into() });
    });
    let (events, answer) = why(&path, &["orders"]);
    assert_eq!(types(&events).last(), Some(&"publish_failed"));
    assert_eq!((text(&answer, "condition"), &answer["unpublished"]), ("fresh", &1.into()));
    assert_eq!(answer["delivery_failure"], "503\nlater");
    let owed = "its outbox holds 1 commit and 0 discards, which failed 1 time in a row (503)";
    assert!(text(&answer, "sentence").contains(owed), "{answer}");
}

#[test]
fn case_21_a_source_that_lost_most_of_its_files_is_held_and_says_how_many() {
    let (_dir, path, ()) = log(|scene| {
        scene.declare("lake", |d| d.source = Some(Source::new("lake/").unwrap()));
        scene.observe("lake", b"forty", 40);
        let (attempt, wanted) = (scene.assign(), scene.wanted("lake"));
        scene.complete(attempt, wanted);
        let set = Some(PathSetRef { root: ObjectHash([7; 32]), files: 15, bytes: 1 });
        let observed = SourceState { version: Version::new(b"fifteen").unwrap(), set };
        scene.see("lake", ObservationOutcome::Content { state: observed, delta: None, missing: Some(25.into()) });
    });
    let (_, answer) = why(&path, &["lake"]);
    assert_eq!(text(&answer, "condition"), "held");
    assert!(text(&answer, "sentence").contains("25 of the 40 files that are applied are gone"), "{answer}");
}

/// A backoff ends without an event: nobody is told that one ended it.
#[test]
fn time_alone_is_not_blamed_on_an_event() {
    let (_dir, path, ()) = log(|scene| {
        scene.declare_plain("orders", "lake/1");
        let first = scene.assign();
        scene.fail(first, FailureClass::Transient, "connection reset");
    });
    let (_, answer) = why(&path, &["orders"]);
    assert_eq!((text(&answer, "condition"), &answer["since"]["type"]), ("backing_off", &"attempt_failed".into()));
    let (_, later) = why(&path, &["orders", "--at", "2026-11-23T11:00:00Z"]);
    assert_eq!((text(&later, "condition"), &later["since"]), ("waiting_for_worker", &Value::Null));
    assert_eq!(text(&later, "time"), "2026-11-23T11:00:00.000000Z");
    assert!(later["lag_seconds"].as_f64() > answer["lag_seconds"].as_f64());
}

#[test]
fn case_30_a_restart_is_told_where_it_took_an_attempt_down() {
    let (dir, path, ()) = log(|scene| {
        scene.commit_plain("calm", "a");
        scene.declare_plain("orders", "lake/1");
        let _ = scene.assign();
    });
    DecisionContext::open(&path).close();
    let (events, answer) = why(&path, &["orders"]);
    let expected =
        ["collection_declared", "task_created", "task_started", "writer_opened", "attempt_failed", "attempt_ended"];
    assert_eq!(types(&events), expected);
    assert_eq!(events[4]["reason"], "worker_lost");
    assert_eq!(text(&answer, "condition"), "waiting_for_worker");
    assert!(!types(&why(&path, &["calm"]).0).contains(&"writer_opened"), "nothing of it was running");

    let file = dir.path().join("log.evlog");
    ok(&path, "export", &[file.to_str().unwrap()]);
    for more in [&["orders"][..], &["calm", "--json"], &["orders", "--at", "8", "--json"]] {
        assert_eq!(ok(&file, "why", more), ok(&path, "why", more));
    }
}

#[test]
fn a_cancel_and_a_rebuild_are_told() {
    let (_dir, path, (cancelled, replaced)) = log(|scene| {
        scene.commit_plain("orders", "lake/1");
        scene.declare_plain("orders", "lake/2");
        let first = scene.assign();
        scene.command(&Command::Cancel { name: named("orders"), task: None });
        scene.command(&EngineCommand::Stopped { attempt: first });
        scene.command(&Command::Refresh { name: named("orders"), force: false, seen: None });
        let second = scene.assign();
        scene.command(&Command::Refresh { name: named("orders"), force: true, seen: None });
        scene.command(&EngineCommand::Stopped { attempt: second });
        (first.task.to_string(), second.task.to_string())
    });
    let (_, answer) = why(&path, &["orders", "--task", &cancelled]);
    assert_eq!((text(&answer, "outcome"), &answer["obsolete_by"]), ("cancelled", &Value::Null));
    let (_, answer) = why(&path, &["orders", "--task", &replaced]);
    assert_eq!((text(&answer, "outcome"), &answer["obsolete_by"]["type"]), ("superseded", &"refresh_requested".into()));
    assert_eq!(answer["created_by"]["type"], "refresh_requested");
}

#[test]
fn a_long_story_is_shortened_for_people_and_not_for_scripts() {
    let (_dir, path, ()) = log(|scene| {
        scene.commit_plain("orders", "lake/0");
        for n in 1..=200 {
            scene.declare_plain("orders", &format!("lake/{n}"));
        }
    });
    let (events, answer) = why(&path, &["orders"]);
    assert_eq!(answer["events"], 2 + 3 * 200 - 1, "the commit, and of each change its event, an abort and a task");
    assert_eq!(events.len(), 2 + 3 * 200 - 1);
    let told = ok(&path, "why", &["orders"]);
    assert!(told.lines().count() < 90, "{told}");
    let left_out = told.lines().find(|line| line.contains(" more; dump --from ")).expect("says what it left out");
    let words: Vec<&str> = left_out.split_whitespace().collect();
    let shown = json(&path, "dump", &["--from", words[5], "--to", words[7]]).0;
    assert_eq!(shown.len().to_string(), words[1], "{left_out}");
    assert!(told.contains("orders: task 3 committed"), "where it began is told: {told}");
}
