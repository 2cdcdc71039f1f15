//! How tasks ended, and because of what.

use std::collections::BTreeMap;
use std::fmt;

use lastword::core::vocabulary::{AbortReason, Admission, Event, ParkCause, Recorded, TaskId};

use super::mark::Mark;
use super::work::Work;

/// Late results come soon after the end of their task, or not at all; of the rest, `--task` tells.
const MOST_KEPT: usize = 1024;

/// How a task ended.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    /// The event that ended it.
    pub(super) at: Mark,
    pub(super) ending: Ending,
}

#[derive(Clone, Debug)]
pub(super) enum Ending {
    Committed,
    Parked(ParkCause),
    /// For a task that was superseded, the event that made other inputs wanted.
    Aborted(AbortReason, Option<Mark>),
}

impl Fate {
    /// What `recorded` makes of the task that it is about; `inputs` is the event that last changed the inputs
    /// of its collection.
    pub(super) fn of(recorded: &Recorded, inputs: Option<&Mark>) -> Option<Fate> {
        let ending = match &recorded.event {
            Event::TaskCompleted { .. } => Ending::Committed,
            Event::TaskParked { cause, .. } => Ending::Parked(*cause),
            Event::TaskAborted { reason, .. } => {
                Ending::Aborted(*reason, inputs.filter(|_| *reason == AbortReason::Superseded).cloned())
            }
            _ => return None,
        };
        Some(Fate { at: Mark::of(recorded), ending })
    }

    /// One word for scripts.
    pub(super) fn name(&self) -> &'static str {
        match &self.ending {
            Ending::Committed => "committed",
            Ending::Parked(_) => "parked",
            Ending::Aborted(reason, _) => reason.as_str(),
        }
    }
}

/// What became of it, after "the task".
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.seq;
        match &self.ending {
            Ending::Committed => write!(f, "was committed by event {at}"),
            Ending::Parked(cause) => write!(f, "was given up by event {at} ({})", cause.as_str()),
            Ending::Aborted(AbortReason::Superseded, Some(by)) => {
                write!(f, "was superseded by event {at}, because {by} made something else wanted")
            }
            Ending::Aborted(AbortReason::Superseded, None) => write!(f, "was superseded by event {at}"),
            Ending::Aborted(AbortReason::Dropped, _) => {
                write!(f, "was aborted by event {at}, because its collection was dropped")
            }
            Ending::Aborted(AbortReason::Cancelled, _) => write!(f, "was cancelled by a person, {}", self.at),
        }
    }
}

/// Whether an event may make something else wanted, or demand that it is built anew.
pub fn changes_inputs(event: &Event) -> bool {
    matches!(
        event,
        Event::CollectionDeclared { .. }
            | Event::SourceChanged { admission: Admission::Admitted { .. }, .. }
            | Event::SpecChanged { admission: Admission::Admitted { .. }, .. }
            | Event::SourceObserved { admission: Admission::Admitted { .. }, .. }
            | Event::HoldConfirmed { .. }
            | Event::RefreshRequested { .. }
    )
}

/// The ends of the tasks of one name, to explain the events that refer to them.
#[derive(Default)]
pub(super) struct Fates {
    inputs: Option<Mark>,
    ended: BTreeMap<TaskId, Fate>,
    work: Work,
}

impl Fates {
    /// Takes note of an event, and says of it what the event itself does not.
    pub(super) fn remark(&mut self, recorded: &Recorded) -> Option<String> {
        if changes_inputs(&recorded.event) {
            self.inputs = Some(Mark::of(recorded));
        }
        let task = recorded.event.task(recorded.seq)?;
        let worked = self.work.follow(recorded).map(|worked| format!("{:.1} s of work", worked.as_secs_f64()));
        let wasted = || worked.clone().map(|worked| format!("{worked} thrown away"));
        let join = |one: Option<String>, two: Option<String>| {
            let both: Vec<String> = one.into_iter().chain(two).collect();
            (!both.is_empty()).then(|| both.join("] ["))
        };
        if matches!(recorded.event, Event::AttemptFailed { .. }) {
            return wasted();
        }
        if let Some(fate) = Fate::of(recorded, self.inputs.as_ref()) {
            let remark = match &fate.ending {
                Ending::Aborted(_, by) => join(by.as_ref().map(|by| format!("because of event {}", by.seq)), wasted()),
                Ending::Committed => worked,
                Ending::Parked(_) => None,
            };
            self.ended.insert(task, fate);
            if self.ended.len() > MOST_KEPT {
                self.ended.pop_first();
            }
            return remark;
        }
        let is_rejection = matches!(recorded.event, Event::CompletionRejected { .. });
        let fate = self.ended.get(&task).filter(|_| is_rejection)?;
        Some(format!("task {task} {fate}"))
    }
}
