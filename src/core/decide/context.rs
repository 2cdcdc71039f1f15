//! What the commands share: the collection that is named, and what its task has to do after the inputs have changed:
//! stop, start, wait, or go on.

use std::sync::Arc;

use super::Events;
use crate::core::collection::{Collection, Pending};
use crate::core::state::State;
use crate::core::status::Status;
use crate::core::vocabulary::{
    AbortReason, Admission, CollectionId, Content, Delta, Event, Fingerprint, Generation, Inputs, Name, OnChange,
    Policy, Rejection, SourceState, Stopping, TaskId, Timestamp,
};

/// A collection as it stands at this point of a decision: as the state has it, but for what the decision itself has
/// made of its task.
pub(super) struct DecisionContext<'c> {
    pub(super) id: CollectionId,
    pub(super) collection: &'c Collection,
    pub(super) live: Option<Live>,
    pub(super) applied: Option<Fingerprint>,
    /// What is applied is to be built anew.
    rebuild: bool,
    pub(super) at: Timestamp,
}

/// The live task at this point of a decision.
#[derive(Clone, Copy)]
pub(super) struct Live {
    task: TaskId,
    fingerprint: Fingerprint,
    stopping: Option<Stopping>,
    /// Its next attempt starts no earlier because the source moved under the last one.
    backs_off_until: Option<Timestamp>,
    /// The source moved under its attempt in this very decision: what it was to build is gone.
    moved: bool,
    /// Whether its attempt is running.
    runs: bool,
    /// It has used up its attempts and is retried without an end: nothing waits for that.
    is_failing: bool,
}

impl<'c> DecisionContext<'c> {
    /// The collection as the state has it.
    pub(super) fn of(id: CollectionId, collection: &'c Collection, at: Timestamp) -> DecisionContext<'c> {
        let (live, applied) = (Live::of(collection, at), collection.applied_fingerprint());
        DecisionContext { id, collection, live, applied, rebuild: collection.rebuild, at }
    }

    /// After the live task has ended.
    pub(super) fn after_task_end(self) -> DecisionContext<'c> {
        DecisionContext { live: None, ..self }
    }

