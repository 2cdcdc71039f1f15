//! What became of a task, and of the results that its attempts offered.

use std::collections::BTreeSet;

use lastword::core::vocabulary::{
    AbortReason, CollectionId, Event, Fingerprint, Generation, Name, Recorded, Seq, TaskId, Timestamp,
};
use lastword::core::{Applied, CollectionView, State, Status, Task};
use lastword::replay::{ReplayError, Until, events};
use serde::Serialize;

use super::chain::{Chain, Recent};
use super::fate::{Ending, Fate, changes_inputs};
use super::form::Form;
use super::mark::{Mark, MarkLine};
use super::show::{Extent, no_beginning, rows, unknown};
use super::work::{BuiltLine, Commit, Work, WorkLine};
use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, printable};
use crate::point::{is_behind, now_at};

pub(super) fn run(
    input: &Input,
    name: &Name,
    until: Until,
    id: TaskId,
    form: Form,
    mut output: Output,
) -> Result<(), Failure> {
    let (begin, reading) = Reading::find(input, name, until, id)?;
    let last = reading.state.last();
    let Some(found) = &reading.found else {
        let begins = reading.begins;
        let problem = if id.0 < begins {
            format!("it is older than event {begins}, with which history begins, and neither live nor committed last")
        } else {
            format!("no such task was created for {name:?} up to event {last}")
        };
        return Err(unknown(format_args!("--task {id}: {problem}")));
    };
    let now = now_at(&reading.state, until);
    let condition = CollectionView::of(&reading.state, found.collection, now).map(|view| view.condition);
    let answer = Answer {
        name,
        found,
        condition: condition.as_ref().map(|condition| condition.to_string()),
        work: found.work.line(now),
        built: found.commit.as_ref().and_then(|(_, commit)| found.work.built(input, commit)),
    };
    let ids = BTreeSet::from([found.collection]);
    let chain = Chain {
        ids: &ids,
        task: Some(id),
        first: found.created_by.as_ref().map_or(id.0, |mark| mark.seq),
        last,
        begins: reading.begins,
        always: found.turning_points(),
        recent: reading.recent.first(),
    };
    if form.json {
        let events = chain.write(input, &begin, &mut output, form)?;
        let extent = Extent::new(events, &chain, input.head());
        let condition = condition.as_ref().map_or("dropped", |condition| condition.name());
        output.object(&answer.line(condition, now, extent))?;
        return output.finish();
    }
    answer.head(&mut output)?;
    output.line(
        &chain.history_begins().map_or_else(String::new, |begins| format!("\nhistory begins with event {begins}:")),
    )?;
    chain.write(input, &begin, &mut output, form)?;
    output.finish()
}

/// The first reading: what became of the task.
struct Reading {
    task: TaskId,
    state: State,
    /// The event that last changed the inputs of the collection.
    inputs: Option<Mark>,
    found: Option<Found>,
    /// The last events of the task.
    recent: Recent,
    /// The first event that is there.
    begins: Seq,
}

/// What became of a task.
struct Found {
    id: TaskId,
    collection: CollectionId,
    generation: Generation,
    fingerprint: Fingerprint,
    /// The event that made it necessary, unless that was before history begins.
    created_by: Option<Mark>,
    attempts: u32,
    last_failure: Option<String>,
    fate: Option<Fate>,
    /// The end of its collection, which may be long after its own.
    dropped: Option<Mark>,
    rejections: u64,
    last_rejection: Option<Rejected>,
    work: Work,
    /// Its own, or the next one of its collection: whether that is its own comes first.
    commit: Option<(bool, Commit)>,
}

struct Rejected {
    mark: Mark,
    attempt: u32,
    reason: &'static str,
    fingerprint: Fingerprint,
    wanted: Option<Fingerprint>,
}

impl Reading {
    /// Reads as little as the answer takes: from the last snapshot if the task is younger. Beside it is where it began.
    fn find(input: &Input, name: &Name, until: Until, task: TaskId) -> Result<(State, Reading), Failure> {
        let first = input.start().first();
        for begin in input.beginnings(until) {
            let begin = begin?;
            let is_last = begin.last().next() <= first;
            if !is_last && task.0 <= begin.last() {
                continue;
            }
            let mut reading = Reading::behind(begin.clone(), name, task);
            reading.read(input, name, until)?;
            if is_last || reading.found.as_ref().is_some_and(|found| found.created_by.is_some()) {
                return Ok((begin, reading));
            }
        }
        Err(no_beginning())
    }

