//! The file while `lastword run` runs: it is read again when asked, a bad one changes nothing, and what is gone from
//! it is paused, shown as unmanaged, and goes on when it comes back.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::time::Duration;

use serde_json::Value;
use support::{Ended, Place, Running, lastword, rows, text, until};

const TOP: &str = "look_interval = \"100ms\"\nstate = \"state\"\n[defaults]\nquiet = \"50ms\"\n";
const LINEITEM: &str = "[collections.lineitem]\nsource = \"lake/\"\nspec = { format = \"parquet\" }\n";
const NATION: &str = "[collections.nation]\nsource = \"nation/\"\nspec = { format = \"parquet\" }\n";

fn place() -> Place {
    let place = Place::new("");
    fs::create_dir(place.dir.path().join("nation")).unwrap();
    support::write_parquet(&place.dir.path().join("nation/n.parquet"), 1, 0);
    place.write("a.parquet", 2, 0);
    place.configure(&[TOP, LINEITEM, NATION].concat());
    place
}

fn reload(place: &Place) -> Ended {
    lastword(&["reload", text(&place.state())])
}

fn command(place: &Place, verb: &str, name: &str) -> Ended {
    lastword(&[verb, text(&place.state()), name])
}

/// What `lastword status` says of a collection; null if there is none.
fn status(place: &Place, name: &str) -> Value {
    let ended = lastword(&["status", text(&place.state()), name, "--json"]);
    serde_json::from_str(&ended.stdout).unwrap_or(Value::Null)
}

fn is_paused(place: &Place, name: &str) -> bool {
    status(place, name)["paused"].as_bool().unwrap()
}

#[test]
fn case_38_a_bad_reload_names_what_is_wrong_and_changes_nothing() {
    let place = place();
    // One that belongs to somebody else.
    {
        use lastword::core::vocabulary::{Declaration, Kind, Name, Source};
        let reconciler = lastword::engine::Reconciler::open(place.state()).start().unwrap();
        let mut declaration = Declaration::new(Name::new("theirs").unwrap());
        declaration.kind = Some(Kind::new("echo").unwrap());
        declaration.source = Some(Source::new("s").unwrap());
        reconciler.handle().declare(declaration).unwrap();
        reconciler.shutdown(Duration::from_secs(5)).unwrap();
    }
    let run = Running::start(&place);
    for name in ["lineitem", "nation"] {
        command(&place, "wait", name).expect_code(0);
    }
    let before = place.last_event();
    let other = LINEITEM.replace("lake/", "nation/");
    let theirs = NATION.replace("collections.nation", "collections.theirs");
    for (config, said) in [
        ("state = ".to_owned(), "lake.toml:1: "),
        ([TOP, &other, "quiet = \"soon\"\n"].concat(), "lake.toml:8: collections.lineitem.quiet: must be a duration"),
        ([TOP, &other, "colour = 1\n"].concat(), "lake.toml:8: collections.lineitem.colour: is unknown"),
        (
            [TOP, &other, "[limits]\nkinds.extern = 1\n"].concat(),
            "lake.toml:9: limits.kinds.extern: is unknown; allowed are external",
        ),
        (TOP.to_owned(), "collections: at least one is needed"),
        (["workers = 7\n", TOP, &other].concat(), "lake.toml: workers: can only be changed by a new start"),
        (
            [&TOP.replace("100ms", "90ms").replace("\"state\"", "\"s2\""), LINEITEM].concat(),
            "lake.toml: state, look_interval: can",
        ),
        ([TOP, &other, &theirs].concat(), "lake.toml:8: collections.theirs: kind: is \"echo\""),
    ] {
        place.configure(&config);
        let ended = reload(&place).expect_code(2);
        assert!(ended.stderr.contains(said), "{config}\nexpected {said}\nfound    {}", ended.stderr);
        assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1));
    }
    fs::remove_file(place.config()).unwrap();
    reload(&place).expect_code(2);
    assert_eq!(place.last_event(), before);
    assert!(!place.dir.path().join("s2").exists() && !is_paused(&place, "nation") && !is_paused(&place, "theirs"));

    // It goes on as before.
    place.write("b.parquet", 2, 1);
    place.command(&["wait"]).expect_code(0);
    assert_eq!(rows(&place.manifest()), 2000);
    let ended = run.stop();
    assert!(ended.stderr.contains("nothing was changed: "), "{}", ended.stderr);
}

