//! The second reading: the events that led there, one line each.

use std::collections::{BTreeSet, VecDeque};

use lastword::core::State;
use lastword::core::vocabulary::{CollectionId, Event, Recorded, Seq, TaskId};
use lastword::describe::Describer;
use lastword::replay::events;

use super::fate::Fates;
use super::files::Files;
use super::form::Form;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, printable};

/// As many of the last events as a person reads in one go; the rest is counted, with the command that shows it.
/// Scripts get them all.
const MOST_SHOWN: usize = 60;

/// The last events of a story, as many as are shown in any case.
#[derive(Default)]
pub(super) struct Recent(VecDeque<Seq>);

impl Recent {
    pub(super) fn add(&mut self, seq: Seq) {
        if self.0.len() == MOST_SHOWN {
            self.0.pop_front();
        }
        self.0.push_back(seq);
    }

    pub(super) fn first(&self) -> Seq {
        self.0.front().copied().unwrap_or_default()
    }
}

/// Which events are told.
pub(super) struct Chain<'a> {
    /// The collections that have or had the name.
    pub(super) ids: &'a BTreeSet<CollectionId>,
    /// Only the events of this task, and those named in `always`.
    pub(super) task: Option<TaskId>,
    /// Where the story begins, which may be before the first event that is still there.
    pub(super) first: Seq,
    pub(super) last: Seq,
    /// The first event that is there.
    pub(super) begins: Seq,
    /// What is told in any case.
    pub(super) always: BTreeSet<Seq>,
    /// From here on people are shown all of it.
    pub(super) recent: Seq,
}

impl Chain<'_> {
    /// Where history begins, if that cuts the story off.
    pub(super) fn history_begins(&self) -> Option<Seq> {
        (self.first < self.begins).then_some(self.begins)
    }

    /// Writes the events, and says how many there are. Lines for people have a remark where an event alone does not
    /// say why. `state` is the one from which the story was read.
    pub(super) fn write(&self, input: &Input, state: &State, output: &mut Output, form: Form) -> Result<u64, Failure> {
        let (mut describer, mut fates) = (Describer::behind(state), Fates::default());
        let mut files = Files::behind(state, input, form);
        let mut outstanding = self.outstanding(state);
        let (mut told, mut left_out) = (0, LeftOut::default());
        for event in events(input.reader(), state.last().next()) {
            let event = event?;
            if event.seq > self.last {
                break;
            }
            let described = describer.describe(&event);
            let ours = event.event.collection(event.seq).is_some_and(|id| self.ids.contains(&id));
            let remark = if ours { fates.remark(&event) } else { None };
            let sets = if ours { files.follow(&event) } else { None };
            let selected = self.holds(&event, ours, outstanding > 0);
            outstanding = self.count_attempts(&event, outstanding);
            if !selected {
                continue;
            }
            told += 1;
            if form.json {
                output.line(&described.json())?;
                sets.map_or(Ok(()), |sets| files.write(output, &event, sets, true))?;
            } else if event.seq >= self.recent || self.always.contains(&event.seq) {
                left_out.tell(output)?;
                let remark = remark.map(|remark| format!(" [{remark}]")).unwrap_or_default();
                output.line(&format!("{described}{}", printable(&remark)))?;
                sets.map_or(Ok(()), |sets| files.write(output, &event, sets, false))?;
            } else {
                left_out.add(event.seq);
            }
        }
        left_out.tell(output)?;
        Ok(told)
    }

    /// An opening is a part of the story if it is what ended an attempt.
    fn holds(&self, event: &Recorded, ours: bool, running: bool) -> bool {
        if event.seq < self.first {
            return false;
        }
        match event.event {
            Event::WriterOpened { .. } => running,
            Event::DataLossAccepted { .. } => true,
            _ => ours && (self.is_of_task(event) || self.always.contains(&event.seq)),
        }
    }

    /// How many attempts of the name, or of the task, have not ended in `state`.
    fn outstanding(&self, state: &State) -> u64 {
        let running = state.running().map(|(_, attempt)| attempt);
        let attempts = running.chain(state.all_draining().map(|(_, draining)| draining.attempt));
        let ours = attempts.filter(|attempt| {
            self.ids.contains(&attempt.collection) && self.task.is_none_or(|task| attempt.task == task)
        });
        ours.count() as u64
    }

    /// How many attempts of the name, or of the task, have started and not ended.
    fn count_attempts(&self, event: &Recorded, outstanding: u64) -> u64 {
        let ours = event.event.collection(event.seq).is_some_and(|id| self.ids.contains(&id));
        match event.event {
            Event::TaskStarted { .. } if ours && self.is_of_task(event) => outstanding + 1,
            Event::AttemptEnded { .. } if ours && self.is_of_task(event) => outstanding.saturating_sub(1),
            _ => outstanding,
        }
    }

    fn is_of_task(&self, event: &Recorded) -> bool {
        self.task.is_none_or(|task| event.event.task(event.seq) == Some(task))
    }
}

/// What people are not shown.
#[derive(Default)]
struct LeftOut {
    events: u64,
    first: Seq,
    last: Seq,
}

impl LeftOut {
    fn add(&mut self, seq: Seq) {
        if self.events == 0 {
            self.first = seq;
        }
        self.events += 1;
        self.last = seq;
    }

    fn tell(&mut self, output: &mut Output) -> Result<(), Failure> {
        let LeftOut { events, first, last } = std::mem::take(self);
        if events == 0 {
            return Ok(());
        }
        output.line(&format!("... {events} more; dump --from {first} --to {} shows them ...", last.next()))
    }
}
