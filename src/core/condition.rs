//! What a collection is doing or waits for, in one word and in one sentence.

use std::fmt;

use super::collection::{Collection, Pending};
use super::state::State;
use super::status::{LastFailure, Parking, Status, Waiting};
use super::vocabulary::{CollectionId, Fingerprint, HoldCause, ParkCause, Scope, Timestamp, WorkerName};

/// Since when a source was not observed although it is due, and what keeps it from being observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotObserved {
    /// When its last observation began; that its collection was declared or the log was opened, if there was none since.
    pub since: Timestamp,
    /// What stands in the way, for people.
    pub cause: Box<str>,
}

/// What a collection is doing, or what it waits for. Times lie in the future of the view, or have just come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The latest inputs are applied.
    Fresh,
    /// What the source holds is not known yet.
    AwaitingObservation,
    /// What the source holds is not known yet, and its kind has no observer: its caller has to say it.
    AwaitingCaller,
    /// Nothing that is known is left to be done, but nobody has looked for longer than one may. Only a running engine
    /// knows this.
    NotObserved(Box<NotObserved>),
    /// No worker in the engine's process builds its kind, and no caller has asked to. Only a running engine knows this.
    NoWorker,
    /// Nothing else is to be done, as far as is known; the source cannot be observed.
    Unobservable {
        /// Why.
        cause: Box<str>,
        /// Since when.
        since: Timestamp,
    },
    /// A change is admitted once the source was quiet.
    Settling {
        /// Then, if nothing else is observed.
        until: Timestamp,
    },
    /// What was observed looks like a loss and waits for a person.
    Held {
        /// Why.
        cause: HoldCause,
        /// What confirming it would make wanted.
        fingerprint: Fingerprint,
    },
    /// An attempt is running.
    Running {
        /// Which of its task, counted from 1.
        attempt: u32,
        /// The worker that runs it.
        worker: WorkerName,
        /// Since when.
        since: Timestamp,
        /// When it has timed out.
        deadline: Option<Timestamp>,
    },
    /// The next attempt waits for an old one to stop.
    Draining {
        /// Then the old one is abandoned.
        until: Timestamp,
    },
    /// The next attempt waits because the last one failed.
    BackingOff {
        /// Until then.
        until: Timestamp,
        /// How the last one failed.
        failure: Option<LastFailure>,
    },
    /// Every attempt that the policy allows has failed for a cause that may pass. It is tried again slowly, without an end.
    Failing {
        /// Until then.
        until: Timestamp,
        /// How many attempts have failed.
        attempts: u32,
        /// How the last one failed.
        failure: Option<LastFailure>,
    },
    /// The next attempt waits because the source moved under the last one.
    Moving {
        /// Until then.
        until: Timestamp,
    },
    /// The next attempt may start and waits for a worker of its kind.
    WaitingForWorker,
    /// The next attempt may start once no other runs in this process: those before it ended with their process.
    Isolated {
        /// How many of them.
        crashes: u32,
    },
    /// The next attempt may start, and as many hold a worker as a limit allows.
    Limit {
        /// Which limit.
        scope: Scope,
        /// How many it allows.
        most: u32,
    },
    /// The task was given up; a change or a refresh starts a new one.
    Parked {
        /// Why.
        cause: Parking,
        /// How its last attempt failed.
        failure: Option<LastFailure>,
    },
    /// The next attempt waits until some of what is to be delivered to its destination was delivered.
    Undelivered {
        /// How many entries its outbox has.
        entries: u32,
        /// Why the first of them could not be delivered the last time; or, if the engine runs, that nobody does so there.
        cause: Option<Box<str>>,
    },
    /// The next attempt waits for a resume.
    Paused,
}

impl Condition {
    pub(super) fn of(state: &State, id: CollectionId, collection: &Collection, now: Timestamp) -> Condition {
        match &collection.status {
            Status::Idle => Condition::of_idle(collection),
            Status::Waiting(waiting) => Condition::of_waiting(state, id, collection, waiting, now),
            Status::Running(running) => Condition::Running {
                attempt: running.attempt.number,
                worker: running.attempt.worker.clone(),
                since: running.attempt.started,
                deadline: running.attempt.deadline,
            },
            Status::Parked(parked) => Condition::Parked { cause: parked.cause, failure: parked.last_failure.clone() },
        }
    }

