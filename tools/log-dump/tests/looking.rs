//! What the commands print, and that looking changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::Reconciler;
use lastword::worker::{Context, Failure, Worker};
use support::*;

#[test]
fn looking_changes_nothing() {
    let (dir, path) = story_log();
    let before = look(dir.path());
    let why = ["why", "lineitem"];
    let diff = ["diff", "--from", "0"];
    let two = ["diff", path.to_str().unwrap()];
    for command in [&["dump"][..], &["verify"], &["head"], &["state"], &["stat"], &["export"], &why, &diff, &two] {
        assert_eq!(code(&on(&path, command[0], &command[1..])), 0, "{command:?}");
        assert!(look(dir.path()) == before, "{command:?} changed something");
    }
}

#[test]
fn selections_are_half_open_and_combine() {
    let (_dir, path) = story_log();
    let (all, summary) = json(&path, "dump", &[]);
    let end = last(&path).0;
    assert_eq!(all.len() as u64, end);
    assert_eq!((&summary["from"], &summary["to"], &summary["events"]), (&1.into(), &(end + 1).into(), &end.into()));
    let head = json(&path, "head", &[]).0.remove(0);
    assert_eq!(summary["head"], head["hash"]);
    let seqs = |more: &[&str]| -> Vec<u64> {
        json(&path, "dump", more).0.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&["--from", "5", "--to", "8"]), [5, 6, 7]);
    assert_eq!(seqs(&["--from", "8", "--to", "8"]), [0; 0]);
    assert_eq!(seqs(&["--from", "9999"]), [0; 0]);
    assert_eq!(seqs(&["--last", "3"]), [end - 2, end - 1, end]);
    assert_eq!(seqs(&["--last", "0"]), [0; 0]);
    assert_eq!(seqs(&["--to", "6", "--last", "2"]), [4, 5]);

    let times: Vec<&str> = all.iter().map(|line| line["time"].as_str().unwrap()).collect();
    let (since, until) = (times[6], times[20]);
    let expected: Vec<u64> = all
        .iter()
        .filter(|e| *e["time"].as_str().unwrap() >= *since && *e["time"].as_str().unwrap() < *until)
        .map(|e| e["seq"].as_u64().unwrap())
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(seqs(&["--since", since, "--until", until]), expected);
    let seconds = format!("{}", story::START / 1_000_000);
    assert_eq!(seqs(&["--since", &seconds]).len() as u64, end);
    assert_eq!(seqs(&["--until", &seconds]), [0; 0]);

    for line in json(&path, "dump", &["--type", "task_created,task_parked"]).0 {
        assert!(["task_created", "task_parked"].contains(&line["type"].as_str().unwrap()));
    }
    for (glob, expected) in [("line*", "lineitem"), ("zone*/ord?rs", "zone \"x\"/orders"), ("pl[a-b]in", "plain")] {
        let lines = json(&path, "dump", &["--collection", glob]).0;
        assert!(!lines.is_empty() && lines.iter().all(|line| line["collection"] == expected), "{glob}");
    }
    let summary = json(&path, "dump", &["--from", "5", "--to", "9999"]).1;
    assert_eq!((&summary["from"], &summary["to"]), (&5.into(), &(end + 1).into()));
    let counted = json(&path, "stat", &["--type", "task_created"]);
    assert_eq!(counted.0[0]["events"], seqs(&["--type", "task_created"]).len());
}

#[test]
fn state_is_as_it_was_at_any_event_and_time() {
    let (_dir, path) = story_log();
    let (lines, summary) = json(&path, "state", &[]);
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lineitem", "plain"]);
    assert_eq!(lines[1]["condition"], "fresh");
    assert_eq!(lines[1]["rows"], u64::MAX);
    assert_eq!(lines[0]["lag_seconds"], serde_json::Value::Null);
    assert_eq!(summary["events"], last(&path).0);
    assert!(json(&path, "state", &["--at", "4"]).0.is_empty());
    let declared = json(&path, "state", &["--at", "5"]).0;
    assert_eq!(declared[0]["condition"], "awaiting_observation");
    let (events, _) = json(&path, "dump", &["--from", "5", "--to", "6"]);
    let at = events[0]["time"].as_str().unwrap();
    assert_eq!(json(&path, "state", &["--at", at]).0, declared);
    let table = ok(&path, "state", &[]);
    assert!(table.contains("lineitem") && table.contains("fresh: everything heard is applied"), "{table}");
}

