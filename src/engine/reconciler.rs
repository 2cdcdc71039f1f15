//! A running reconciler, as its owner holds it.
//!
//! *Architecture invariant:* it knows the thread and how to end it. What runs on it is not its business.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::builder::Builder;
use super::error::EngineError;
use super::handle::Handle;
use crate::clock::{Clock, SystemClock};
use crate::log::Log;
use crate::objects::Objects;
use crate::reducer::ReducerError;
use crate::unwind;

/// What code of the program may take of the engine's thread beyond the time that a shutdown has. If it takes most of that,
/// nobody waits for it any longer.
const MOST_HELD: Duration = Duration::from_secs(1);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The engine's thread, as it is waited for.
#[derive(Debug)]
pub(super) struct EngineThread {
    pub(super) thread: JoinHandle<()>,
    /// How the engine has ended, once its log is closed.
    pub(super) ended: Receiver<Result<(), ReducerError>>,
    /// Disconnected once the thread has dropped everything that it had for itself.
    pub(super) gone: Receiver<Infallible>,
}

/// What became of a wait.
enum Waited<T> {
    Came(T),
    /// It comes no more.
    Over,
    /// Code of the program does not let it come.
    Held,
}

impl EngineThread {
    /// Waits until the engine, which was told to end within `timeout`, has ended. What is its own work, as writing to a slow
    /// disk, is waited for as long as it takes.
    fn wait(self, timeout: Duration, is_held: impl Fn() -> bool) -> Result<(), EngineError> {
        let ended = match wait(&self.ended, timeout, &is_held) {
            Waited::Held => return Err(EngineError::Held),
            Waited::Came(ended) => Some(ended.map_err(EngineError::Reducer)),
            Waited::Over => None,
        };
        // A thread that only has its destructors left is held by them.
        let is_gone =
            matches!(wait(&self.gone, Duration::ZERO, || is_held() || self.thread.is_finished()), Waited::Over);
        match (ended, is_gone.then(|| self.thread.join())) {
            (_, Some(Err(panic))) => Err(EngineError::Panicked(unwind::text_of(panic))),
            // The log is closed, whatever the thread does now.
            (Some(ended), _) => ended,
            (None, _) => Err(EngineError::Held),
        }
    }
}

/// Waits for what a thread sends, or drops. It is given up if the thread was held for most of the time since `timeout`, and
/// still is.
fn wait<T>(receiver: &Receiver<T>, timeout: Duration, is_held: impl Fn() -> bool) -> Waited<T> {
    let (mut next, mut since, mut held, mut looked) = (timeout, None::<SystemClock>, Duration::ZERO, Duration::ZERO);
    loop {
        match receiver.recv_timeout(next) {
            Ok(came) => return Waited::Came(came),
            Err(RecvTimeoutError::Disconnected) => return Waited::Over,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let passed = since.get_or_insert_with(SystemClock::new).monotonic();
        if is_held() {
            held += passed.saturating_sub(looked);
            if passed >= MOST_HELD && 2 * held >= passed {
                return Waited::Held;
            }
        }
        (looked, next) = (passed, LOOK);
    }
}

/// A running reconciler: one log, one reducer, its workers. Dropping it shuts it down without waiting for workers.
///
/// A drop waits until the log is closed. Code of the program that runs on the engine's own thread, as a
/// [`Worker::check`](crate::Worker::check) does, and does not come back keeps it from that: after a second the drop waits no
/// longer, and says so to `tracing`. The log stays locked by this process then, until that code returns. A
/// [`shutdown`](Reconciler::shutdown) answers with an error in that case.
///
/// ```
/// use lastword::{Built, Context, Failure, Kind, Reconciler, Worker};
/// use std::time::Duration;
///
/// struct Embeddings;
///
/// impl Worker for Embeddings {
///     fn run(&self, _context: &Context) -> Result<Built, Failure> {
///         Ok(Built::default())
///     }
/// }
///
/// # fn main() -> Result<(), lastword::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let state = dir.path().join("state");
/// let reconciler = Reconciler::open(&state).kind(Kind::new("embeddings")?, Embeddings).workers(4).start()?;
/// assert!(reconciler.handle().list()?.is_empty());
/// // One process writes a log at a time.
/// let second = Reconciler::open(&state).start().map_err(lastword::Error::from);
/// assert_eq!(second.unwrap_err().kind(), lastword::ErrorKind::Busy);
/// reconciler.shutdown(Duration::from_secs(5))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reconciler {
    handle: Handle,
    began_new_log: bool,
    thread: Option<EngineThread>,
}

impl Reconciler {
    /// Prepares to open the log in the directory `path`, which is created if it is not there.
    pub fn open(path: impl Into<PathBuf>) -> Builder {
        Builder::in_directory(path.into())
    }

    /// Prepares to run on a log and a store of objects of the caller's, in memory for example (features `internals` and
    /// `testing`).
    #[must_use]
    #[cfg(any(feature = "internals", feature = "testing"))]
    pub fn on(log: Box<dyn Log>, objects: Arc<dyn Objects>) -> Builder {
        Builder::on(log, objects)
    }

    pub(super) fn new(handle: Handle, began_new_log: bool, thread: EngineThread) -> Reconciler {
        Reconciler { handle, began_new_log, thread: Some(thread) }
    }

    /// Whether the log had no event yet when it was opened. Whoever expected one has another path, or a file system that is
    /// not mounted: what is built now is built from nothing, under new incarnations, and what an earlier log had its
    /// destinations publish is unknown to this one.
    #[must_use]
    pub fn began_new_log(&self) -> bool {
        self.began_new_log
    }

    /// A handle to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Shuts down: no new attempts, running ones are told to stop, and after `timeout` at the latest the log is
    /// closed. What is still running then is found as lost at the next start, and tried again.
    ///
    /// The log can be opened again afterwards, unless a [`Watch`](crate::Watch) that has not seen its end is still held.
    ///
    /// # Errors
    /// When the log failed, now or earlier. [`EngineError::Held`] when code of the program does not come back on the engine's own
    /// thread: a second after `timeout` the shutdown waits no longer for it, and the log stays locked until it returns. Or on
    /// a thread of the engine, which would wait for itself: in a worker, an
    /// observer or a publication as much as on the thread of the engine itself. Then the shutdown begins, and nobody waits
    /// for it.
    pub fn shutdown(mut self, timeout: Duration) -> Result<(), EngineError> {
        if self.handle.is_crew() {
            self.thread = None;
            self.handle.shutdown(timeout);
            return Err(EngineError::OwnCrew);
        }
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> Result<(), EngineError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if thread.thread.thread().id() == std::thread::current().id() {
            // It would wait for itself. The engine is told without waiting, and ends when this call has returned.
            self.handle.shutdown(timeout);
            return Err(EngineError::OwnThread);
        }
        self.handle.shutdown(timeout);
        thread.wait(timeout, || self.handle.is_held())
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        if let Err(error) = self.end(Duration::ZERO) {
            unwind::tell(|| {
                tracing::error!(target: "lastword::engine", %error, "the reconciler ended with an error");
            });
        }
    }
}
