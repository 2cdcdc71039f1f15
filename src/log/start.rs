//! Where a log begins. A whole one begins with its first event; one whose prefix was deleted begins behind it, and
//! its *checkpoint* says what the deleted events had added up to.
//!
//! The checkpoint lies among the frames that were kept. The log knows at which event it begins and has others read it:
//! it must not know what a record holds. See [`CheckpointCheck`](super::CheckpointCheck) and
//! [`Visitor`](super::Visitor).

use super::frame::array;
use super::{Chain, FrameBuf, FrameError, FrameHash, LogError, Position};
use crate::core::vocabulary::{Epoch, Seq, Timestamp};

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
    /// The event that holds the first part of the checkpoint; 0 if nothing was deleted.
    pub checkpoint: Seq,
}

impl Start {
    /// The start of a log from which nothing was deleted.
    pub const WHOLE: Start = Start { seq: Seq::ZERO, hash: FrameHash::ZERO, checkpoint: Seq::ZERO };

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

    /// The chain that the first frame continues. Epoch and time of what was deleted are in the checkpoint.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain::after(Position { seq: self.seq, hash: self.hash, epoch: Epoch(0) }, Timestamp(0))
    }

    /// The bytes that a storage engine stores for it.
    pub(super) fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.hash.0);
        bytes[48..56].copy_from_slice(&self.checkpoint.0.to_le_bytes());
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
            checkpoint: Seq(u64::from_le_bytes(array(bytes, 48))),
        };
        if version == 0 || bytes[6..8] != [0; 2] || start.seq == Seq::ZERO || start.checkpoint <= start.seq {
            return Err(FrameError::Start);
        }
        Ok(start)
    }
}

/// Whether a log that begins with `now` and whose last durable event is `last` may be made to begin with `start`.
pub(super) fn check_truncation(start: Start, now: Start, last: Seq) -> Result<(), LogError> {
    // A log that was begun behind a prefix it never had does not know its checkpoint yet.
    let is_new = start.seq > now.seq || (start.seq == now.seq && now.checkpoint == Seq::ZERO);
    if is_new && start.checkpoint > start.seq && start.checkpoint <= last {
        return Ok(());
    }
    Err(LogError::Refused(FrameError::NoCheckpoint { seq: start.seq, hash: start.hash }))
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
