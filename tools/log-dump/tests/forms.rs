//! `dump`: its forms, its order, and what comes while it looks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use lastword::core::vocabulary::*;
use serde_json::Value;
use support::scene::DecisionContext;
use support::*;

#[test]
fn the_last_come_first_and_no_more_than_asked_for() {
    let (_dir, path) = story_log();
    let all = ok(&path, "dump", &[]);
    let forwards: Vec<&str> = all.lines().collect();
    let lines = |more: &[&str]| -> Vec<String> { ok(&path, "dump", more).lines().map(str::to_owned).collect() };
    let backwards: Vec<&str> = forwards.iter().rev().copied().collect();
    assert_eq!(lines(&["--reverse"]), backwards);
    assert_eq!(lines(&["--reverse", "--limit", "3"]), backwards[..3]);
    assert_eq!(lines(&["--limit", "3"]), forwards[..3]);
    assert_eq!(lines(&["--last", "5", "--limit", "2"]), forwards[forwards.len() - 5..][..2]);
    assert_eq!(lines(&["--last", "5", "--reverse"]), backwards[..5]);
    let (json, summary) = json(&path, "dump", &["--reverse", "--limit", "1"]);
    assert_eq!((json.len(), &summary["events"]), (1, &1.into()));
    assert_eq!(json[0]["seq"], last(&path).0);
    assert_eq!(ok(&path, "dump", &["--format", "json"]), ok(&path, "dump", &["--json"]));
    assert_eq!(code(&on(&path, "dump", &["--json", "--format", "csv"])), 2);
}

/// More events than are kept at once.
#[test]
fn what_does_not_fit_a_stretch_comes_in_order_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut log = Box::new(open(&path));
    let unknown: Vec<_> = (0..1000).map(|_| (999_u16, 1_u16, Vec::new())).collect();
    (0..140).for_each(|_| append_to(&mut log, &unknown));
    lastword::log::Log::close(log).unwrap();
    let numbers = |more: &[&str]| -> Vec<u64> {
        let lines = json(&path, "dump", more).0;
        lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&["--reverse"]), (1..=140_000).rev().collect::<Vec<u64>>());
    assert_eq!(numbers(&["--reverse", "--from", "70000", "--to", "70003"]), [70_002, 70_001, 70_000]);
}

#[test]
fn a_table_has_the_same_number_of_cells_in_each_line_whatever_is_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut scene = DecisionContext::open(&path);
    scene.declare_plain("orders", "lake/\"a,b\"");
    let attempt = scene.assign();
    scene.fail(attempt, FailureClass::Transient, "first, \"second\"\nthird");
    scene.close();
    let text = ok(&path, "dump", &["--format", "csv"]);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headings = reader.headers().unwrap().clone();
    let (lines, _) = json(&path, "dump", &[]);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), lines.len());
    for (record, line) in records.iter().zip(&lines) {
        for (heading, cell) in headings.iter().zip(record) {
            match &line[heading] {
                Value::Null => assert!(cell.is_empty() || heading == "text", "{heading}: {cell}"),
                Value::String(text) => assert_eq!(cell, text),
                other => assert_eq!(cell, other.to_string()),
            }
        }
    }
    assert!(records[records.len() - 1].iter().next_back().unwrap().starts_with("20"), "the sentence is the last cell");
}

/// The form: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>.
#[test]
fn a_trace_has_a_bar_for_each_attempt_and_an_instant_for_each_change() {
    let (_dir, path) = story_log();
    let (events, _) = json(&path, "dump", &[]);
    let trace: Value = serde_json::from_str(&ok(&path, "dump", &["--format", "trace"])).unwrap();
    let trace = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &str| -> Vec<&Value> { trace.iter().filter(|event| event["ph"] == kind).collect() };
    let typed = |event_type: &str| events.iter().filter(|event| event["type"] == event_type).count();
    assert_eq!(of("X").len(), typed("task_started"));
    let ended = |end: &str| of("X").iter().filter(|bar| bar["name"] == end).count();
    assert_eq!(ended("committed"), typed("task_completed"));
    assert_eq!(of("i").iter().filter(|change| change["name"] == "source observed").count(), typed("source_observed"));
    // Every bar is in a track of its collection, and none overlaps another one of its track.
    let tracks: BTreeMap<u64, &str> = of("M")
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| (event["tid"].as_u64().unwrap(), event["args"]["name"].as_str().unwrap()))
        .collect();
    let mut bars: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for bar in of("X") {
        let started = events.iter().find(|event| event["seq"] == bar["args"]["started_by"]).unwrap();
        let track = bar["tid"].as_u64().unwrap();
        let name = started["collection"].as_str().unwrap();
        assert!(tracks[&track] == name || tracks[&track].starts_with(&format!("{name} (")), "{bar}");
        let (begin, took) = (bar["ts"].as_u64().unwrap(), bar["dur"].as_u64().unwrap());
        bars.entry(track).or_default().push((begin, begin + took));
    }
    for track in bars.values_mut() {
        track.sort_unstable();
        assert!(track.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{track:?}");
    }
}

/// An attempt that is still to stop, and one that goes on.
#[test]
fn what_goes_on_is_shown_up_to_the_last_event() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut scene = DecisionContext::open(&path);
    scene.declare_plain("orders", "lake/1");
    scene.assign();
    scene.declare_plain("orders", "lake/2");
    scene.declare_plain("others", "lake/1");
    scene.assign();
    scene.pass(5);
    scene.declare_plain("third", "lake/1");
    scene.close();
    let trace: Value = serde_json::from_str(&ok(&path, "dump", &["--format", "trace"])).unwrap();
    let bars: Vec<&Value> =
        trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").collect();
    let names: Vec<&Value> = bars.iter().map(|bar| &bar["name"]).collect();
    assert_eq!(names, ["superseded", "running"]);
    assert_ne!(bars[0]["tid"], bars[1]["tid"]);
    assert_eq!(bars[1]["dur"], 6_000_000);
}

#[test]
fn what_comes_is_shown_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut scene = DecisionContext::open(&path);
    scene.declare_plain("orders", "lake/1");
    let known = scene.last();
    let arguments = ["dump", path.to_str().unwrap(), "--follow", "--json", "--limit", &(known + 2).to_string()];
    let mut child = program().args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| -> Value { serde_json::from_str(&line.unwrap()).unwrap() });
    for seq in 1..=known {
        assert_eq!(lines.next().unwrap()["seq"], seq);
    }
    // Only now does it come. What has the log open writes HEAD down from time to time, and when it closes it.
    scene.close();
    for turn in 0.. {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        assert!(turn < 600, "what has come is not shown");
        let mut scene = DecisionContext::open(&path);
        scene.declare_plain("orders", &format!("lake/{turn}"));
        scene.close();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let rest: Vec<Value> = lines.collect();
    let numbers: Vec<u64> = rest.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(numbers, [known + 1, known + 2]);
    assert_eq!(rest.last().unwrap()["kind"], "summary");
    assert!(child.wait().unwrap().success());
    assert_eq!(code(&on(&path, "dump", &["--follow", "--reverse"])), 2);
}

/// Nothing that comes can be selected, so nothing is waited for.
#[test]
fn following_ends_where_nothing_can_come_any_more() {
    let (_dir, state) = story_log();
    for range in [["--to", "3"], ["--until", "1s"]] {
        let shown = ok(&state, "dump", &[&["--follow"], &range[..]].concat());
        assert_eq!(shown, ok(&state, "dump", &range));
    }
}
