//! What is answered about the state: as the batch has it, with what only the running engine knows.
//!
//! *Architecture invariant:* it reads. Nothing is changed by being shown.

use std::collections::BTreeSet;

use super::EngineLoop;
use crate::core::vocabulary::CollectionId;
use crate::core::{CollectionView, Condition, Surroundings};
use crate::engine::handle::MOST_IN_PAGE;
use crate::engine::stats::Stats;
use crate::engine::status::CollectionStatus;
use crate::engine::waits::Seen;

impl EngineLoop {
    pub(super) fn status(&self, id: CollectionId) -> Option<CollectionStatus> {
        let state = self.reducer.state();
        let at = self.time.now();
        let view = CollectionView::of(state, id, at)?.within(self.surroundings(id));
        let token = state.collection(id)?.status.attempt().map(|attempt| attempt.token);
        Some(CollectionStatus {
            at,
            workers_exhausted: view.task.is_some() && token.is_none() && self.workers.is_exhausted(&view.kind),
            undeliverable: self.deliveries.undeliverable(state, id).is_some(),
            deliveries_exhausted: self.deliveries.is_exhausted(state, id),
            verification: self.deliveries.last_verification(id).cloned(),
            view,
            last_observation: self.observers.last(id),
            observing: self.observers.current(id),
            next_observation: self.observers.next(id),
            progress: token.and_then(|token| self.workers.progress(token).or_else(|| self.leases.progress(token))),
        })
    }

    /// What the log does not know of a collection, and its condition depends on.
    fn surroundings(&self, id: CollectionId) -> Surroundings {
        let state = self.reducer.state();
        let kind = state.collection(id).map(|collection| &collection.kind);
        let has_worker = kind.is_some_and(|kind| self.workers.builds(kind) || self.leases.drives(kind));
        let has_duties = kind.is_some_and(|kind| self.workers.has_duties(kind));
        Surroundings {
            has_worker,
            undeliverable: self.deliveries.undeliverable(state, id),
            without_duties: if has_worker && !has_duties {
                Condition::without_duties(state, id, self.time.now())
            } else {
                None
            },
            has_observer: self.observers.observes(id, state),
            not_observed: self.observers.not_observed(id, state),
        }
    }

    /// Answers those who wait for a source to be in step.
    pub(super) fn settle(&mut self) {
        let now = self.time.now();
        for id in self.settling.take_touched() {
            let observed = self.observers.last_number(id, self.reducer.state());
            let seen = self.status(id).map(|status| Seen { status, observed });
            self.settling.judge(id, seen.as_ref(), now);
        }
    }

    /// The collections with an attempt that holds a worker.
    pub(super) fn running(&self) -> Vec<CollectionStatus> {
        let all: BTreeSet<CollectionId> = self.workers.collections().chain(self.leases.collections()).collect();
        all.into_iter().take(MOST_IN_PAGE).filter_map(|id| self.status(id)).collect()
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.reducer.state();
        let mut stats = Stats {
            at: self.time.now(),
            epoch: state.epoch(),
            durable: self.reducer.durable(),
            begins: self.history.begins(),
            snapshot: self.history.last_snapshot(),
            attempts: self.workers.running() as u64,
            sleeping: self.workers.sleeping_until().count() as u64,
            due: self.next_due().into_iter().chain(self.workers.sleeping_until()).min(),
            leased: self.leases.len() as u64,
            assignment_waiters: self.leases.waiters() as u64,
            idle_workers: self.workers.idle() as u64,
            abandoned_workers: self.workers.abandoned() as u64,
            not_observed: self.observers.count_not_observed(),
            observations: self.observers.under_way() as u64,
            deliveries: self.deliveries.busy() as u64,
            overdue_deliveries: self.deliveries.overdue() as u64,
            queued: self.wakes.inbox.len() as u64,
            queued_bytes: self.wakes.inbox.bytes() as u64,
            waiters: (self.waits.len() + self.settling.len()) as u64,
            wakes: self.woken,
            counters: self.counters,
            ..Stats::default()
        };
        (stats.feed_events, stats.feed_bytes) = self.feed.kept();
        self.tally.show(&mut stats, state, self.time.now());
        stats
    }
}
