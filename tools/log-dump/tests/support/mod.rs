//! Logs to look at, and the program that looks.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod scene;
pub use test_support::story;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lastword::codec;
use lastword::codec::state::encode_state;
use lastword::core::vocabulary::{Event, Seq, Timestamp};
use lastword::log::{
    Durability, Frame, FrameBuilder, FrameHash, IfAbsent, Log, LogReader, PrivateCopy, SledLog, Start,
};
use lastword::objects::FileObjects;
use lastword::replay::{self, Until};
use tempfile::TempDir;

/// A directory with the log of the story in `state`.
pub fn story_log() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let log = open(&path);
    let objects = FileObjects::open(log.objects()).unwrap();
    story::tell(Box::new(log), &objects);
    (dir, path)
}

pub fn open(path: &Path) -> SledLog {
    SledLog::open(path, IfAbsent::Create, Durability::Power).unwrap()
}

/// Appends a frame of these records and closes the log.
pub fn append(path: &Path, records: &[(u16, u16, Vec<u8>)]) {
    let mut log = Box::new(open(path));
    append_to(&mut log, records);
    log.close().unwrap();
}

/// Appends a frame for each record and closes the log.
pub fn append_each(path: &Path, records: Vec<(u16, u16, Vec<u8>)>) {
    let mut log = Box::new(open(path));
    records.into_iter().for_each(|record| append_to(&mut log, &[record]));
    log.close().unwrap();
}

pub fn append_to(log: &mut SledLog, records: &[(u16, u16, Vec<u8>)]) {
    let mut builder = FrameBuilder::new();
    for (event_type, version, payload) in records {
        builder.push(*event_type, *version, payload).unwrap();
    }
    let (last, time) = (log.appended(), Timestamp(log.time().0 + 1_000));
    let frame = builder.seal(last.seq.next(), last.epoch, time, time, last.hash).unwrap();
    log.append(&frame).unwrap();
    log.barrier().unwrap();
}

/// Lets everything up to `at`, the end of a frame, go from a closed log, with a base in so many parts. A reconciler
/// does the same at moments of its own.
pub fn shorten(path: &Path, at: Seq, parts: u32) {
    let mut log = Box::new(open(path));
    let reader = log.reader();
    let mut body = Vec::new();
    encode_state(&replay::state_at(reader.as_ref(), Until::Seq(at)).unwrap(), &mut body).unwrap();
    let hash = ends(reader.as_ref()).into_iter().find(|end| end.0 == at).expect("a frame ends there").1;
    let first = log.appended().seq.next();
    let length = body.len().div_ceil(parts as usize);
    for (part, bytes) in (0..).zip(body.chunks(length)) {
        append_to(&mut log, &[encoded(&Event::CheckpointPart { at, hash: hash.0, part, parts, bytes: bytes.into() })]);
    }
    log.truncate_prefix(Start { seq: at, hash, checkpoint: first }, replay::check_checkpoint).unwrap();
    log.close().unwrap();
}

/// Where frames end.
pub fn ends(reader: &dyn LogReader) -> Vec<(Seq, FrameHash)> {
    let end = |bytes: Vec<u8>| Frame::parse(&bytes).map(|frame| (frame.last(), frame.hash())).unwrap();
    reader.frames(Seq::ZERO).map(|bytes| end(bytes.unwrap().into_bytes())).collect()
}

pub fn encoded(event: &Event) -> (u16, u16, Vec<u8>) {
    let mut payload = Vec::new();
    let tag = codec::encode(event, None, &mut payload).unwrap();
    (tag.event_type, tag.version, payload)
}

/// The last event of a closed log.
pub fn last(path: &Path) -> Seq {
    PrivateCopy::of(path).unwrap().end().seq
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_log-dump"));
    command.stdin(Stdio::null()).env("RUST_BACKTRACE", "1");
    command
}

pub fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// Runs `command` on the log at `path` with `more` arguments.
pub fn on(path: &Path, command: &str, more: &[&str]) -> Output {
    program().arg(command).arg(path).args(more).output().unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().expect("the program was not killed")
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The output of a command that has to succeed.
pub fn ok(path: &Path, command: &str, more: &[&str]) -> String {
    let output = on(path, command, more);
    assert_eq!(code(&output), 0, "{command} {more:?}: {}", err(&output));
    out(&output)
}

/// The lines of JSON of a command that has to succeed, and the last one apart.
pub fn json(path: &Path, command: &str, more: &[&str]) -> (Vec<serde_json::Value>, serde_json::Value) {
    let more: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
    let text = ok(path, command, &more);
    let mut lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().expect("a summary");
    assert_eq!(summary["kind"], "summary");
    (lines, summary)
}

/// The lines of JSON of a command whose last line is the answer, and that answer apart.
pub fn answer(path: &Path, command: &str, more: &[&str]) -> (Vec<serde_json::Value>, serde_json::Value) {
    let more: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
    answer_of(&ok(path, command, &more), command)
}

pub fn answer_of(text: &str, kind: &str) -> (Vec<serde_json::Value>, serde_json::Value) {
    let mut lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answer = lines.pop().expect("an answer");
    assert_eq!(answer["kind"], kind);
    (lines, answer)
}

/// Everything that can be seen of a directory: paths, modes, times of change, contents.
pub fn look(path: &Path) -> Vec<(PathBuf, u32, i64, i64, [u8; 32])> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let contents = if metadata.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let hash = *blake3::hash(&contents).as_bytes();
    let mut all = vec![(path.to_owned(), metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), hash)];
    if metadata.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| all.extend(look(entry)));
    }
    all
}
