//! What somebody else may have put there: names that drive terminals, a lax umask, links and FIFOs in the place of the
//! log's own files.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Ended, Place, lastword, program, text, until, wait};

/// Clears the screen, sets the title, goes back in the line, and the same in one byte of Latin 1.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{8}\nlineitem: fresh \u{9b}31m";

/// Nothing that drives a terminal, and no line that somebody else began.
fn tame(what: &str, ended: &Ended) {
    for (stream, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        let wild = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(wild, None, "{what}: {stream}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("lineitem: fresh \\")), "{what}: {stream}: {text:?}");
    }
}

#[test]
fn case_24_no_name_or_message_from_outside_reaches_the_terminal_as_it_is() {
    let place = Place::new(&format!(
        "[collections.corrupt]\nsource = \"bad/\"\nspec = {{ format = \"parquet\" }}\n[collections.column]\nsource = \"lake/\"\nspec = {{ format = \"parquet\", columns = [{}] }}\n",
        serde_json::json!(HOSTILE)
    ));
    place.write(format!("{HOSTILE}.parquet"), 1, 0);
    fs::create_dir(place.dir.path().join("bad")).unwrap();
    let bad = place.dir.path().join("bad").join(format!("{HOSTILE}.parquet"));
    fs::write(&bad, "no Parquet").unwrap();
    fs::File::options().write(true).open(&bad).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let (config, state) = (place.config(), place.state());
    let odd = place.dir.path().join(HOSTILE);
    let (config, state, odd) = (text(&config), text(&state), text(&odd));
    tame("once", &lastword(&["run", config, "--once", "-vv"]).expect_code(1));
    for arguments in [
        &["status", state][..],
        &["status", state, "--json"],
        &["status", state, "corrupt"],
        &["manifest", state, "lineitem"],
        &["manifest", state, "lineitem", "--json"],
        &["plan", config],
        // What was asked for is repeated in errors.
        &["status", state, HOSTILE],
        &["manifest", state, HOSTILE],
        &["pause", state, HOSTILE],
        &["pause", state, "lineitem", "--cause", HOSTILE],
        &["pause", state, "lineitem", "--actor", HOSTILE],
        &["status", odd],
        &["plan", odd],
        &["reload", odd],
        &["run", odd],
        &["init", &format!("{odd}/{HOSTILE}")],
        &["run", config, "--once", "--refresh", HOSTILE],
        &["confirm", state, "lineitem", HOSTILE],
        &[HOSTILE],
        &["status", state, &format!("--{HOSTILE}")],
        &["demo", "--dir", state, HOSTILE],
    ] {
        tame(&format!("{arguments:?}"), &lastword(arguments));
    }
    for line in ["state = 1", "[collections.a]", "source", "\"x\" = ", "[collections"] {
        place.configure(&format!("{line}{HOSTILE}\n{line} = {}\n", serde_json::json!(HOSTILE)));
        tame(line, &lastword(&["plan", config]).expect_code(2));
    }
}

/// Everything below `path`, itself included.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| found.extend(below(&entry.unwrap().path())));
    }
    found
}

#[test]
fn nobody_else_can_read_or_write_the_state_whatever_the_umask() {
    let place = Place::new("snapshot_every = 1\n");
    let place = {
        // The key belongs to the top.
        place.configure(&fs::read_to_string(place.config()).unwrap().replace("snapshot_every = 1\n", ""));
        place.set("snapshot_every = 1\nlook_interval = \"100ms\"\n");
        place
    };
    place.write("a.parquet", 2, 0);
    let shell = |command: &str| {
        let mut shell = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_lastword");
        shell.args(["-c", &format!("umask 000; exec {program} {command}")]);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let check = || {
        let all = below(&place.state());
        for path in &all {
            let Ok(found) = fs::symlink_metadata(path) else { continue };
            let expected = if found.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(found.mode() & 0o7777, expected, "{}", path.display());
        }
        all.len()
    };
    let ended = wait(shell(&format!("run {} --once", text(&place.config()))), Duration::from_secs(120));
    ended.expect_code(0);
    assert!(check() > 10);
    // With a socket, and a list of what is gone from the file.
    let mut running = shell(&format!("run {}", text(&place.config())));
    until("there is a socket", || fs::metadata(place.socket()).is_ok_and(|found| found.file_type().is_socket()));
    check();
    support::signal(&running, "TERM");
    running.wait().unwrap();
    place.configure(&fs::read_to_string(place.config()).unwrap().replace("collections.lineitem", "collections.other"));
    wait(shell(&format!("run {} --once", text(&place.config()))), Duration::from_secs(120)).expect_code(0);
    assert!(place.state().join("unmanaged.json").exists());
    check();
}

/// A state that was built from one file, and a directory elsewhere with a file in it.
fn built() -> (Place, PathBuf) {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("thesis.txt"), "mine").unwrap();
    (place, elsewhere)
}

