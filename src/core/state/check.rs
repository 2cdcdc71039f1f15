//! The invariants that can be seen in a state, by their names.

use std::sync::Arc;

use super::indices::Indices;
use super::{Orphan, State};
use crate::core::collection::Pending;
use crate::core::outbox::{Outbox, OutboxItem};
use crate::core::status::Status;
use crate::core::vocabulary::{CollectionId, Deadline, Seq};
use crate::error::ErrorKind;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// Of which collection.
    pub collection: CollectionId,
    /// What was found.
    pub found: &'static str,
}

impl Violation {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Diverged
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} does not hold for collection {}: {}", self.invariant, self.collection, self.found)
    }
}

impl std::error::Error for Violation {}

impl State {
    /// What holds for a collection after every single event.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check_one(&self, id: CollectionId) -> Result<(), Violation> {
        let Some(collection) = self.collections.get(&id) else { return Ok(()) };
        let violated = |invariant, found| Err(Violation { invariant, collection: id, found });
        if self.id_of(&collection.name) != Some(id) {
            return violated("SameFold", "its name leads elsewhere");
        }
        if let Some(attempt) = collection.status.attempt()
            && ((attempt.token.epoch != self.epoch && attempt.lease.is_none()) || attempt.token.seq > self.last)
        {
            return violated("EpochFenced", "an attempt of another epoch is running");
        }
        if self.draining_of(id).count() != collection.draining as usize {
            return violated("SameFold", "draining attempts are miscounted");
        }
        if let Some(outbox) = collection.outbox.as_deref()
            && let Some(found) = misplaced(outbox)
        {
            return violated("PublishedInOrder", found);
        }
        Ok(())
    }

    /// What holds for every collection between two frames.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_parts()?;
        self.check_indices()
    }

    /// The same of a state that was just [restored](State::restore): its indices follow from the rest, because they
    /// were made from it.
    pub(crate) fn check_parts(&self) -> Result<(), Violation> {
        self.collections.keys().try_for_each(|id| self.check_settled(*id))?;
        self.check_draining()
    }

    /// What holds for attempts that were told to stop, of dropped collections as well.
    pub(crate) fn check_draining(&self) -> Result<(), Violation> {
        if let Some(draining) = self.draining.values().find(|draining| draining.grace_until.is_none()) {
            let (invariant, found) = ("NothingWaitsSilently", "an attempt has ended and is still counted as draining");
            return Err(Violation { invariant, collection: draining.attempt.collection, found });
        }
        let miscounted =
            |(id, orphan): &(&CollectionId, &Orphan)| self.draining_of(**id).count() != orphan.draining as usize;
        self.orphans.iter().find(miscounted).map_or(Ok(()), |(id, _)| {
            let found = "the draining attempts of a dropped collection are miscounted";
            Err(Violation { invariant: "SameFold", collection: *id, found })
        })
    }

    /// Nothing is indexed that is not there: a timer of what is gone would be refused, and due for ever.
    fn check_indices(&self) -> Result<(), Violation> {
        let miscounted = |found| Err(Violation { invariant: "SameFold", collection: CollectionId(self.last), found });
        let (orphans, draining) = (&self.orphans, &self.draining);
        let expected = match Indices::of((self.at, &self.limits), &self.collections, orphans, draining) {
            Ok(expected) => expected,
            Err(found) => return miscounted(found),
        };
        let Indices { names, ready, deadlines, drains, drains_here, runs_here, outboxes, with_zombies } = &self.indices;
        if let Some((_, deadline)) = expected.deadlines.symmetric_difference(deadlines).next() {
            let collection = match *deadline {
                Deadline::Settled(id) | Deadline::Attempt(id) | Deadline::Resync(id) => id,
                Deadline::Grace(token) => {
                    self.draining.get(&token).map_or(CollectionId(token.seq), |draining| draining.attempt.collection)
                }
            };
            let found = "the index of deadlines is not what follows from the rest";
            return Err(Violation { invariant: "SameFold", collection, found });
        }
        if *names != expected.names {
            return miscounted("the index of names is not what follows from the rest");
        }
        if *ready != expected.ready {
            return miscounted("the index of ready tasks is not what follows from the rest");
        }
        if (outboxes, with_zombies) != (&expected.outboxes, &expected.with_zombies) {
            return miscounted("the index of outboxes is not what follows from the rest");
        }
        if (drains, drains_here) != (&expected.drains, &expected.drains_here) {
            return miscounted("the index of draining attempts is not what follows from the rest");
        }
        if *runs_here != expected.runs_here {
            return miscounted("the index of running attempts is not what follows from the rest");
        }
        Ok(())
    }

    /// What holds for one collection between two frames.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check_settled(&self, id: CollectionId) -> Result<(), Violation> {
        self.check_one(id)?;
        let Some(collection) = self.collections.get(&id) else { return Ok(()) };
        let violated = |invariant, found| Err(Violation { invariant, collection: id, found });
        let wanted = collection.wanted_fingerprint();
        if let Some(task) = collection.status.live()
            && (Some(task.fingerprint) != wanted || task.generation > collection.generation)
        {
            return violated("LastWord", "the live task builds something that is not wanted");
        }
        match &collection.status {
            Status::Idle if wanted.is_some() && (wanted != collection.applied_fingerprint() || collection.rebuild) => {
                return violated("NothingWaitsSilently", "what is wanted is not applied and has no task");
            }
            Status::Parked(parked) if Some(parked.fingerprint) != wanted => {
                return violated("NothingWaitsSilently", "something that is not wanted is parked");
            }
            Status::Idle | Status::Waiting(_) | Status::Running(_) | Status::Parked(_) => {}
        }
        let latest = match &collection.wanted {
            Some(wanted) if Arc::ptr_eq(&wanted.inputs, &collection.latest) => Some(wanted.fingerprint),
            Some(_) | None => collection.latest.fingerprint(),
        };
        let waits = match collection.pending {
            Some(Pending::Settling { .. } | Pending::Held { .. }) => true,
            Some(Pending::Waiting { .. }) => collection.status.live().is_some(),
            None => false,
        };
        if matches!(collection.pending, Some(Pending::Waiting { .. })) && !waits {
            return violated("NothingWaitsSilently", "the latest inputs wait for the end of a task that is none");
        }
        if latest.is_some() && latest != wanted && !waits {
            return violated("LatestNotLost", "the latest inputs are neither wanted nor waiting");
        }
        Ok(())
    }
}

