//! Files that a command is told to write: whole or not at all, into what is no file, and over nothing that it reads.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use support::{Place, lastword, program, text, until};

fn place() -> Place {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    place
}

/// The arguments of a command that writes to a path.
type Arguments<'a> = Box<dyn Fn(&Path) -> Vec<String> + 'a>;

fn writers<'a>(place: &'a Place, key: &'a Path) -> Vec<(&'static str, Arguments<'a>)> {
    let (state, config) = (place.state(), place.config());
    let strings = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let report = move |to: &Path| strings(&["report", text(&state), "-o", text(to)]);
    let by_config = config.clone();
    let report_of_config = move |to: &Path| strings(&["report", text(&by_config), "-o", text(to)]);
    let checkpoint = move |to: &Path| {
        let signed = ["--checkpoint-key", text(key)];
        strings(&[&["run", text(&config), "--once", "-q", "--checkpoint", text(to)], &signed[..]].concat())
    };
    vec![("report", Box::new(report)), ("report", Box::new(report_of_config)), ("checkpoint", Box::new(checkpoint))]
}

fn key(place: &Place) -> PathBuf {
    let key = place.dir.path().join("audit.key");
    fs::write(&key, KEY).unwrap();
    key
}

/// What `log-dump key new` has made for this test.
const KEY: &str = "PRIVATE+KEY+lastword+4ee2e692+AeOP91fOhksGvmb32mR0rjPWM8GxAAEcQ+ERW0PjwHyM";

/// Everything in a directory, with its bytes.
fn all_below(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all_below(&path, found),
            false if path.is_file() => found.push((path.clone(), fs::read(&path).unwrap())),
            false => found.push((path, Vec::new())),
        }
    }
    found.sort();
}

fn looked_at(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    all_below(place.dir.path(), &mut found);
    found
}

#[test]
fn what_a_command_reads_and_what_belongs_to_its_log_is_not_written_over() {
    let place = place();
    let key = key(&place);
    let stream = place.dir.path().join("copy.evlog");
    let (state, config) = (place.state(), place.config());
    let links = [place.dir.path().join("to-head"), place.dir.path().join("to-config"), place.dir.path().join("hard")];
    symlink(state.join("HEAD"), &links[0]).unwrap();
    symlink(&config, &links[1]).unwrap();
    fs::hard_link(&config, &links[2]).unwrap();
    fs::write(&stream, "no stream").unwrap();
    let before = looked_at(&place);
    let within = [state.join("HEAD"), state.join("new"), state.join("sled/db"), links[0].clone()];
    for (name, arguments) in writers(&place, &key) {
        for to in &within {
            refused(&arguments(to), name, "lies in the directory of the log");
        }
        refused(&arguments(place.dir.path()), name, "is a directory");
    }
    for (name, arguments) in &writers(&place, &key)[1..] {
        for to in [&config, &links[1], &links[2]] {
            refused(&arguments(to), name, "which this command reads");
        }
    }
    refused(&(writers(&place, &key)[2].1)(&key), "checkpoint", "which this command reads");
    let of_stream = ["report", text(&stream), "-o", text(&stream)].map(str::to_owned);
    refused(&of_stream, "report", "which this command reads");
    assert!(looked_at(&place) == before, "something was changed");
}

fn refused(arguments: &[String], name: &str, why: &str) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = lastword(&arguments).expect_code(2);
    assert!(ended.stderr.contains(why), "{name} {arguments:?}: {}", ended.stderr);
}

