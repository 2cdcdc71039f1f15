//! `Open`: a writer begins its epoch. Whatever was running ran in a process that is gone.

use super::Events;
use super::attempt::{ended, failed, park};
use super::follow::Scene;
use crate::core::state::State;
use crate::core::vocabulary::{EndReason, Event, FailReason, ParkCause, Rejection, Timestamp};

#[expect(clippy::unnecessary_wraps, reason = "every command may be refused; opening just never is")]
pub(super) fn open(state: &State, software: &str, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    events.push(Event::WriterOpened { software: software.into() });
    for (_, draining) in state.all_draining() {
        events.push(ended(draining.attempt, EndReason::Lost));
    }
    for (id, attempt) in state.running() {
        let Some(collection) = state.collection(id) else { continue };
        let Some(task) = collection.status.live() else { continue };
        let message = "the process that ran it ended".into();
        events.push(failed(attempt, FailReason::WorkerLost, message, at, collection.failures, None));
        events.push(ended(attempt, EndReason::Lost));
        if task.lost.saturating_add(1) >= collection.policy.retry.max_lost {
            park(Scene::of(id, collection, at), attempt.task, ParkCause::LostTooOften, events);
        }
    }
    Ok(())
}
