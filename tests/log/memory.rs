//! The log in memory: the same contract, and failures on demand.

use lastword::core::vocabulary::{Epoch, Seq, Timestamp};
use lastword::log::{FrameBuilder, FrameError, Keep, Log, LogError, MemoryDisk};
use test_support::log_writer::read_all;

fn append(log: &mut dyn Log) -> Result<(), LogError> {
    let mut builder = FrameBuilder::new();
    builder.push(1, 1, b"event").unwrap();
    let last = log.appended();
    log.append(&builder.seal(last.seq.next(), Epoch(1), Timestamp(1), Timestamp(1), last.hash).unwrap())
}

fn length(disk: &MemoryDisk) -> usize {
    read_all(disk.open().reader().as_ref()).unwrap().len()
}

#[test]
fn durable_follows_appended_at_the_barrier() {
    let disk = MemoryDisk::new();
    let mut log = disk.open();
    append(&mut log).unwrap();
    append(&mut log).unwrap();
    assert_eq!((log.appended().seq, log.durable().seq), (Seq(2), Seq(0)));
    log.barrier().unwrap();
    assert_eq!(log.durable(), log.appended());
    append(&mut log).unwrap();
    disk.crash(Keep::None);
    assert!(matches!(append(&mut log), Err(LogError::Poisoned(_))));
    assert_eq!(length(&disk), 2);
}

#[test]
fn a_failed_append_or_barrier_poisons_and_keeps_all_or_nothing() {
    for (keep, left) in [(Keep::All, 2), (Keep::None, 1)] {
        let disk = MemoryDisk::new();
        let mut log = disk.open();
        append(&mut log).unwrap();
        log.barrier().unwrap();
        disk.fail_next_append(keep);
        assert!(matches!(append(&mut log), Err(LogError::Storage(_))));
        assert!(matches!(append(&mut log), Err(LogError::Poisoned(_))));
        assert!(matches!(log.barrier(), Err(LogError::Poisoned(_))));
        assert_eq!(log.appended().seq, Seq(1));
        assert!(matches!(Box::new(log).close(), Err(LogError::Poisoned(_))));
        disk.crash(Keep::All);
        assert_eq!(length(&disk), left);

        let disk = MemoryDisk::new();
        let mut log = disk.open();
        append(&mut log).unwrap();
        log.barrier().unwrap();
        append(&mut log).unwrap();
        disk.fail_next_barrier(keep);
        assert!(matches!(log.barrier(), Err(LogError::Storage(_))));
        assert!(matches!(log.barrier(), Err(LogError::Poisoned(_))));
        assert_eq!(log.durable().seq, Seq(1));
        disk.crash(Keep::None);
        assert_eq!(length(&disk), left);
    }
}

#[test]
fn opening_again_deposes_the_writer_before() {
    let disk = MemoryDisk::new();
    let mut old = disk.open();
    append(&mut old).unwrap();
    let mut new = disk.open();
    assert!(matches!(append(&mut old), Err(LogError::Poisoned(_))));
    append(&mut new).unwrap();
    assert_eq!(new.appended().seq, Seq(2));
}

#[test]
fn a_frame_that_does_not_continue_is_refused_and_nothing_is_poisoned() {
    let mut log = MemoryDisk::new().open();
    append(&mut log).unwrap();
    let mut builder = FrameBuilder::new();
    builder.push(1, 1, b"").unwrap();
    let frame = builder.seal(Seq(9), Epoch(1), Timestamp(1), Timestamp(1), log.appended().hash).unwrap();
    let gap = FrameError::Gap { expected: Seq(2), found: Seq(9) };
    assert!(matches!(log.append(&frame), Err(LogError::Refused(found)) if found == gap));
    append(&mut log).unwrap();
    log.barrier().unwrap();
}

#[test]
fn damage_is_reported_at_its_place() {
    let disk = MemoryDisk::new();
    let mut log = disk.open();
    for _ in 0..4 {
        append(&mut log).unwrap();
    }
    disk.damage(2, |bytes| bytes[100] ^= 1);
    let reader = log.reader();
    let found: Vec<_> = reader.frames(Seq(1)).collect();
    assert_eq!(found.len(), 3, "two whole frames, one error, and then no more");
    assert!(matches!(found[2], Err(LogError::Damaged { at: Seq(3), .. })));
    assert_eq!(reader.frames(Seq(4)).count(), 1);
}
