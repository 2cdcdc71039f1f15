//! Which event made another necessary: the change of the inputs behind a task, and behind the end of one.

use std::collections::BTreeMap;

use lastword::core::vocabulary::{AbortReason, CollectionId, Event, Recorded, TaskId};
use log_dump::changes_inputs;

/// The last events that changed what collections are built from.
#[derive(Default)]
pub(super) struct Causes {
    inputs: BTreeMap<CollectionId, u64>,
    /// How each task ended, while late results may come.
    ended: BTreeMap<TaskId, u64>,
}

/// Late results come soon after the end of their task, or not at all.
const MOST_KEPT: usize = 4096;

impl Causes {
    /// The event that explains this one, if that is still known.
    pub(super) fn follow(&mut self, recorded: &Recorded) -> Option<u64> {
        let id = recorded.event.collection(recorded.seq)?;
        if changes_inputs(&recorded.event) {
            self.inputs.insert(id, recorded.seq.0);
        }
        let task = recorded.event.task(recorded.seq);
        match &recorded.event {
            Event::TaskCreated { .. } | Event::TaskAborted { reason: AbortReason::Superseded, .. } => {
                task.into_iter().for_each(|task| self.end(task, &recorded.event, recorded.seq.0));
                self.inputs.get(&id).copied()
            }
            Event::TaskAborted { .. } | Event::TaskCompleted { .. } | Event::TaskParked { .. } => {
                task.into_iter().for_each(|task| self.end(task, &recorded.event, recorded.seq.0));
                None
            }
            Event::CompletionRejected { task, .. } => self.ended.get(task).copied(),
            Event::CollectionDropped { .. } => {
                self.inputs.remove(&id);
                None
            }
            _ => None,
        }
    }

    fn end(&mut self, task: TaskId, event: &Event, seq: u64) {
        if matches!(event, Event::TaskCreated { .. }) {
            return;
        }
        self.ended.insert(task, seq);
        if self.ended.len() > MOST_KEPT {
            self.ended.pop_first();
        }
    }
}
