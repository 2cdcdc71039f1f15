//! Which notebooks are needed: that of an attempt until it ends, and then for as long as its outputs are leftovers.
//!
//! *Architecture invariant:* this part sees durable events and the state. What is not needed any more is removed at once,
//! and what a process that was killed has left behind, when the next one opens the log.

use crate::core::State;
use crate::core::vocabulary::{CollectionId, Event, Recorded, Token};
use crate::notes::Notes;

/// Removes what is not needed after an opening.
pub(super) fn sweep(notes: &Notes, state: &State) {
    notes.collections().into_iter().for_each(|id| notes.retain(id, |token| is_needed(state, id, token)));
}

/// What a durable event means for the notebooks of its collection.
pub(super) fn on_event(notes: &Notes, recorded: &Recorded, state: &State) {
    let Some(id) = recorded.event.collection(recorded.seq) else { return };
    match &recorded.event {
        // What an attempt without this duty leaves is not looked after, so nothing of it may be taken over.
        Event::TaskStarted { duties, .. } if duties.discard => {
            notes.begin(id, Token { epoch: recorded.epoch, seq: recorded.seq });
        }
        _ => notes.retain(id, |token| is_needed(state, id, token)),
    }
}

fn is_needed(state: &State, id: CollectionId, token: Token) -> bool {
    let Some(collection) = state.collection(id) else { return false };
    let runs = collection.status.attempt().is_some_and(|attempt| attempt.token == token);
    runs || collection.leftovers().contains(&token) || state.draining(token).is_some_and(|draining| draining.leaves)
}
