//! What may be asked of the reducer.

use std::time::Duration;

use super::{
    Built, CollectionId, DeliveryKind, Delta, Duties, Fingerprint, Generation, Kind, Limits, Name, Policy, Seq, Source,
    SourceState, Spec, TaskId, Token, WorkerName,
};

/// Something asked of the reducer. Time, ids and observations come in with it: deciding reads no clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A writer opened the log: a new epoch begins, and whatever was running is lost.
    Open {
        /// The program and version that writes.
        software: Box<str>,
    },
    /// Says what a collection is to be built from.
    Declare(Box<Declaration>),
    /// Says what a source was seen to hold, or that it could not be seen.
    Observe(ObservationReport),
    /// Look again, try again now.
    Refresh {
        /// Which collection.
        name: Name,
        /// Build anew what is wanted, even if it is applied.
        force: bool,
        /// The last event that the caller had seen: nothing is done if a refresh was requested since, so that
        /// repeating the command is harmless.
        seen: Option<Seq>,
    },
    /// Abort the live task and park.
    Cancel {
        /// Of which collection.
        name: Name,
        /// Only if this is the live task; repeating a cancel that names its task is harmless.
        task: Option<TaskId>,
    },
    /// No new attempts.
    Pause {
        /// Of which collection.
        name: Name,
    },
    /// New attempts again.
    Resume {
        /// Of which collection.
        name: Name,
    },
    /// Accept what is held.
    Confirm {
        /// Of which collection.
        name: Name,
        /// What is accepted; refused if something else is held by now.
        fingerprint: Fingerprint,
    },
    /// Forget the collection.
    Drop {
        /// Which.
        name: Name,
    },
    /// How many attempts may hold a worker at the same time.
    Limit(Limits),
    /// A worker is idle: give it the task that is due first.
    Assign(Assign),
    /// An attempt has a result.
    Complete(Box<Completion>),
    /// An attempt has failed.
    Fail {
        /// Which attempt.
        attempt: AttemptRef,
        /// How.
        failure: FailureReport,
    },
    /// A worker that was told to stop has stopped, without a result.
    Stopped {
        /// Which attempt.
        attempt: AttemptRef,
    },
    /// The worker of a leased attempt was silent for too long.
    Lost {
        /// Which attempt.
        attempt: AttemptRef,
    },
    /// An obligation was met.
    Delivered(DeliveryRef),
    /// An obligation could not be met.
    DeliveryFailed {
        /// Which.
        delivered: DeliveryRef,
        /// For people. At most [`FailureReport::MOST_MESSAGE`] bytes are kept.
        message: Box<str>,
    },
    /// What was committed is not there any more.
    Drifted {
        /// Of which collection.
        collection: CollectionId,
        /// The event that committed it.
        commit: Seq,
        /// What was found instead. At most [`FailureReport::MOST_MESSAGE`] bytes are kept.
        message: Box<str>,
    },
    /// A deadline has come.
    Due(Deadline),
}

impl Command {
    /// The collection that the command names.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Command::Declare(declaration) => Some(&declaration.name),
            Command::Observe(ObservationReport { subject: Subject::Name(name), .. })
            | Command::Refresh { name, .. }
            | Command::Cancel { name, .. }
            | Command::Pause { name }
            | Command::Resume { name }
            | Command::Confirm { name, .. }
            | Command::Drop { name } => Some(name),
            Command::Observe(ObservationReport { subject: Subject::Id(_), .. })
            | Command::Open { .. }
            | Command::Limit(_)
            | Command::Assign(_)
            | Command::Complete(_)
            | Command::Fail { .. }
            | Command::Stopped { .. }
            | Command::Lost { .. }
            | Command::Delivered(_)
            | Command::DeliveryFailed { .. }
            | Command::Drifted { .. }
            | Command::Due(_) => None,
        }
    }
}

/// What a collection is to be built from. For a collection that exists, what is `None` stays as it is; for a new
/// one kind and source are required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The name.
    pub name: Name,
    /// Which worker builds it. It cannot be changed: what one kind has applied means nothing to another.
    pub kind: Option<Kind>,
    /// Where the data comes from.
    pub source: Option<Source>,
    /// How it is built. A new collection has `{}` without it.
    pub spec: Option<Spec>,
    /// Whether the content of the source counts. A new collection is versioned without it. It cannot be changed.
    pub versioned: Option<bool>,
    /// How it is treated. A new collection has the defaults without it.
    pub policy: Option<Policy>,
    /// The caller's number of this declaration, so that one that arrives late does no harm: lower than the last is
    /// refused, equal and identical is no change, equal and different is an error.
    pub revision: Option<u64>,
}

