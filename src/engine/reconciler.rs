//! A running reconciler, as its owner holds it.
//!
//! *Architecture invariant:* it knows the thread and how to end it. What runs on it is not its business.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::builder::Builder;
use super::error::EngineError;
use super::handle::Handle;
use crate::log::Log;
use crate::objects::Objects;
use crate::reducer::ReducerError;
use crate::unwind;

/// A running reconciler: one log, one reducer, its workers. Dropping it shuts it down without waiting for workers.
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
    thread: Option<JoinHandle<Result<(), ReducerError>>>,
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

    pub(super) fn new(handle: Handle, began_new_log: bool, thread: JoinHandle<Result<(), ReducerError>>) -> Reconciler {
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
    /// When the log failed, now or earlier; or on a thread of the engine, which would wait for itself: in a worker, an
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
        if thread.thread().id() == std::thread::current().id() {
            // It would wait for itself. The engine is told without waiting, and ends when this call has returned.
            self.handle.begin_shutdown(timeout);
            return Err(EngineError::OwnThread);
        }
        self.handle.shutdown(timeout);
        let result = thread.join();
        match result {
            Ok(result) => result.map_err(EngineError::Reducer),
            Err(panic) => Err(EngineError::Panicked(unwind::text_of(panic))),
        }
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
