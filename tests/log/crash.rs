//! Processes that are killed, disks that are full, and the order of writes and syncs, seen from outside.
//!
//! The children are this test binary itself, started with `LASTWORD_CHILD` set. What needs strace says so and is
//! skipped where it is not installed, unless `LASTWORD_REQUIRE_STRACE=1` says that it must not be.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, IfAbsent, Log, LogError, OpenError, PrivateCopy, SledLog};
use test_support::log_writer::*;

/// Not a test of its own: what the children do. Each acknowledgement is one line `ack SEQ` on stdout, written
/// after the barrier.
#[test]
fn child() {
    let Some(role) = std::env::var_os("LASTWORD_CHILD") else { return };
    let state = PathBuf::from(std::env::var_os("LASTWORD_STATE").unwrap());
    let mut writer = Writer::open(&state);
    let acknowledge = |writer: &Writer| {
        // One write per line, and not through the test harness's capture.
        let mut out = std::io::stdout().lock();
        out.write_all(format!("ack {}\n", writer.log.durable().seq).as_bytes()).unwrap();
        out.flush().unwrap();
    };
    match role.to_str().unwrap() {
        // Until it is killed.
        "endless" => {
            for n in 0.. {
                writer.commit(&[n % 7 * 100, if n % 5 == 0 { 20_000 } else { 10 }]);
                writer.log.tick(Duration::from_millis(n as u64 * 300)).unwrap();
                acknowledge(&writer);
            }
        }
        // A whole short life.
        "life" => {
            for size in [10, 9_000] {
                writer.commit(&[size]);
                acknowledge(&writer);
            }
            writer.log.tick(Duration::from_secs(1)).unwrap();
            writer.close();
        }
        "commits" => {
            for n in 0..20 {
                writer.commit(&[n * 400]);
                acknowledge(&writer);
            }
        }
        // Until the file may not grow any more.
        "full" => {
            let error = loop {
                match writer.try_commit(&[3_000]) {
                    Ok(()) => acknowledge(&writer),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, LogError::Storage(_) | LogError::Io { .. }), "{error}");
            assert!(matches!(writer.append(&[1]), Err(LogError::Poisoned(_))));
            assert!(matches!(writer.log.barrier(), Err(LogError::Poisoned(_))));
            assert!(matches!(writer.log.tick(Duration::from_secs(9)), Err(LogError::Poisoned(_))));
            assert!(matches!((writer.log as Box<dyn Log>).close(), Err(LogError::Poisoned(_))));
            println!("poisoned");
        }
        // On a file system of 4 MiB.
        "no_space" => {
            (0..5).for_each(|_| writer.commit(&[1_000]));
            let frames = writer.frames();
            writer.close();
            let fill = |name: &str| {
                let mut file = fs::File::create(state.with_file_name(name)).unwrap();
                while file.write_all(&[1; 4_096]).is_ok() {}
            };
            let open = || SledLog::open(&state, IfAbsent::Refuse, Durability::Power);
            fill("first");
            let log = open().unwrap();
            assert!(!state.join("ballast").exists(), "the ballast was given up");
            assert_eq!(read_all(log.reader().as_ref()).unwrap(), frames);
            (Box::new(log) as Box<dyn Log>).close().unwrap();
            fill("second");
            // sled writes a snapshot only where it made progress; take it away so that it has to.
            for entry in fs::read_dir(state.join("sled")).unwrap().map(Result::unwrap) {
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            fill("third");
            let error = open().unwrap_err();
            assert!(matches!(error, OpenError::Full { .. }), "{error}");
            ["first", "second", "third"].iter().for_each(|name| fs::remove_file(state.with_file_name(name)).unwrap());
            let log = open().unwrap();
            assert!(state.join("ballast").exists(), "and is back");
            assert_eq!(read_all(log.reader().as_ref()).unwrap(), frames);
            println!("survived a full disk");
        }
        other => panic!("no such role: {other}"),
    }
}

fn as_child(command: &mut Command, role: &str, state: &Path) {
    command.env("LASTWORD_CHILD", role).env("LASTWORD_STATE", state);
}

const CHILD_ARGUMENTS: [&str; 3] = ["--exact", "crash::child", "--nocapture"];

fn child_command(role: &str, state: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    as_child(command.args(CHILD_ARGUMENTS), role, state);
    command
}

fn last_acknowledged(output: &[u8]) -> u64 {
    String::from_utf8_lossy(output).lines().rev().find_map(acknowledged).unwrap_or(0)
}

/// The harness writes `test child ... ` in front of the first line.
fn acknowledged(line: &str) -> Option<u64> {
    line.split_once("ack ").and_then(|(_, seq)| seq.parse().ok())
}

/// Opens what a crash left and holds it against what was acknowledged.
fn survives(state: &Path, acknowledged: u64, what: &str) -> u64 {
    let log = SledLog::open(state, IfAbsent::Create, Durability::Power).unwrap_or_else(|e| panic!("{what}: {e}"));
    let end = log.appended().seq;
    assert!(end.0 >= acknowledged, "{what}: {acknowledged} were acknowledged and {end} are there");
    for bytes in read_all(log.reader().as_ref()).unwrap() {
        for record in frame(&bytes).records() {
            assert_eq!(record.payload, payload(record.seq, record.payload.len()), "{what}");
        }
    }
    end.0
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut total = 0;
    for round in 0..12u64 {
        let mut child = child_command("endless", &state).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let acks = 3 + round * 17 % 40;
        let mut last = lines.by_ref().filter_map(|line| acknowledged(&line)).take(acks as usize).last().unwrap();
        std::thread::sleep(Duration::from_micros(round * 331 % 1_900));
        child.kill().unwrap();
        child.wait().unwrap();
        last = lines.filter_map(|line| acknowledged(&line)).last().unwrap_or(last);
        assert!(last > total, "round {round} made no progress");
        total = survives(&state, last, &format!("round {round}"));
    }
    println!("{total} events over 12 kills");
}

fn strace() -> Option<Command> {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        let required = std::env::var_os("LASTWORD_REQUIRE_STRACE").is_some_and(|value| value == "1");
        assert!(!required, "strace is not installed");
        println!("SKIPPED: strace is not installed");
    }
    there.then(|| Command::new("strace"))
}

