//! `lastword report`: its page in a real headless Chromium.
//!
//! The figures of its speed: `cargo test --release -p lastword-cli --test report -- --ignored --nocapture speed`. The
//! pictures of the README: `... -- --ignored --nocapture pictures`.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, reason = "read beside the tests that use it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a test's report")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod hostile;
mod moments;
mod pages;
mod pictures;
mod served;
mod sizes;
mod world;

use std::path::{Path, PathBuf};

use support::{Ended, lastword, text};

/// Writes the page of a log, and gives its place.
#[track_caller]
fn report(state: &Path, more: &[&str]) -> (tempfile::TempDir, PathBuf, Ended) {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("audit.html");
    let ended = lastword(&[&["report", text(state), "-o", text(&page)], more].concat()).expect_code(0);
    (dir, page, ended)
}
