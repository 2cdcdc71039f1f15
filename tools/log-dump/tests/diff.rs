//! `diff`: what changed between two points of a log, and where two logs part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use lastword::core::vocabulary::*;
use serde_json::Value;
use support::scene::{DecisionContext, named};
use support::*;
use tempfile::TempDir;
use test_support::log_writer::copy_tree;

fn begin() -> (TempDir, PathBuf, DecisionContext) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let scene = DecisionContext::open(&path);
    (dir, path, scene)
}

/// A few collections, and what is done with them behind the point that is returned: the last event before.
fn a_day(scene: &mut DecisionContext) -> u64 {
    for name in ["changed", "dropped", "again", "calm"] {
        scene.commit_plain(name, &format!("lake/{name}"));
    }
    let point = scene.last();
    scene.declare("changed", |d| {
        d.spec = Some(Spec::parse(r#"{"target_rows":5}"#).unwrap());
        d.policy = Some(Policy { attempt_timeout: AttemptTimeout(None), ..Policy::default() });
    });
    let (first, old) = (scene.assign(), scene.wanted("changed"));
    scene.declare_plain("changed", "lake/elsewhere");
    scene.complete(first, old);
    let second = scene.assign();
    scene.fail(second, FailureClass::Permanent, "no such column");
    scene.command(&Command::Drop { name: named("dropped") });
    scene.command(&Command::Drop { name: named("again") });
    scene.declare_plain("again", "lake/again");
    scene.declare_plain("new", "lake/new");
    scene.declare_plain("passing", "lake/passing");
    scene.command(&Command::Drop { name: named("passing") });
    point
}

fn found<'l>(lines: &'l [Value], name: &str) -> &'l Value {
    lines.iter().find(|line| line["collection"] == name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn what_changed_between_two_points() {
    let (_dir, path, mut scene) = begin();
    let point = a_day(&mut scene);
    let (applied, condition) = (scene.view("again").applied, scene.view("changed").condition.to_string());
    assert!(applied.is_none());
    scene.close();
    let from = point.to_string();
    let (lines, summary) = answer(&path, "diff", &["--from", &from]);
    let names: Vec<_> = lines.iter().map(|line| line["collection"].as_str().unwrap()).collect();
    assert_eq!(names, ["again", "changed", "dropped", "new"]);
    let changed = found(&lines, "changed");
    assert_eq!(changed["change"], "changed");
    let change = |field: &str| (&changed["changes"][field]["from"], &changed["changes"][field]["to"]);
    assert_eq!(change("source"), (&"lake/changed".into(), &"lake/elsewhere".into()));
    assert_eq!(change("spec.target_rows"), (&Value::Null, &5.into()));
    assert_eq!(change("policy.attempt_timeout_us"), (&3_600_000_000_u64.into(), &Value::Null));
    assert_eq!(change("condition"), (&"fresh".into(), &"parked".into()));
    assert_eq!(change("generation"), (&1.into(), &3.into()));
    assert!(changed["changes"].get("applied").is_none(), "what is the same is not told");
    let counts = &changed["counts"];
    assert_eq!((&counts["tasks_created"], &counts["tasks_superseded"]), (&2.into(), &1.into()));
    assert_eq!((&counts["tasks_parked"], &counts["completions_rejected"]), (&1.into(), &1.into()));
    assert_eq!((&counts["attempts_failed"], &counts["tasks_completed"]), (&1.into(), &0.into()));
    assert_eq!(found(&lines, "dropped")["change"], "dropped");
    assert_eq!(found(&lines, "new")["change"], "declared");
    let again = found(&lines, "again");
    assert_eq!((&again["change"], &again["changes"]["applied"]["to"]), (&"declared_again".into(), &Value::Null));
    for (key, expected) in
        [("declared", 1), ("dropped", 1), ("declared_again", 1), ("changed", 1), ("unchanged", 1), ("passing", 1)]
    {
        assert_eq!(summary[key], expected, "{key}");
    }
    assert_eq!((&summary["from_seq"], &summary["to_seq"]), (&point.into(), &last(&path).0.into()));
    assert_eq!(summary["events"], last(&path).0 - point);
    assert_eq!((&summary["counts"]["tasks_created"], &summary["counts"]["tasks_dropped"]), (&5.into(), &1.into()));

    let told = ok(&path, "diff", &["--from", &from]);
    for line in ["~ changed", "+ new: declared", "- dropped: dropped", "~ again: dropped and declared again"] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    assert!(told.contains(&format!("fresh -> parked: {condition}")), "{told}");
    assert!(told.contains("created, 1 superseded, 1 parked, 1 attempt failed, 1 completion rejected"), "{told}");
    assert!(!told.contains("calm"));
}

/// The counts are those of the events that `dump` prints, and the values those of `state`.
#[test]
fn it_agrees_with_dump_and_state() {
    let (_dir, path, mut scene) = begin();
    let point = a_day(&mut scene);
    scene.close();
    let end = last(&path).0;
    for to in [point, point + 3, point + 9, end] {
        let (from, to_text) = (point.to_string(), to.to_string());
        let (lines, summary) = answer(&path, "diff", &["--from", &from, "--to", &to_text]);
        let dumped = json(&path, "dump", &["--from", &(point + 1).to_string(), "--to", &(to + 1).to_string()]).0;
        assert_eq!(summary["events"], dumped.len());
        let created = dumped.iter().filter(|event| event["type"] == "task_created").count();
        assert_eq!(summary["counts"]["tasks_created"], created);
        let state = json(&path, "state", &["--at", &to_text]).0;
        for line in &lines {
            let now = state.iter().find(|row| row["name"] == line["collection"]);
            let condition = now.map_or(&Value::Null, |row| &row["condition"]);
            if let Some(change) = line["changes"].get("condition") {
                assert_eq!(&change["to"], condition, "{line}");
            }
        }
    }
    let times: Vec<String> = json(&path, "dump", &[]).0.iter().map(|e| e["time"].as_str().unwrap().into()).collect();
    let from = &times[usize::try_from(point).unwrap() - 1];
    let (by_time, by_seq) = (["--from", from.as_str()], ["--from", &point.to_string()]);
    assert_eq!(answer(&path, "diff", &by_time).0, answer(&path, "diff", &by_seq).0);
}

#[test]
fn collections_are_selected_by_name() {
    let (_dir, path, mut scene) = begin();
    let from = a_day(&mut scene).to_string();
    scene.close();
    let (lines, summary) = answer(&path, "diff", &["--from", &from, "--collection", "*[gn]*d"]);
    let names: Vec<_> = lines.iter().map(|line| line["collection"].as_str().unwrap()).collect();
    assert_eq!(names, ["changed"]);
    assert_eq!((&summary["dropped"], &summary["counts"]["tasks_created"]), (&0.into(), &2.into()));
    let all = answer(&path, "diff", &["--from", "0", "--collection", "no*thing"]);
    assert_eq!((all.0.len(), &all.1["events"]), (0, &0.into()));
}

#[test]
fn usage_errors_name_the_flag() {
    let (_dir, path, scene) = begin();
    scene.close();
    let other = path.to_str().unwrap().to_owned();
    for (more, named) in [
        (&[][..], "--from"),
        (&["--to", "1"], "--from"),
        (&["--from", "noon"], "--from"),
        (&["--from", "0", "--to", "x"], "--to"),
        (&["--from", "1", "--to", "0"], "--to"),
        (&["--from", "2026-11-23T10:00:01Z", "--to", "0"], "--from"),
        (&["--from", "0", "--collection", "[z"], "--collection"),
        (&[&other, "--from", "0"], "--from"),
        (&[&other, "--to", "0"], "--to"),
        (&[&other, "--collection", "x"], "--collection"),
    ] {
        let output = on(&path, "diff", more);
        assert_eq!((code(&output), out(&output)), (2, String::new()), "{more:?}: {}", err(&output));
        assert!(err(&output).contains(named), "{more:?}: {}", err(&output));
    }
    assert_eq!(code(&on(&path, "diff", &["--from", "1", "--to", "1"])), 0, "a point is not behind itself");
    assert_eq!(code(&on(&path, "diff", &["--from", "99", "--to", "98"])), 0, "both are the end");
}

/// Exports what is there into `name` beside it.
fn export(path: &Path, name: &str) -> PathBuf {
    let file = path.with_file_name(name);
    ok(path, "export", &[file.to_str().unwrap()]);
    file
}

fn two<'p>(left: &'p Path, right: &'p Path, more: &[&'p str]) -> std::process::Output {
    on(left, "diff", &[&[right.to_str().unwrap()], more].concat())
}

