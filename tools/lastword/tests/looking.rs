//! The commands that look at what a log has recorded, on real files and what a run has made of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::Value;
use support::{Place, lastword, text};

fn lines(arguments: &[&str]) -> Vec<Value> {
    let ended = lastword(arguments).expect_code(0);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A log of two commits, and where the first ended.
fn two_commits() -> (Place, u64) {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.write("b.parquet", 2, 1);
    place.once().expect_code(0);
    let first = place.last_event();
    std::fs::remove_file(place.lake().join("a.parquet")).unwrap();
    place.write("c.parquet", 2, 2);
    place.once().expect_code(0);
    (place, first)
}

/// The segments of a manifest, with their rows.
fn rows(manifest: &Value) -> Vec<(String, u64)> {
    let segments = manifest["segments"].as_array().unwrap().iter();
    segments.map(|segment| (segment["id"].to_string(), segment["rows"].as_u64().unwrap())).collect()
}

#[test]
fn a_manifest_is_shown_as_it_was() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let (before, first) = (place.manifest(), place.last_event().to_string());
    place.write("b.parquet", 2, 1);
    place.once().expect_code(0);
    assert_ne!(place.manifest(), before);
    let (state, config) = (place.state(), place.config());
    for named in [&state, &config] {
        assert_eq!(
            lines(&["manifest", text(named), "lineitem", "--at", &first, "--json"]),
            std::slice::from_ref(&before)
        );
    }
    let shown = lastword(&["manifest", text(&config), "lineitem", "--at", &first]).expect_code(0).stdout;
    assert!(shown.contains("a.parquet (1,000)") && !shown.contains("b.parquet"), "{shown}");
    let ended = lastword(&["manifest", text(&config), "lineitem", "--at", "1"]).expect_code(2);
    assert!(ended.stderr.contains("there is no collection \"lineitem\" in the log at event 1"), "{}", ended.stderr);
}

#[test]
fn a_difference_names_segments_and_files() {
    let (place, first) = two_commits();
    let (config, first) = (place.config(), first.to_string());
    let found = lines(&["diff", text(&config), "--from", &first, "--files", "--json"]);
    let lineitem = &found[0];
    let files: Vec<_> =
        lineitem["files"]["files"].as_array().unwrap().iter().map(|file| (&file["path"], &file["change"])).collect();
    assert_eq!(files, [(&"a.parquet".into(), &"removed".into()), (&"c.parquet".into(), &"added".into())]);
    let segments = &lineitem["segments"];
    // What the manifests say, whoever compares them.
    let before = rows(&lines(&["manifest", text(&config), "lineitem", "--at", &first, "--json"])[0]);
    let after = rows(&place.manifest());
    let only = |one: &[(String, u64)], other: &[(String, u64)]| -> (u64, u64) {
        let differ = one.iter().filter(|segment| !other.contains(segment)).map(|(_, rows)| *rows);
        differ.fold((0, 0), |(count, sum), rows| (count + 1, sum + rows))
    };
    let ((new, rows_new), (dropped, rows_dropped)) = (only(&after, &before), only(&before, &after));
    assert!(new > 0 && dropped > 0);
    assert_eq!((&segments["new"], &segments["dropped"]), (&new.into(), &dropped.into()));
    assert_eq!((&segments["rows_new"], &segments["rows_dropped"]), (&rows_new.into(), &rows_dropped.into()));
    // Counts alone unless names are asked for.
    let found = lines(&["diff", text(&config), "--from", &first, "--json"]);
    assert_eq!((&found[0]["files"]["added"], found[0]["files"]["files"].as_array().unwrap().len()), (&1.into(), 0));
    let shown = lastword(&["diff", text(&config), "--from", &first]).expect_code(0).stdout;
    assert!(shown.contains("- a.parquet (version ") && shown.contains("1 added, 0 changed, 1 removed"), "{shown}");
    assert!(shown.contains(" new (2,000 rows), ") && shown.contains("+ segment "), "{shown}");
}

#[test]
fn a_task_tells_what_its_commit_has_of_it() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let before = rows(&place.manifest());
    place.write("b.parquet", 2, 1);
    place.once().expect_code(0);
    let task = place.last_of("task_completed")["task"].to_string();
    let told = lines(&["why", text(&place.config()), "lineitem", "--task", &task, "--json"]).pop().unwrap();
    let after = rows(&place.manifest());
    let new: u64 = after.iter().filter(|segment| !before.contains(segment)).map(|(_, rows)| *rows).sum();
    assert_eq!((&told["built"]["rows"], &told["built"]["of_rows"]), (&new.into(), &2000.into()));
    assert_eq!((&told["outcome"], &told["work"]["attempts"]), (&"committed".into(), &1.into()));
    // The first had built what the second kept.
    let first = lines(&["dump", text(&place.state()), "--type", "task_completed", "--json"])[0]["task"].to_string();
    let told = lines(&["why", text(&place.config()), "lineitem", "--task", &first, "--json"]).pop().unwrap();
    assert_eq!((&told["built"]["rows"], &told["built"]["of_rows"]), (&1000.into(), &1000.into()));
}

#[test]
fn what_is_wrong_is_said_as_lastword_says_it() {
    let (place, _) = two_commits();
    let ended = lastword(&["why", text(&place.config()), "nation"]).expect_code(2);
    assert!(ended.stderr.starts_with("lastword: NAME \"nation\": no such collection"), "{}", ended.stderr);
    let ended = lastword(&["dump", text(&place.state()), "--collection", "nation"]).expect_code(0);
    assert!(ended.stderr.starts_with("lastword: no event of collections \"nation\""), "{}", ended.stderr);
    let state = lines(&["state", text(&place.config()), "--json"]);
    assert_eq!(state[0]["name"], "lineitem");
    assert_eq!(lines(&["head", text(&place.config()), "--json"])[0]["seq"], place.last_event());
}
