//! A log made by somebody hostile: whatever is in it, the tool comes to an end, says what is wrong, writes nowhere
//! else, stays within its memory, and drives no terminal.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lastword::core::vocabulary::*;
use lastword::log::{FrameBuilder, FrameHash};
use lastword::objects::object_hash;
use support::scene::DecisionContext;
use support::{code, err, out, story_log};
use tempfile::TempDir;

const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{8}\n    7  fresh \u{9b}31m";

/// Runs the tool with at most 1 GiB of memory, and ends it after a minute: then its code is 124.
fn bounded(arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1048576; exec timeout 60 \"$@\"", "sh", env!("CARGO_BIN_EXE_log-dump")]);
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn tame(what: &str, output: &Output) {
    for text in [out(output), err(output)] {
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{what}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("    7  fresh \\")), "{what}: {text:?}");
    }
}

/// Every command there is, on the log at `path`.
fn commands(path: &str) -> Vec<Vec<&str>> {
    let plain = ["dump", "verify", "head", "state", "stat"].map(|command| vec![command, path]);
    let more = [vec!["why", path, "a"], vec!["diff", path, "--from", "1"], vec!["export", path, "-"]];
    let all: Vec<Vec<&str>> = plain.into_iter().chain(more).collect();
    let json = all.iter().take(7).map(|command| [command.as_slice(), &["--json"]].concat());
    let json: Vec<_> = json.collect();
    all.into_iter().take(7).chain(json).collect()
}

#[test]
fn case_24_no_text_in_a_log_drives_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut scene = DecisionContext::open(&path);
    scene.declare_plain("a", "s\u{202e}");
    let attempt = scene.assign();
    scene.fail(attempt, FailureClass::Transient, HOSTILE);
    scene.pass(3_600);
    scene.due();
    let attempt = scene.assign();
    scene.fail(attempt, FailureClass::Permanent, HOSTILE);
    scene.declare("b", |declaration| declaration.source = Some(Source::new("s").unwrap()));
    scene.see("b", ObservationOutcome::Failed { cause: HOSTILE.into() });
    scene.close();
    // What no writer of ours would write.
    let opened = Event::WriterOpened { software: HOSTILE.into() };
    let lost = Event::DataLossAccepted { last: support::last(&path), found: HOSTILE.into() };
    support::append(&path, &[support::encoded(&opened), support::encoded(&lost)]);
    let path = path.to_str().unwrap();
    for command in commands(path) {
        tame(&format!("{command:?}"), &bounded(&command));
    }
    for command in [["why", path, HOSTILE], ["dump", path, HOSTILE], ["head", HOSTILE, "--json"], [HOSTILE, path, "x"]]
    {
        tame(&format!("{command:?}"), &bounded(&command));
    }
    for option in ["--type", "--from", "--since", "--collection"] {
        tame(option, &bounded(&["dump", path, option, HOSTILE]));
    }
}

/// A stream of these blocks.
fn stream(blocks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"LWEV\x01\0\0\0\0\0\0\0".to_vec();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    for (tag, body) in blocks {
        bytes.extend_from_slice(*tag);
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(body);
    }
    bytes
}

/// An object behind its name.
fn named(object: &[u8]) -> Vec<u8> {
    [&object_hash(object).0, object].concat()
}

/// A node of the tree with one child.
fn node(level: u8, child: ObjectHash) -> Vec<u8> {
    let mut bytes = b"LWOB\x01\0\x02".to_vec();
    bytes.push(level);
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.push(b'k');
    bytes.extend(child.0);
    bytes.extend(1_u64.to_le_bytes());
    bytes
}

/// A frame with one event, as the first of a log.
fn frame(event: &Event) -> Vec<u8> {
    let (event_type, version, payload) = support::encoded(event);
    let mut builder = FrameBuilder::new();
    builder.push(event_type, version, &payload).unwrap();
    let time = Timestamp(1);
    builder.seal(Seq(1), Epoch(1), time, time, FrameHash::ZERO).unwrap().bytes().to_vec()
}

fn observed(root: ObjectHash) -> Event {
    let set = PathSetRef { root, files: u64::MAX, bytes: u64::MAX };
    let observed = SourceState { version: Version::new(&[1]).unwrap(), set: Some(set) };
    Event::SourceObserved {
        collection: CollectionId(Seq(1)),
        observed: observed.into(),
        delta: None,
        admission: Admission::Waiting,
    }
}

