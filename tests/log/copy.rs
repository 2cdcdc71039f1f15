//! Looking at a log without touching it.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, FrameHash, IfAbsent, Log, OpenError, PrivateCopy, SledLog};
use test_support::log_writer::*;

#[test]
fn a_log_that_is_written_to_can_be_read_all_the_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    writer.commit(&[1]);
    let done = AtomicBool::new(false);
    let (mut copies, mut last) = (0, 0);
    std::thread::scope(|scope| {
        let state = dir.path();
        let (done, writer) = (&done, &mut writer);
        scope.spawn(move || {
            for n in 0..400u64 {
                writer.commit(&[700, (n % 50) as usize * 100]);
                writer.log.tick(std::time::Duration::from_secs(n)).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            match PrivateCopy::of(state) {
                Ok(copy) => {
                    assert!(copy.writer_active());
                    assert!(copy.end().seq >= copy.anchor().position.seq && copy.end().seq.0 >= last);
                    last = copy.end().seq.0;
                    copies += 1;
                }
                Err(error) => assert!(matches!(error, OpenError::Moving { .. }), "{error}"),
            }
        }
    });
    assert!(copies > 0);
    println!("{copies} copies while 400 frames were written");
}

/// In a process of its own, whose temporary directory is nobody else's.
#[test]
fn a_copy_goes_with_its_last_reader() {
    let dir = tempfile::tempdir().unwrap();
    if std::env::var_os("LASTWORD_CHILD").is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "copy::a_copy_goes_with_its_last_reader"])
            .env("LASTWORD_CHILD", "")
            .env("TMPDIR", dir.path());
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let mut writer = Writer::open(&dir.path().join("state"));
    writer.commit(&[10, 20]);
    let written = writer.frames();
    writer.close();
    let copies = || {
        let names = fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("lastword-")).count()
    };
    assert_eq!(copies(), 0);
    let copy = PrivateCopy::of(dir.path().join("state")).unwrap();
    assert!(!copy.writer_active());
    assert_eq!(copy.objects(), dir.path().join("state/objects"));
    let reader = copy.reader();
    drop(copy);
    assert_eq!((copies(), read_all(reader.as_ref()).unwrap()), (1, written));
    drop(reader);
    assert_eq!(copies(), 0);
}

#[test]
fn a_writer_can_start_while_tools_look() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    writer.commit(&[1]);
    writer.close();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (state, done) = (dir.path(), &done);
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    let _ = PrivateCopy::of(state);
                }
            });
        }
        for _ in 0..30 {
            let log = SledLog::open(state, IfAbsent::Refuse, Durability::Power).unwrap();
            (Box::new(log) as Box<dyn Log>).close().unwrap();
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn a_log_on_a_read_only_path_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut writer = Writer::open(&state);
    writer.commit(&[1]);
    writer.close();
    Command::new("chmod").args(["-R", "a-w"]).arg(&state).status().unwrap();
    let copy = PrivateCopy::of(&state).unwrap();
    assert_eq!(copy.end().seq, Seq(1));
    assert_ne!(copy.end().hash, FrameHash::ZERO);
    Command::new("chmod").args(["-R", "u+w"]).arg(&state).status().unwrap();
}
