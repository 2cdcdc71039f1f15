//! Why a reconciler does not start, what it answers to those who use it, and why it came to its end.
//!
//! *Architecture invariant:* a leaf. The rest of the engine is made of other things, and none of them is known here.

use std::fmt;
use std::io;

use crate::core::vocabulary::{FieldError, Rejection};
use crate::error::ErrorKind;
use crate::log;
use crate::objects::ObjectError;
use crate::reducer::ReducerError;
use crate::replay::ReplayError;

/// The most commands in one batch: a batch is one frame, and a frame has room for 65,536 events.
pub const MOST_IN_BATCH: usize = 4096;

/// The most bytes that the sources and specs of one batch have together: a batch is one frame, and a frame has room
/// for 64 MiB.
pub const MOST_BYTES_IN_BATCH: usize = 16 << 20;

/// Why a reconciler ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum EngineError {
    /// Its reducer died.
    Reducer(ReducerError),
    /// Its thread panicked. A bug.
    Panicked(String),
    /// It was told to shut down by its own thread, which cannot wait for its own end: from the drop of something that runs
    /// on it. It ends as soon as that returns.
    OwnThread,
    /// It was told to shut down by a job of its own, which the shutdown would wait for: by a worker, an observer, a
    /// publication or another delivery. It ends without anybody waiting for that.
    OwnCrew,
    /// Code of the program holds its thread and does not come back: a [`Worker::check`](crate::Worker::check), an
    /// [`Observer::domain`](crate::Observer::domain), the drop of a watch, a waker, a subscriber of `tracing`. It ends when that
    /// returns, and until then its log stays locked by this process. Everything that was acknowledged is durable.
    Held,
}

impl EngineError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            EngineError::Reducer(error) => error.kind(),
            EngineError::Panicked(_) => ErrorKind::Bug,
            EngineError::OwnThread | EngineError::OwnCrew => ErrorKind::InvalidInput,
            EngineError::Held => ErrorKind::TimedOut,
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Reducer(error) => error.fmt(f),
            EngineError::Panicked(text) => write!(f, "a bug in lastword: the engine panicked: {text}"),
            EngineError::OwnThread => f.write_str("the engine's own thread cannot wait for the engine"),
            EngineError::OwnCrew => f.write_str(
                "what runs on a thread of the engine, as a worker does, cannot wait for the engine's end: it has been told \
                 to end",
            ),
            EngineError::Held => f.write_str(
                "code of the program holds the engine's thread and does not come back: a check, a domain, the drop of a \
                 watch, a waker or a subscriber of tracing. The engine ends when that returns, and its log stays locked by \
                 this process until then",
            ),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EngineError::Reducer(error) => Some(error),
            EngineError::Panicked(_) | EngineError::OwnThread | EngineError::OwnCrew | EngineError::Held => None,
        }
    }
}

/// Why a reconciler could not be started.
#[derive(Debug)]
#[non_exhaustive]
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

impl StartError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            StartError::Setting(error) => error.kind(),
            StartError::Log(error) => error.kind(),
            StartError::Replay(error) => error.kind(),
            StartError::Objects(error) => error.kind(),
            StartError::Reducer(error) => error.kind(),
            StartError::Thread(_) => ErrorKind::Io,
        }
    }
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
    /// A call that waits for the engine was made on the engine's own thread, which would wait for itself: from a
    /// [`Worker::check`](crate::Worker::check), an [`Observer::domain`](crate::Observer::domain) or a waker. Nothing was
    /// asked. From [`Response::wait`](super::Response::wait): the answer is still to come, to nobody.
    OwnThread,
    /// The batch has more commands than fit into a frame: 4,096.
    BatchTooLong {
        /// How many it has.
        commands: usize,
    },
    /// The sources and specs of the batch have more bytes than fit into a frame: 16 MiB.
    BatchTooLarge {
        /// How many they have.
        bytes: usize,
    },
}

impl CommandError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            CommandError::Refused(rejection) => rejection.kind(),
            CommandError::NotAccepted(_) => ErrorKind::Closed,
            CommandError::Unknown(_) => ErrorKind::Unknown,
            CommandError::OwnThread => ErrorKind::InvalidInput,
            CommandError::BatchTooLong { .. } | CommandError::BatchTooLarge { .. } => ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Refused(rejection) => rejection.fmt(f),
            CommandError::NotAccepted(why) => write!(f, "not accepted: {why}"),
            CommandError::Unknown(why) => write!(f, "unknown whether it was logged: {why}"),
            CommandError::OwnThread => f.write_str("the engine's own thread cannot wait for the engine"),
            CommandError::BatchTooLong { commands } => {
                write!(f, "a batch has at most {MOST_IN_BATCH} commands, found {commands}")
            }
            CommandError::BatchTooLarge { bytes } => {
                write!(f, "the sources and specs of a batch have at most {MOST_BYTES_IN_BATCH} bytes, found {bytes}")
            }
        }
    }
}

impl std::error::Error for CommandError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CommandError::Refused(rejection) => Some(rejection),
            _ => None,
        }
    }
}

impl From<Rejection> for CommandError {
    fn from(rejection: Rejection) -> CommandError {
        CommandError::Refused(rejection)
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

impl SubmitError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            SubmitError::Full => ErrorKind::Busy,
            SubmitError::Command(error) => error.kind(),
        }
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Full => f.write_str("the queue of commands is full"),
            SubmitError::Command(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SubmitError::Full => None,
            SubmitError::Command(error) => Some(error),
        }
    }
}

/// Why a watch has nothing (more) to show.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchError {
    /// Nothing happened in time.
    TimedOut,
    /// The reconciler has shut down, and everything was seen. A watch that began after that sees only the events
    /// that were still in memory.
    Closed,
    /// The engine's own thread, as of a worker's [`check`](crate::Worker::check), cannot wait for what the engine will do.
    OwnThread,
    /// The log could not be read.
    Replay(ReplayError),
}

impl WatchError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            WatchError::TimedOut => ErrorKind::TimedOut,
            WatchError::Closed => ErrorKind::Closed,
            WatchError::OwnThread => ErrorKind::InvalidInput,
            WatchError::Replay(error) => error.kind(),
        }
    }
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchError::TimedOut => f.write_str("nothing happened in time"),
            WatchError::Closed => f.write_str("the reconciler has shut down"),
            WatchError::OwnThread => CommandError::OwnThread.fmt(f),
            WatchError::Replay(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WatchError::TimedOut | WatchError::Closed | WatchError::OwnThread => None,
            WatchError::Replay(error) => Some(error),
        }
    }
}

/// Why a log was not compacted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompactError {
    /// The reconciler has shut down.
    Closed,
    /// It failed; the log is as it was, or has a base that is not used.
    Failed(String),
}

impl CompactError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            CompactError::Closed => ErrorKind::Closed,
            // The log goes on as it is, and the next try begins anew.
            CompactError::Failed(_) => ErrorKind::Io,
        }
    }
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
