//! What the engine tells the core: that a log was opened, what workers, observers and deliveries report, which deadlines
//! have come. No caller can say any of it. With it is [`Input`], which is a command of either kind.

use std::time::Duration;

use super::{
    Built, CollectionId, Command, DeliveryKind, Duties, Fingerprint, Name, ObservationOutcome, Seq, TaskId, Token,
    WorkerName,
};

/// Something that the engine tells the core. Ids and observations come in with it: deciding reads nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineCommand {
    /// A writer opened the log: a new epoch begins, and whatever was running is lost.
    Open {
        /// The program and version that writes.
        software: Box<str>,
    },
    /// An observer has observed a source, or could not.
    Observe(ObservationReport),
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
    /// The first entry of an outbox was delivered.
    Delivered(DeliveryRef),
    /// The first entry of an outbox could not be delivered.
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

/// Everything that [`decide`](crate::core::decide) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// What a caller asks for.
    Caller(&'a Command),
    /// What the engine tells.
    Engine(&'a EngineCommand),
}

impl<'a> Input<'a> {
    /// The collection that it names. The engine's commands name collections by incarnation.
    #[must_use]
    pub fn name(self) -> Option<&'a Name> {
        match self {
            Input::Caller(command) => command.name(),
            Input::Engine(_) => None,
        }
    }
}

impl<'a> From<&'a Command> for Input<'a> {
    fn from(command: &'a Command) -> Input<'a> {
        Input::Caller(command)
    }
}

impl<'a> From<&'a EngineCommand> for Input<'a> {
    fn from(command: &'a EngineCommand) -> Input<'a> {
        Input::Engine(command)
    }
}

/// What an observer found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationReport {
    /// Whose source.
    pub collection: CollectionId,
    /// The position of the log when the observation began. It is refused if newer inputs were accepted since.
    pub began: Seq,
    /// What was found.
    pub outcome: ObservationOutcome,
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

/// The first entry of a collection's outbox, as its delivery names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryRef {
    /// The collection; it may be gone.
    pub collection: CollectionId,
    /// The event that created the entry.
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
    /// The source changed while it was read; what the attempt observed instead, if it knows.
    SourceMoved(Option<Box<AttemptObservation>>),
}

/// What an attempt observed when its source had changed under it, and what the engine knows of observers at that time.
/// An observation that finds nothing new leaves no event, so the state alone cannot tell which of the two is newer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptObservation {
    /// What the attempt observed. It began no earlier than the attempt.
    pub outcome: ObservationOutcome,
    /// The position of the log at which the last accepted observation of an observer began, if there was one since the
    /// log was opened.
    pub last_observation: Option<Seq>,
    /// Whether there is an observer that observes the source.
    pub has_observer: bool,
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