#[test]
fn a_backup_is_the_beginning_of_the_live_log() {
    let (_dir, path, mut scene) = begin();
    scene.commit_plain("orders", "lake/1");
    scene.close();
    let (backup, common) = (export(&path, "backup.evlog"), last(&path).0);
    let mut scene = DecisionContext::open(&path);
    scene.declare_plain("orders", "lake/2");
    scene.close();
    let live = export(&path, "live.evlog");
    for (left, right, verdict, side) in [
        (&path, &backup, "right_is_prefix", "left"),
        (&backup, &path, "left_is_prefix", "right"),
        (&live, &backup, "right_is_prefix", "left"),
        (&live, &path, "same", "neither"),
        (&path, &path, "same", "neither"),
    ] {
        let output = two(left, right, &["--json"]);
        assert_eq!((code(&output), err(&output)), (0, String::new()), "{verdict}");
        let (events, answer) = answer_of(&out(&output), "diff");
        assert_eq!(answer["verdict"], verdict);
        let following: Vec<&Value> = events.iter().map(|line| &line["event"]).collect();
        let longer = if verdict == "same" { last(&path).0 } else { common };
        assert_eq!(answer["common_seq"], longer);
        let dumped = json(&path, "dump", &["--from", &(longer + 1).to_string()]).0;
        assert_eq!(following, dumped.iter().collect::<Vec<_>>());
        assert!(events.iter().all(|line| line["side"] == side));
    }
    let head = json(&backup, "head", &[]).0.remove(0);
    let (_, answer) = answer_of(&out(&two(&path, &backup, &["--json"])), "diff");
    assert_eq!((&answer["common_hash"], &answer["common_time"]), (&head["hash"], &head["time"]));
    let told = out(&two(&path, &backup, &[]));
    assert!(told.lines().next().unwrap().contains("backup.evlog is the beginning of "), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("< 2026")).count(), 3, "{told}");
}

