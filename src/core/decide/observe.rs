//! `Observe`: what a source was seen to hold. An unchanged look is no event.

use std::sync::Arc;

use super::follow::Scene;
use super::{Events, clip, named};
use crate::core::collection::{Applied, Collection, Pending};
use crate::core::state::State;
use crate::core::vocabulary::{
    Admission, Delta, EmptySource, Event, FailureReport, Fingerprint, HoldCause, Observation, Observed, Rejection,
    Seen, Seq, Subject, Timestamp,
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
    see(&Scene::of(id, collection, at), &observation.seen, events);
    Ok(())
}

/// Refuses a look that cannot count: the collection is unversioned, or a newer word was accepted since it began. Nor does
/// one count that says what is gone, and was begun when something else was applied.
pub(super) fn check_look(collection: &Collection, observation: &Observation) -> Result<(), Rejection> {
    if !collection.versioned {
        return Err(Rejection::NotVersioned(collection.name.clone()));
    }
    let is_measured = matches!(observation.seen, Seen::Content { gone: Some(_), .. });
    let applied = collection.applied.as_ref().filter(|_| is_measured).map_or(Seq::ZERO, |applied| applied.seq);
    let heard = collection.heard.max(applied);
    match observation.began {
        Some(began) if began < heard => Err(Rejection::LookTooOld { began, heard }),
        Some(_) | None => Ok(()),
    }
}

/// Decides on what was seen.
pub(super) fn see(scene: &Scene<'_>, seen: &Seen, events: &mut Events) {
    match seen {
        Seen::Failed { cause } => {
            let cause = clip(cause, FailureReport::MOST_MESSAGE);
            if scene.collection.unobservable.as_ref().is_none_or(|known| *known.cause != *cause) {
                events.push(Event::ObservationFailed { collection: scene.id, cause: cause.into() });
            }
        }
        Seen::Content { observed, delta, gone } => see_content(scene, observed, *delta, *gone, events),
    }
}

fn see_content(scene: &Scene<'_>, observed: &Observed, delta: Option<Delta>, gone: Option<u64>, events: &mut Events) {
    let collection = scene.collection;
    let unchanged = collection.observed().is_some_and(|known| known.version == observed.version);
    // Nothing new, unless the source could not be observed, or what waits for a task has lost its reason to wait.
    let moved_on = matches!(collection.pending, Some(Pending::Waiting { .. })) && scene.has_moved();
    if unchanged && collection.unobservable.is_none() && !moved_on {
        return;
    }
    let observed = &Arc::new(observed.clone());
    let Some(fingerprint) = collection.observed_as(observed).fingerprint() else { return };
    let verdict = if unchanged { still(scene, fingerprint) } else { verdict(scene, observed, gone, fingerprint) };
    let admission = match verdict {
        Verdict::Admit => return scene.admit(observed, delta, fingerprint, events),
        Verdict::Hold(cause) => {
            let (collection, observed) = (scene.id, Arc::clone(observed));
            events.push(Event::CollectionHeld { collection, observed, delta, cause, fingerprint });
            return;
        }
        Verdict::Settle { until } => Admission::Settling { until },
        Verdict::Wait => Admission::Waiting,
    };
    events.push(Event::SourceObserved { collection: scene.id, observed: Arc::clone(observed), delta, admission });
}

enum Verdict {
    Admit,
    Settle { until: Timestamp },
    Wait,
    Hold(HoldCause),
}

fn verdict(scene: &Scene<'_>, observed: &Observed, gone: Option<u64>, fingerprint: Fingerprint) -> Verdict {
    let Scene { collection, at, .. } = *scene;
    // Back to what is wanted: nothing is lost by it.
    if collection.wanted_fingerprint() == Some(fingerprint) {
        return Verdict::Admit;
    }
    // And nothing by coming back to what is applied.
    if scene.applied != Some(fingerprint)
        && let Some(cause) = loss(collection, observed, gone)
    {
        return Verdict::Hold(cause);
    }
    if scene.has_to_wait(&collection.policy, Some(fingerprint)) {
        return Verdict::Wait;
    }
    // The first observation after a declaration of the source has nothing to be coalesced with.
    if collection.wanted.is_none() {
        return Verdict::Admit;
    }
    let since = match collection.pending {
        Some(Pending::Settling { since, .. }) => since,
        Some(Pending::Waiting { .. } | Pending::Held { .. }) | None => at,
    };
    let coalesce = collection.policy.coalesce;
    let until = at.after(coalesce.quiet).min(since.after(coalesce.max_delay));
    if until <= at { Verdict::Admit } else { Verdict::Settle { until } }
}

/// Nothing has changed but that the source can be observed again: whatever was decided stays.
fn still(scene: &Scene<'_>, fingerprint: Fingerprint) -> Verdict {
    match scene.collection.pending {
        Some(Pending::Settling { until, .. }) => Verdict::Settle { until },
        Some(Pending::Waiting { .. }) if scene.has_moved() => Verdict::Admit,
        Some(Pending::Waiting { .. }) => Verdict::Wait,
        Some(Pending::Held { cause, .. }) => Verdict::Hold(cause),
        None => {
            debug_assert_eq!(scene.collection.wanted_fingerprint(), Some(fingerprint));
            Verdict::Admit
        }
    }
}

/// What looks like a loss, measured against what is applied: a set of files that is empty, or most of them gone. A few
/// files that come and go are how sources live, and another source has its own files.
fn loss(collection: &Collection, observed: &Observed, gone: Option<u64>) -> Option<HoldCause> {
    const FEW: u64 = 10;
    let files = observed.set?.files;
    let of = collection.applied_observed().and_then(|applied| applied.set).map_or(0, |set| set.files);
    let same_source = |applied: &Applied| applied.word.source == collection.latest.source;
    let gone = gone.filter(|_| collection.applied.as_deref().is_some_and(same_source));
    match (collection.policy.empty_source, gone.unwrap_or(0)) {
        (EmptySource::Apply, _) => None,
        (EmptySource::Hold, _) if files == 0 => Some(HoldCause::Empty),
        (EmptySource::Hold, gone) if gone > FEW && gone > of / 2 => Some(HoldCause::MostGone { gone, of }),
        (EmptySource::Hold, _) => None,
    }
}
