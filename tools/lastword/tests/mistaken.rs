//! What an operator mistakes for something else: another file for that of the run, no run for one that reads a file again, a
//! run that was stopped while it starts for another program, and a name for an option.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lastword::log::lock_holder;
use serde_json::Value;
use support::{Ended, Place, Running, lastword, program, signal, text, until, wait};

const NATION: &str = "[collections.nation]\nsource = \"lake/\"\nspec = { format = \"parquet\" }\n";

fn built() -> Place {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    place
}

/// A command to the configuration.
fn to_config(place: &Place, arguments: &[&str]) -> Ended {
    let config = place.config();
    lastword(&[&arguments[..1], &[text(&config)], &arguments[1..]].concat())
}

/// What the table says of a collection in one of its columns.
fn cell(shown: &str, name: &str, heading: &str) -> String {
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("NAME")).unwrap();
    let from = lines[at].find(heading).unwrap();
    let row = lines.iter().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    row[from..].split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_run_of_another_file_is_told_and_reads_no_other() {
    let place = built();
    let (config, other) = (fs::canonicalize(place.config()).unwrap(), place.dir.path().join("other.toml"));
    let right = fs::read_to_string(&config).unwrap();
    fs::write(&other, format!("{right}{NATION}")).unwrap();
    let run = Running::start(&place);
    to_config(&place, &["wait", "lineitem"]).expect_code(0);
    let differs = format!("pid {} runs {}, not {}", run.pid(), text(&config), text(&other));
    let refuses = |arguments: &[&str], code: i32, said: &str| {
        let ended = lastword(arguments).expect_code(code);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("lastword reload"), "{arguments:?}: {}", ended.stderr);
    };
    let before = place.last_event();
    refuses(&["status", text(&other), "--check"], 1, &differs);
    refuses(&["wait", text(&other), "lineitem"], 1, &differs);
    refuses(&["wait", text(&other), "nation"], 2, &differs);
    refuses(&["status", text(&other), "nation"], 2, &differs);
    refuses(&["reload", text(&other)], 2, &format!("nothing was reloaded: {differs}"));
    assert_eq!(place.last_event(), before, "the run read its own file again");
    assert_eq!(place.status()["run"]["file"].as_str(), Some(text(&config)));

    // Another way to the same file is no other file, and so is none at all.
    let link = place.dir.path().join("link.toml");
    symlink(&config, &link).unwrap();
    lastword(&["status", text(&link), "--check"]).expect_code(0);
    lastword(&["reload", text(&link)]).expect_code(0);
    lastword(&["reload", text(&place.state())]).expect_code(0);
    lastword(&["status", text(&place.state()), "--check"]).expect_code(0);

    // One that does not answer has said it before.
    run.signal("STOP");
    let ended = lastword(&["status", text(&other)]).expect_code(0);
    run.signal("CONT");
    assert!(ended.stderr.contains(&differs), "{}", ended.stderr);

    let renamed = place.dir.path().join("renamed.toml");
    fs::rename(&config, &renamed).unwrap();
    let gone = format!("pid {} runs {}, which is gone", run.pid(), text(&config));
    refuses(&["status", text(&renamed), "--check"], 1, &gone);
    refuses(&["status", text(&place.state()), "--check"], 1, &gone);
    refuses(&["reload", text(&renamed)], 2, &gone);
    run.stop();
}

#[test]
fn without_a_run_nobody_is_said_to_read_a_file_again() {
    let place = built();
    let right = fs::read_to_string(place.config()).unwrap();
    place.configure(&format!("{right}{NATION}"));
    let start = format!("the next run reads it; start it: lastword run {}", text(&place.config()));
    for command in ["refresh", "resume", "drop", "wait", "status"] {
        let ended = to_config(&place, &[command, "nation"]).expect_code(2);
        assert!(ended.stderr.contains(&start), "{command}: {}", ended.stderr);
        assert!(!ended.stderr.contains("reload"), "{command}: {}", ended.stderr);
    }
}

