//! One collection's life: what its task is doing, and one exhaustive table of what each event makes of it.
//!
//! ```text
//!                    TaskCreated                  TaskStarted
//!          Idle ----------------------> Waiting <------------> Running
//!           ^ ^                          |  |  AttemptFailed,    |  |
//!           | |    TaskAborted           |  |  AttemptEnded      |  |
//!           | +--------------------------+--)--------------------+  |
//!           |      TaskCompleted            |                       |
//!           +-------------------------------)-----------------------+
//!           |                               | TaskParked            | TaskAborted{cancelled}
//!           |  something else is wanted,    v                       v
//!           +------------------------------ Parked <----------------+
//!              or RefreshRequested
//! ```
//!
//! A task is *live* while it is waiting or running: OneLive holds by the shape of this type.

use std::time::Duration;

use super::vocabulary::{
    AbortReason, Admission, AttemptRef, CollectionId, Duties, Event, FailReason, Fingerprint, Generation, ParkCause,
    Recorded, RefreshReason, TaskId, Timestamp, Token, WorkerName,
};

/// What the task of a collection is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// There is no task.
    #[default]
    Idle,
    /// The live task waits for its next attempt.
    Waiting(Box<Waiting>),
    /// An attempt of the live task is running.
    Running(Box<Running>),
    /// The last task was given up; what it was to build is still wanted.
    Parked(Box<Parked>),
}

/// A live task between attempts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// The task.
    pub task: Task,
    /// Its next attempt starts no earlier.
    pub not_before: Timestamp,
}

/// A live task with an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// The task.
    pub task: Task,
    /// Its attempt.
    pub attempt: Attempt,
}

/// The work that brings a collection to one fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it builds.
    pub fingerprint: Fingerprint,
    /// The generation it builds.
    pub generation: Generation,
    /// It builds everything anew, on nothing that was committed before.
    pub rebuild: bool,
    /// Attempts started so far.
    pub attempts: u32,
    /// Attempts that count against the policy's `max_attempts`.
    pub charged: u32,
    /// Attempts that ended with their process.
    pub lost: u32,
    /// How the last attempt failed.
    pub last_failure: Option<LastFailure>,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastFailure {
    /// In which way.
    pub reason: FailReason,
    /// What the worker said.
    pub message: Box<str>,
    /// When.
    pub at: Timestamp,
}

/// One try of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Which of the task, counted from 1.
    pub number: u32,
    /// Its fencing token.
    pub token: Token,
    /// The worker that runs it.
    pub worker: WorkerName,
    /// Since when.
    pub started: Timestamp,
    /// When it has timed out.
    pub deadline: Option<Timestamp>,
    /// If it runs in a process of its own: how long it may be silent before it counts as lost.
    pub lease: Option<Duration>,
    /// What its kind does beside building.
    pub duties: Duties,
}

/// A task that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parked {
    /// Which task.
    pub task: TaskId,
    /// What it was to build.
    pub fingerprint: Fingerprint,
    /// Why it was given up.
    pub cause: Parking,
    /// Since when.
    pub since: Timestamp,
    /// How its last attempt failed.
    pub last_failure: Option<LastFailure>,
}

/// Why a task was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parking {
    /// By the policy, or because its worker said so.
    Failed(ParkCause),
    /// By a person.
    Cancelled,
}

impl Parking {
    /// `permanent`, `out_of_attempts`, `lost_too_often` or `cancelled`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Parking::Failed(cause) => cause.as_str(),
            Parking::Cancelled => "cancelled",
        }
    }
}

impl Running {
    /// The attempt, as its worker names it. `collection` is the one whose task this is.
    #[must_use]
    pub fn attempt_of(&self, collection: CollectionId) -> AttemptRef {
        AttemptRef { collection, task: self.task.id, attempt: self.attempt.number, token: self.attempt.token }
    }
}

impl Status {
    /// The live task.
    #[must_use]
    pub fn live(&self) -> Option<&Task> {
        match self {
            Status::Waiting(waiting) => Some(&waiting.task),
            Status::Running(running) => Some(&running.task),
            Status::Idle | Status::Parked(_) => None,
        }
    }

    /// The attempt that is running, with its task.
    #[must_use]
    pub fn running(&self) -> Option<&Running> {
        match self {
            Status::Running(running) => Some(running),
            Status::Idle | Status::Waiting(_) | Status::Parked(_) => None,
        }
    }

