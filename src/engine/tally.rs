//! How many collections are in which state, counted on from event to event: asking for it costs the same however many
//! there are.
//!
//! *Architecture invariant:* it follows from the durable state alone, and is shown by `stats`. Nothing depends on it.

use std::collections::{BTreeMap, BTreeSet};

use super::stats::Stats;
use crate::core::vocabulary::{CollectionId, DeliveryKind, Recorded, Timestamp};
use crate::core::{Collection, Outbox, Pending, State, Status};

/// The counts, and what each collection adds to them. One that is at rest adds nothing, and takes no memory.
#[derive(Default)]
pub(super) struct Tally {
    of: BTreeMap<CollectionId, Share>,
    sum: Counts,
    /// Of the collections that are behind and can be observed: since when.
    behind: BTreeSet<(Timestamp, CollectionId)>,
    /// Of those with a commit that is to be published: since when the oldest is.
    unpublished: BTreeSet<(Timestamp, CollectionId)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    counts: Counts,
    behind: Option<Timestamp>,
    unpublished: Option<Timestamp>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    live: u64,
    waiting: u64,
    parked: u64,
    paused: u64,
    held: u64,
    unobservable: u64,
    undelivered: u64,
    unpublished: u64,
}

impl Tally {
    pub(super) fn of(state: &State) -> Tally {
        let mut tally = Tally::default();
        let ids = state.collections().map(|(id, _)| id).chain(state.orphans().map(|(id, _)| id));
        ids.for_each(|id| tally.count(id, state));
        tally
    }

    /// What a durable event means for the counts.
    pub(super) fn on_event(&mut self, recorded: &Recorded, state: &State) {
        if let Some(id) = recorded.event.collection(recorded.seq) {
            self.count(id, state);
        }
    }

    /// Shows the counts as they are at `now`.
    pub(super) fn show(&self, stats: &mut Stats, state: &State, now: Timestamp) {
        let Counts { live, waiting, parked, paused, held, unobservable, undelivered, unpublished } = self.sum;
        stats.collections = state.len() as u64;
        (stats.live, stats.waiting, stats.parked, stats.paused) = (live, waiting, parked, paused);
        (stats.held, stats.unobservable) = (held, unobservable);
        (stats.undelivered, stats.unpublished) = (undelivered, unpublished);
        let since = |all: &BTreeSet<(Timestamp, CollectionId)>| all.first().map(|(since, _)| now.since(*since));
        stats.lag = since(&self.behind).unwrap_or_default();
        stats.publish_lag = since(&self.unpublished).unwrap_or_default();
    }

    fn count(&mut self, id: CollectionId, state: &State) {
        let share = match state.collection(id) {
            Some(collection) => Share::of(collection),
            None => state.orphan(id).map(|orphan| Share::of_orphan(&orphan.outbox)).unwrap_or_default(),
        };
        let before = if share == Share::default() { self.of.remove(&id) } else { self.of.insert(id, share) };
        let before = before.unwrap_or_default();
        if before.behind != share.behind {
            before.behind.map(|since| self.behind.remove(&(since, id)));
            share.behind.map(|since| self.behind.insert((since, id)));
        }
        if before.unpublished != share.unpublished {
            before.unpublished.map(|since| self.unpublished.remove(&(since, id)));
            share.unpublished.map(|since| self.unpublished.insert((since, id)));
        }
        self.sum = self.sum.plus(share.counts).minus(before.counts);
    }
}

impl Share {
    fn of(collection: &Collection) -> Share {
        let Collection { status, paused, pending, unobservable, unapplied_since, outbox, .. } = collection;
        let counts = Counts {
            live: u64::from(status.live().is_some()),
            waiting: u64::from(matches!(status, Status::Waiting(_))),
            parked: u64::from(matches!(status, Status::Parked(_))),
            paused: u64::from(*paused),
            held: u64::from(matches!(pending, Some(Pending::Held { .. }))),
            unobservable: u64::from(unobservable.is_some()),
            ..Counts::of_outbox(outbox.as_deref())
        };
        let behind = unapplied_since.filter(|_| unobservable.is_none());
        Share { counts, behind, unpublished: outbox.as_deref().and_then(unpublished_since) }
    }

    fn of_orphan(outbox: &Outbox) -> Share {
        Share { counts: Counts::of_outbox(Some(outbox)), behind: None, unpublished: unpublished_since(outbox) }
    }
}

/// When the oldest commit was made that is to be published.
fn unpublished_since(outbox: &Outbox) -> Option<Timestamp> {
    outbox.entries.iter().find(|entry| entry.delivery() == DeliveryKind::Publish).map(|entry| entry.since)
}

impl Counts {
    fn of_outbox(outbox: Option<&Outbox>) -> Counts {
        let Some(outbox) = outbox else { return Counts::default() };
        let unpublished =
            outbox.entries.iter().filter(|entry| entry.delivery() == DeliveryKind::Publish).count() as u64;
        Counts { undelivered: outbox.entries.len() as u64, unpublished, ..Counts::default() }
    }

    fn plus(self, other: Counts) -> Counts {
        self.with(other, |a, b| a + b)
    }

    fn minus(self, other: Counts) -> Counts {
        self.with(other, |a, b| a - b)
    }

    fn with(self, other: Counts, add: impl Fn(u64, u64) -> u64) -> Counts {
        Counts {
            live: add(self.live, other.live),
            waiting: add(self.waiting, other.waiting),
            parked: add(self.parked, other.parked),
            paused: add(self.paused, other.paused),
            held: add(self.held, other.held),
            unobservable: add(self.unobservable, other.unobservable),
            undelivered: add(self.undelivered, other.undelivered),
            unpublished: add(self.unpublished, other.unpublished),
        }
    }
}
