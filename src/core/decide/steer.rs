//! What callers ask for: `Refresh`, `Cancel`, `Pause`, `Resume`, `Confirm`, `Drop`, `Limit`. Asking twice is harmless.

use super::Events;
use super::backoff::resync_at;
use super::context::{DecisionContext, named, observed_generation};
use crate::core::collection::{Collection, Pending};
use crate::core::state::State;
use crate::core::status::{Parking, Status};
use crate::core::vocabulary::{
    AbortReason, CollectionId, Event, Fingerprint, Limits, Name, RefreshReason, Rejection, Seq, TaskId, Timestamp,
};

pub(super) fn refresh(
    state: &State,
    name: &Name,
    force: bool,
    seen: Option<Seq>,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    if seen.is_some_and(|seen| collection.refreshed > seen) {
        return Ok(());
    }
    if force {
        rebuild(id, collection, RefreshReason::Asked, at, events);
        return Ok(());
    }
    request(id, collection, false, RefreshReason::Asked, at, events);
    if let (Some(fingerprint), Status::Parked(_)) = (collection.wanted_fingerprint(), &collection.status) {
        let (generation, rebuild) = (collection.generation, collection.rebuild);
        events.push(Event::TaskCreated { collection: id, generation, fingerprint, not_before: at, rebuild });
    }
    Ok(())
}

/// What is wanted is built anew, unless a rebuild of it is live. If it is not known yet what is wanted, that is built anew
/// once it is known.
pub(super) fn rebuild(
    id: CollectionId,
    collection: &Collection,
    reason: RefreshReason,
    at: Timestamp,
    events: &mut Events,
) {
    request(id, collection, true, reason, at, events);
    let Some(fingerprint) = collection.wanted_fingerprint() else { return };
    if collection.status.live().is_some_and(|task| task.rebuild) {
        return;
    }
    DecisionContext::of(id, collection, at).abort_task(AbortReason::Superseded, events);
    let (generation, rebuild) = (collection.generation, true);
    events.push(Event::TaskCreated { collection: id, generation, fingerprint, not_before: at, rebuild });
}

/// A resync that was to come is put off: what it would do is done now.
pub(super) fn request(
    id: CollectionId,
    collection: &Collection,
    force: bool,
    reason: RefreshReason,
    at: Timestamp,
    events: &mut Events,
) {
    let resync_at = collection.resync_at.and_then(|_| resync_at(&collection.policy, events.next(), at));
    events.push(Event::RefreshRequested { collection: id, force, reason, resync_at });
}

pub(super) fn limit(state: &State, limits: &Limits, events: &mut Events) -> Result<(), Rejection> {
    limits.check()?;
    if limits != state.limits() {
        events.push(Event::LimitsChanged { limits: limits.clone() });
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
    let context = DecisionContext::of(id, collection, at);
    context.abort_task(AbortReason::Cancelled, events);
    context.after_task_end().admit_waiting(events);
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
    DecisionContext::of(id, collection, at).retarget(Some(fingerprint), generation, events);
    Ok(())
}

pub(super) fn drop_collection(state: &State, name: &Name, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    DecisionContext::of(id, collection, at).abort_task(AbortReason::Dropped, events);
    events.push(Event::CollectionDropped { collection: id });
    Ok(())
}
