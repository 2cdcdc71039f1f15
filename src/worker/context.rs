//! One attempt, as a worker in this process sees it: its assignment, and how it and the engine reach each other.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::assignment::Assignment;
use super::failure::Failure;
use super::signals::{Signals, Stopped};
use crate::clock::EngineTime;
use crate::core::vocabulary::{Timestamp, Token};
use crate::notes::Notes;
use crate::objects::Objects;

/// One attempt, as its worker sees it. It gives access to its [`Assignment`]: `context.source()`, `context.token()`.
pub struct Context {
    assignment: Assignment,
    signals: Arc<Signals>,
    objects: Arc<dyn Objects>,
    notes: Arc<Notes>,
    time: EngineTime,
}

impl Context {
    pub(crate) fn new(
        assignment: Assignment,
        signals: Arc<Signals>,
        objects: Arc<dyn Objects>,
        notes: Arc<Notes>,
        time: EngineTime,
    ) -> Context {
        Context { assignment, signals, objects, notes, time }
    }

    /// Time left until the attempt times out; `None` if it never does.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.assignment.deadline().map(|deadline| deadline.since(self.time.now()))
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.time.wall()
    }

    /// Whether the attempt was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.signals.is_stopping()
    }

    /// Goes on, or returns [`Failure::Stopped`] if the attempt was told to stop: `context.check_stop()?`.
    ///
    /// # Errors
    /// When something newer is wanted, the attempt has timed out, its task was cancelled, its collection was dropped, or
    /// the reconciler shuts down.
    pub fn check_stop(&self) -> Result<(), Failure> {
        if self.is_stopping() { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// A future that resolves when the attempt is told to stop, for work that is itself a future: drive both and
    /// stop with the first. It needs no runtime, and may outlive the context: once the attempt has returned, it resolves.
    pub fn stopped(&self) -> Stopped {
        Stopped::new(Arc::clone(&self.signals))
    }

    /// Sleeps until the attempt is told to stop, for at most `timeout` of the engine's time. Says whether it was told.
    #[must_use]
    pub fn wait_stopped(&self, timeout: Duration) -> bool {
        self.signals.sleep(&self.time, timeout)
    }

    /// Says how far the attempt has come. It is shown, not logged.
    pub fn progress(&self, done: u64, total: u64) {
        self.signals.report(done, total);
    }

    /// Keeps a note for the attempts after this one: how far it has come, what it has finished. It survives the end of the
    /// process, however sudden, and is there until a commit, or until what this attempt has made is discarded. Says whether
    /// it was kept.
    ///
    /// Only kinds that discard keep notes: what the others leave is not looked after. A note has at most 16 MiB, and all
    /// notes of a log have a bound, see [`settings`](crate::settings): beyond it the oldest go. A power cut may take the
    /// last ones. On a log that was handed in they are kept in memory.
    pub fn keep(&self, note: &[u8]) -> bool {
        self.notes.keep(self.token(), note)
    }

    /// The notes of an earlier attempt, in their order: one of [`leftovers`](Assignment::leftovers). None under any other
    /// token, whose outputs may be live, or gone in a moment.
    ///
    /// They are as they were kept, or are not there. Whether they still say the truth of what lies at the destination, and
    /// are of the same source and spec, is for the worker to find out.
    #[must_use]
    pub fn kept(&self, token: Token) -> Vec<Vec<u8>> {
        if self.leftovers().contains(&token) { self.notes.of(self.collection(), token) } else { Vec::new() }
    }

    /// Says that the source may hold something else by now than this attempt builds. It is observed as soon as the attempt
    /// has returned, if an observer observes it.
    pub fn hint(&self) {
        self.signals.hint();
    }

    /// Where sets of files and manifests are kept. What is stored there and then named by nothing is collected; nothing is
    /// removed through it, see [`Objects::remove`].
    #[must_use]
    pub fn objects(&self) -> &dyn Objects {
        &*self.objects
    }
}

impl Deref for Context {
    type Target = Assignment;

    fn deref(&self) -> &Assignment {
        &self.assignment
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("assignment", &self.assignment).finish_non_exhaustive()
    }
}
