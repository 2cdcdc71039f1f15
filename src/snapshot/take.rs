//! What the background snapshotter does: from the last snapshot and the frames since to the next one.

use std::fmt;

use super::{SnapshotError, SnapshotHeader, Snapshots};
use crate::core::State;
use crate::core::vocabulary::{Epoch, Seq, Timestamp};
use crate::error::ErrorKind;
use crate::log::{Chain, LogError, LogReader, Position};
use crate::replay::{self, ReplayError};

/// Up to where to fold: up to the last frame that ends at or before `seq` and is no later than `time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The last event that may be in it.
    pub seq: Seq,
    /// The last time that may be in it, if that matters.
    pub time: Option<Timestamp>,
}

/// What a log adds up to at the end of one of its frames.
#[derive(Debug)]
pub struct Folded {
    /// The state.
    pub state: State,
    /// The end of the frame.
    pub position: Position,
    /// The snapshot from which it was made; 0 if none could be used.
    pub from: Seq,
    /// How many frames were read since.
    pub frames: u64,
}

/// Why no snapshot was taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum TakeError {
    /// The log could not be replayed.
    Replay(ReplayError),
    /// The snapshot could not be written.
    Write(SnapshotError),
    /// It was told to stop.
    Stopped,
}

impl TakeError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            TakeError::Replay(error) => error.kind(),
            TakeError::Write(error) => error.kind(),
            TakeError::Stopped => ErrorKind::Stopped,
        }
    }
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TakeError::Replay(error) => error.fmt(f),
            TakeError::Write(error) => write!(f, "it could not be written: {error}"),
            TakeError::Stopped => f.write_str("it was told to stop"),
        }
    }
}

impl std::error::Error for TakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TakeError::Replay(error) => Some(error),
            TakeError::Write(error) => Some(error),
            TakeError::Stopped => None,
        }
    }
}

impl From<ReplayError> for TakeError {
    fn from(error: ReplayError) -> TakeError {
        TakeError::Replay(error)
    }
}

impl From<LogError> for TakeError {
    fn from(error: LogError) -> TakeError {
        TakeError::Replay(error.into())
    }
}

/// Takes a snapshot at the end of the last frame within `limit`, which has to be durable. `None` if there is one
/// already. `stop` is asked between frames.
///
/// # Errors
/// When the log cannot be replayed, or the snapshot not be written.
pub fn take(
    reader: &dyn LogReader,
    snapshots: &Snapshots,
    limit: Limit,
    stop: &dyn Fn() -> bool,
) -> Result<Option<SnapshotHeader>, TakeError> {
    let Folded { state, position, frames, .. } = fold_until(reader, Some(snapshots), limit, stop)?;
    if frames == 0 {
        return Ok(None);
    }
    let begins = reader.start().first();
    snapshots.store(&state, position, begins).map(Some).map_err(TakeError::Write)
}

/// What the log adds up to at the end of the last frame within `limit`, made from the last snapshot up to there that
/// can be used, or from where the log begins.
///
/// # Errors
/// When the log cannot be replayed.
pub fn fold_until(
    reader: &dyn LogReader,
    snapshots: Option<&Snapshots>,
    limit: Limit,
    stop: &dyn Fn() -> bool,
) -> Result<Folded, TakeError> {
    let resumed = snapshots.and_then(|snapshots| resume(reader, snapshots, limit));
    let mut folded = match resumed {
        Some(folded) => folded,
        None => begin(reader)?,
    };
    let mut chain = Chain::after(folded.position, folded.state.at());
    for frame in reader.frames(folded.position.seq.next()) {
        let frame = frame?;
        let frame = frame.as_frame();
        if frame.last() > limit.seq || limit.time.is_some_and(|time| frame.header().time > time) {
            break;
        }
        if stop() {
            return Err(TakeError::Stopped);
        }
        let at = folded.position.seq.next();
        chain.check(&frame).map_err(|found| LogError::Damaged { at, found })?;
        for event in replay::decoded(&frame) {
            folded.state.fold(&event?).map_err(ReplayError::Illegal)?;
        }
        folded.position = Position::of(&frame);
        folded.frames += 1;
    }
    let seq = folded.position.seq;
    folded.state.check().map_err(|violation| ReplayError::Violation { seq, violation })?;
    Ok(folded)
}

/// The last snapshot within `limit` that can be used.
fn resume(reader: &dyn LogReader, snapshots: &Snapshots, limit: Limit) -> Option<Folded> {
    let all = snapshots.list().ok()?;
    all.into_iter().filter(|seq| *seq <= limit.seq).find_map(|seq| {
        let header = snapshots.usable_header(seq).ok()?;
        if limit.time.is_some_and(|time| header.time > time) || !is_in(reader, header.position) {
            return None;
        }
        let (_, state) = snapshots.load(seq).ok()?;
        Some(Folded { state, position: header.position, from: seq, frames: 0 })
    })
}

fn begin(reader: &dyn LogReader) -> Result<Folded, TakeError> {
    let state = replay::begin(reader)?;
    let start = reader.start();
    let epoch = if start.is_whole() { Epoch(0) } else { state.epoch() };
    let position = Position { seq: start.seq, hash: start.hash, epoch };
    Ok(Folded { state, position, from: Seq::ZERO, frames: 0 })
}

/// Whether the frame that ends at `position` is in the log.
fn is_in(reader: &dyn LogReader, position: Position) -> bool {
    let first = reader.frames(position.seq).next();
    first.is_some_and(|frame| frame.is_ok_and(|frame| Position::of(&frame.as_frame()) == position))
}
