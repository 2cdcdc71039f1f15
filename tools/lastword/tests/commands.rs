//! The commands that steer a log, to a run and to a log that rests.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use support::{Ended, Place, Running, lastword, rows, text, until};

/// Sources are looked at often, changes admitted soon, and a task that failed stays live for as long as a test takes.
fn place() -> Place {
    let place = Place::new("quiet = \"50ms\"\nbackoff_base = \"1h\"\nbackoff_cap = \"1h\"\n");
    place.look_often();
    place
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap()
}

fn expect_said(ended: Ended, code: i32, said: &str) {
    let ended = ended.expect_code(code);
    assert!(ended.stderr.contains(said), "expected {said}\nfound    {}", ended.stderr);
}

#[test]
fn a_run_takes_every_command() {
    let place = place();
    place.write("a.parquet", 2, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    assert_eq!(rows(&place.manifest()), 1000);

    let paused = place.command(&["pause", "--json", "--cause", "the disk is replaced"]).expect_code(0);
    let receipt = json(&paused);
    assert_eq!((&receipt["v"], receipt["seq"].as_u64()), (&1.into(), Some(place.last_event())));
    assert_eq!((&receipt["generation"], receipt["collection"].is_u64()), (&1.into(), true), "{receipt}");
    let by = place.last_of("collection_paused")["by"].clone();
    assert!(by["actor"].as_str().unwrap().starts_with("cli"), "{by}");
    assert_eq!(by["cause"], "the disk is replaced");
    let again = place.command(&["pause"]).expect_code(0);
    assert!(again.stdout.contains("nothing had to be changed"), "{}", again.stdout);
    place.write("b.parquet", 2, 1);
    expect_said(place.command(&["wait"]), 1, "lineitem: paused: ");
    assert_eq!(rows(&place.manifest()), 1000);
    place.command(&["resume"]).expect_code(0);
    place.command(&["wait"]).expect_code(0);
    assert_eq!(rows(&place.manifest()), 2000);

    let before = place.status()["applied_seq"].as_u64();
    place.command(&["refresh", "--force"]).expect_code(0);
    support::until("it is built anew", || place.status()["applied_seq"].as_u64() > before);
    let seen = place.last_event().to_string();
    assert!(json(&place.command(&["refresh", "--seen", &seen, "--json"]).expect_code(0))["seq"].is_u64());
    assert!(json(&place.command(&["refresh", "--seen", &seen, "--json"]).expect_code(0))["seq"].is_null());
    expect_said(place.command(&["cancel"]), 2, "there is no live task");

    place.spoil("bad.parquet", Duration::ZERO);
    support::until("a task is live", || place.status()["task"].is_u64());
    expect_said(place.command(&["cancel", "--task", "1"]), 2, "the live task is");
    let task = place.status()["task"].to_string();
    place.command(&["cancel", "--task", &task]).expect_code(0);
    expect_said(place.command(&["wait"]), 1, "lineitem: parked: cancelled by a person");

    fs::remove_dir_all(place.lake()).unwrap();
    fs::create_dir(place.lake()).unwrap();
    expect_said(place.command(&["wait"]), 1, "lineitem: held: ");
    let held = place.status()["held"].as_str().unwrap().to_owned();
    expect_said(place.command(&["confirm", &"0".repeat(64)]), 2, &held);
    expect_said(place.command(&["confirm", "soon"]), 2, "64 hexadecimal digits");
    place.command(&["confirm", &held]).expect_code(0);
    place.command(&["wait"]).expect_code(0);
    assert_eq!(place.manifest()["applied"].as_str(), Some(held.as_str()));

    expect_said(place.command(&["drop"]), 0, "still in the configuration");
    expect_said(place.command(&["wait"]), 2, "there is no collection");
    expect_said(place.command(&["drop"]), 2, "there is no collection");
    run.stop();
}

#[test]
fn a_resting_log_takes_commands_and_nothing_runs() {
    let place = place();
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    place.write("b.parquet", 2, 1);
    let receipt = json(&place.command(&["pause", "--json"]).expect_code(0));
    assert!(receipt["seq"].is_u64(), "{receipt}");
    assert_eq!(place.last_of("collection_paused")["by"]["cause"], Value::Null);
    assert_eq!((place.status()["paused"].clone(), rows(&place.manifest())), (true.into(), 1000));
    expect_said(place.once(), 1, "lineitem: paused");
    place.command(&["resume"]).expect_code(0);
    assert_eq!(rows(&place.manifest()), 1000, "the next run builds, not a command");
    place.once().expect_code(0);
    assert_eq!(rows(&place.manifest()), 2000);

    // By the configuration, which need not be right beyond its state.
    let config = place.config();
    let right = fs::read_to_string(&config).unwrap();
    place.configure(&format!("{right}colour = \"red\"\n"));
    lastword(&["refresh", text(&config), "lineitem"]).expect_code(0);
    lastword(&["status", text(&config), "lineitem"]).expect_code(0);
    place.configure(&right);

    expect_said(place.command(&["confirm", &"0".repeat(64)]), 2, "nothing is held");
    expect_said(place.command(&["cancel"]), 2, "there is no live task");
    place.command(&["drop"]).expect_code(0);
    lastword(&["status", text(&place.state()), "lineitem"]).expect_code(2);
    assert!(!place.socket().exists());
}

#[test]
fn a_refused_command_leaves_a_resting_log_as_it_is() {
    let place = place();
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let before = contents(&place.state());
    expect_said(lastword(&["refresh", text(&place.state()), "nation"]), 2, "there is no collection \"nation\"");
    expect_said(place.command(&["cancel"]), 2, "there is no live task");
    expect_said(place.command(&["confirm", &"0".repeat(64)]), 2, "nothing is held");
    assert_eq!(contents(&place.state()), before);
    place.command(&["pause"]).expect_code(0);
    assert_ne!(contents(&place.state()), before);
}

/// What is believed of a source only the run knows that observes it.
#[test]
fn defect_21_a_content_check_takes_a_run_and_says_so() {
    let place = place();
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let before = contents(&place.state());
    expect_said(place.command(&["refresh", "--verify"]), 3, "no run has the log open");
    assert_eq!(contents(&place.state()), before);
    expect_said(place.command(&["refresh", "--verify", "--force"]), 2, "cannot be used with");
    let run = Running::start(&place);
    until("the first look", || place.status()["live"]["last_look"]["evidence"] == "strong");
    place.command(&["refresh", "--verify"]).expect_code(0);
    until("everything was read", || {
        place.status()["condition"] == "fresh" && place.status()["live"]["last_look"]["weak"] == 0
    });
    run.stop();
    assert_eq!(place.last_of("refresh_requested")["collection"], "lineitem");
}

/// All files below a directory.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
        }
    }
    found
}