/// A list that a pause of `lineitem` writes anew.
const GONE: &str =
    r#"{"v":1,"collections":[{"name":"lineitem","incarnation":2,"file":"/a/lake.toml","resumes":true}]}"#;

#[test]
fn links_in_a_state_lead_nowhere() {
    let (place, elsewhere) = built();
    let thesis = elsewhere.join("thesis.txt");
    let directories = ["objects/tmp", "objects", "snapshots", "sled", "new", "before", "rejected"];
    let files = ["HEAD", "LOCK", "ballast", "HEAD.new", "unmanaged.json.new", "unmanaged.json"];
    let links = directories.map(|name| (name, &elsewhere)).into_iter().chain(files.map(|name| (name, &thesis)));
    for (name, target) in links {
        let state = place.dir.path().join("copy");
        assert!(Command::new("cp").arg("-a").args([&place.state(), &state]).status().unwrap().success());
        fs::write(state.join("unmanaged.json"), GONE).unwrap();
        let path = state.join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        symlink(target, &path).unwrap();
        let ended = lastword(&["pause", text(&state), "lineitem"]);
        let expected = if name.starts_with("unmanaged") { 0 } else { 3 };
        assert_eq!(ended.code, Some(expected), "{name}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(below(&elsewhere).len(), 2, "{name}: nothing was put there, and nothing taken");
        assert_eq!(fs::read_to_string(&thesis).unwrap(), "mine", "{name}");
        fs::remove_dir_all(state).unwrap();
    }
}

#[test]
fn one_directory_of_objects_that_is_a_link_gets_no_object() {
    let (place, elsewhere) = built();
    let objects = place.state().join("objects");
    for path in (0..=255).map(|slot| objects.join(format!("{slot:02x}"))).filter(|path| !path.exists()) {
        symlink(&elsewhere, path).unwrap();
    }
    place.write("b.parquet", 1, 1);
    place.once();
    assert_eq!(below(&elsewhere).len(), 2);
}

#[test]
fn no_command_goes_through_a_linked_socket() {
    let (place, elsewhere) = built();
    let theirs = elsewhere.join("control.sock");
    let listener = UnixListener::bind(&theirs).unwrap();
    listener.set_nonblocking(true).unwrap();
    symlink(&theirs, place.socket()).unwrap();
    let ended = place.command(&["pause"]).expect_code(3);
    assert!(ended.stderr.contains("must not be a symbolic link"), "{}", ended.stderr);
    assert!(listener.accept().is_err(), "nobody was asked");
    // A run puts its own in place.
    place.write("b.parquet", 1, 1);
    place.once().expect_code(0);
    assert!(theirs.exists() && listener.accept().is_err());
}

#[test]
fn a_fifo_in_a_state_holds_nobody_up() {
    let (place, _) = built();
    let _ = fs::create_dir(place.state().join("snapshots"));
    for name in ["unmanaged.json", "snapshots/00000000000000000003.snap"] {
        let _ = fs::remove_file(place.state().join(name));
        assert!(Command::new("mkfifo").arg(place.state().join(name)).status().unwrap().success());
    }
    for arguments in [&["status", text(&place.state())][..], &["run", text(&place.config()), "--once"]] {
        let ended = wait(program().args(arguments).spawn().unwrap(), Duration::from_secs(60));
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    }
}
