//! Every exit code, from a log that really is so.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

use lastword::core::vocabulary::*;
use lastword::log::FrameHash;
use support::*;
use test_support::log_writer::copy_tree;

const READING: [&str; 7] = ["dump", "verify", "head", "state", "stat", "why", "diff"];

/// Runs a command that reads, with what it demands.
fn reading(path: &Path, command: &str, more: &[&str]) -> Output {
    let demanded: &[&str] = match command {
        "why" => &["plain"],
        "diff" => &["--from", "0"],
        _ => &[],
    };
    on(path, command, &[demanded, more].concat())
}

#[test]
fn code_0_a_whole_log() {
    let (_dir, path) = story_log();
    for command in READING {
        for more in [&[][..], &["--json"]] {
            let output = reading(&path, command, more);
            assert_eq!((code(&output), err(&output)), (0, String::new()), "{command}");
        }
    }
}

#[test]
fn defect_48_a_selection_that_finds_nothing_says_so() {
    let (_dir, path) = story_log();
    for more in [&["--collection", "nobody*"][..], &["--from", "999999"], &["--since", "1s", "--until", "2h"]] {
        let output = on(&path, "dump", more);
        assert_eq!((code(&output), out(&output)), (0, String::new()), "{more:?}");
        assert!(err(&output).contains("is selected; the log holds events 1 to "), "{}", err(&output));
    }
    // What the story tells has happened long ago.
    let output = on(&path, "dump", &["--since", "9000days"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
}

#[test]
fn defect_06_a_reader_that_goes_is_no_failure_and_a_full_disk_is_one() {
    use std::process::Stdio;
    let (_dir, path) = story_log();
    for command in READING {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let demanded: &[&str] = match command {
            "why" => &["plain"],
            "diff" => &["--from", "0"],
            _ => &[],
        };
        let mut to = program();
        to.arg(command).arg(&path).args(demanded).stderr(Stdio::piped());
        let output = to.stdout(full).output().unwrap();
        assert_eq!(code(&output), 3, "{command}: {}", err(&output));
        let mut child = to.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), err(&output)), (0, String::new()), "{command}");
    }
    let help = out(&program().arg("--help").output().unwrap());
    assert!(help.contains("Exit codes: 0 ok") && help.contains("| head"), "{help}");
}

#[test]
fn code_1_a_damaged_head() {
    let (_dir, path) = story_log();
    let head = path.join("HEAD");
    let whole = fs::read(&head).unwrap();
    fs::write(&head, vec![0; whole.len()]).unwrap();
    for command in READING {
        assert_eq!(code(&reading(&path, command, &[])), 1, "{command}");
    }
    fs::remove_file(&head).unwrap();
    assert_eq!(code(&on(&path, "verify", &[])), 1);
}

#[test]
fn code_1_an_object_missing_or_damaged() {
    let (_dir, path) = story_log();
    let mut objects: Vec<_> = look(&path.join("objects")).into_iter().map(|(path, ..)| path).collect();
    objects.retain(|path| path.is_file());
    assert!(objects.len() > 10);
    for object in objects {
        let bytes = fs::read(&object).unwrap();
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 4;
        fs::write(&object, damaged).unwrap();
        assert_eq!(code(&on(&path, "verify", &[])), 1, "{} damaged", object.display());
        fs::remove_file(&object).unwrap();
        let output = on(&path, "verify", &[]);
        assert_eq!(code(&output), 1, "{} missing", object.display());
        assert!(err(&output).contains("is missing"), "{}", err(&output));
        assert_eq!(code(&on(&path, "export", &["-"])), 1);
        fs::write(&object, bytes).unwrap();
    }
    assert_eq!(code(&on(&path, "verify", &[])), 0);
    fs::remove_dir_all(path.join("objects")).unwrap();
    assert_eq!(code(&on(&path, "verify", &[])), 1);
}

