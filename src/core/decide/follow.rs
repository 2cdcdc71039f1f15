//! What the task has to do after the word has changed: stop, start, or go on.

use super::Events;
use crate::core::collection::Collection;
use crate::core::status::Status;
use crate::core::vocabulary::{AbortReason, CollectionId, Event, Fingerprint, Generation, Stopping, TaskId, Timestamp};

/// The live task, as it stands at this point of a decision.
#[derive(Clone, Copy)]
pub(super) struct Live {
    task: TaskId,
    fingerprint: Fingerprint,
    stopping: Option<Stopping>,
    /// Its next attempt starts no earlier because the source moved under the last one.
    resting_until: Option<Timestamp>,
}

impl Live {
    /// The live task as the state has it.
    pub(super) fn of(collection: &Collection, at: Timestamp) -> Option<Live> {
        let task = collection.status.live()?;
        let grace_until = at.after(collection.policy.grace.0);
        let stopping = collection.status.attempt().map(|attempt| Stopping { token: attempt.token, grace_until });
        let resting_until = match &collection.status {
            Status::Waiting(waiting) if collection.moves > 0 => Some(waiting.not_before),
            Status::Waiting(_) | Status::Idle | Status::Running(_) | Status::Parked(_) => None,
        };
        Some(Live { task: task.id, fingerprint: task.fingerprint, stopping, resting_until })
    }

    /// The same task after the source moved under its attempt in this very decision.
    pub(super) fn moved(self, resting_until: Timestamp) -> Live {
        Live { stopping: None, resting_until: Some(resting_until), ..self }
    }

    /// The event that aborts it.
    pub(super) fn abort(&self, collection: CollectionId, reason: AbortReason) -> Event {
        Event::TaskAborted { collection, task: self.task, reason, stopping: self.stopping }
    }
}

/// The generation after a declaration: every change that was declared opens one.
pub(super) fn declared_generation(collection: &Collection) -> Generation {
    collection.generation.next()
}

/// The generation after an observation: it fills in one that was still unknown, and opens one if it differs.
pub(super) fn observed_generation(collection: &Collection, fingerprint: Fingerprint) -> Generation {
    match collection.wanted_fingerprint() {
        None => collection.generation,
        Some(wanted) if wanted == fingerprint => collection.generation,
        Some(_) => collection.generation.next(),
    }
}

/// Makes the task follow: aborts the live one if it builds something else than `wanted`, and creates one if
/// `wanted` is neither applied nor being built nor parked.
pub(super) fn follow(
    id: CollectionId,
    collection: &Collection,
    live: Option<Live>,
    wanted: Option<Fingerprint>,
    generation: Generation,
    at: Timestamp,
    events: &mut Events,
) {
    if let Some(live) = live {
        if Some(live.fingerprint) == wanted {
            return;
        }
        events.push(live.abort(id, AbortReason::Superseded));
    }
    let Some(fingerprint) = wanted else { return };
    let parked = matches!(&collection.status, Status::Parked(parked) if parked.fingerprint == fingerprint);
    if parked || collection.applied_fingerprint() == Some(fingerprint) {
        return;
    }
    // A change starts one attempt at once, unless the source has just moved under the last: then it backs off, or
    // a source that is rewritten without pause would be read without pause.
    let resting_until = live.and_then(|live| live.resting_until);
    let not_before = resting_until.map_or(at, |until| until.max(at));
    events.push(Event::TaskCreated { collection: id, generation, fingerprint, not_before });
}
