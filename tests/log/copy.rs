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

/// Runs `test` in a process of its own, whose temporary directory is nobody else's. Nothing in that process.
fn in_a_process_of_its_own(test: &str) -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    if std::env::var_os("LASTWORD_CHILD").is_some() {
        return Some(dir);
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("copy::{test}")]).env("LASTWORD_CHILD", "").env("TMPDIR", dir.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    None
}

fn copies() -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(std::env::temp_dir()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("lastword-")).collect()
}

/// More frames than one that is read from what is cached: the file of a copy is read to its end behind its name.
#[test]
fn a_copy_has_no_name_once_it_is_open() {
    let Some(dir) = in_a_process_of_its_own("a_copy_has_no_name_once_it_is_open") else { return };
    let mut writer = Writer::open(&dir.path().join("state"));
    (0..300).for_each(|_| writer.commit(&[1000; 8]));
    let written = writer.frames();
    writer.close();
    assert_eq!(copies(), Vec::<std::path::PathBuf>::new());
    let copy = PrivateCopy::of(dir.path().join("state")).unwrap();
    assert!(!copy.writer_active());
    assert_eq!(copy.objects(), dir.path().join("state/objects"));
    assert_eq!(copies(), Vec::<std::path::PathBuf>::new(), "who is killed now leaves it behind");
    let reader = copy.reader();
    drop(copy);
    assert_eq!(read_all(reader.as_ref()).unwrap(), written);
    let again = PrivateCopy::of(dir.path().join("state")).unwrap();
    assert_eq!(read_all(again.reader().as_ref()).unwrap(), read_all(reader.as_ref()).unwrap());
}

#[test]
fn a_copy_that_a_killed_reader_left_goes_with_the_next_reader() {
    let Some(dir) = in_a_process_of_its_own("a_copy_that_a_killed_reader_left_goes_with_the_next_reader") else {
        return;
    };
    let mut writer = Writer::open(&dir.path().join("state"));
    writer.commit(&[10, 20]);
    writer.close();
    // As they are left: with the number of a process that may live, and of this one.
    for name in [format!("lastword-copy-{}-0", std::process::id()), "lastword-copy-1-7".to_owned()] {
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("sled")).unwrap();
        fs::write(path.join("sled/db"), "half of it").unwrap();
    }
    // One of a reader that still copies is locked, whoever's number its name has.
    let locked = std::env::temp_dir().join("lastword-copy-2-0");
    fs::create_dir(&locked).unwrap();
    let lock = fs::File::open(&locked).unwrap();
    lock.lock().unwrap();
    // What only looks like one is not one.
    let linked = dir.path().join("precious");
    fs::create_dir(&linked).unwrap();
    let link = std::env::temp_dir().join("lastword-copy-3-0");
    std::os::unix::fs::symlink(&linked, &link).unwrap();
    PrivateCopy::of(dir.path().join("state")).unwrap();
    let mut left = copies();
    left.sort();
    assert_eq!(left, [locked.clone(), link.clone()]);
    assert!(linked.exists());
    drop(lock);
    PrivateCopy::of(dir.path().join("state")).unwrap();
    assert_eq!(copies(), [link]);
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
