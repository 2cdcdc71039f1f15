//! `Open`: a writer begins its epoch. What was running in the process before is lost; a leased attempt runs in a process of
//! its own and may still be completed, under the token it has.

use super::Events;
use super::attempt::{ended, lost};
use crate::core::state::State;
use crate::core::vocabulary::{EndReason, Event, Rejection, Timestamp};

#[expect(clippy::unnecessary_wraps, reason = "every command may be refused; opening just never is")]
pub(super) fn open(state: &State, software: &str, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    events.push(Event::WriterOpened { software: software.into() });
    for (_, draining) in state.all_draining().filter(|(_, draining)| !draining.leased) {
        events.push(ended(draining.attempt, EndReason::Lost));
    }
    for (id, attempt) in state.running() {
        let running = state.collection(id).and_then(|collection| collection.status.attempt());
        if running.is_some_and(|running| running.lease.is_none()) {
            lost(state, attempt, "the process that ran it ended", at, events);
        }
    }
    Ok(())
}
