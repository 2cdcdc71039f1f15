//! One collection as people and tools see it: what is wanted, what is applied, and what stands between the two.
//!
//! `NothingWaitsSilently`: a collection that is not fresh has a [`Condition`] that says why.

use std::sync::Arc;
use std::time::Duration;

use super::collection::{Collection, Pending, Unobservable};
use super::commit::Applied;
use super::condition::{Condition, NotObserved};
use super::outbox::{Outbox, OutboxEntry};
use super::state::{Orphan, State};
use super::status::{LastFailure, Status};
use super::vocabulary::{
    CollectionId, DeliveryKind, Fingerprint, Generation, HoldCause, Kind, Name, ParkCause, Policy, Seq, Source, Spec,
    TaskId, Timestamp,
};

/// One collection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectionView {
    /// Its incarnation.
    pub id: CollectionId,
    /// Its name.
    pub name: Name,
    /// Which worker builds it.
    pub kind: Kind,
    /// Where its data comes from, as declared last.
    pub source: Source,
    /// How it is built, as declared last.
    pub spec: Spec,
    /// Whether the content of its source counts.
    pub versioned: bool,
    /// Counts the changes of what is wanted.
    pub generation: Generation,
    /// The fingerprint of the latest inputs; nothing while the source was not observed.
    pub latest: Option<Fingerprint>,
    /// The fingerprint of what was admitted.
    pub wanted: Option<Fingerprint>,
    /// The last commit: what it was built from, when, and its result.
    pub applied: Option<Applied>,
    /// What it is doing, or what it waits for.
    pub condition: Condition,
    /// No new attempts, also while one is still running.
    pub paused: bool,
    /// Why the latest inputs are not admitted, also while a task for earlier ones is live.
    pub pending: Option<Pending>,
    /// Why the source cannot be observed.
    pub unobservable: Option<Unobservable>,
    /// Its source is due to be observed, and nobody does; nothing in a view without a running engine.
    pub not_observed: Option<NotObserved>,
    /// The live task.
    pub task: Option<TaskId>,
    /// Attempts of the live task so far, the running one included.
    pub attempts: u32,
    /// Failures in a row, over all tasks since the last commit or refresh.
    pub failures: u32,
    /// How the last attempt of the live or parked task failed.
    pub last_failure: Option<LastFailure>,
    /// Since when its task is given up; nothing if none is.
    pub parked_since: Option<Timestamp>,
    /// How far it is behind.
    pub lag: Lag,
    /// When what is applied is checked again.
    pub resync_at: Option<Timestamp>,
    /// How it is treated, as declared last.
    pub policy: Arc<Policy>,
    /// What is still to be delivered to its destination; nothing for kinds that have none.
    pub outbox: Option<OutboxView>,
}

/// What is still to be delivered to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxView {
    /// The event of the last commit that was published.
    pub published: Option<Seq>,
    /// Commits that are to be published.
    pub unpublished: u64,
    /// How far the destination is behind what is applied.
    pub lag: Lag,
    /// Outputs to discard, counted by the events that made them obsolete.
    pub undiscarded: u64,
    /// Why the first delivery failed the last time.
    pub failure: Option<DeliveryFailure>,
}

/// How a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryFailure {
    /// What was tried.
    pub delivery: DeliveryKind,
    /// What the worker said.
    pub cause: Box<str>,
    /// Failures in a row.
    pub failures: u32,
    /// It is tried again then.
    pub retry_at: Timestamp,
}

/// What is left of a dropped collection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DroppedView {
    /// Its incarnation.
    pub id: CollectionId,
    /// The name that it had. Another collection may have it by now.
    pub name: Name,
    /// Which worker built it.
    pub kind: Kind,
    /// Attempts of it that have not stopped yet.
    pub draining: u32,
    /// Since when what is discarded next is to be; nothing if nothing is.
    pub since: Option<Timestamp>,
    /// What is still to be discarded, and why that failed.
    pub outbox: OutboxView,
}

/// How far a collection is behind its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// The latest inputs are applied.
    Zero,
    /// The first inputs that are not applied were accepted so long ago.
    Since(Duration),
    /// The source cannot be observed, or is not.
    Unknown,
}

impl Lag {
    /// In seconds; `None` if it is not known.
    #[must_use]
    pub fn seconds(self) -> Option<f64> {
        match self {
            Lag::Zero => Some(0.0),
            Lag::Since(span) => Some(span.as_secs_f64()),
            Lag::Unknown => None,
        }
    }
}

