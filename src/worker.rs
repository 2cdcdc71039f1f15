//! What users write: a [`Worker`] builds a collection, an [`Observer`] looks at its source.
//!
//! A worker is told what to build by a [`Context`] and says how it went by its return value. Whether the result
//! is committed is not for it to decide: by the time it returns something else may be wanted.

pub mod destination;
mod signals;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::EngineTime;
use crate::core::vocabulary::{
    AttemptRef, Built, CollectionId, Delta, Duties, FieldError, Fingerprint, Generation, Inputs, Kind, Name, Source,
    SourceState, Spec, Timestamp, Token, Version,
};
use crate::core::{Applied, vocabulary::Content};
use crate::error::ErrorKind;
use crate::objects::Objects;

pub use destination::{DeliveryError, DiscardRequest, PublishRequest, VerifyOutcome, VerifyRequest};
pub(crate) use signals::Signals;
pub use signals::{Progress, Stopped};

/// Builds the collections of one kind.
pub trait Worker: Send + Sync + 'static {
    /// Builds what `context` says. Called on a thread of the pool; several attempts, of different collections,
    /// may run at the same time.
    ///
    /// Call [`Context::check_stop`] between steps and return its error: an attempt that does not stop within its
    /// grace is abandoned.
    ///
    /// # Errors
    /// A [`Failure`] says whether trying again may help. A panic counts as a failure, and as nothing more.
    fn run(&self, context: &Context) -> Result<Built, Failure>;

    /// Checks source and spec when they are declared or changed, so that bad input is refused where it is made.
    /// Called on the reducer's own thread: whatever takes time belongs into `run`, and a call of a handle from here
    /// would wait for ever. A panic refuses the declaration.
    ///
    /// # Errors
    /// Names the field and what is allowed in it.
    fn check(&self, source: &Source, spec: &Spec) -> Result<(), FieldError> {
        let _ = (source, spec);
        Ok(())
    }

    /// Who looks at the sources of this kind. Without one, observations come from the caller.
    fn observer(&self) -> Option<&dyn Observer> {
        None
    }

    /// What this kind does beside building. Asked once, when the reconciler starts, and noted with every attempt: an
    /// attempt that began without a duty leaves nothing to be done for it.
    fn duties(&self) -> Duties {
        Duties::default()
    }

    /// Makes a commit visible at its destination. For kinds that publish; called on a thread of the couriers.
    ///
    /// Called at least once for every commit, in their order, and again with backoff until it has succeeded; what comes
    /// after it waits. The destination has to compare tokens, see [`destination`].
    ///
    /// # Errors
    /// When the destination was not changed, or that is not known. A panic counts as an error, and a call that takes
    /// longer than the engine's patience as well, even if it succeeds in the end.
    fn publish(&self, publication: &PublishRequest<'_>) -> Result<(), DeliveryError> {
        Err(DeliveryError(format!("the kind {} says that it publishes, and cannot", publication.kind)))
    }

    /// Removes outputs that can never be live again. For kinds that discard; called on a thread of the couriers.
    ///
    /// Called at least once, so what is gone already is no error. Nothing that `after` names may be removed: parts of
    /// what was replaced, or was begun by an earlier attempt, may have been taken over. What an attempt that commits
    /// has made and does not name in its result is not asked for: it is that attempt's own to remove.
    ///
    /// # Errors
    /// When something is left. It is called again, with backoff.
    fn discard(&self, discarding: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        Err(DeliveryError(format!("the kind {} says that it discards, and cannot", discarding.kind)))
    }

    /// Whether [`verify`](Worker::verify) is to be called. Asked once, when the reconciler starts.
    fn verifies(&self) -> bool {
        false
    }

    /// Says whether what was committed is still there. Called after a refresh and a resync (see
    /// [`Resync`](crate::core::vocabulary::Resync)), once everything is published, on a thread of the couriers. What
    /// has drifted is built anew.
    ///
    /// # Errors
    /// When that cannot be found out, which says nothing about what is there. It is shown with the collection's status,
    /// and not tried again before the next refresh or resync.
    fn verify(&self, verification: &VerifyRequest<'_>) -> Result<VerifyOutcome, DeliveryError> {
        Err(DeliveryError(format!("the kind {} says that it verifies, and cannot", verification.kind)))
    }
}

