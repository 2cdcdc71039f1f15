//! Which task is next: those that wait for a worker, in their order, and the attempts that count against limits.
//!
//! An index: it follows from the rest of the state. A task whose time has come has a *rank*: that time, moved forward
//! by its priority. Ranks never change while a task waits, and yet it ages: what becomes ready later has a later one.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::vocabulary::{CollectionId, Duties, Kind, Limits, Name, Priority, Scope, TaskId, Timestamp, micros};

/// The smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(i64);

impl Rank {
    fn of(ready: Timestamp, priority: Priority) -> Rank {
        let level = i64::try_from(micros(Priority::LEVEL)).unwrap_or(i64::MAX);
        let ready = i64::try_from(ready.0).unwrap_or(i64::MAX);
        Rank(ready.saturating_sub(level.saturating_mul(i64::from(priority.0))))
    }
}

/// A task that waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    not_before: Timestamp,
    key: Key,
    /// It is isolated.
    alone: bool,
    /// Its collection is undelivered.
    undelivered: bool,
}

type Key = (Rank, TaskId, CollectionId);

impl Place {
    pub(super) fn new(id: CollectionId, task: TaskId, priority: Priority, not_before: Timestamp) -> Place {
        Place { not_before, key: (Rank::of(not_before, priority), task, id), alone: false, undelivered: false }
    }

    pub(super) fn undelivered(self, undelivered: bool) -> Place {
        Place { undelivered, ..self }
    }

    pub(super) fn alone(self, alone: bool) -> Place {
        Place { alone, ..self }
    }
}

/// The kind and prefix whose limits count for a task or attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'o> {
    pub(super) kind: &'o Kind,
    pub(super) name: &'o Name,
    pub(super) limits: &'o Limits,
}

/// The tasks of one kind under one longest prefix: the same limits hold for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Queue {
    /// Their time has come.
    ranked: BTreeSet<Key>,
    /// Their time comes then.
    timed: BTreeSet<(Timestamp, Key)>,
}

/// By kind, and then by whether their collections are undelivered and the longest prefix.
type Queues = BTreeMap<Kind, BTreeMap<(bool, Option<Name>), Queue>>;

/// A kind whose tasks are asked for.
#[derive(Clone, Copy, Debug)]
pub struct ReadyKind<'k> {
    pub(super) kind: &'k Kind,
    /// Nothing that it builds is to be delivered, so that a full outbox keeps none of its tasks.
    pub(super) adds_nothing: bool,
}

impl<'k> From<&'k Kind> for ReadyKind<'k> {
    /// One that may have duties.
    fn from(kind: &'k Kind) -> ReadyKind<'k> {
        ReadyKind { kind, adds_nothing: false }
    }
}

impl<'k> From<(&'k Kind, &Duties)> for ReadyKind<'k> {
    fn from((kind, duties): (&'k Kind, &Duties)) -> ReadyKind<'k> {
        ReadyKind { kind, adds_nothing: !duties.any() }
    }
}

/// Which tasks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that are not isolated.
    Usual,
    /// Those that are.
    Isolated,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    queues: Queues,
    /// The same of isolated tasks.
    isolated: Queues,
    /// How many attempts hold a worker, where that is limited.
    total: u32,
    kinds: BTreeMap<Kind, u32>,
    prefixes: BTreeMap<Name, u32>,
    /// The tasks whose time had come by then are ranked.
    at: Timestamp,
}

impl Ready {
    pub(super) fn insert(&mut self, owner: Owner<'_>, place: Place) {
        let prefix = owner.limits.prefix_of(owner.name).cloned();
        let kinds = if place.alone { &mut self.isolated } else { &mut self.queues };
        if !kinds.contains_key(owner.kind) {
            kinds.insert(owner.kind.clone(), BTreeMap::new());
        }
        let Some(queues) = kinds.get_mut(owner.kind) else { return };
        let queue = queues.entry((place.undelivered, prefix)).or_default();
        if place.not_before <= self.at {
            queue.ranked.insert(place.key);
        } else {
            queue.timed.insert((place.not_before, place.key));
        }
    }

    pub(super) fn remove(&mut self, owner: Owner<'_>, place: Place) {
        let prefix = owner.limits.prefix_of(owner.name).cloned();
        let kinds = if place.alone { &mut self.isolated } else { &mut self.queues };
        let Some(queues) = kinds.get_mut(owner.kind) else { return };
        let at = (place.undelivered, prefix);
        let Some(queue) = queues.get_mut(&at) else { return };
        if !queue.ranked.remove(&place.key) {
            queue.timed.remove(&(place.not_before, place.key));
        }
        if queue.ranked.is_empty() && queue.timed.is_empty() {
            queues.remove(&at);
            if queues.is_empty() {
                kinds.remove(owner.kind);
            }
        }
    }

