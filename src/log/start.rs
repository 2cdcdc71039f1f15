//! Where a log begins. A whole one begins with its first event; one whose prefix was deleted begins behind it, and
//! its *base* says what the deleted events had added up to.
//!
//! The base lies among the frames that were kept: records of type 3, each with a part of the encoded state. What
//! the state looks like is not the log's business.

use super::frame::array;
use super::{Chain, Frame, FrameBuf, FrameError, FrameHash, LogError, LogReader, Position};
use crate::codec::{self, Tag};
use crate::core::vocabulary::{Epoch, Event, Seq, Timestamp};

const MAGIC: [u8; 4] = *b"LWST";
const VERSION: u16 = 1;
const LENGTH: usize = 60;
const CRC_AT: usize = 56;

/// Where a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The last event that was deleted; 0 if none was.
    pub seq: Seq,
    /// The hash of the frame that ended with it.
    pub hash: FrameHash,
    /// The event that holds the first part of the base; 0 if nothing was deleted.
    pub base: Seq,
}

impl Start {
    /// The start of a log from which nothing was deleted.
    pub const WHOLE: Start = Start { seq: Seq::ZERO, hash: FrameHash::ZERO, base: Seq::ZERO };

    /// Whether nothing was deleted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.seq == Seq::ZERO
    }

    /// The first event that is there, or will be.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.seq.next()
    }

    /// The chain that the first frame continues. Epoch and time of what was deleted are in the base.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain::after(Position { seq: self.seq, hash: self.hash, epoch: Epoch(0) }, Timestamp(0))
    }

    /// The bytes under which a storage engine remembers it.
    pub(super) fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.hash.0);
        bytes[48..56].copy_from_slice(&self.base.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The opposite. The CRC comes before the version, like everywhere.
    pub(super) fn decode(bytes: &[u8]) -> Result<Start, FrameError> {
        let is_ours = bytes.len() == LENGTH && array(bytes, 0) == MAGIC;
        if !is_ours || crc32c::crc32c(&bytes[..CRC_AT]).to_le_bytes() != bytes[CRC_AT..] {
            return Err(FrameError::Start);
        }
        let version = u16::from_le_bytes(array(bytes, 4));
        if version > VERSION {
            return Err(FrameError::TooNew { version });
        }
        let start = Start {
            seq: Seq(u64::from_le_bytes(array(bytes, 8))),
            hash: FrameHash(array(bytes, 16)),
            base: Seq(u64::from_le_bytes(array(bytes, 48))),
        };
        if version == 0 || bytes[6..8] != [0; 2] || start.seq == Seq::ZERO || start.base <= start.seq {
            return Err(FrameError::Start);
        }
        Ok(start)
    }
}

/// What the deleted events had added up to.
#[derive(Clone, PartialEq, Eq)]
pub struct Base {
    /// Which events it stands for.
    pub start: Start,
    /// The event that holds its last part.
    pub last: Seq,
    /// The version of its encoding.
    pub version: u16,
    /// The encoded state.
    pub body: Vec<u8>,
}

/// The body is left out: it may be long.
impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("start", &self.start).field("last", &self.last).finish_non_exhaustive()
    }
}

/// Looks for the base of one start in frames that are shown in order. Another base, or the beginning of one that was
/// not finished, is passed over.
#[derive(Debug)]
pub struct CheckpointSearch {
    seq: Seq,
    hash: FrameHash,
    found: Option<Collected>,
}

#[derive(Debug)]
struct Collected {
    first: Seq,
    version: u16,
    parts: u32,
    next: u32,
    body: Vec<u8>,
}

impl CheckpointSearch {
    /// Looks for the base that stands for the events up to `seq`, at which the frame `hash` ended.
    #[must_use]
    pub fn new(seq: Seq, hash: FrameHash) -> CheckpointSearch {
        CheckpointSearch { seq, hash, found: None }
    }

    /// Takes the parts in `frame`. The base, once its last part has come.
    ///
    /// # Errors
    /// When a part is damaged, or written by a newer program.
    pub fn frame(&mut self, frame: &Frame<'_>) -> Result<Option<Base>, FrameError> {
        for record in frame.records() {
            let tag = Tag { event_type: record.event_type, version: record.version };
            if !tag.is_base_frame() {
                continue;
            }
            let version = tag.payload_version();
            match codec::decode(tag, record.payload) {
                Ok((Event::CheckpointPart { at, hash, part, parts, bytes }, _)) => {
                    let is_ours = at == self.seq && hash == self.hash.0;
                    if is_ours && let Some(base) = self.part(record.seq, version, (part, parts), &bytes) {
                        return Ok(Some(base));
                    }
                }
                Ok(_) | Err(_) => return Err(FrameError::BasePart { at: record.seq, version }),
            }
        }
        Ok(None)
    }

    fn part(&mut self, seq: Seq, version: u16, (part, parts): (u32, u32), bytes: &[u8]) -> Option<Base> {
        if part == 0 {
            // Whatever came before was given up, or this is written a second time.
            self.found = Some(Collected { first: seq, version, parts, next: 0, body: Vec::new() });
        }
        let found = self.found.as_mut()?;
        if (found.next, found.parts, found.version) != (part, parts, version) {
            self.found = None;
            return None;
        }
        found.body.extend_from_slice(bytes);
        found.next += 1;
        if found.next < found.parts {
            return None;
        }
        let Collected { first, version, body, .. } = self.found.take()?;
        let start = Start { seq: self.seq, hash: self.hash, base: first };
        Some(Base { start, last: seq, version, body })
    }
}

/// The base of the log that `reader` reads; `None` if the log is whole.
///
/// # Errors
/// When the log cannot be read, or its base is not in it.
pub fn base_of(reader: &dyn LogReader) -> Result<Option<Base>, LogError> {
    let start = reader.start();
    if start.is_whole() { Ok(None) } else { find_base(start, reader.frames(start.base)).map(Some) }
}

/// Whether a log that begins with `now` and whose last durable event is `last` may be made to begin with `start`.
pub(super) fn check_truncation(start: Start, now: Start, last: Seq) -> Result<(), LogError> {
    // A log that was begun behind a prefix it never had does not know its base yet.
    let is_new = start.seq > now.seq || (start.seq == now.seq && now.base == Seq::ZERO);
    if is_new && start.base > start.seq && start.base <= last {
        return Ok(());
    }
    Err(LogError::Refused(FrameError::NoBase { seq: start.seq, hash: start.hash }))
}

/// Whether the first of `frames` is the one that follows `start`.
pub(super) fn check_behind(
    start: Start,
    mut frames: impl Iterator<Item = Result<FrameBuf, LogError>>,
) -> Result<(), LogError> {
    let Some(frame) = frames.next().transpose()? else {
        return Err(LogError::Damaged { at: start.first(), found: FrameError::Missing });
    };
    start.chain().check(&frame.as_frame()).map_err(LogError::Refused)
}

/// The base of `start` in `frames`, which begin with the one that holds its first part.
pub(super) fn find_base(
    start: Start,
    frames: impl Iterator<Item = Result<FrameBuf, LogError>>,
) -> Result<Base, LogError> {
    let mut search = CheckpointSearch::new(start.seq, start.hash);
    for frame in frames {
        let damaged = |found| LogError::Damaged { at: start.base, found };
        match search.frame(&frame?.as_frame()).map_err(damaged)? {
            Some(base) if base.start == start => return Ok(base),
            Some(_) | None => {}
        }
    }
    Err(LogError::Damaged { at: start.first(), found: FrameError::NoBase { seq: start.seq, hash: start.hash } })
}
