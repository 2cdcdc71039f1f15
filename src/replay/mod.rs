//! From a log back to events and states. Replay folds with the same function as the live reducer: what it says is
//! what was.
//!
//! Public, so that users can run it in their own checks: [`state_at`] for "what did it know then", [`events`] for
//! "what happened", [`verify`] for "is it all there".

mod error;
mod folding;
mod verify;

use std::sync::Arc;

use crate::codec::state::decode_state;
use crate::codec::{self, Tag};
use crate::core::vocabulary::{CollectionId, Recorded, Seq, Timestamp};
use crate::core::{Illegal, State};
use crate::log::{self, Base, Frame, LogError, LogReader, Position};

pub use error::ReplayError;
pub use folding::Folding;
pub use verify::{Unusable, Verified, VerifiedSnapshot, verify, verify_with_snapshots};

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
    frames(reader, from)
        .flat_map(|frame| match frame {
            Ok((_, events)) => events.into_iter().map(Ok).collect::<Vec<_>>(),
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
/// When the base of the log cannot be read.
pub fn begin(reader: &dyn LogReader) -> Result<State, ReplayError> {
    log::base_of(reader)?.map_or_else(|| Ok(State::new()), |base| state_of_base(&base))
}

/// The same, for whoever asks about `until` alone.
///
/// # Errors
/// When the base of the log cannot be read, or `until` lies before it ([`LogError::Forgotten`]).
pub fn begin_before(reader: &dyn LogReader, until: Until) -> Result<State, ReplayError> {
    let start = reader.start();
    let state = begin(reader)?;
    let is_gone = match until {
        Until::End => false,
        Until::Seq(last) => last < start.seq,
        Until::Time(at) => !start.is_whole() && at < state.at(),
    };
    if is_gone { Err(LogError::Forgotten { begins: start.first() }.into()) } else { Ok(state) }
}

/// The state after the events up to `until`.
///
/// # Errors
/// When the log cannot be read up to there, does not add up, or begins later ([`LogError::Forgotten`]).
pub fn state_at(reader: &dyn LogReader, until: Until) -> Result<State, ReplayError> {
    let mut state = begin_before(reader, until)?;
    // Not "from where it begins": should the log be cut meanwhile, that is told.
    for event in events(reader, state.last().next()) {
        let event = event?;
        let beyond = match until {
            Until::End => false,
            Until::Seq(last) => event.seq > last,
            Until::Time(at) => event.at > at,
        };
        if beyond {
            break;
        }
        state.fold(&event).map_err(ReplayError::Illegal)?;
    }
    Ok(state)
}

/// The state that a base holds.
pub(crate) fn state_of_base(base: &Base) -> Result<State, ReplayError> {
    let seq = base.start.seq;
    let state = decode_state(&base.body).map_err(|error| ReplayError::Base { seq, error })?;
    if state.last() != seq {
        let illegal = Illegal { seq, event: "base_frame", why: "its state is that of another event" };
        return Err(ReplayError::Illegal(illegal));
    }
    state.check().map_err(|violation| ReplayError::Violation { seq, violation })?;
    Ok(state)
}

/// What is known of a frame once it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameSummary {
    pub(crate) position: Position,
    pub(crate) bytes: u64,
}

/// The frames from the one that holds `from`, decoded.
pub(crate) fn frames(
    reader: &dyn LogReader,
    from: Seq,
) -> impl Iterator<Item = Result<(FrameSummary, Vec<Recorded>), ReplayError>> + '_ {
    reader.frames(from).map(move |bytes| {
        let bytes = bytes?;
        let frame = Frame::parse(&bytes).map_err(|found| ReplayError::Log(LogError::Damaged { at: from, found }))?;
        let summary = FrameSummary { position: Position::of(&frame), bytes: bytes.len() as u64 };
        Ok((summary, decode(&frame)?))
    })
}

/// The events of one frame.
///
/// # Errors
/// When one of them cannot be decoded.
pub fn decode(frame: &Frame<'_>) -> Result<Vec<Recorded>, ReplayError> {
    let (at, epoch) = (frame.header().time, frame.header().epoch);
    frame
        .records()
        .map(|record| {
            let tag = Tag { event_type: record.event_type, version: record.version };
            let (event, by) =
                codec::decode(tag, record.payload).map_err(|error| ReplayError::Codec { seq: record.seq, error })?;
            Ok(Recorded { seq: record.seq, at, epoch, by: by.map(Arc::new), event })
        })
        .collect()
}
