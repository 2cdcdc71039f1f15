//! The portable stream: whole, it comes back; anything else is refused, whatever the bytes.

use std::collections::BTreeSet;

use lastword::codec::REGISTRY;
use lastword::core::vocabulary::Seq;
use lastword::evlog::{self, EvlogError, EvlogFile, Item, Reader, Totals};
use lastword::log::{Durability, IfAbsent, Log, LogReader, MemoryDisk, MemoryLog, SledLog};
use lastword::objects::{FileObjects, MemoryObjects, Objects};
use lastword::replay;
use test_support::story;

/// The story as a stream.
fn stream() -> (Vec<u8>, Totals) {
    let (disk, objects) = (MemoryDisk::new(), MemoryObjects::new());
    story::tell(Box::new(disk.open()), &objects);
    let mut bytes = Vec::new();
    let totals = evlog::write(disk.open().reader().as_ref(), &objects, &mut bytes).unwrap();
    (bytes, totals)
}

fn read(bytes: &[u8]) -> Result<Totals, EvlogError> {
    let mut reader = Reader::new(bytes)?;
    reader.by_ref().try_for_each(|item| item.map(drop))?;
    Ok(reader.totals())
}

#[test]
fn the_story_has_every_type_of_event_and_adds_up() {
    let (disk, objects) = (MemoryDisk::new(), MemoryObjects::new());
    story::tell(Box::new(disk.open()), &objects);
    let reader = disk.open().reader();
    let told: BTreeSet<_> = replay::events(reader.as_ref(), Seq(1)).map(|e| e.unwrap().event.type_name()).collect();
    let all: BTreeSet<_> = REGISTRY.iter().map(|(_, _, name)| *name).collect();
    assert_eq!(told, all);
    let verified = replay::verify(reader.as_ref(), Some(&objects)).unwrap();
    assert_eq!(verified.objects as usize, objects.len());
}

#[test]
fn a_stream_holds_all_frames_and_objects_and_one_log_has_one_stream() {
    let (bytes, totals) = stream();
    assert_eq!(read(&bytes).unwrap(), totals);
    assert_eq!(stream().0, bytes);
    assert!(totals.objects > 10, "a tree of several objects is among them: {totals:?}");

    let mut empty = Vec::new();
    evlog::write(MemoryLog::new().reader().as_ref(), &MemoryObjects::new(), &mut empty).unwrap();
    assert_eq!(empty.len(), 16 + 8 + 56);
    assert_eq!(read(&empty).unwrap().frames, 0);
}

#[test]
fn every_truncation_is_noticed() {
    let (bytes, _) = stream();
    for length in (0..bytes.len()).step_by(301).chain(bytes.len() - 70..bytes.len()) {
        assert!(matches!(read(&bytes[..length]), Err(EvlogError::Truncated { .. })), "{length} bytes");
    }
    let mut more = bytes;
    more.push(0);
    assert!(matches!(read(&more), Err(EvlogError::Trailing { .. })));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (bytes, _) = stream();
    for at in (0..bytes.len()).filter(|at| *at < 400 || at % 97 == 0 || at + 70 > bytes.len()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(read(&damaged).is_err(), "bit {} of byte {at}", at % 8);
    }
}

#[test]
fn blocks_that_are_left_out_doubled_or_moved_are_noticed() {
    let (bytes, _) = stream();
    let mut blocks = Vec::new();
    let mut rest = &bytes[16..];
    while !rest.is_empty() {
        let length = 8 + u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let (block, behind) = rest.split_at(length);
        blocks.push(block);
        rest = behind;
    }
    let join = |blocks: &[&[u8]]| [&[&bytes[..16]], blocks].concat().concat();
    assert_eq!(join(&blocks), bytes);
    for at in 0..blocks.len() {
        let mut without = blocks.clone();
        without.remove(at);
        assert!(read(&join(&without)).is_err(), "without block {at}");
        let mut doubled = blocks.clone();
        doubled.insert(at, blocks[at]);
        assert!(read(&join(&doubled)).is_err(), "block {at} twice");
    }
    // An object may not come before the frame that does not need it, nor behind the one that does.
    let first_object = blocks.iter().position(|block| block.starts_with(b"OBJ ")).unwrap();
    let mut early = blocks.clone();
    let object = early.remove(first_object);
    early.insert(0, object);
    assert!(matches!(read(&join(&early)), Err(EvlogError::ObjectUnnamed { .. })));
}

