//! What may be asked of the reducer, and how it may refuse.

use std::fmt;

use super::{
    Built, CollectionId, Delta, FieldError, Fingerprint, Generation, Kind, Name, Observed, Policy, Seq, Source, Spec,
    TaskId, Token, WorkerName,
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
    Observe(Observation),
    /// Look again, try again now.
    Refresh {
        /// Which collection.
        name: Name,
        /// Build anew what is wanted, even if it is applied.
        force: bool,
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
    /// A worker is idle: give it the task that is due first.
    Assign {
        /// The worker.
        worker: WorkerName,
        /// The collection to work on, found by [`State::first_ready`](crate::core::State::first_ready).
        collection: CollectionId,
    },
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
    /// A deadline has come.
    Due(Deadline),
}

impl Command {
    /// The collection that the command names.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Command::Declare(declaration) => Some(&declaration.name),
            Command::Observe(Observation { subject: Subject::Name(name), .. })
            | Command::Refresh { name, .. }
            | Command::Cancel { name, .. }
            | Command::Pause { name }
            | Command::Resume { name }
            | Command::Confirm { name, .. }
            | Command::Drop { name } => Some(name),
            Command::Observe(Observation { subject: Subject::Id(_), .. })
            | Command::Open { .. }
            | Command::Assign { .. }
            | Command::Complete(_)
            | Command::Fail { .. }
            | Command::Stopped { .. }
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
}

/// What a source was seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whose source.
    pub subject: Subject,
    /// The position of the log when the look began. A look that began before the last accepted word is refused.
    /// `None` for a caller who knows that it speaks of now.
    pub began: Option<Seq>,
    /// What was seen.
    pub seen: Seen,
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
pub enum Seen {
    /// The content.
    Content {
        /// What the source holds.
        observed: Observed,
        /// What differs from the observation before.
        delta: Option<Delta>,
    },
    /// The source could not be observed. This says nothing about its content.
    Failed {
        /// Why. At most [`FailureReport::MOST_MESSAGE`] bytes are kept.
        cause: Box<str>,
    },
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
    SourceMoved(Option<Box<Observation>>),
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
}

/// Why a command was refused. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Bad input.
    Field(FieldError),
    /// No collection has this name.
    UnknownCollection(Name),
    /// This incarnation is gone.
    UnknownIncarnation(CollectionId),
    /// The look began before the last accepted word.
    LookTooOld {
        /// Where it began.
        began: Seq,
        /// The last accepted word.
        heard: Seq,
    },
    /// The collection is unversioned: what its source holds does not count.
    NotVersioned(Name),
    /// There is no live task, or not this one.
    NoSuchTask {
        /// The live task, if there is one.
        live: Option<TaskId>,
    },
    /// The declaration is older than one that was accepted, or says something else under the same number.
    RevisionTooLow {
        /// What it says.
        declared: u64,
        /// The last one that was accepted.
        known: u64,
    },
    /// A task is live, and the policy refuses declarations meanwhile.
    TaskIsLive {
        /// Which.
        task: Option<TaskId>,
    },
    /// Nothing is held, or not this.
    NotHeld {
        /// What is held, if anything.
        held: Option<Fingerprint>,
    },
    /// The task cannot start an attempt now.
    NotReady(CollectionId),
    /// This deadline is not due.
    NotDue,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Field(error) => error.fmt(f),
            Rejection::UnknownCollection(name) => write!(f, "there is no collection {name:?}"),
            Rejection::UnknownIncarnation(id) => write!(f, "the collection declared at event {id} is gone"),
            Rejection::LookTooOld { began, heard } => {
                write!(f, "the look began at event {began}, before the word of event {heard}")
            }
            Rejection::NotVersioned(name) => {
                write!(f, "collection {name:?} is unversioned: what its source holds does not count")
            }
            Rejection::NoSuchTask { live: Some(live) } => write!(f, "the live task is {live}"),
            Rejection::NoSuchTask { live: None } => f.write_str("there is no live task"),
            Rejection::RevisionTooLow { declared, known } if declared == known => {
                write!(f, "revision {known} was declared before and says something else")
            }
            Rejection::RevisionTooLow { declared, known } => {
                write!(f, "revision {declared} is older than {known}, which was accepted")
            }
            Rejection::TaskIsLive { task: Some(task) } => {
                write!(f, "task {task} is live, and the policy on_change = reject refuses declarations meanwhile")
            }
            Rejection::TaskIsLive { task: None } => f.write_str("a task is live"),
            Rejection::NotHeld { held: Some(held) } => write!(f, "what is held is {held}"),
            Rejection::NotHeld { held: None } => f.write_str("nothing is held"),
            Rejection::NotReady(id) => write!(f, "collection {id} has no task that may start now"),
            Rejection::NotDue => f.write_str("this deadline is not due"),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<FieldError> for Rejection {
    fn from(error: FieldError) -> Rejection {
        Rejection::Field(error)
    }
}

/// What an accepted command left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The last event that the command added, if it added any: without one, nothing changed.
    pub seq: Option<Seq>,
    /// The collection it was about.
    pub collection: Option<CollectionId>,
    /// That collection's generation afterwards: what to wait for.
    pub generation: Generation,
}
