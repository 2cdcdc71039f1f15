//! What follows from the rest of a state, kept so that nobody has to look through all of it.
//!
//! Collections are changed in place. What the indices have to say of one, its [`Entry`], is made before and after, and
//! only what differs is touched: most events change nothing here.

use std::collections::{BTreeMap, BTreeSet};

use super::ready::{Owner, Place, Ready};
use super::{Draining, Orphan};
use crate::core::collection::{Collection, Pending};
use crate::core::obligations::Obligations;
use crate::core::status::Status;
use crate::core::vocabulary::{CollectionId, Deadline, Limits, Name, Timestamp, Token};

#[derive(Clone, Debug, Default)]
pub(super) struct Indices {
    pub(super) names: BTreeMap<Name, CollectionId>,
    pub(super) ready: Ready,
    pub(super) deadlines: BTreeSet<(Timestamp, Deadline)>,
    /// The draining attempts of each collection.
    pub(super) drains: BTreeSet<(CollectionId, Token)>,
    /// When the first obligation of each collection is due.
    pub(super) owed: BTreeSet<(Timestamp, CollectionId)>,
    /// Collections with abandoned attempts.
    pub(super) haunted: BTreeSet<CollectionId>,
}

/// What the indices say of one collection, or of what is left of one. Nothing of one that is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Its task is among those that may start.
    place: Option<Place>,
    /// One for each of [`TIMED`].
    deadlines: [Option<Timestamp>; 3],
    /// Its attempts that hold a worker.
    holds: u32,
    /// Its first obligation is due then.
    owed: Option<Timestamp>,
    haunted: bool,
}

/// What is to happen to a collection at a time of its own.
const TIMED: [fn(CollectionId) -> Deadline; 3] = [Deadline::Settled, Deadline::Attempt, Deadline::Resync];

impl Entry {
    pub(super) fn of(id: CollectionId, collection: &Collection) -> Entry {
        let place = match &collection.status {
            Status::Waiting(waiting) if collection.may_start().is_ok() => {
                Some(Place::new(id, waiting.task.id, collection.policy.priority, waiting.not_before))
            }
            Status::Waiting(_) | Status::Idle | Status::Running(_) | Status::Parked(_) => None,
        };
        let settled = match collection.pending {
            Some(Pending::Settling { until, .. }) => Some(until),
            Some(Pending::Waiting { .. } | Pending::Held { .. }) | None => None,
        };
        let attempt = collection.status.attempt();
        let deadlines = [settled, attempt.and_then(|attempt| attempt.deadline), collection.resync_at];
        let holds = collection.draining + u32::from(attempt.is_some());
        let owing = collection.obligations.as_deref().map(Entry::owing).unwrap_or_default();
        Entry { place, deadlines, holds, ..owing }
    }

    pub(super) fn of_orphan(orphan: &Orphan) -> Entry {
        Entry { holds: orphan.draining, ..Entry::owing(&orphan.obligations) }
    }

    fn owing(obligations: &Obligations) -> Entry {
        let owed = obligations.first().map(|first| first.due);
        Entry { owed, haunted: !obligations.zombies.is_empty(), ..Entry::default() }
    }

    fn timed(self, id: CollectionId) -> impl Iterator<Item = (Timestamp, Deadline)> {
        self.deadlines.into_iter().zip(TIMED).filter_map(move |(at, deadline)| Some((at?, deadline(id))))
    }
}

impl Indices {
    /// The indices of a state, made from the rest of it.
    ///
    /// # Errors
    /// When two collections have one name.
    pub(super) fn of(
        (at, limits): (Timestamp, &Limits),
        collections: &BTreeMap<CollectionId, Box<Collection>>,
        orphans: &BTreeMap<CollectionId, Orphan>,
        draining: &BTreeMap<Token, Draining>,
    ) -> Result<Indices, &'static str> {
        // Sets are collected and not inserted into one by one: that is faster, and leaves no gaps in them.
        let names: BTreeMap<_, _> = collections.iter().map(|(id, collection)| (collection.name.clone(), *id)).collect();
        if names.len() < collections.len() {
            return Err("two collections have one name");
        }
        let entries = || {
            let live = collections.iter().map(|(id, collection)| (*id, Entry::of(*id, collection)));
            live.chain(orphans.iter().map(|(id, orphan)| (*id, Entry::of_orphan(orphan))))
        };
        let graces = draining.iter().filter_map(|(token, d)| Some((d.grace_until?, Deadline::Grace(*token))));
        Ok(Indices {
            names,
            ready: Indices::ready((at, limits), collections, orphans),
            deadlines: entries().flat_map(|(id, entry)| entry.timed(id)).chain(graces).collect(),
            drains: draining.iter().map(|(token, draining)| (draining.attempt.collection, *token)).collect(),
            owed: entries().filter_map(|(id, entry)| Some((entry.owed?, id))).collect(),
            haunted: entries().filter(|(_, entry)| entry.haunted).map(|(id, _)| id).collect(),
        })
    }

    /// Who is next, made from the rest.
    pub(super) fn ready(
        (at, limits): (Timestamp, &Limits),
        collections: &BTreeMap<CollectionId, Box<Collection>>,
        orphans: &BTreeMap<CollectionId, Orphan>,
    ) -> Ready {
        let mut ready = Ready::default();
        ready.advance(at);
        for (id, collection) in collections {
            let Entry { place, holds, .. } = Entry::of(*id, collection);
            let owner = Owner { kind: &collection.kind, name: &collection.name, limits };
            place.into_iter().for_each(|place| ready.insert(owner, place));
            ready.hold(owner, 0, holds);
        }
        for Orphan { kind, name, draining, .. } in orphans.values() {
            ready.hold(Owner { kind, name, limits }, 0, *draining);
        }
        ready
    }

    /// A collection has changed, and what is to be said of it with it.
    pub(super) fn replace(&mut self, id: CollectionId, owner: Owner<'_>, before: Entry, after: Entry) {
        if before.place != after.place {
            before.place.into_iter().for_each(|place| self.ready.remove(owner, place));
            after.place.into_iter().for_each(|place| self.ready.insert(owner, place));
        }
        if before.holds != after.holds {
            self.ready.hold(owner, before.holds, after.holds);
        }
        for (deadline, (before, after)) in TIMED.into_iter().zip(before.deadlines.into_iter().zip(after.deadlines)) {
            let timed = |at: Option<Timestamp>| at.map(|at| (at, deadline(id)));
            exchange(&mut self.deadlines, timed(before), timed(after));
        }
        let owed = |entry: Entry| entry.owed.map(|due| (due, id));
        exchange(&mut self.owed, owed(before), owed(after));
        let haunted = |entry: Entry| entry.haunted.then_some(id);
        exchange(&mut self.haunted, haunted(before), haunted(after));
    }

    pub(super) fn start_draining(&mut self, draining: &Draining) {
        let token = draining.attempt.token;
        self.drains.insert((draining.attempt.collection, token));
        self.deadlines.extend(draining.grace_until.map(|until| (until, Deadline::Grace(token))));
    }

    pub(super) fn stop_draining(&mut self, draining: &Draining) {
        let token = draining.attempt.token;
        self.drains.remove(&(draining.attempt.collection, token));
        if let Some(until) = draining.grace_until {
            self.deadlines.remove(&(until, Deadline::Grace(token)));
        }
    }
}

fn exchange<T: Ord>(index: &mut BTreeSet<T>, before: Option<T>, after: Option<T>) {
    if before != after {
        before.into_iter().for_each(|before| _ = index.remove(&before));
        index.extend(after);
    }
}
