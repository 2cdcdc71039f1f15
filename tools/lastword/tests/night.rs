//! What an operator meets who was woken up: each sentence is true, says what was found, and says what to type.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lastword::log::PrivateCopy;
use serde_json::{Value, json};
use support::{Ended, Place, Running, lastword, program, signal, text, until, wait};

/// A log that one run has built, whose times of events lie apart from its end.
fn built() -> Place {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    place
}

fn header(place: &Place) -> String {
    lastword(&["status", text(&place.config())]).stdout.lines().next().unwrap().to_owned()
}

fn run_of(place: &Place) -> Value {
    place.status()["run"].clone()
}

/// The time of the last event, to the second.
fn last_event_at(place: &Place) -> String {
    let time = PrivateCopy::of(place.state()).unwrap().time().to_string();
    format!("{}Z", time.split('.').next().unwrap())
}

#[test]
fn defect_39_the_time_of_an_end_is_that_of_the_end_and_not_of_the_last_event() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let last = last_event_at(&place);
    // The run lives on for longer than a second without an event.
    until("time goes on", || humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string() > last);
    run.stop();
    let (header, run) = (header(&place), run_of(&place));
    assert!(header.starts_with("run: none since 20") && !header.contains(&last), "{header}");
    assert!(run["ended"].as_str().unwrap() > last.as_str() && run["ended_how"] == "in_order", "{run}");

    // What the record does not say is not made up.
    fs::remove_file(place.state().join("run.json")).unwrap();
    let header = self::header(&place);
    assert!(header.starts_with(&format!("run: none; last event at {last} (")), "{header}");
    assert_eq!(run_of(&place)["ended"], Value::Null);
}

#[test]
fn defect_39_a_command_does_not_hide_that_the_last_run_crashed() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let pid = run.pid();
    run.kill();
    let found = place.command(&["pause"]).expect_code(0);
    assert!(found.stderr.contains("was not closed in order"), "{}", found.stderr);
    // The command has closed the log, and said so; the run did not.
    for _ in 0..2 {
        let (header, run) = (header(&place), run_of(&place));
        assert!(header.starts_with(&format!("run: none; the last one (pid {pid}, ")), "{header}");
        assert!(header.contains("not closed in order") && header.contains("last event at "), "{header}");
        assert_eq!((&run["closed_in_order"], &run["ended_how"]), (&true.into(), &"not_in_order".into()), "{run}");
        let again = place.command(&["resume"]).expect_code(0);
        assert!(!again.stderr.contains("was not closed in order"), "{}", again.stderr);
    }
    let once = place.once().expect_code(0);
    let said = format!("the last run (pid {pid}, ");
    assert!(once.stderr.contains(&said) && once.stderr.contains("not closed in order"), "{}", once.stderr);
    let once = place.once().expect_code(0);
    assert!(!once.stderr.contains("the last run"), "{}", once.stderr);
    assert!(header(&place).contains(", closed in order; start it: lastword run "));
}

#[test]
fn defect_39_a_run_that_failed_says_so_afterwards() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    // The log is damaged under it, and it is asked to write.
    fs::rename(place.state(), place.dir.path().join("moved")).unwrap();
    let ended = run.ended();
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    fs::rename(place.dir.path().join("moved"), place.state()).unwrap();
    let (header, run) = (header(&place), run_of(&place));
    assert!(header.starts_with("run: none since 20") && header.contains("it failed: "), "{header}");
    assert_eq!(run["ended_how"], "failed", "{run}");
    assert!(run["ended_because"].is_string(), "{run}");
}

/// What a child says on standard error, line by line.
fn said(child: &mut Child) -> Receiver<String> {
    let (lines, said) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    said
}

fn heard(said: &Receiver<String>, what: &str) -> String {
    let mut all = String::new();
    loop {
        let line = said.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what} was not said: {all}"));
        all.push_str(&line);
        if all.contains(what) {
            return all;
        }
    }
}

