//! From a log back to events and states. Replay folds with the same function as the live reducer: what it says is
//! what was.
//!
//! It must not know snapshots: they are made by replaying, and stand above it.
//!
//! Public, so that users can run it in their own checks: [`state_at`] for "what did it know then", [`events`] for
//! "what happened", [`verify`] for "is it all there".

mod checkpoint;
mod error;
mod verify;
mod visit;

use std::sync::Arc;

use crate::codec::{self, Tag};
use crate::core::State;
use crate::core::vocabulary::{CollectionId, Recorded, Seq, Timestamp};
use crate::log::{Frame, LogError, LogReader};

pub(crate) use checkpoint::state_of_checkpoint;
pub use checkpoint::{
    Checkpoint, CheckpointSearch, check_checkpoint, check_checkpoint_begins, checkpoint_of, find_checkpoint,
};
pub use error::ReplayError;
pub(crate) use verify::verify_watching;
pub use verify::{Verified, verify};

/// Up to where to replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Everything there is.
    End,
    /// Up to and with this event.
    Seq(Seq),
    /// Up to and with the last event that is not later than this.
    Time(Timestamp),
}

/// The events from `from` on, in order; with 0 from where the log begins. Ends after the first error.
pub fn events(reader: &dyn LogReader, from: Seq) -> impl Iterator<Item = Result<Recorded, ReplayError>> + '_ {
    let mut failed = false;
    reader
        .frames(from)
        .flat_map(|frame| match frame.map_err(ReplayError::Log).and_then(|frame| decode(&frame.as_frame())) {
            Ok(events) => events.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
        .skip_while(move |event| event.as_ref().is_ok_and(|event| event.seq < from))
        .take_while(move |event| !std::mem::replace(&mut failed, event.is_err()))
}

/// The events of one incarnation of a collection, as far as they are still there.
pub fn history(
    reader: &dyn LogReader,
    collection: CollectionId,
) -> impl Iterator<Item = Result<Recorded, ReplayError>> + '_ {
    events(reader, collection.0.max(reader.start().first()))
        .filter(move |event| event.as_ref().map_or(true, |event| event.event.collection(event.seq) == Some(collection)))
}

/// The state from which the events of a log go on: the one before the first event or, if a prefix was deleted, the one
/// that it had led to.
///
/// # Errors
/// When the checkpoint of the log cannot be read.
pub fn begin(reader: &dyn LogReader) -> Result<State, ReplayError> {
    checkpoint_of(reader)?.map_or_else(|| Ok(State::new()), |checkpoint| state_of_checkpoint(&checkpoint))
}

/// The same, when only the end `until` matters.
///
/// # Errors
/// When the checkpoint of the log cannot be read, or `until` lies before it ([`LogError::PrefixGone`]).
pub fn begin_before(reader: &dyn LogReader, until: Until) -> Result<State, ReplayError> {
    let start = reader.start();
    let state = begin(reader)?;
    let is_gone = match until {
        Until::End => false,
        Until::Seq(last) => last < start.seq,
        Until::Time(at) => !start.is_whole() && at < state.at(),
    };
    if is_gone { Err(LogError::PrefixGone { begins: start.first() }.into()) } else { Ok(state) }
}

/// The state after the events up to `until`.
///
/// # Errors
/// When the log cannot be read up to there, does not add up, or begins later ([`LogError::PrefixGone`]).
pub fn state_at(reader: &dyn LogReader, until: Until) -> Result<State, ReplayError> {
    let mut state = begin_before(reader, until)?;
    let beyond = |event: &Recorded| match until {
        Until::End => false,
        Until::Seq(last) => event.seq > last,
        Until::Time(at) => event.at > at,
    };
    // Not "from where it begins": should the log be cut meanwhile, that is told.
    let next = state.last().next();
    for frame in reader.frames(next) {
        for event in decoded(&frame?.as_frame()) {
            let event = event?;
            if event.seq < next {
                continue;
            }
            if beyond(&event) {
                return Ok(state);
            }
            state.fold(&event).map_err(ReplayError::Illegal)?;
        }
    }
    Ok(state)
}

/// The events of one frame.
///
/// # Errors
/// When one of them cannot be decoded.
pub fn decode(frame: &Frame<'_>) -> Result<Vec<Recorded>, ReplayError> {
    decoded(frame).collect()
}

/// The events of one frame, one after the other.
pub(crate) fn decoded(frame: &Frame<'_>) -> impl Iterator<Item = Result<Recorded, ReplayError>> {
    let (at, epoch) = (frame.header().time, frame.header().epoch);
    frame.records().map(move |record| {
        let tag = Tag { event_type: record.event_type, version: record.version };
        let (event, by) =
            codec::decode(tag, record.payload).map_err(|error| ReplayError::Codec { seq: record.seq, error })?;
        Ok(Recorded { seq: record.seq, at, epoch, by: by.map(Arc::new), event })
    })
}
