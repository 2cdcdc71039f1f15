//! What people ask for: `Refresh`, `Cancel`, `Pause`, `Resume`, `Confirm`, `Drop`. Asking twice is harmless.

use super::follow::{Live, follow, observed_generation};
use super::{Events, named};
use crate::core::collection::Pending;
use crate::core::state::State;
use crate::core::status::{Parking, Status};
use crate::core::vocabulary::{AbortReason, Event, Fingerprint, Name, Rejection, TaskId, Timestamp};

pub(super) fn refresh(state: &State, name: &Name, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    events.push(Event::RefreshRequested { collection: id });
    if let (Status::Parked(_), Some(fingerprint)) = (&collection.status, collection.wanted_fingerprint()) {
        let generation = collection.generation;
        events.push(Event::TaskCreated { collection: id, generation, fingerprint, not_before: at });
    }
    Ok(())
}

pub(super) fn cancel(
    state: &State,
    name: &Name,
    task: Option<TaskId>,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    if let Status::Parked(parked) = &collection.status
        && (Some(parked.task), parked.cause) == (task, Parking::Cancelled)
    {
        return Ok(());
    }
    let live_id = collection.status.live().map(|live| live.id);
    let refused = Rejection::NoSuchTask { live: live_id };
    let live = Live::of(collection, at).filter(|_| task.is_none() || task == live_id).ok_or(refused)?;
    events.push(live.abort(id, AbortReason::Cancelled));
    Ok(())
}

pub(super) fn pause(state: &State, name: &Name, events: &mut Events) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    if !collection.paused {
        events.push(Event::CollectionPaused { collection: id });
    }
    Ok(())
}

pub(super) fn resume(state: &State, name: &Name, events: &mut Events) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    if collection.paused {
        events.push(Event::CollectionResumed { collection: id });
    }
    Ok(())
}

pub(super) fn confirm(
    state: &State,
    name: &Name,
    fingerprint: Fingerprint,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    match collection.pending {
        Some(Pending::Held { fingerprint: held, .. }) if held == fingerprint => {}
        Some(Pending::Held { fingerprint: held, .. }) => return Err(Rejection::NotHeld { held: Some(held) }),
        // Confirmed before: repeating it is harmless.
        Some(Pending::Settling { .. }) | None if collection.wanted_fingerprint() == Some(fingerprint) => return Ok(()),
        Some(Pending::Settling { .. }) | None => return Err(Rejection::NotHeld { held: None }),
    }
    let generation = observed_generation(collection, fingerprint);
    events.push(Event::HoldConfirmed { collection: id, fingerprint, generation });
    follow(id, collection, Live::of(collection, at), Some(fingerprint), generation, at, events);
    Ok(())
}

pub(super) fn drop_collection(state: &State, name: &Name, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    if let Some(live) = Live::of(collection, at) {
        events.push(live.abort(id, AbortReason::Dropped));
    }
    events.push(Event::CollectionDropped { collection: id });
    Ok(())
}
