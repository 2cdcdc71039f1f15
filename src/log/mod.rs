//! A log of frames: append, barrier, read. It knows bytes, positions and hashes, never events.
//!
//! `append` puts a frame behind the last one, `barrier` makes everything appended durable. The two are apart
//! so that a reducer can prepare the next frame while the last one is on its way to the disk, and so that a
//! replicated log can stand in for the local one.

mod anchor;
mod chain;
mod directory;
mod error;
mod frame;
mod memory;
mod sled;
mod start;
mod visit;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::core::vocabulary::{Epoch, Seq};
use crate::error::ErrorKind;

pub use self::sled::{Durability, IfAbsent, PrivateCopy, SledLog};
pub use anchor::{Anchor, AnchorError};
pub use chain::Chain;
pub use error::OpenError;
pub(crate) use frame::array;
pub use frame::{
    CODEC_BINCODE, FORMAT_VERSION, Frame, FrameBuf, FrameBuilder, FrameError, FrameHash, FrameHeader, HEADER_LENGTH,
    MAX_FRAME_LENGTH, MAX_PAYLOAD_LENGTH, MAX_RECORDS, RECORD_HEADER_LENGTH, Record, TRAILER_LENGTH,
};
pub use memory::{Keep, MemoryDisk, MemoryLog};
pub use start::Start;
pub use visit::{CheckpointCheck, FrameIter, Visitor};

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

/// A log of frames with one writer.
///
/// After an error of `append` or `barrier` the log is *poisoned*: both refuse from then on, and its owner has to
/// drop it, open it again and replay. A failed sync is never repeated: what it left on the disk is unknown.
pub trait Log: Send {
    /// Puts `frame` behind the last one. It is not durable before the next [`barrier`](Log::barrier).
    ///
    /// # Errors
    /// When the frame does not continue the chain, or storage refused it.
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError>;

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// When storage could not; everything since the last barrier is then unknown.
    fn barrier(&mut self) -> Result<(), LogError>;

    /// What a log does from time to time rather than with every commit, such as writing down how far it has
    /// come. `monotonic` is the time since some fixed moment; the owner calls this at least once a second while
    /// there are commits, and calling it more often costs nothing.
    ///
    /// # Errors
    /// When storage refused; the log is then poisoned.
    fn tick(&mut self, monotonic: Duration) -> Result<(), LogError> {
        let _ = monotonic;
        Ok(())
    }

    /// The last frame appended.
    fn appended(&self) -> Position;

    /// The last frame that a barrier made durable.
    fn durable(&self) -> Position;

    /// A reader that lives apart from the writer.
    fn reader(&self) -> Box<dyn LogReader>;

    /// Deletes everything up to and with `start.seq`. The checkpoint of `start` has to be durable, and `check` finds it
    /// there: from here on the log
    /// begins with it, whatever happens, and a crash leaves either all of the prefix or the log without it. The space
    /// is given back little by little, with [`tick`](Log::tick).
    ///
    /// # Errors
    /// When `start` lies behind the last durable event or before the present start ([`LogError::Refused`]), when
    /// `check` does not find the checkpoint (nothing has changed in both cases), or when storage refused.
    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError>;

    /// Ends writing: a last barrier, and whatever the log keeps to know that it was closed in order.
    ///
    /// # Errors
    /// When storage could not; the log then counts as not cleanly closed.
    fn close(self: Box<Self>) -> Result<(), LogError>;
}

/// Reads frames while the writer goes on. Readers are cheap to clone and may live on other threads.
pub trait LogReader: Send + Sync {
    /// Where the log begins.
    fn start(&self) -> Start;

    /// The frames from the one that holds `from` (or the first after it), in order; with 0 from where the log begins.
    /// What comes back is whole (length, CRC and hash hold) and chained to its predecessor within this iteration; the
    /// iteration ends with the last frame appended when it got there, and after the first error. An event that was
    /// deleted, before the iteration or during it, is [`LogError::PrefixGone`].
    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_>;

    /// Another reader of the same log.
    fn another(&self) -> Box<dyn LogReader>;
}

/// Why a log could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// An earlier append or barrier failed; the text says which and why.
    Poisoned(String),
    /// The frame offered does not continue the log. Nothing was written and the log is not poisoned.
    Refused(FrameError),
    /// This event was deleted on purpose.
    PrefixGone {
        /// The first that is there.
        begins: Seq,
    },
    /// What is stored at this place is not a whole frame, or not the one that the chain continues with.
    Damaged {
        /// The `Seq` at which the damaged frame begins or should begin.
        at: Seq,
        /// What was found there.
        found: FrameError,
    },
    /// The storage engine reported an error or panicked; the text is its own.
    Storage(String),
    /// The operating system refused.
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl LogError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            LogError::Poisoned(_) => ErrorKind::Closed,
            LogError::Refused(found) | LogError::Damaged { found, .. } => found.kind(),
            LogError::PrefixGone { .. } => ErrorKind::PrefixGone,
            // The storage engine tells damage by panicking, and in texts that no program can tell from others.
            LogError::Storage(_) => ErrorKind::Damaged,
            LogError::Io { .. } => ErrorKind::Io,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Poisoned(why) => write!(f, "the log is closed for writing after an earlier failure: {why}"),
            LogError::Refused(why) => write!(f, "a frame that does not continue the log was offered: {why}"),
            LogError::PrefixGone { begins } => {
                write!(f, "the log begins with event {begins}; earlier ones were deleted")
            }
            LogError::Damaged { at, found } if found.is_too_new() => {
                write!(f, "the frame at event {at} is from a newer program: {found}")
            }
            LogError::Damaged { at, found } => write!(f, "the frame at event {at} is damaged: {found}"),
            LogError::Storage(text) => write!(f, "the storage engine failed: {text}"),
            LogError::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Io { source, .. } => Some(source),
            LogError::Refused(found) | LogError::Damaged { found, .. } => Some(found),
            LogError::Poisoned(_) | LogError::PrefixGone { .. } | LogError::Storage(_) => None,
        }
    }
}
