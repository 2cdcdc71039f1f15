//! Whether an engine lives, why it does not, and which thread is its own.
//!
//! *Architecture invariant:* a leaf: it is told, and asked.

use std::sync::OnceLock;
use std::thread::{self, ThreadId};

/// Shared by an engine and everybody who asks it something.
#[derive(Debug, Default)]
pub(super) struct Life {
    died: OnceLock<String>,
    thread: OnceLock<ThreadId>,
}

impl Life {
    /// The engine runs on this thread.
    pub(super) fn begin(&self) {
        let _ = self.thread.set(thread::current().id());
    }

    /// Whether this is the engine's own thread: whoever waits for the engine on it waits for ever. User code runs on it in
    /// [`Worker::check`](crate::Worker::check), in [`Observer::domain`](crate::Observer::domain) and in wakers.
    pub(super) fn is_this_thread(&self) -> bool {
        self.thread.get().is_some_and(|thread| *thread == thread::current().id())
    }

    /// The engine has died of this.
    pub(super) fn die(&self, why: String) {
        let _ = self.died.set(why);
    }

    /// Why the engine has ended, as callers are told.
    pub(super) fn why(&self) -> String {
        self.died.get().cloned().unwrap_or_else(|| "the reconciler has shut down".to_owned())
    }
}