    /// What is known of the task where history begins: if it is live, how far it has come, and if its result is what
    /// is applied, that. Of others nothing is left.
    fn behind(state: State, name: &Name, task: TaskId) -> Reading {
        let known = state.id_of(name).and_then(|id| Some((id, state.collection(id)?)));
        let found = known.and_then(|(id, collection)| {
            let live = match &collection.status {
                Status::Waiting(waiting) => Some(&waiting.task),
                Status::Running(running) => Some(&running.task),
                Status::Idle | Status::Parked(_) => None,
            };
            let live = live.filter(|live| live.id == task).map(|live| Found::live(id, live));
            let applied = collection.applied.as_ref().filter(|applied| applied.task == task);
            live.or_else(|| applied.map(|applied| Found::committed(id, applied)))
        });
        let mut found = found;
        if let Some(found) = &mut found {
            state.running().map(|(_, attempt)| attempt).filter(|attempt| attempt.task == task).for_each(|attempt| {
                found.work.goes_on(&attempt, state.at());
            });
        }
        Reading { task, begins: state.last().next(), state, inputs: None, found, recent: Recent::default() }
    }

    fn read(&mut self, input: &Input, name: &Name, until: Until) -> Result<(), ReplayError> {
        for event in events(input.reader(), self.begins) {
            let event = event?;
            if is_behind(&event, until) {
                break;
            }
            self.state.fold(&event).map_err(ReplayError::Illegal)?;
            self.follow(name, &event);
        }
        Ok(())
    }

    fn follow(&mut self, name: &Name, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        let ours = match &self.found {
            Some(found) => found.collection == id,
            None => self.state.id_of(name) == Some(id),
        };
        if !ours {
            return;
        }
        if changes_inputs(&recorded.event) {
            self.inputs = Some(Mark::of(recorded));
        }
        if let (Event::CollectionDropped { .. }, Some(found)) = (&recorded.event, &mut self.found) {
            found.dropped = Some(Mark::of(recorded));
        }
        if let (Some((_, task, commit)), Some(found)) = (Commit::of(recorded), &mut self.found) {
            found.commit.get_or_insert((task == self.task, commit));
        }
        if recorded.event.task(recorded.seq) != Some(self.task) {
            return;
        }
        if let Event::TaskCreated { generation, fingerprint, .. } = recorded.event {
            let created_by = self.inputs.clone();
            self.found = Some(Found { created_by, ..Found::new(self.task, id, generation, fingerprint) });
        }
        if let Some(found) = &mut self.found {
            found.follow(recorded, self.inputs.as_ref());
        }
        self.recent.add(recorded.seq);
    }
}

impl Found {
    fn new(id: TaskId, collection: CollectionId, generation: Generation, fingerprint: Fingerprint) -> Found {
        Found {
            id,
            collection,
            generation,
            fingerprint,
            created_by: None,
            attempts: 0,
            last_failure: None,
            fate: None,
            dropped: None,
            rejections: 0,
            last_rejection: None,
            work: Work::default(),
            commit: None,
        }
    }

    fn live(collection: CollectionId, task: &Task) -> Found {
        let failure = task.last_failure.as_ref().map(|failure| {
            let line = failure.message.lines().next().unwrap_or_default();
            format!("before history begins: {}: {line}", failure.reason.as_str())
        });
        let found = Found::new(task.id, collection, task.generation, task.fingerprint);
        Found { attempts: task.attempts, last_failure: failure, ..found }
    }

    fn committed(collection: CollectionId, applied: &Applied) -> Found {
        let at = Mark { seq: applied.seq, at: applied.at, event: "task_completed", by: None };
        let found = Found::new(applied.task, collection, applied.generation, applied.fingerprint);
        Found { fate: Some(Fate { at, ending: Ending::Committed }), ..found }
    }

    fn follow(&mut self, recorded: &Recorded, inputs: Option<&Mark>) {
        self.work.follow(recorded);
        match &recorded.event {
            Event::TaskStarted { attempt, .. } => self.attempts = *attempt,
            Event::AttemptFailed { attempt, reason, message, .. } => {
                let (reason, line) = (reason.as_str(), message.lines().next().unwrap_or_default());
                self.last_failure = Some(format!("attempt {attempt}, event {}: {reason}: {line}", recorded.seq));
            }
            Event::CompletionRejected { attempt, reason, fingerprint, wanted, .. } => {
                let (mark, reason) = (Mark::of(recorded), reason.as_str());
                let (attempt, fingerprint, wanted) = (*attempt, *fingerprint, *wanted);
                self.rejections += 1;
                self.last_rejection = Some(Rejected { mark, attempt, reason, fingerprint, wanted });
            }
            _ => self.fate = Fate::of(recorded, inputs).or(self.fate.take()),
        }
    }

