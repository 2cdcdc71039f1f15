//! Callers that wait until everything that a source holds now is applied and published.
//!
//! Unchanged observations are no events, so what happened is not told by the log alone: the loop says whose observation or
//! delivery has ended.
//!
//! *Architecture invariant:* it judges what is shown to it, a status after a commit, and asks for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::vocabulary::{CollectionId, Generation, Recorded, Seq, Timestamp};
use crate::core::{Condition, Pending};
use crate::engine::reply::Reply;
use crate::engine::status::CollectionStatus;

/// How waiting for a source to be in step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleOutcome {
    /// What the source held when it was asked for, or something newer, is applied, and published if its kind does that.
    Settled {
        /// The event that committed it.
        seq: Seq,
        /// Its generation.
        generation: Generation,
    },
    /// A cause stands that waiting alone does not remove: the source cannot be observed, or is not; what it holds is held
    /// for a person; the task was given up; the collection is paused; nobody builds it; its caller owes an observation; its
    /// outbox is full, and no worker here delivers what is first in it, or those that hang hold every thread for that.
    Stands {
        /// The cause.
        condition: Condition,
    },
    /// It is applied, and no worker here publishes it.
    Undeliverable,
    /// It is applied, and its publication waits for others of its kind that hang and were given up: they hold every thread
    /// that the kind may have.
    DeliveriesExhausted,
    /// The collection was dropped, or nothing has that name.
    Dropped,
    /// Not within the time given. It may still come.
    TimedOut,
}

/// What the loop knows of a collection at one moment.
pub(in crate::engine) struct Seen {
    pub(in crate::engine) status: CollectionStatus,
    /// The number of the last accepted observation, if the engine observes its source.
    pub(in crate::engine) observed: Option<u64>,
}

/// The callers that wait, by collection.
pub(in crate::engine) struct Settling {
    waiting: BTreeMap<CollectionId, Vec<Waiter>>,
    touched: BTreeSet<CollectionId>,
    /// How long an observation may take: one that is late for longer does not come while somebody waits.
    patience: Duration,
}

struct Waiter {
    /// An observation has to have a higher number.
    after: u64,
    since: Timestamp,
    reply: Reply<SettleOutcome>,
}

impl Settling {
    pub(in crate::engine) fn new(patience: Duration) -> Settling {
        Settling { waiting: BTreeMap::new(), touched: BTreeSet::new(), patience }
    }

    /// A caller waits since then, for an observation with a higher number than this.
    pub(in crate::engine) fn add(
        &mut self,
        id: CollectionId,
        (after, since): (u64, Timestamp),
        reply: Reply<SettleOutcome>,
    ) {
        let waiting = self.waiting.entry(id).or_default();
        // As with those that wait for a generation.
        if waiting.len().is_power_of_two() {
            waiting.retain(|waiter| waiter.reply.is_awaited());
        }
        waiting.push(Waiter { after, since, reply });
        self.touched.insert(id);
    }

    pub(in crate::engine) fn on_event(&mut self, recorded: &Recorded) {
        if let Some(id) = recorded.event.collection(recorded.seq) {
            self.touch(id);
        }
    }

    /// Something happened to a collection.
    pub(in crate::engine) fn touch(&mut self, id: CollectionId) {
        if self.waiting.contains_key(&id) {
            self.touched.insert(id);
        }
    }

    /// Time has passed: what is late by now has no event.
    pub(in crate::engine) fn touch_all(&mut self) {
        self.touched.extend(self.waiting.keys());
    }

    /// Nobody is answered any more. What is dropped answers for itself.
    pub(in crate::engine) fn forget_all(&mut self) {
        self.waiting.clear();
        self.touched.clear();
    }

    /// How many wait.
    pub(in crate::engine) fn len(&self) -> usize {
        self.waiting.values().flatten().filter(|waiter| waiter.reply.is_awaited()).count()
    }

    /// The collections to which something happened, to be shown to [`judge`](Settling::judge).
    pub(in crate::engine) fn take_touched(&mut self) -> BTreeSet<CollectionId> {
        std::mem::take(&mut self.touched)
    }

    /// Answers the callers that wait for a collection; `seen` is nothing if it is gone.
    pub(in crate::engine) fn judge(&mut self, id: CollectionId, seen: Option<&Seen>, now: Timestamp) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        let mut left = Vec::new();
        for waiter in waiting.into_iter().filter(|waiter| waiter.reply.is_awaited()) {
            let outcome = seen.map_or(Some(SettleOutcome::Dropped), |seen| {
                outcome(seen, waiter.after, now.since(waiter.since) >= self.patience)
            });
            match outcome {
                Some(outcome) => waiter.reply.answer(Ok(outcome)),
                None => left.push(waiter),
            }
        }
        if !left.is_empty() {
            self.waiting.insert(id, left);
        }
    }
}

/// What a collection has come to for a caller that waits; nothing while something is still to come.
fn outcome(seen: &Seen, after: u64, is_late: bool) -> Option<SettleOutcome> {
    let (status, view) = (&seen.status, &seen.status.view);
    let stands = |condition: &Condition| Some(SettleOutcome::Stands { condition: condition.clone() });
    let is_fresh = seen.observed.is_none_or(|number| number > after);
    let settles = matches!(view.pending, Some(Pending::Settling { .. }));
    match (&view.condition, &view.not_observed) {
        (condition @ (Condition::NoWorker | Condition::AwaitingCaller), _) => return stands(condition),
        (_, Some(found)) if is_late && !is_fresh => {
            return stands(&Condition::NotObserved(Box::new(found.clone())));
        }
        _ => {}
    }
    if !is_fresh {
        return None;
    }
    if let Some((cause, fingerprint)) = view.held().filter(|_| view.task.is_none()) {
        return stands(&Condition::Held { cause, fingerprint });
    }
    match &view.condition {
        Condition::Unobservable { .. } if status.last_observation.is_some_and(|last| last.goes_on) => None,
        condition @ (Condition::Unobservable { .. } | Condition::Held { .. }) => stands(condition),
        condition @ Condition::Undelivered { .. } if status.undeliverable || status.deliveries_exhausted => {
            stands(condition)
        }
        condition @ (Condition::Parked { .. } | Condition::Paused) if !settles => stands(condition),
        Condition::Fresh | Condition::NotObserved(_) if status.last_observation.is_none_or(|last| last.succeeded) => {
            let applied = view.applied.as_ref()?;
            let is_published = view.outbox.as_ref().is_none_or(|outbox| outbox.unpublished == 0);
            match (status.undeliverable, status.deliveries_exhausted) {
                _ if is_published => Some(SettleOutcome::Settled { seq: applied.seq, generation: applied.generation }),
                (true, _) => Some(SettleOutcome::Undeliverable),
                (false, true) => Some(SettleOutcome::DeliveriesExhausted),
                (false, false) => None,
            }
        }
        _ => None,
    }
}
