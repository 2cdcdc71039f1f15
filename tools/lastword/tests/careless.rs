//! What a careless operator meets: something was damaged, removed or edited beside the run, and no command says that all is
//! well, nor what is not true.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use support::{Ended, Place, Running, lastword, program, text, until, wait};

fn built() -> Place {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    place
}

/// The object of the applied manifest.
fn manifest_of(place: &Place) -> PathBuf {
    let hash = place.status()["manifest"].as_str().unwrap().to_owned();
    place.state().join("objects").join(&hash[..2]).join(&hash)
}

fn append(path: &PathBuf) {
    fs::File::options().append(true).open(path).unwrap().write_all(b"x").unwrap();
}

/// A command to the configuration.
fn to_config(place: &Place, arguments: &[&str]) -> Ended {
    let config = place.config();
    lastword(&[&arguments[..1], &[text(&config)], &arguments[1..]].concat())
}

fn check(place: &Place) -> Ended {
    to_config(place, &["status", "--check"])
}

#[test]
fn defect_39_an_applied_manifest_that_cannot_be_read_is_a_cause() {
    let place = built();
    place.once().expect_code(0);
    let path = manifest_of(&place);
    append(&path);
    let config = place.config();
    let force = format!("build it anew with: lastword refresh {} lineitem --force", text(&config));
    let run = Running::start(&place);
    let shown = check(&place).expect_code(1).stdout;
    assert!(shown.contains("its manifest is damaged") && shown.contains(&force), "{shown}");
    assert!(!shown.contains(" fresh "), "{shown}");
    assert!(place.status()["manifest_problem"].as_str().unwrap().contains("is damaged"));
    let waited = to_config(&place, &["wait", "lineitem"]).expect_code(1);
    assert!(waited.stderr.contains("its manifest is damaged") && waited.stderr.contains(&force), "{}", waited.stderr);

    // What it says to do helps.
    to_config(&place, &["refresh", "lineitem", "--force"]).expect_code(0);
    until("it was built anew", || check(&place).code == Some(0));
    to_config(&place, &["wait", "lineitem"]).expect_code(0);
    assert_eq!(place.status()["manifest_problem"], Value::Null);
    let said = run.stop().stderr;
    assert!(said.contains("lineitem: its manifest is damaged") && said.contains(&force), "{said}");

    // Nor does it hide that it is gone, or that no run is there.
    fs::remove_file(manifest_of(&place)).unwrap();
    let shown = check(&place).expect_code(1).stdout;
    assert!(shown.contains("its manifest is damaged") && shown.contains(&force), "{shown}");
}

#[test]
fn defect_48_what_the_file_says_and_the_log_has_not_is_told() {
    let place = built();
    let config = place.config();
    let reload = format!("lastword reload {}", text(&config));
    let right = fs::read_to_string(&config).unwrap();
    let more = format!("{right}[collections.payments]\nsource = \"lake/\"\nspec = {{ format = \"parquet\" }}\n");
    let run = Running::start(&place);
    to_config(&place, &["wait", "lineitem"]).expect_code(0);
    check(&place).expect_code(0);
    let differs = |said: &str| {
        let ended = check(&place).expect_code(1);
        assert!(ended.stderr.contains(said) && ended.stderr.contains(&reload), "{said}: {}", ended.stderr);
    };

    place.configure(&more);
    differs("payments: is in ");
    for command in [&["wait", "payments"][..], &["pause", "payments"], &["status", "payments"]] {
        let ended = to_config(&place, command).expect_code(2);
        assert!(ended.stderr.contains("there is no collection \"payments\""), "{}", ended.stderr);
        assert!(ended.stderr.contains(&reload), "{}", ended.stderr);
    }
    // What was not asked for is not told, and who names the log asks nothing of the file.
    let one = to_config(&place, &["status", "lineitem", "--check"]).expect_code(0);
    assert!(!one.stderr.contains("payments"), "{}", one.stderr);
    lastword(&["status", text(&place.state()), "--check"]).expect_code(0);
    to_config(&place, &["reload"]).expect_code(0);
    to_config(&place, &["wait", "payments"]).expect_code(0);
    check(&place).expect_code(0);

    // Dropped, with the file as it is.
    to_config(&place, &["drop", "payments"]).expect_code(0);
    differs("payments: is in ");
    to_config(&place, &["reload"]).expect_code(0);
    to_config(&place, &["wait", "payments"]).expect_code(0);

    // Gone from the file, and the run has not read it again.
    place.configure(&right);
    differs("payments: is gone from ");
    place.configure(&more.replace("target_rows = 1000", "target_rows = 500"));
    differs("lineitem: has another spec in ");
    let waited = to_config(&place, &["wait", "lineitem"]).expect_code(1);
    assert!(waited.stderr.contains("has another spec in ") && waited.stderr.contains(&reload), "{}", waited.stderr);
    fs::create_dir(place.dir.path().join("other")).unwrap();
    place.configure(&more.replacen("lake/", "other/", 1));
    differs("lineitem: has another source in ");

    // One that cannot be read is no file that says nothing.
    place.configure(&format!("{more}wrong = 1\n"));
    let ended = check(&place).expect_code(1);
    assert!(ended.stderr.contains("lake.toml:") && ended.stderr.contains("wrong"), "{}", ended.stderr);
    to_config(&place, &["status"]).expect_code(0);
    place.configure(&more);
    check(&place).expect_code(0);
    run.stop();
    place.configure(&right.replace("target_rows = 1000", "target_rows = 500"));
    let ended = check(&place).expect_code(1);
    assert!(ended.stderr.contains("has another spec in ") && !ended.stderr.contains(&reload), "{}", ended.stderr);
}