    /// The event that made it obsolete, or the end of its collection if that was its own.
    fn obsolete_by(&self) -> Option<&Mark> {
        match &self.fate.as_ref()?.ending {
            Ending::Aborted(AbortReason::Dropped, _) => self.dropped.as_ref(),
            Ending::Aborted(AbortReason::Superseded, by) => by.as_ref(),
            Ending::Aborted(AbortReason::Cancelled, _) | Ending::Committed | Ending::Parked(_) => None,
        }
    }

    fn turning_points(&self) -> BTreeSet<Seq> {
        let marks = [self.created_by.as_ref(), self.fate.as_ref().map(|fate| &fate.at), self.obsolete_by()];
        let rejected = self.last_rejection.as_ref().map(|rejected| &rejected.mark);
        marks.into_iter().chain([rejected]).flatten().map(|mark| mark.seq).chain([self.id.0]).collect()
    }
}

struct Answer<'a> {
    name: &'a Name,
    found: &'a Found,
    /// That of the collection; nothing if it was dropped.
    condition: Option<String>,
    work: WorkLine,
    built: Option<BuiltLine>,
}

impl Answer<'_> {
    fn sentence(&self) -> String {
        let found = self.found;
        let outcome = match (&found.fate, &self.condition) {
            (Some(fate), _) => fate.to_string(),
            (None, Some(condition)) => format!("is live: {condition}"),
            // Only between the two events of a drop.
            (None, None) => "is live".to_owned(),
        };
        let mut sentence = format!("task {} of {} {outcome}", found.id, self.name);
        if let Some(rejected) = &found.last_rejection {
            let Rejected { mark, attempt, reason, fingerprint, wanted } = rejected;
            sentence +=
                &format!("; the result of its attempt {attempt} was rejected by event {} ({reason}): ", mark.seq);
            sentence += &match wanted {
                Some(wanted) if wanted != fingerprint => {
                    format!("it was built from {fingerprint}, wanted was {wanted}")
                }
                Some(_) => "it was built from what was wanted, but its attempt could not commit any more".to_owned(),
                None => format!("it was built from {fingerprint}, and what was wanted was not known or gone"),
            };
        }
        sentence
    }

    fn head(&self, output: &mut Output) -> Result<(), Failure> {
        let found = self.found;
        output.line(&printable(&self.sentence()))?;
        rows(
            output,
            &[
                ("to build", Some(format!("{}  generation {}", found.fingerprint, found.generation))),
                ("because", found.created_by.as_ref().map(|by| by.to_string())),
                ("attempts", Some(found.attempts.to_string())),
                ("work", self.work.text()),
                ("built", self.built.as_ref().map(|built| built.text(found.commit.is_some_and(|(own, _)| own)))),
                ("failure", found.last_failure.clone()),
                ("rejected", (found.rejections > 0).then(|| found.rejections.to_string())),
            ],
        )
    }

    fn line(&self, condition: &'static str, now: Timestamp, extent: Extent) -> TaskLine<'_> {
        let found = self.found;
        TaskLine {
            kind: "why",
            collection: self.name.as_str(),
            incarnation: found.collection.0.0,
            condition,
            sentence: self.sentence(),
            task: found.id.0.0,
            outcome: found.fate.as_ref().map_or("live", Fate::name),
            ended_by: found.fate.as_ref().map(|fate| (&fate.at).into()),
            obsolete_by: found.obsolete_by().map(MarkLine::from),
            created_by: found.created_by.as_ref().map(MarkLine::from),
            generation: found.generation.0,
            fingerprint: found.fingerprint.to_string(),
            attempts: found.attempts,
            rejections: found.rejections,
            rejected: found.last_rejection.as_ref().map(|rejected| rejected.reason),
            work: &self.work,
            built: self.built.as_ref(),
            time: now.to_string(),
            extent,
        }
    }
}

/// The last line in JSON: the answer. Every key is always there; what does not apply is `null`.
#[derive(Serialize)]
struct TaskLine<'a> {
    kind: &'static str,
    collection: &'a str,
    incarnation: u64,
    /// That of the collection.
    condition: &'static str,
    sentence: String,
    task: u64,
    /// `live`, `committed`, `parked`, `superseded`, `dropped` or `cancelled`.
    outcome: &'static str,
    ended_by: Option<MarkLine>,
    obsolete_by: Option<MarkLine>,
    created_by: Option<MarkLine>,
    generation: u64,
    fingerprint: String,
    attempts: u32,
    rejections: u64,
    /// The reason of the last one.
    rejected: Option<&'static str>,
    /// What its attempts have worked.
    work: &'a WorkLine,
    /// What its own commit, or the next one of its collection, has of it; `null` if there is none, or it cannot be known.
    built: Option<&'a BuiltLine>,
    time: String,
    #[serde(flatten)]
    extent: Extent,
}
