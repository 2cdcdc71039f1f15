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
mod holder;
mod lock;
mod memory;
mod position;
mod sled;
mod start;
mod visit;

use std::time::Duration;

use crate::core::vocabulary::Seq;
pub use crate::held::{Replaced, Replacement};

pub use self::sled::{Durability, IfAbsent, LossAccepted, PrivateCopy, Salvage, SledLog, remove_private_copies};
pub use anchor::{Anchor, AnchorError};
pub use chain::Chain;
pub use error::{LogError, OpenError};
pub(crate) use frame::array;
pub use frame::{
    CODEC_BINCODE, FORMAT_VERSION, Frame, FrameBuf, FrameBuilder, FrameError, FrameHash, FrameHeader, HEADER_LENGTH,
    MAX_FRAME_LENGTH, MAX_PAYLOAD_LENGTH, MAX_RECORDS, RECORD_HEADER_LENGTH, Record, TRAILER_LENGTH,
};
pub use holder::lock_holder;
pub use memory::{Keep, MemoryDisk, MemoryLog};
pub use position::Position;
pub use start::Start;
pub use visit::{CheckpointCheck, FrameIter, Visitor};

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

    /// Whether what is held open is still what others find: asked before something is told that needs no frame.
    ///
    /// # Errors
    /// When it is not; the log is then poisoned.
    fn check_place(&mut self) -> Result<(), LogError> {
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