/// What is wrong with the order of the entries.
fn misplaced(outbox: &Outbox) -> Option<&'static str> {
    let mut last = outbox.published.unwrap_or(Seq::ZERO);
    let (mut known, mut discarded) = (Seq::ZERO, Seq::ZERO);
    for entry in &outbox.entries {
        if entry.id < known || (entry.id == discarded && matches!(entry.item, OutboxItem::Discard(_))) {
            return Some("two entries have one name, or an earlier one comes later");
        }
        known = entry.id;
        match &entry.item {
            OutboxItem::Publish(commit) if commit.seq != entry.id => {
                return Some("it is to be published as another");
            }
            OutboxItem::Publish(commit) if commit.seq <= last => {
                return Some("commits are not published in their order");
            }
            OutboxItem::Publish(commit) => last = commit.seq,
            OutboxItem::Discard(leaving) if leaving.tokens.is_empty() && leaving.before.is_none() => {
                return Some("nothing is to be discarded");
            }
            OutboxItem::Discard(_) => discarded = entry.id,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vocabulary::{
        Assign, Command, Declaration, Duties, EngineCommand, Epoch, Input, Kind, Name, Recorded, Source, Spec,
        Timestamp, WorkerName,
    };
    use crate::core::{Events, decide};

    fn say<'a>(state: &mut State, command: impl Into<Input<'a>>) {
        let (mut events, at) = (Events::new(), Timestamp(1));
        decide(state, command, at, &mut events).unwrap();
        for (seq, event) in events.drain() {
            state.fold(&Recorded { seq, at, epoch: Epoch(1), by: None, event }).unwrap();
        }
    }

    fn declare(state: &mut State, name: &str, spec: &str) {
        let declaration = Declaration::new(Name::new(name).unwrap())
            .kind(Kind::new("k").unwrap())
            .source(Source::new("s").unwrap())
            .spec(Spec::parse(spec).unwrap())
            .unversioned();
        say(state, &Command::Declare(Box::new(declaration)));
    }

    fn start(state: &mut State) -> CollectionId {
        let kind = Kind::new("k").unwrap();
        let collection = state.first_ready([&kind], Timestamp(1)).unwrap();
        let (worker, duties) = (WorkerName::new("w").unwrap(), Duties { publish: true, discard: true });
        say(state, &EngineCommand::Assign(Assign { worker, collection, lease: None, duties }));
        collection
    }

    /// Attempts that run, drain and have been abandoned by a collection that was dropped; tasks that wait; outputs that
    /// are to be delivered.
    fn lively() -> State {
        let mut state = State::new();
        say(&mut state, &EngineCommand::Open { software: "t".into() });
        declare(&mut state, "dropped", "{}");
        start(&mut state);
        say(&mut state, &Command::Drop { name: Name::new("dropped").unwrap() });
        declare(&mut state, "draining", "{}");
        start(&mut state);
        declare(&mut state, "draining", r#"{"a":1}"#);
        declare(&mut state, "running", "{}");
        start(&mut state);
        declare(&mut state, "waiting", "{}");
        assert_eq!(state.check(), Ok(()));
        state
    }

    #[track_caller]
    fn is_found(found: &str, break_it: impl FnOnce(&mut State)) {
        let mut state = lively();
        break_it(&mut state);
        assert_eq!(state.check().unwrap_err().found, found);
    }

    #[test]
    fn names_with_one_hash_are_told_apart() {
        let (mut state, name) = (lively(), |text| Name::new(text).unwrap());
        let [waiting, running] = ["waiting", "running"].map(|text| state.id_of(&name(text)).unwrap());
        // As if each had the hash of the other as well.
        state.indices.names.insert(&name("waiting"), running);
        state.indices.names.insert(&name("running"), waiting);
        let found = |state: &State| ["waiting", "running"].map(|text| state.id_of(&name(text)));
        assert_eq!(found(&state), [Some(waiting), Some(running)]);
        state.indices.names.remove(&name("waiting"), waiting);
        assert_eq!(found(&state), [None, Some(running)]);
        let violation = state.check().unwrap_err();
        assert_eq!(violation.found, "its name leads elsewhere");
        state.indices.names.insert(&name("waiting"), waiting);
        assert_eq!(state.check().unwrap_err().found, "the index of names is not what follows from the rest");
    }

    #[test]
    fn an_index_that_does_not_follow_from_the_rest_is_found() {
        let deadlines = "the index of deadlines is not what follows from the rest";
        is_found(deadlines, |state| _ = state.indices.deadlines.pop_first());
        is_found(deadlines, |state| {
            state.indices.deadlines.insert((Timestamp(7), Deadline::Resync(CollectionId(Seq(99)))));
        });
        is_found("the index of ready tasks is not what follows from the rest", |state| {
            state.indices.ready = Default::default()
        });
        let outboxes = "the index of outboxes is not what follows from the rest";
        is_found(outboxes, |state| _ = state.indices.outboxes.insert((Timestamp(7), CollectionId(Seq(99)))));
        is_found(outboxes, |state| _ = state.indices.with_zombies.insert(CollectionId(Seq(99))));
        is_found("its name leads elsewhere", |state| state.indices.names.clear());
        is_found("an attempt has ended and is still counted as draining", |state| {
            state.draining.values_mut().for_each(|draining| draining.grace_until = None);
        });
        is_found("the draining attempts of a dropped collection are miscounted", |state| {
            state.orphans.values_mut().for_each(|orphan| orphan.draining += 1);
        });
    }

    #[test]
    fn draining_attempts_that_are_not_indexed_are_found() {
        // Of a collection they are counted one by one, of a dropped one through the index.
        is_found("draining attempts are miscounted", |state| state.indices.drains.clear());
        is_found("the draining attempts of a dropped collection are miscounted", |state| {
            let orphan = *state.orphans.keys().next().unwrap();
            state.indices.drains.retain(|(id, _)| *id != orphan);
        });
    }
}
