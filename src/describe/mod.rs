//! Events and collections for people and scripts: one JSON object or one line each. The one place that knows how
//! tools print them; the keys are a contract, written down in `log-format.md`.
//!
//! Events name collections and tasks by number. A [`Describer`] is shown all of them in order and remembers the
//! names, so that every line can be read by itself.

mod begin;
mod counted;
mod json;
mod plain;
mod sentence;
mod view;

use std::collections::BTreeMap;

use crate::core::vocabulary::{
    AbortReason, CollectionId, DeliveryKind, EndReason, Event, FailReason, Fingerprint, Generation, HoldCause, Name,
    ParkCause, Recorded, RejectReason, TaskId,
};

pub use counted::counted;
pub use json::{Summary, policy_json};
pub use plain::plain_json;
pub use view::{name_of_parked, view_json};

/// Remembers what events refer to.
#[derive(Clone, Debug, Default)]
pub struct Describer {
    names: BTreeMap<CollectionId, Name>,
    tasks: BTreeMap<TaskId, Known>,
}

/// What is known of a task that may still be referred to.
#[derive(Clone, Copy, Debug)]
struct Known {
    generation: Generation,
    fingerprint: Fingerprint,
    /// Attempts that have started and not ended.
    outstanding: u32,
    live: bool,
}

impl Describer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Describer {
        Describer::default()
    }

    /// Describes the next event. All events have to be shown, from the first on, whether they are printed or not.
    pub fn describe<'e>(&mut self, recorded: &'e Recorded) -> Described<'e> {
        if let Event::CollectionDeclared { name, .. } = &recorded.event {
            self.names.insert(CollectionId(recorded.seq), name.clone());
        }
        let id = recorded.event.collection(recorded.seq);
        let task = recorded.event.task(recorded.seq);
        let known = task.and_then(|task| self.follow_task(task, recorded));
        Described { recorded, name: id.and_then(|id| self.names.get(&id).cloned()), known }
    }

    /// Remembers a task while events may refer to it: while it is live or an attempt of it has not ended.
    fn follow_task(&mut self, task: TaskId, recorded: &Recorded) -> Option<Known> {
        if let Event::TaskCreated { generation, fingerprint, .. } = recorded.event {
            self.tasks.insert(task, Known { generation, fingerprint, outstanding: 0, live: true });
        }
        let known = self.tasks.get_mut(&task)?;
        match &recorded.event {
            Event::TaskStarted { .. } => known.outstanding += 1,
            Event::AttemptEnded { .. } => known.outstanding = known.outstanding.saturating_sub(1),
            Event::TaskAborted { .. } | Event::TaskCompleted { .. } | Event::TaskParked { .. } => known.live = false,
            _ => {}
        }
        let known = *known;
        if !known.live && known.outstanding == 0 {
            self.tasks.remove(&task);
        }
        Some(known)
    }
}

/// An event with the names of what it refers to. `Display` is one line for people, [`Described::json`] one line for
/// scripts.
#[derive(Clone, Debug)]
pub struct Described<'e> {
    recorded: &'e Recorded,
    name: Option<Name>,
    known: Option<Known>,
}

impl Described<'_> {
    /// The event.
    #[must_use]
    pub fn recorded(&self) -> &Recorded {
        self.recorded
    }

    /// The name of the collection that the event is about.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }
}

/// `empty` or `most_gone`.
#[must_use]
pub fn name_of_hold(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Empty => "empty",
        HoldCause::MostGone { .. } => "most_gone",
    }
}

/// `publish` or `discard`.
#[must_use]
pub fn name_of_delivery(delivery: DeliveryKind) -> &'static str {
    match delivery {
        DeliveryKind::Publish => "publish",
        DeliveryKind::Discard => "discard",
    }
}

/// `superseded`, `dropped` or `cancelled`.
#[must_use]
pub fn name_of_abort(reason: AbortReason) -> &'static str {
    match reason {
        AbortReason::Superseded => "superseded",
        AbortReason::Dropped => "dropped",
        AbortReason::Cancelled => "cancelled",
    }
}

/// `failed`, `timed_out`, `worker_lost`, `panicked` or `source_moved`.
#[must_use]
pub fn name_of_failure(reason: FailReason) -> &'static str {
    match reason {
        FailReason::Failed => "failed",
        FailReason::TimedOut => "timed_out",
        FailReason::WorkerLost => "worker_lost",
        FailReason::Panicked => "panicked",
        FailReason::SourceMoved => "source_moved",
    }
}

fn name_of_end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Acknowledged => "acknowledged",
        EndReason::Abandoned => "abandoned",
        EndReason::Lost => "lost",
    }
}

/// `permanent`, `out_of_attempts` or `lost_too_often`.
#[must_use]
pub fn name_of_parking(cause: ParkCause) -> &'static str {
    match cause {
        ParkCause::Permanent => "permanent",
        ParkCause::OutOfAttempts => "out_of_attempts",
        ParkCause::LostTooOften => "lost_too_often",
    }
}

/// `stale`, `not_live`, `duplicate` or `unknown_collection`.
#[must_use]
pub fn name_of_rejection(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::Stale => "stale",
        RejectReason::NotLive => "not_live",
        RejectReason::Duplicate => "duplicate",
        RejectReason::UnknownCollection => "unknown_collection",
    }
}
