//! Observing sources: the trait that users implement, and one chain of types, [`ObserveRequest`] to [`Observation`].
//!
//! When a source is observed, and what an observation means for a collection, is decided elsewhere.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::vocabulary::{Delta, Name, Source, SourceState, Spec, Timestamp};
use crate::error::ErrorKind;
use crate::objects::Objects;

use super::Skipped;

/// Observes the sources of one kind.
///
/// ```
/// use lastword::{Observation, ObserveError, ObserveRequest, Observer, SourceState, Version};
///
/// /// Sources are files, and their version is a hash of the content.
/// struct Files;
///
/// impl Observer for Files {
///     fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
///         // A file that cannot be read is not an empty file.
///         let content = std::fs::read(request.source.as_str()).map_err(|error| ObserveError(error.to_string()))?;
///         let version = Version::new(blake3::hash(&content).as_bytes()).expect("a hash has 32 bytes");
///         Ok(Observation::new(SourceState { version, set: None }, None))
///     }
/// }
/// # use lastword::{Built, Context, Declaration, Failure, Generation, Kind, Name, Reconciler, Source, WaitOutcome, Worker};
/// # struct Size;
/// # impl Worker for Size {
/// #     fn run(&self, context: &Context) -> Result<Built, Failure> {
/// #         let rows = Some(std::fs::read(context.source().as_str())?.len() as u64);
/// #         Ok(Built { rows, ..Built::default() })
/// #     }
/// #     fn observer(&self) -> Option<&dyn Observer> {
/// #         Some(&Files)
/// #     }
/// # }
/// # fn main() -> Result<(), lastword::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let (notes, kind, name) = (dir.path().join("notes"), Kind::new("size")?, Name::new("notes")?);
/// # std::fs::write(&notes, "a note").unwrap();
/// # let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), Size).start()?;
/// # let source = Source::new(notes.to_str().unwrap())?;
/// # let handle = reconciler.handle();
/// # handle.declare(Declaration::new(name.clone()).kind(kind).source(source))?;
/// # let waited = handle.wait_applied(name.clone(), Generation(1), std::time::Duration::from_secs(60))?;
/// # assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
/// # assert_eq!(handle.status(name)?.unwrap().view.applied.unwrap().result.rows, Some(6));
/// # Ok(())
/// # }
/// ```
pub trait Observer: Send + Sync {
    /// Says what the source holds now. Called on a thread for observations, at most once at a time for one
    /// collection.
    ///
    /// # Errors
    /// When the source cannot be observed. That says nothing about its content, and never counts as empty.
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError>;

    /// Watches a source and gives `hint` whenever it may be worth an observation. `None` where nothing can be watched,
    /// for now or at all: sources are observed at intervals anyway, and only an observation decides. The hint may be
    /// given from any thread, and as often as events come: many hints lead to few observations.
    ///
    /// Called on a thread for observations, right before an observation, while the source is not watched: at first,
    /// after source or spec have changed, and when the last watch is no longer alive. A panic counts as `None`.
    fn watch(&self, source: &Source, spec: &Spec, hint: Hint) -> Option<Box<dyn SourceWatch>> {
        let _ = (source, spec, hint);
        None
    }

    /// The *domain* of a source: sources that are likely to hang together, as those of one mount or one server are.
    /// A domain that hangs holds its own share of the threads and no more; the others go on. By default all sources of
    /// a kind are one domain.
    ///
    /// Called on the reducer's own thread before each observation: it must not touch the source. A panic counts as the
    /// default.
    fn domain(&self, source: &Source) -> Option<String> {
        let _ = source;
        None
    }
}

/// A source that is watched for as long as this is held. Dropping it must not take long.
pub trait SourceWatch: Send {
    /// Whether it still tells of everything that happens. Asked right before each observation, on its thread, so it may
    /// ask the file system; one that does not is dropped and made anew before that observation, so nothing is missed.
    fn is_alive(&self) -> bool;
}

/// Says that a source may be worth an observation.
#[derive(Clone)]
pub struct Hint(Arc<dyn Fn() + Send + Sync>);

impl Hint {
    /// A hint that calls `received`, which must not block.
    #[must_use]
    pub fn new(received: impl Fn() + Send + Sync + 'static) -> Hint {
        Hint(Arc::new(received))
    }

    /// Gives the hint.
    pub fn give(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hint").finish_non_exhaustive()
    }
}

/// What an [`Observer`] is asked to observe.
pub struct ObserveRequest<'a> {
    /// The collection's name.
    pub name: &'a Name,
    /// The source to observe.
    pub source: &'a Source,
    /// The collection's spec.
    pub spec: &'a Spec,
    /// What the last accepted observation found. If nothing has changed, return it as the state, and store no objects.
    pub known: Option<&'a SourceState>,
    /// What the last commit was built from, if that is known. A content that returns to it should have its version
    /// again: then nothing is built.
    pub applied: Option<&'a SourceState>,
    /// Where sets of files are kept.
    pub objects: &'a dyn Objects,
    /// The wall clock.
    pub wall: Timestamp,
}

impl fmt::Debug for ObserveRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new field does not compile before it is shown.
        let ObserveRequest { name, source, spec, known, applied, objects: _, wall } = self;
        f.debug_struct("ObserveRequest")
            .field("name", name)
            .field("source", source)
            .field("spec", spec)
            .field("known", known)
            .field("applied", applied)
            .field("wall", wall)
            .finish_non_exhaustive()
    }
}

/// What a source was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What the source holds.
    pub state: SourceState,
    /// What differs from the last accepted observation.
    pub delta: Option<Delta>,
    /// In how many parts of the source a change could have gone unnoticed so far, because they changed a moment ago.
    /// Zero: what was found is proven.
    pub racy: u64,
    /// When to observe again to prove them, if that is before the next observation is due anyway.
    pub observe_again: Option<Duration>,
    /// How many files of what the last commit was built from are no longer there; `None` if that is not known. Without it the loss of most files is not noticed. A loss is held only where
    /// `state` names a set of files, as collections of the feature `external` do: any other observer returns an
    /// [`ObserveError`] for a source that it takes for lost.
    pub missing: Option<u64>,
    /// What below the source was left out as no data, for people to see: nothing follows from it.
    pub skipped: Skipped,
}

impl Observation {
    /// What was found beyond doubt.
    #[must_use]
    pub fn new(state: SourceState, delta: Option<Delta>) -> Observation {
        Observation { state, delta, racy: 0, observe_again: None, missing: None, skipped: Skipped::default() }
    }
}

/// Why a source could not be observed: for people, and logged when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserveError(pub String);

impl ObserveError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}

impl fmt::Display for ObserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ObserveError {}
