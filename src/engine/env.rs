//! What the threads of all crews share.
//!
//! *Architecture invariant:* data alone. A job that needs more of the engine than this does not belong on a thread of
//! a crew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::report::Report;
use crate::clock::EngineTime;
use crate::core::vocabulary::{Duties, FieldError, Kind};
use crate::notes::Notes;
use crate::objects::Objects;
use crate::unwind;
use crate::worker::Worker;

/// The kinds that have a worker in this process.
pub(super) type Kinds = BTreeMap<Kind, Arc<dyn Worker>>;

/// What a job needs of the engine: the workers, the store of objects, the notes, the time, and where to report.
#[derive(Clone)]
pub(super) struct WorkerEnv {
    pub(super) kinds: Arc<Kinds>,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) notes: Arc<Notes>,
    pub(super) time: EngineTime,
    pub(super) reports: Sender<Report>,
}

/// What the workers say of their kinds, asked once.
#[derive(Clone, Default)]
pub(super) struct Abilities {
    pub(super) duties: BTreeMap<Kind, Duties>,
    /// The kinds that have an observer.
    pub(super) observing: BTreeSet<Kind>,
    /// The kinds that verify.
    pub(super) verifying: BTreeSet<Kind>,
}

impl Abilities {
    /// # Errors
    /// When a worker panics: a kind whose duties are not known must not be built.
    pub(super) fn of(kinds: &Kinds) -> Result<Abilities, FieldError> {
        let mut abilities = Abilities::default();
        for (kind, worker) in kinds {
            let ask = || (worker.duties(), worker.observer().is_some(), worker.verifies());
            let panicked = |text| {
                FieldError::new("kind", format!("the worker of {kind} panicked when it was asked what it does: {text}"))
            };
            let (duties, observes, verifies) = unwind::catch(ask).map_err(panicked)?;
            abilities.duties.insert(kind.clone(), duties);
            abilities.observing.extend(observes.then(|| kind.clone()));
            abilities.verifying.extend(verifies.then(|| kind.clone()));
        }
        Ok(abilities)
    }
}

impl WorkerEnv {
    /// Reports. The engine is gone if nothing takes it: what is not reported counts as lost at the next opening.
    pub(super) fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
