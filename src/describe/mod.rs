//! Events and collections for people and scripts: one JSON object or one line each. The one place that knows how
//! tools print them; the keys are a contract, written down in `log-format.md`.
//!
//! Events name collections and tasks by number. A [`Describer`] is shown all of them in order and remembers the
//! names, so that every line can be read by itself.

mod advice;
mod begin;
mod counted;
mod json;
mod panicked;
mod plain;
mod printable;
mod sentence;
mod shell;
mod view;
mod way_on;

use std::collections::BTreeMap;

use crate::core::vocabulary::{CollectionId, Event, Fingerprint, Generation, Name, Recorded, TaskId};

pub use advice::advised;
pub use counted::counted;
pub use json::{Summary, policy_json};
pub use panicked::panicked;
pub use plain::plain_json;
pub use printable::printable;
pub use shell::{quoted, shell};
pub use view::{dropped_json, view_json};
pub use way_on::way_on;

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

impl Recorded {
    /// The event as one JSON object, without a line break: what `log-dump dump --json` prints, with the keys that
    /// [`format`](crate::format) documents. What is named by an earlier event alone is left out (`collection`, and of a
    /// task its `generation` and `fingerprint`); a [`Describer`] that is shown all events adds it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let name = match &self.event {
            Event::CollectionDeclared { name, .. } => Some(name.clone()),
            _ => None,
        };
        Described { recorded: self, name, known: None }.json()
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