#[test]
fn arbitrary_bytes_end_in_an_error_and_take_no_memory() {
    let (bytes, _) = stream();
    for (tag, length) in [(b"OBJ ", u32::MAX), (b"FRM ", 64 << 20), (b"OBJ ", 3), (b"END ", 55), (b"what", 0)] {
        let mut hostile = bytes[..16].to_vec();
        hostile.extend_from_slice(tag);
        hostile.extend_from_slice(&length.to_le_bytes());
        hostile.extend_from_slice(&[0; 60]);
        assert!(read(&hostile).is_err());
    }
    let mut newer = bytes;
    newer[4] = 2;
    assert!(matches!(read(&newer), Err(EvlogError::Header)));
    let crc = crc32c::crc32c(&newer[..12]);
    newer[12..16].copy_from_slice(&crc.to_le_bytes());
    assert!(read(&newer).unwrap_err().is_too_new());
}

#[test]
fn a_file_of_another_kind_is_told_from_a_damaged_stream() {
    let (bytes, _) = stream();
    for other in [&b"PK\x03\x04 a file of another kind"[..], b"PK", b"", b"LWSTREAMS\0\0\0\0\0\0\0"] {
        assert!(read(other).is_err_and(|error| error.is_no_stream()), "{other:?}");
    }
    for at in 0..4 {
        let mut damaged = bytes.clone();
        damaged[at] = !damaged[at];
        assert!(matches!(read(&damaged), Err(EvlogError::Header)), "byte {at}");
    }
    for length in [1, 4, 15] {
        assert!(read(&bytes[..length]).is_err_and(|error| !error.is_no_stream()), "{length} bytes");
    }
}

#[test]
fn writing_refuses_a_log_whose_object_is_gone() {
    let (disk, objects) = (MemoryDisk::new(), MemoryObjects::new());
    story::tell(Box::new(disk.open()), &objects);
    for hash in objects.list().unwrap() {
        let bytes = objects.get(hash).unwrap();
        objects.remove(hash).unwrap();
        let written = evlog::write(disk.open().reader().as_ref(), &objects, &mut std::io::sink());
        assert!(matches!(written, Err(EvlogError::Object { .. })), "{hash}");
        objects.put(&[bytes]).unwrap();
    }
}

#[test]
fn import_makes_the_same_log_and_exports_the_same_stream() {
    let (bytes, totals) = stream();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("state");
    assert_eq!(evlog::import(&mut bytes.as_slice(), &target).unwrap(), totals);

    let log = SledLog::open(&target, IfAbsent::Refuse, Durability::Power).unwrap();
    assert!(log.was_clean());
    let objects = FileObjects::open_read_only(log.objects()).unwrap();
    replay::verify(log.reader().as_ref(), Some(&objects)).unwrap();
    let mut again = Vec::new();
    evlog::write(log.reader().as_ref(), &objects, &mut again).unwrap();
    assert!(again == bytes, "the streams differ");
    Box::new(log).close().unwrap();

    let exists = evlog::import(&mut bytes.as_slice(), &target);
    assert!(matches!(exists, Err(evlog::ImportError::Exists { .. })));
}

#[test]
fn a_failed_import_leaves_nothing_behind() {
    let (bytes, _) = stream();
    let dir = tempfile::tempdir().unwrap();
    for length in [0, 16, bytes.len() / 2, bytes.len() - 1] {
        assert!(evlog::import(&mut &bytes[..length], dir.path().join("state")).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "after {length} bytes");
    }
    assert!(evlog::import(&mut bytes.as_slice(), dir.path().join("no/such/parent")).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_stream_in_a_file_reads_like_a_log() {
    let (bytes, totals) = stream();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let stream = EvlogFile::open(file.path()).unwrap();
    let all: Vec<_> = replay::events(&stream, Seq(1)).map(Result::unwrap).collect();
    assert_eq!(all.len() as u64, totals.end.seq.0);
    let tail: Vec<_> = replay::events(&stream.clone(), Seq(20)).map(Result::unwrap).collect();
    assert_eq!(tail, all[19..]);
    assert_eq!(stream.another().frames(Seq(20)).count() as u64, tail_frames(&bytes, 20));
}

fn tail_frames(bytes: &[u8], from: u64) -> u64 {
    let frames = Reader::new(bytes).unwrap().filter_map(|item| match item.unwrap() {
        Item::Frame(frame) => Some(frame),
        Item::Object(_) => None,
    });
    frames.filter(|frame| frame.as_frame().last().0 >= from).count() as u64
}
