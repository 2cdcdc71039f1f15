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