/// It has the log open and neither a socket nor a word of itself, as before it has begun.
#[test]
fn a_run_that_was_stopped_while_it_starts_is_told_by_every_command() {
    let place = built();
    let state = place.state();
    fs::create_dir_all(state.join("control.new/in the way")).unwrap();
    fs::remove_file(state.join("run.json")).unwrap();
    fs::create_dir(state.join("run.json")).unwrap();
    let before = place.last_event();
    let child = program().args(["run", text(&place.config())]).spawn().unwrap();
    until("the run has the log open", || {
        lock_holder(&state.join("LOCK")) == Some(child.id()) && place.last_event() > before
    });
    signal(&child, "STOP");
    let pid = child.id();
    let said = format!("process {pid} is stopped; kill -CONT {pid} lets it go on");
    let status = to_config(&place, &["status"]);
    let refresh = to_config(&place, &["refresh", "lineitem"]);
    let reload = to_config(&place, &["reload"]);
    let waited = to_config(&place, &["wait", "lineitem", "--timeout", "1s"]);
    let json = to_config(&place, &["wait", "lineitem", "--timeout", "1s", "--json"]);
    signal(&child, "CONT");
    signal(&child, "TERM");
    wait(child, Duration::from_secs(60)).expect_code(0);
    assert!(status.expect_code(0).stdout.contains(&said));
    for ended in [refresh.expect_code(3), reload.expect_code(3), waited.expect_code(1)] {
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }
    let answer: Value = serde_json::from_str(&json.expect_code(1).stdout).unwrap();
    assert_eq!(answer["waited"], "no_answer");
    assert!(answer["because"].as_str().unwrap().contains(&said), "{answer}");
}

/// The command that is printed behind `before`, up to `after`, as a shell runs it in the directory of the place.
fn typed(place: &Place, said: &str, before: &str, after: &str) -> Ended {
    let command = said.split(before).nth(1).unwrap_or_else(|| panic!("{before}: {said}"));
    let command = command.split(after).next().unwrap().lines().next().unwrap().trim();
    assert!(command.starts_with("lastword "), "{command}");
    let bin = Path::new(env!("CARGO_BIN_EXE_lastword")).parent().unwrap();
    let path = format!("{}:{}", text(bin), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", command]).current_dir(place.dir.path()).env("PATH", path).output();
    let output = output.unwrap();
    let shown = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ended = Ended {
        code: output.status.code(),
        stdout: shown(&output.stdout),
        stderr: shown(&output.stderr),
        took: Duration::ZERO,
    };
    assert!(!ended.stderr.contains("unexpected argument"), "{command}: {}", ended.stderr);
    ended
}

#[test]
fn what_is_printed_can_be_typed_for_a_name_that_begins_like_an_option() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let text = fs::read_to_string(place.config()).unwrap().replace("collections.lineitem", "collections.-n");
    fs::write(place.dir.path().join("-lake.toml"), text).unwrap();
    let here = |arguments: &[&str]| {
        let child = program().current_dir(place.dir.path()).args(arguments).spawn().unwrap();
        wait(child, Duration::from_secs(120))
    };
    here(&["run", "--once", "--", "-lake.toml"]).expect_code(0);
    // It is paused.
    here(&["pause", "--", "-lake.toml", "-n"]).expect_code(0);
    here(&["refresh", "--force", "--", "-lake.toml", "-n"]).expect_code(0);
    let shown = here(&["status", "--", "-lake.toml"]).expect_code(0).stdout;
    assert!(shown.contains("start it: lastword run ./-lake.toml"), "{shown}");
    typed(&place, &shown, "to go on: ", ";").expect_code(0);
    here(&["run", "--once", "--", "-lake.toml"]).expect_code(0);

    // Its manifest is gone.
    let status = here(&["status", "--json", "--", "-lake.toml"]).expect_code(0).stdout;
    let hash = serde_json::from_str::<Value>(&status).unwrap()["manifest"].as_str().unwrap().to_owned();
    let object = place.state().join("objects").join(&hash[..2]).join(&hash);
    fs::remove_file(&object).unwrap();
    let shown = here(&["status", "--", "-lake.toml"]).expect_code(0).stdout;
    typed(&place, &shown, "build it anew with: ", ";").expect_code(0);
    here(&["run", "--once", "--", "-lake.toml"]).expect_code(0);
    let _ = fs::remove_file(&object);
    let status = here(&["status", "--json", "--", "-lake.toml"]).expect_code(0).stdout;
    let hash = serde_json::from_str::<Value>(&status).unwrap()["manifest"].as_str().unwrap().to_owned();
    let _ = fs::remove_file(place.state().join("objects").join(&hash[..2]).join(&hash));
    let said = here(&["run", "--once", "--", "-lake.toml"]).expect_code(1).stderr;
    let rebuild =
        said.split("; ").find(|part| part.contains("--rebuild")).unwrap().replace(" builds", " --once builds");
    typed(&place, &format!("then {rebuild}"), "then ", " builds").expect_code(0);

    // It is held.
    fs::remove_file(place.lake().join("a.parquet")).unwrap();
    let said = here(&["run", "--once", "--", "-lake.toml"]).expect_code(1).stderr;
    typed(&place, &said, "confirm it with: ", ";").expect_code(0);

    // It is gone from the file.
    let text = fs::read_to_string(place.dir.path().join("-lake.toml")).unwrap();
    fs::write(place.dir.path().join("-lake.toml"), text.replace("collections.-n", "collections.n")).unwrap();
    let said = here(&["run", "--once", "--", "-lake.toml"]).stderr;
    typed(&place, &said, "until it comes back; ", " drops it").expect_code(0);
}

