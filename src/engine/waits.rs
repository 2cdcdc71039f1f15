//! Waiting for a word: who waits for which generation, and what an answer is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;

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
    waiting: BTreeMap<CollectionId, Vec<Wait>>,
    touched: BTreeSet<CollectionId>,
}

struct Wait {
    generation: Generation,
    reply: Sender<Waited>,
    asker: Weak<()>,
}

impl Waits {
    pub(super) fn add(&mut self, id: CollectionId, generation: Generation, reply: Sender<Waited>, asker: Weak<()>) {
        let waiting = self.waiting.entry(id).or_default();
        // Askers that timed out leave without a word. Clearing at powers of two costs little and keeps few of them.
        if waiting.len().is_power_of_two() {
            waiting.retain(|wait| wait.asker.strong_count() > 0);
        }
        waiting.push(Wait { generation, reply, asker });
    }

    /// How many wait, as far as is known.
    pub(super) fn len(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
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
        waiting.retain(|wait| match answer(collection, wait.generation) {
            // Whoever no longer listens does not have to be told.
            Some(waited) => {
                let _ = wait.reply.send(waited);
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
