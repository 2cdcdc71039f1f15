//! What users write: a [`Worker`] builds the collections of a kind, an [`Observer`] observes its sources.
//!
//! A worker learns what to build from a [`Context`] and says how it went by its return value. Whether the result is
//! committed is not its decision: by the time it returns something else may be wanted.

mod assignment;
mod context;
pub mod destination;
mod failure;
mod observer;
mod shared;
mod signals;
mod skipped;
mod traffic;

use crate::core::vocabulary::{Built, Duties, FieldError, Source, Spec};

pub use assignment::Assignment;
pub(crate) use assignment::{files_applied, observed_of};
pub use context::Context;
pub use destination::{CommitView, DeliveryError, DiscardRequest, VerifyOutcome};
pub use failure::Failure;
pub use observer::{Hint, Observation, ObserveError, ObserveRequest, ObserveSignals, Observer, SourceWatch};
pub(crate) use signals::Signals;
pub use signals::{Progress, Stopped};
pub use skipped::{SkipReason, Skipped};
pub use traffic::{Traffic, TrafficCounter};

/// Builds the collections of one kind.
///
/// ```
/// use lastword::{Built, Context, Failure, Worker};
/// use std::{fs, path::PathBuf};
///
/// /// Copies a source in upper case, into a directory.
/// struct Upper(PathBuf);
///
/// impl Worker for Upper {
///     fn run(&self, context: &Context) -> Result<Built, Failure> {
///         let text = fs::read_to_string(context.source().as_str())?; // an I/O error is tried again
///         if text.is_empty() {
///             return Err(Failure::Permanent("there is nothing to copy".to_owned()));
///         }
///         context.check_stop()?;
///         // Each attempt has a token of its own: a file that it names is no other attempt's.
///         let output = context.token().to_string();
///         fs::write(self.0.join(&output), text.to_uppercase())?;
///         Ok(Built { output: Some(output.into()), ..Built::default() })
///     }
/// }
/// # use lastword::{Declaration, Kind, Name, Reconciler, Source, WaitOutcome};
/// # fn main() -> Result<(), lastword::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let (notes, kind, name) = (dir.path().join("notes"), Kind::new("upper")?, Name::new("notes")?);
/// # fs::write(&notes, "a note").unwrap();
/// # let worker = Upper(dir.path().to_owned());
/// # let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), worker).start()?;
/// # let source = Source::new(notes.to_str().unwrap())?;
/// # let handle = reconciler.handle();
/// # let receipt = handle.declare(Declaration::new(name.clone()).kind(kind).source(source).unversioned())?;
/// # let waited = handle.wait_applied(name.clone(), receipt.generation, std::time::Duration::from_secs(60))?;
/// # assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
/// # let applied = handle.status(name)?.unwrap().view.applied.unwrap();
/// # let output = applied.result.output.clone().unwrap();
/// # assert_eq!(fs::read_to_string(dir.path().join(&*output)).unwrap(), "A NOTE");
/// # Ok(())
/// # }
/// ```
pub trait Worker: Send + Sync + 'static {
    /// Builds what `context` says. Called on a worker thread; several attempts, of different collections, may run at
    /// the same time.
    ///
    /// Call [`Context::check_stop`] between steps and return its error: an attempt that does not stop within its
    /// grace is abandoned.
    ///
    /// # Errors
    /// A [`Failure`] says whether trying again may help. A panic counts as a failure, and as nothing more.
    fn run(&self, context: &Context) -> Result<Built, Failure>;

    /// Checks source and spec when they are declared or changed, so that bad input is refused where it is made.
    /// Called on the engine's own thread: whatever takes time belongs into `run`, and what waits for the engine is refused
    /// here ([`CommandError::OwnThread`](crate::errors::CommandError::OwnThread)). What does not return holds up the engine: a
    /// shutdown gives up waiting for it, with an error ([`EngineError::Held`](crate::errors::EngineError::Held)). A declaration that names neither kind nor
    /// source nor spec is not checked. A panic refuses the declaration.
    ///
    /// # Errors
    /// Names the field and what is allowed in it.
    fn check(&self, source: &Source, spec: &Spec) -> Result<(), FieldError> {
        let _ = (source, spec);
        Ok(())
    }

    /// What observes the sources of this kind. Without it, observations come from the caller.
    fn observer(&self) -> Option<&dyn Observer> {
        None
    }

    /// What this kind does beside building. Asked once, when the reconciler starts, and noted with every attempt: an
    /// attempt that began without a duty leaves nothing to be done for it.
    fn duties(&self) -> Duties {
        Duties::default()
    }

    /// Makes a commit visible at its destination. For kinds that publish; called on a delivery thread.
    ///
    /// Called at least once for every commit, in their order, and again with backoff until it has succeeded; what comes
    /// after it waits. The destination has to compare tokens, see [`destination`](crate::destination).
    ///
    /// # Errors
    /// When the destination was not changed, or that is not known. A panic counts as an error, and a call that takes
    /// longer than the delivery timeout as well, even if it succeeds in the end.
    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        Err(DeliveryError(format!("the kind {} says that it publishes, and cannot", commit.kind)))
    }

    /// Removes outputs that can never be live again. For kinds that discard; called on a delivery thread.
    ///
    /// Called at least once, so what is gone already is no error. Nothing that `after` names may be removed: parts of
    /// what was replaced, or was begun by an earlier attempt, may have been taken over. What an attempt that commits
    /// has made and does not name in its result is never passed to this: the attempt removes it itself.
    ///
    /// # Errors
    /// When something is left. It is called again, with backoff.
    fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        Err(DeliveryError(format!("the kind {} says that it discards, and cannot", request.kind)))
    }

    /// Whether [`verify`](Worker::verify) is to be called. Asked once, when the reconciler starts.
    fn verifies(&self) -> bool {
        false
    }

    /// Says whether what was committed is still there. Called after a refresh and a resync, once everything is
    /// published, on a delivery thread. What has drifted is built anew.
    ///
    /// # Errors
    /// When that cannot be found out, which says nothing about what is there. It is shown with the collection's status,
    /// and not tried again before the next refresh or resync.
    fn verify(&self, commit: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
        Err(DeliveryError(format!("the kind {} says that it verifies, and cannot", commit.kind)))
    }
}
