//! What an operator names, mistakes and leaves behind: it is taken, or refused with what to type.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::process::Command;
use std::thread;

use support::{Place, Running, lastword, program, text, until, wait};

#[test]
fn a_configuration_may_be_called_anything() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    for name in ["lake.conf", "LAKE.TOML", "what-I-keep"] {
        let file = place.dir.path().join(name);
        fs::copy(place.config(), &file).unwrap();
        lastword(&["run", text(&file), "--once", "-q"]).expect_code(0);
        for command in [&["status"][..], &["plan"], &["state"], &["dump"], &["head"], &["metrics"], &["wait"]] {
            let with = if command[0] == "wait" { &["lineitem"][..] } else { &[] };
            // The last two are for a run.
            let code = match command[0] {
                "metrics" => 3,
                "wait" => 1,
                _ => 0,
            };
            let ended = lastword(&[command, &[text(&file)], with].concat()).expect_code(code);
            assert!(!ended.stderr.contains("LWEV"), "{name} {command:?}: {}", ended.stderr);
        }
        lastword(&["why", text(&file), "lineitem"]).expect_code(0);
    }
}

#[test]
fn a_report_of_nothing_is_refused() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let page = place.dir.path().join("page.html");
    let report = |more: &[&str]| lastword(&[&["report", text(&place.state()), "-o", text(&page)], more].concat());
    for (more, said) in [(["--collection", "nope*"], "no name matches"), (["--to", "0"], "--to")] {
        let ended = report(&more).expect_code(2);
        assert!(ended.stderr.contains(said) && !page.exists(), "{}", ended.stderr);
    }
    report(&["--collection", "nope*", "--collection", "line*"]).expect_code(0);
}

#[test]
fn a_pipe_that_nobody_writes_to_is_said_and_given_up() {
    let place = Place::new("");
    let pipe = place.dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let commands = [["status"].as_slice(), &["plan"], &["run", "--once"], &["reload"]];
    let start = |command: &&[&str]| {
        let mut child = program();
        child.arg(command[0]).arg(&pipe).args(&command[1..]);
        child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = commands.iter().map(start).collect();
    for (child, command) in running.into_iter().zip(commands) {
        let ended = wait(child, std::time::Duration::from_secs(90)).expect_code(3);
        for said in
            ["is no file, and nothing has come out of it yet", "is no file, and nothing has come out of it for 30s"]
        {
            assert!(ended.stderr.contains(said), "{command:?}: {}", ended.stderr);
        }
    }
    // Whoever writes late is heard.
    let config = fs::read_to_string(place.config()).unwrap();
    place.write("a.parquet", 1, 0);
    let writer = thread::spawn({
        let pipe = pipe.clone();
        move || {
            thread::sleep(std::time::Duration::from_secs(4));
            fs::write(pipe, config).unwrap();
        }
    });
    lastword(&["run", text(&pipe), "--once", "-q"]).expect_code(0);
    writer.join().unwrap();
}

#[test]
fn a_log_that_is_not_there_yet_is_said_with_what_makes_it() {
    let place = Place::new("");
    for command in [&["status"][..], &["state"], &["report", "-o", "x.html"]] {
        let ended = lastword(&[&[command[0], text(&place.config())], &command[1..]].concat()).expect_code(3);
        let make = format!("make it: lastword run {}", text(&place.config()));
        assert!(
            ended.stderr.contains("there is no log") && ended.stderr.contains(&make),
            "{command:?}: {}",
            ended.stderr
        );
    }
    // The run that began before the file named another place is not lost sight of.
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    let config = fs::read_to_string(place.config()).unwrap();
    place.configure(&config.replace("\"state\"", "\"state2\""));
    let ended = lastword(&["status", text(&place.config())]).expect_code(3);
    assert!(ended.stderr.contains("ask for that directory"), "{}", ended.stderr);
    // A second run is told who has the log.
    place.configure(&config);
    let ended = lastword(&["run", text(&place.config())]).expect_code(3);
    let shows = format!("process {}; lastword status {} shows who that is", run.pid(), text(&place.config()));
    assert!(ended.stderr.contains(&shows), "{}", ended.stderr);
    // A socket that was removed comes again, and nobody is told to end a run that is well.
    fs::remove_file(place.socket()).unwrap();
    until("the socket is there again", || place.socket().exists());
    run.stop();
}

#[test]
fn what_can_match_nothing_and_what_is_no_address_is_refused() {
    for (key, pattern) in [("include", "./*.parquet"), ("exclude", "../a"), ("exclude", "x//y"), ("include", "a/./b")] {
        let place = Place::new("");
        let config = fs::read_to_string(place.config()).unwrap();
        let with = format!("format = \"parquet\", {key} = [\"{pattern}\"]");
        place.configure(&config.replace("format = \"parquet\"", &with));
        for command in ["plan", "run"] {
            let ended = lastword(&[command, text(&place.config())]).expect_code(2);
            let said =
                ended.stderr.contains("it can match nothing") && ended.stderr.contains(&format!("lineitem.spec.{key}"));
            assert!(said && ended.stderr.contains("lake.toml:4"), "{pattern}: {}", ended.stderr);
        }
    }
    let place = Place::new("");
    for address in ["localhost:8080", "127.0.0.1", "8080"] {
        let ended = lastword(&["run", text(&place.config()), "--http", address]).expect_code(2);
        assert!(ended.stderr.contains("such as 127.0.0.1:8080"), "{}", ended.stderr);
    }
    place.set("[defaults]\nbackoff_cap = \"100ms\"\n");
    let config = fs::read_to_string(place.config()).unwrap();
    place.configure(&config.replace(
        "[defaults]\nbackoff_cap = \"100ms\"\nstate = \"state\"",
        "state = \"state\"\n[defaults]\nbackoff_cap = \"100ms\"",
    ));
    let ended = lastword(&["plan", text(&place.config())]).expect_code(2);
    assert!(ended.stderr.contains("cap of backoff (100ms), found 1s"), "{}", ended.stderr);
}