#[test]
fn verify_and_stat_count_the_same() {
    let (_dir, path) = story_log();
    let verified = json(&path, "verify", &[]).0.remove(0);
    let stat = json(&path, "stat", &[]).0.pop().unwrap();
    assert_eq!(verified["ok"], true);
    for key in ["frames", "events", "objects"] {
        assert_eq!(verified[key], stat[key], "{key}");
    }
    assert_eq!(verified["bytes"], stat["frame_bytes"]);
    assert_eq!(verified["digest"].as_str().unwrap().len(), 64);
    let text = ok(&path, "verify", &[]);
    assert!(text.contains("checked  anchor, crc, hash, chain, legality, invariants, objects"), "{text}");
}

#[test]
fn export_and_import_give_the_same_log() {
    let (dir, path) = story_log();
    let file = dir.path().join("log.evlog");
    let target = dir.path().join("again");
    ok(&path, "export", &[file.to_str().unwrap()]);
    assert_eq!(on(&path, "export", &[]).stdout, fs::read(&file).unwrap());
    ok(&target, "import", &[file.to_str().unwrap()]);
    for command in ["dump", "state", "verify"] {
        assert_eq!(ok(&target, command, &["--json"]), ok(&path, command, &["--json"]), "{command}");
    }
    assert_eq!(json(&target, "head", &[]).0[0]["clean"], true);
    let before = look(&target);
    assert_eq!(code(&on(&target, "import", &[file.to_str().unwrap()])), 3);
    assert_eq!(look(&target), before);
    let piped = dir.path().join("piped");
    let import =
        program().args(["import", piped.to_str().unwrap(), "-"]).stdin(fs::File::open(&file).unwrap()).output();
    assert_eq!(code(&import.unwrap()), 0);
    assert_eq!(ok(&piped, "dump", &[]), ok(&path, "dump", &[]));
}

#[test]
fn a_stream_that_goes_to_a_closed_output_is_no_backup() {
    let (_dir, path) = story_log();
    let export = |redirected: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" export \"$1\" {redirected}")]).arg(program().get_program()).arg(&path);
        shell.stdin(Stdio::null()).output().unwrap()
    };
    for closed in [">&-", ">&- <&-"] {
        let output = export(closed);
        assert_eq!(code(&output), 3, "{closed}");
        assert!(err(&output).contains("standard output is closed"), "{closed}: {}", err(&output));
    }
    // Who sends it there himself wants it so.
    assert_eq!(code(&export(">/dev/null")), 0);
}

#[test]
fn a_closed_stdout_is_no_error() {
    let (_dir, path) = story_log();
    for (command, more) in [("dump", "--json"), ("export", "-"), ("state", "--json"), ("verify", "--json")] {
        let mut child = program()
            .args([command, path.to_str().unwrap(), more])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut complaint = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        // Whoever reads only the head of a page has read enough; half of a backup is none.
        let code = if command == "export" { 3 } else { 0 };
        assert_eq!(child.wait().unwrap().code(), Some(code), "{command}: {complaint}");
        assert_eq!(complaint.contains("the stream is not whole"), command == "export", "{command}: {complaint}");
    }
}

struct Slow;

impl Worker for Slow {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        loop {
            context.check_stop()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_log_is_looked_at_while_a_writer_is_active() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let kind = Kind::new("slow").unwrap();
    let reconciler = Reconciler::open(&path).kind(kind.clone(), Slow).start().unwrap();
    let handle = Arc::new(reconciler.handle());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (handle, stop) = (Arc::clone(&handle), Arc::clone(&stop));
        move || {
            for n in 0_u64.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return n;
                }
                let mut declaration = Declaration::new(Name::new(&format!("c{}", n % 7)).unwrap());
                declaration.kind = Some(kind.clone());
                declaration.source = Some(Source::new("s").unwrap());
                declaration.versioned = Some(false);
                declaration.spec = Some(Spec::parse(&format!("{{\"n\":{n}}}")).unwrap());
                handle.declare(declaration).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
            0
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    let mut last_seq = 0;
    for _ in 0..3 {
        for command in ["dump", "verify", "state", "stat", "export"] {
            let output = on(&path, command, if command == "export" { &[] } else { &["--json"] });
            assert_eq!(code(&output), 0, "{command}: {}", err(&output));
        }
        let head = json(&path, "head", &[]).0.remove(0);
        assert_eq!(head["writer_active"], true);
        let seq = head["seq"].as_u64().unwrap();
        assert!(seq > last_seq, "what was acknowledged is seen");
        last_seq = seq;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    reconciler.shutdown(Duration::from_secs(5)).unwrap();
    // A handle can read the log, and whoever can read it keeps its lock.
    drop(handle);
    let head = json(&path, "head", &[]).0.remove(0);
    assert_eq!((&head["writer_active"], &head["clean"]), (&false.into(), &true.into()));
}