    /// Time has gone on: ranks the tasks whose time has come.
    pub(super) fn advance(&mut self, now: Timestamp) {
        if now == self.at {
            return;
        }
        self.at = now;
        let all = self.queues.values_mut().chain(self.isolated.values_mut());
        for queue in all.flat_map(BTreeMap::values_mut) {
            while let Some((_, key)) = queue.timed.first().copied().filter(|(due, _)| *due <= now) {
                queue.timed.pop_first();
                queue.ranked.insert(key);
            }
        }
    }

    /// Attempts of one owner hold `after` workers, where they held `before`.
    pub(super) fn hold(&mut self, owner: Owner<'_>, before: u32, after: u32) {
        if before == after {
            return;
        }
        let change = |count: &mut u32| *count = (*count + after).saturating_sub(before);
        change(&mut self.total);
        if owner.limits.kinds.contains_key(owner.kind) {
            change(self.kinds.entry(owner.kind.clone()).or_default());
            self.kinds.retain(|_, count| *count > 0);
        }
        for prefix in owner.limits.prefixes_of(owner.name) {
            change(self.prefixes.entry(prefix.clone()).or_default());
        }
        self.prefixes.retain(|_, count| *count > 0);
    }

    /// The limit that keeps a task of this kind under this longest prefix from starting.
    pub(super) fn blocked(&self, kind: &Kind, prefix: Option<&Name>, limits: &Limits) -> Option<(Scope, u32)> {
        if let Some(most) = limits.total.filter(|most| self.total >= *most) {
            return Some((Scope::Total, most));
        }
        if let Some(most) = limits.kinds.get(kind).filter(|most| self.kinds.get(kind).is_some_and(|n| n >= *most)) {
            return Some((Scope::Kind(kind.clone()), *most));
        }
        let longest = prefix?;
        let full = |prefix: &&Name| self.prefixes.get(*prefix).is_some_and(|n| limits.prefixes.get(*prefix) <= Some(n));
        let full = limits.prefixes_of(longest).find(full)?;
        Some((Scope::Prefix(full.clone()), limits.prefixes.get(full).copied()?))
    }

    /// The task of one of `kinds` that is next, of those whose time has come and that no limit keeps.
    pub(super) fn first<'k>(
        &self,
        which: Which,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>>,
        now: Timestamp,
        limits: &Limits,
    ) -> Option<CollectionId> {
        let first = |queue: &Queue| {
            let came = queue.timed.iter().take_while(|(due, _)| *due <= now).map(|(_, key)| *key);
            queue.ranked.first().copied().into_iter().chain(came).min()
        };
        self.open(which, kinds, limits).filter_map(first).min().map(|(_, _, id)| id)
    }

    /// When the time of the next task of one of `kinds` comes that no limit keeps.
    pub(super) fn next<'k>(
        &self,
        which: Which,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>>,
        limits: &Limits,
    ) -> Option<Timestamp> {
        let next = |queue: &Queue| {
            let ranked = queue.ranked.first().map(|_| self.at);
            ranked.or_else(|| queue.timed.first().map(|(due, _)| *due))
        };
        self.open(which, kinds, limits).filter_map(next).min()
    }

    /// The queues of `kinds` that no limit keeps.
    fn open<'r, 'k: 'r>(
        &'r self,
        which: Which,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>> + 'r> + 'r,
        limits: &'r Limits,
    ) -> impl Iterator<Item = &'r Queue> + 'r {
        let all = match which {
            Which::Usual => &self.queues,
            Which::Isolated => &self.isolated,
        };
        let asked = kinds.into_iter().map(Into::<ReadyKind<'k>>::into);
        asked.filter_map(|asked| Some((asked, all.get(asked.kind)?))).flat_map(move |(asked, queues)| {
            let ReadyKind { kind, adds_nothing } = asked;
            let open = move |((undelivered, prefix), _): &(&(bool, Option<Name>), &Queue)| {
                (adds_nothing || !undelivered) && self.blocked(kind, prefix.as_ref(), limits).is_none()
            };
            queues.iter().filter(open).map(|(_, queue)| queue)
        })
    }
}
