//! Opening a log in a directory without making anything of it.
//!
//! The log checks its frames, and `replay` reads its checkpoint. The log must not know records, and replay must not
//! know where a log lies; so the two functions that need both stand here, above them.

use std::path::Path;

use crate::log::{Durability, Frame, IfAbsent, OpenError, PrivateCopy, SledLog};

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