    /// The attempt that is running.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        self.running().map(|running| &running.attempt)
    }

    /// What `recorded` makes of this status: the one transition table. Live and replay use nothing else.
    ///
    /// # Errors
    /// The reason why the event cannot follow.
    pub(super) fn after(self, recorded: &Recorded) -> Result<Status, &'static str> {
        use Status::{Idle, Parked as Shelved, Running as Run, Waiting as Wait};
        let at = recorded.at;
        match (&recorded.event, self) {
            // Not about the task of an existing collection.
            (
                Event::WriterOpened { .. }
                | Event::DataLossAccepted { .. }
                | Event::CheckpointPart { .. }
                | Event::LimitsChanged { .. }
                | Event::CollectionDeclared { .. },
                Idle | Wait(_) | Run(_) | Shelved(_),
            ) => Err("it is not about an existing collection"),

            // Inputs that leave the task alone.
            (
                Event::PolicyChanged { .. }
                | Event::ObservationFailed { .. }
                | Event::CollectionHeld { .. }
                | Event::CollectionPaused { .. }
                | Event::CollectionResumed { .. }
                | Event::CompletionRejected { .. }
                | Event::Published { .. }
                | Event::PublishFailed { .. }
                | Event::Discarded { .. }
                | Event::RefreshRequested { reason: RefreshReason::Resync, .. }
                | Event::SourceChanged { admission: Admission::Settling { .. } | Admission::Waiting, .. }
                | Event::SpecChanged { admission: Admission::Settling { .. } | Admission::Waiting, .. }
                | Event::SourceObserved { admission: Admission::Settling { .. } | Admission::Waiting, .. },
                status @ (Idle | Wait(_) | Run(_) | Shelved(_)),
            ) => Ok(status),

            // Inputs that may change what is wanted. A live task that they make obsolete is aborted by an event
            // of its own; a parked one is over once something else is wanted.
            (
                Event::SourceChanged { admission: Admission::Admitted { .. }, .. }
                | Event::SpecChanged { admission: Admission::Admitted { .. }, .. }
                | Event::HoldConfirmed { .. }
                | Event::SourceObserved { admission: Admission::Admitted { .. }, .. },
                status @ (Idle | Wait(_) | Run(_)),
            ) => Ok(status),
            (
                Event::SourceChanged { admission: Admission::Admitted { wanted, .. }, .. }
                | Event::SpecChanged { admission: Admission::Admitted { wanted, .. }, .. }
                | Event::SourceObserved { admission: Admission::Admitted { wanted, .. }, .. },
                Shelved(parked),
            ) => Ok(parked.unless(*wanted)),
            (Event::HoldConfirmed { fingerprint, .. }, Shelved(parked)) => Ok(parked.unless(Some(*fingerprint))),

            // A caller asked, or what was committed is gone.
            (
                Event::RefreshRequested { reason: RefreshReason::Asked | RefreshReason::Drift(_), .. },
                status @ (Idle | Run(_)),
            ) => Ok(status),
            (
                Event::RefreshRequested { reason: RefreshReason::Asked | RefreshReason::Drift(_), .. },
                Wait(mut waiting),
            ) => {
                // It keeps its place in the queue.
                waiting.not_before = waiting.not_before.min(at);
                Ok(Wait(waiting))
            }
            (Event::RefreshRequested { reason: RefreshReason::Asked | RefreshReason::Drift(_), .. }, Shelved(_)) => {
                Ok(Idle)
            }

            (Event::CollectionDropped { .. }, status @ (Idle | Shelved(_))) => Ok(status),
            (Event::CollectionDropped { .. }, Wait(_) | Run(_)) => Err("its task is live"),

            (Event::TaskCreated { generation, fingerprint, not_before, rebuild, .. }, Idle) => {
                let task = Task {
                    id: TaskId(recorded.seq),
                    fingerprint: *fingerprint,
                    generation: *generation,
                    rebuild: *rebuild,
                    attempts: 0,
                    charged: 0,
                    lost: 0,
                    last_failure: None,
                };
                Ok(Wait(Box::new(Waiting { task, not_before: *not_before })))
            }
            (Event::TaskCreated { .. }, Wait(_) | Run(_)) => Err("another task is live"),
            (Event::TaskCreated { .. }, Shelved(_)) => Err("what is wanted is parked"),

            (Event::TaskStarted { task, attempt, worker, deadline, lease, duties, .. }, Wait(waiting)) => {
                let mut live = expect_task(waiting.task, *task)?;
                live.attempts += 1;
                if live.attempts != *attempt {
                    return Err("it is not the next attempt");
                }
                if waiting.not_before > at {
                    return Err("its time has not come");
                }
                let attempt = Attempt {
                    number: *attempt,
                    token: Token { epoch: recorded.epoch, seq: recorded.seq },
                    worker: worker.clone(),
                    started: at,
                    deadline: *deadline,
                    lease: *lease,
                    duties: *duties,
                };
                Ok(Run(Box::new(Running { task: live, attempt })))
            }
            (Event::TaskStarted { .. }, Run(_)) => Err("an attempt is running"),
            (Event::TaskStarted { .. }, Idle | Shelved(_)) => Err("no task is live"),

            (Event::TaskAborted { task, reason, stopping: None, .. }, Wait(waiting)) => {
                Ok(aborted(expect_task(waiting.task, *task)?, *reason, at))
            }
            (Event::TaskAborted { stopping: Some(_), .. }, Wait(_)) => Err("no attempt is running that could stop"),
            (Event::TaskAborted { task, reason, stopping: Some(stopping), .. }, Run(running)) => {
                expect_attempt(&running.attempt, running.attempt.number, stopping.token)?;
                Ok(aborted(expect_task(running.task, *task)?, *reason, at))
            }
            (Event::TaskAborted { stopping: None, .. }, Run(_)) => Err("an attempt is running that has to stop"),
            (Event::TaskAborted { .. }, Idle | Shelved(_)) => Err("no task is live"),

            (Event::TaskCompleted { task, attempt, token, fingerprint, .. }, Run(running)) => {
                expect_attempt(&running.attempt, *attempt, *token)?;
                if expect_task(running.task, *task)?.fingerprint != *fingerprint {
                    return Err("it was built from something else than its task");
                }
                Ok(Idle)
            }
            (Event::TaskCompleted { .. }, Idle | Wait(_) | Shelved(_)) => Err("no attempt is running"),

            (Event::AttemptFailed { task, attempt, token, reason, message, retry_at, .. }, Run(running)) => {
                expect_attempt(&running.attempt, *attempt, *token)?;
                let mut task = expect_task(running.task, *task)?;
                match reason {
                    FailReason::Failed | FailReason::TimedOut | FailReason::Panicked => task.charged += 1,
                    FailReason::WorkerLost => task.lost += 1,
                    FailReason::SourceMoved => {}
                }
                task.last_failure = Some(LastFailure { reason: *reason, message: message.clone(), at });
                Ok(Wait(Box::new(Waiting { task, not_before: *retry_at })))
            }
            (Event::AttemptFailed { .. }, Idle | Wait(_) | Shelved(_)) => Err("no attempt is running"),

            // An attempt that ends while it is the live one was handed back without a result: not charged.
            (Event::AttemptEnded { attempt, token, .. }, Run(running)) if running.attempt.token == *token => {
                expect_attempt(&running.attempt, *attempt, *token)?;
                Ok(Wait(Box::new(Waiting { task: running.task, not_before: at })))
            }
            (Event::AttemptEnded { .. }, status @ (Idle | Wait(_) | Run(_) | Shelved(_))) => Ok(status),

            (Event::TaskWoken { task, not_before, .. }, Wait(waiting)) => {
                Ok(Wait(Box::new(Waiting { task: expect_task(waiting.task, *task)?, not_before: *not_before })))
            }
            (Event::TaskWoken { .. }, Run(_)) => Err("an attempt is running"),
            (Event::TaskWoken { .. }, Idle | Shelved(_)) => Err("no task is live"),

            (Event::TaskParked { task, cause, .. }, Wait(waiting)) => {
                Ok(shelved(expect_task(waiting.task, *task)?, Parking::Failed(*cause), at))
            }
            (Event::TaskParked { .. }, Run(_)) => Err("an attempt is running"),
            (Event::TaskParked { .. }, Idle | Shelved(_)) => Err("no task is live"),
        }
    }
}

impl Parked {
    /// Stays parked while the same is wanted.
    fn unless(self: Box<Self>, wanted: Option<Fingerprint>) -> Status {
        if wanted == Some(self.fingerprint) { Status::Parked(self) } else { Status::Idle }
    }
}

fn aborted(task: Task, reason: AbortReason, at: Timestamp) -> Status {
    match reason {
        AbortReason::Superseded | AbortReason::Dropped => Status::Idle,
        AbortReason::Cancelled => shelved(task, Parking::Cancelled, at),
    }
}

fn shelved(task: Task, cause: Parking, since: Timestamp) -> Status {
    let Task { id, fingerprint, last_failure, .. } = task;
    Status::Parked(Box::new(Parked { task: id, fingerprint, cause, since, last_failure }))
}

fn expect_task(live: Task, named: TaskId) -> Result<Task, &'static str> {
    if live.id == named { Ok(live) } else { Err("another task is live") }
}

fn expect_attempt(running: &Attempt, number: u32, token: Token) -> Result<(), &'static str> {
    if running.token == token && running.number == number { Ok(()) } else { Err("another attempt is running") }
}
