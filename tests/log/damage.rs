//! Damage of every file of a log: what opens has the same content, everything else is a typed error, and a log
//! that was refused is left as it was found.
//!
//! The positions are sampled with fixed seeds. `LASTWORD_EXHAUSTIVE=1` visits every byte.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lastword::log::{Durability, IfAbsent, Log, OpenError, PrivateCopy, SledLog};
use test_support::log_writer::*;

/// A closed log of two sessions (so that sled has a snapshot), and its frames.
fn small_log(dir: &Path) -> (PathBuf, Vec<Vec<u8>>) {
    let state = dir.join("whole");
    let mut writer = Writer::open(&state);
    for n in 0..20 {
        writer.commit(&[n * 10, 300]);
    }
    writer.close();
    let mut writer = Writer::open(&state);
    for n in 0..20 {
        writer.commit(&[n * 10, if n == 12 { 9_000 } else { 40 }]);
    }
    let frames = writer.frames();
    writer.close();
    (state, frames)
}

/// Opens a damaged copy of `whole`: the error, or nothing if it has the same content. Everything else fails.
fn outcome(whole: &Path, frames: &[Vec<u8>], what: &str, damage: impl Fn(&Path)) -> Option<OpenError> {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("damaged");
    copy_tree(whole, &state);
    damage(&state);
    let before = contents(&state);

    let inspected = PrivateCopy::of(&state);
    assert_eq!(contents(&state), before, "{what}: inspecting changed something");
    let opened = SledLog::open(&state, IfAbsent::Create, Durability::Power);
    assert_eq!(inspected.is_ok(), opened.is_ok(), "{what}: {:?} but {opened:?}", inspected.err());
    match opened {
        Err(error) => {
            let after = contents(&state);
            let kept = |files: &[(PathBuf, Vec<u8>)]| -> Vec<_> {
                files.iter().filter(|(path, _)| path.starts_with("sled")).cloned().collect()
            };
            assert!(kept(&before) == kept(&after), "{what}: a refused log was changed");
            Some(error)
        }
        Ok(log) => {
            assert!(read_all(log.reader().as_ref()).unwrap() == frames, "{what}: silent loss");
            assert!(read_all(inspected.unwrap().reader().as_ref()).unwrap() == frames, "{what}: silent loss");
            drop(log);
            None
        }
    }
}

/// Every file below `state` but the lock, with its bytes.
fn contents(state: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![state.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.strip_prefix(state).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn files(state: &Path) -> Vec<PathBuf> {
    contents(state).into_iter().map(|(path, _)| path).filter(|path| path != Path::new("ballast")).collect()
}

/// Positions in a file of `length` bytes: all, or `count` of them by a fixed sequence.
fn sample(length: usize, count: usize) -> Vec<usize> {
    if std::env::var_os("LASTWORD_EXHAUSTIVE").is_some() || length <= count {
        return (0..length).collect();
    }
    let mut state = 42u64;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % length
        })
        .collect()
}

/// sled's panics are expected here; their messages would bury everything else.
fn be_quiet_about_sled() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let ours = info.location().is_some_and(|at| !at.file().contains("sled-0.34"));
        if ours {
            hook(info);
        }
    }));
}

#[test]
fn a_flipped_bit_is_an_error_or_without_effect() {
    be_quiet_about_sled();
    let dir = tempfile::tempdir().unwrap();
    let (whole, frames) = small_log(dir.path());
    for file in files(&whole) {
        let bytes = fs::read(whole.join(&file)).unwrap();
        // Behind its data sled fills up `db` with one and the same byte; only some of the samples go there.
        let length = bytes.len();
        let used = bytes.iter().rposition(|byte| Some(byte) != bytes.last()).map_or(length, |last| last + 1);
        let (mut refused, mut same) = (0, 0);
        let positions = sample(used, if file.ends_with("db") { 200 } else { 40 });
        for at in positions.into_iter().chain(sample(length, 10)) {
            let what = format!("{} byte {at} bit {}", file.display(), at % 8);
            let error = outcome(&whole, &frames, &what, |state| {
                let mut bytes = fs::read(state.join(&file)).unwrap();
                bytes[at] ^= 1 << (at % 8);
                fs::write(state.join(&file), bytes).unwrap();
            });
            if error.is_some() { refused += 1 } else { same += 1 }
        }
        println!("{}: {length} bytes, {used} used, {refused} refused, {same} without effect", file.display());
    }
}

#[test]
fn a_truncated_file_is_an_error_or_without_effect() {
    be_quiet_about_sled();
    let dir = tempfile::tempdir().unwrap();
    let (whole, frames) = small_log(dir.path());
    for file in files(&whole) {
        let length = fs::metadata(whole.join(&file)).unwrap().len() as usize;
        for at in sample(length, 20).into_iter().chain([0, length.saturating_sub(1)]) {
            let what = format!("{} cut to {at}", file.display());
            let error = outcome(&whole, &frames, &what, |state| {
                let bytes = fs::read(state.join(&file)).unwrap();
                fs::write(state.join(&file), &bytes[..at.min(bytes.len())]).unwrap();
            });
            if file.ends_with("db") && at < length {
                assert!(matches!(error, Some(OpenError::FileShorterThanAnchor { .. })), "{what}: {error:?}");
            }
        }
    }
}