#[test]
fn defect_39_a_command_that_is_interrupted_says_that_it_is_carried_out_later() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    run.signal("STOP");
    let mut child = program().args(["drop", text(&place.state()), "lineitem"]).spawn().unwrap();
    let notes = said(&mut child);
    heard(&notes, "does not answer");
    signal(&child, "INT");
    let told = heard(&notes, "carries it out as soon as it goes on");
    assert!(told.contains("lineitem: drop") && !told.contains("give it again"), "{told}");
    assert_eq!(child.wait().unwrap().code(), None, "it ended as the signal ends it");
    run.signal("CONT");
    until("it was dropped", || place.condition().is_none());
    run.stop();
}

/// A run that hangs up on every request.
fn hangs_up(place: &Place) -> std::thread::JoinHandle<()> {
    let _ = fs::remove_file(place.socket());
    let listener = UnixListener::bind(place.socket()).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        BufReader::new(stream).read_line(&mut String::new()).unwrap();
    })
}

#[test]
fn defect_39_only_what_does_no_harm_twice_is_to_be_given_again() {
    let place = built();
    place.once().expect_code(0);
    let zeros = "0".repeat(64);
    for (arguments, harmless) in [
        (vec!["pause"], true),
        (vec!["resume"], true),
        (vec!["refresh"], true),
        (vec!["refresh", "--force", "--seen", "1"], true),
        (vec!["cancel", "--task", "1"], true),
        (vec!["confirm", &zeros], true),
        (vec!["refresh", "--force"], false),
        (vec!["cancel"], false),
        (vec!["drop"], false),
    ] {
        let served = hangs_up(&place);
        let ended = place.command(&arguments).expect_code(3);
        served.join().unwrap();
        let (again, look) = ("give it again", "would do it twice");
        assert_eq!(ended.stderr.contains(again), harmless, "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.contains(look), !harmless, "{arguments:?}: {}", ended.stderr);
        assert!(harmless || ended.stderr.contains("lastword why"), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn defect_08_a_wait_asks_for_no_more_time_than_it_was_given() {
    let place = built();
    place.once().expect_code(0);
    let _ = fs::remove_file(place.socket());
    let listener = UnixListener::bind(place.socket()).unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (mut line, mut answers) = (String::new(), stream.try_clone().unwrap());
        BufReader::new(stream).read_line(&mut line).unwrap();
        let pending = json!({"v": 1, "waited": "pending", "since": 7, "because": "none"}).to_string();
        write!(answers, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{pending}", pending.len()).unwrap();
        line
    });
    place.command(&["wait", "--timeout", "300ms"]).expect_code(1);
    let line = served.join().unwrap();
    let within = line.split("timeout=").nth(1).and_then(|rest| rest.split("ms").next());
    let within: u64 = within.and_then(|within| within.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!(within <= 300, "{within}");
}

#[test]
fn defect_08_a_run_answers_a_wait_as_soon_as_its_time_is_over() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let ask = |within: Option<u64>| {
        let mut client = place.client();
        let timeout = within.map_or_else(String::new, |within| format!("&timeout={within}ms"));
        let target = format!("/v1/collections/lineitem/wait?generation=99{timeout}");
        client.send(format!("GET {target} HTTP/1.1\r\nhost: lastword\r\n\r\n").as_bytes()).unwrap();
        client
    };
    // By order and not by the clock: who asks for no time at all has three answers before the other, who asked first, has one.
    let is_first = || {
        let long = ask(None);
        for _ in 0..3 {
            let answered = ask(Some(0)).answer().unwrap();
            assert!(answered.body.contains("\"pending\""), "{answered:?}");
        }
        long.stream().set_nonblocking(true).unwrap();
        long.stream().read(&mut [0]).is_err()
    };
    until("short waits are answered before a long one", is_first);
    run.stop();
}

#[test]
fn defect_43_every_command_says_how_to_go_on_with_a_damaged_log() {
    let place = built();
    place.once().expect_code(0);
    let db = fs::File::options().write(true).open(place.state().join("sled/db")).unwrap();
    db.write_all_at(&[0xa5; 2_000], 64).unwrap();
    let (state, config) = (place.state(), place.config());
    let (state, config) = (text(&state), text(&config));
    for arguments in [
        vec!["status", state],
        vec!["status", config],
        vec!["manifest", state, "lineitem"],
        vec!["pause", state, "lineitem"],
        vec!["wait", state, "lineitem"],
        vec!["plan", config],
        vec!["run", config, "--once"],
    ] {
        let ended = lastword(&arguments);
        let said = ended.stderr.trim_end();
        assert!(matches!(ended.code, Some(1 | 5)), "{arguments:?}: {:?} {said}", ended.code);
        assert!(said.contains("restore a backup") && !said.contains("backtrace"), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn defect_31_what_is_held_says_what_was_left_out() {
    let place = built();
    place.once().expect_code(0);
    fs::rename(place.lake().join("a.parquet"), place.lake().join("_a.parquet")).unwrap();
    fs::write(place.lake().join(".hidden"), "x").unwrap();
    let once = place.once().expect_code(1);
    let line = once.stderr.lines().find(|line| line.starts_with("lineitem: held: ")).unwrap();
    assert!(line.contains("its source is empty") && line.contains("left out: 1 hidden, 1 underscore"), "{line}");
    assert!(line.find("left out").unwrap() < line.find("confirm it with").unwrap(), "{line}");

    let run = Running::start(&place);
    until("it was looked at", || place.status()["live"]["last_look"].is_object());
    let waited = place.command(&["wait"]).expect_code(1);
    assert!(waited.stderr.contains("left out: 1 hidden, 1 underscore"), "{}", waited.stderr);
    let shown = lastword(&["status", text(&place.config())]).expect_code(0).stdout;
    let cause = shown.split("its source is empty").nth(1).unwrap();
    assert!(cause.contains("left out: 1 hidden, 1 underscore"), "{shown}");
    run.stop();
}

#[test]
fn defect_47_a_wait_without_a_run_claims_nothing_of_what_nobody_heard() {
    let place = built();
    place.once().expect_code(0);
    let waited = place.command(&["wait"]).expect_code(1);
    assert!(!waited.stderr.contains("everything heard is applied"), "{}", waited.stderr);
    for said in ["no lastword runs here", "nobody looks at its source", "last event at 20", "lastword run"] {
        assert!(waited.stderr.contains(said), "{said}: {}", waited.stderr);
    }
    let waited = place.command(&["wait", "--json"]).expect_code(1);
    let waited: Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!(waited["waited"], "nobody_runs");
    assert!(waited["because"].as_str().unwrap().contains("nobody looks at its source"), "{waited}");
}

#[test]
fn defect_15_a_name_that_no_collection_may_have_is_refused_before_anything_is_made() {
    let place = built();
    let right = fs::read_to_string(place.config()).unwrap();
    let told = |command: &[&str]| {
        let ended = lastword(&[command, &[text(&place.config())]].concat()).expect_code(2);
        assert_eq!(ended.stdout, "");
        ended.stderr
    };
    for name in ["../x", " x", "a//b", "x\\u202Ey"] {
        place.configure(&right.replace("[collections.lineitem]", &format!("[collections.\"{name}\"]")));
        let (plan, run) = (told(&["plan"]), told(&["run", "--once"]));
        assert_eq!(plan, run);
        assert!(
            plan.contains(&format!("lake.toml:3: collections.\"{}\": must ", name.replace("202E", "{202e}"))),
            "{plan}"
        );
        assert_eq!(plan.lines().count(), 1, "{plan}");
        assert!(!place.state().exists());
    }
    // The same beside a log that is there, which is not opened for it.
    place.configure(&right);
    place.once().expect_code(0);
    let last = place.last_event();
    place.configure(&right.replace("[collections.lineitem]", "[collections.\"../x\"]"));
    let (plan, run) = (told(&["plan"]), told(&["run", "--once"]));
    assert_eq!(plan, run);
    assert_eq!(place.last_event(), last);
}

#[test]
fn defect_48_a_check_of_a_log_without_collections_is_not_well() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let check = |more: &[&str]| lastword(&[&["status", text(&place.state()), "--check"], more].concat());
    check(&[]).expect_code(0);
    // That none is parked is good news.
    check(&["--condition", "parked"]).expect_code(0);
    place.command(&["drop"]).expect_code(0);
    let ended: Ended = check(&[]).expect_code(1);
    assert!(ended.stderr.contains("there are no collections"), "{}", ended.stderr);
    check(&["--condition", "parked"]).expect_code(1);
    run.stop();
    let help = lastword(&["status", "--help"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("else 1, also if there are no collections"), "{help}");
}

#[test]
fn defect_48_that_an_output_could_not_be_written_has_its_code_in_the_help() {
    let place = built();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = program().args(["run", text(&place.config()), "--once"]).stdout(full).spawn().unwrap();
    wait(child, Duration::from_secs(60)).expect_code(3);
    let help = lastword(&["run", "--help"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("3 if its output could not be written"), "{help}");
}

#[test]
fn defect_10_a_start_says_that_it_began_a_new_log() {
    let place = built();
    let began = format!("began a new log in {}", text(&place.state()));
    let first = place.once().expect_code(0).stderr;
    assert_eq!(first.lines().next(), Some(began.as_str()), "{first}");
    let again = place.once().expect_code(0).stderr;
    assert!(!again.contains("began a new log"), "{again}");
    fs::remove_dir_all(place.state()).unwrap();
    let child = program().args(["run", text(&place.config()), "--once", "--quiet"]).spawn().unwrap();
    let gone = wait(child, Duration::from_secs(60)).expect_code(0).stderr;
    assert_eq!(gone.lines().next(), Some(began.as_str()), "{gone}");
}

/// A run on a disk that fills up, and what is said of it before and after somebody makes space.
const SMALL_DISK: &str = r#"
mount -t tmpfs -o size=3m none "$1" || { echo SKIPPED; exit 0; }
"$0" run "$2" >/dev/null 2>"$1.said" & run=$!
until "$0" wait "$2" lineitem >/dev/null 2>&1; do kill -0 $run || exit 9; done
cat /dev/zero >"$1/filler" 2>/dev/null
while "$0" pause "$2" lineitem --cause "$3" && "$0" resume "$2" lineitem --cause "$3"; do :; done >/dev/null 2>"$1.refused"
wait $run; echo "code $?"
"$0" status "$2"
rm "$1/filler"
"$0" run "$2" --once >/dev/null 2>"$1.again"; echo "code $?"
cat "$1.said" "$1.refused" >&2
cat "$1.again"
"#;

#[test]
fn defect_06_a_run_that_a_full_disk_ends_says_so_afterwards() {
    let place = built();
    let disk = place.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let config = fs::read_to_string(place.config()).unwrap();
    place.configure(&config.replace("\"state\"", "\"disk/state\""));
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "bash", "-c", SMALL_DISK]).arg(program().get_program());
    command.args([text(&disk), text(&place.config()), &"x".repeat(250)]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(child) = command.spawn() else { return println!("SKIPPED: unshare is not installed") };
    let ended = wait(child, Duration::from_secs(120));
    if ended.code != Some(0) && ended.stdout.is_empty() || ended.stdout.contains("SKIPPED") {
        return println!("SKIPPED: no mounts here: {}", ended.stderr);
    }
    let mut lines = ended.stdout.lines();
    // A full disk is no damage, and whoever supervises the run hears so.
    assert_eq!(lines.next(), Some("code 3"), "{ended:?}");
    let header = lines.next().unwrap();
    assert!(header.starts_with("run: none since 20") && header.contains("it failed: "), "{header}");
    assert!(header.contains("No space left on device") && !header.contains("killed"), "{header}");
    assert!(ended.stdout.contains("code 0") && !ended.stdout.contains("the last run"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("Os {"), "{}", ended.stderr);
}

#[test]
fn defect_39_a_run_whose_socket_was_removed_is_not_said_to_be_none() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    // It cannot be made again either: what is in the way is not the run's.
    let staging = place.state().join("control.new");
    fs::create_dir(&staging).unwrap();
    fs::write(staging.join("other"), "").unwrap();
    fs::remove_file(place.socket()).unwrap();
    let named = format!("(pid {})", run.pid());
    for arguments in [vec!["reload", text(&place.state())], vec!["pause", text(&place.state()), "lineitem"]] {
        let ended = lastword(&arguments).expect_code(3);
        assert!(ended.stderr.contains(&named) && !ended.stderr.contains("no lastword runs"), "{}", ended.stderr);
    }
    assert!(header(&place).contains("its control.sock was removed"), "{}", header(&place));
    run.stop();
}

/// A run that reads its file again must not be ended by what the file is by then.
#[test]
fn defect_25_a_configuration_without_an_end_is_refused() {
    let place = built();
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    fs::rename(place.config(), place.dir.path().join("right")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.config()).unwrap();
    let refused = lastword(&["reload", text(&place.state())]).expect_code(2);
    assert!(refused.stderr.contains("has more than 64 MiB"), "{}", refused.stderr);
    place.command(&["refresh"]).expect_code(0);
    lastword(&["plan", text(&place.config())]).expect_code(2);
    run.stop();
}

#[test]
fn defect_47_an_argument_that_cannot_be_right_is_refused_before_anything_is_made() {
    let place = built();
    let (config, zeros) = (place.config(), "0".repeat(64));
    let run = |more: [&str; 2]| lastword(&[&["run", text(&config), "--once"][..], &more].concat()).expect_code(2);
    let wrong = [
        (["--confirm", "ab"], "64 hexadecimal digits"),
        (["--confirm", &zeros], "nothing is held under"),
        (["--refresh", "nation"], "there is no collection \"nation\""),
        (["--rebuild", "nation"], "there is no collection \"nation\""),
        (["--rebuild", ""], "--rebuild: "),
    ];
    for (more, said) in wrong {
        let ended = run(more);
        assert!(ended.stderr.contains(said) && ended.stderr.lines().count() == 1, "{more:?}: {}", ended.stderr);
        assert!(!place.state().exists(), "{more:?}");
    }
    place.once().expect_code(0);
    let last = place.last_event();
    for (more, said) in wrong {
        assert!(run(more).stderr.contains(said), "{more:?}");
        assert_eq!(place.last_event(), last, "{more:?}");
    }
    // Who takes the one for the other is told.
    for arguments in [vec!["run", text(&place.state())], vec!["plan", text(&place.state())]] {
        let ended = lastword(&arguments).expect_code(2);
        assert!(ended.stderr.contains("is a directory; give the configuration"), "{}", ended.stderr);
    }
}

#[test]
fn case_24_a_record_of_a_run_drives_no_terminal_and_leads_nowhere() {
    let place = built();
    place.once().expect_code(0);
    let record = place.state().join("run.json");
    let wild = json!({"at": "x\u{1b}[2J", "failed": "y\u{1b}]0;owned\u{7}"});
    for end in [Value::Null, wild] {
        let wild = json!({"v": 1, "pid": 7, "began": "z\u{9b}31m", "end": end}).to_string();
        fs::write(&record, wild).unwrap();
        for more in [&[][..], &["--json"]] {
            let shown = lastword(&[&["status", text(&place.state())], more].concat()).expect_code(0).stdout;
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
    let elsewhere = place.dir.path().join("elsewhere");
    fs::write(&elsewhere, r#"{"v":1,"pid":7,"began":"then","end":null}"#).unwrap();
    fs::remove_file(&record).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &record).unwrap();
    assert!(header(&place).starts_with("run: none; last event at "), "a link was followed");
    place.once().expect_code(0);
    assert!(fs::symlink_metadata(&record).unwrap().is_file());
    assert!(fs::read_to_string(&elsewhere).unwrap().contains("then"), "what a link led to was written over");
}
