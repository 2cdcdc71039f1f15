//! What the log adds up to. `fold` is the only way in which it changes: live, in replay and in every test.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};

use super::collection::{Collection, Pending};
use super::status::Status;
use super::vocabulary::{
    AttemptRef, CollectionId, Deadline, Epoch, Event, Kind, Name, Recorded, Seq, TaskId, Timestamp, Token,
};

pub use check::Violation;

/// What the events so far add up to.
///
/// Two states are equal if the same events made them; the indices follow from the rest and are left out of
/// equality, hash and digest.
#[derive(Clone, Debug, Default)]
pub struct State {
    last: Seq,
    epoch: Epoch,
    at: Timestamp,
    collections: BTreeMap<CollectionId, Collection>,
    draining: BTreeMap<Token, Draining>,
    names: BTreeMap<Name, CollectionId>,
    ready: BTreeMap<Kind, BTreeSet<(Timestamp, TaskId, CollectionId)>>,
    deadlines: BTreeSet<(Timestamp, Deadline)>,
}

/// An attempt that may not commit any more and still holds a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Draining {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Then it is abandoned; `None` if it has ended already and only has to be taken off the books.
    pub grace_until: Option<Timestamp>,
}

/// An event that cannot follow the ones before it. Before an append that is a bug of the program; in replay it
/// means that the log is damaged, or was written by a program that decided differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// The event's position.
    pub seq: Seq,
    /// Its type.
    pub event: &'static str,
    /// Why it cannot follow.
    pub why: &'static str,
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
        self.collections.get(&id)
    }

    /// The incarnation that has this name now.
    #[must_use]
    pub fn id_of(&self, name: &Name) -> Option<CollectionId> {
        self.names.get(name).copied()
    }

    /// All collections, in the order of their declaration.
    pub fn collections(&self) -> impl Iterator<Item = (CollectionId, &Collection)> {
        self.collections.iter().map(|(id, collection)| (*id, collection))
    }

    /// All collections, by name.
    pub fn by_name(&self) -> impl Iterator<Item = (CollectionId, &Collection)> {
        self.names.values().filter_map(|id| self.collections.get(id).map(|collection| (*id, collection)))
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

    /// The attempts that are running, in the order of their collections.
    pub fn running(&self) -> impl Iterator<Item = (CollectionId, AttemptRef)> {
        self.collections.iter().filter_map(|(id, collection)| Some((*id, running_attempt(*id, collection)?)))
    }

    /// The first thing that is due at `now` or before.
    #[must_use]
    pub fn first_due(&self, now: Timestamp) -> Option<Deadline> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, deadline)| *deadline)
    }

    /// When something is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// The collection whose task has waited longest for a worker of one of `kinds` and may start at `now`.
    #[must_use]
    pub fn first_ready<'k>(&self, kinds: impl IntoIterator<Item = &'k Kind>, now: Timestamp) -> Option<CollectionId> {
        let first = kinds.into_iter().filter_map(|kind| self.ready.get(kind)?.first()).min()?;
        (first.0 <= now).then_some(first.2)
    }

    /// When a task of one of `kinds` may start next.
    #[must_use]
    pub fn next_ready<'k>(&self, kinds: impl IntoIterator<Item = &'k Kind>) -> Option<Timestamp> {
        kinds.into_iter().filter_map(|kind| self.ready.get(kind)?.first()).min().map(|first| first.0)
    }

    /// A digest of everything but the indices. Equal states have equal digests, within one build of this crate:
    /// it compares live state, replay and snapshots, and is no part of the format.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = DigestHasher(blake3::Hasher::new_derive_key("lastword state digest"));
        self.hash(&mut hasher);
        *hasher.0.finalize().as_bytes()
    }

    /// Epoch, order and time hold for every event alike.
    fn advance(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        if recorded.seq != self.last.next() {
            return Err("its sequence number is not the next");
        }
        if recorded.at < self.at {
            return Err("its time goes back");
        }
        match recorded.event {
            Event::WriterOpened { .. } if recorded.epoch <= self.epoch => return Err("its epoch is not a new one"),
            Event::WriterOpened { .. } => self.epoch = recorded.epoch,
            _ if self.last == Seq::ZERO => return Err("no writer has opened the log"),
            _ if recorded.epoch != self.epoch => return Err("its epoch is not the one that is open"),
            _ => {}
        }
        self.last = recorded.seq;
        self.at = recorded.at;
        Ok(())
    }

    fn apply(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        let Some(id) = recorded.event.collection(recorded.seq) else { return Ok(()) };
        match &recorded.event {
            Event::CollectionDeclared { name, .. } => {
                let collection = Collection::declared(recorded)?;
                if self.names.insert(name.clone(), id).is_some() {
                    return Err("its name is taken");
                }
                self.insert(id, collection);
                Ok(())
            }
            Event::CollectionDropped { .. } => {
                let mut collection = self.remove(id).ok_or("there is no such collection")?;
                collection.fold(recorded)?;
                self.names.remove(&collection.name);
                Ok(())
            }
            // These two may come after the collection is gone.
            Event::AttemptEnded { task, attempt, token, .. } => {
                let ended = AttemptRef { collection: id, task: *task, attempt: *attempt, token: *token };
                match self.remove(id) {
                    Some(collection) => self.end_attempt(collection, ended, recorded),
                    None => self.stop_draining(ended),
                }
            }
            Event::CompletionRejected { .. } if !self.collections.contains_key(&id) => Ok(()),
            _ => {
                let mut collection = self.remove(id).ok_or("there is no such collection")?;
                let before = running_attempt(id, &collection);
                collection.fold(recorded)?;
                if let Some(attempt) = before.filter(|_| collection.status.attempt().is_none()) {
                    collection.draining += 1;
                    self.start_draining(attempt, grace_of(&recorded.event));
                }
                self.insert(id, collection);
                Ok(())
            }
        }
    }

    fn end_attempt(
        &mut self,
        mut collection: Collection,
        ended: AttemptRef,
        recorded: &Recorded,
    ) -> Result<(), &'static str> {
        let id = ended.collection;
        if running_attempt(id, &collection) != Some(ended) {
            self.stop_draining(ended)?;
            collection.draining = collection.draining.checked_sub(1).ok_or("nothing is draining")?;
        }
        collection.fold(recorded)?;
        self.insert(id, collection);
        Ok(())
    }

    fn start_draining(&mut self, attempt: AttemptRef, grace_until: Option<Timestamp>) {
        self.draining.insert(attempt.token, Draining { attempt, grace_until });
        if let Some(until) = grace_until {
            self.deadlines.insert((until, Deadline::Grace(attempt.token)));
        }
    }

    fn stop_draining(&mut self, ended: AttemptRef) -> Result<(), &'static str> {
        let draining = self.draining.remove(&ended.token).ok_or("there is no such attempt")?;
        if draining.attempt != ended {
            return Err("the token is another attempt's");
        }
        if let Some(until) = draining.grace_until {
            self.deadlines.remove(&(until, Deadline::Grace(ended.token)));
        }
        Ok(())
    }

    /// Takes a collection out, together with what the indices say of it.
    fn remove(&mut self, id: CollectionId) -> Option<Collection> {
        let collection = self.collections.remove(&id)?;
        if let Some((not_before, task)) = ready_at(&collection)
            && let Some(ready) = self.ready.get_mut(&collection.kind)
        {
            ready.remove(&(not_before, task, id));
        }
        for deadline in deadlines_of(id, &collection).into_iter().flatten() {
            self.deadlines.remove(&deadline);
        }
        Some(collection)
    }

    fn insert(&mut self, id: CollectionId, collection: Collection) {
        if let Some((not_before, task)) = ready_at(&collection) {
            if let Some(ready) = self.ready.get_mut(&collection.kind) {
                ready.insert((not_before, task, id));
            } else {
                self.ready.insert(collection.kind.clone(), BTreeSet::from([(not_before, task, id)]));
            }
        }
        self.deadlines.extend(deadlines_of(id, &collection).into_iter().flatten());
        self.collections.insert(id, collection);
    }
}