#[test]
fn defect_39_without_a_run_nothing_is_said_to_wait_for_a_worker() {
    let place = built();
    place.once().expect_code(0);
    place.command(&["refresh", "--force"]).expect_code(0);
    let created = place.last_of("task_created")["time"].as_str().unwrap().to_owned();
    let created = format!("{}Z", created.split('.').next().unwrap());
    // A later question has the same answer.
    until("time goes on", || humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string() > created);
    let shown = to_config(&place, &["status"]).expect_code(0).stdout;
    let row = shown.lines().find(|line| line.starts_with("lineitem")).unwrap();
    assert!(row.contains(&created), "{created}: {shown}");
    assert!(row.contains(" unknown ") && !row.contains(" 0s "), "{shown}");
    assert!(row.contains("no lastword runs") && !row.contains("idle worker"), "{shown}");
    let waited = to_config(&place, &["wait", "lineitem"]).expect_code(1);
    assert!(waited.stderr.contains("no lastword runs") && !waited.stderr.contains("idle worker"), "{}", waited.stderr);
}

#[test]
fn defect_43_a_missing_head_is_one_finding_everywhere() {
    let place = built();
    place.once().expect_code(0);
    fs::remove_file(place.state().join("HEAD")).unwrap();
    let (state, config) = (place.state(), place.config());
    let (state, config) = (text(&state), text(&config));
    for arguments in [
        vec!["status", state],
        vec!["manifest", state, "lineitem"],
        vec!["pause", state, "lineitem"],
        vec!["drop", state, "lineitem"],
        vec!["wait", state, "lineitem"],
        vec!["reload", state],
        vec!["run", config, "--once"],
    ] {
        let ended = lastword(&arguments).expect_code(1);
        assert!(ended.stderr.contains("HEAD is missing"), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("--accept-loss"), "{arguments:?}: {}", ended.stderr);
    }
    // Where nothing is, nothing is damaged, and no success is told either.
    let nowhere = place.dir.path().join("nowhere");
    for arguments in [vec!["pause", text(&nowhere), "lineitem"], vec!["reload", text(&nowhere)]] {
        let ended = lastword(&arguments).expect_code(3);
        assert!(ended.stderr.contains("there is no log"), "{arguments:?}: {}", ended.stderr);
        assert!(!nowhere.exists());
    }
}

#[test]
fn defect_39_a_run_whose_socket_is_gone_is_known_as_lastword() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    // At no moment is nothing there: the run would make it again.
    let other = place.dir.path().join("no socket");
    fs::write(&other, "").unwrap();
    fs::rename(other, place.socket()).unwrap();
    let end = format!("kill -TERM {}", run.pid());
    for command in ["pause", "wait", "reload", "status"] {
        let name = if command == "reload" { &[][..] } else { &["lineitem"] };
        let ended = to_config(&place, &[&[command][..], name].concat());
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(&end) && said.contains("control.sock"), "{command}: {said}");
        assert!(!said.contains("another program"), "{command}: {said}");
    }
    // What it says to do helps.
    run.stop();
    let run = Running::start(&place);
    place.command(&["pause"]).expect_code(0);
    run.stop();
}

