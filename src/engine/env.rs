//! What the threads of all crews share.
//!
//! *Architecture invariant:* data alone. A job that needs more of the engine than this does not belong on a thread of
//! a crew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::report::Report;
use crate::clock::EngineTime;
use crate::core::vocabulary::Kind;
use crate::objects::Objects;
use crate::worker::Worker;

/// The kinds that have a worker in this process.
pub(super) type Kinds = BTreeMap<Kind, Arc<dyn Worker>>;

/// What a job needs of the engine: the workers, the store of objects, the time, and where to report.
#[derive(Clone)]
pub(super) struct WorkerEnv {
    pub(super) kinds: Arc<Kinds>,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) time: EngineTime,
    pub(super) reports: Sender<Report>,
}

impl WorkerEnv {
    /// Reports. The engine is gone if nothing takes it: what is not reported counts as lost at the next opening.
    pub(super) fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}
