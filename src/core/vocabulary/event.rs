//! What happened. Events carry decided facts (due times, deadlines, limits), so that folding them evaluates no
//! policy.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AbortReason, Admission, Built, By, CollectionId, DeliveryKind, Delta, Duties, EndReason, Epoch, FailReason,
    Fingerprint, Generation, HoldCause, Kind, Limits, Name, ObjectHash, ParkCause, Policy, RefreshReason, RejectReason,
    Seq, Source, SourceState, Spec, Stopping, TaskId, Timestamp, Token, WorkerName,
};

/// One event at its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    /// Its position.
    pub seq: Seq,
    /// When it was decided, by the engine's clock. All events of one frame have the same time.
    pub at: Timestamp,
    /// The writer that decided it.
    pub epoch: Epoch,
    /// Who asked for it, and why, if it was said. Folding ignores it.
    pub by: Option<Arc<By>>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A writer opened the log. The first event of every epoch.
    WriterOpened {
        /// The program and version that writes.
        software: Box<str>,
    },
    /// A person accepted that the events from here on that an earlier writer had logged are lost.
    DataLossAccepted {
        /// The last event that is still there.
        last: Seq,
        /// What was found instead of the rest.
        found: Box<str>,
    },
    /// A part of what the events up to `at` add up to: it stands for them after they were deleted. Says nothing new.
    CheckpointPart {
        /// The last event that it stands for.
        at: Seq,
        /// The hash of the frame that this event ends.
        hash: [u8; 32],
        /// Which part, counted from 0.
        part: u32,
        /// Of how many.
        parts: u32,
        /// The part's bytes.
        bytes: Box<[u8]>,
    },
    /// How many attempts may hold a worker at the same time, from here on.
    LimitsChanged {
        /// The limits.
        limits: Limits,
    },
    /// A collection was declared; its id is the `Seq` of this event.
    CollectionDeclared {
        /// Its name.
        name: Name,
        /// Which worker builds it.
        kind: Kind,
        /// Where the data comes from.
        source: Source,
        /// How it is built.
        spec: Spec,
        /// Whether the content of the source counts.
        versioned: bool,
        /// Its policies.
        policy: Arc<Policy>,
        /// The caller's number of this declaration.
        revision: Option<u64>,
        /// What is wanted now; nothing yet if it is versioned.
        wanted: Option<Fingerprint>,
    },
    /// The source was declared anew.
    SourceChanged {
        /// Whose.
        collection: CollectionId,
        /// The new source.
        source: Source,
        /// What is wanted now; unknown until the new source was observed.
        admission: Admission,
    },
    /// The spec was declared anew.
    SpecChanged {
        /// Whose.
        collection: CollectionId,
        /// The new spec.
        spec: Spec,
        /// What is wanted now.
        admission: Admission,
    },
    /// The policies were declared anew, or a declaration had a higher revision than the one before.
    PolicyChanged {
        /// Whose.
        collection: CollectionId,
        /// The policies from here on.
        policy: Arc<Policy>,
        /// The caller's number of the last declaration that had one.
        revision: Option<u64>,
        /// When what is applied is checked again.
        resync_at: Option<Timestamp>,
    },
    /// A source was observed to hold something else than at the last observation, or can be observed again, or
    /// what was observed earlier is now admitted.
    SourceObserved {
        /// Whose source.
        collection: CollectionId,
        /// What it holds.
        observed: Arc<SourceState>,
        /// What differs from the observation before.
        delta: Option<Delta>,
        /// Whether it is wanted from here on.
        admission: Admission,
    },
    /// A source could not be observed. Logged when the cause changes.
    ObservationFailed {
        /// Whose source.
        collection: CollectionId,
        /// Why.
        cause: Box<str>,
    },
    /// An observation looks like a loss and waits for a person.
    CollectionHeld {
        /// Whose.
        collection: CollectionId,
        /// What was observed.
        observed: Arc<SourceState>,
        /// What differs from the observation before.
        delta: Option<Delta>,
        /// Why it is held.
        cause: HoldCause,
        /// What would be wanted if it were confirmed.
        fingerprint: Fingerprint,
    },
    /// A person confirmed what was held; it is wanted from here on.
    HoldConfirmed {
        /// Whose.
        collection: CollectionId,
        /// What is wanted now.
        fingerprint: Fingerprint,
        /// Its generation.
        generation: Generation,
    },
    /// A collection was dropped.
    CollectionDropped {
        /// Which.
        collection: CollectionId,
    },
    /// No new attempts from here on.
    CollectionPaused {
        /// Of which collection.
        collection: CollectionId,
    },
    /// New attempts again.
    CollectionResumed {
        /// Of which collection.
        collection: CollectionId,
    },
    /// Observe the source again, and (unless it is a resync) try again now.
    RefreshRequested {
        /// Which collection.
        collection: CollectionId,
        /// What is wanted is to be built anew, even if it is applied.
        force: bool,
        /// Why.
        reason: RefreshReason,
        /// When what is applied is checked again.
        resync_at: Option<Timestamp>,
    },
    /// A task was created; its id is the `Seq` of this event.
    TaskCreated {
        /// For which collection.
        collection: CollectionId,
        /// The generation it builds.
        generation: Generation,
        /// What it builds.
        fingerprint: Fingerprint,
        /// Its first attempt starts no earlier.
        not_before: Timestamp,
        /// It builds everything anew, on nothing that was committed before.
        rebuild: bool,
    },
    /// An attempt was given to a worker; its token is (epoch, `Seq`) of this event.
    TaskStarted {
        /// Of which collection.
        collection: CollectionId,
        /// Of which task.
        task: TaskId,
        /// Which attempt of the task, counted from 1.
        attempt: u32,
        /// Who runs it.
        worker: WorkerName,
        /// When it has timed out.
        deadline: Option<Timestamp>,
        /// If it runs in a process of its own: how long it may be silent before it counts as lost. Such an attempt
        /// outlives the process that wrote this event.
        lease: Option<Duration>,
        /// What its kind does beside building.
        duties: Duties,
    },
    /// A live task ended because it is not to be finished.
    TaskAborted {
        /// Of which collection.
        collection: CollectionId,
        /// Which task.
        task: TaskId,
        /// Why.
        reason: AbortReason,
        /// The attempt that has to stop, if one was running.
        stopping: Option<Stopping>,
    },
    /// A result was committed: result, terminal state and source in one event.
    TaskCompleted {
        /// Of which collection.
        collection: CollectionId,
        /// Of which task.
        task: TaskId,
        /// Of which attempt.
        attempt: u32,
        /// The attempt's token.
        token: Token,
        /// What it was built from.
        fingerprint: Fingerprint,
        /// What was built.
        result: Arc<Built>,
        /// When what is applied is checked again.
        resync_at: Option<Timestamp>,
    },
    /// An attempt ended without a result; its task lives on.
    AttemptFailed {
        /// Of which collection.
        collection: CollectionId,
        /// Of which task.
        task: TaskId,
        /// Which attempt.
        attempt: u32,
        /// The attempt's token.
        token: Token,
        /// How it ended.
        reason: FailReason,
        /// What the worker said of it.
        message: Box<str>,
        /// The next attempt starts no earlier.
        retry_at: Timestamp,
        /// Failures in a row of this collection, this one included: the exponent of its backoff.
        failures: u32,
        /// Until when the attempt may take to stop, if it was not the worker that ended it.
        grace_until: Option<Timestamp>,
    },
    /// An attempt no longer holds its worker. Every started attempt has exactly one such event.
    AttemptEnded {
        /// Of which collection.
        collection: CollectionId,
        /// Of which task.
        task: TaskId,
        /// Which attempt.
        attempt: u32,
        /// The attempt's token.
        token: Token,
        /// How.
        reason: EndReason,
    },
    /// What made the last attempts fail seems to be gone: the next one may start earlier than was decided.
    TaskWoken {
        /// Of which collection.
        collection: CollectionId,
        /// Which task.
        task: TaskId,
        /// The next attempt starts no earlier.
        not_before: Timestamp,
    },
    /// A live task ended because no further attempt is worth while.
    TaskParked {
        /// Of which collection.
        collection: CollectionId,
        /// Which task.
        task: TaskId,
        /// Why.
        cause: ParkCause,
    },
    /// A completion was refused.
    CompletionRejected {
        /// Of which collection; it may be gone.
        collection: CollectionId,
        /// Which task it named.
        task: TaskId,
        /// Which attempt it named.
        attempt: u32,
        /// The token it carried.
        token: Token,
        /// Why.
        reason: RejectReason,
        /// What the result was built from.
        fingerprint: Fingerprint,
        /// What is wanted instead, if that is known.
        wanted: Option<Fingerprint>,
    },
    /// A commit was handed to its destination.
    Published {
        /// Of which collection.
        collection: CollectionId,
        /// The event that committed it.
        commit: Seq,
        /// The token it was committed and published under.
        token: Token,
        /// What it was built from.
        fingerprint: Fingerprint,
    },
    /// An obligation towards the destination could not be met; it stays.
    PublishFailed {
        /// Of which collection; it may be gone.
        collection: CollectionId,
        /// The event that created the obligation.
        obligation: Seq,
        /// What was tried.
        delivery: DeliveryKind,
        /// What the worker said of it.
        message: Box<str>,
        /// Failures in a row, this one included.
        failures: u32,
        /// It is tried again no earlier.
        retry_at: Timestamp,
    },
    /// Outputs that can never be live again were discarded.
    Discarded {
        /// Of which collection; it may be gone.
        collection: CollectionId,
        /// The event that created the obligation.
        obligation: Seq,
    },
}

