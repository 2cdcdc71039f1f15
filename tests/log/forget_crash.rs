//! A process that lets the past go is killed at one system call after the other: the log is whole, or it begins later
//! with its base, and it always opens.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, IfAbsent, Log, PrivateCopy, SledLog};
use lastword::replay::check_checkpoint;
use test_support::log_writer::past::*;
use test_support::log_writer::*;

const STATE: &str = "LASTWORD_FORGETTING";

/// What the killed process does. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let (mut writer, start) = with_base(Path::new(&state));
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    writer.log.tick(Duration::from_secs(1)).unwrap();
    writer.commit(&[10]);
    writer.close();
}

fn killed_at(call: &str, step: usize, state: &Path) -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).arg(format!("-etrace={call}"));
    command.arg(format!("-einject={call}:signal=SIGKILL:when={step}"));
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "forget_crash::child", "--nocapture"])
        .env(STATE, state);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    !status.success()
}

#[test]
fn every_step_of_forgetting_can_be_the_last() {
    if std::env::var_os(STATE).is_some() {
        return;
    }
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        let required = std::env::var_os("LASTWORD_REQUIRE_STRACE").is_some_and(|value| value == "1");
        assert!(!required, "strace is not installed");
        return println!("SKIPPED: strace is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let stride = if std::env::var_os("LASTWORD_EXHAUSTIVE").is_some() { 1 } else { 3 };
    let (mut whole, mut begun_later) = (0, 0);
    for call in ["fdatasync", "pwrite64", "sync_file_range", "fsync"] {
        for step in (1..).step_by(stride) {
            let state = dir.path().join(format!("{call}-{step}"));
            let was_killed = killed_at(call, step, &state);
            // A tool may look at it, and whatever it says, it changes nothing.
            let _ = PrivateCopy::of(&state);
            let mut log = SledLog::open(&state, IfAbsent::Create, Durability::Power)
                .unwrap_or_else(|error| panic!("killed at {call} {step}: {error}"));
            let reader = log.reader();
            let begins = firsts(&*reader, 0).unwrap().first().copied();
            match reader.start() {
                start if start.is_whole() => {
                    assert!(begins.is_none_or(|begins| begins == 1));
                    whole += 1;
                }
                start => {
                    assert_eq!((start.seq, begins), (Seq(15), Some(16)), "killed at {call} {step}");
                    let base = lastword::replay::checkpoint_of(&*reader).unwrap().unwrap();
                    assert_eq!(base.body, body());
                    begun_later += 1;
                }
            }
            // What was interrupted is finished, and the log goes on.
            log.tick(Duration::from_secs(1)).unwrap();
            drop(reader);
            (Box::new(log) as Box<dyn Log>).close().unwrap();
            let mut writer = Writer::open(&state);
            writer.commit(&[5]);
            writer.close();
            std::fs::remove_dir_all(&state).unwrap();
            if !was_killed {
                break;
            }
        }
    }
    println!("killed with a whole log {whole} times, with one that begins later {begun_later} times");
    assert!(whole > 5 && begun_later > 2, "{whole} {begun_later}");
}
