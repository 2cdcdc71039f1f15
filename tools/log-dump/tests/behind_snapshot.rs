//! What is asked of a log with a snapshot is answered by what lies behind it, and the answer is that of the whole log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::*;
use lastword::log::PrivateCopy;
use lastword::snapshot::{Limit, Snapshots, take};
use support::scene::DecisionContext;
use support::*;
use tempfile::TempDir;
use test_support::log_writer::copy_tree;

/// A log with a snapshot in its middle, the same one without, and the tasks of `late` behind the snapshot.
fn logs() -> (TempDir, PathBuf, PathBuf, Vec<TaskId>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, whole) = (dir.path().join("state"), dir.path().join("whole"));
    let mut scene = DecisionContext::open(&path);
    for turn in 0..30 {
        scene.commit_plain("early", &format!("lake/{turn}"));
        scene.commit_plain("late", &format!("sea/{turn}"));
    }
    scene.close();
    let copy = PrivateCopy::of(&path).unwrap();
    let end = Limit { seq: Seq(u64::MAX), time: None };
    take(&*copy.reader(), &Snapshots::of_log(&path), end, &|| false).unwrap().unwrap();
    let mut scene = DecisionContext::open(&path);
    scene.commit_plain("late", "sea/30");
    scene.declare_plain("late", "sea/31");
    let first = scene.assign();
    let old = scene.wanted("late");
    scene.declare_plain("late", "sea/32");
    scene.complete(first, old);
    let second = scene.assign();
    scene.fail(second, FailureClass::Transient, "the pump stands still");
    // Since when and because of what lies behind the snapshot, and where the story begins does not.
    scene.declare_plain("early", "lake/30");
    scene.close();
    copy_tree(&path, &whole);
    fs::remove_dir_all(whole.join("snapshots")).unwrap();
    (dir, path, whole, vec![first.task, second.task])
}

#[test]
fn the_answer_is_the_same_with_and_without_a_snapshot() {
    let (_dir, path, whole, tasks) = logs();
    let end = last(&path).0;
    for name in ["early", "late"] {
        for at in [end, end - 1, end - 4, end / 2, 40] {
            let at = at.to_string();
            for more in [&[name, "--at", &at][..], &[name, "--at", &at, "--json"]] {
                assert_eq!(ok(&path, "why", more), ok(&whole, "why", more), "{more:?}");
            }
            assert_eq!(ok(&path, "state", &["--at", &at]), ok(&whole, "state", &["--at", &at]), "{at}");
        }
    }
    for task in tasks {
        let more = ["late", "--task", &task.to_string(), "--json"];
        assert_eq!(ok(&path, "why", &more), ok(&whole, "why", &more));
    }
    let first = json(&path, "dump", &["--type", "task_created"]).0[0]["task"].to_string();
    let more = ["early", "--task", &first];
    assert_eq!(ok(&path, "why", &more), ok(&whole, "why", &more));
}

/// Frames before the snapshot that nobody can read, because they are not there.
#[test]
fn what_lies_before_the_snapshot_is_not_read() {
    let (_dir, path, _, tasks) = logs();
    punch(&path, Seq(20)..Seq(40));
    assert!(ok(&path, "why", &["late"]).contains("the pump stands still"));
    for task in tasks {
        ok(&path, "why", &["late", "--task", &task.to_string()]);
    }
    assert!(ok(&path, "state", &[]).contains("late"));
    // Its story begins before.
    assert_eq!(code(&on(&path, "why", &["early"])), 1);
    assert_eq!(code(&on(&path, "dump", &[])), 1);
}

/// Takes frames out of the log, and makes `HEAD` demand no exact end.
fn punch(path: &Path, events: std::ops::Range<Seq>) {
    let db = sled::Config::new().path(path.join("sled")).flush_every_ms(None).open().unwrap();
    let frames = db.open_tree("frames").unwrap();
    let keys = frames.range(events.start.0.to_be_bytes()..events.end.0.to_be_bytes()).keys();
    let keys: Vec<_> = keys.collect::<Result<_, _>>().unwrap();
    assert!(!keys.is_empty());
    keys.iter().for_each(|key| drop(frames.remove(key).unwrap()));
    db.flush().unwrap();
    drop((frames, db));
    let head = path.join("HEAD");
    let mut bytes = fs::read(&head).unwrap();
    for slot in [0, 4096] {
        bytes[slot + 6] &= !1;
        let crc = crc32c::crc32c(&bytes[slot..slot + 72]);
        bytes[slot + 72..slot + 76].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&head, bytes).unwrap();
}