impl Event {
    /// The collection that the event is about. For `CollectionDeclared` it is the event's own `Seq`.
    #[must_use]
    pub fn collection(&self, seq: Seq) -> Option<CollectionId> {
        match self {
            Event::WriterOpened { .. }
            | Event::DataLossAccepted { .. }
            | Event::CheckpointPart { .. }
            | Event::LimitsChanged { .. } => None,
            Event::CollectionDeclared { .. } => Some(CollectionId(seq)),
            Event::SourceChanged { collection, .. }
            | Event::SpecChanged { collection, .. }
            | Event::PolicyChanged { collection, .. }
            | Event::SourceObserved { collection, .. }
            | Event::ObservationFailed { collection, .. }
            | Event::CollectionHeld { collection, .. }
            | Event::HoldConfirmed { collection, .. }
            | Event::CollectionDropped { collection }
            | Event::CollectionPaused { collection }
            | Event::CollectionResumed { collection }
            | Event::RefreshRequested { collection, .. }
            | Event::TaskCreated { collection, .. }
            | Event::TaskStarted { collection, .. }
            | Event::TaskAborted { collection, .. }
            | Event::TaskCompleted { collection, .. }
            | Event::AttemptFailed { collection, .. }
            | Event::AttemptEnded { collection, .. }
            | Event::TaskWoken { collection, .. }
            | Event::TaskParked { collection, .. }
            | Event::CompletionRejected { collection, .. }
            | Event::Published { collection, .. }
            | Event::PublishFailed { collection, .. }
            | Event::Discarded { collection, .. } => Some(*collection),
        }
    }