    fn of_idle(collection: &Collection) -> Condition {
        match collection.pending {
            None if (collection.wanted.is_none() || collection.is_fresh())
                && let Some(found) = &collection.unobservable =>
            {
                Condition::Unobservable { cause: found.cause.clone(), since: found.since }
            }
            Some(Pending::Held { cause, fingerprint, .. }) => Condition::Held { cause, fingerprint },
            Some(Pending::Settling { until, .. }) => Condition::Settling { until },
            None if collection.wanted.is_none() => Condition::AwaitingObservation,
            None if collection.is_fresh() => Condition::Fresh,
            // Only in the middle of a frame: the event that creates the task comes next.
            Some(Pending::Waiting { .. }) | None => Condition::WaitingForWorker,
        }
    }

    /// If several things stand in the way, the one that stands there longest is named.
    fn of_waiting(
        state: &State,
        id: CollectionId,
        collection: &Collection,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Condition {
        if collection.paused {
            return Condition::Paused;
        }
        if let Some(Pending::Held { cause, fingerprint, .. }) = collection.pending.filter(|_| collection.is_held_up()) {
            return Condition::Held { cause, fingerprint };
        }
        if let Some(outbox) = collection.outbox.as_deref().filter(|outbox| outbox.is_full()) {
            let entries = u32::try_from(outbox.entries.len()).unwrap_or(u32::MAX);
            return Condition::Undelivered { entries, cause: outbox.first().and_then(|first| first.cause.clone()) };
        }
        Condition::past_outbox(state, id, collection, waiting, now)
    }

    /// What a task waits for that its outbox does not keep.
    fn past_outbox(
        state: &State,
        id: CollectionId,
        collection: &Collection,
        waiting: &Waiting,
        now: Timestamp,
    ) -> Condition {
        let until = waiting.not_before;
        // When the last of the attempts that have to stop first is abandoned.
        let draining = state.draining_of(id).filter_map(|draining| draining.grace_until).max();
        match draining {
            Some(grace) if grace >= until => Condition::Draining { until: grace },
            _ if until > now && collection.moves > 0 => Condition::Moving { until },
            _ if until > now && collection.is_failing() => {
                let failure = waiting.task.last_failure.clone();
                Condition::Failing { until, attempts: waiting.task.charged, failure }
            }
            _ if until > now => Condition::BackingOff { until, failure: waiting.task.last_failure.clone() },
            Some(grace) => Condition::Draining { until: grace },
            None => match state.limit_reached(id) {
                Some((scope, most)) => Condition::Limit { scope, most },
                None if collection.is_isolated() => Condition::Isolated { crashes: collection.crashes },
                None => Condition::WaitingForWorker,
            },
        }
    }

    /// What a collection that is undelivered waits for if its kind has no duties: what it builds adds nothing to its outbox.
    pub(crate) fn without_duties(state: &State, id: CollectionId, now: Timestamp) -> Option<Condition> {
        let collection = state.collection(id).filter(|collection| collection.is_undelivered())?;
        let Status::Waiting(waiting) = &collection.status else { return None };
        Some(Condition::past_outbox(state, id, collection, waiting, now))
    }

    /// The condition's name, as scripts know it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Condition::Fresh => "fresh",
            Condition::AwaitingObservation => "awaiting_observation",
            Condition::AwaitingCaller => "awaiting_caller",
            Condition::NotObserved(_) => "not_observed",
            Condition::NoWorker => "no_worker",
            Condition::Unobservable { .. } => "unobservable",
            Condition::Settling { .. } => "settling",
            Condition::Held { .. } => "held",
            Condition::Running { .. } => "running",
            Condition::Draining { .. } => "draining",
            Condition::BackingOff { .. } => "backing_off",
            Condition::Failing { .. } => "failing",
            Condition::Moving { .. } => "moving",
            Condition::WaitingForWorker => "waiting_for_worker",
            Condition::Isolated { .. } => "isolated",
            Condition::Limit { .. } => "limit",
            Condition::Parked { .. } => "parked",
            Condition::Undelivered { .. } => "undelivered",
            Condition::Paused => "paused",
        }
    }

    /// When the condition ends by itself: the end of settling, grace or backoff, or the deadline of an attempt.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Condition::Settling { until }
            | Condition::Draining { until }
            | Condition::BackingOff { until, .. }
            | Condition::Failing { until, .. }
            | Condition::Moving { until } => Some(*until),
            Condition::Running { deadline, .. } => *deadline,
            Condition::Fresh
            | Condition::AwaitingObservation
            | Condition::AwaitingCaller
            | Condition::NotObserved(_)
            | Condition::NoWorker
            | Condition::Unobservable { .. }
            | Condition::Held { .. }
            | Condition::WaitingForWorker
            | Condition::Isolated { .. }
            | Condition::Limit { .. }
            | Condition::Parked { .. }
            | Condition::Undelivered { .. }
            | Condition::Paused => None,
        }
    }
}

