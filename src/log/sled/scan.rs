//! The frames that can still be found in the bytes of `db` where sled itself finds nothing: sled stores values as they
//! are, behind their length, the parts of a frame close to each other. What is found is held against its hash and the
//! chain like everything that is read, so that nothing counts that was not written so.
//!
//! It knows how sled stores values; it changes nothing and must not know where a log has to end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use super::store::PART_LENGTH;
use crate::core::vocabulary::{Epoch, Seq};
use crate::log::anchor::Anchor;
use crate::log::{Frame, FrameBuf, FrameHash, OpenError, Start};

/// A larger file is not read into memory.
const MOST_BYTES: u64 = 1 << 30;

/// Bytes between two parts of one frame: the head of sled's message and the key.
const MOST_GAP: usize = 128;

const FRAME: &[u8; 4] = b"LWFR";
const START: &[u8; 4] = b"LWST";
const START_LENGTH: usize = 60;

/// The frames of a log from where it begins, as far as they were found without a gap.
pub(super) struct Scanned {
    pub(super) start: Start,
    pub(super) frames: Vec<FrameBuf>,
}

/// Goes through the file `db`.
pub(super) fn scan(db: &Path, anchor: Option<&Anchor>) -> Result<Scanned, OpenError> {
    let length = fs::metadata(db).map_err(OpenError::io("looking at", db))?.len();
    if length > MOST_BYTES {
        return Ok(Scanned { start: Start::WHOLE, frames: Vec::new() });
    }
    let bytes = fs::read(db).map_err(OpenError::io("reading", db))?;
    let (mut frames, mut seen, mut start) = (Vec::new(), HashSet::new(), Start::WHOLE);
    for at in 0..bytes.len().saturating_sub(FRAME.len()) {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(FRAME) {
            // sled writes a page again and again, with what was in it before.
            frames.extend(frame_at(rest).filter(|found| seen.insert(found.as_frame().hash())));
        } else if rest.starts_with(START)
            && let Some(found) = rest.get(..START_LENGTH).and_then(|found| Start::decode(found).ok())
            && found.seq > start.seq
        {
            start = found;
        }
    }
    let frames = follow(start, frames, anchor.map(|anchor| anchor.position.hash));
    Ok(Scanned { start, frames })
}

/// What comes behind a frame, at its best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// It leads to the frame that `HEAD` names.
    leads_to_head: bool,
    /// The last writer that went on from it. A writer goes on from what there is: what it passed over was never made
    /// durable.
    epoch: Epoch,
    /// The last event.
    last: Seq,
}

/// The frames that follow from `start` on. Several may go on from the same one: then it is the one of the greatest worth.
fn follow(start: Start, mut frames: Vec<FrameBuf>, named: Option<FrameHash>) -> Vec<FrameBuf> {
    frames.sort_by_key(|frame| frame.as_frame().first());
    let mut worths: HashMap<FrameHash, Worth> = HashMap::new();
    let mut candidates: BTreeMap<Seq, Vec<(Worth, FrameBuf)>> = BTreeMap::new();
    // From behind, so that it is known what follows.
    for found in frames.into_iter().rev() {
        let frame = found.as_frame();
        let header = frame.header();
        let mut worth = Worth { leads_to_head: false, epoch: header.epoch, last: frame.last() };
        if let Some(behind) = worths.get(&frame.hash()) {
            worth = worth.max(*behind);
        }
        worth.leads_to_head |= named == Some(frame.hash());
        let before = worths.entry(header.previous).or_insert(worth);
        *before = (*before).max(worth);
        candidates.entry(frame.first()).or_default().push((worth, found));
    }
    let mut chain = start.chain();
    let mut followed = Vec::new();
    while let Some(mut next) = candidates.remove(&chain.position().seq.next()) {
        next.sort_by_key(|(worth, _)| Reverse(*worth));
        match next.into_iter().find(|(_, frame)| chain.check(&frame.as_frame()).is_ok()) {
            Some((_, frame)) => followed.push(frame),
            None => break,
        }
    }
    followed
}

/// The frame that begins here, if all of it is near.
fn frame_at(bytes: &[u8]) -> Option<FrameBuf> {
    let whole = Frame::length_from(bytes).ok()?;
    let mut joined = bytes.get(..whole.min(PART_LENGTH))?.to_vec();
    let mut rest = bytes.get(joined.len()..)?;
    while joined.len() < whole {
        let length = (whole - joined.len()).min(PART_LENGTH);
        let begins = encoded_length(length);
        let near = rest.get(..rest.len().min(MOST_GAP + begins.len()))?;
        let at = near.windows(begins.len()).position(|window| window == begins.as_slice())? + begins.len();
        joined.extend_from_slice(rest.get(at..at + length)?);
        rest = rest.get(at + length..)?;
    }
    FrameBuf::parse(joined).ok()
}

/// The length of a value as sled writes it.
fn encoded_length(length: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
    match length {
        0..=240 => vec![byte(length)],
        241..=2287 => vec![byte((length - 240) / 256 + 241), byte((length - 240) % 256)],
        _ => vec![249, byte((length - 2288) / 256), byte((length - 2288) % 256)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::array;

    #[test]
    fn lengths_are_written_as_sled_does() {
        for (length, bytes) in [(0, vec![0]), (240, vec![240]), (241, vec![241, 1]), (2287, vec![248, 255])] {
            assert_eq!(encoded_length(length), bytes);
        }
        assert_eq!((encoded_length(2288), encoded_length(3584)), (vec![249, 0, 0], vec![249, 5, 16]));
    }

    #[test]
    fn a_start_is_told_from_noise() {
        assert!(Start::decode(&[0; START_LENGTH]).is_err());
        let start = Start { seq: Seq(7), checkpoint: Seq(9), ..Start::WHOLE };
        assert_eq!((array::<4>(&start.encode(), 0), Start::decode(&start.encode()).ok()), (*START, Some(start)));
    }
}