/// Looks at the sources of one kind.
pub trait Observer: Send + Sync {
    /// Says what the source holds now. Called on a thread of the pool for looks, at most once at a time for one
    /// collection.
    ///
    /// # Errors
    /// When the source cannot be observed. That says nothing about its content, and never counts as empty.
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError>;

    /// Watches a source and gives `hint` whenever it may be worth a look. `None` where nothing can be watched, for now
    /// or at all: looks come at intervals anyway, and only they decide. The hint may be given from any thread, and as
    /// often as events come: a flood of hints makes few looks.
    ///
    /// Called on a thread of the pool for looks, right before a look, while nobody watches the source: at first, after
    /// source or spec have changed, and when the last one is no longer alive. A panic counts as `None`.
    fn watch(&self, source: &Source, spec: &Spec, hint: Hint) -> Option<Box<dyn SourceWatch>> {
        let _ = (source, spec, hint);
        None
    }
}

/// A source that is watched for as long as this is held. Dropping it must not take long.
pub trait SourceWatch: Send {
    /// Whether it still tells of everything that happens. Asked right before each look, on the look's thread, so it may
    /// ask the file system; one that does not is dropped and made anew before that look, so nothing is missed.
    fn is_alive(&self) -> bool;
}

/// Tells whoever made it that a source may be worth a look.
#[derive(Clone)]
pub struct Hint(Arc<dyn Fn() + Send + Sync>);

impl Hint {
    /// A hint that calls `heard`, which must not block.
    #[must_use]
    pub fn new(heard: impl Fn() + Send + Sync + 'static) -> Hint {
        Hint(Arc::new(heard))
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

/// What an [`Observer`] is asked to look at.
pub struct ObserveRequest<'a> {
    /// The collection's name.
    pub name: &'a Name,
    /// The source to look at.
    pub source: &'a Source,
    /// The collection's spec.
    pub spec: &'a Spec,
    /// What the last accepted look saw. If nothing has changed, return its version and write nothing.
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
        f.debug_struct("Look")
            .field("name", name)
            .field("source", source)
            .field("spec", spec)
            .field("known", known)
            .field("applied", applied)
            .field("wall", wall)
            .finish_non_exhaustive()
    }
}

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What the source holds.
    pub state: SourceState,
    /// What differs from the last accepted look.
    pub delta: Option<Delta>,
    /// In how many parts of the source a change could have gone unseen so far, because they changed a moment ago.
    /// Zero: what was seen is proven.
    pub racy: u64,
    /// When to look again to prove them, if that is before the next look is due anyway.
    pub observe_again: Option<Duration>,
    /// How many files of what the last commit was built from are no longer there; `None` if that is not known.
    pub missing: Option<u64>,
}

impl Observation {
    /// What was seen beyond doubt.
    #[must_use]
    pub fn new(observed: SourceState, delta: Option<Delta>) -> Observation {
        Observation { state: observed, delta, racy: 0, observe_again: None, missing: None }
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

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Trying again later may help. Charged to the task.
    Transient(String),
    /// Trying again will not help: the task is parked.
    Permanent(String),
    /// The source changed while it was read. Not charged; what it holds now counts as an observation.
    SourceMoved(Option<Box<Observation>>),
    /// The attempt was told to stop, and did: what [`Context::check_stop`] returns.
    Stopped,
}

impl Failure {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Failure::Transient(_) => ErrorKind::Io,
            Failure::Permanent(_) => ErrorKind::InvalidInput,
            Failure::SourceMoved(_) => ErrorKind::Busy,
            Failure::Stopped => ErrorKind::Stopped,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Transient(message) | Failure::Permanent(message) => f.write_str(message),
            Failure::SourceMoved(_) => f.write_str("the source changed while it was read"),
            Failure::Stopped => f.write_str("the attempt was told to stop"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// An I/O error may pass.
    fn from(error: std::io::Error) -> Failure {
        Failure::Transient(error.to_string())
    }
}

/// What one attempt is to do: everything it needs to know comes with it.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) attempt: AttemptRef,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) generation: Generation,
    pub(crate) applied: Option<Box<Applied>>,
    pub(crate) leftovers: Box<[Token]>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) signals: Arc<Signals>,
}

