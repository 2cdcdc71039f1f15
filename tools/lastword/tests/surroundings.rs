//! What lies around a log: its owner, the limits of the process, damage.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Ended, Place, Running, text};

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

/// A run once under strace, which lets calls on the file of sled fail; nothing where there is no strace.
fn with_failing_calls(place: &Place, inject: &str) -> Option<Ended> {
    let mut command = Command::new("strace");
    let db = place.state().join("sled/db");
    command.args(["-f", "-qq", "-o", "/dev/null", "-P", text(&db), "-e", &format!("inject={inject}")]);
    command.arg(support::program().get_program()).args(["run", text(&place.config()), "--once"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    Some(support::wait(child, Duration::from_secs(120)))
}

/// A disk that fails for once is not damage: nobody is to give up events for it.
#[test]
fn an_error_of_the_disk_is_none_of_the_log() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let (mut refused, last) = (0, place.last_event());
    let of_reading = (1..=6).map(|when| format!("pread64:error=EIO:when={when}"));
    let of_writing = ["EIO", "EROFS"].map(|error| format!("pwrite64:error={error}:when=1+"));
    for inject in of_reading.chain(of_writing).chain(["fdatasync,fsync:error=EIO:when=1+".to_owned()]) {
        let Some(ended) = with_failing_calls(&place, &inject) else {
            return println!("SKIPPED: strace is not installed");
        };
        let said = &ended.stderr;
        assert!(!said.contains("accept-loss") && !said.contains("Os {"), "{inject}: {said}");
        assert!(matches!(ended.code, Some(0 | 3)), "{inject}: {:?}: {said}", ended.code);
        if ended.code == Some(3) {
            refused += 1;
            assert!(said.contains(text(&place.state())), "{inject}: {said}");
            let is_named = said.contains("os error") || said.contains("whole now");
            assert!(is_named, "{inject}: {said}");
        }
    }
    assert!(refused > 2, "no call failed: {refused}");
    place.once().expect_code(0);
    assert!(place.last_event() >= last);
}

/// The second run at once, after somebody has removed the lock, hears of the first and disturbs nothing.
#[test]
fn a_second_run_without_the_lock_is_told_of_the_first() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let head = fs::read(place.state().join("HEAD")).unwrap();
    fs::remove_file(place.state().join("LOCK")).unwrap();
    let second = place.once().expect_code(3);
    assert!(second.stderr.contains("has the log open"), "{}", second.stderr);
    assert!(!second.stderr.contains("accept-loss"), "{}", second.stderr);
    let after = fs::read(place.state().join("HEAD")).unwrap();
    assert!(after.len() == head.len(), "HEAD is whole");
    let first = run.ended();
    assert!(first.stderr.contains("LOCK"), "{}", first.stderr);
    assert!(!first.stderr.contains("HEAD"), "the second has written: {}", first.stderr);
}

/// What is missing is called so, and who has no backup hears how to begin anew.
#[test]
fn a_storage_directory_that_is_gone_is_missing() {
    for gone in ["sled", "sled/db"] {
        let place = Place::new("");
        place.write("a.parquet", 1, 0);
        place.once().expect_code(0);
        let path = place.state().join(gone);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        let (state, config) = (place.state(), place.config());
        for arguments in [
            vec!["run", text(&config), "--once"],
            vec!["run", text(&config), "--once", "--accept-loss", "0"],
            vec!["status", text(&state)],
            vec!["plan", text(&config)],
        ] {
            let said = support::lastword(&arguments).expect_code(5).stderr;
            for part in ["sled/db is missing", "restore a backup", "move the directory away"] {
                assert!(said.contains(part), "{gone} {arguments:?} {part}: {said}");
            }
        }
    }
}

/// A file system that is not mounted, with a link that leads into it.
#[test]
fn a_link_to_nothing_is_named() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let target = place.dir.path().join("not mounted");
    symlink(&target, place.state()).unwrap();
    let (state, config) = (place.state(), place.config());
    let said_so = format!("{} is a link to {}, which does not exist", state.display(), target.display());
    for arguments in [
        vec!["run", text(&config), "--once"],
        vec!["plan", text(&config)],
        vec!["status", text(&config)],
        vec!["pause", text(&state), "lineitem"],
    ] {
        let said = support::lastword(&arguments).expect_code(3).stderr;
        assert!(said.contains(&said_so), "{arguments:?}: {said}");
    }
    // The same one level above.
    fs::remove_file(&state).unwrap();
    symlink(&target, place.dir.path().join("disk")).unwrap();
    place.configure(&fs::read_to_string(&config).unwrap().replace("\"state\"", "\"disk/state\""));
    for arguments in [vec!["run", text(&config), "--once"], vec!["plan", text(&config)]] {
        let said = support::lastword(&arguments).expect_code(3).stderr;
        assert!(said.contains("disk is a link to"), "{arguments:?}: {said}");
    }
}

/// The advice can be typed as it is printed: it has the file that was named.
#[test]
fn advice_about_a_damaged_log_names_the_file_that_was_given() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    fs::remove_file(place.state().join("HEAD")).unwrap();
    let config = place.config();
    let named = format!("lastword run {} --accept-loss", text(&config));
    for arguments in [
        vec!["status", text(&config)],
        vec!["plan", text(&config)],
        vec!["manifest", text(&config), "lineitem"],
        vec!["pause", text(&config), "lineitem"],
        vec!["wait", text(&config), "lineitem"],
    ] {
        let said = support::lastword(&arguments).expect_code(1).stderr;
        assert!(said.contains(&named), "{arguments:?}: {said}");
    }
}

/// The root of a file system is no place for a log.
#[test]
fn the_root_of_a_file_system_is_known_by_what_it_keeps_there() {
    let place = Place::new("");
    fs::create_dir_all(place.state().join("lost+found")).unwrap();
    let said = place.once().expect_code(3).stderr;
    assert!(said.contains("use a directory below it"), "{said}");
}
