//! `Delivered`, `DeliveryFailed`, `Drifted`: what became of an outbox entry, and of what was committed.

use super::Events;
use super::backoff::retry_at;
use super::context::clip;
use super::steer::rebuild;
use crate::core::outbox::{OutboxEntry, OutboxItem};
use crate::core::state::State;
use crate::core::vocabulary::{
    CollectionId, DeliveryRef, Event, FailureReport, RefreshReason, Rejection, Seq, Timestamp,
};

pub(super) fn delivered(state: &State, delivered: DeliveryRef, events: &mut Events) -> Result<(), Rejection> {
    let DeliveryRef { collection, obligation, .. } = delivered;
    events.push(match &first(state, delivered)?.item {
        OutboxItem::Publish(commit) => {
            let (token, fingerprint) = (commit.token, commit.fingerprint);
            Event::Published { collection, commit: obligation, token, fingerprint }
        }
        OutboxItem::Discard(_) => Event::Discarded { collection, obligation },
    });
    Ok(())
}

/// The entry stays first and is tried again with backoff: a publication is never given up, and what follows it waits.
pub(super) fn failed(
    state: &State,
    delivered: DeliveryRef,
    message: &str,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let DeliveryRef { collection, obligation, delivery } = delivered;
    let failures = first(state, delivered)?.failures.saturating_add(1);
    let policy = state.collection(collection).map(|collection| collection.policy.retry);
    let retry_at = retry_at(&policy.unwrap_or_default(), obligation, failures, at);
    let message = clip(message, FailureReport::MOST_MESSAGE).into();
    events.push(Event::PublishFailed { collection, obligation, delivery, message, failures, retry_at });
    Ok(())
}

/// What was committed is gone: it is built anew, unless it was replaced meanwhile or is to be built anew already. Told
/// again, it does not wake what has failed.
pub(super) fn drifted(
    state: &State,
    id: CollectionId,
    commit: Seq,
    message: &str,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let collection = state.collection(id).ok_or(Rejection::UnknownIncarnation(id))?;
    if collection.applied.as_ref().is_some_and(|applied| applied.seq == commit) && !collection.rebuild {
        let message = clip(message, FailureReport::MOST_MESSAGE).into();
        rebuild(id, collection, RefreshReason::Drift(message), at, events);
    }
    Ok(())
}

/// The first entry of the collection's outbox, if it is this one.
fn first(state: &State, named: DeliveryRef) -> Result<&OutboxEntry, Rejection> {
    let first = state.first_outbox_entry(named.collection).map(|(_, _, first)| first);
    let is_named = |first: &&OutboxEntry| (first.id, first.delivery()) == (named.obligation, named.delivery);
    first.filter(is_named).ok_or(Rejection::NotOwed(named.collection))
}
