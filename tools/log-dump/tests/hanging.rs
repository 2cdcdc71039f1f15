//! A log on a mount that never answers: what is waited for is said, and a signal ends the wait.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a helper that cannot help fails its test")]

#[path = "../../lastword/tests/support/dead_mount.rs"]
mod dead_mount;
mod support;

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dead_mount::DeadMount;
use support::{program, story_log};

#[test]
fn defect_03_a_log_that_never_answers_is_named_and_a_signal_ends_the_wait() {
    let (dir, state) = story_log();
    let Some(_mount) = DeadMount::at(&state) else { return };
    let stderr = dir.path().join("stderr");
    let said = || fs::read_to_string(&stderr).unwrap();
    let mut child = program();
    child.args(["verify", state.to_str().unwrap()]).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
    let mut child = child.spawn().unwrap();
    let expected = format!("log-dump: {}: does not answer", state.display());
    let begun = Instant::now();
    while !said().contains(&expected) && begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
    }
    let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let begun = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((ended.signal(), said().matches(&expected).count()), (Some(15), 1), "{}", said());
}

/// Also over what is read or written beside the log.
#[test]
fn defect_03_what_is_beside_a_log_and_never_answers_ends_a_command() {
    // Each in a mount of its own.
    let commands: [&[&str]; 5] = [
        &["export", "STATE", "DEAD"],
        &["verify", "STATE", "--expect-checkpoint", "DEAD"],
        &["diff", "STATE", "DEAD"],
        &["head", "STATE", "--sign", "DEAD"],
        &["import", "absent", "DEAD"],
    ];
    let mut running = Vec::new();
    for arguments in commands {
        let (dir, state) = story_log();
        let dead = dir.path().join("dead");
        let Some(mount) = DeadMount::at(&dead) else { return };
        let file = dead.join("file");
        let path = |argument: &&str| match *argument {
            "STATE" => state.clone().into_os_string(),
            "DEAD" => file.clone().into_os_string(),
            other => other.into(),
        };
        let mut child = program();
        child.current_dir(dir.path()).args(arguments.iter().map(path)).stdout(Stdio::null()).stderr(Stdio::piped());
        running.push((child.spawn().unwrap(), arguments, dir, mount));
    }
    let begun = Instant::now();
    for (mut child, arguments, _dir, _mount) in running {
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(90) {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(50));
        }
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.lines().last().unwrap().contains("has not answered for 30s"), "{arguments:?}: {said}");
    }
}
