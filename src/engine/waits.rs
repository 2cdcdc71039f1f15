//! Waiting for a word: who waits for which generation, and what an answer is.

use std::collections::{BTreeMap, BTreeSet};

use super::promise::Promise;
use crate::core::vocabulary::{CollectionId, Fingerprint, Generation, HoldCause, Seq};
use crate::core::{Collection, Parking, Pending, State, Status};

/// How waiting for a generation to be applied ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It is applied, or something newer is.
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
    /// What was observed waits for a person.
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

/// Who waits for what.
#[derive(Default)]
pub(super) struct Waits {
    waiting: BTreeMap<CollectionId, Vec<Waiter>>,
    touched: BTreeSet<CollectionId>,
}

struct Waiter {
    generation: Generation,
    reply: Promise<Waited>,
}

impl Waits {
    pub(super) fn add(&mut self, id: CollectionId, generation: Generation, reply: Promise<Waited>) {
        let waiting = self.waiting.entry(id).or_default();
        // Who gave up leaves without a word. Clearing at powers of two costs little and keeps few of them.
        if waiting.len().is_power_of_two() {
            waiting.retain(|waiter| waiter.reply.is_heard());
        }
        waiting.push(Waiter { generation, reply });
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.values().flatten().filter(|waiter| waiter.reply.is_heard()).count()
    }

    /// Something happened to a collection.
    pub(super) fn touch(&mut self, id: CollectionId) {
        if self.waiting.contains_key(&id) {
            self.touched.insert(id);
        }
    }

    /// Answers whoever waits for a collection to which something happened.
    pub(super) fn settle(&mut self, state: &State) {
        for id in std::mem::take(&mut self.touched) {
            self.settle_one(state, id);
        }
    }

    fn settle_one(&mut self, state: &State, id: CollectionId) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return };
        let collection = state.collection(id);
        for waiter in std::mem::take(waiting) {
            match answer(collection, waiter.generation) {
                Some(waited) => waiter.reply.keep(waited),
                None => waiting.push(waiter),
            }
        }
        if waiting.is_empty() {
            self.waiting.remove(&id);
        }
    }
}

/// The answer for `generation`, if there is one yet.
fn answer(collection: Option<&Collection>, generation: Generation) -> Option<Waited> {
    let Some(collection) = collection else { return Some(Waited::Dropped) };
    if let Some(applied) = collection.applied.as_ref().filter(|applied| applied.generation >= generation) {
        return Some(Waited::Applied { seq: applied.seq, generation: applied.generation });
    }
    if collection.generation > generation {
        return Some(Waited::Superseded { generation: collection.generation });
    }
    match (&collection.status, collection.pending) {
        (Status::Parked(parked), _) => Some(Waited::Parked { cause: parked.cause }),
        (Status::Idle | Status::Waiting(_), Some(Pending::Held { cause, fingerprint, .. }))
            if collection.status.live().is_none() || collection.is_held_up() =>
        {
            Some(Waited::Held { cause, fingerprint })
        }
        (Status::Idle | Status::Waiting(_), _) if collection.paused => Some(Waited::Paused),
        (Status::Idle | Status::Waiting(_) | Status::Running(_), _) => None,
    }
}
