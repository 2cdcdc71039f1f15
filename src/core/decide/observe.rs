//! `Observe`: what a source was observed to hold. An observation that finds nothing new leaves no event.

use std::sync::Arc;

use super::Events;
use super::context::{DecisionContext, clip, named};
use crate::core::collection::{Collection, Pending};
use crate::core::commit::Applied;
use crate::core::state::State;
use crate::core::status::Status;
use crate::core::vocabulary::{
    Admission, Delta, EmptySource, Event, FailureReport, FileCounts, Fingerprint, HoldCause, Missing, Name,
    ObservationOutcome, ObservationReport, Rejection, Seq, SourceState, Timestamp,
};

/// What a caller says of now: it is never too old.
pub(super) fn observe_by_name(
    state: &State,
    name: &Name,
    outcome: &ObservationOutcome,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let (id, collection) = named(state, name)?;
    check_versioned(collection)?;
    decide_observation(&DecisionContext::of(id, collection, at), outcome, events);
    Ok(())
}

/// What an observer found.
pub(super) fn observe(
    state: &State,
    report: &ObservationReport,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let ObservationReport { collection: id, began, outcome } = report;
    let collection = state.collection(*id).ok_or(Rejection::UnknownIncarnation(*id))?;
    check_observation(collection, *began, outcome)?;
    decide_observation(&DecisionContext::of(*id, collection, at), outcome, events);
    Ok(())
}

fn check_versioned(collection: &Collection) -> Result<(), Rejection> {
    if collection.versioned { Ok(()) } else { Err(Rejection::NotVersioned(collection.name.clone())) }
}

/// Refuses an observation that cannot count: the collection is unversioned, or newer inputs were accepted since it
/// began. Nor does one count that says how much is missing, if something else was applied when it began.
pub(super) fn check_observation(
    collection: &Collection,
    began: Seq,
    outcome: &ObservationOutcome,
) -> Result<(), Rejection> {
    check_versioned(collection)?;
    let is_measured =
        matches!(outcome, ObservationOutcome::Content { missing: Some(_), .. } | ObservationOutcome::Counted { .. });
    let applied = collection.applied.as_ref().filter(|_| is_measured).map_or(Seq::ZERO, |applied| applied.seq);
    let last_input = collection.last_input.max(applied);
    if began < last_input { Err(Rejection::ObservationTooOld { began, last_input }) } else { Ok(()) }
}

/// Decides on what was observed.
pub(super) fn decide_observation(context: &DecisionContext<'_>, outcome: &ObservationOutcome, events: &mut Events) {
    match outcome {
        ObservationOutcome::Failed { cause } => {
            let cause = clip(cause, FailureReport::MOST_MESSAGE);
            if context.collection.unobservable.as_ref().is_none_or(|known| *known.cause != *cause) {
                events.push(Event::ObservationFailed { collection: context.id, cause: cause.into() });
            }
        }
        ObservationOutcome::Content { state: observed, delta, missing } => {
            let measured = observed.set.map(|set| Measured::of(context.collection, set.files, *missing));
            decide_content(context, observed, *delta, measured, events)
        }
        ObservationOutcome::Counted { state: observed, delta, counts } => {
            let FileCounts { files, missing, of } = *counts;
            decide_content(context, observed, *delta, Some(Measured { files, missing: Some(missing), of }), events)
        }
    }
}

fn decide_content(
    context: &DecisionContext<'_>,
    observed: &SourceState,
    delta: Option<Delta>,
    measured: Option<Measured>,
    events: &mut Events,
) {
    let collection = context.collection;
    let unchanged = collection.observed().is_some_and(|known| known.version == observed.version);
    // Nothing new, unless the source could not be observed, or what waits for a task has lost its reason to wait.
    let moved_on = matches!(collection.pending, Some(Pending::Waiting { .. })) && context.source_moved();
    if unchanged && collection.unobservable.is_none() && !moved_on {
        return;
    }
    let observed = &Arc::new(observed.clone());
    let Some(fingerprint) = collection.observed_as(observed).fingerprint() else { return };
    let admission_decision = if unchanged {
        unchanged_decision(context, fingerprint)
    } else {
        admission_decision(context, measured, fingerprint)
    };
    let admission = match admission_decision {
        AdmissionDecision::Admit => {
            context.admit(observed, delta, fingerprint, events);
            if unchanged {
                wake(context, events);
            }
            return;
        }
        AdmissionDecision::Hold(cause) => {
            let (collection, observed) = (context.id, Arc::clone(observed));
            events.push(Event::CollectionHeld { collection, observed, delta, cause, fingerprint });
            return;
        }
        AdmissionDecision::Settle { until } => Admission::Settling { until },
        AdmissionDecision::Wait => Admission::Waiting,
    };
    events.push(Event::SourceObserved { collection: context.id, observed: Arc::clone(observed), delta, admission });
}