/// One readable sentence.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Fresh => f.write_str("everything heard is applied"),
            Condition::AwaitingObservation => f.write_str("waits for the first look at its source"),
            Condition::AwaitingCaller => {
                f.write_str("waits for its caller to say what its source holds: its kind has no observer")
            }
            Condition::NotObserved(found) => {
                let NotObserved { since, cause } = &**found;
                write!(f, "not looked at since {since}: {}", cause.lines().next().unwrap_or_default())
            }
            Condition::NoWorker => f.write_str(
                "nobody builds its kind: no worker of this process does, and no caller has asked for an assignment of it",
            ),
            Condition::Unobservable { cause, .. } => {
                write!(f, "its source cannot be observed: {}", cause.lines().next().unwrap_or_default())
            }
            Condition::Settling { until } => {
                write!(f, "its source changed; the change is admitted at {until} if it stays quiet")
            }
            Condition::Held { cause: HoldCause::Empty, fingerprint } => {
                write!(f, "its source is empty, which looks like a loss; a person has to confirm {fingerprint}")
            }
            Condition::Held { cause: HoldCause::MostGone { gone, of }, fingerprint } => write!(
                f,
                "{gone} of the {of} files that are applied are gone, which looks like a loss; a person has to confirm \
                 {fingerprint}"
            ),
            Condition::Running { attempt, worker, since, deadline } => {
                write!(f, "attempt {attempt} runs on {worker} since {since}")?;
                deadline.map_or(Ok(()), |deadline| write!(f, " and times out at {deadline}"))
            }
            Condition::Draining { until } => {
                write!(f, "waits for an earlier attempt to stop, which is abandoned at {until}")
            }
            Condition::BackingOff { until, failure } => {
                write!(f, "tries again at {until}")?;
                because(failure.as_ref(), f)
            }
            Condition::Failing { until, attempts, failure } => {
                write!(f, "{attempts} attempts have failed; tries again at {until}, and at the next change")?;
                because(failure.as_ref(), f)
            }
            Condition::Moving { until } => {
                write!(f, "its source changed while it was read; tries again at {until}")
            }
            Condition::WaitingForWorker => f.write_str("waits for an idle worker of its kind"),
            Condition::Isolated { crashes } => {
                write!(f, "runs alone, once nothing else does: {crashes} attempts ended with the process that ran them")
            }
            Condition::Limit { scope, most } => {
                f.write_str("waits because ")?;
                scope.write_most(*most, f)
            }
            Condition::Parked { cause, failure } => {
                let why = match cause {
                    Parking::Failed(ParkCause::Permanent) => "trying again would not help",
                    Parking::Failed(ParkCause::OutOfAttempts) => "every attempt failed",
                    Parking::Failed(ParkCause::LostTooOften) => "too many attempts took their process down",
                    Parking::Cancelled => "cancelled by a person",
                };
                // What is wrong comes first: it is what somebody has to see.
                let wrong = failure.as_ref().and_then(|failure| failure.message.lines().next());
                if let Some(wrong) = wrong.filter(|_| *cause != Parking::Cancelled) {
                    write!(f, "{}; ", wrong.trim_end_matches('.'))?;
                }
                write!(f, "{why}; a change or a refresh starts it again")
            }
            Condition::Undelivered { entries, cause } => {
                write!(f, "{entries} deliveries to its destination wait, and nothing more is built before one is made")?;
                let cause = cause.as_deref().and_then(|cause| cause.lines().next());
                cause.map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
            Condition::Paused => f.write_str("paused by a person"),
        }
    }
}

// A sentence has room for the first line; `last_failure` and `unobservable` have them all.
fn because(failure: Option<&LastFailure>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    failure.and_then(|failure| failure.message.lines().next()).map_or(Ok(()), |line| write!(f, " ({line})"))
}