#[test]
fn code_1_a_payload_that_is_not_of_its_type() {
    let (_dir, path) = story_log();
    append(&path, &[(48, 1, vec![0xff; 5])]);
    assert_eq!(code(&on(&path, "verify", &[])), 1);
    let output = on(&path, "dump", &["--json"]);
    assert_eq!(code(&output), 1);
    assert!(out(&output).lines().count() > 20, "what comes before is printed");
    assert!(!out(&output).contains("summary"), "and nobody takes it for all");
}

/// What sled makes of damage differs from place to place: it panics, reports an error, or opens without the end.
/// Never may the tool say that all is well when something is gone, and never may it print a backtrace.
#[test]
fn code_1_or_5_wherever_the_file_of_sled_is_damaged() {
    let (_dir, path) = story_log();
    // Larger than one segment of sled, so that there is something behind the damage.
    let large = (0..200).map(|n| encoded(&Event::DataLossAccepted { last: Seq(n), found: noise(n).into() }));
    append_each(&path, large.collect());
    let db = path.join("sled/db");
    let whole = fs::read(&db).unwrap();
    let expected = ok(&path, "dump", &[]);
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut panics = 0;
    for at in (0..used).step_by(used / 24) {
        let mut damaged = whole.clone();
        for byte in &mut damaged[at..(at + 8).min(used)] {
            *byte ^= 0x55;
        }
        fs::write(&db, &damaged).unwrap();
        let output = on(&path, "verify", &[]);
        let (code, err) = (code(&output), err(&output));
        assert!(matches!(code, 0 | 1 | 5), "{code} at {at}: {err}");
        if code == 0 {
            assert_eq!(ok(&path, "dump", &[]), expected, "at {at}");
        }
        panics += usize::from(err.contains("panicked"));
        assert!(!err.contains("stack backtrace") && err.lines().count() <= 4, "at {at}: {err}");
    }
    assert!(panics > 0, "no place was found at which sled panics");
    fs::write(&db, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(code(&on(&path, "verify", &[])), 5);
}

#[test]
fn a_script_is_told_on_stdout_that_a_log_is_not_whole() {
    let (_dir, path) = story_log();
    fs::write(path.join("HEAD"), vec![7; 8192]).unwrap();
    let output = on(&path, "verify", &["--json"]);
    assert_eq!(code(&output), 1);
    assert!(out(&output).starts_with(r#"{"kind":"verify","ok":false,"exit":1,"problem":""#), "{}", out(&output));
}

#[test]
fn code_2_usage() {
    let (_dir, path) = story_log();
    assert_eq!(code(&run(&[])), 2);
    assert_eq!(code(&run(&["frobnicate"])), 2);
    assert_eq!(code(&run(&["dump"])), 2);
    for bad in [
        &["--type", "task_finished"][..],
        &["--from", "x"],
        &["--since", "yesterday"],
        &["--collection", "[z"],
        &["--last", "-1"],
        &["--no-such-option"],
    ] {
        assert_eq!(code(&on(&path, "dump", bad)), 2, "{bad:?}");
    }
    let output = on(&path, "dump", &["--type", "task_created,task_finished"]);
    assert!(err(&output).contains("task_finished") && err(&output).contains("completion_rejected"), "{}", err(&output));
    assert_eq!(code(&on(&path, "state", &["--at", "noon"])), 2);
}

#[test]
fn code_3_what_cannot_be_opened() {
    let (dir, path) = story_log();
    let absent = dir.path().join("absent");
    for command in READING.into_iter().chain(["export"]) {
        let output = reading(&absent, command, &[]);
        assert_eq!(code(&output), 3, "{command}: {}", err(&output));
        assert!(!absent.exists(), "{command} created it");
        assert_eq!(err(&output).lines().count(), 1);
    }
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(code(&on(&empty, "verify", &[])), 3);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    fs::write(empty.join("notes.txt"), "x").unwrap();
    assert_eq!(code(&on(&empty, "verify", &[])), 3);

    let linked = dir.path().join("linked");
    copy_tree(&path, &linked);
    fs::rename(linked.join("sled"), linked.join("elsewhere")).unwrap();
    symlink(linked.join("elsewhere"), linked.join("sled")).unwrap();
    assert_eq!(code(&on(&linked, "verify", &[])), 3);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if fs::read_dir(&path).is_err() {
        assert_eq!(code(&on(&path, "verify", &[])), 3);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn code_3_a_file_that_is_no_log() {
    let (dir, path) = story_log();
    let file = dir.path().join("notes");
    for bytes in [&b""[..], b"x", b"[defaults]\nquiet = \"1s\"\n"] {
        fs::write(&file, bytes).unwrap();
        for command in READING.into_iter().chain(["export"]) {
            let output = reading(&file, command, &[]);
            assert_eq!(code(&output), 3, "{command}: {}", err(&output));
            assert_eq!(err(&output).lines().count(), 1, "{command}");
        }
        let output = on(&path, "diff", &[file.to_str().unwrap()]);
        assert_eq!(code(&output), 3, "{}", err(&output));
        let made = dir.path().join("made");
        let output = on(&made, "import", &[file.to_str().unwrap()]);
        assert_eq!((code(&output), made.exists()), (3, false), "{}", err(&output));
    }
    for part in ["HEAD", "sled/db"] {
        assert_eq!(code(&on(&path.join(part), "verify", &[])), 3, "{part}");
    }
}

#[test]
fn code_3_a_log_that_moves_under_every_copy() {
    let (_dir, path) = story_log();
    shorten(&path);
    assert_eq!(code(&on(&path, "head", &[])), 5);
    let lock = fs::File::open(path.join("LOCK")).unwrap();
    lock.lock().unwrap();
    let output = on(&path, "head", &[]);
    assert_eq!(code(&output), 3);
    assert!(err(&output).contains("changed under"), "{}", err(&output));
}

#[test]
fn code_4_a_frame_of_a_newer_format() {
    let (_dir, path) = story_log();
    let end = lastword::log::PrivateCopy::of(&path).unwrap().end();
    let mut frame = frame_behind(&end.hash, end.seq, end.epoch);
    frame[4] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..92]), &frame[96..frame.len() - 32]);
    frame[92..96].copy_from_slice(&crc.to_le_bytes());
    let body = frame.len() - 32;
    let hash = blake3::hash(&frame[..body]);
    frame[body..].copy_from_slice(hash.as_bytes());
    put_behind(&path, end.seq.next(), &frame);
    for command in READING {
        let output = reading(&path, command, &[]);
        assert_eq!(code(&output), 4, "{command}: {}", err(&output));
    }
}

#[test]
fn code_4_an_event_of_a_newer_program() {
    let (_dir, path) = story_log();
    append(&path, &[(79, 1, vec![0xca, 0xfe]), (48, 9, vec![1])]);
    let (lines, summary) = json(&path, "dump", &["--last", "2"]);
    let seq = last(&path).0;
    assert_eq!(summary["events"], 2);
    let (newer_type, newer_version) = (&lines[0], &lines[1]);
    assert_eq!((&newer_type["type"], &newer_type["payload"]), (&"unknown".into(), &"cafe".into()));
    assert_eq!((&newer_type["type_number"], &newer_type["type_version"]), (&79.into(), &1.into()));
    assert_eq!((&newer_version["type_number"], &newer_version["type_version"]), (&48.into(), &9.into()));
    assert_eq!(newer_version["seq"], seq);
    assert!(ok(&path, "dump", &[]).contains("type 79 version 1, not known: cafe"));
    for command in ["verify", "state", "export", "why", "diff"] {
        assert_eq!(code(&reading(&path, command, &[])), 4, "{command}");
    }
    for command in ["head", "stat"] {
        assert_eq!(code(&on(&path, command, &[])), 0, "{command}");
    }
}

#[test]
fn code_5_a_log_shorter_than_its_anchor() {
    let (_dir, path) = story_log();
    shorten(&path);
    for command in READING.into_iter().chain(["export"]) {
        let output = reading(&path, command, &[]);
        assert_eq!(code(&output), 5, "{command}: {}", err(&output));
    }
}

#[test]
fn code_6_a_replay_that_diverges() {
    let (_dir, path) = story_log();
    let nobody = CollectionId(Seq(999));
    append(&path, &[encoded(&Event::CollectionPaused { collection: nobody })]);
    for command in ["verify", "state", "why", "diff"] {
        let output = reading(&path, command, &[]);
        assert_eq!(code(&output), 6, "{command}: {}", err(&output));
        assert!(err(&output).contains("collection_paused"), "{}", err(&output));
    }
    assert_eq!(code(&on(&path, "dump", &[])), 0, "what was written can be read nevertheless");
}

#[test]
fn streams_have_the_same_codes() {
    let (dir, path) = story_log();
    let file = dir.path().join("log.evlog");
    ok(&path, "export", &[file.to_str().unwrap()]);
    for command in READING {
        assert_eq!(code(&reading(&file, command, &["--json"])), 0, "{command}");
    }
    assert_eq!(ok(&file, "dump", &["--json"]), ok(&path, "dump", &["--json"]));
    assert_eq!(ok(&file, "state", &["--json"]), ok(&path, "state", &["--json"]));
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(code(&on(&file, "verify", &[])), 1);
    for (at, bit) in [(0, 1), (3, 0x80), (9, 4)] {
        let mut damaged = whole.clone();
        damaged[at] ^= bit;
        fs::write(&file, damaged).unwrap();
        assert_eq!(code(&on(&file, "verify", &[])), 1, "its header is damaged at {at}");
    }
    fs::write(&file, "something else").unwrap();
    assert_eq!(code(&on(&path, "export", &[file.to_str().unwrap()])), 3, "an existing file is not overwritten");
    assert_eq!(fs::read(&file).unwrap(), b"something else");
}

/// Text that does not repeat.
fn noise(seed: u64) -> String {
    blake3::hash(&seed.to_le_bytes()).to_hex().repeat(90)
}

/// Takes the newest frame away behind the back of `HEAD`.
fn shorten(path: &Path) {
    let before = path.with_extension("before");
    copy_tree(&path.join("sled"), &before);
    append(path, &[encoded(&Event::CollectionPaused { collection: CollectionId(Seq(4)) })]);
    fs::remove_dir_all(path.join("sled")).unwrap();
    copy_tree(&before, &path.join("sled"));
}

fn frame_behind(previous: &FrameHash, last: Seq, epoch: Epoch) -> Vec<u8> {
    let mut builder = lastword::log::FrameBuilder::new();
    builder.push(20, 1, &[4]).unwrap();
    let time = Timestamp(story::START + 1_000_000_000);
    builder.seal(last.next(), epoch, time, time, *previous).unwrap().bytes().to_vec()
}

/// Stores bytes as the frame at `base`, past the log that would refuse them, and makes `HEAD` demand no exact end.
fn put_behind(path: &Path, base: Seq, frame: &[u8]) {
    let db = sled::Config::new().path(path.join("sled")).flush_every_ms(None).open().unwrap();
    let mut key = base.0.to_be_bytes().to_vec();
    key.extend_from_slice(&0_u32.to_be_bytes());
    db.open_tree("frames").unwrap().insert(key, frame).unwrap();
    db.flush().unwrap();
    drop(db);
    let head = path.join("HEAD");
    let mut bytes = fs::read(&head).unwrap();
    for slot in [0, 4096] {
        bytes[slot + 6] &= !1;
        let crc = crc32c::crc32c(&bytes[slot..slot + 72]);
        bytes[slot + 72..slot + 76].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&head, bytes).unwrap();
}