#[test]
fn a_command_that_was_carried_out_says_so_though_its_receipt_is_lost() {
    let place = built();
    let config = place.config();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let to_full = |arguments: &[&str]| {
        wait(program().args(arguments).stdout(full()).spawn().unwrap(), Duration::from_secs(60)).expect_code(3)
    };
    let run = Running::start(&place);
    let reloaded = to_full(&["reload", text(&config)]).stderr;
    assert!(reloaded.contains("reload was carried out ("), "{reloaded}");
    run.stop();
    for more in [&[][..], &["--json"]] {
        let dropped = to_full(&[&["drop", text(&config), "lineitem"], more].concat()).stderr;
        let event = place.last_of("collection_dropped")["seq"].as_u64().unwrap();
        let said = format!("lineitem: drop was carried out (event {event}); only the receipt could not be printed: ");
        assert!(dropped.contains(&said), "{dropped}");
        place.once().expect_code(0);
    }
}

#[test]
fn a_paused_collection_is_to_be_resumed_before_it_is_built_anew() {
    let place = built();
    let hash = place.status()["manifest"].as_str().unwrap().to_owned();
    fs::remove_file(place.state().join("objects").join(&hash[..2]).join(&hash)).unwrap();
    place.command(&["pause"]).expect_code(0);
    let config = place.config();
    let resume = format!("it is paused, resume it first: lastword resume {} lineitem; then ", text(&config));
    let shown = to_config(&place, &["status"]).expect_code(0).stdout;
    assert!(shown.contains(&format!("{resume}build it anew with: ")), "{shown}");
    let once = lastword(&["run", text(&config), "--once", "--rebuild", "lineitem"]).expect_code(1);
    let rebuild = format!("{resume}lastword run {} --rebuild lineitem builds it anew", text(&config));
    assert!(once.stderr.contains(&rebuild), "{}", once.stderr);
    to_config(&place, &["resume", "lineitem"]).expect_code(0);
    place.once().expect_code(0);
    assert!(!to_config(&place, &["status"]).stdout.contains("resume it first"));
}

#[test]
fn a_rebuild_that_waits_or_was_given_up_says_since_when() {
    let place = built();
    let run = Running::start(&place);
    to_config(&place, &["wait", "lineitem"]).expect_code(0);
    place.command(&["pause"]).expect_code(0);
    place.command(&["refresh", "--force"]).expect_code(0);
    let since = |event: &str| {
        let time = place.last_of(event)["time"].as_str().unwrap().to_owned();
        format!("{}Z", time.split('.').next().unwrap())
    };
    let shown = || {
        let shown = to_config(&place, &["status"]).expect_code(0).stdout;
        (cell(&shown, "lineitem", "CONDITION"), cell(&shown, "lineitem", "SINCE"))
    };
    assert_eq!(shown(), ("paused".to_owned(), since("task_created")));
    place.command(&["cancel"]).expect_code(0);
    let parked = since("task_aborted");
    assert_eq!(shown(), ("parked".to_owned(), parked.clone()));
    run.stop();
    assert_eq!(shown(), ("parked".to_owned(), parked));
}

