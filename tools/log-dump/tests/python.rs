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
    let fixture = out(&read(&fixtures.join("v1.evlog")));
    let (lines, summary) = fixture.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(format!("{lines}\n"), fs::read_to_string(fixtures.join("v1.jsonl")).unwrap());
    assert!(summary.starts_with("{\"kind\":\"summary\""));
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