/// Streams that no writer of ours writes.
fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let leaf = b"LWOB\x01\0\x01\0\x01\0\0\0\x01\0\0\0\0\0\0\0k".to_vec();
    let counting = b"LWOB\x01\0\x01\0\xff\xff\xff\xff".to_vec();
    let opened = frame(&Event::WriterOpened { software: "x".into() });
    // A tree that is deeper than any: each node holds the one before.
    let mut tower = vec![leaf.clone()];
    for level in 1..=200_u8 {
        let child = object_hash(tower.last().unwrap());
        tower.push(node(level, child));
    }
    let tower_names: Vec<Vec<u8>> = tower.iter().map(|object| named(object)).collect();
    let root = object_hash(tower.last().unwrap());
    let mut tall: Vec<(&[u8; 4], &[u8])> = tower_names.iter().map(|object| (b"OBJ ", object.as_slice())).collect();
    let watched = frame(&observed(root));
    tall.push((b"FRM ", &watched));
    // A node that says it holds itself: its name is made up, as the name of no such object can be found.
    let circle = ObjectHash([7; 32]);
    let lying = [&circle.0[..], &node(1, circle)].concat();
    let named_circle = frame(&observed(circle));
    let mut long = stream(&[]);
    long.extend_from_slice(b"FRM \xff\xff\xff\xff");
    let mut large = stream(&[]);
    large.extend_from_slice(b"FRM \x00\x00\x00\x04");
    let mut object = stream(&[]);
    object.extend_from_slice(b"OBJ \x00\x00\x00\x04");
    let mut counted = opened.clone();
    counted[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let unnamed: Vec<Vec<u8>> = (0..2_000_u32).map(|n| named(&[leaf.as_slice(), &n.to_le_bytes()].concat())).collect();
    let many: Vec<(&[u8; 4], &[u8])> = unnamed.iter().map(|object| (b"OBJ ", object.as_slice())).collect();
    let end = [0xff; 56];
    vec![
        ("an object that counts to 2^32", stream(&[(b"OBJ ", &named(&counting))])),
        ("an object under another name", stream(&[(b"OBJ ", &lying), (b"FRM ", &named_circle)])),
        ("a tree 200 levels deep", stream(&tall)),
        ("a frame of 4 GiB", long),
        ("a frame of 64 MiB that is not there", large),
        ("an object of 64 MiB that is not there", object),
        ("a frame of 2^32 records", stream(&[(b"FRM ", &counted)])),
        ("two thousand objects that nothing names", stream(&many)),
        ("an end of 2^64 frames", stream(&[(b"FRM ", &opened), (b"END ", &end)])),
        ("a set that is not there", stream(&[(b"FRM ", &named_circle)])),
        ("nothing but blocks of nothing", [stream(&[]), b"OBJ \0\0\0\0".repeat(10_000)].concat()),
        ("a tag that does not exist", stream(&[(b"\x1b[2J", b"x")])),
    ]
}

#[test]
fn hostile_streams_are_refused_and_leave_nothing_behind() {
    for (what, bytes) in streams() {
        let dir = tempfile::tempdir().unwrap();
        let (file, target) = (dir.path().join("in.evlog"), dir.path().join("state"));
        fs::write(&file, bytes).unwrap();
        let (file, target) = (file.to_str().unwrap(), target.to_str().unwrap());
        for command in [vec!["import", target, file], vec!["verify", file], vec!["dump", file], vec!["stat", file]] {
            let output = bounded(&command);
            assert_eq!(code(&output), 1, "{what}: {command:?}: {}", err(&output));
            assert!(
                err(&output).lines().count() == 1 && !err(&output).contains("panicked"),
                "{what}: {}",
                err(&output)
            );
            tame(what, &output);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{what}: only the stream is there");
    }
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A log of the story with something done to it.
fn spoilt(change: impl Fn(&Path)) -> (TempDir, PathBuf) {
    let (dir, path) = story_log();
    change(&path);
    (dir, path)
}

fn any_object(path: &Path) -> PathBuf {
    let folders = fs::read_dir(path.join("objects")).unwrap().map(|entry| entry.unwrap().path());
    let mut files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.next().unwrap()
}

fn replace(path: &Path, put: impl Fn(&Path)) {
    fs::remove_file(path).unwrap();
    put(path);
}

fn sparse(path: &Path) {
    File::create(path).unwrap().set_len(1 << 36).unwrap();
}

#[test]
fn what_is_no_file_is_not_waited_for_and_what_is_endless_is_not_read() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 8] = [
        ("HEAD is a FIFO", |path| replace(&path.join("HEAD"), mkfifo)),
        ("LOCK is a FIFO", |path| replace(&path.join("LOCK"), mkfifo)),
        ("db is a FIFO", |path| replace(&path.join("sled/db"), mkfifo)),
        ("HEAD has no end", |path| replace(&path.join("HEAD"), sparse)),
        ("an object is a FIFO", |path| replace(&any_object(path), mkfifo)),
        ("an object has no end", |path| replace(&any_object(path), sparse)),
        ("an object is a link", |path| replace(&any_object(path), |object| symlink("/etc/passwd", object).unwrap())),
        ("a snapshot is a FIFO", |path| {
            fs::create_dir_all(path.join("snapshots")).unwrap();
            mkfifo(&path.join("snapshots/00000000000000000003.snap"));
        }),
    ];
    for (what, change) in changes {
        let (_dir, path) = spoilt(change);
        let before = fs::read_dir(&path).unwrap().count();
        for command in [["verify", path.to_str().unwrap()], ["stat", path.to_str().unwrap()]] {
            let output = bounded(&command);
            let harmless = matches!((what, command[0]), ("a snapshot is a FIFO", _) | (_, "stat"));
            assert!(
                [1, 3].contains(&code(&output)) || harmless && code(&output) == 0,
                "{what}: {command:?}: {} {}",
                code(&output),
                err(&output)
            );
            assert!(!err(&output).contains("panicked"), "{what}: {}", err(&output));
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), before, "{what}");
    }
}