#[test]
fn unknown_names_and_logs_are_told_apart() {
    let place = place();
    place.once();
    let run = Running::start(&place);
    let zeros = "0".repeat(64);
    let all = || {
        for verb in ["refresh", "cancel", "pause", "resume", "drop", "wait", "confirm"] {
            for (state, name, code) in [
                (place.state(), "nation", 2),
                (place.state(), "line\nitem", 2),
                (place.dir.path().join("absent"), "lineitem", 3),
                (place.lake(), "lineitem", 3),
                (place.dir.path().join("absent.toml"), "lineitem", 2),
            ] {
                let mut arguments = vec![verb, text(&state), name];
                arguments.extend((verb == "confirm").then_some(zeros.as_str()));
                let ended = lastword(&arguments).expect_code(code);
                assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1), "{arguments:?}");
            }
        }
        assert!(!place.dir.path().join("absent").exists());
        assert_eq!(fs::read_dir(place.lake()).unwrap().count(), 0);
    };
    all();
    run.stop();
    all();
    for flaw in [["--actor", ""], ["--cause", "a\nb"]] {
        lastword(&[&["pause", text(&place.state()), "lineitem"][..], &flaw].concat()).expect_code(2);
    }
}

#[test]
fn a_wait_means_what_the_source_holds_now() {
    let place = place();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    for round in 0..5 {
        place.write(format!("b{round}.parquet"), 1, round);
        place.command(&["wait"]).expect_code(0);
        assert_eq!(rows(&place.manifest()), place.count(), "round {round}");
    }
    place.command(&["wait", "--generation", "1"]).expect_code(0);
    // What only the run knows is shown beside what the log says, while it runs.
    let live = place.status()["live"].clone();
    assert_eq!((&live["last_look"]["succeeded"], &live["workers_exhausted"]), (&true.into(), &false.into()), "{live}");
    assert!(live["last_look"]["seconds_ago"].is_f64(), "{live}");
    let answer = place.command(&["wait", "--generation", "99", "--timeout", "1ms", "--json"]).expect_code(1);
    assert_eq!(json(&answer)["waited"], "pending");
    let late = "lineitem: not within 1ms: there is no generation 99 yet, the newest is ";
    expect_said(place.command(&["wait", "--generation", "99", "--timeout", "1ms"]), 1, late);
    run.stop();
    assert_eq!(place.status()["live"], Value::Null);
    expect_said(place.command(&["wait"]), 1, "no lastword runs here");
    place.command(&["wait", "--generation", "1"]).expect_code(0);
    let resting =
        "no lastword runs here, so there is nothing to wait for: there is no generation 99 yet, the newest is ";
    expect_said(place.command(&["wait", "--generation", "99"]), 1, resting);
}

