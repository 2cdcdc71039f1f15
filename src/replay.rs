//! From a log back to events and states. Replay folds with the same function as the live reducer: what it says is
//! what was.
//!
//! Public, so that users can run it in their own checks: [`state_at`] for "what did it know then", [`events`] for
//! "what happened", [`verify`] for "is it all there".

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::codec::{self, CodecError, Tag};
use crate::core::vocabulary::{CollectionId, Recorded, Seq, Timestamp};
use crate::core::{Illegal, State, Violation};
use crate::log::{Frame, FrameHash, LogError, LogReader};
use crate::objects::Objects;
use crate::objects::tree::{self, TreeError};

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

/// Why a log could not be replayed.
#[derive(Debug)]
pub enum ReplayError {
    /// The log could not be read, or a frame is damaged.
    Log(LogError),
    /// An event could not be decoded.
    Codec {
        /// Which one.
        seq: Seq,
        /// Why.
        error: CodecError,
    },
    /// An event cannot follow the ones before it.
    Illegal(Illegal),
    /// An invariant does not hold after a frame.
    Violation {
        /// The last event of the frame.
        seq: Seq,
        /// Which invariant.
        violation: Violation,
    },
    /// An object that an event names cannot be read.
    Object {
        /// The event.
        seq: Seq,
        /// Why not.
        error: TreeError,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Log(error) => error.fmt(f),
            ReplayError::Codec { seq, error } => write!(f, "event {seq}: {error}"),
            ReplayError::Illegal(illegal) => illegal.fmt(f),
            ReplayError::Violation { seq, violation } => write!(f, "after event {seq}: {violation}"),
            ReplayError::Object { seq, error } => write!(f, "event {seq} names an object that cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReplayError::Log(error) => Some(error),
            ReplayError::Codec { error, .. } => Some(error),
            ReplayError::Illegal(error) => Some(error),
            ReplayError::Violation { violation, .. } => Some(violation),
            ReplayError::Object { error, .. } => Some(error),
        }
    }
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> ReplayError {
        ReplayError::Log(error)
    }
}

/// The events from `from` on, in order. Ends after the first error.
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

/// The events of one incarnation of a collection.
pub fn history(
    reader: &dyn LogReader,
    collection: CollectionId,
) -> impl Iterator<Item = Result<Recorded, ReplayError>> + '_ {
    events(reader, collection.0)
        .filter(move |event| event.as_ref().map_or(true, |event| event.event.collection(event.seq) == Some(collection)))
}

/// The state after the events up to `until`.
///
/// # Errors
/// When the log cannot be read up to there, or does not add up.
pub fn state_at(reader: &dyn LogReader, until: Until) -> Result<State, ReplayError> {
    let mut state = State::new();
    for event in events(reader, Seq::ZERO) {
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

/// Folds frames as they are shown, so that opening a log and replaying it are one pass.
#[derive(Debug, Default)]
pub struct Folding {
    state: State,
    error: Option<ReplayError>,
}

impl Folding {
    /// Folds the events of a frame; after an error, nothing any more.
    pub fn frame(&mut self, frame: &Frame<'_>) {
        if self.error.is_none() {
            self.error = self.fold(frame).err();
        }
    }

    /// The state that all frames add up to.
    ///
    /// # Errors
    /// The first error.
    pub fn finish(self) -> Result<State, ReplayError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let violation = |violation| ReplayError::Violation { seq: self.state.last(), violation };
        self.state.check().map_err(violation)?;
        Ok(self.state)
    }

    fn fold(&mut self, frame: &Frame<'_>) -> Result<(), ReplayError> {
        decode(frame)?.iter().try_for_each(|event| self.state.fold(event)).map_err(ReplayError::Illegal)
    }
}

/// What a verification has gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Frames whose CRC, hash and place in the chain hold.
    pub frames: u64,
    /// Events that decode, follow from each other and keep the invariants.
    pub events: u64,
    /// Objects that are there and undamaged.
    pub objects: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// The last event.
    pub last: Seq,
    /// The hash of the last frame.
    pub head: FrameHash,
    /// The digest of the state that it all adds up to.
    pub digest: [u8; 32],
}

/// Verifies all of a log: frames, chain, legality of every event, the invariants after every frame, and, with
/// `objects`, that everything that events name is there.
///
/// # Errors
/// The first defect found.
pub fn verify(reader: &dyn LogReader, objects: Option<&dyn Objects>) -> Result<Verified, ReplayError> {
    let mut state = State::new();
    let mut found = Verified {
        frames: 0,
        events: 0,
        objects: 0,
        bytes: 0,
        last: Seq::ZERO,
        head: FrameHash::ZERO,
        digest: [0; 32],
    };
    let mut seen = BTreeSet::new();
    for frame in frames(reader, Seq::ZERO) {
        let (summary, events) = frame?;
        for event in &events {
            state.fold(event).map_err(ReplayError::Illegal)?;
            if let (Some(objects), Some(root)) = (objects, event.event.object()) {
                // Read, not only named: a leaf that is missing or damaged is found here or when it is needed.
                tree::walk(objects, root, &mut |hash| seen.insert(hash), &mut |_, _| Ok(()))
                    .map_err(|error| ReplayError::Object { seq: event.seq, error })?;
            }
        }
        for id in events.iter().filter_map(|event| event.event.collection(event.seq)) {
            let violation = |violation| ReplayError::Violation { seq: summary.last, violation };
            state.check_settled(id).map_err(violation)?;
        }
        found.frames += 1;
        found.events += events.len() as u64;
        found.bytes += summary.bytes;
        found.head = summary.hash;
    }
    state.check().map_err(|violation| ReplayError::Violation { seq: state.last(), violation })?;
    found.objects = seen.len() as u64;
    found.last = state.last();
    found.digest = state.digest();
    Ok(found)
}

/// What is known of a frame once it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameSummary {
    pub(crate) last: Seq,
    pub(crate) hash: FrameHash,
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
        let summary = FrameSummary { last: frame.last(), hash: frame.hash(), bytes: bytes.len() as u64 };
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