#[test]
fn a_declaration_that_would_be_refused_is_found_before_anything_changes() {
    let place = place();
    // A file too young to be given up for: its task stays live, between two attempts.
    let patient = "backoff_base = \"1h\"\nbackoff_cap = \"1h\"\n";
    let reject = [TOP, LINEITEM, "on_change = \"reject\"\n", patient].concat();
    place.configure(&reject);
    place.spoil("bad.parquet", Duration::ZERO);
    let run = Running::start(&place);
    until("a task is live", || status(&place, "lineitem")["task"].is_u64());
    place.configure(&[&reject, "target_rows = 7\n", NATION].concat());
    let ended = reload(&place).expect_code(2);
    let said = "lake.toml:5: collections.lineitem: task";
    assert!(ended.stderr.contains(said) && ended.stderr.contains("is live"), "{}", ended.stderr);
    assert_eq!(
        (status(&place, "nation"), &status(&place, "lineitem")["spec"]["target_rows"]),
        (Value::Null, &Value::Null)
    );
    place.command(&["cancel"]).expect_code(0);
    reload(&place).expect_code(0);
    assert_eq!(status(&place, "lineitem")["spec"]["target_rows"], 7);
    run.stop();
}

#[test]
fn a_good_file_takes_effect_by_command_and_by_signal() {
    let place = place();
    place.configure(&[TOP, LINEITEM].concat());
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let before = place.last_event();
    assert!(reload(&place).expect_code(0).stdout.contains("changed: 0"), "nothing new is no event");
    assert_eq!(place.last_event(), before);

    place.configure(&[TOP, LINEITEM, "target_rows = 500\n", NATION].concat());
    let answer = lastword(&["reload", text(&place.config()), "--json"]).expect_code(0);
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((&answer["v"], &answer["changed"], &answer["paused"]), (&1.into(), &2.into(), &Value::Array(vec![])));
    for name in ["lineitem", "nation"] {
        command(&place, "wait", name).expect_code(0);
    }
    assert_eq!(support::segments(&place.manifest()).len(), 2);

    let limits = "[limits]\ntotal = 1\n";
    place.configure(&[TOP, LINEITEM, NATION, "max_attempts = 3\n", limits].concat());
    run.signal("HUP");
    until("the signal is heard", || support::segments(&place.manifest()).len() == 1);
    // What the file does not say any more is over.
    place.configure(&[TOP, LINEITEM, NATION, "max_attempts = 3\n"].concat());
    assert!(reload(&place).expect_code(0).stdout.contains("changed: 1"));
    let ended = run.stop();
    assert_eq!(ended.stdout.matches("limits").count(), 2, "{}", ended.stdout);
    let ended = reload(&place).expect_code(3);
    assert!(ended.stderr.contains("no lastword runs here"), "{}", ended.stderr);
}

