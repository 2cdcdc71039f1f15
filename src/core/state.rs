//! What the log adds up to. `fold` is the only way in which it changes: live, in replay and in every test.

mod check;
mod fold;
mod indices;
mod names;
mod next;
mod ready;
mod restore;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::collection::Collection;
use super::outbox::{Outbox, OutboxEntry};
use super::vocabulary::{
    AttemptRef, CollectionId, Deadline, Epoch, Kind, Limits, Name, Recorded, Scope, Seq, Timestamp, Token,
};
use indices::Indices;

use crate::error::ErrorKind;

pub use check::Violation;
pub use next::RunsAt;
pub use ready::ReadyKind;
pub use restore::{Parts, Restored};

/// What the events so far add up to.
///
/// Two states are equal if the same events made them; the indices follow from the rest and are left out of
/// equality, hash and digest.
#[derive(Clone, Debug, Default)]
pub struct State {
    last: Seq,
    epoch: Epoch,
    at: Timestamp,
    limits: Limits,
    /// Boxed: each is changed where it lies.
    collections: BTreeMap<CollectionId, Box<Collection>>,
    orphans: BTreeMap<CollectionId, Orphan>,
    draining: BTreeMap<Token, Draining>,
    /// What follows from the rest.
    indices: Indices,
}

/// An attempt that may not commit any more and still holds a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Draining {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Then it is abandoned; `None` if it has ended already and only has to be removed from here.
    pub grace_until: Option<Timestamp>,
    /// It runs in a process of its own.
    pub leased: bool,
    /// It has not committed, and what it has made is to be discarded.
    pub leaves: bool,
}

/// What is left of a dropped collection: attempts that have not stopped, and outputs to discard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Orphan {
    /// The name it had.
    pub name: Name,
    /// Which worker built it.
    pub kind: Kind,
    /// Attempts that still hold a worker.
    pub draining: u32,
    /// What is still to be delivered.
    pub outbox: Outbox,
}

/// An event that cannot follow the ones before it. Before an append that is a bug of the program; in replay it
/// means that the log is damaged, or was written by a program that decided differently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Illegal {
    /// The event's position.
    pub seq: Seq,
    /// Its type.
    pub event: &'static str,
    /// Why it cannot follow.
    pub why: &'static str,
}

impl Illegal {
    /// What a caller does about it. In the reducer, before an append, it is a bug instead, and its error says so.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Diverged
    }
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} ({}) cannot follow: {}", self.seq, self.event, self.why)
    }
}

impl std::error::Error for Illegal {}

impl State {
    /// The state before the first event.
    #[must_use]
    pub fn new() -> State {
        State::default()
    }

    /// Adds one event.
    ///
    /// # Errors
    /// When it cannot follow. The state must not be used after that.
    pub fn fold(&mut self, recorded: &Recorded) -> Result<(), Illegal> {
        self.advance(recorded).and_then(|()| self.apply(recorded)).map_err(|why| Illegal {
            seq: recorded.seq,
            event: recorded.event.type_name(),
            why,
        })?;
        debug_assert_eq!(recorded.event.collection(recorded.seq).map_or(Ok(()), |id| self.check_one(id)), Ok(()));
        Ok(())
    }

