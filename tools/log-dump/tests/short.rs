//! What is said where descriptors are short.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::process::{Command, Stdio};

use support::{program, story_log};

#[test]
fn defect_41_whichever_command_lacks_descriptors_says_which_limit_to_raise() {
    let (dir, state) = story_log();
    let state = state.to_str().unwrap();
    let target = dir.path().join("target.evlog");
    let commands: [&[&str]; 5] = [
        &["verify", state],
        &["dump", state],
        &["head", state, "--anchor"],
        &["stat", state],
        &["export", state, target.to_str().unwrap()],
    ];
    let (mut short, mut silent) = ([0; 5], Vec::new());
    for limit in 4..14 {
        for (arguments, short) in commands.iter().zip(&mut short) {
            let mut command = Command::new("prlimit");
            command.arg(format!("--nofile={limit}:{limit}")).arg("--").arg(program().get_program()).args(*arguments);
            let output = command.env("TMPDIR", dir.path()).stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let lacks = |line: &&str| line.starts_with("log-dump: ") && line.contains("Too many open files");
            let (told, untold): (Vec<_>, Vec<_>) =
                said.lines().filter(lacks).partition(|line| line.contains("ulimit -n"));
            *short += told.len();
            silent.extend(untold.iter().map(|line| format!("{limit} {arguments:?}: {line}")));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
    assert!(short.iter().all(|short| *short > 0), "no limit was low enough: {short:?}");
}