/// A restored backup that was written to, beside the log that it was a backup of.
#[test]
fn case_43_logs_that_went_different_ways_part() {
    let (_dir, path, mut scene) = begin();
    scene.commit_plain("orders", "lake/1");
    scene.close();
    let (restored, common) = (path.with_file_name("restored"), last(&path).0);
    copy_tree(&path, &restored);
    for (path, source) in [(&path, "lake/here"), (&restored, "lake/there")] {
        let mut scene = DecisionContext::open(path);
        scene.declare_plain("orders", source);
        scene.close();
    }
    // At the fixed times of a scene both writers open alike.
    let common = common + 1;
    let before = look(path.parent().unwrap());
    let output = two(&path, &restored, &["--json"]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains(&format!("part after event {common}")), "{}", err(&output));
    let (events, answer) = answer_of(&out(&output), "diff");
    assert_eq!((&answer["verdict"], &answer["common_seq"]), (&"diverged".into(), &common.into()));
    for (side, source) in [("left", "lake/here"), ("right", "lake/there")] {
        let ours = events.iter().filter(|line| line["side"] == side);
        assert!(ours.clone().any(|line| line["event"]["source"] == source), "{side}");
        assert_eq!(answer[side]["events"], ours.count());
    }
    let told = out(&two(&path, &restored, &[]));
    assert!(told.lines().any(|line| line.starts_with('<') && line.contains("source is now lake/here")), "{told}");
    assert!(told.lines().any(|line| line.starts_with('>') && line.contains("source is now lake/there")), "{told}");
    assert!(look(path.parent().unwrap()) == before, "looking changed something");
}

#[test]
fn logs_that_share_nothing_and_logs_that_cannot_be_opened() {
    let (dir, path, mut scene) = begin();
    scene.pass(5);
    scene.declare_plain("orders", "lake/1");
    scene.close();
    let (_other_dir, other) = story_log();
    let output = two(&path, &other, &["--json"]);
    assert_eq!(code(&output), 1);
    let answer = answer_of(&out(&output), "diff").1;
    assert_eq!((&answer["common_seq"], &answer["common_hash"]), (&0.into(), &Value::Null));
    assert!(out(&two(&path, &other, &[])).contains("common  nothing"));

    let absent = dir.path().join("absent");
    for (left, right) in [(&path, &absent), (&absent, &path)] {
        let output = two(left, right, &[]);
        assert_eq!((code(&output), out(&output)), (3, String::new()));
        assert!(err(&output).contains("absent"), "{}", err(&output));
    }
    assert!(!absent.exists());
    std::fs::write(path.join("HEAD"), vec![0; 8192]).unwrap();
    assert_eq!(code(&two(&other, &path, &[])), 1);
}
