//! A log whose prefix is deleted: what stands for it is in the log before anything goes, and every crash between
//! leaves a log that opens.

use std::time::Duration;

use lastword::core::vocabulary::{Epoch, Seq, Timestamp};
use lastword::log::{
    Durability, Frame, FrameBuilder, FrameError, FrameIter, IfAbsent, Log, LogError, MemoryDisk, OpenError, Position,
    PrivateCopy, SledLog, Start, Visitor,
};
use lastword::replay::{Checkpoint, check_checkpoint, checkpoint_of, find_checkpoint};
use test_support::log_writer::past::*;
use test_support::log_writer::*;

#[derive(Default)]
struct ObservationOutcome {
    checkpoint: Option<Checkpoint>,
    frames: Vec<u64>,
}

impl Visitor for ObservationOutcome {
    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
        assert!(self.frames.is_empty());
        self.checkpoint = Some(find_checkpoint(start, frames)?);
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.frames.push(frame.first().0);
    }
}

#[test]
fn what_was_forgotten_is_gone_and_its_base_stands_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, start) = with_base(dir.path());
    assert!(checkpoint_of(&*writer.log.reader()).unwrap().is_none(), "it is whole");
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    check_begins_at_16(&*writer.log.reader(), start);
    writer.commit(&[1]);
    writer.close();

    let mut seen = ObservationOutcome::default();
    let mut log = SledLog::open_visiting(dir.path(), IfAbsent::Refuse, Durability::Power, &mut seen).unwrap();
    assert_eq!(seen.frames, [16, 19, 22, 25, 28, 31, 32, 33, 34, 35]);
    assert_eq!(seen.checkpoint.unwrap().body, body());
    log.tick(Duration::from_secs(1)).unwrap();
    assert_eq!(firsts(&*log.reader(), 0).unwrap()[0], 16);
    (Box::new(log) as Box<dyn Log>).close().unwrap();
    let copy = PrivateCopy::of(dir.path()).unwrap();
    assert_eq!((copy.reader().start(), copy.end().seq), (start, Seq(35)));
}

#[test]
fn the_log_in_memory_forgets_in_the_same_way() {
    let disk = MemoryDisk::new();
    let mut log = disk.open();
    let mut builder = FrameBuilder::new();
    for n in 0..10 {
        builder.begin();
        (0..3).for_each(|_| builder.push(1, 1, b"x").unwrap());
        let last = log.appended();
        let frame = builder.seal(last.seq.next(), Epoch(1), Timestamp(n), Timestamp(0), last.hash).unwrap();
        log.append(&frame).unwrap();
    }
    let hash = hash_at(&*log.reader(), Seq(15));
    let base = append_base(&mut log, Seq(15), hash, 0..4);
    let start = Start { seq: Seq(15), hash, checkpoint: base };
    let reader = log.reader();
    let mut under_way = reader.frames(Seq::ZERO);
    assert!(under_way.next().unwrap().is_ok());
    log.truncate_prefix(start, check_checkpoint).unwrap();
    assert!(matches!(under_way.next(), Some(Err(LogError::PrefixGone { begins: Seq(16) }))));
    assert!(under_way.next().is_none());
    check_begins_at_16(&*log.reader(), start);
    drop(log);
    check_begins_at_16(&*disk.open().reader(), start);
    assert_eq!(disk.open().appended().seq, Seq(34));
}

#[test]
fn a_reader_that_is_overtaken_is_told_so_and_sees_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, start) = with_base(dir.path());
    let reader = writer.log.reader();
    let mut behind = reader.frames(Seq::ZERO);
    let mut ahead = reader.frames(Seq(16));
    assert!(behind.next().unwrap().is_ok() && ahead.next().unwrap().is_ok());
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    writer.log.tick(Duration::from_secs(1)).unwrap();
    assert!(matches!(behind.next(), Some(Err(LogError::PrefixGone { begins: Seq(16) }))));
    assert!(behind.next().is_none());
    assert_eq!(ahead.map(Result::unwrap).count(), 8);
}