#[test]
fn after_a_crash_a_truncated_log_reaches_its_anchor_or_is_refused() {
    be_quiet_about_sled();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut writer = Writer::open(&state);
    for n in 0..30 {
        writer.commit(&[n * 40, 300]);
        if n == 15 {
            writer.log.tick(Duration::from_secs(5)).unwrap();
        }
    }
    let anchored = writer.log.anchor().position.seq.0 as usize / 2;
    assert_eq!(anchored, 16);
    let frames = writer.frames();
    drop(writer);
    let whole = fs::read(state.join("sled/db")).unwrap();
    let head = fs::read(state.join("HEAD")).unwrap();
    let (mut refused, mut shorter) = (0, 0);
    for at in sample(whole.len().min(40_000), 30) {
        let crashed = dir.path().join(format!("cut-{at}"));
        copy_tree(&state, &crashed);
        fs::write(crashed.join("sled/db"), &whole[..at]).unwrap();
        fs::write(crashed.join("HEAD"), &head).unwrap();
        match SledLog::open(&crashed, IfAbsent::Refuse, Durability::Power) {
            Err(_) => refused += 1,
            Ok(log) => {
                let found = read_all(log.reader().as_ref()).unwrap();
                assert!(found.len() >= anchored && found == frames[..found.len()], "cut to {at}: silent loss");
                shorter += usize::from(found.len() < frames.len());
            }
        }
    }
    println!("of 30: {refused} refused, {shorter} shorter by what had no anchor yet");
    assert!(refused > 0);
}

#[test]
fn each_missing_file_is_an_error_or_without_effect() {
    be_quiet_about_sled();
    let dir = tempfile::tempdir().unwrap();
    let (whole, frames) = small_log(dir.path());
    for file in files(&whole) {
        let error = outcome(&whole, &frames, &format!("without {}", file.display()), |state| {
            fs::remove_file(state.join(&file)).unwrap();
        });
        match file.to_str().unwrap() {
            "HEAD" => assert!(matches!(error, Some(OpenError::Anchor { .. })), "{error:?}"),
            "sled/db" => assert!(error.unwrap().is_shorter_than_anchor()),
            _ => assert!(error.is_none(), "without {}: {error:?}", file.display()),
        }
    }
    let error = outcome(&whole, &frames, "without sled", |state| fs::remove_dir_all(state.join("sled")).unwrap());
    assert!(error.unwrap().is_shorter_than_anchor());
    let error = outcome(&whole, &frames, "without blobs", |state| fs::remove_dir(state.join("sled/blobs")).unwrap());
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn an_older_copy_beside_a_newer_head_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, _) = small_log(dir.path());
    let older = dir.path().join("older");
    copy_tree(&whole.join("sled"), &older);
    let older_head = fs::read(whole.join("HEAD")).unwrap();
    let mut writer = Writer::open(&whole);
    writer.commit(&[5, 5]);
    writer.close();

    let newer = dir.path().join("newer");
    copy_tree(&whole, &newer);
    fs::remove_dir_all(newer.join("sled")).unwrap();
    copy_tree(&older, &newer.join("sled"));
    let error = SledLog::open(&newer, IfAbsent::Refuse, Durability::Power).unwrap_err();
    assert!(error.is_shorter_than_anchor(), "{error}");

    fs::write(whole.join("HEAD"), older_head).unwrap();
    let error = SledLog::open(&whole, IfAbsent::Refuse, Durability::Power).unwrap_err();
    assert!(matches!(error, OpenError::LongerThanAnchor { .. }), "{error}");
}

#[test]
fn an_empty_log_that_lost_its_files_is_not_taken_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut writer = Writer::open(&state);
    // HEAD is still at 0: the first tick has not come.
    writer.commit(&[1]);
    drop(writer);
    fs::remove_dir_all(state.join("sled")).unwrap();
    let error = SledLog::open(&state, IfAbsent::Create, Durability::Power).unwrap_err();
    assert!(error.is_shorter_than_anchor(), "{error}");
}

#[test]
fn a_damaged_log_that_is_mended_opens_with_everything() {
    be_quiet_about_sled();
    let dir = tempfile::tempdir().unwrap();
    let (state, frames) = small_log(dir.path());
    let whole = fs::read(state.join("sled/db")).unwrap();
    let mut refused = 0;
    for at in sample(whole.len(), 12) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(state.join("sled/db"), &bytes).unwrap();
        let head = fs::read(state.join("HEAD")).unwrap();
        match SledLog::open(&state, IfAbsent::Refuse, Durability::Power) {
            Err(_) => refused += 1,
            Ok(log) => {
                (Box::new(log) as Box<dyn Log>).close().unwrap();
                fs::write(state.join("HEAD"), head).unwrap();
            }
        }
        fs::write(state.join("sled/db"), &whole).unwrap();
        let log = SledLog::open(&state, IfAbsent::Refuse, Durability::Power).unwrap();
        assert!(log.was_clean() && read_all(log.reader().as_ref()).unwrap() == frames);
        (Box::new(log) as Box<dyn Log>).close().unwrap();
        fs::write(state.join("sled/db"), &whole).unwrap();
    }
    assert!(refused > 0);
}
