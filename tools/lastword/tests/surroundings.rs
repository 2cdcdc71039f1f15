//! What lies around a log: its owner, the limits of the process, damage.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Place, text};

#[test]
fn defect_41_a_run_raises_the_limit_of_descriptors() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let mut command = Command::new("prlimit");
    command
        .args(["--nofile=200:1000", "--"])
        .arg(support::program().get_program())
        .args(["run", text(&place.config())]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    support::until("the run takes commands", || UnixStream::connect(place.socket()).is_ok());
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().filter(|word| word.chars().all(|c| c.is_ascii_digit())).collect();
    support::signal(&child, "TERM");
    support::wait(child, Duration::from_secs(30)).expect_code(0);
    assert_eq!(numbers, ["1000", "1000"]);
}

/// Every file below, and whose it is.
fn owners(root: &Path) -> Vec<(PathBuf, u32)> {
    let (mut found, mut pending) = (vec![(root.to_owned(), fs::metadata(root).unwrap().uid())], vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            pending.extend(metadata.is_dir().then(|| path.clone()));
            found.push((path, metadata.uid()));
        }
    }
    found.sort();
    found
}

#[test]
fn defect_42_root_leaves_nothing_in_the_log_of_another_user() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    const NOBODY: u32 = 65_534;
    for (path, _) in owners(&place.state()) {
        if chown(&path, Some(NOBODY), Some(NOBODY)).is_err() {
            return println!("SKIPPED: only root can give a file away");
        }
    }
    let before = owners(&place.state());
    for ended in [place.command(&["refresh"]), place.command(&["pause"]), place.once()] {
        let ended = ended.expect_code(3);
        let said = &ended.stderr;
        assert!(said.contains(text(&place.state())) && said.contains("65534"), "{said}");
    }
    assert_eq!(owners(&place.state()), before);
    // Looking is allowed.
    assert_eq!(place.condition().as_deref(), Some("fresh"));
    assert_eq!(owners(&place.state()), before);
}

#[test]
fn defect_42_who_may_not_open_a_log_hears_whose_it_is() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let (state, config) = (place.state(), place.config());
    let mine = fs::metadata(&state).unwrap().uid();
    if mine != 0 || chown(place.dir.path(), Some(65_534), None).is_err() {
        return println!("SKIPPED: only root can be somebody else");
    }
    // Where the program lies somebody else may not get to; a copy beside the log is for all.
    let program = place.dir.path().join("lastword");
    fs::copy(support::program().get_program(), &program).unwrap();
    for arguments in [
        vec!["status", text(&state)],
        vec!["status", text(&config)],
        vec!["pause", text(&state), "lineitem"],
        vec!["manifest", text(&state), "lineitem"],
        vec!["plan", text(&config)],
        vec!["run", text(&config), "--once"],
    ] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(&arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(child) = child else { return println!("SKIPPED: setpriv is not installed") };
        let ended = support::wait(child, Duration::from_secs(60)).expect_code(3);
        let whose = "the log belongs to the user with the number 0, and this is 65534";
        assert!(ended.stderr.contains(whose), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn defect_43_a_damaged_log_says_how_to_go_on_and_what_it_costs() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    fs::create_dir(place.dir.path().join("older")).unwrap();
    for name in ["db", "conf"] {
        fs::copy(place.state().join("sled").join(name), place.dir.path().join("older").join(name)).unwrap();
    }
    let last = place.last_event();
    place.write("b.parquet", 1, 7);
    place.once().expect_code(0);
    // A backup of the storage directory alone.
    fs::remove_dir_all(place.state().join("sled")).unwrap();
    fs::rename(place.dir.path().join("older"), place.state().join("sled")).unwrap();
    fs::create_dir(place.state().join("sled/blobs")).unwrap();

    let run = |more: &[&str]| support::lastword(&[&["run", text(&place.config()), "--once"], more].concat());
    let refused = run(&[]).expect_code(5);
    for said in ["--up-to-damage", &format!("--accept-loss {last}"), "gives up at least"] {
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    let (one_less, one_more) = ((last - 1).to_string(), (last + 1).to_string());
    for other in [&one_less, &one_more] {
        let refused = run(&["--accept-loss", other]).expect_code(2);
        assert!(refused.stderr.contains(&format!("must be {last}")), "{}", refused.stderr);
    }
    run(&["--accept-loss", &last.to_string()]).expect_code(0);
    assert_eq!(place.last_of("data_loss_accepted")["last"], last);
    assert!(place.state().join("damaged-1/sled/db").exists() && place.state().join("damaged-1/HEAD").exists());
    // What was lost is built again.
    assert_eq!(support::rows(&place.manifest()), place.count());
    run(&["--accept-loss", &last.to_string()]).expect_code(2);
    run(&[]).expect_code(0);
}
