//! Waiting for a word: who waits for which generation, and what an answer is.

use std::collections::{BTreeMap, BTreeSet};

use crossbeam_channel::Sender;

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
    waiting: BTreeMap<CollectionId, Vec<(Generation, Sender<Waited>)>>,
    touched: BTreeSet<CollectionId>,
}

impl Waits {
    pub(super) fn add(&mut self, id: CollectionId, generation: Generation, reply: Sender<Waited>) {
        self.waiting.entry(id).or_default().push((generation, reply));
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
        waiting.retain(|(generation, reply)| match answer(collection, *generation) {
            // Whoever no longer listens does not have to be told.
            Some(waited) => {
                let _ = reply.send(waited);
                false
            }
            None => true,
        });
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
        (Status::Idle, Some(Pending::Held { cause, fingerprint, .. })) => Some(Waited::Held { cause, fingerprint }),
        (Status::Idle | Status::Waiting(_), _) if collection.paused => Some(Waited::Paused),
        (Status::Idle | Status::Waiting(_) | Status::Running(_), _) => None,
    }
}
