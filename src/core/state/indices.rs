//! What follows from the rest of a state, kept so that no question needs a pass over all of it.
//!
//! Collections are changed in place. What the indices have to say of one, its [`Entry`], is made before and after, and
//! only what differs is touched: most events change nothing here.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Names;
use super::ready::{Owner, Place, Ready};
use super::{Draining, Orphan};
use crate::core::collection::{Collection, Pending};
use crate::core::outbox::Outbox;
use crate::core::status::Status;
use crate::core::vocabulary::{CollectionId, Deadline, Limits, Timestamp, Token};

#[derive(Clone, Debug, Default)]
pub(super) struct Indices {
    pub(super) names: Names,
    pub(super) ready: Ready,
    pub(super) deadlines: BTreeSet<(Timestamp, Deadline)>,
    /// The draining attempts of each collection.
    pub(super) drains: BTreeSet<(CollectionId, Token)>,
    /// Those of them that run in the process of the reducer.
    pub(super) drains_here: BTreeSet<(CollectionId, Token)>,
    /// Collections of which an attempt runs there.
    pub(super) runs_here: BTreeSet<CollectionId>,
    /// When the first outbox entry of each collection is due.
    pub(super) outboxes: BTreeSet<(Timestamp, CollectionId)>,
    /// Collections with abandoned attempts.
    pub(super) with_zombies: BTreeSet<CollectionId>,
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
    /// Its first outbox entry is due then.
    outbox_due: Option<Timestamp>,
    has_zombies: bool,
    /// An attempt runs in the process of the reducer.
    runs_here: bool,
}

/// What is to happen to a collection at a time of its own.
const TIMED: [fn(CollectionId) -> Deadline; 3] = [Deadline::Settled, Deadline::Attempt, Deadline::Resync];

impl Entry {
    pub(super) fn of(id: CollectionId, collection: &Collection) -> Entry {
        let place = match &collection.status {
            Status::Waiting(waiting) if collection.may_start().is_ok() => {
                let place = Place::new(id, waiting.task.id, collection.policy.priority, waiting.not_before);
                Some(place.alone(collection.is_isolated()).undelivered(collection.is_undelivered()))
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
        let outbox = collection.outbox.as_deref().map(Entry::of_outbox).unwrap_or_default();
        let runs_here = attempt.is_some_and(|attempt| attempt.lease.is_none());
        Entry { place, deadlines, holds, runs_here, ..outbox }
    }

    pub(super) fn of_orphan(orphan: &Orphan) -> Entry {
        Entry { holds: orphan.draining, ..Entry::of_outbox(&orphan.outbox) }
    }

    fn of_outbox(outbox: &Outbox) -> Entry {
        let outbox_due = outbox.first().map(|first| first.due);
        Entry { outbox_due, has_zombies: !outbox.zombies.is_empty(), ..Entry::default() }
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
        // Sets that are collected, and not inserted into one by one, are made faster and have no gaps.
        let names = Names::of(collections)?;
        let mut ready = Ready::default();
        ready.advance(at);
        let (mut deadlines, mut outboxes, mut with_zombies) = (Vec::new(), Vec::new(), Vec::new());
        let mut runs_here = BTreeSet::new();
        let mut add = |id: CollectionId, owner: Owner<'_>, entry: Entry| {
            entry.place.into_iter().for_each(|place| ready.insert(owner, place));
            ready.hold(owner, 0, entry.holds);
            deadlines.extend(entry.timed(id));
            outboxes.extend(entry.outbox_due.map(|due| (due, id)));
            with_zombies.extend(entry.has_zombies.then_some(id));
            runs_here.extend(entry.runs_here.then_some(id));
        };
        for (id, collection) in collections {
            let owner = Owner { kind: &collection.kind, name: &collection.name, limits };
            add(*id, owner, Entry::of(*id, collection));
        }
        for (id, orphan) in orphans {
            let owner = Owner { kind: &orphan.kind, name: &orphan.name, limits };
            add(*id, owner, Entry::of_orphan(orphan));
        }
        let graces = draining.iter().filter_map(|(token, d)| Some((d.grace_until?, Deadline::Grace(*token))));
        deadlines.extend(graces);
        Ok(Indices {
            names,
            ready,
            deadlines: deadlines.into_iter().collect(),
            drains: draining.iter().map(|(token, draining)| (draining.attempt.collection, *token)).collect(),
            drains_here: draining
                .iter()
                .filter(|(_, draining)| !draining.leased)
                .map(|(token, draining)| (draining.attempt.collection, *token))
                .collect(),
            runs_here,
            outboxes: outboxes.into_iter().collect(),
            with_zombies: with_zombies.into_iter().collect(),
        })
    }

    /// A collection has changed, and what is to be said of it with it.
    pub(super) fn replace(&mut self, id: CollectionId, owner: Owner<'_>, before: Entry, after: Entry) {
        if before.place != after.place {
            before.place.into_iter().for_each(|place| self.ready.remove(owner, place));
            after.place.into_iter().for_each(|place| self.ready.insert(owner, place));
        }
        self.ready.hold(owner, before.holds, after.holds);
        for (deadline, (before, after)) in TIMED.into_iter().zip(before.deadlines.into_iter().zip(after.deadlines)) {
            let timed = |at: Option<Timestamp>| at.map(|at| (at, deadline(id)));
            exchange(&mut self.deadlines, timed(before), timed(after));
        }
        let outbox = |entry: Entry| entry.outbox_due.map(|due| (due, id));
        exchange(&mut self.outboxes, outbox(before), outbox(after));
        let zombies = |entry: Entry| entry.has_zombies.then_some(id);
        exchange(&mut self.with_zombies, zombies(before), zombies(after));
        let runs_here = |entry: Entry| entry.runs_here.then_some(id);
        exchange(&mut self.runs_here, runs_here(before), runs_here(after));
    }

    pub(super) fn start_draining(&mut self, draining: &Draining) {
        let token = draining.attempt.token;
        self.drains.insert((draining.attempt.collection, token));
        self.drains_here.extend((!draining.leased).then_some((draining.attempt.collection, token)));
        self.deadlines.extend(draining.grace_until.map(|until| (until, Deadline::Grace(token))));
    }

    pub(super) fn stop_draining(&mut self, draining: &Draining) {
        let token = draining.attempt.token;
        self.drains.remove(&(draining.attempt.collection, token));
        self.drains_here.remove(&(draining.attempt.collection, token));
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