/// One attempt, as its worker sees it.
pub struct Context {
    assignment: Assignment,
    objects: Arc<dyn Objects>,
    time: EngineTime,
}

impl Context {
    pub(crate) fn new(assignment: Assignment, objects: Arc<dyn Objects>, time: EngineTime) -> Context {
        Context { assignment, objects, time }
    }

    /// The collection's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.assignment.name
    }

    /// The collection's kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.assignment.kind
    }

    /// The collection's incarnation.
    #[must_use]
    pub fn collection(&self) -> CollectionId {
        self.assignment.attempt.collection
    }

    /// The attempt, as it has to be named in a completion.
    #[must_use]
    pub fn attempt(&self) -> AttemptRef {
        self.assignment.attempt
    }

    /// The fencing token. Hand it to every destination that can compare tokens.
    #[must_use]
    pub fn token(&self) -> Token {
        self.assignment.attempt.token
    }

    /// The source to build from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.assignment.inputs.source
    }

    /// How to build it.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.assignment.inputs.spec
    }

    /// What the source was observed to hold; `None` for an unversioned collection.
    #[must_use]
    pub fn observed(&self) -> Option<&SourceState> {
        observed_of(&self.assignment.inputs)
    }

    /// The version that was observed; `None` for an unversioned collection.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.observed().map(|observed| &observed.version)
    }

    /// The fingerprint of all three.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.assignment.fingerprint
    }

    /// The generation that is built.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.assignment.generation
    }

    /// The last commit of the collection, to build on.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        self.assignment.applied.as_deref()
    }

    /// Earlier attempts of the collection that ended without a commit and whose outputs were not discarded. What they
    /// have built may be taken over; under any other token it may be live, or gone in a moment.
    #[must_use]
    pub fn leftovers(&self) -> &[Token] {
        &self.assignment.leftovers
    }

    /// Time left until the attempt times out; `None` if it never does.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.assignment.deadline.map(|deadline| deadline.since(self.time.now()))
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.time.wall()
    }

    /// Whether the attempt was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.assignment.signals.is_stopping()
    }

    /// Goes on, or returns [`Failure::Stopped`] if the attempt was told to stop: `context.check_stop()?`.
    ///
    /// # Errors
    /// When something newer is wanted, the attempt has timed out, or the reconciler shuts down.
    pub fn check_stop(&self) -> Result<(), Failure> {
        if self.is_stopping() { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// A future that resolves when the attempt is told to stop, for work that is itself a future: drive both and
    /// stop with the first. It needs no runtime, and may outlive the context.
    pub fn stopped(&self) -> Stopped {
        Stopped::new(Arc::clone(&self.assignment.signals))
    }

    /// Sleeps without being deaf: until the attempt is told to stop, for at most `timeout` of the engine's time.
    /// Says whether it was told.
    #[must_use]
    pub fn wait_stopped(&self, timeout: Duration) -> bool {
        self.assignment.signals.sleep(&self.time, timeout)
    }

    /// Says how far the attempt has come. It is shown, not logged.
    pub fn progress(&self, done: u64, total: u64) {
        self.assignment.signals.report(done, total);
    }

    /// Where sets of files and manifests are kept.
    #[must_use]
    pub fn objects(&self) -> &dyn Objects {
        &*self.objects
    }
}

/// What a word says the source was observed to hold.
pub(crate) fn observed_of(inputs: &Inputs) -> Option<&SourceState> {
    match &inputs.content {
        Content::Observed(observed) => Some(observed),
        Content::Unversioned | Content::Unknown => None,
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("assignment", &self.assignment).finish_non_exhaustive()
    }
}