    /// After the live task was committed.
    pub(super) fn after_commit(self, fingerprint: Fingerprint) -> DecisionContext<'c> {
        DecisionContext { live: None, applied: Some(fingerprint), rebuild: false, ..self }
    }

    /// After the attempt of the live task has ended without a result, and the task goes on.
    pub(super) fn after_attempt(self) -> DecisionContext<'c> {
        let ended = |live| Live { stopping: None, runs: false, ..live };
        DecisionContext { live: self.live.map(ended), ..self }
    }

    /// After the live task has used up its attempts.
    pub(super) fn failing(self) -> DecisionContext<'c> {
        DecisionContext { live: self.live.map(|live| Live { is_failing: true, ..live }), ..self }
    }

    /// After the source moved under the attempt of the live task.
    pub(super) fn after_move(self, backs_off_until: Timestamp) -> DecisionContext<'c> {
        let backs_off_until = Some(backs_off_until);
        let moved = |live| Live { stopping: None, runs: false, backs_off_until, moved: true, ..live };
        DecisionContext { live: self.live.map(moved), ..self }
    }

    /// The live task has to go, for this reason.
    pub(super) fn abort_task(&self, reason: AbortReason, events: &mut Events) {
        if let Some(Live { task, stopping, .. }) = self.live {
            events.push(Event::TaskAborted { collection: self.id, task, reason, stopping });
        }
    }

    /// Whether the source moved under the attempt of the live task: what it was to build is gone.
    pub(super) fn source_moved(&self) -> bool {
        self.live.is_some_and(|live| live.moved)
    }

    /// Whether an observation that makes `wanted` what is wanted has to wait for the end of the live task: as a
    /// declaration has to, and while an attempt runs of a collection that was superseded for too long. Declarations are
    /// somebody's word and supersede all the same.
    pub(super) fn observation_has_to_wait(&self, wanted: Fingerprint) -> bool {
        let Collection { policy, .. } = self.collection;
        let starves = policy.on_change == OnChange::Supersede
            && self.collection.is_starved(self.at)
            && self.live.is_some_and(|live| live.runs && live.fingerprint != wanted);
        starves || self.has_to_wait(policy, Some(wanted))
    }

    /// Whether a change that makes `wanted` what is wanted has to wait for the end of the live task. Nothing waits for one
    /// that is failing, nor for one that cannot start before something was delivered.
    pub(super) fn has_to_wait(&self, policy: &Policy, wanted: Option<Fingerprint>) -> bool {
        let waits = match policy.on_change {
            OnChange::Supersede => false,
            OnChange::FinishThenLatest | OnChange::Reject => true,
        };
        let is_kept = |live: &Live| !live.runs && self.collection.is_undelivered();
        let is_worth_it = |live: &Live| !live.moved && !live.is_failing && !is_kept(live);
        waits && self.live.filter(is_worth_it).is_some_and(|live| Some(live.fingerprint) != wanted)
    }

    /// Turns the task to what is wanted: aborts the live one if it builds something else than `wanted`, and creates one if
    /// `wanted` is neither applied, unless that is to be built anew, nor being built nor parked.
    pub(super) fn retarget(&self, wanted: Option<Fingerprint>, generation: Generation, events: &mut Events) {
        if self.live.is_some_and(|live| Some(live.fingerprint) == wanted) {
            return;
        }
        self.abort_task(AbortReason::Superseded, events);
        let Some(fingerprint) = wanted else { return };
        let parked = matches!(&self.collection.status, Status::Parked(parked) if parked.fingerprint == fingerprint);
        if parked || (self.applied == Some(fingerprint) && !self.rebuild) {
            return;
        }
        // A change starts one attempt at once, unless the source has just moved under the last: then it backs off,
        // or a source that is rewritten without pause would be read without pause.
        let backs_off_until = self.live.and_then(|live| live.backs_off_until);
        let not_before = backs_off_until.map_or(self.at, |until| until.max(self.at));
        let (collection, rebuild) = (self.id, self.rebuild);
        events.push(Event::TaskCreated { collection, generation, fingerprint, not_before, rebuild });
    }

    /// Admits an observation: it is wanted from here on, and the task is turned to it.
    pub(super) fn admit(
        &self,
        observed: &Arc<SourceState>,
        delta: Option<Delta>,
        fingerprint: Fingerprint,
        events: &mut Events,
    ) {
        let generation = observed_generation(self.collection, fingerprint);
        let admission = Admission::Admitted { wanted: Some(fingerprint), generation };
        events.push(Event::SourceObserved { collection: self.id, observed: Arc::clone(observed), delta, admission });
        self.retarget(Some(fingerprint), generation, events);
    }

    /// Admits what waited for the end of the live task, which has come.
    pub(super) fn admit_waiting(&self, events: &mut Events) {
        let Some(Pending::Waiting { .. }) = self.collection.pending else { return };
        let Inputs { source, spec, content } = &*self.collection.latest;
        let (collection, wanted) = (self.id, self.collection.latest.fingerprint());
        let generation = self.collection.generation.next();
        let admission = Admission::Admitted { wanted, generation };
        // The event repeats one part of the latest inputs; all of them are admitted.
        events.push(match content {
            Content::Observed(observed) => {
                Event::SourceObserved { collection, observed: Arc::clone(observed), delta: None, admission }
            }
            Content::Unknown => Event::SourceChanged { collection, source: source.clone(), admission },
            Content::Unversioned => Event::SpecChanged { collection, spec: spec.clone(), admission },
        });
        self.retarget(wanted, generation, events);
    }
}

impl Live {
    fn of(collection: &Collection, at: Timestamp) -> Option<Live> {
        let task = collection.status.live()?;
        let grace_until = at.after(collection.policy.grace.0);
        let stopping = collection.status.attempt().map(|attempt| Stopping { token: attempt.token, grace_until });
        let backs_off_until = match &collection.status {
            Status::Waiting(waiting) if collection.moves > 0 => Some(waiting.not_before),
            Status::Waiting(_) | Status::Idle | Status::Running(_) | Status::Parked(_) => None,
        };
        let (runs, is_failing) = (stopping.is_some(), collection.is_failing());
        let (task, fingerprint) = (task.id, task.fingerprint);
        Some(Live { task, fingerprint, stopping, backs_off_until, moved: false, runs, is_failing })
    }
}

/// The generation after a declaration: every change that was declared opens one.
pub(super) fn declared_generation(collection: &Collection) -> Generation {
    collection.generation.next()
}

/// The generation after an observation: it fills in one that was still unknown, and opens one if it differs. What
/// waited for the end of a task was promised the next one.
pub(super) fn observed_generation(collection: &Collection, fingerprint: Fingerprint) -> Generation {
    match collection.wanted_fingerprint() {
        _ if matches!(collection.pending, Some(Pending::Waiting { .. })) => collection.generation.next(),
        None => collection.generation,
        Some(wanted) if wanted == fingerprint => collection.generation,
        Some(_) => collection.generation.next(),
    }
}

/// The collection that a command names.
pub(super) fn named<'s>(state: &'s State, name: &Name) -> Result<(CollectionId, &'s Collection), Rejection> {
    let unknown = || Rejection::UnknownCollection(name.clone());
    let id = state.id_of(name).ok_or_else(unknown)?;
    state.collection(id).map(|collection| (id, collection)).ok_or_else(unknown)
}

/// The first `most` bytes of a text, or a few less so that no character is cut.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
