//! The checkpoint of a log: what the events of a deleted prefix had added up to, in records of type 3 (`base_frame`)
//! among the frames that were kept, each with a part of the encoded state.
//!
//! Everything that has to decode these records stands here. The log itself only knows where a checkpoint begins, and
//! asks this module, through [`Visitor`](crate::log::Visitor) and [`CheckpointCheck`](crate::log::CheckpointCheck),
//! whether it is there.

use super::ReplayError;
use crate::codec::state::{STATE_VERSION, decode_state_of};
use crate::codec::{self, Tag};
use crate::core::vocabulary::{Event, Seq};
use crate::core::{Illegal, State};
use crate::log::{Frame, FrameError, FrameHash, FrameIter, LogError, LogReader, Start};

/// What the deleted events had added up to.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
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
impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("start", &self.start).field("last", &self.last).finish_non_exhaustive()
    }
}

/// Searches for the checkpoint of one start in frames that are shown in order. Another checkpoint, or the beginning of one
/// that was not finished, is passed over.
#[derive(Debug)]
pub struct CheckpointSearch {
    seq: Seq,
    hash: FrameHash,
    /// Without, it only looks whether all parts are there.
    keeps: bool,
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
    /// Searches for the checkpoint that stands for the events up to `seq`, at which the frame `hash` ended.
    #[must_use]
    pub fn new(seq: Seq, hash: FrameHash) -> CheckpointSearch {
        CheckpointSearch { seq, hash, keeps: true, found: None }
    }

    /// Takes the parts in `frame`. The checkpoint, once its last part has come.
    ///
    /// # Errors
    /// When a part is damaged, or written by a newer program.
    pub fn frame(&mut self, frame: &Frame<'_>) -> Result<Option<Checkpoint>, FrameError> {
        for record in frame.records() {
            let tag = Tag { event_type: record.event_type, version: record.version };
            if !tag.is_checkpoint_part() {
                continue;
            }
            let version = tag.payload_version();
            match codec::decode(tag, record.payload) {
                Ok((Event::CheckpointPart { at, hash, part, parts, bytes }, _)) => {
                    let is_ours = at == self.seq && hash == self.hash.0;
                    if is_ours && let Some(checkpoint) = self.part(record.seq, version, (part, parts), &bytes) {
                        return Ok(Some(checkpoint));
                    }
                }
                Ok(_) | Err(_) => {
                    return Err(FrameError::CheckpointPart { at: record.seq, version, newest: STATE_VERSION });
                }
            }
        }
        Ok(None)
    }

    fn part(&mut self, seq: Seq, version: u16, (part, parts): (u32, u32), bytes: &[u8]) -> Option<Checkpoint> {
        if part == 0 {
            // Whatever came before was given up, or this is written a second time.
            self.found = Some(Collected { first: seq, version, parts, next: 0, body: Vec::new() });
        }
        let found = self.found.as_mut()?;
        if (found.next, found.parts, found.version) != (part, parts, version) {
            self.found = None;
            return None;
        }
        if self.keeps {
            found.body.extend_from_slice(bytes);
        }
        found.next += 1;
        if found.next < found.parts {
            return None;
        }
        let Collected { first, version, body, .. } = self.found.take()?;
        let start = Start { seq: self.seq, hash: self.hash, checkpoint: first };
        Some(Checkpoint { start, last: seq, version, body })
    }
}

/// The checkpoint of the log that `reader` reads; `None` if the log is whole.
///
/// # Errors
/// When the log cannot be read, or its checkpoint is not in it.
pub fn checkpoint_of(reader: &dyn LogReader) -> Result<Option<Checkpoint>, LogError> {
    let start = reader.start();
    if start.is_whole() {
        return Ok(None);
    }
    find_checkpoint(start, &mut reader.frames(start.checkpoint)).map(Some)
}

/// The checkpoint of `start` in `frames`, which begin with the one that holds its first part.
///
/// # Errors
/// When the frames cannot be read, or the checkpoint is not whole.
pub fn find_checkpoint(start: Start, frames: &mut FrameIter<'_>) -> Result<Checkpoint, LogError> {
    search(CheckpointSearch::new(start.seq, start.hash), start, frames)
}

fn search(mut search: CheckpointSearch, start: Start, frames: &mut FrameIter<'_>) -> Result<Checkpoint, LogError> {
    for frame in frames {
        let damaged = |found| LogError::Damaged { at: start.checkpoint, found };
        match search.frame(&frame?.as_frame()).map_err(damaged)? {
            Some(checkpoint) if checkpoint.start == start => return Ok(checkpoint),
            Some(_) | None => {}
        }
    }
    Err(LogError::Damaged { at: start.first(), found: FrameError::NoCheckpoint { seq: start.seq, hash: start.hash } })
}

/// The [`CheckpointCheck`](crate::log::CheckpointCheck) of every log of events.
///
/// # Errors
/// Like [`find_checkpoint`].
pub fn check_checkpoint(start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
    // One part after the other: the whole may be as large as the state.
    let looking = CheckpointSearch { keeps: false, ..CheckpointSearch::new(start.seq, start.hash) };
    search(looking, start, frames).map(drop)
}

/// Whether the checkpoint of `start` begins where it says, for one that [`check_checkpoint`] has gone through before.
///
/// # Errors
/// Like [`find_checkpoint`].
pub fn check_checkpoint_begins(start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
    let missing = FrameError::NoCheckpoint { seq: start.seq, hash: start.hash };
    let Some(frame) = frames.next().transpose()? else {
        return Err(LogError::Damaged { at: start.first(), found: missing });
    };
    let frame = frame.as_frame();
    let begins = frame.records().filter(|record| record.seq == start.checkpoint).any(|record| {
        let tag = Tag { event_type: record.event_type, version: record.version };
        tag.is_checkpoint_part()
            && matches!(codec::decode(tag, record.payload), Ok((Event::CheckpointPart { at, hash, part: 0, .. }, _))
                if at == start.seq && hash == start.hash.0)
    });
    if begins { Ok(()) } else { Err(LogError::Damaged { at: start.first(), found: missing }) }
}

/// The state that a checkpoint holds.
pub(crate) fn state_of_checkpoint(checkpoint: &Checkpoint) -> Result<State, ReplayError> {
    let seq = checkpoint.start.seq;
    let state = decode_state_of(checkpoint.version, &checkpoint.body)
        .map_err(|error| ReplayError::Checkpoint { seq, error })?;
    if state.last() != seq {
        let illegal = Illegal { seq, event: "base_frame", why: "its state is that of another event" };
        return Err(ReplayError::Illegal(illegal));
    }
    state.check_parts().map_err(|violation| ReplayError::Violation { seq, violation })?;
    Ok(state)
}