    /// The task that the event is about. For `TaskCreated` it is the event's own `Seq`.
    #[must_use]
    pub fn task(&self, seq: Seq) -> Option<TaskId> {
        match self {
            Event::TaskCreated { .. } => Some(TaskId(seq)),
            Event::TaskStarted { task, .. }
            | Event::TaskAborted { task, .. }
            | Event::TaskCompleted { task, .. }
            | Event::AttemptFailed { task, .. }
            | Event::AttemptEnded { task, .. }
            | Event::TaskWoken { task, .. }
            | Event::TaskParked { task, .. }
            | Event::CompletionRejected { task, .. } => Some(*task),
            _ => None,
        }
    }

    /// The attempt that the event is about, counted from 1 within its task.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Event::TaskStarted { attempt, .. }
            | Event::TaskCompleted { attempt, .. }
            | Event::AttemptFailed { attempt, .. }
            | Event::AttemptEnded { attempt, .. }
            | Event::CompletionRejected { attempt, .. } => Some(*attempt),
            _ => None,
        }
    }

    /// The name of the event's type, as every tool prints it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Event::WriterOpened { .. } => "writer_opened",
            Event::DataLossAccepted { .. } => "data_loss_accepted",
            Event::CheckpointPart { .. } => "base_frame",
            Event::LimitsChanged { .. } => "limits_changed",
            Event::CollectionDeclared { .. } => "collection_declared",
            Event::SourceChanged { .. } => "source_changed",
            Event::SpecChanged { .. } => "spec_changed",
            Event::PolicyChanged { .. } => "policy_changed",
            Event::SourceObserved { .. } => "source_observed",
            Event::ObservationFailed { .. } => "observation_failed",
            Event::CollectionHeld { .. } => "collection_held",
            Event::HoldConfirmed { .. } => "hold_confirmed",
            Event::CollectionDropped { .. } => "collection_dropped",
            Event::CollectionPaused { .. } => "collection_paused",
            Event::CollectionResumed { .. } => "collection_resumed",
            Event::RefreshRequested { .. } => "refresh_requested",
            Event::TaskCreated { .. } => "task_created",
            Event::TaskStarted { .. } => "task_started",
            Event::TaskAborted { .. } => "task_aborted",
            Event::TaskCompleted { .. } => "task_completed",
            Event::AttemptFailed { .. } => "attempt_failed",
            Event::AttemptEnded { .. } => "attempt_ended",
            Event::TaskWoken { .. } => "task_woken",
            Event::TaskParked { .. } => "task_parked",
            Event::CompletionRejected { .. } => "completion_rejected",
            Event::Published { .. } => "published",
            Event::PublishFailed { .. } => "publish_failed",
            Event::Discarded { .. } => "discarded",
        }
    }

    /// The root of the tree of objects that the event names: a path set or a manifest, durable before it.
    #[must_use]
    pub fn object(&self) -> Option<ObjectHash> {
        match self {
            Event::SourceObserved { observed, .. } | Event::CollectionHeld { observed, .. } => {
                observed.set.map(|set| set.root)
            }
            Event::TaskCompleted { result, .. } => result.manifest,
            _ => None,
        }
    }
}