/// Kills a whole life of a log (creation, two commits, a tick, the close) at one system call after the other, and
/// then a second life. Every one of these states opens, with everything acknowledged.
#[test]
fn every_step_of_creation_commit_and_close_can_be_the_last() {
    if strace().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // strace counts each call by itself, so each is gone through by itself.
    let calls = [
        "mkdir",
        "rename",
        "unlink",
        "unlinkat",
        "rmdir",
        "fsync",
        "fdatasync",
        "pwrite64",
        "ftruncate",
        "flock",
        "chmod",
        "openat",
        "write",
        "sync_file_range",
        "copy_file_range",
    ];
    let stride = |call| match call {
        _ if std::env::var_os("LASTWORD_EXHAUSTIVE").is_some() => 1,
        "openat" | "write" | "chmod" => 11,
        _ => 3,
    };
    for second_life in [false, true] {
        let mut killed = 0;
        for call in calls {
            for step in (1..).step_by(stride(call)) {
                let state = dir.path().join(format!("{second_life}-{call}-{step}"));
                let before = if second_life { 2 } else { 0 };
                if second_life {
                    assert!(child_command("life", &state).output().unwrap().status.success());
                }
                let mut command = strace_of("life", &state);
                command.arg(format!("-etrace={call}")).arg(format!("-einject={call}:signal=SIGKILL:when={step}"));
                command.arg(std::env::current_exe().unwrap()).args(CHILD_ARGUMENTS);
                let output = command.stderr(Stdio::null()).output().unwrap();
                let acknowledged = last_acknowledged(&output.stdout).max(before);
                // A tool may look at this state, and whatever it says, it changes nothing.
                let _ = PrivateCopy::of(&state);
                survives(&state, acknowledged, &format!("second life: {second_life}, killed at {call} {step}"));
                fs::remove_dir_all(&state).unwrap();
                if output.status.success() {
                    break;
                }
                killed += 1;
            }
        }
        println!("second life: {second_life}: killed at {killed} places");
        assert!(killed > 20);
    }
}

fn strace_of(role: &str, state: &Path) -> Command {
    let mut command = Command::new("strace");
    as_child(command.args(["-f", "-qq"]), role, state);
    command
}

