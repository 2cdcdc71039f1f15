//! A log with a base for its first half, and what it looks like once that was let go.

use std::path::Path;

use lastword::codec::encode;
use lastword::codec::state::STATE_VERSION;
use lastword::core::vocabulary::{Event, Seq, Timestamp};
use lastword::log::{FrameBuilder, FrameHash, Log, LogError, LogReader, Start};
use lastword::replay::checkpoint_of;

use super::{Writer, payload};

/// A body that is not all alike, in more than one part.
pub fn body() -> Vec<u8> {
    payload(Seq(77), 10_000)
}

/// Appends the parts `which` of a base for the events up to `at`, one frame each; the first event.
pub fn append_base(log: &mut dyn Log, at: Seq, hash: FrameHash, which: std::ops::Range<u32>) -> Seq {
    let (body, parts) = (body(), 4);
    let first = log.appended().seq.next();
    for part in which {
        let chunk = body.chunks(2_500).nth(part as usize).unwrap();
        let mut bytes = Vec::new();
        let event = Event::CheckpointPart { at, hash: hash.0, part, parts, bytes: chunk.into() };
        let tag = encode(&event, None, &mut bytes).unwrap();
        let mut builder = FrameBuilder::new();
        builder.push(tag.event_type, tag.version, &bytes).unwrap();
        let last = log.appended();
        let time = Timestamp(1_000_000);
        let frame = builder.seal(last.seq.next(), last.epoch, time, Timestamp(0), last.hash).unwrap();
        log.append(&frame).unwrap();
    }
    log.barrier().unwrap();
    first
}

/// The hash of the frame that ends at `seq`.
pub fn hash_at(reader: &dyn LogReader, seq: Seq) -> FrameHash {
    let first = reader.frames(seq).next().unwrap().unwrap();
    assert_eq!(first.as_frame().last(), seq);
    first.as_frame().hash()
}

pub fn firsts(reader: &dyn LogReader, from: u64) -> Result<Vec<u64>, LogError> {
    reader.frames(Seq(from)).map(|frame| frame.map(|frame| frame.as_frame().first().0)).collect()
}

/// Ten frames of three events, and the base for the first five.
pub fn with_base(path: &Path) -> (Writer, Start) {
    let mut writer = Writer::open(path);
    (0..10).for_each(|_| writer.commit(&[10, 5_000, 20]));
    let hash = hash_at(&*writer.log.reader(), Seq(15));
    let base = append_base(writer.log.as_mut(), Seq(15), hash, 0..4);
    (writer, Start { seq: Seq(15), hash, checkpoint: base })
}

pub fn check_begins_at_16(reader: &dyn LogReader, start: Start) {
    assert_eq!(reader.start(), start);
    assert_eq!(firsts(reader, 0).unwrap(), [16, 19, 22, 25, 28, 31, 32, 33, 34]);
    assert_eq!(firsts(reader, 16).unwrap(), firsts(reader, 0).unwrap());
    assert_eq!(firsts(reader, 31).unwrap(), [31, 32, 33, 34]);
    for gone in [1, 14, 15] {
        assert!(matches!(firsts(reader, gone), Err(LogError::PrefixGone { begins: Seq(16) })), "{gone}");
    }
    let base = checkpoint_of(reader).unwrap().unwrap();
    assert_eq!((base.start, base.last, base.version, base.body), (start, Seq(34), STATE_VERSION, body()));
}