impl CollectionView {
    /// The collection `id` as it is at `now`, if there is one.
    #[must_use]
    pub fn of(state: &State, id: CollectionId, now: Timestamp) -> Option<CollectionView> {
        let collection = state.collection(id)?;
        let live = collection.status.live();
        let last_failure = match &collection.status {
            Status::Parked(parked) => parked.last_failure.clone(),
            Status::Idle | Status::Waiting(_) | Status::Running(_) => live.and_then(|task| task.last_failure.clone()),
        };
        Some(CollectionView {
            id,
            name: collection.name.clone(),
            kind: collection.kind.clone(),
            source: collection.latest.source.clone(),
            spec: collection.latest.spec.clone(),
            versioned: collection.versioned,
            generation: collection.generation,
            latest: collection.latest.fingerprint(),
            wanted: collection.wanted_fingerprint(),
            applied: collection.applied.as_deref().cloned(),
            condition: Condition::of(state, id, collection, now),
            paused: collection.paused,
            pending: collection.pending,
            unobservable: collection.unobservable.as_deref().cloned(),
            not_observed: None,
            task: live.map(|task| task.id),
            attempts: live.map_or(0, |task| task.attempts),
            failures: collection.failures,
            last_failure,
            parked_since: match &collection.status {
                Status::Parked(parked) => Some(parked.since),
                Status::Idle | Status::Waiting(_) | Status::Running(_) => None,
            },
            lag: Lag::of(collection, now),
            resync_at: collection.resync_at,
            policy: Arc::clone(&collection.policy),
            outbox: collection.outbox.as_deref().map(|outbox| OutboxView::of(outbox, now)),
        })
    }

    /// Why it is held, parked, or its source cannot be observed or is not, in one word.
    #[must_use]
    pub fn cause(&self) -> Option<&'static str> {
        match (&self.condition, self.pending, &self.unobservable) {
            (Condition::Parked { cause, .. }, _, _) => Some(cause.as_str()),
            (Condition::Held { cause, .. }, _, _) => Some(cause.as_str()),
            (_, Some(Pending::Held { cause, .. }), _) => Some(cause.as_str()),
            (_, _, Some(_)) => Some("unobservable"),
            (Condition::Failing { .. }, _, _) => Some(ParkCause::OutOfAttempts.as_str()),
            _ => self.not_observed.as_ref().map(|_| "not_observed"),
        }
    }

    /// What waits for a person: why, and what confirming it would make wanted.
    #[must_use]
    pub fn held(&self) -> Option<(HoldCause, Fingerprint)> {
        match self.pending {
            Some(Pending::Held { cause, fingerprint, .. }) => Some((cause, fingerprint)),
            Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None => None,
        }
    }
}

impl DroppedView {
    /// What is left of the incarnation `id` at `now`; nothing if that is nothing, or if it was not dropped.
    #[must_use]
    pub fn of(state: &State, id: CollectionId, now: Timestamp) -> Option<DroppedView> {
        let Orphan { name, kind, draining, outbox } = state.orphan(id)?;
        Some(DroppedView {
            id,
            name: name.clone(),
            kind: kind.clone(),
            draining: *draining,
            since: outbox.first().map(|first| first.since),
            outbox: OutboxView::of(outbox, now),
        })
    }
}

impl OutboxView {
    fn of(outbox: &Outbox, now: Timestamp) -> OutboxView {
        let first = outbox.first();
        let publications = || outbox.entries.iter().filter(|entry| entry.delivery() == DeliveryKind::Publish);
        let failure = |first: &OutboxEntry| {
            let OutboxEntry { cause, failures, due, .. } = first;
            Some(DeliveryFailure {
                delivery: first.delivery(),
                cause: cause.clone()?,
                failures: *failures,
                retry_at: *due,
            })
        };
        let unpublished = publications().count() as u64;
        OutboxView {
            published: outbox.published,
            unpublished,
            lag: publications().next().map_or(Lag::Zero, |first| Lag::Since(now.since(first.since))),
            undiscarded: outbox.entries.len() as u64 - unpublished,
            failure: first.and_then(failure),
        }
    }
}

impl Lag {
    fn of(collection: &Collection, now: Timestamp) -> Lag {
        match (&collection.unobservable, collection.unapplied_since) {
            (Some(_), _) => Lag::Unknown,
            (None, None) => Lag::Zero,
            (None, Some(since)) => Lag::Since(now.since(since)),
        }
    }
}
