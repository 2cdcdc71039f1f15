//! `why`: which files made an observation another one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lastword::core::vocabulary::{Built, Coalesce, Declaration, Kind, Name, Policy, Source};
use lastword::engine::Reconciler;
use lastword::external::Directory;
use lastword::worker::{Context, Failure, Observer, Worker};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;
use support::*;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

struct Reader(Directory);

impl Worker for Reader {
    fn run(&self, _context: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.0)
    }
}

/// A directory whose files are those of each of `steps` in turn, and the log of a run that followed them.
fn followed(steps: &[&[(&str, &str)]]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (state, source) = (dir.path().join("state"), dir.path().join("files"));
    let (kind, name) = (Kind::new("reader").unwrap(), Name::new("documents").unwrap());
    let reconciler = Reconciler::open(&state).kind(kind.clone(), Reader(Directory::local())).start().unwrap();
    let handle = reconciler.handle();
    for (step, files) in steps.iter().enumerate() {
        let next = dir.path().join("next");
        fs::create_dir(&next).unwrap();
        for (file, text) in *files {
            let path = next.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        // In one step: a look at any moment finds the one or the other.
        let flags = if step == 0 { RenameFlags::NOREPLACE } else { RenameFlags::EXCHANGE };
        renameat_with(CWD, &next, CWD, &source, flags).unwrap();
        let _ = fs::remove_dir_all(&next);
        if step == 0 {
            let policy = Policy { coalesce: Coalesce::NONE, ..Policy::default() };
            let declaration = Declaration::new(name.clone()).kind(kind.clone()).policy(policy);
            handle.declare(declaration.source(Source::new(source.to_str().unwrap()).unwrap())).unwrap();
        } else {
            handle.refresh(name.clone()).unwrap();
        }
        handle.wait_settled(name.clone(), LONG).unwrap();
    }
    reconciler.shutdown(LONG).unwrap();
    (dir, state)
}

/// The lines about files, without versions, which differ from run to run.
fn shown(state: &Path, more: &[&str]) -> Vec<String> {
    let more: Vec<&str> = ["documents"].iter().chain(more).copied().collect();
    let text = ok(state, "why", &more);
    let files = text.lines().filter_map(|line| line.strip_prefix("      "));
    files.map(|line| line.split(" (").next().unwrap().to_owned()).collect()
}

#[test]
fn an_observation_names_what_was_added_changed_and_removed() {
    let (_dir, state) = followed(&[
        &[("a.md", "1"), ("b.md", "22"), ("c/d.md", "4")],
        &[("a.md", "1"), ("b.md", "333"), ("e\u{1b}.md", "5")],
    ]);
    assert_eq!(shown(&state, &[]), ["~ b.md", "- c/d.md", "+ e%1B.md"]);
    let text = ok(&state, "why", &["documents"]);
    assert!(text.contains(", 2 bytes -> version ") && text.contains(", 3 bytes)"), "{text}");

    // Scripts are given events alone unless they ask for files.
    let (events, _) = answer(&state, "why", &["documents"]);
    assert!(events.iter().all(|event| event["type"].is_string()), "{events:?}");
    let (lines, _) = answer(&state, "why", &["documents", "--files"]);
    let files: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "files").collect();
    let [files] = files[..] else { panic!("one observation: {files:?}") };
    assert!(lines.iter().any(|line| line["seq"] == files["seq"] && line["type"] == "source_observed"));
    assert_eq!((&files["added"], &files["changed"], &files["removed"]), (&1.into(), &1.into(), &1.into()));
    let b = &files["files"][0];
    assert_eq!(
        (&b["path"], &b["change"], &b["before"]["bytes"], &b["after"]["bytes"]),
        (&"b.md".into(), &"changed".into(), &2.into(), &3.into())
    );
    assert_ne!(b["before"]["version"], b["after"]["version"]);
    assert!(files["files"][1]["after"].is_null() && files["files"][2]["before"].is_null(), "{files}");
}

#[test]
fn twenty_files_are_shown_and_the_rest_is_counted() {
    let names: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let (_dir, state) = followed(&[&many]);
    let few = shown(&state, &[]);
    assert_eq!((few.len(), few[19].as_str(), few[20].as_str()), (21, "+ 19", "... and 5 more; --files names them ..."));
    assert_eq!(shown(&state, &["--files"]).len(), 25);
}

#[test]
fn what_cannot_be_named_is_said_and_the_answer_is_given_all_the_same() {
    let (_dir, state) = followed(&[&[("a", "1")], &[("a", "22")]]);
    let stream = state.with_extension("evlog");
    ok(&state, "export", &[stream.to_str().unwrap()]);
    assert_eq!(shown(&stream, &[]), ["an exported stream does not name its files: import it"]);
    for entry in fs::read_dir(state.join("objects")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        }
    }
    for _ in 0..2 {
        let text = ok(&state, "why", &["documents"]);
        assert!(text.contains("its files cannot be named: ") && text.contains("is fresh"), "{text}");
        // And without any.
        let _ = fs::remove_dir_all(state.join("objects"));
    }
}