/// When the collection's task may start, unless something else has to happen first.
fn ready_at(collection: &Collection) -> Option<(Timestamp, TaskId)> {
    match &collection.status {
        Status::Waiting(waiting) if !collection.paused && collection.draining == 0 => {
            Some((waiting.not_before, waiting.task.id))
        }
        Status::Waiting(_) | Status::Idle | Status::Running(_) | Status::Parked(_) => None,
    }
}

/// What is to happen to the collection at a time of its own.
fn deadlines_of(id: CollectionId, collection: &Collection) -> [Option<(Timestamp, Deadline)>; 2] {
    let settled = match collection.pending {
        Some(Pending::Settling { until, .. }) => Some((until, Deadline::Settled(id))),
        Some(Pending::Waiting { .. } | Pending::Held { .. }) | None => None,
    };
    let attempt = collection.status.attempt().and_then(|attempt| attempt.deadline);
    [settled, attempt.map(|deadline| (deadline, Deadline::Attempt(id)))]
}

fn running_attempt(id: CollectionId, collection: &Collection) -> Option<AttemptRef> {
    collection.status.running().map(|running| running.attempt_of(id))
}

fn grace_of(event: &Event) -> Option<Timestamp> {
    match event {
        Event::TaskAborted { stopping, .. } => stopping.map(|stopping| stopping.grace_until),
        Event::AttemptFailed { grace_until, .. } => *grace_until,
        _ => None,
    }
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        (self.last, self.epoch, self.at) == (other.last, other.epoch, other.at)
            && self.collections == other.collections
            && self.draining == other.draining
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.last, self.epoch, self.at).hash(hasher);
        self.collections.hash(hasher);
        self.draining.hash(hasher);
    }
}

/// Lets `#[derive(Hash)]` decide what is hashed, and BLAKE3 how.
struct DigestHasher(blake3::Hasher);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        self.0.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    }
}
