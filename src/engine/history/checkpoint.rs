//! A checkpoint on its way into the log: the encoded state in place of a prefix that is to go, one part after the other.
//!
//! *Architecture invariant:* it cuts bytes into events. It does not know what the state looks like.

use crate::core::vocabulary::{Event, Seq};
use crate::log::{Position, Start};

/// 256 KiB of a checkpoint in one event: a few of them fill a frame, and what is committed beside them waits for no
/// more.
const PART_BYTES: usize = 256 << 10;

pub(super) struct Checkpoint {
    at: Position,
    body: Vec<u8>,
    part: u32,
    parts: u32,
    first: Option<Seq>,
}

impl Checkpoint {
    /// Of the state at the end of the frame `at`.
    pub(super) fn new(at: Position, body: Vec<u8>) -> Checkpoint {
        let parts = u32::try_from(body.len().div_ceil(PART_BYTES).max(1)).unwrap_or(u32::MAX);
        Checkpoint { at, body, part: 0, parts, first: None }
    }

    /// The next part; none if all are written.
    pub(super) fn next_part(&self) -> Option<Event> {
        if self.part == self.parts {
            return None;
        }
        let bytes = self.body.chunks(PART_BYTES).nth(self.part as usize).unwrap_or(&[]);
        let (at, hash) = (self.at.seq, self.at.hash.0);
        Some(Event::CheckpointPart { at, hash, part: self.part, parts: self.parts, bytes: bytes.into() })
    }

    /// The part has this number in the log.
    pub(super) fn written(&mut self, seq: Seq) {
        self.first.get_or_insert(seq);
        self.part += 1;
    }

    /// Where the log may begin, once every part is written.
    pub(super) fn start(&self) -> Option<Start> {
        let checkpoint = self.first.filter(|_| self.part == self.parts)?;
        Some(Start { seq: self.at.seq, hash: self.at.hash, checkpoint })
    }
}
