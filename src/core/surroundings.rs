//! What only a running engine knows of a collection and the log does not, and what it means for the condition: the one
//! place where the two meet.
//!
//! *Architecture invariant:* nothing here is decided or logged. A view of a log without its engine knows none of this.

use super::condition::{Condition, NotObserved};
use super::view::{CollectionView, Lag};

/// What a running engine knows of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// Whether a worker in the engine's process builds its kind, or a caller drives it.
    pub(crate) has_worker: bool,
    /// Whether the engine observes its source.
    pub(crate) has_observer: bool,
    /// Its source is due to be observed, and nobody does.
    pub(crate) not_observed: Option<NotObserved>,
}

impl CollectionView {
    /// This view, with what a running engine knows beside the log.
    pub(crate) fn within(mut self, surroundings: Surroundings) -> CollectionView {
        let Surroundings { has_worker, has_observer, not_observed } = surroundings;
        // A source that nobody observes may hold anything.
        let nobody_looks = self.versioned && !has_observer && !has_worker;
        let condition = match (&self.condition, not_observed.as_ref()) {
            (Condition::WaitingForWorker, _) if !has_worker => Some(Condition::NoWorker),
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