#[test]
fn nothing_is_deleted_for_which_no_base_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    (0..10).for_each(|_| writer.commit(&[10, 5_000, 20]));
    let (h15, h18) = (hash_at(&*writer.log.reader(), Seq(15)), hash_at(&*writer.log.reader(), Seq(18)));
    // One that was given up half-way, then a whole one.
    append_base(writer.log.as_mut(), Seq(15), h15, 0..3);
    let unfinished = Start { seq: Seq(15), hash: h15, checkpoint: Seq(31) };
    assert!(matches!(
        writer.log.truncate_prefix(unfinished, check_checkpoint),
        Err(LogError::Damaged { found: FrameError::NoCheckpoint { .. }, .. })
    ));
    let base = append_base(writer.log.as_mut(), Seq(15), h15, 0..4);
    let start = Start { seq: Seq(15), hash: h15, checkpoint: base };
    let wrong = [
        Start { seq: Seq(18), hash: h18, ..start },
        Start { seq: Seq(15), hash: h18, ..start },
        Start { checkpoint: base.next(), ..start },
        Start { checkpoint: Seq(99), ..start },
        Start { checkpoint: Seq(3), ..start },
    ];
    for start in wrong {
        assert!(writer.log.truncate_prefix(start, check_checkpoint).is_err(), "{start:?}");
        assert_eq!(firsts(&*writer.log.reader(), 0).unwrap()[0], 1);
    }
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    assert!(
        matches!(
            writer.log.truncate_prefix(start, check_checkpoint),
            Err(LogError::Refused(FrameError::NoCheckpoint { .. }))
        ),
        "once"
    );
    writer.commit(&[1]);
}

/// The order on the disk is: base, HEAD, the note of the start, then the prefix, frame by frame.
#[test]
fn a_crash_anywhere_between_base_and_deletion_leaves_a_log_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (mut writer, start) = with_base(&state);
    // Killed after the base: nothing is gone.
    let copy = |name: &str| {
        let to = dir.path().join(name);
        copy_tree(&state, &to);
        to
    };
    let after_base = copy("after-base");
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    // Killed after the note: everything is still stored, and none of it is seen.
    let after_note = copy("after-note");
    writer.log.tick(Duration::from_secs(1)).unwrap();
    writer.log.barrier().unwrap();
    let after_removal = copy("after-removal");
    drop(writer);

    let log = SledLog::open(&after_base, IfAbsent::Refuse, Durability::Power).unwrap();
    assert!(log.reader().start().is_whole());
    assert_eq!(firsts(&*log.reader(), 0).unwrap()[0], 1);
    for state in [after_note, after_removal] {
        check_begins_at_16(&*PrivateCopy::of(&state).unwrap().reader(), start);
        let mut writer = Writer::open(&state);
        check_begins_at_16(&*writer.log.reader(), start);
        // It goes on with what the crash had interrupted.
        writer.log.tick(Duration::from_secs(1)).unwrap();
        writer.commit(&[5]);
        writer.close();
        assert_eq!(Writer::open(&state).frames().len(), 10);
    }
}

/// sled's entries, looked at from outside: frames that were forgotten are removed however far a removal had come,
/// and whatever is left of them is not looked at.
#[test]
fn what_a_partial_removal_left_is_removed_later() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, start) = with_base(dir.path());
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    writer.close();
    let entries = |remove: &[usize]| {
        let db = sled::Config::new().path(dir.path().join("sled")).flush_every_ms(None).open().unwrap();
        let tree = db.open_tree("frames").unwrap();
        let keys: Vec<_> = tree.iter().keys().map(Result::unwrap).collect();
        remove.iter().for_each(|index| drop(tree.remove(&keys[*index]).unwrap()));
        db.flush().unwrap();
        keys.len()
    };
    // The note first, then two entries of each of five frames; in the middle of one, and one altogether.
    let before = entries(&[2, 5, 6]);
    // The file may only be longer than HEAD knows it.
    let mut writer = Writer::open(dir.path());
    check_begins_at_16(&*writer.log.reader(), start);
    writer.log.tick(Duration::from_secs(1)).unwrap();
    writer.close();
    assert_eq!(entries(&[]), before - 10);
    check_begins_at_16(&*PrivateCopy::of(dir.path()).unwrap().reader(), start);
}

