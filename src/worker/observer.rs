//! Observing sources: the trait that users implement, and one chain of types, [`ObserveRequest`] to [`Observation`].
//!
//! When a source is observed, and what an observation means for a collection, is decided elsewhere.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::core::vocabulary::{
    Delta, FieldError, FileCounts, Missing, Name, ObservationOutcome, Source, SourceState, Spec, Timestamp, Version,
    micros,
};
use crate::error::ErrorKind;
use crate::objects::Objects;

use super::{Skipped, TrafficCounter};

/// Observes the sources of one kind.
///
/// **Where hints come from is the observer's own affair.** One that hears of changes by itself, such as from the queue to
/// which a bucket sends its events, returns a [`SourceWatch`] from [`watch`](Observer::watch) that owns a place in whatever
/// reads that queue, and gives the [`Hint`] for each event of its source. All that is asked of it is what is asked of a watch
/// of directories: a hint may be late, lost, doubled or wrong, for it only makes an observation come sooner, and what was
/// observed decides. So a message may be deleted as soon as its hint was given, and one that is lost costs an interval. A
/// queue that cannot be read is a watch that is not [alive](SourceWatch::is_alive): it is made anew before the next
/// observation, which then misses nothing. Hints of one collection are gathered for a moment, so a flood of events is a few
/// listings; the budget of requests holds for intervals alone.
///
/// **A source need not be listed to be observed.** A table whose log names its version (Delta Lake, Iceberg, Lance) has a
/// version that costs one request: `observe` asks for it, and if it is that of [`ObserveRequest::known`] returns
/// [`Observation::unchanged`] without reading more; otherwise it reads which files the version has, and gives them to
/// `Observation::files`. One request is counted in [`ObserveSignals::traffic`], so such a source is observed every few seconds
/// within the same budget. What a worker reads is what was observed: it takes the version from
/// its [`Context`](crate::Context), and asks for that one and not for the latest.
///
/// ```
/// use lastword::{Observation, ObserveError, ObserveRequest, Observer, Version};
///
/// /// Sources are files, and their version is a hash of the content.
/// struct Files;
///
/// impl Observer for Files {
///     fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
///         // A file that cannot be read is not an empty file.
///         let content = std::fs::read(request.source.as_str())?;
///         let version = Version::new(blake3::hash(&content).as_bytes()).expect("a hash has 32 bytes");
///         // One file cannot lose a part of its files.
///         Ok(Observation::opaque(version))
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
    /// A domain that hangs holds its own share of the threads and no more; the others go on. One source that hangs does not
    /// hold up the rest of its domain, see [`unresponsive_source`](crate::promises::unresponsive_source). By default all
    /// sources of a kind are one domain.
    ///
    /// Called on the reducer's own thread before each observation: it must not touch the source. A panic counts as the
    /// default. Of a long text the first 256 bytes and a hash of the rest are kept: domains that differ stay different.
    fn domain(&self, source: &Source) -> Option<String> {
        let _ = source;
        None
    }
}

/// A source that is watched for as long as this is held. Dropping it must not take long: it is
/// often dropped on the engine's own thread.
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
    /// Where sets of files are kept. What is stored there and then named by nothing is collected; nothing is removed through
    /// it, see [`Objects::remove`].
    pub objects: &'a dyn Objects,
    /// The wall clock.
    pub wall: Timestamp,
    /// Nothing that was believed so far counts: what can be compared is compared, as much at a time as is right. Asked for
    /// once, see [`Handle::refresh_verify`](crate::Handle::refresh_verify).
    pub verify: bool,
    /// What the observation and the engine tell each other while it runs.
    pub signals: &'a ObserveSignals,
}

impl fmt::Debug for ObserveRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new field does not compile before it is shown.
        let ObserveRequest { name, source, spec, known, applied, objects: _, wall, verify, signals: _ } = self;
        f.debug_struct("ObserveRequest")
            .field("name", name)
            .field("source", source)
            .field("spec", spec)
            .field("known", known)
            .field("applied", applied)
            .field("wall", wall)
            .field("verify", verify)
            .finish_non_exhaustive()
    }
}

/// What an observation and the engine tell each other while it runs.
#[derive(Clone, Debug, Default)]
pub struct ObserveSignals(Arc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    stop: AtomicBool,
    /// In microseconds; zero if nothing was said.
    again: AtomicU64,
    advanced: AtomicBool,
    lives: AtomicBool,
    traffic: TrafficCounter,
}

impl ObserveSignals {
    /// Whether nobody waits for this observation any more: it has taken too long, its collection was dropped or the
    /// engine shuts down. It should return soon; what it returns does not count.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// Has the source observed again after so long, whatever this observation returns: one that could not be finished
    /// goes on then. After 10 ms at the soonest.
    pub fn observe_again_after(&self, span: Duration) {
        self.0.again.store(micros(span).max(1), Ordering::Relaxed);
    }

    /// A sign of life: an observation is given up when it has given none for its time-out, and not when it is long.
    pub fn sign(&self) {
        self.0.lives.store(true, Ordering::Relaxed);
    }

    /// Whether there was one since it was asked for last.
    pub(crate) fn take_sign(&self) -> bool {
        self.0.lives.swap(false, Ordering::Relaxed)
    }