/// Whatever a signal takes away from under a command is no error of the command.
#[test]
fn a_command_that_a_signal_ends_says_nothing_of_what_the_signal_removed() {
    let place = built();
    for step in 0..80_u64 {
        let child = program().args(["plan", text(&place.config())]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(500 * (step % 40)));
        // It may have ended.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).output();
        let ended = wait(child, Duration::from_secs(60));
        assert!(matches!(ended.code, None | Some(0)), "{ended:?}");
        assert_eq!(ended.stderr, "", "{ended:?}");
    }
}

#[test]
fn why_a_collection_is_paused_outlives_the_list_of_those_that_are_gone() {
    let place = built();
    let right = fs::read_to_string(place.config()).unwrap();
    let lose = || fs::remove_file(place.state().join("unmanaged.json")).unwrap();
    place.configure(&format!("{right}{NATION}"));
    place.once().expect_code(0);
    place.configure(&right);
    place.once().expect_code(0);
    lose();
    let shown = to_config(&place, &["status", "nation"]).expect_code(0).stdout;
    assert!(shown.contains("unmanaged: gone from ") && !shown.contains("by a person"), "{shown}");
    let run = Running::start(&place);
    let shown = to_config(&place, &["status", "nation"]).expect_code(0).stdout;
    assert!(shown.contains("unmanaged: gone from ") && !shown.contains("by a person"), "{shown}");
    run.stop();
    lose();
    place.configure(&format!("{right}{NATION}"));
    let back = place.once().expect_code(0).stderr;
    assert!(back.contains("nation is back in "), "{back}");

    // Whom a person has paused stays so.
    place.configure(&right);
    place.once().expect_code(0);
    lose();
    to_config(&place, &["pause", "nation"]).expect_code(0);
    to_config(&place, &["pause", "lineitem"]).expect_code(0);
    place.configure(&format!("{right}{NATION}"));
    let paused = place.once().expect_code(0).stderr;
    assert!(!paused.contains("is back in "), "{paused}");
    let shown = to_config(&place, &["status"]).expect_code(0).stdout;
    assert!(shown.contains("of them 2 paused as well"), "{shown}");
    lose();
    place.once().expect_code(0);
    assert_eq!(place.status()["paused"], true);
}

/// The run that paused it knows why, whatever becomes of the list meanwhile.
#[test]
fn defect_47_a_list_that_is_lost_or_damaged_under_a_run_is_written_anew() {
    let place = built();
    let right = fs::read_to_string(place.config()).unwrap();
    let list = place.state().join("unmanaged.json");
    place.configure(&format!("{right}{NATION}"));
    let run = Running::start(&place);
    place.configure(&right);
    to_config(&place, &["reload"]).expect_code(0);
    let shown = || to_config(&place, &["status", "nation"]).expect_code(0).stdout;
    let damages: [&dyn Fn(); 3] =
        [&|| fs::remove_file(&list).unwrap(), &|| fs::write(&list, [0xff, 0xfe]).unwrap(), &|| {
            fs::write(&list, "{\"v\":1,\"collections\":[]}\n").unwrap()
        }];
    for damage in damages {
        damage();
        until("the run says what it paused itself", || shown().contains("unmanaged: gone from "));
        assert!(!shown().contains("by a person"), "{}", shown());
        // A reload, and what comes back goes on.
        damage();
        place.configure(&format!("{right}{NATION}"));
        let said = to_config(&place, &["reload"]).expect_code(0).stdout;
        assert!(said.contains("resumed: nation"), "{said}");
        place.configure(&right);
        damage();
        to_config(&place, &["reload"]).expect_code(0);
        assert!(shown().contains("unmanaged: gone from "), "{}", shown());
    }
    run.stop();
}

#[test]
fn what_is_wrong_with_a_pattern_is_said_as_people_write() {
    let place = Place::new("");
    let text = fs::read_to_string(place.config()).unwrap();
    place.configure(&text.replace("format = \"parquet\"", "format = \"parquet\", exclude = [\"it's [\"]"));
    let wrong = to_config(&place, &["plan"]).expect_code(2).stderr;
    assert!(wrong.contains("the pattern it's [, which is wrong: ") && wrong.contains("missing ']'"), "{wrong}");
}