/// The states in which a creation can be interrupted, made by hand.
#[test]
fn an_interrupted_creation_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    Writer::open(&whole).close();
    // HEAD as it is first written: at 0, neither clean nor complete.
    let mut slot = vec![0; 8192];
    slot[..6].copy_from_slice(b"LWHD\x01\x00");
    let crc = crc32c::crc32c(&slot[..72]);
    slot[72..76].copy_from_slice(&crc.to_le_bytes());

    type Step<'a> = Box<dyn Fn(&Path) + 'a>;
    let write = |name: &'static str, bytes: Vec<u8>| -> Step<'_> {
        Box::new(move |state: &Path| fs::write(state.join(name), &bytes).unwrap())
    };
    let copy = |name: &'static str| -> Step<'_> {
        let whole = whole.clone();
        Box::new(move |state: &Path| copy_tree(&whole.join("sled"), &state.join(name)))
    };
    let db = fs::read(whole.join("sled/db")).unwrap();
    let steps: Vec<Step<'_>> = vec![
        Box::new(|state: &Path| fs::create_dir(state).unwrap()),
        write("LOCK", vec![]),
        Box::new(|state: &Path| fs::create_dir(state.join("objects")).unwrap()),
        write("HEAD.new", slot[..100].to_vec()),
        write("HEAD", slot.clone()),
        Box::new(|state: &Path| fs::create_dir(state.join("new")).unwrap()),
        write("new/conf", b"half".to_vec()),
        write("new/db", db[..db.len() / 2].to_vec()),
        copy("new"),
        Box::new(|state: &Path| fs::rename(state.join("new"), state.join("sled")).unwrap()),
    ];
    for until in 1..=steps.len() {
        let state = dir.path().join(format!("until-{until}"));
        steps[..until].iter().for_each(|step| step(&state));
        let error = SledLog::open(&state, IfAbsent::Refuse, Durability::Power).err();
        assert!(error.is_some(), "step {until}: nothing is there yet");
        let mut writer = Writer::open(&state);
        assert_eq!(writer.log.appended().seq, Seq(0));
        writer.commit(&[1]);
        writer.close();
        assert_eq!(Writer::open(&state).frames().len(), 1, "step {until}");
        assert!(!state.join("new").exists());
    }
}

/// `ulimit -f` makes writes behind a length fail with EFBIG, like a full disk for this one file.
#[test]
fn a_failed_write_poisons_and_what_was_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    Writer::open(&state).close();
    let mut command = Command::new("bash");
    // 1 MiB in units of 1024 bytes; the signal is ignored so that the call fails instead.
    command.arg("-c").arg("trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"");
    command.arg(std::env::current_exe().unwrap()).args(CHILD_ARGUMENTS);
    as_child(&mut command, "full", &state);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("poisoned"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged = last_acknowledged(&output.stdout);
    assert!(acknowledged > 10);
    let end = survives(&state, acknowledged, "after the failure");
    println!("{acknowledged} acknowledged, {end} found");
}

/// A private mount needs a user namespace, which not every machine grants.
#[test]
fn a_full_disk_costs_the_ballast_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=4m none \"$MOUNT\" || { echo no mount; exit 0; }; exec \"$0\" \"$@\"";
    command.args(["--map-root-user", "--mount", "bash", "-c", script]).env("MOUNT", dir.path());
    command.arg(std::env::current_exe().unwrap()).args(CHILD_ARGUMENTS);
    as_child(&mut command, "no_space", &dir.path().join("state"));
    let Ok(output) = command.output() else { return println!("SKIPPED: unshare is not installed") };
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if text.contains("no mount") || error.contains("unshare:") {
        return println!("SKIPPED: no private mount: {error}");
    }
    assert!(text.contains("survived a full disk"), "{text}\n{error}");
}

/// Between each two acknowledgements there is a write to `sled/db` and, after the last of those, a successful
/// fdatasync of it; and nothing is ever created in `blobs/`.
#[test]
fn every_acknowledgement_comes_after_an_fdatasync_of_db() {
    let Some(mut command) = strace() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (state, trace) = (dir.path().join("state"), dir.path().join("trace"));
    command.args(["-f", "-y", "-qq", "-etrace=write,pwrite64,fdatasync,openat", "-o"]).arg(&trace);
    command.arg(std::env::current_exe().unwrap()).args(CHILD_ARGUMENTS);
    as_child(&mut command, "commits", &state);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let trace = fs::read_to_string(&trace).unwrap();
    let (mut acknowledgements, mut written, mut synced) = (0, false, false);
    let mut waiting: Vec<&str> = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.trim_start().split_once(char::is_whitespace).unwrap();
        let call = call.trim_start();
        assert!(!(call.contains("sled/blobs/") && call.contains("O_CREAT")), "{line}");
        if call.starts_with("pwrite64") && call.contains("/sled/db>") {
            (written, synced) = (true, false);
        } else if call.starts_with("fdatasync") && call.contains("/sled/db>") {
            if call.contains("unfinished") {
                waiting.push(thread);
            } else {
                synced |= call.ends_with("= 0");
            }
        } else if call.contains("fdatasync resumed") && waiting.contains(&thread) {
            waiting.retain(|other| *other != thread);
            synced |= call.ends_with("= 0");
        } else if call.starts_with("write(1") && call.contains("ack ") {
            assert!(written && synced, "acknowledged without a write and a sync: {line}");
            (written, synced) = (false, false);
            acknowledgements += 1;
        }
    }
    assert_eq!(acknowledgements, 20);
    assert_eq!(fs::read_dir(state.join("sled/blobs")).unwrap().count(), 0);
}
