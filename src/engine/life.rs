//! Whether an engine lives, why it does not, and which threads are its own.
//!
//! *Architecture invariant:* a leaf: it is told, and asked.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use crate::unwind;

thread_local! {
    /// Which engine has its jobs done on this thread: where its life lies, or 0.
    static CREW_OF: Cell<usize> = const { Cell::new(0) };
    /// The engine of this thread is inside of a call of user code, and does nothing else before that returns.
    static IS_CALLED_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Calls user code on the engine's own thread. If it panics, the error is what the panic said.
pub(super) fn call_out<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    let before = IS_CALLED_OUT.replace(true);
    let result = unwind::catch(call);
    IS_CALLED_OUT.set(before);
    result
}

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

    /// Whether this is user code that the thread of this engine has called: what it waits for here, whether it blocks or polls,
    /// does not come before it returns. What another engine does comes.
    pub(super) fn is_called_out(&self) -> bool {
        IS_CALLED_OUT.get() && self.is_this_thread()
    }

    /// This thread does jobs of the engine. As long as it does, it has to hold its life.
    pub(super) fn join_crew(self: &Arc<Life>) {
        CREW_OF.set(Arc::as_ptr(self).addr());
    }

    /// Whether this is a thread of the engine's crews: its end is waited for by a shutdown.
    pub(super) fn is_crew(self: &Arc<Life>) -> bool {
        CREW_OF.get() == Arc::as_ptr(self).addr()
    }

    /// Does what the engine does. If it panics, the engine has died of that, before anything that it holds is dropped.
    pub(super) fn live<R>(&self, call: impl FnOnce() -> R) -> R {
        unwind::catch(call).unwrap_or_else(|text| {
            self.die(format!("a bug in lastword: the engine panicked: {text}"));
            resume_unwind(Box::new(text))
        })
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
