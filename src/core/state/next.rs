//! Which task starts next, and beside what: isolated tasks run alone in the process of the reducer.
//!
//! It owns the order of what is isolated and what is not. Among equals `ready.rs` has the order, and it knows nothing of
//! workers: who asks says which kinds they may build.

use std::time::Duration;

use super::State;
use super::ready::{ReadyKind, Which};
use crate::core::status::Status;
use crate::core::vocabulary::{CollectionId, Retry, Timestamp, micros};

/// Where an attempt is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsAt {
    /// In the process of the reducer, and so beside everything else that runs there.
    Here,
    /// In a process of its own, under a lease.
    Elsewhere,
}

impl State {
    /// The collection whose task is next for a worker of one of `kinds` in the process of the reducer: of those that may
    /// start at `now`, the one of the highest priority, and of equals the one that has waited longest. Waiting raises a
    /// priority. Of a kind that is named without its duties, and of one that has some, none may start whose outbox is full.
    /// Isolated tasks come last, until one has waited for long: then the process is [drained](Retry::DRAINED_AFTER)
    /// for it.
    #[must_use]
    pub fn first_ready<'k>(
        &self,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>> + Clone,
        now: Timestamp,
    ) -> Option<CollectionId> {
        self.first_ready_at(RunsAt::Here, kinds, now)
    }

    /// The same for a worker at `place`.
    #[must_use]
    pub fn first_ready_at<'k>(
        &self,
        place: RunsAt,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>> + Clone,
        now: Timestamp,
    ) -> Option<CollectionId> {
        if place == RunsAt::Here
            && let Some((alone, _)) = self.drained(kinds.clone(), now)
        {
            return self.is_idle_here().then_some(alone);
        }
        let mut open = self.open(place);
        open.find_map(|which| self.indices.ready.first(which, kinds.clone(), now, &self.limits))
    }

    /// When a task of one of `kinds` may start next in the process of the reducer, as far as is known at `now`.
    #[must_use]
    pub fn next_ready<'k>(
        &self,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>> + Clone,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.next_ready_at(RunsAt::Here, kinds, now)
    }

    /// The same for a worker at `place`.
    #[must_use]
    pub fn next_ready_at<'k>(
        &self,
        place: RunsAt,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>> + Clone,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let next =
            self.open(place).filter_map(|which| self.indices.ready.next(which, kinds.clone(), &self.limits)).min();
        match self.drained(kinds, now).filter(|_| place == RunsAt::Here && !self.is_idle_here()) {
            Some((_, until)) => next.map(|next| next.max(until)),
            None => next,
        }
    }

    /// The isolated task for which the process is drained at `now`, and until when. Nothing starts beside what runs, so
    /// that this comes to its end.
    fn drained<'k>(
        &self,
        kinds: impl IntoIterator<Item = impl Into<ReadyKind<'k>>> + Clone,
        now: Timestamp,
    ) -> Option<(CollectionId, Timestamp)> {
        if self.runs_alone() {
            return None;
        }
        let id = self.indices.ready.first(Which::Isolated, kinds, now, &self.limits)?;
        let collection = self.collections.get(&id)?;
        let waiting = match &collection.status {
            Status::Waiting(waiting) => Some(waiting),
            Status::Idle | Status::Running(_) | Status::Parked(_) => None,
        };
        // A change makes another task of it, and it waits as before.
        let since = [waiting.map(|waiting| waiting.not_before), collection.unapplied_since];
        let until = since.into_iter().flatten().filter_map(|since| drained_until(since, now)).max()?;
        Some((id, until))
    }

    /// Which tasks may start at `place`, beside what runs there.
    fn open(&self, place: RunsAt) -> impl Iterator<Item = Which> {
        let (usual, isolated) = match place {
            RunsAt::Elsewhere => (true, true),
            RunsAt::Here => (!self.runs_alone(), self.is_idle_here()),
        };
        let which = [(usual, Which::Usual), (isolated, Which::Isolated)];
        which.into_iter().filter_map(|(is_open, which)| is_open.then_some(which))
    }

    /// Whether an attempt of this collection may start in the process of the reducer, beside what holds a worker there.
    #[must_use]
    pub fn has_room_beside(&self, id: CollectionId) -> bool {
        let is_isolated = self.collections.get(&id).is_some_and(|collection| collection.is_isolated());
        if is_isolated { self.is_idle_here() } else { !self.runs_alone() }
    }

    /// Whether no attempt holds a worker in the process of the reducer.
    fn is_idle_here(&self) -> bool {
        self.indices.runs_here.is_empty() && self.indices.drains_here.is_empty()
    }

    /// Whether an attempt of an isolated collection holds a worker in the process of the reducer.
    fn runs_alone(&self) -> bool {
        let draining = self.indices.drains_here.iter().map(|(id, _)| id);
        let mut here = self.indices.runs_here.iter().chain(draining);
        here.any(|id| self.collections.get(id).is_some_and(|collection| collection.is_isolated()))
    }
}

/// Until when the process is drained for a task that has waited since then: at once, twice, four times so long and so on,
/// each time for a part of the wait. However long the others take, there comes a time that is longer; and however long
/// one of them hangs, most of the time belongs to the rest.
fn drained_until(since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let (waited, first) = (now.0.saturating_sub(since.0), micros(Retry::DRAINED_AFTER));
    let times = (waited / first).checked_ilog2()?;
    let begun = first.checked_shl(times)?;
    let until = since.after(Duration::from_micros(begun + begun / Retry::DRAINED_PART));
    (now < until).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_drained_for_a_tenth_of_the_wait_ever_more_seldom() {
        let (since, minute) = (Timestamp(7_000_000), 60_000_000);
        let drained: Vec<u64> =
            (0..200).filter(|minutes| drained_until(since, Timestamp(since.0 + minutes * minute)).is_some()).collect();
        let expected: Vec<u64> = [10..11, 20..22, 40..44, 80..88, 160..176].into_iter().flatten().collect();
        assert_eq!(drained, expected);
        let until = drained_until(since, Timestamp(since.0 + 40 * minute)).unwrap();
        assert_eq!(until, Timestamp(since.0 + 44 * minute));
        assert_eq!(drained_until(since, Timestamp(0)), None);
    }
}
