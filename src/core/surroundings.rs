//! What only a running engine knows of a collection and the log does not, and what it means for the condition: the one
//! place where the two meet.
//!
//! *Architecture invariant:* nothing here is decided or logged. A view of a log without its engine knows none of this.

use super::condition::{Condition, NotObserved};
use super::view::{CollectionView, Lag};
use super::vocabulary::DeliveryKind;

/// What a running engine knows of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// Whether a worker in the engine's process builds its kind, or a caller drives it.
    pub(crate) has_worker: bool,
    /// Whether the engine observes its source.
    pub(crate) has_observer: bool,
    /// Its source is due to be observed, and nobody does.
    pub(crate) not_observed: Option<NotObserved>,
    /// What is first in its outbox, if no worker in the engine's process delivers that.
    pub(crate) undeliverable: Option<DeliveryKind>,
    /// What it waits for, if its kind has no duties here: then a full outbox does not keep it.
    pub(crate) without_duties: Option<Condition>,
}

impl CollectionView {
    /// This view, with what a running engine knows beside the log.
    pub(crate) fn within(mut self, surroundings: Surroundings) -> CollectionView {
        let Surroundings { has_worker, has_observer, not_observed, undeliverable, without_duties } = surroundings;
        if let (Condition::Undelivered { .. }, Some(waits_for)) = (&self.condition, without_duties) {
            self.condition = waits_for;
        }
        // A source that nobody observes may hold anything.
        let nobody_looks = self.versioned && !has_observer && !has_worker;
        let condition = match (&self.condition, not_observed.as_ref()) {
            (Condition::WaitingForWorker | Condition::Undelivered { .. }, _) if !has_worker => {
                Some(Condition::NoWorker)
            }
            (Condition::Undelivered { entries, .. }, _) if undeliverable.is_some() => {
                let cause = undeliverable.map(|delivery| nobody_does(delivery).into());
                Some(Condition::Undelivered { entries: *entries, cause })
            }
            (Condition::Fresh | Condition::AwaitingObservation, _) if nobody_looks => Some(Condition::NoWorker),
            (Condition::AwaitingObservation, _) if !has_observer => Some(Condition::AwaitingCaller),
            (Condition::Fresh | Condition::AwaitingObservation, Some(found)) => {
                Some(Condition::NotObserved(Box::new(found.clone())))
            }
            _ => None,
        };
        self.condition = condition.unwrap_or(self.condition);
        if nobody_looks || not_observed.is_some() {
            self.lag = Lag::Unknown;
        }
        self.not_observed = not_observed;
        self
    }
}

/// Why an outbox stands that waits for no destination: for people.
fn nobody_does(delivery: DeliveryKind) -> &'static str {
    match delivery {
        DeliveryKind::Publish => "no worker of this process publishes what its kind commits",
        DeliveryKind::Discard => "no worker of this process discards what its kind has made",
    }
}
