//! What is answered to whoever asks: the state as the batch has it, with what only the running engine knows.

use super::handle::CollectionStatus;
use super::run::Engine;
use super::stats::Stats;
use crate::core::CollectionView;
use crate::core::vocabulary::CollectionId;

impl Engine {
    pub(super) fn status(&self, id: CollectionId) -> Option<CollectionStatus> {
        let state = self.reducer.state();
        let view = CollectionView::of(state, id, self.time.now())?;
        let token = state.collection(id)?.status.attempt().map(|attempt| attempt.token);
        Some(CollectionStatus {
            workers_exhausted: view.task.is_some()
                && token.is_none()
                && self.duties.contains_key(&view.kind)
                && self.pool.is_exhausted(),
            undeliverable: self.couriers.is_undeliverable(state, id),
            verification: self.couriers.last_verification(id).cloned(),
            view,
            last_observation: self.looks.last(id),
            next_observation: self.looks.next(id),
            progress: token.and_then(|token| self.pool.progress(token).or_else(|| self.leases.progress(token))),
        })
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.reducer.state();
        let mut stats = Stats {
            at: self.time.now(),
            epoch: state.epoch(),
            durable: self.reducer.durable(),
            begins: self.history.begins(),
            snapshot: self.history.last_snapshot(),
            attempts: self.pool.running() as u64,
            asleep: self.pool.asleep().count() as u64,
            due: self.due().into_iter().chain(self.pool.asleep()).min(),
            lent: self.leases.len() as u64,
            seekers: self.leases.seekers().count() as u64,
            idle_workers: self.pool.idle() as u64,
            abandoned_workers: self.pool.abandoned() as u64,
            looks: self.looks.under_way() as u64,
            deliveries: self.couriers.busy() as u64,
            overdue_deliveries: self.couriers.overdue() as u64,
            queued: self.messages.len() as u64,
            waiters: self.waits.len() as u64,
            wakes: self.wakes,
            counted: self.counted,
            ..Stats::default()
        };
        stats.collections(state, stats.at);
        stats
    }
}
