//! The reader in Python, written from `log-format.md` alone, prints what `log-dump` prints.
//!
//! It needs Python 3.9 or newer and the package `blake3`, which is installed below the target directory if it is not
//! there. Where that cannot be done the test is skipped, unless `LASTWORD_REQUIRE_PYTHON=1` says that it must not be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::*;
use test_support::log_writer::copy_tree;

fn packages() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("python")
}

fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

fn has_blake3() -> bool {
    python().args(["-c", "import blake3"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether Python can run the reader.
fn is_ready() -> bool {
    if has_blake3() {
        return true;
    }
    let mut install = python();
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    let installed = install.arg(packages()).arg("blake3").output();
    if has_blake3() {
        return true;
    }
    let why = installed.map_or_else(|error| error.to_string(), |output| err(&output));
    assert!(
        std::env::var_os("LASTWORD_REQUIRE_PYTHON").is_none_or(|value| value != "1"),
        "no blake3 for Python: {why}"
    );
    eprintln!("skipped: no blake3 for Python: {why}");
    false
}

fn read(stream: &Path) -> Output {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reader.py");
    python().arg(reader).arg(stream).output().unwrap()
}

#[test]
fn a_stranger_reads_the_same() {
    if !is_ready() {
        return;
    }
    let (dir, path) = story_log();
    let stream = dir.path().join("log.evlog");
    ok(&path, "export", &[stream.to_str().unwrap()]);
    let told = ok(&path, "dump", &["--json"]);
    let types: BTreeSet<&str> =
        told.lines().filter_map(|line| line.split("\"type\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(types.len(), lastword::codec::REGISTRY.len(), "every type of event is read");
    let output = read(&stream);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    assert_eq!(out(&output), told);

    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    for version in ["v1", "v2"] {
        let fixture = out(&read(&fixtures.join(version).with_extension("evlog")));
        let (lines, summary) = fixture.trim_end().rsplit_once('\n').unwrap();
        let told = fs::read_to_string(fixtures.join(version).with_extension("jsonl")).unwrap();
        assert_eq!(format!("{lines}\n"), told);
        assert!(summary.starts_with("{\"kind\":\"summary\""));
    }
}

/// The story is full of everything that a state may hold: running attempts, dropped collections that still owe, holds.
#[test]
fn a_stranger_knows_every_name_out_of_a_base() {
    if !is_ready() {
        return;
    }
    let (dir, whole) = story_log();
    let copy = lastword::log::PrivateCopy::of(&whole).unwrap();
    let ends = ends(copy.reader().as_ref());
    drop(copy);
    assert!(ends.len() > 30, "{}", ends.len());
    let mut behind = 0;
    for (n, (at, _)) in ends.iter().enumerate().rev().step_by(4) {
        let (path, stream) = (dir.path().join(format!("state-{at}")), dir.path().join(format!("{at}.evlog")));
        copy_tree(&whole, &path);
        shorten(&path, *at, 1 + u32::try_from(n).unwrap() % 3);
        ok(&path, "verify", &[]);
        ok(&path, "export", &[stream.to_str().unwrap()]);
        let (told, output) = (ok(&path, "dump", &["--json"]), read(&stream));
        assert_eq!((code(&output), err(&output)), (0, String::new()), "behind event {at}");
        assert_eq!(out(&output), told, "behind event {at}");
        assert_eq!(ok(&stream, "dump", &["--json"]), told);
        assert!(told.contains(&format!("\"from\":{},", at.next())), "{told}");
        let declared = told.matches("\"type\":\"collection_declared\"").count();
        behind += usize::from(told.matches("\"collection\":").count() > declared);
    }
    assert!(behind > 5, "names come out of the base");
}

#[test]
fn a_stranger_misses_a_base_like_anybody() {
    if !is_ready() {
        return;
    }
    let (dir, path) = story_log();
    let stream = dir.path().join("log.evlog");
    let end = ends(lastword::log::PrivateCopy::of(&path).unwrap().reader().as_ref())[20].0;
    shorten(&path, end, 2);
    ok(&path, "export", &[stream.to_str().unwrap()]);
    let whole = fs::read(&stream).unwrap();
    let mut blocks = vec![&whole[16..]];
    while let Some(rest) = blocks.pop().filter(|rest| !rest.is_empty()) {
        let length = 8 + u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        blocks.extend([&rest[..length], &rest[length..]]);
    }
    // The last two blocks are the frame with the second part, which is its only event, and the end.
    let (end, frame) = (blocks.pop().unwrap(), blocks.pop().unwrap());
    assert_eq!((&frame[..4], &end[..4]), (&b"FRM "[..], &b"END "[..]));
    let before = blocks.iter().rfind(|block| block.starts_with(b"FRM ")).unwrap();
    let mut cut = [&whole[..16], &blocks.concat(), &end[..8]].concat();
    for (count, less) in [(8, 1), (16, 1), (24, 0)] {
        let count = u64::from_le_bytes(end[count..count + 8].try_into().unwrap());
        cut.extend((count - less).to_le_bytes());
    }
    cut.extend(&before[before.len() - 32..]);
    fs::write(&stream, cut).unwrap();
    let (ours, theirs) = (on(&stream, "verify", &[]), read(&stream));
    assert_eq!((code(&ours), code(&theirs)), (1, 1), "{}{}", err(&ours), err(&theirs));
    assert!(err(&theirs).contains("the base of a stream that begins later is not in it"), "{}", err(&theirs));
}

#[test]
fn a_stranger_notices_the_same_damage() {
    if !is_ready() {
        return;
    }
    let (dir, path) = story_log();
    let stream = dir.path().join("log.evlog");
    ok(&path, "export", &[stream.to_str().unwrap()]);
    let whole = fs::read(&stream).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40).chain([4, 5, 12, whole.len() - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&stream, damaged).unwrap();
        let (ours, theirs) = (on(&stream, "verify", &[]), read(&stream));
        assert_eq!((code(&ours), code(&theirs)), (1, 1), "byte {at}: {}{}", err(&ours), err(&theirs));
    }
    fs::write(&stream, &whole[..whole.len() - 3]).unwrap();
    assert_eq!(code(&read(&stream)), 1);
    let mut newer = whole;
    newer[4] = 2;
    let crc = crc32c::crc32c(&newer[..12]).to_le_bytes();
    newer[12..16].copy_from_slice(&crc);
    fs::write(&stream, newer).unwrap();
    assert_eq!((code(&on(&stream, "verify", &[])), code(&read(&stream))), (4, 4));
}

#[test]
fn a_stranger_reads_a_log_that_begins_later() {
    if !is_ready() {
        return;
    }
    let (dir, path) = story_log();
    let long = std::time::Duration::from_secs(10);
    // Cut at the end of many frames, so that all kinds of state stand for what is gone.
    for keep in [70, 55, 40, 30, 20, 10, 0] {
        let reconciler = lastword::engine::Reconciler::open(&path).start().unwrap();
        let keep = lastword::engine::Retention { events: Some(keep), age: None };
        reconciler.handle().compact(keep).unwrap();
        reconciler.shutdown(long).unwrap();
        let stream = dir.path().join(format!("{:?}.evlog", keep.events));
        ok(&path, "export", &[stream.to_str().unwrap()]);
        let output = read(&stream);
        assert_eq!((code(&output), err(&output)), (0, String::new()), "{keep:?}");
        assert_eq!(out(&output), ok(&path, "dump", &["--json"]), "{keep:?}");
    }
    let stream = dir.path().join("whole.evlog");
    ok(&path, "export", &[stream.to_str().unwrap()]);
    let whole = fs::read(&stream).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&stream, damaged).unwrap();
        let (ours, theirs) = (on(&stream, "verify", &[]), read(&stream));
        assert_eq!((code(&ours), code(&theirs)), (1, 1), "byte {at}: {}{}", err(&ours), err(&theirs));
    }
}
