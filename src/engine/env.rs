//! What the threads of all crews share.
//!
//! *Architecture invariant:* data alone. A job that needs more of the engine than this does not belong on a thread of
//! a crew.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::life::Life;
use super::report::Report;
use super::sweep::Sweepable;
use crate::clock::EngineTime;
use crate::core::vocabulary::{Built, Duties, FieldError, Kind};
use crate::notes::Notes;
use crate::objects::{Lent, Objects};
use crate::unwind;
use crate::worker::{Context, Failure, Worker};

/// The kinds that have a worker in this process.
pub(super) type Kinds = BTreeMap<Kind, Served>;

/// A user's worker. Its drop is foreign code, and runs on whichever thread of the engine holds it last.
#[derive(Clone)]
pub(super) struct Served(Arc<dyn Worker>);

impl Served {
    pub(super) fn new(worker: impl Worker) -> Served {
        Served(Arc::new(worker))
    }
}

impl Deref for Served {
    type Target = dyn Worker;

    fn deref(&self) -> &(dyn Worker + 'static) {
        &*self.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let worker = std::mem::replace(&mut self.0, Arc::new(Nobody));
        let _ = unwind::catch(|| drop(worker));
    }
}

/// In the place of a worker that is being dropped.
struct Nobody;

impl Worker for Nobody {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Err(Failure::Stopped)
    }
}

/// What a job needs of the engine: the workers, the store of objects, the notes, the time, and where to report.
#[derive(Clone)]
pub(super) struct WorkerEnv {
    pub(super) kinds: Arc<Kinds>,
    /// What is stored through it is not safe from a sweep: see [`objects_of_a_job`](WorkerEnv::objects_of_a_job).
    pub(super) objects: Arc<dyn Objects>,
    pub(super) notes: Arc<Notes>,
    pub(super) sweepable: Option<Arc<Sweepable>>,
    pub(super) time: EngineTime,
    pub(super) reports: Sender<Report>,
    pub(super) life: Arc<Life>,
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
    /// The store for one job, which keeps it until it has reported: until then what it has stored is not swept. It removes
    /// nothing.
    pub(super) fn objects_of_a_job(&self) -> Arc<dyn Objects> {
        match &self.sweepable {
            Some(sweepable) => Arc::new(sweepable.pinning()),
            None => Arc::new(Lent(Arc::clone(&self.objects))),
        }
    }

    /// Reports. The engine is gone if nothing takes it: what is not reported counts as lost at the next opening.
    pub(super) fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