#[test]
fn what_is_gone_from_the_file_is_paused_until_it_comes_back() {
    let place = place();
    let run = Running::start(&place);
    command(&place, "wait", "nation").expect_code(0);
    place.configure(&[TOP, LINEITEM].concat());
    assert!(reload(&place).expect_code(0).stdout.contains("paused: nation"));
    let shown = || lastword(&["status", text(&place.state()), "nation"]).expect_code(0).stdout;
    let unmanaged = format!("unmanaged: gone from {}", text(&place.config()));
    assert!(shown().contains(&unmanaged), "{}", shown());
    assert_eq!(status(&place, "nation")["unmanaged"], text(&place.config()));
    assert_eq!(status(&place, "lineitem")["unmanaged"], Value::Null);
    support::write_parquet(&place.dir.path().join("nation/m.parquet"), 1, 1);
    let ended = command(&place, "wait", "nation").expect_code(1);
    assert!(ended.stderr.contains("nation: paused: unmanaged: gone from"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("by a person"), "{}", ended.stderr);
    assert!(run.stop().stderr.contains("nation is gone from"));

    // It is known after a restart, and after a crash.
    let run = Running::start(&place);
    assert!(is_paused(&place, "nation") && shown().contains(&unmanaged));
    run.kill();
    place.configure(&[TOP, LINEITEM, NATION].concat());
    let run = Running::start(&place);
    command(&place, "wait", "nation").expect_code(0);
    assert_eq!((&status(&place, "nation")["unmanaged"], is_paused(&place, "nation")), (&Value::Null, false));
    assert_eq!(status(&place, "nation")["rows"], 1000);

    // Only drop drops.
    place.configure(&[TOP, LINEITEM].concat());
    reload(&place).expect_code(0);
    assert!(command(&place, "drop", "nation").expect_code(0).stderr.is_empty());
    assert_eq!(status(&place, "nation"), Value::Null);
    place.configure(&[TOP, LINEITEM, NATION].concat());
    reload(&place).expect_code(0);
    command(&place, "wait", "nation").expect_code(0);
    run.stop();
}

#[test]
fn what_a_person_paused_stays_paused_whatever_the_file_does() {
    let place = place();
    let (without, with) = ([TOP, LINEITEM].concat(), [TOP, LINEITEM, NATION].concat());
    let run = Running::start(&place);
    // Paused before it was gone.
    command(&place, "pause", "nation").expect_code(0);
    for config in [&without, &with] {
        place.configure(config);
        reload(&place).expect_code(0);
        assert!(is_paused(&place, "nation"));
    }
    command(&place, "resume", "nation").expect_code(0);

    // Paused while it was gone, on a log that rests.
    place.configure(&without);
    reload(&place).expect_code(0);
    assert!(is_paused(&place, "nation"));
    run.stop();
    command(&place, "pause", "nation").expect_code(0);
    place.configure(&with);
    let run = Running::start(&place);
    assert!(is_paused(&place, "nation"));

    // Resumed while it is gone: the next start or reload pauses it again, and its return resumes it.
    command(&place, "resume", "nation").expect_code(0);
    place.configure(&without);
    reload(&place).expect_code(0);
    assert!(command(&place, "resume", "nation").expect_code(0).stderr.contains("pauses it again"));
    assert!(!is_paused(&place, "nation"));
    reload(&place).expect_code(0);
    assert!(is_paused(&place, "nation"));
    place.configure(&with);
    assert!(reload(&place).expect_code(0).stdout.contains("resumed: nation"));
    assert!(!is_paused(&place, "nation"));
    run.stop();
}

#[test]
fn a_run_with_once_pauses_what_is_gone_too_and_reads_its_file_once() {
    let place = place();
    place.once().expect_code(0);
    place.configure(&[TOP, LINEITEM].concat());
    let ended = place.once().expect_code(0);
    assert!(ended.stderr.contains("nation is gone from"), "{}", ended.stderr);
    assert!(is_paused(&place, "nation"));
    // A list that is damaged costs a resume, and no more.
    fs::write(place.state().join("unmanaged.json"), [0xff, 0xfe]).unwrap();
    place.configure(&[TOP, LINEITEM, NATION].concat());
    let ended = place.once().expect_code(0);
    assert!(ended.stderr.contains("is damaged") && is_paused(&place, "nation"), "{}", ended.stderr);
}

#[test]
fn the_hint_how_to_drop_what_is_gone_is_as_a_shell_takes_it() {
    let place = place();
    place.configure(&[TOP, LINEITEM, &NATION.replace("nation]", "\"the nation's\"]")].concat());
    place.once().expect_code(0);
    place.configure(&[TOP, LINEITEM].concat());
    let told = place.once().expect_code(0).stderr;
    let hint = format!(r"lastword drop {} 'the nation'\''s' drops it", text(&place.state()));
    assert!(told.contains(&hint), "{told}");
}

#[test]
fn what_status_is_shown_of_a_file_has_policies_limits_and_what_is_set_for_a_run() {
    let place = place();
    let run = Running::start(&place);
    for name in ["lineitem", "nation"] {
        command(&place, "wait", name).expect_code(0);
    }
    let reload = format!("lastword reload {}", text(&place.config()));
    let check = |code: i32| lastword(&["status", text(&place.config()), "--check"]).expect_code(code).stderr;
    let differs = |said: &str| {
        let stderr = check(1);
        assert!(stderr.contains(said), "{said}: {stderr}");
        stderr
    };
    assert_eq!(check(0), "");

    // A policy: each key by its name, and no value.
    let other = [LINEITEM, "quiet = \"77ms\"\nmax_attempts = 7\n"].concat();
    place.configure(&[TOP, &other, NATION].concat());
    let stderr = differs("lineitem: has another policy (");
    assert!(stderr.contains("max_attempts") && stderr.contains("quiet") && stderr.contains(&reload), "{stderr}");
    assert!(!stderr.contains("nation") && !stderr.contains("77ms"), "{stderr}");
    // What is applied is so whatever the policy says.
    let waited = lastword(&["wait", text(&place.config()), "lineitem"]).expect_code(0);
    assert!(!waited.stderr.contains("policy"), "{}", waited.stderr);
    lastword(&["reload", text(&place.config())]).expect_code(0);
    assert_eq!(check(0), "");

    // Limits are read again, what is set for a run is not.
    let limits = "[limits]\ntotal = 3\n";
    place.configure(&[TOP, &other, NATION, limits].concat());
    let stderr = differs(": limits differ from those of the run");
    assert!(stderr.contains(&reload), "{stderr}");
    lastword(&["reload", text(&place.config())]).expect_code(0);
    assert_eq!(check(0), "");
    place.configure(&["workers = 7\nretain = { events = 1_000 }\n", TOP, &other, NATION, limits].concat());
    let stderr = differs(": workers, retain differ from those of the run");
    let start = format!("kill {}, and start it: lastword run {}", run.pid(), text(&place.config()));
    assert!(stderr.contains(&start) && !stderr.contains(&reload), "{stderr}");
    run.stop();

    // Without a run there is the log: it has policies and limits.
    let stderr = check(1);
    assert!(!stderr.contains("differ") && !stderr.contains("policy"), "{stderr}");
    place.configure(&[TOP, LINEITEM, NATION].concat());
    let stderr = differs("lineitem: has another policy (");
    assert!(stderr.contains(": limits differ from those of the log"), "{stderr}");
    assert!(stderr.contains("the next run reads it"), "{stderr}");
}