    /// The position of the last event.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The epoch of the last event.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The time of the last event.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How many collections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.collections.len()
    }

    /// Whether there are no collections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.collections.is_empty()
    }

    /// The collection of this incarnation.
    #[must_use]
    pub fn collection(&self, id: CollectionId) -> Option<&Collection> {
        self.collections.get(&id).map(|collection| &**collection)
    }

    /// The incarnation that has this name now.
    #[must_use]
    pub fn id_of(&self, name: &Name) -> Option<CollectionId> {
        self.indices.names.find(name, &self.collections)
    }

    /// All collections, in the order of their declaration.
    pub fn collections(&self) -> impl Iterator<Item = (CollectionId, &Collection)> {
        self.collections.iter().map(|(id, collection)| (*id, &**collection))
    }

    /// The collections that were declared after `after`, in the order of their declaration; all, if it is `None`.
    pub fn collections_after(&self, after: Option<CollectionId>) -> impl Iterator<Item = (CollectionId, &Collection)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.collections.range((from, std::ops::Bound::Unbounded)).map(|(id, collection)| (*id, &**collection))
    }

    /// All collections, by name.
    pub fn by_name(&self) -> impl Iterator<Item = (CollectionId, &Collection)> {
        let mut all: Vec<_> = self.collections().collect();
        all.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        all.into_iter()
    }

    /// The attempt with this token, if it was told to stop and has not been seen to end.
    #[must_use]
    pub fn draining(&self, token: Token) -> Option<&Draining> {
        self.draining.get(&token)
    }

    /// All attempts that were told to stop and have not been seen to end.
    pub fn all_draining(&self) -> impl Iterator<Item = (Token, &Draining)> {
        self.draining.iter().map(|(token, draining)| (*token, draining))
    }

    /// The attempts of one collection that were told to stop and have not been seen to end.
    pub fn draining_of(&self, id: CollectionId) -> impl Iterator<Item = &Draining> {
        let tokens = self.indices.drains.range((id, Token::LOWEST)..).take_while(move |(of, _)| *of == id);
        tokens.filter_map(|(_, token)| self.draining.get(token))
    }

    /// The attempts that are running, in the order of their collections.
    pub fn running(&self) -> impl Iterator<Item = (CollectionId, AttemptRef)> {
        self.collections.iter().filter_map(|(id, collection)| Some((*id, collection.status.running()?.attempt_of(*id))))
    }

    /// The first thing that is due at `now` or before.
    #[must_use]
    pub fn first_due(&self, now: Timestamp) -> Option<Deadline> {
        self.indices.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, deadline)| *deadline)
    }

    /// When something is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.indices.deadlines.first().map(|(at, _)| *at)
    }

    /// The limit that keeps this collection's task from starting, and how many attempts it allows.
    #[must_use]
    pub fn limit_reached(&self, id: CollectionId) -> Option<(Scope, u32)> {
        let collection = self.collections.get(&id)?;
        self.indices.ready.blocked(&collection.kind, self.limits.prefix_of(&collection.name), &self.limits)
    }

    /// How many attempts may hold a worker at the same time.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is left of a collection that was dropped.
    #[must_use]
    pub fn orphan(&self, id: CollectionId) -> Option<&Orphan> {
        self.orphans.get(&id)
    }

    /// What is left of dropped collections.
    pub fn orphans(&self) -> impl Iterator<Item = (CollectionId, &Orphan)> {
        self.orphans.iter().map(|(id, orphan)| (*id, orphan))
    }

    /// What is left of the dropped collections that were declared after `after`; of all, if it is `None`.
    pub fn orphans_after(&self, after: Option<CollectionId>) -> impl Iterator<Item = (CollectionId, &Orphan)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.orphans.range((from, std::ops::Bound::Unbounded)).map(|(id, orphan)| (*id, orphan))
    }

    /// The collections, dropped ones included, whose first outbox entry is due at `now`, in the order in which they became due.
    pub fn outboxes_due(&self, now: Timestamp) -> impl Iterator<Item = CollectionId> {
        self.indices.outboxes.iter().take_while(move |(due, _)| *due <= now).map(|(_, id)| *id)
    }

    /// When the first entry of an outbox is due next, after `now`.
    #[must_use]
    pub fn next_outbox_due(&self, now: Timestamp) -> Option<Timestamp> {
        let after = (std::ops::Bound::Excluded((now, CollectionId(Seq(u64::MAX)))), std::ops::Bound::Unbounded);
        self.indices.outboxes.range(after).next().map(|(due, _)| *due)
    }

    /// The first outbox entry of a collection, which may be gone, with the name and kind of the collection.
    #[must_use]
    pub fn first_outbox_entry(&self, id: CollectionId) -> Option<(&Name, &Kind, &OutboxEntry)> {
        let (name, kind, outbox) = match (self.collections.get(&id), self.orphans.get(&id)) {
            (Some(collection), _) => (&collection.name, &collection.kind, collection.outbox.as_deref()?),
            (None, Some(orphan)) => (&orphan.name, &orphan.kind, &orphan.outbox),
            (None, None) => return None,
        };
        outbox.first().map(|first| (name, kind, first))
    }

    /// A digest of everything but the indices. Equal states have equal digests, within one build of this crate:
    /// it compares live state, replay and snapshots, and is no part of the format.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = DigestHasher::new();
        self.hash(&mut hasher);
        hasher.flush();
        *hasher.of.finalize().as_bytes()
    }
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        (self.last, self.epoch, self.at) == (other.last, other.epoch, other.at)
            && self.limits == other.limits
            && self.collections == other.collections
            && self.orphans == other.orphans
            && self.draining == other.draining
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.last, self.epoch, self.at).hash(hasher);
        self.limits.hash(hasher);
        self.collections.hash(hasher);
        self.orphans.hash(hasher);
        self.draining.hash(hasher);
    }
}

/// `#[derive(Hash)]` decides what is hashed, BLAKE3 hashes it. The input is collected first: it comes in pieces of a few
/// bytes, and BLAKE3 is fast with many.
struct DigestHasher {
    of: blake3::Hasher,
    collected: Vec<u8>,
}

impl DigestHasher {
    const MOST_COLLECTED: usize = 64 << 10;

    fn new() -> DigestHasher {
        let of = blake3::Hasher::new_derive_key("lastword state digest");
        DigestHasher { of, collected: Vec::with_capacity(Self::MOST_COLLECTED) }
    }

    fn flush(&mut self) {
        self.of.update(&self.collected);
        self.collected.clear();
    }
}

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if self.collected.len() + bytes.len() > Self::MOST_COLLECTED {
            self.flush();
        }
        self.collected.extend_from_slice(bytes);
    }

    /// The trait asks for it, and a digest is longer.
    fn finish(&self) -> u64 {
        let mut of = self.of.clone();
        let mut first = [0; 8];
        of.update(&self.collected).finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}