/// The source could not be observed and holds what it did: what made the last attempts fail is likely to be gone as well.
fn wake(context: &DecisionContext<'_>, events: &mut Events) {
    let DecisionContext { id, collection, at, .. } = *context;
    if let Status::Waiting(waiting) = &collection.status
        && waiting.not_before > at
        && collection.moves == 0
        && collection.wanted_fingerprint() == Some(waiting.task.fingerprint)
    {
        events.push(Event::TaskWoken { collection: id, task: waiting.task.id, not_before: at });
    }
}

enum AdmissionDecision {
    Admit,
    Settle { until: Timestamp },
    Wait,
    Hold(HoldCause),
}

fn admission_decision(
    context: &DecisionContext<'_>,
    measured: Option<Measured>,
    fingerprint: Fingerprint,
) -> AdmissionDecision {
    let DecisionContext { collection, at, .. } = *context;
    // Back to what is wanted: nothing is lost by it.
    if collection.wanted_fingerprint() == Some(fingerprint) {
        return AdmissionDecision::Admit;
    }
    // And nothing by coming back to what is applied.
    if context.applied != Some(fingerprint)
        && let Some(cause) = loss(collection, measured)
    {
        return AdmissionDecision::Hold(cause);
    }
    if context.observation_has_to_wait(fingerprint) {
        return AdmissionDecision::Wait;
    }
    // The first observation after a declaration of the source has nothing to be coalesced with.
    if collection.wanted.is_none() {
        return AdmissionDecision::Admit;
    }
    let since = match collection.pending {
        Some(Pending::Settling { since, .. }) => since,
        Some(Pending::Waiting { .. } | Pending::Held { .. }) | None => at,
    };
    let coalesce = collection.policy.coalesce;
    let until = at.after(coalesce.quiet).min(since.after(coalesce.max_delay));
    if until <= at { AdmissionDecision::Admit } else { AdmissionDecision::Settle { until } }
}

/// Nothing has changed but that the source can be observed again: whatever was decided stays.
fn unchanged_decision(context: &DecisionContext<'_>, fingerprint: Fingerprint) -> AdmissionDecision {
    match context.collection.pending {
        Some(Pending::Settling { until, .. }) => AdmissionDecision::Settle { until },
        Some(Pending::Waiting { .. }) if context.source_moved() => AdmissionDecision::Admit,
        Some(Pending::Waiting { .. }) => AdmissionDecision::Wait,
        Some(Pending::Held { cause, .. }) => AdmissionDecision::Hold(cause),
        None => {
            debug_assert_eq!(context.collection.wanted_fingerprint(), Some(fingerprint));
            AdmissionDecision::Admit
        }
    }
}

/// How many files a source has, and how many of the applied ones it has lost.
#[derive(Clone, Copy)]
struct Measured {
    files: u64,
    missing: Option<Missing>,
    of: u64,
}

impl Measured {
    /// Where sets of files are known, the state knows how many are applied.
    fn of(collection: &Collection, files: u64, missing: Option<Missing>) -> Measured {
        let of = collection.applied_observed().and_then(|applied| applied.set).map_or(0, |set| set.files);
        Measured { files, missing, of }
    }
}

/// What looks like a loss, measured against what is applied: a set of files that is empty, or most of them gone and too
/// little come in their place. A few files that come and go are how sources live, a full refresh or a compaction replaces
/// all of them, and another source has its own.
fn loss(collection: &Collection, measured: Option<Measured>) -> Option<HoldCause> {
    const FEW: u64 = 10;
    let Measured { files, missing, of } = measured?;
    let same_source = |applied: &Applied| applied.inputs.source == collection.latest.source;
    let missing = missing.filter(|_| collection.applied.as_deref().is_some_and(same_source)).unwrap_or_default();
    let gone = missing.files;
    match collection.policy.empty_source {
        EmptySource::Apply => None,
        EmptySource::Hold if files == 0 => Some(HoldCause::Empty),
        EmptySource::Hold if gone > FEW && gone > of / 2 && !missing.is_replaced() => {
            Some(HoldCause::MostGone { gone, of })
        }
        EmptySource::Hold => None,
    }
}
