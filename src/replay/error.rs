//! Why a log could not be replayed.

use std::fmt;

use crate::codec::CodecError;
use crate::codec::state::StateError;
use crate::core::vocabulary::Seq;
use crate::core::{Illegal, Violation};
use crate::error::ErrorKind;
use crate::log::LogError;
use crate::objects::tree::TreeError;

/// Why a log could not be replayed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayError {
    /// The log could not be read, a frame is damaged, or what was asked for was deleted
    /// (its text says where the log begins).
    Log(LogError),
    /// An event could not be decoded.
    Codec {
        /// Which one.
        seq: Seq,
        /// Why.
        error: CodecError,
    },
    /// The checkpoint, which stands for deleted events, could not be decoded.
    Checkpoint {
        /// The last of these events.
        seq: Seq,
        /// Why.
        error: StateError,
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
    /// A snapshot holds another state than the one that the events lead to.
    Snapshot {
        /// The event after which it says to be the state.
        seq: Seq,
    },
    /// An object that an event names cannot be read.
    Object {
        /// The event.
        seq: Seq,
        /// Why not.
        error: TreeError,
    },
    /// Several objects that events name cannot be read.
    Objects {
        /// The first of them: which event, and why not. At most [`ReplayError::MOST_OBJECTS`].
        first: Vec<(Seq, TreeError)>,
        /// How many there are.
        all: u64,
    },
}

impl ReplayError {
    /// The most objects that are named one by one.
    pub const MOST_OBJECTS: usize = 10;

    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ReplayError::Log(error) => error.kind(),
            ReplayError::Codec { error, .. } => error.kind(),
            ReplayError::Checkpoint { error, .. } => error.kind(),
            ReplayError::Illegal(error) => error.kind(),
            ReplayError::Violation { violation, .. } => violation.kind(),
            ReplayError::Snapshot { .. } => ErrorKind::Diverged,
            ReplayError::Object { error, .. } => error.kind(),
            ReplayError::Objects { first, .. } => first.first().map_or(ErrorKind::Damaged, |(_, error)| error.kind()),
        }
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Log(error) => error.fmt(f),
            ReplayError::Codec { seq, error } => write!(f, "event {seq}: {error}"),
            ReplayError::Checkpoint { seq, error } => {
                write!(f, "the checkpoint that stands for the events up to {seq}: {error}")
            }
            ReplayError::Illegal(illegal) => illegal.fmt(f),
            ReplayError::Violation { seq, violation } => write!(f, "after event {seq}: {violation}"),
            ReplayError::Snapshot { seq } => {
                write!(f, "the snapshot at event {seq} is not the state that the events up to there lead to")
            }
            ReplayError::Object { seq, error } => write!(f, "event {seq} names an object that cannot be read: {error}"),
            ReplayError::Objects { first, all } => {
                write!(f, "{all} objects that events name cannot be read: ")?;
                for (index, (seq, error)) in first.iter().enumerate() {
                    let comma = if index > 0 { "; " } else { "" };
                    write!(f, "{comma}event {seq}: {error}")?;
                }
                let more = all.saturating_sub(first.len() as u64);
                if more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
        }
    }
}

impl std::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReplayError::Log(error) => Some(error),
            ReplayError::Codec { error, .. } => Some(error),
            ReplayError::Checkpoint { error, .. } => Some(error),
            ReplayError::Illegal(error) => Some(error),
            ReplayError::Violation { violation, .. } => Some(violation),
            ReplayError::Snapshot { .. } => None,
            ReplayError::Object { error, .. } => Some(error),
            ReplayError::Objects { first, .. } => {
                first.first().map(|(_, error)| error as &(dyn std::error::Error + 'static))
            }
        }
    }
}

impl From<LogError> for ReplayError {
    fn from(error: LogError) -> ReplayError {
        ReplayError::Log(error)
    }
}
