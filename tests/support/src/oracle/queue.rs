//! How many attempts may run, and which one is next.

use std::collections::BTreeSet;

use lastword::core::vocabulary::{CollectionId, Kind, Name, Timestamp};

use super::{Known, Open, Oracle};

impl Oracle {
    /// The collection whose attempt is to start next in the process of the reducer. Isolated ones come last, and run alone;
    /// for one that has waited for long nothing else starts. `behind` says since when a collection is behind.
    pub fn next(&self, now: Timestamp, behind: impl Fn(CollectionId) -> Option<Timestamp>) -> Option<CollectionId> {
        if let Some(alone) = self.drained_for(now, behind) {
            return self.may_run_here(true).then_some(alone);
        }
        let next = |isolated| self.may_run_here(isolated).then(|| self.first(now, isolated)).flatten();
        next(false).or_else(|| next(true))
    }

    /// The isolated collection for which nothing else starts in the process of the reducer: the first of those that may
    /// start, for a tenth of its wait whenever that has come to 10, 20, 40, .. minutes.
    pub fn drained_for(
        &self,
        now: Timestamp,
        behind: impl Fn(CollectionId) -> Option<Timestamp>,
    ) -> Option<CollectionId> {
        let first = self.first(now, true).filter(|_| self.may_run_here(false))?;
        let is_over = |since: Timestamp| {
            let waited = now.0.saturating_sub(since.0);
            let mut begins = 600_000_000;
            while begins + begins / 10 <= waited {
                begins *= 2;
            }
            begins <= waited
        };
        let since = [self.known.get(&first)?.waits, behind(first)];
        since.into_iter().flatten().any(is_over).then_some(first)
    }

    /// Whether an attempt may start beside those that hold a worker in the process of the reducer.
    pub fn may_run_here(&self, isolated: bool) -> bool {
        let mut here = self.open.values().filter(|open| !open.leased);
        let is_isolated = |open: &Open| self.known.get(&open.attempt.collection).is_some_and(Known::is_isolated);
        if isolated { here.next().is_none() } else { !here.any(is_isolated) }
    }

    fn first(&self, now: Timestamp, isolated: bool) -> Option<CollectionId> {
        let busy: BTreeSet<CollectionId> = self.open_attempts().map(|attempt| attempt.collection).collect();
        let of = self.known.iter().filter(|(_, known)| known.is_isolated() == isolated);
        let ready = of.filter(|(id, known)| !known.paused && !busy.contains(id));
        // The source moved under the last attempt, and what it holds now waits for a person.
        let ready = ready.filter(|(_, known)| !(known.moved && known.held));
        let ranked = ready.filter_map(|(id, known)| Some((self.rank(known, now)?, *id)));
        ranked.min().map(|(_, id)| id)
    }

    /// A minute of waiting is worth a step of priority.
    fn rank(&self, known: &Known, now: Timestamp) -> Option<(i128, lastword::core::vocabulary::TaskId)> {
        let ((task, _), from) = (known.live?, known.waits.filter(|from| *from <= now)?);
        let free = self.scopes(&known.kind, &known.name).into_iter().all(|(most, count)| count < most);
        free.then_some((i128::from(from.0) - i128::from(known.policy.priority.0) * 60_000_000, task))
    }

    pub(super) fn is_within_limits(&self, id: CollectionId) -> bool {
        let Some(known) = self.known.get(&id) else { return true };
        self.scopes(&known.kind, &known.name).into_iter().all(|(most, count)| count <= most)
    }

    /// The limits that hold for a collection, and how many attempts count for each.
    fn scopes(&self, kind: &Kind, name: &Name) -> Vec<(usize, usize)> {
        let count = |counts: &dyn Fn(&Open) -> bool| self.open.values().filter(|open| counts(open)).count();
        let most = |most: u32| usize::try_from(most).unwrap_or(usize::MAX);
        let mut scopes: Vec<_> = self.limits.total.map(|total| (most(total), self.open.len())).into_iter().collect();
        if let Some(limit) = self.limits.kinds.get(kind) {
            scopes.push((most(*limit), count(&|open| open.kind == *kind)));
        }
        for (prefix, limit) in &self.limits.prefixes {
            let prefix = prefix.as_str();
            if name.as_str().starts_with(prefix) {
                scopes.push((most(*limit), count(&|open| open.name.as_str().starts_with(prefix))));
            }
        }
        scopes
    }
}
