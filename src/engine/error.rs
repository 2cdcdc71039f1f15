//! Why the engine refuses, does not start, or came to its end.

use std::fmt;
use std::io;

use crate::core::vocabulary::{FieldError, Rejection};
use crate::log;
use crate::objects::ObjectError;
use crate::reducer::ReducerError;
use crate::replay::ReplayError;

/// The most commands in one batch: a batch is one frame, and a frame has room for 65,536 events.
pub const MOST_IN_BATCH: usize = 4096;

/// The most bytes that the sources and specs of one batch have together: a batch is one frame, and a frame has room
/// for 64 MiB.
pub const MOST_BYTES_IN_BATCH: usize = 16 << 20;

/// Why a command has no receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// It was refused, and changed nothing.
    Refused(Rejection),
    /// It was not accepted: the reconciler has shut down, or died of the error given. It changed nothing.
    NotAccepted(String),
    /// Whether it was logged is unknown: the reconciler died while it was written. Ask again after reopening; the
    /// answer will be the same as if this one had arrived.
    Unknown(String),
    /// The batch has more commands than [`MOST_IN_BATCH`].
    BatchTooLong {
        /// How many it has.
        commands: usize,
    },
    /// The sources and specs of the batch have more bytes than [`MOST_BYTES_IN_BATCH`].
    BatchTooLarge {
        /// How many they have.
        bytes: usize,
    },
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Refused(rejection) => rejection.fmt(f),
            CommandError::NotAccepted(why) => write!(f, "not accepted: {why}"),
            CommandError::Unknown(why) => write!(f, "unknown whether it was logged: {why}"),
            CommandError::BatchTooLong { commands } => {
                write!(f, "a batch has at most {MOST_IN_BATCH} commands, found {commands}")
            }
            CommandError::BatchTooLarge { bytes } => {
                write!(f, "the sources and specs of a batch have at most {MOST_BYTES_IN_BATCH} bytes, found {bytes}")
            }
        }
    }
}

impl std::error::Error for CommandError {}

impl From<Rejection> for CommandError {
    fn from(error: Rejection) -> CommandError {
        CommandError::Refused(error)
    }
}

/// Why a command was not queued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError {
    /// The queue is full. Nothing was changed; try again.
    Full,
    /// It will never be accepted.
    Command(CommandError),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Full => f.write_str("the queue of commands is full"),
            SubmitError::Command(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SubmitError {}

/// Why a watch has nothing (more) to show.
#[derive(Debug)]
pub enum WatchError {
    /// Nothing happened in time.
    TimedOut,
    /// The reconciler has shut down, and everything was seen. A watch that began after that sees only the events
    /// that were still in memory.
    Closed,
    /// The log could not be read.
    Replay(ReplayError),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchError::TimedOut => f.write_str("nothing happened in time"),
            WatchError::Closed => f.write_str("the reconciler has shut down"),
            WatchError::Replay(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WatchError {}

/// Why a log was not compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompactError {
    /// The reconciler has shut down.
    Closed,
    /// It failed; the log is as it was, or has a checkpoint that is not used.
    Failed(String),
}

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompactError::Closed => f.write_str("the reconciler has shut down"),
            CompactError::Failed(text) => write!(f, "the log was not compacted: {text}"),
        }
    }
}

impl std::error::Error for CompactError {}

/// Why a reconciler ended.
#[derive(Debug)]
pub enum EngineError {
    /// Its reducer died.
    Reducer(ReducerError),
    /// Its thread panicked. A bug.
    Panicked(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Reducer(error) => error.fmt(f),
            EngineError::Panicked(text) => write!(f, "a bug in lastword: the engine panicked: {text}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EngineError::Reducer(error) => Some(error),
            EngineError::Panicked(_) => None,
        }
    }
}

/// Why a reconciler could not be started.
#[derive(Debug)]
pub enum StartError {
    /// A setting is out of range.
    Setting(FieldError),
    /// The log could not be opened.
    Log(log::OpenError),
    /// The log was opened and does not add up.
    Replay(ReplayError),
    /// The store of objects could not be opened.
    Objects(ObjectError),
    /// The new epoch could not begin.
    Reducer(ReducerError),
    /// A thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Setting(error) => error.fmt(f),
            StartError::Log(error) => error.fmt(f),
            StartError::Replay(error) => write!(f, "the log does not add up: {error}"),
            StartError::Objects(error) => error.fmt(f),
            StartError::Reducer(error) => error.fmt(f),
            StartError::Thread(error) => write!(f, "a thread could not be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Setting(error) => Some(error),
            StartError::Log(error) => Some(error),
            StartError::Replay(error) => Some(error),
            StartError::Objects(error) => Some(error),
            StartError::Reducer(error) => Some(error),
            StartError::Thread(error) => Some(error),
        }
    }
}
