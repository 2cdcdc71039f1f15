//! Replays the corpus of the fuzz targets through the same bodies, on a stable compiler and without a fuzzer.
//!
//! Each test runs one target over `tests/fuzz/corpus/TARGET`: its *seeds*, which `LASTWORD_SEED_CORPUS=1` writes anew
//! from the fixtures, and what fuzzing found worth keeping. A long run with a fuzzer: see `tests/parsers/src/lib.rs`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "helpers of tests report like tests")]
#![allow(unreachable_pub, reason = "the bodies are public for the fuzzer")]

mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)
}

/// What lies in a folder of `tests/fuzz`, without endings.
fn names(name: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// One at a time: targets count what the process allocates.
static ONE: Mutex<()> = Mutex::new(());

fn replay(target: &str) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut inputs: Vec<_> = fs::read_dir(folder("corpus").join(target)).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has no corpus");
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let ended = std::panic::catch_unwind(|| test_parsers::run(target, &bytes));
        assert!(
            ended.is_ok(),
            "again: cargo test -p lastword-test-parsers --test corpus {target}; input {}",
            input.display()
        );
    }
}

#[test]
fn anchor() {
    replay("anchor");
}

#[test]
fn configuration() {
    replay("configuration");
}

#[test]
fn control() {
    replay("control");
}

#[test]
fn evlog() {
    replay("evlog");
}

#[test]
fn frame() {
    replay("frame");
}

#[test]
fn manifest() {
    replay("manifest");
}

#[test]
fn parquet() {
    replay("parquet");
}

#[test]
fn path_set() {
    replay("path_set");
}

#[test]
fn payload() {
    replay("payload");
}

#[test]
fn selection() {
    replay("selection");
}

#[test]
fn snapshot() {
    replay("snapshot");
}

#[test]
fn source() {
    replay("source");
}

#[test]
fn spec() {
    replay("spec");
}

#[test]
fn state() {
    replay("state");
}

#[test]
fn every_target_has_a_body_a_fuzzer_a_corpus_and_a_replay() {
    let bodies: BTreeSet<_> = test_parsers::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), bodies);
    assert_eq!(names("corpus"), bodies);
    for name in bodies {
        assert!(
            include_str!("main.rs").contains(&format!("#[test]\nfn {name}() {{\n    replay(\"{name}\");")),
            "{name}"
        );
    }
}

#[test]
fn the_corpus_stays_small() {
    let files = test_parsers::TARGETS.iter().flat_map(|(name, _)| fs::read_dir(folder("corpus").join(name)).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes: what a fuzzer found is minimised before it is checked in");
}

/// Writes the seeds if asked to; otherwise that all of them are there.
#[test]
fn every_seed_is_in_the_corpus() {
    let write = std::env::var_os("LASTWORD_SEED_CORPUS").is_some();
    for (target, name, bytes) in seeds::all() {
        let path = folder("corpus").join(target).join(name);
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert!(path.exists(), "{} is missing: LASTWORD_SEED_CORPUS=1", path.display());
    }
}
