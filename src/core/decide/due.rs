//! `Due`: a deadline has come. Each is decided on its own, after everything that was reported before it.

use std::sync::Arc;

use super::Events;
use super::attempt::{charge, ended};
use super::context::DecisionContext;
use super::steer::{rebuild, request};
use crate::core::collection::Pending;
use crate::core::state::State;
use crate::core::status::Status;
use crate::core::vocabulary::{
    Admission, CollectionId, Deadline, EndReason, Event, FailReason, RefreshReason, Rejection, Timestamp, Token,
};

pub(super) fn due(state: &State, deadline: Deadline, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    match deadline {
        Deadline::Settled(id) => settled(state, id, at, events),
        Deadline::Attempt(id) => timed_out(state, id, at, events),
        Deadline::Grace(token) => abandoned(state, token, at, events),
        Deadline::Resync(id) => resync(state, id, at, events),
    }
    if events.as_slice().is_empty() { Err(Rejection::NotDue) } else { Ok(()) }
}

fn settled(state: &State, id: CollectionId, at: Timestamp, events: &mut Events) {
    let Some(collection) = state.collection(id) else { return };
    let is_due = matches!(collection.pending, Some(Pending::Settling { until, .. }) if until <= at);
    let (Some(observed), Some(fingerprint), true) = (collection.observed(), collection.latest.fingerprint(), is_due)
    else {
        return;
    };
    let context = DecisionContext::of(id, collection, at);
    if context.observation_has_to_wait(fingerprint) {
        let (observed, admission) = (Arc::clone(observed), Admission::Waiting);
        events.push(Event::SourceObserved { collection: id, observed, delta: None, admission });
    } else {
        context.admit(observed, None, fingerprint, events);
    }
}

fn timed_out(state: &State, id: CollectionId, at: Timestamp, events: &mut Events) {
    let Some(collection) = state.collection(id) else { return };
    let Some(running) = collection.status.running() else { return };
    if running.attempt.deadline.is_none_or(|deadline| deadline > at) {
        return;
    }
    let attempt = running.attempt_of(id);
    let took = at.since(running.attempt.started);
    let message = format!("still running after {} s", took.as_secs()).into();
    let grace_until = Some(at.after(collection.policy.grace.0));
    charge(
        DecisionContext::of(id, collection, at),
        running,
        attempt,
        FailReason::TimedOut,
        message,
        grace_until,
        events,
    );
}

fn abandoned(state: &State, token: Token, at: Timestamp, events: &mut Events) {
    if let Some(draining) = state.draining(token).filter(|d| d.grace_until.is_some_and(|until| until <= at)) {
        let event: Event = ended(draining.attempt, EndReason::Abandoned);
        events.push(event);
    }
}

/// The source of a versioned collection is observed, and what it committed is checked. Whether that of an unversioned one
/// has changed cannot be told, so it is built anew. What is behind anyway, or given up, or paused, is left alone.
fn resync(state: &State, id: CollectionId, at: Timestamp, events: &mut Events) {
    let Some(collection) = state.collection(id) else { return };
    if collection.resync_at.is_none_or(|due| due > at) {
        return;
    }
    let rests = collection.is_fresh() && matches!(collection.status, Status::Idle) && !collection.paused;
    if rests && !collection.versioned {
        rebuild(id, collection, RefreshReason::Resync, at, events);
    } else {
        request(id, collection, false, RefreshReason::Resync, at, events);
    }
}