impl Declaration {
    /// A declaration that says nothing yet.
    #[must_use]
    pub fn new(name: Name) -> Declaration {
        Declaration { name, kind: None, source: None, spec: None, versioned: None, policy: None, revision: None }
    }

    /// Which worker builds it.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Declaration {
        Declaration { kind: Some(kind), ..self }
    }

    /// Where the data comes from.
    #[must_use]
    pub fn source(self, source: Source) -> Declaration {
        Declaration { source: Some(source), ..self }
    }

    /// How it is built.
    #[must_use]
    pub fn spec(self, spec: Spec) -> Declaration {
        Declaration { spec: Some(spec), ..self }
    }

    /// The content of the source does not count: only source and spec do.
    #[must_use]
    pub fn unversioned(self) -> Declaration {
        Declaration { versioned: Some(false), ..self }
    }

    /// How it is treated.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Declaration {
        Declaration { policy: Some(policy), ..self }
    }

    /// The caller's number of this declaration.
    #[must_use]
    pub fn revision(self, revision: u64) -> Declaration {
        Declaration { revision: Some(revision), ..self }
    }
}

/// What a source was seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationReport {
    /// Whose source.
    pub subject: Subject,
    /// The position of the log when the look began. A look that began before the last accepted word is refused.
    /// `None` for a caller who knows that it speaks of now.
    pub began: Option<Seq>,
    /// What was seen.
    pub outcome: ObservationOutcome,
}

/// A collection, by name or by incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whichever incarnation has this name now.
    Name(Name),
    /// This incarnation.
    Id(CollectionId),
}

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservationOutcome {
    /// The content.
    Content {
        /// What the source holds.
        state: SourceState,
        /// What differs from the observation before.
        delta: Option<Delta>,
        /// How many files of what is applied are gone, if that is known.
        missing: Option<u64>,
    },
    /// The source could not be observed. This says nothing about its content.
    Failed {
        /// Why. At most [`FailureReport::MOST_MESSAGE`] bytes are kept.
        cause: Box<str>,
    },
}

/// A worker that is given work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    /// The worker.
    pub worker: WorkerName,
    /// The collection to work on, found by [`State::first_ready`](crate::core::State::first_ready).
    pub collection: CollectionId,
    /// If the worker is in a process of its own: how long it may be silent.
    pub lease: Option<Duration>,
    /// What the kind does beside building.
    pub duties: Duties,
}

/// The first obligation of a collection, as whoever meets it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryRef {
    /// The collection; it may be gone.
    pub collection: CollectionId,
    /// The event that created the obligation.
    pub obligation: Seq,
    /// What was done.
    pub delivery: DeliveryKind,
}

/// One attempt, as its worker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptRef {
    /// The collection.
    pub collection: CollectionId,
    /// The task.
    pub task: TaskId,
    /// Which attempt of the task, counted from 1.
    pub attempt: u32,
    /// Its token.
    pub token: Token,
}

/// A result that an attempt offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The attempt.
    pub attempt: AttemptRef,
    /// What the result was built from.
    pub fingerprint: Fingerprint,
    /// The result.
    pub result: Built,
}

/// How an attempt failed, as its worker reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureReport {
    /// What kind of failure, which decides whether and when to try again.
    pub class: FailureClass,
    /// For people. At most [`FailureReport::MOST_MESSAGE`] bytes are kept.
    pub message: Box<str>,
}

impl FailureReport {
    /// The most bytes of a message that are logged: a few lines, not a core dump.
    pub const MOST_MESSAGE: usize = 2048;
}

/// What kind of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Trying again later may help.
    Transient,
    /// Trying again will not help.
    Permanent,
    /// The worker panicked. Tried again like a transient failure.
    Panicked,
    /// The source changed while it was read; what it holds now, if the worker knows.
    SourceMoved(Option<Box<ObservationReport>>),
}

/// Something that is to happen at a time. Deadlines live in the state as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// The source of this collection was quiet for long enough.
    Settled(CollectionId),
    /// The running attempt of this collection has timed out.
    Attempt(CollectionId),
    /// The attempt with this token had its grace.
    Grace(Token),
    /// What this collection has applied is to be checked again.
    Resync(CollectionId),
}

/// What an accepted command left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The last event that the command added, if it added any: without one, nothing changed.
    pub seq: Option<Seq>,
    /// The collection it was about.
    pub collection: Option<CollectionId>,
    /// That collection's generation afterwards: what to wait for.
    pub generation: Generation,
}
