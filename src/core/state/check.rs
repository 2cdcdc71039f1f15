//! The invariants that can be seen in a state, by the names that the design gives them.

use std::collections::BTreeSet;

use super::{CollectionId, Pending, State, Status, deadlines_of, ready_at};
use crate::core::vocabulary::Deadline;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// Of which collection.
    pub collection: CollectionId,
    /// What was found.
    pub found: &'static str,
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
        if self.names.get(&collection.name) != Some(&id) {
            return violated("SameFold", "its name leads elsewhere");
        }
        if let Some(attempt) = collection.status.attempt()
            && (attempt.token.epoch != self.epoch || attempt.token.seq > self.last)
        {
            return violated("EpochFenced", "an attempt of another epoch is running");
        }
        let draining = self.draining.values().filter(|draining| draining.attempt.collection == id).count();
        if draining != collection.draining as usize {
            return violated("SameFold", "draining attempts are miscounted");
        }
        let indexed = |(not_before, task)| {
            self.ready.get(&collection.kind).is_some_and(|ready| ready.contains(&(not_before, task, id)))
        };
        if !ready_at(collection).is_none_or(indexed) {
            return violated("NothingWaitsSilently", "a ready task is not in the index");
        }
        Ok(())
    }

    /// What holds for every collection between two frames.
    ///
    /// # Errors
    /// The first violation found.
    pub fn check(&self) -> Result<(), Violation> {
        self.collections.keys().try_for_each(|id| self.check_settled(*id))?;
        self.check_indices()
    }

    /// Nothing is indexed that is not there: a timer of what is gone would be refused, and due for ever.
    fn check_indices(&self) -> Result<(), Violation> {
        if let Some(draining) = self.draining.values().find(|draining| draining.grace_until.is_none()) {
            let (invariant, found) = ("NothingWaitsSilently", "an attempt has ended and is still on the books");
            return Err(Violation { invariant, collection: draining.attempt.collection, found });
        }
        let due = self.collections.iter().flat_map(|(id, collection)| deadlines_of(*id, collection)).flatten();
        let graces = self.draining.iter().filter_map(|(token, d)| Some((d.grace_until?, Deadline::Grace(*token))));
        let expected: BTreeSet<_> = due.chain(graces).collect();
        if let Some((_, deadline)) = expected.symmetric_difference(&self.deadlines).next() {
            let collection = match *deadline {
                Deadline::Settled(id) | Deadline::Attempt(id) => id,
                Deadline::Grace(token) => {
                    self.draining.get(&token).map_or(CollectionId(token.seq), |draining| draining.attempt.collection)
                }
            };
            let found = "the index of deadlines is not what follows from the rest";
            return Err(Violation { invariant: "SameFold", collection, found });
        }
        let mut indexed = self.ready.iter().flat_map(|(kind, ready)| ready.iter().map(move |entry| (kind, entry)));
        let stale = indexed.find(|(kind, (not_before, task, id))| {
            let collection = self.collections.get(id).filter(|collection| collection.kind == **kind);
            collection.and_then(ready_at) != Some((*not_before, *task))
        });
        match stale {
            Some((_, (_, _, collection))) => {
                let found = "what is not ready is in the index";
                Err(Violation { invariant: "SameFold", collection: *collection, found })
            }
            None => Ok(()),
        }
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
            Status::Idle if wanted.is_some() && wanted != collection.applied_fingerprint() => {
                return violated("NothingWaitsSilently", "what is wanted is not applied and has no task");
            }
            Status::Parked(parked) if Some(parked.fingerprint) != wanted => {
                return violated("NothingWaitsSilently", "something that is not wanted is parked");
            }
            Status::Idle | Status::Waiting(_) | Status::Running(_) | Status::Parked(_) => {}
        }
        let latest = collection.latest.fingerprint();
        let waits = matches!(collection.pending, Some(Pending::Settling { .. } | Pending::Held { .. }));
        if latest.is_some() && latest != wanted && !waits {
            return violated("LatestNotLost", "the last word is neither wanted nor waiting");
        }
        Ok(())
    }
}
