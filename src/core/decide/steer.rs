//! What people ask for: `Refresh`, `Cancel`, `Pause`, `Resume`, `Confirm`, `Drop`. Asking twice is harmless.

use super::follow::{Scene, observed_generation};
use super::{Events, named};
use crate::core::collection::Pending;
use crate::core::state::State;
use crate::core::status::{Parking, Status};
use crate::core::vocabulary::{AbortReason, Event, Fingerprint, Name, Rejection, TaskId, Timestamp};

pub(super) fn refresh(
    state: &State,
    name: &Name,
    force: bool,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    events.push(Event::RefreshRequested { collection: id, force });
    let Some(fingerprint) = collection.wanted_fingerprint() else { return Ok(()) };
    let live = collection.status.live();
    let is_parked = matches!(collection.status, Status::Parked(_));
    if force && live.is_some_and(|task| !task.rebuild) {
        Scene::of(id, collection, at).abort(AbortReason::Superseded, events);
    }
    if is_parked || (force && live.is_none_or(|task| !task.rebuild)) {
        let (generation, rebuild) = (collection.generation, force);
        events.push(Event::TaskCreated { collection: id, generation, fingerprint, not_before: at, rebuild });
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
    if live_id.is_none() || task.is_some_and(|task| Some(task) != live_id) {
        return Err(refused);
    }
    let scene = Scene::of(id, collection, at);
    scene.abort(AbortReason::Cancelled, events);
    scene.without_task().admit_waiting(events);
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
        Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None
            if collection.wanted_fingerprint() == Some(fingerprint) =>
        {
            return Ok(());
        }
        Some(Pending::Settling { .. } | Pending::Waiting { .. }) | None => {
            return Err(Rejection::NotHeld { held: None });
        }
    }
    let generation = observed_generation(collection, fingerprint);
    events.push(Event::HoldConfirmed { collection: id, fingerprint, generation });
    Scene::of(id, collection, at).follow(Some(fingerprint), generation, events);
    Ok(())
}

pub(super) fn drop_collection(state: &State, name: &Name, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    Scene::of(id, collection, at).abort(AbortReason::Dropped, events);
    events.push(Event::CollectionDropped { collection: id });
    Ok(())
}
