//! The log on disk: round trips, crashes, damage, and what it leaves in its directory.

mod log_support;

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, IfAbsent, Log, OpenError, SledLog};
use log_support::*;

#[test]
fn what_was_committed_is_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut writer = Writer::open(&state);
    // Around the length of one part, and several megabytes in many parts.
    let sizes = [0, 1, 3_440, 3_447, 3_448, 3_449, 3_584, 7_032, 7_033, 60_000, 200_000, 900_000];
    for size in sizes {
        writer.commit(&[size]);
    }
    writer.commit(&[1_000_000; 5]);
    writer.commit(&[0; 4_096]);
    let written = writer.frames();
    assert_eq!(written.len(), sizes.len() + 2);
    writer.close();

    let log = SledLog::open(&state, IfAbsent::Refuse, Durability::Power).unwrap();
    assert!(log.was_clean());
    assert_eq!(read_all(log.reader().as_ref()).unwrap(), written);
}

#[test]
fn reading_from_the_middle_begins_with_the_frame_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(&dir.path().join("state"));
    for _ in 0..10 {
        writer.commit(&[10, 5_000, 20]);
    }
    let reader = writer.log.reader();
    let firsts =
        |from: u64| -> Vec<u64> { reader.frames(Seq(from)).map(|bytes| frame(&bytes.unwrap()).first().0).collect() };
    assert_eq!(firsts(0), (0..10).map(|n| n * 3 + 1).collect::<Vec<_>>());
    assert_eq!(firsts(1), firsts(0));
    assert_eq!(firsts(3), firsts(0));
    assert_eq!(firsts(4), firsts(0)[1..]);
    assert_eq!(firsts(30), [28]);
    assert!(firsts(31).is_empty());
    assert!(firsts(u64::MAX).is_empty());
}

#[test]
fn a_second_writer_is_told_that_the_log_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path());
    let error = SledLog::open(dir.path(), IfAbsent::Create, Durability::Power).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error}");
    drop(writer);
    SledLog::open(dir.path(), IfAbsent::Refuse, Durability::Power).unwrap();
}
