//! Callers that wait for a generation to be applied or published, and what the answer is. Those that wait for a source to be
//! in step are in `waits/settling.rs`.
//!
//! *Architecture invariant:* it sees the state after a commit and nothing that is not durable.

mod settling;

use std::collections::{BTreeMap, BTreeSet};

pub use self::settling::SettleOutcome;
pub(super) use self::settling::{Seen, Settling};
use super::reply::Reply;
use crate::core::vocabulary::{CollectionId, DeliveryKind, Fingerprint, Generation, HoldCause, Recorded, Seq};
use crate::core::{Collection, OutboxEntry, Parking, Pending, State, Status};

/// How waiting for a generation to be applied or published ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// It is applied, or something newer is; and published, if that was waited for.
    Applied {
        /// The event that committed it.
        seq: Seq,
        /// The newest generation that this commit satisfies.
        generation: Generation,
    },
    /// Something newer is wanted.
    Superseded {
        /// What is wanted now.
        generation: Generation,
    },
    /// Its task was given up.
    Parked {
        /// Why.
        cause: Parking,
    },
    /// Its task has used up its attempts and is retried slowly, without an end.
    Failing {
        /// How many attempts of it have failed.
        attempts: u32,
    },
    /// What was observed is held for a person.
    Held {
        /// Why.
        cause: HoldCause,
        /// What to confirm.
        fingerprint: Fingerprint,
    },
    /// Its collection is paused, and no attempt is running.
    Paused,
    /// Its collection was dropped.
    Dropped,
    /// Not within the time given. It may still be applied.
    TimedOut,
}

/// The callers that wait, by collection.
#[derive(Default)]
pub(super) struct Waits {
    waiting: BTreeMap<CollectionId, Vec<Waiter>>,
    touched: BTreeSet<CollectionId>,
}

struct Waiter {
    generation: Generation,
    goal: Goal,
    reply: Reply<WaitOutcome>,
}

/// How far a generation is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Applied,
    /// With the commit that has to be published, once it is known.
    Published(Option<(Seq, Generation)>),
}

impl Waits {
    pub(super) fn add(&mut self, id: CollectionId, generation: Generation, goal: Goal, reply: Reply<WaitOutcome>) {
        let waiting = self.waiting.entry(id).or_default();
        // A caller that gave up does not say so. Clearing at powers of two costs little and keeps few of them.
        if waiting.len().is_power_of_two() {
            waiting.retain(|waiter| waiter.reply.is_awaited());
        }
        waiting.push(Waiter { generation, goal, reply });
        self.touch(id);
    }

    /// Nobody is answered any more. What is dropped answers for itself.
    pub(super) fn forget_all(&mut self) {
        self.waiting.clear();
        self.touched.clear();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.values().flatten().filter(|waiter| waiter.reply.is_awaited()).count()
    }

    /// Something happened to a collection.
    pub(super) fn on_event(&mut self, recorded: &Recorded) {
        if let Some(id) = recorded.event.collection(recorded.seq) {
            self.touch(id);
        }
    }

    fn touch(&mut self, id: CollectionId) {
        if self.waiting.contains_key(&id) {
            self.touched.insert(id);
        }
    }

    /// Answers the callers that wait for a collection to which something happened.
    pub(super) fn settle(&mut self, state: &State) {
        for id in std::mem::take(&mut self.touched) {
            self.settle_one(state, id);
        }
    }

    fn settle_one(&mut self, state: &State, id: CollectionId) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        let collection = state.collection(id);
        for mut waiter in std::mem::take(waiting) {
            match answer(collection, waiter.generation, &mut waiter.goal) {
                Some(waited) => waiter.reply.answer(Ok(waited)),
                None => waiting.push(waiter),
            }
        }
        if waiting.is_empty() {
            self.waiting.remove(&id);
        }
    }
}

/// The answer for `generation`, if there is one yet.
fn answer(collection: Option<&Collection>, generation: Generation, goal: &mut Goal) -> Option<WaitOutcome> {
    let Some(collection) = collection else { return Some(WaitOutcome::Dropped) };
    if let Some(applied) = collection.applied.as_ref().filter(|applied| applied.generation >= generation) {
        let (seq, generation) = match goal {
            Goal::Applied => (applied.seq, applied.generation),
            // The first commit that will do: in a collection that never rests the newest may never be published.
            Goal::Published(commit) => *commit.get_or_insert((applied.seq, applied.generation)),
        };
        let is_owed = *goal != Goal::Applied && owes(collection, seq);
        return (!is_owed).then_some(WaitOutcome::Applied { seq, generation });
    }
    if collection.generation > generation {
        return Some(WaitOutcome::Superseded { generation: collection.generation });
    }
    match (&collection.status, collection.pending) {
        (Status::Parked(parked), _) => Some(WaitOutcome::Parked { cause: parked.cause }),
        (Status::Idle | Status::Waiting(_), Some(Pending::Held { cause, fingerprint, .. }))
            if collection.status.live().is_none() || collection.is_held_up() =>
        {
            Some(WaitOutcome::Held { cause, fingerprint })
        }
        (Status::Idle | Status::Waiting(_), _) if collection.paused => Some(WaitOutcome::Paused),
        (Status::Waiting(waiting), _) if collection.is_failing() => {
            Some(WaitOutcome::Failing { attempts: waiting.task.charged })
        }
        (Status::Idle | Status::Waiting(_) | Status::Running(_), _) => None,
    }
}

/// Whether a commit is still to be published.
fn owes(collection: &Collection, commit: Seq) -> bool {
    let outbox = collection.outbox.as_deref();
    let is_it = |entry: &OutboxEntry| entry.delivery() == DeliveryKind::Publish && entry.id <= commit;
    outbox.is_some_and(|outbox| outbox.entries.iter().any(is_it))
}