#[test]
fn a_log_that_begins_later_without_its_note_or_its_base_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (mut writer, start) = with_base(&state);
    writer.log.truncate_prefix(start, check_checkpoint).unwrap();
    writer.log.tick(Duration::from_secs(1)).unwrap();
    writer.close();
    let damage = |name: &str, change: &dyn Fn(&sled::Tree)| {
        let state = dir.path().join(name);
        copy_tree(&dir.path().join("state"), &state);
        let db = sled::Config::new().path(state.join("sled")).flush_every_ms(None).open().unwrap();
        change(&db.open_tree("frames").unwrap());
        drop(db);
        SledLog::open(&state, IfAbsent::Refuse, Durability::Power).err().unwrap()
    };
    let without_note = damage("note", &|tree| drop(tree.remove([0; 12]).unwrap()));
    assert!(matches!(without_note, OpenError::Damaged { found: FrameError::Gap { .. }, .. }), "{without_note}");
    let flipped = damage("flipped", &|tree| {
        let mut note = tree.get([0; 12]).unwrap().unwrap().to_vec();
        note[20] ^= 1;
        tree.insert([0; 12], note).unwrap();
    });
    assert!(matches!(flipped, OpenError::Damaged { found: FrameError::Start, .. }), "{flipped}");
    let newer = damage("newer", &|tree| {
        let mut note = tree.get([0; 12]).unwrap().unwrap().to_vec();
        note[4] = 2;
        let crc = crc32c::crc32c(&note[..56]);
        note[56..].copy_from_slice(&crc.to_le_bytes());
        tree.insert([0; 12], note).unwrap();
    });
    assert!(newer.is_too_new(), "{newer}");
    let elsewhere = damage("elsewhere", &|tree| {
        let mut note = tree.get([0; 12]).unwrap().unwrap().to_vec();
        note[48] += 1;
        let crc = crc32c::crc32c(&note[..56]);
        note[56..].copy_from_slice(&crc.to_le_bytes());
        tree.insert([0; 12], note).unwrap();
    });
    assert!(matches!(elsewhere, OpenError::Damaged { found: FrameError::NoCheckpoint { .. }, .. }), "{elsewhere}");
}

/// Goes on from positions of its own.
#[derive(Default)]
struct Knowing {
    known: Vec<Position>,
    accepts: Vec<bool>,
    frames: Vec<u64>,
}

impl Visitor for Knowing {
    fn known(&mut self) -> Vec<Position> {
        self.known.clone()
    }

    fn resume(&mut self, _: Position) -> bool {
        self.accepts.remove(0)
    }

    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
        check_checkpoint(start, frames)
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self.frames.push(frame.first().0);
    }
}

#[test]
fn opening_reads_only_the_tail_behind_a_known_position() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    (0..50).for_each(|n| writer.commit(&[n, 10]));
    let at = |seq: u64| Position { seq: Seq(seq), hash: hash_at(&*writer.log.reader(), Seq(seq)), epoch: Epoch(1) };
    let (p40, p90, p96) = (at(40), at(90), at(96));
    writer.close();
    let open = |known: &[Position], accepts: &[bool]| {
        let mut visitor = Knowing { known: known.to_vec(), accepts: accepts.to_vec(), frames: Vec::new() };
        let log = SledLog::open_visiting(dir.path(), IfAbsent::Refuse, Durability::Power, &mut visitor).unwrap();
        let read = log.frames_read();
        (Box::new(log) as Box<dyn Log>).close().unwrap();
        (visitor.frames, read)
    };
    // Frames 91.., and one to see that the position is in the log, which is where reading begins.
    assert_eq!(open(&[p90], &[true]), (vec![91, 93, 95, 97, 99], 7));
    let (all, read) = open(&[], &[]);
    assert_eq!((all.len(), read), (50, 50));
    // Of another log, behind the end, within a frame, and refused by its owner: the next one.
    let other = Position { hash: p40.hash, ..p96 };
    let beyond = Position { seq: Seq(200), ..p96 };
    let within = Position { seq: Seq(95), ..p96 };
    assert_eq!(open(&[other, beyond, within, p96, p90], &[false, true]).0, [91, 93, 95, 97, 99]);
    assert_eq!(open(&[p96, p40], &[false, false]).0.len(), 50);
}

/// HEAD's promise is kept by the tail: what HEAD names is there and chained to the end.
#[test]
fn a_known_position_does_not_hide_the_loss_of_the_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (state, earlier) = (dir.path().join("state"), dir.path().join("earlier"));
    let mut writer = Writer::open(&state);
    (0..10).for_each(|_| writer.commit(&[10]));
    let known = writer.log.durable();
    writer.close();
    copy_tree(&state, &earlier);
    let mut writer = Writer::open(&state);
    (0..3).for_each(|_| writer.commit(&[10]));
    writer.close();
    // The storage of yesterday under the HEAD of today.
    let anchor = std::fs::read(state.join("HEAD")).unwrap();
    std::fs::remove_dir_all(state.join("sled")).unwrap();
    copy_tree(&earlier.join("sled"), &state.join("sled"));
    std::fs::write(state.join("HEAD"), {
        // An unclean one, which does not know the length of the file.
        let mut slot = anchor[..76].to_vec();
        slot[6] = 2;
        let crc = crc32c::crc32c(&slot[..72]);
        slot[72..].copy_from_slice(&crc.to_le_bytes());
        slot.resize(8192, 0);
        slot
    })
    .unwrap();
    let mut visitor = Knowing { known: vec![known], accepts: vec![true], frames: Vec::new() };
    let error = SledLog::open_visiting(&state, IfAbsent::Refuse, Durability::Power, &mut visitor).unwrap_err();
    assert!(error.is_shorter_than_anchor(), "{error}");
}