#[test]
fn who_asked_and_why_is_recorded_with_what_it_led_to() {
    let place = place();
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let declared = place.last_of("collection_declared")["by"].clone();
    assert_eq!(declared["cause"], format!("declared in {}", text(&place.config())), "{declared}");
    lastword(&["run", text(&place.config()), "--once", "--refresh", "lineitem"]).expect_code(0);
    assert!(place.last_of("refresh_requested")["by"]["actor"].as_str().unwrap().starts_with("cli"));
    for (verb, event) in
        [("pause", "collection_paused"), ("resume", "collection_resumed"), ("refresh", "refresh_requested")]
    {
        place.command(&[verb, "--actor", "ann", "--cause", verb]).expect_code(0);
        let by = place.last_of(event)["by"].clone();
        assert_eq!((&by["actor"], &by["cause"]), (&"ann".into(), &verb.into()), "{by}");
    }
}

#[test]
fn a_wait_has_the_source_looked_at() {
    let place = Place::new("quiet = \"50ms\"\n");
    place.set("look_interval = \"1h\"\nwatch = false\n");
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    for round in 0..3 {
        place.command(&["wait"]).expect_code(0);
        assert_eq!((rows(&place.manifest()), place.count()), (500 * (round + 1), 500 * (round + 1)));
        place.write(format!("b{round}.parquet"), 1, 7);
    }
    run.stop();
}

#[test]
fn a_generation_that_was_given_up_is_told() {
    let place = place();
    place.spoil("bad.parquet", Duration::from_secs(60));
    let run = Running::start(&place);
    expect_said(place.command(&["wait"]), 1, "bad.parquet");
    let parked = place.command(&["wait", "--generation", "1", "--json"]).expect_code(1);
    assert_eq!((&json(&parked)["waited"], &json(&parked)["generation"]), (&"parked".into(), &1.into()));
    place.spoil("worse.parquet", Duration::from_secs(60));
    support::until("the change is wanted", || place.status()["generation"] == 2);
    expect_said(place.command(&["wait", "--generation", "1"]), 1, "lineitem: superseded: generation 2 is wanted");
    run.stop();
}

#[test]
fn init_writes_what_runs_and_overwrites_nothing() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    let file = place.dir.path().join("my.toml");
    lastword(&["init", text(&file)]).expect_code(0);
    let written = fs::read_to_string(&file).unwrap();
    fs::rename(place.lake(), place.dir.path().join("data")).unwrap();
    lastword(&["run", text(&file), "--once"]).expect_code(0);
    let status = lastword(&["status", text(&file), "example", "--json"]).expect_code(0);
    assert_eq!((&json(&status)["rows"], &json(&status)["condition"]), (&1000.into(), &"fresh".into()));

    fs::write(&file, "mine").unwrap();
    expect_said(lastword(&["init", text(&file)]), 2, "stays as it is");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(written.contains("my.toml"), "the commands in it name the file");
    lastword(&["init", text(&place.dir.path().join("absent/my.toml"))]).expect_code(3);
}
