//! The lock of the writer: one process at a time, and in it one log.
//!
//! A lock belongs to what was opened, and a child that is forked shares that: it would keep the lock, and close nothing. So
//! it is let go, and not only closed.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use super::error::OpenError;
use super::holder::lock_holder;
use crate::held::descriptors_of;

/// The lock, held for as long as this lives in the process that took it.
#[derive(Debug)]
pub(super) struct WriterLock {
    file: File,
    /// A child that was forked does not let go of what is its parent's.
    process: u32,
}

impl WriterLock {
    /// Locks the file, which is at `path`.
    ///
    /// An inspecting tool may hold it shared for an instant to see whether a writer is there; a writer that starts
    /// in this instant must not fail for it, hence the few tries.
    pub(super) fn take(file: File, path: &Path) -> Result<WriterLock, OpenError> {
        for _ in 0..10 {
            match file.try_lock() {
                Ok(()) => return Ok(WriterLock { file, process: process::id() }),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::Error(error)) => return Err(OpenError::io("locking", path)(error)),
            }
        }
        // The kernel tells who took it. A child of that process may be the one that has it by now.
        let may_hold = |pid: &u32| *pid != process::id() || is_open_twice(&file);
        Err(OpenError::Busy { holder: lock_holder(path).filter(may_hold), path: path.to_owned() })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        if self.process == process::id() {
            // Closing it does the same if nobody has inherited it.
            let _ = self.file.unlock();
        }
    }
}

/// Whether this process has the file open beside this time. Where that cannot be known it may have.
fn is_open_twice(file: &File) -> bool {
    descriptors_of(file).map_or(true, |found| found.len() > 1)
}
