//! A place in a log: an event, and the frame that holds it.

use super::{Frame, FrameHash};
use crate::core::vocabulary::{Epoch, Seq};

/// How far a log has come: the `Seq` of its last event and the hash of the frame that holds it. An empty log
/// is at `Seq` 0 with the all-zero hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last event.
    pub seq: Seq,
    /// The hash of the frame that holds it.
    pub hash: FrameHash,
    /// The epoch of the writer of that frame.
    pub epoch: Epoch,
}

impl Position {
    /// The position of an empty log.
    pub const START: Position = Position { seq: Seq::ZERO, hash: FrameHash::ZERO, epoch: Epoch(0) };

    /// The position at the end of `frame`.
    #[must_use]
    pub fn of(frame: &Frame<'_>) -> Position {
        Position { seq: frame.last(), hash: frame.hash(), epoch: frame.header().epoch }
    }
}
