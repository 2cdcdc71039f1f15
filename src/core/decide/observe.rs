//! `Observe`: what a source was seen to hold. An unchanged look is no event.

use super::follow::{Live, follow, observed_generation};
use super::{Events, clip, named};
use crate::core::collection::{Collection, Pending};
use crate::core::state::State;
use crate::core::vocabulary::{
    Admission, CollectionId, Delta, Event, FailureReport, Fingerprint, HoldCause, Observation, Observed, Rejection,
    Seen, Subject, Timestamp,
};

pub(super) fn observe(
    state: &State,
    observation: &Observation,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let (id, collection) = match &observation.subject {
        Subject::Name(name) => named(state, name)?,
        Subject::Id(id) => (*id, state.collection(*id).ok_or(Rejection::UnknownIncarnation(*id))?),
    };
    check_look(collection, observation)?;
    see(id, collection, Live::of(collection, at), &observation.seen, at, events);
    Ok(())
}

/// Refuses a look that cannot count: the collection is unversioned, or a newer word was accepted since it began.
pub(super) fn check_look(collection: &Collection, observation: &Observation) -> Result<(), Rejection> {
    if !collection.versioned {
        return Err(Rejection::NotVersioned(collection.name.clone()));
    }
    match observation.began {
        Some(began) if began < collection.heard => Err(Rejection::LookTooOld { began, heard: collection.heard }),
        Some(_) | None => Ok(()),
    }
}

/// Decides on what was seen, for a collection whose live task is `live` at this point of the decision.
pub(super) fn see(
    id: CollectionId,
    collection: &Collection,
    live: Option<Live>,
    seen: &Seen,
    at: Timestamp,
    events: &mut Events,
) {
    match seen {
        Seen::Failed { cause } => {
            let cause = clip(cause, FailureReport::MOST_MESSAGE);
            if collection.unobservable.as_ref().is_none_or(|known| *known.cause != *cause) {
                events.push(Event::ObservationFailed { collection: id, cause: cause.into() });
            }
        }
        Seen::Content { observed, delta } => {
            see_content(id, collection, live, observed, *delta, at, events);
        }
    }
}

fn see_content(
    id: CollectionId,
    collection: &Collection,
    live: Option<Live>,
    observed: &Observed,
    delta: Option<Delta>,
    at: Timestamp,
    events: &mut Events,
) {
    let unchanged = collection.observed().is_some_and(|known| known.version == observed.version);
    if unchanged && collection.unobservable.is_none() {
        return;
    }
    let Some(fingerprint) = collection.observed_as(observed).fingerprint() else { return };
    let verdict =
        if unchanged { still(collection, fingerprint) } else { verdict(collection, observed, fingerprint, at) };
    match verdict {
        Verdict::Hold(cause) => {
            let observed = observed.clone();
            events.push(Event::CollectionHeld { collection: id, observed, delta, cause, fingerprint });
        }
        Verdict::Settle { until } => {
            let admission = Admission::Settling { until };
            events.push(Event::SourceObserved { collection: id, observed: observed.clone(), delta, admission });
        }
        Verdict::Admit => admit(id, collection, live, observed, delta, fingerprint, at, events),
    }
}

/// Admits an observation: it is wanted from here on, and the task follows.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one event and of its context; a struct would only rename them"
)]
pub(super) fn admit(
    id: CollectionId,
    collection: &Collection,
    live: Option<Live>,
    observed: &Observed,
    delta: Option<Delta>,
    fingerprint: Fingerprint,
    at: Timestamp,
    events: &mut Events,
) {
    let generation = observed_generation(collection, fingerprint);
    let admission = Admission::Admitted { fingerprint, generation };
    events.push(Event::SourceObserved { collection: id, observed: observed.clone(), delta, admission });
    follow(id, collection, live, Some(fingerprint), generation, at, events);
}

enum Verdict {
    Admit,
    Settle { until: Timestamp },
    Hold(HoldCause),
}

fn verdict(collection: &Collection, observed: &Observed, fingerprint: Fingerprint, at: Timestamp) -> Verdict {
    // Back to what is wanted: nothing is lost by it.
    if collection.wanted_fingerprint() == Some(fingerprint) {
        return Verdict::Admit;
    }
    // And nothing by coming back to what is applied.
    if collection.applied_fingerprint() != Some(fingerprint)
        && let Some(cause) = loss(observed)
    {
        return Verdict::Hold(cause);
    }
    // The first observation after a declaration of the source has nothing to be coalesced with.
    if collection.wanted.is_none() {
        return Verdict::Admit;
    }
    let since = match collection.pending {
        Some(Pending::Settling { since, .. }) => since,
        Some(Pending::Held { .. }) | None => at,
    };
    let coalesce = collection.policy.coalesce;
    let until = at.after(coalesce.quiet).min(since.after(coalesce.max_delay));
    if until <= at { Verdict::Admit } else { Verdict::Settle { until } }
}

/// Nothing has changed but that the source can be observed again: whatever was decided stays.
fn still(collection: &Collection, fingerprint: Fingerprint) -> Verdict {
    match collection.pending {
        Some(Pending::Settling { until, .. }) => Verdict::Settle { until },
        Some(Pending::Held { cause, .. }) => Verdict::Hold(cause),
        None => {
            debug_assert_eq!(collection.wanted_fingerprint(), Some(fingerprint));
            Verdict::Admit
        }
    }
}

/// What looks like a loss: a set of files that is empty.
fn loss(observed: &Observed) -> Option<HoldCause> {
    observed.set.is_some_and(|set| set.files == 0).then_some(HoldCause::Empty)
}
