//! Whether an engine lives, why it does not, and which threads are its own.
//!
//! *Architecture invariant:* a leaf: it is told, and asked.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use crossbeam_channel::Sender;

use crate::membership::Membership;
use crate::unwind;

/// Held by a thread until it has ended.
pub(super) type Presence = Sender<Infallible>;

thread_local! {
    /// Goes last of all when the thread ends: what a thread has first it drops last.
    static PRESENCE: OnceCell<Presence> = const { OnceCell::new() };
}

/// Shared by an engine and everybody who asks it something.
#[derive(Debug, Default)]
pub(super) struct Life {
    died: OnceLock<String>,
    thread: OnceLock<ThreadId>,
    /// The engine's thread is in code of the program.
    is_held: Arc<AtomicBool>,
}

impl Life {
    /// The engine runs on this thread, which has done nothing before, and drops `presence` when it has ended.
    pub(super) fn begin(&self, presence: Presence) {
        let _ = PRESENCE.try_with(|cell| cell.set(presence));
        let _ = self.thread.set(thread::current().id());
        unwind::show_in(&self.is_held);
    }

    /// Whether the engine's thread is in code of the program at this moment, and not in its own.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Whether this is the engine's own thread: whoever waits for the engine on it waits for ever. User code runs on it in
    /// [`Worker::check`](crate::Worker::check), in [`Observer::domain`](crate::Observer::domain), in wakers and in the drops of watches.
    pub(super) fn is_this_thread(&self) -> bool {
        self.thread.get().is_some_and(|thread| *thread == thread::current().id())
    }

    /// Whether this is code of the program that the thread of this engine has called, a waker and the drop of a watch among
    /// it: what it waits for here, whether it blocks or polls, does not come before it returns. What another engine does
    /// comes.
    pub(super) fn is_called_out(&self) -> bool {
        unwind::is_out() && self.is_this_thread()
    }

    /// This thread does jobs of the engine, and so does every thread that helps it. As long as it does, it has to hold its
    /// life.
    pub(super) fn join_crew(self: &Arc<Life>) {
        Membership::of(Arc::as_ptr(self)).join();
    }

    /// Whether this is a thread of the engine's crews: its end is waited for by a shutdown.
    pub(super) fn is_crew(self: &Arc<Life>) -> bool {
        Membership::here() == Membership::of(Arc::as_ptr(self))
    }

    /// Does what the engine does. If it panics, the engine has died of that, before anything that it holds is dropped.
    pub(super) fn live<R>(&self, call: impl FnOnce() -> R) -> R {
        unwind::catch_own(call).unwrap_or_else(|text| {
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
