//! `lastword doctor`: what it prints, its exit codes, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use support::{lastword, program, text, wait};
use tempfile::TempDir;
use test_buckets::bucket::{self, Bucket, SECRET};
use test_buckets::servers::AZURITE_KEY;
use test_buckets::stage::{Asked, Fault, Manners, Stage};

/// A configuration that says nothing but where a bucket is.
fn stores(bucket: &Bucket) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stores.toml");
    fs::write(&file, bucket.toml()).unwrap();
    (dir, file)
}

fn url(bucket: &Bucket) -> String {
    format!("{}/lake/", bucket.name)
}

fn staged() -> (Stage, Bucket, TempDir, PathBuf) {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    bucket.put("lake/one", b"one");
    let (dir, file) = stores(&bucket);
    (stage, bucket, dir, file)
}

#[test]
fn doctor_says_what_was_tried_and_what_may_live_there() {
    for bucket in [bucket::az(), Some(bucket::staged(&Stage::start()))].into_iter().flatten() {
        let (_dir, file) = stores(&bucket);
        let ended = lastword(&["doctor", &url(&bucket), "--config", text(&file)]).expect_code(0);
        assert!(ended.stdout.starts_with("CHECK"), "{}", ended.stdout);
        assert!(ended.stdout.lines().any(|line| line.starts_with("conditional_create") && line.contains(" ok ")));
        assert!(ended.stdout.contains("sources and a log may live here"), "{}", ended.stdout);
        assert_eq!((bucket.keys(), ended.stderr.as_str()), (Vec::new(), ""), "nothing is left, and nothing said of it");
        for said in [&ended.stdout, &ended.stderr] {
            assert!(!said.contains(SECRET) && !said.contains(AZURITE_KEY), "{said}");
        }
    }
}

#[test]
fn the_exit_code_says_what_may_live_there_and_json_says_it_too() {
    let (stage, bucket, _dir, file) = staged();
    let base = Manners::default();
    for (manners, code, sources, log) in [
        (base, 0, true, true),
        (Manners { lets_two_win: true, ..base }, 1, true, false),
        (Manners { loses_keys: true, ..base }, 3, false, false),
    ] {
        stage.behave(manners);
        let ended = lastword(&["doctor", &url(&bucket), "--config", text(&file), "--json"]).expect_code(code);
        let found: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((found["v"].as_u64(), found["url"].as_str()), (Some(1), Some(url(&bucket).as_str())));
        assert_eq!((found["sources"].as_bool(), found["log"].as_bool()), (Some(sources), Some(log)), "{found:#}");
        assert_eq!((found["left_count"].as_u64(), found["whole"].as_bool()), (Some(0), Some(true)));
        for finding in found["findings"].as_array().unwrap() {
            assert!(["ok", "not_ok", "not_tried"].contains(&finding["outcome"].as_str().unwrap()), "{finding}");
            assert!(["sources", "log", "nothing"].contains(&finding["needed_by"].as_str().unwrap()), "{finding}");
            assert!(!finding["saw"].as_str().unwrap().is_empty() && finding["follows"].is_string());
        }
        assert_eq!(bucket.keys(), ["lake/one"]);
    }
    stage.behave(base);
    // It can only be read.
    stage.before_each(|asked| matches!(asked, Asked::Put { .. }).then_some(Fault::Status(403)));
    let ended = lastword(&["doctor", &url(&bucket), "--config", text(&file)]).expect_code(1);
    assert!(ended.stdout.contains("sources may live here, a log may not"), "{}", ended.stdout);
    assert!(ended.stdout.lines().any(|line| line.starts_with("conditional_create") && line.contains("not tried")));
    // It cannot be reached.
    stage.before_each(|_| Some(Fault::Status(403)));
    let ended = lastword(&["doctor", &url(&bucket), "--config", text(&file)]).expect_code(3);
    assert!(ended.stderr.contains("status 403") && !ended.stderr.contains("secret-403"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let ended = lastword(&["doctor", &url(&bucket), "--config", text(&file), "--json"]).expect_code(3);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(found["cause"].as_str().unwrap().contains("status 403") && found["sources"] == false, "{found}");
    // What cannot be removed is said.
    stage.before_each(|asked| matches!(asked, Asked::Delete { .. }).then_some(Fault::Status(403)));
    let ended = lastword(&["doctor", &url(&bucket), "--config", text(&file)]).expect_code(1);
    assert!(ended.stderr.contains("objects could not be removed") && ended.stderr.contains("lake/.lastword-doctor-"));
}

#[test]
fn what_is_no_object_store_and_a_wrong_file_are_usage() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stores.toml");
    fs::write(&file, "[stores.\"s3://lake\"]\nregio = \"eu\"\n").unwrap();
    for (arguments, expected) in [
        (&["doctor", "lake/"][..], "names a directory"),
        (&["doctor", "file:///lake"], "names a directory"),
        (&["doctor", "ftp://lake"], "has the unknown scheme ftp"),
        (&["doctor", "s3://me:hunter2@lake/x"], "must not hold a user, a password or an account"),
        (&["doctor", "s3://lake/x//y"], "must not contain an empty part"),
        (&["doctor", "s3://lake", "--config", text(&file)], "stores.toml:2: stores.\"s3://lake\".regio: is unknown"),
        (&["doctor", "s3://lake", "--config", "none.toml"], "cannot be read"),
        (&["doctor"], "required"),
    ] {
        let ended = lastword(arguments).expect_code(2);
        assert!(
            ended.stderr.contains(expected) && !ended.stderr.contains("hunter2"),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn a_signal_has_everything_removed_that_was_made() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (stage, bucket, _dir, file) = staged();
        let (reached, is_reached) = mpsc::channel();
        // In the middle of it the child is told to stop; the server goes on when it has been.
        let (told, is_told) = mpsc::channel::<()>();
        let mut is_first = true;
        stage.before_each(move |asked| {
            if is_first && matches!(asked, Asked::Put { key } if key.contains("/many/")) {
                is_first = false;
                let _ = reached.send(());
                let _ = is_told.recv_timeout(Duration::from_secs(60));
            }
            None
        });
        let url = url(&bucket);
        let child = program().args(["doctor", &url, "--config", text(&file)]).spawn().unwrap();
        is_reached.recv_timeout(Duration::from_secs(60)).unwrap();
        support::signal(&child, signal);
        told.send(()).unwrap();
        let ended = wait(child, Duration::from_secs(120)).expect_code(code);
        let last = ended.stdout.lines().last().unwrap();
        assert!(last.contains("interrupted") && last.contains("no verdict") && !last.contains("may live"), "{last}");
        assert_eq!(bucket.keys(), ["lake/one"], "{signal}");
    }
}