#[test]
fn what_is_no_file_is_written_into_and_what_a_link_leads_to_is_replaced() {
    let place = place();
    let key = key(&place);
    let at = |name: &str| place.dir.path().join(name);
    for (number, (_, arguments)) in writers(&place, &key).into_iter().enumerate() {
        let run = |to: &Path| {
            let arguments = arguments(to);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            lastword(&arguments).expect_code(0)
        };
        let fifo = at(&format!("fifo{number}"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let read = thread::spawn({
            let fifo = fifo.clone();
            move || fs::read_to_string(fifo).unwrap()
        });
        // The reader stays until the last writer has gone: a run opens it more than once.
        let holder = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
        run(&fifo);
        drop(holder);
        let read = read.join().unwrap();
        assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo() && !read.is_empty(), "{number}: {read}");
        // A link stays one, and what it leads to keeps its permissions.
        let (link, target) = (at(&format!("link{number}")), at(&format!("target{number}")));
        fs::write(&target, "before").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&target, &link).unwrap();
        run(&link);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::read_to_string(&target).unwrap().len() > "before".len());
        // A device, where this user may make one.
        let device = at(&format!("null{number}"));
        let made = Command::new("mknod").args([text(&device), "c", "1", "3"]).stderr(Stdio::null()).status().unwrap();
        if made.success() && fs::write(&device, "x").is_ok() {
            run(&device);
            assert!(fs::metadata(&device).unwrap().file_type().is_char_device());
        }
    }
    // No name that another could foresee, and nothing is left.
    let left: Vec<_> = looked_at(&place).into_iter().filter(|(path, _)| text(path).contains("unfinished")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_name_that_another_foresees_leads_a_checkpoint_nowhere() {
    let place = place();
    let (note, victim) = (place.dir.path().join("note"), place.dir.path().join("victim"));
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, place.dir.path().join("note.new")).unwrap();
    lastword(&["run", text(&place.config()), "--once", "-q", "--checkpoint", text(&note)]).expect_code(0);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::read_to_string(&note).unwrap().starts_with("lastword/"));
}

/// Whether calls can be made to fail and to take long here.
fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        assert!(std::env::var_os("LASTWORD_REQUIRE_STRACE").is_none(), "strace is not installed");
        println!("SKIPPED: strace is not installed");
    }
    there
}

#[test]
fn a_page_that_cannot_be_made_durable_is_an_error_and_a_signal_leaves_nothing_behind() {
    if !has_strace() {
        return;
    }
    let place = place();
    let page = place.dir.path().join("page/audit.html");
    fs::create_dir(page.parent().unwrap()).unwrap();
    let trace = place.dir.path().join("trace");
    let report = |more: &[&str]| {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-o", text(&trace), "-etrace=fsync"]).args(more).arg(program().get_program());
        command.args(["report", text(&place.state()), "-o", text(&page)]);
        command
    };
    assert!(report(&[]).status().unwrap().success());
    // Which of the calls of its thread it is; the copy of the log is made durable before.
    let calls = fs::read_to_string(&trace).unwrap();
    let (before, own) = calls.split_at(calls.find("unfinished").expect("it is not made durable"));
    let thread = before.lines().last().unwrap().split(' ').next().unwrap();
    let when = before.lines().filter(|call| call.split(' ').next() == Some(thread)).count();
    assert!(own.lines().any(|call| call.contains("page>")), "its directory is not made durable: {calls}");
    fs::write(&page, "before").unwrap();
    let entries = || fs::read_dir(page.parent().unwrap()).unwrap().count();
    for error in ["EIO", "ENOSPC"] {
        let ended = report(&[&format!("-einject=fsync:error={error}:when={when}")]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert!(said.contains("audit.html"), "{said}");
        assert_eq!((fs::read_to_string(&page).unwrap().as_str(), entries()), ("before", 1));
    }
    // Longer than the signal takes; strace lets it end after that.
    let mut child =
        report(&[&format!("-einject=fsync:delay_enter=10000000:when={when}")]).stderr(Stdio::null()).spawn().unwrap();
    until("it writes beside the page", || entries() == 2);
    let traced = Command::new("pkill").args(["-TERM", "-P", &child.id().to_string()]).status().unwrap();
    assert!(traced.success());
    let ended = child.wait().unwrap();
    // strace ends as what it traces does.
    assert_eq!(ended.signal().or(ended.code().map(|code| code - 128)), Some(15), "{ended:?}");
    assert_eq!((fs::read_to_string(&page).unwrap().as_str(), entries()), ("before", 1));
}