    /// This observation could not be finished, and has come further than the one before: who waits for its source to be
    /// observed goes on waiting. Without progress it counts like any other that fails.
    pub fn note_progress(&self) {
        self.0.advanced.store(true, Ordering::Relaxed);
    }

    /// What counts the requests of this observation. The next one comes the later the more there are (see
    /// [`ObserveInterval`](crate::ObserveInterval)), and status shows them, also while it runs. An observer that
    /// asks nothing over a wire has nothing to count.
    #[must_use]
    pub fn traffic(&self) -> &TrafficCounter {
        &self.0.traffic
    }

    pub(crate) fn has_advanced(&self) -> bool {
        self.0.advanced.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
    }

    pub(crate) fn again(&self) -> Option<Duration> {
        Some(self.0.again.load(Ordering::Relaxed)).filter(|again| *again > 0).map(Duration::from_micros)
    }
}

/// What a source was found to hold.
///
/// A source that is empty, or has lost most of its files, is more often an unmounted disk or a wrong prefix than a wish.
/// Such an observation is *held* until a person confirms it (policy [`EmptySource`](crate::policy::EmptySource)), if it
/// can be measured. So there are three ways to make one, and each says what it knows:
///
/// * `Observation::files` (feature `sources`): all files with their versions. Losses are measured, the delta is
///   counted, and `Context::changes` says to a worker which files have changed.
/// * [`Observation::counted`]: a version, and how many files there are and are missing.
/// * [`Observation::opaque`]: a version alone. **No loss is ever noticed**: whoever uses it returns an [`ObserveError`]
///   for a source that it takes for lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observation {
    /// What the source holds.
    pub state: SourceState,
    /// What differs from the last accepted observation.
    pub delta: Option<Delta>,
    /// In how many parts of the source a change could have gone unnoticed so far, because they changed a moment ago.
    /// Zero: what was found is proven.
    pub racy: u64,
    /// How many parts of the source are believed although nothing tells that they are what they were: their times carry no
    /// information, or a content check that was asked for has not come to them yet. Zero: the evidence is strong.
    pub weak: u64,
    /// When to observe again to prove them, if that is before the next observation is due anyway; after 10 ms at the
    /// soonest.
    pub observe_again: Option<Duration>,
    /// What of what the last commit was built from is no longer there, and what came in its place, where `state` names a
    /// set of files; `None` if that is not known.
    pub missing: Option<Missing>,
    /// The same, counted by an observer whose `state` names no set.
    pub counts: Option<FileCounts>,
    /// What below the source was left out as no data, for people to see: nothing follows from it.
    pub skipped: Skipped,
}

impl Observation {
    /// A version alone, of a source without parts that could be lost one by one, such as a single file or a row count.
    /// Whatever it says is followed, also if the source has lost everything: see [`Observation`].
    #[must_use]
    pub fn opaque(version: Version) -> Observation {
        Observation::of(SourceState { version, set: None }, None)
    }

    /// A version, and how many files (or rows, or documents) the source has and has lost. It is held as an observation
    /// with all files is: if there are none, or if more than ten and more than half of those that were applied are missing.
    #[must_use]
    pub fn counted(version: Version, counts: FileCounts) -> Observation {
        Observation { counts: Some(counts), ..Observation::opaque(version) }
    }

    /// Nothing has changed since the last accepted observation, which found `known`
    /// ([`ObserveRequest::known`]).
    #[must_use]
    pub fn unchanged(known: &SourceState) -> Observation {
        Observation::of(known.clone(), None)
    }

    /// What was found beyond doubt.
    pub(crate) fn of(state: SourceState, delta: Option<Delta>) -> Observation {
        Observation {
            state,
            delta,
            racy: 0,
            weak: 0,
            observe_again: None,
            missing: None,
            counts: None,
            skipped: Skipped::default(),
        }
    }

    /// What was found beyond doubt, by whoever makes sets of files without `Observation::files`.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn new(state: SourceState, delta: Option<Delta>) -> Observation {
        Observation::of(state, delta)
    }

    /// What it cannot have found, if it says so. `applied`: how many files are applied, if that is known.
    pub(crate) fn problem(&self, applied: Option<u64>) -> Option<String> {
        self.outcome().problem(applied)
    }

    /// What it tells the core.
    pub(crate) fn outcome(&self) -> ObservationOutcome {
        let Observation { state, delta, missing, counts, racy: _, weak: _, observe_again: _, skipped: _ } = self;
        let (state, delta) = (state.clone(), *delta);
        match counts.filter(|_| state.set.is_none()) {
            Some(counts) => ObservationOutcome::Counted { state, delta, counts },
            None => ObservationOutcome::Content { state, delta, missing: *missing },
        }
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

impl From<std::io::Error> for ObserveError {
    fn from(error: std::io::Error) -> ObserveError {
        ObserveError(error.to_string())
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for ObserveError {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> ObserveError {
        ObserveError(error.to_string())
    }
}

impl From<FieldError> for ObserveError {
    fn from(error: FieldError) -> ObserveError {
        ObserveError(error.to_string())
    }
}