#[test]
fn defect_48_a_summary_counts_a_word_once_and_hides_nobody() {
    let place = built();
    let config = fs::read_to_string(place.config()).unwrap();
    let nation = "[collections.nation]\nsource = \"lake/\"\nspec = { format = \"parquet\" }\n";
    place.configure(&format!("{config}{nation}"));
    place.once().expect_code(0);
    place.command(&["pause"]).expect_code(0);
    let shown = || to_config(&place, &["status"]).expect_code(0).stdout;
    assert!(shown().ends_with("2 collections: 2 fresh?, of them 1 paused as well\n"), "{}", shown());
    place.command(&["resume"]).expect_code(0);
    place.configure(&config);
    place.once().expect_code(0);
    assert!(shown().ends_with("of them 1 paused as well, of them 1 unmanaged\n"), "{}", shown());
}

#[test]
fn defect_48_what_waits_for_a_person_says_what_to_type() {
    let place = built();
    let config = place.config();
    place.once().expect_code(0);
    let run = Running::start(&place);
    to_config(&place, &["wait", "lineitem"]).expect_code(0);
    place.command(&["pause"]).expect_code(0);
    place.write("b.parquet", 1, 7);
    let resume = format!("lastword resume {} lineitem", text(&config));
    let waited = to_config(&place, &["wait", "lineitem"]).expect_code(1);
    assert!(waited.stderr.contains(&resume), "{}", waited.stderr);
    run.stop();
    let once = place.once().expect_code(1);
    assert!(once.stderr.contains(&resume), "{}", once.stderr);
    let waited = to_config(&place, &["wait", "lineitem"]).expect_code(1);
    assert!(waited.stderr.contains(&resume) && waited.stderr.contains("lastword run "), "{}", waited.stderr);
    place.command(&["resume"]).expect_code(0);
    place.once().expect_code(0);

    for name in ["a.parquet", "b.parquet"] {
        fs::remove_file(place.lake().join(name)).unwrap();
    }
    place.once().expect_code(1);
    let run = Running::start(&place);
    let waited = to_config(&place, &["wait", "lineitem", "--json"]).expect_code(1);
    let held = serde_json::from_str::<Value>(&waited.stdout).unwrap()["held"].as_str().unwrap().to_owned();
    let confirm = format!("confirm it with: lastword confirm {} lineitem {held}", text(&config));
    let waited = to_config(&place, &["wait", "lineitem"]).expect_code(1);
    assert!(waited.stderr.contains(&confirm), "{}", waited.stderr);
    to_config(&place, &["confirm", "lineitem", &held]).expect_code(0);
    to_config(&place, &["wait", "lineitem"]).expect_code(0);
    run.stop();
}

#[test]
fn defect_47_what_was_mistaken_for_something_else_is_told() {
    let place = built();
    place.once().expect_code(0);
    // A drop that the file takes back.
    let note = "it is still in the configuration";
    let dropped = to_config(&place, &["drop", "lineitem"]).expect_code(0);
    assert!(dropped.stderr.contains(note), "{}", dropped.stderr);
    place.once().expect_code(0);
    // A pattern for a name.
    for command in ["pause", "wait"] {
        let refused = to_config(&place, &[command, "line*"]).expect_code(2);
        assert!(refused.stderr.contains("takes one name and no patterns"), "{command}: {}", refused.stderr);
    }
    // An exported log for a state directory.
    let stream = place.dir.path().join("g.evlog");
    fs::write(&stream, "x").unwrap();
    for command in [&["status", text(&stream)][..], &["pause", text(&stream), "lineitem"]] {
        let refused = lastword(command).expect_code(3);
        assert!(refused.stderr.contains("log-dump import STATE"), "{command:?}: {}", refused.stderr);
    }
    // A key of the spec beside it.
    let config = fs::read_to_string(place.config()).unwrap();
    place.configure(&format!("{config}exclude = [\"*.csv\"]\n"));
    let refused = to_config(&place, &["plan"]).expect_code(2);
    assert!(refused.stderr.contains("exclude: belongs in the spec: spec = { .., exclude = .. }"), "{}", refused.stderr);
    place.configure(&config);
    // A run that is stopped for one that works.
    let run = Running::start(&place);
    run.signal("STOP");
    let refused = place.once().expect_code(3);
    let stopped = format!("which is stopped; kill -CONT {} lets it go on", run.pid());
    assert!(refused.stderr.contains(&stopped), "{}", refused.stderr);
    run.signal("CONT");
    run.stop();
}

#[test]
fn defect_48_help_that_could_not_be_written_is_no_success() {
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child = program().args(arguments).stdout(full).spawn().unwrap();
        wait(child, Duration::from_secs(60)).expect_code(3);
    }
}
