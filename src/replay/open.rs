//! Opening a log without making anything of it. The log checks its frames; that its checkpoint is whole is checked
//! here, where checkpoints can be read.

use std::path::Path;

use super::check_checkpoint;
use crate::log::{Durability, Frame, FrameIter, IfAbsent, LogError, OpenError, PrivateCopy, SledLog, Start, Visitor};

/// A closure that takes frames is shown all of them. Of a checkpoint it only learns that it is whole.
impl<F: FnMut(&Frame<'_>)> Visitor for F {
    fn checkpoint(&mut self, start: Start, frames: &mut FrameIter<'_>) -> Result<(), LogError> {
        check_checkpoint(start, frames)
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        self(frame);
    }
}

impl SledLog {
    /// Opens the log in `path` for writing and checks all of it up to its end.
    ///
    /// # Errors
    /// Every variant of [`OpenError`] but `Moving`. A log that is damaged, shorter than `HEAD` or too new stays as
    /// it is.
    pub fn open(path: impl AsRef<Path>, if_absent: IfAbsent, durability: Durability) -> Result<Self, OpenError> {
        Self::open_visiting(path, if_absent, durability, &mut |_: &Frame<'_>| ())
    }
}

impl PrivateCopy {
    /// Copies the log in `path` to a directory of its own below [`std::env::temp_dir`] and opens that. The directory
    /// goes when the last reader does.
    ///
    /// # Errors
    /// [`OpenError::Moving`] if a writer changed the log under every attempt; everything that [`SledLog::open`]
    /// reports about a log, but `Busy`; [`OpenError::Io`] if it cannot be read or there is no room for the copy.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::of_visiting(path, || |_: &Frame<'_>| ()).map(|(copy, _)| copy)
    }
}
