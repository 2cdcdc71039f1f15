//! Describing a log that begins later.

use super::{Describer, Known};
use crate::core::{State, Status, Task};

impl Describer {
    /// One that has seen the events that led to `state`, as far as that still tells: for a log that begins behind them.
    /// Of a task that was over by then and had an attempt that had not stopped, nothing is known any more.
    #[must_use]
    pub fn behind(state: &State) -> Describer {
        let mut describer = Describer::new();
        for (id, collection) in state.collections() {
            describer.names.insert(id, collection.name.clone());
            let (task, running) = match &collection.status {
                Status::Waiting(waiting) => (&waiting.task, 0),
                Status::Running(running) => (&running.task, 1),
                Status::Idle | Status::Parked(_) => continue,
            };
            describer.remember(state, task, running);
        }
        describer.names.extend(state.orphans().map(|(id, orphan)| (id, orphan.name.clone())));
        describer
    }

    fn remember(&mut self, state: &State, task: &Task, running: u32) {
        let draining = state.all_draining().filter(|(_, draining)| draining.attempt.task == task.id).count();
        let outstanding = running + u32::try_from(draining).unwrap_or(u32::MAX);
        let Task { generation, fingerprint, .. } = *task;
        self.tasks.insert(task.id, Known { generation, fingerprint, outstanding, live: true });
    }
}
