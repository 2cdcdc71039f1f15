//! Checkpoints: what is noted of a log elsewhere, and what it proves later.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::Seq;
use lastword::engine::Reconciler;
use support::*;
use tempfile::TempDir;
use test_support::log_writer::copy_tree;

fn go_on(path: &Path) {
    Reconciler::open(path).start().unwrap().shutdown(std::time::Duration::from_secs(10)).unwrap();
}

/// A log, a key beside it, the public key, and a signed note of the log.
fn noted() -> (TempDir, PathBuf, PathBuf, String, PathBuf) {
    let (dir, path) = story_log();
    let (key, note) = (dir.path().join("key"), dir.path().join("note"));
    let made = run(&["key", "new", key.to_str().unwrap(), "--name", "example.com/log"]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    fs::write(&note, ok(&path, "head", &["--sign", key.to_str().unwrap()])).unwrap();
    (dir, path, key, out(&made).trim().to_owned(), note)
}

fn holds(path: &Path, note: &Path, public: &str) -> String {
    ok(path, "verify", &["--expect-checkpoint", note.to_str().unwrap(), "--public-key", public])
}

fn refused(path: &Path, note: &Path, public: &str) -> String {
    let output = on(path, "verify", &["--expect-checkpoint", note.to_str().unwrap(), "--public-key", public]);
    assert_eq!((code(&output), out(&output).as_str()), (1, ""), "{}", err(&output));
    err(&output)
}

#[test]
fn a_checkpoint_has_the_shape_that_others_read() {
    let (_dir, path, key, public, note) = noted();
    let (head, _) = json(&path, "head", &[]);
    let text = fs::read_to_string(&note).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    let reader = lastword::log::PrivateCopy::of(&path).unwrap().reader();
    let first = ends(&*reader)[0].1;
    assert_eq!(lines[0], format!("lastword/{first}"));
    assert_eq!(lines[1], head[0]["seq"].to_string());
    assert_eq!(lines[2].len(), 44, "32 bytes in base64");
    assert_eq!(lines[3], format!("time {}", head[0]["time"].as_str().unwrap()));
    assert_eq!((lines[4], lines[6], lines.len()), ("", "", 7));
    assert!(lines[5].starts_with("\u{2014} example.com/log "), "{text}");
    // What is signed comes first, and is all there is without a key.
    assert_eq!(ok(&path, "head", &["--checkpoint"]), lines[..4].join("\n") + "\n");
    assert!(public.starts_with("example.com/log+") && public.split('+').nth(1).unwrap().len() == 8, "{public}");
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    assert_eq!(code(&run(&["key", "new", key.to_str().unwrap()])), 3, "a key is never written over");
}

/// The note and the key of the Go package that the form comes from (`golang.org/x/mod/sumdb/note`, its documentation).
#[test]
fn a_note_of_others_has_the_signature_that_we_expect() {
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} \
                PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    assert!(log_dump::proof::signed_by(text, key));
    assert!(!log_dump::proof::signed_by(&text.replace("problem is", "answer is"), key));
}

#[test]
fn a_log_that_goes_on_extends_its_checkpoint() {
    let (dir, path, _, public, note) = noted();
    go_on(&path);
    let said = holds(&path, &note, &public);
    assert!(said.contains("extends  the head that was expected") && said.contains("signed   by the key"), "{said}");
    let file = dir.path().join("key.pub");
    fs::write(&file, format!("{public}\n")).unwrap();
    holds(&path, &note, file.to_str().unwrap());
    // A copy as one file is the same log.
    let stream = dir.path().join("log.evlog");
    ok(&path, "export", &[stream.to_str().unwrap()]);
    holds(&stream, &note, &public);
}

#[test]
fn what_is_not_what_was_noted_is_found() {
    let (dir, path, key, public, note) = noted();
    let older = dir.path().join("older");
    copy_tree(&path, &older);
    go_on(&path);
    let key = key.to_str().unwrap();
    let later = dir.path().join("later");
    fs::write(&later, ok(&path, "head", &["--sign", key])).unwrap();
    // An older copy put back, and what was written on it instead.
    assert!(refused(&older, &later, &public).contains("does not extend the head"));
    go_on(&older);
    assert!(refused(&older, &later, &public).contains("does not extend the head"));
    holds(&older, &note, &public);
    // Another log.
    let (_other, stranger) = story_log();
    go_on(&stranger);
    refused(&stranger, &later, &public);
    // A note that was changed, and one that another key has signed or none.
    let text = fs::read_to_string(&note).unwrap();
    let forged = dir.path().join("forged");
    let seq = text.lines().nth(1).unwrap();
    fs::write(&forged, text.replacen(&format!("\n{seq}\n"), "\n1\n", 1)).unwrap();
    assert!(refused(&path, &forged, &public).contains("was changed after this key had signed it"));
    let other = dir.path().join("other");
    let made = run(&["key", "new", other.to_str().unwrap()]);
    assert!(refused(&path, &note, out(&made).trim()).contains("is not signed by this key"));
    fs::write(&forged, ok(&path, "head", &["--checkpoint"])).unwrap();
    assert!(refused(&path, &forged, &public).contains("is not signed by this key"));
    // Without a key the number of the event is held against its hash all the same.
    fs::write(&forged, text.replacen(&format!("\n{seq}\n"), "\n1\n", 1)).unwrap();
    let output = on(&path, "verify", &["--expect-checkpoint", forged.to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("it says event 1, and the frame of its hash ends with event"), "{}", err(&output));
    // What is no note is a mistake of the caller.
    for text in ["", "a\n", "a\n1\n", "a\n01\nAAAA\n", "\n1\n\n"] {
        fs::write(&forged, text).unwrap();
        assert_eq!(code(&on(&path, "verify", &["--expect-checkpoint", forged.to_str().unwrap()])), 2, "{text:?}");
    }
}

#[test]
fn a_log_that_begins_later_is_named_by_an_earlier_checkpoint() {
    let (_dir, path, _, public, note) = noted();
    let origin = fs::read_to_string(&note).unwrap().lines().next().unwrap().to_owned();
    let at = {
        let reader = lastword::log::PrivateCopy::of(&path).unwrap().reader();
        ends(&*reader).into_iter().rev().nth(1).unwrap().0
    };
    assert!(at > Seq(1));
    shorten(&path, at, 1);
    let output = on(&path, "head", &["--checkpoint"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("--origin names the log"), "{}", err(&output));
    assert!(ok(&path, "head", &["--checkpoint", "--origin", &origin]).starts_with(&format!("{origin}\n")));
    holds(&path, &note, &public);
}
