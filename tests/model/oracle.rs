//! A second opinion: what holds, counted from commands and events alone. It shares no code with the fold.

use std::collections::BTreeMap;

use lastword::core::State;
use lastword::core::vocabulary::{
    Admission, AttemptRef, CollectionId, Event, Fingerprint, Recorded, Seq, TaskId, Token,
};

use super::point::Broken;
use super::world::{Heard, Said, World, duties, index_of};

#[derive(Clone, Default, Hash)]
pub(crate) struct Oracle {
    pub(crate) known: BTreeMap<CollectionId, Known>,
    /// Attempts that were started and have not ended.
    pub(crate) open: BTreeMap<Token, AttemptRef>,
    pub(crate) last_token: Watched<Option<Token>>,
}

/// Something that is only compared with what comes, and makes no difference between two points.
#[derive(Clone, Copy, Default)]
pub(crate) struct Watched<T>(pub(crate) T);

impl<T> std::hash::Hash for Watched<T> {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// One incarnation, as far as it can be told from outside.
#[derive(Clone, Hash)]
pub(crate) struct Known {
    pub(crate) collection: usize,
    /// The last word that an event tells of.
    pub(crate) heard: Heard,
    pub(crate) wanted: Heard,
    pub(crate) held: bool,
    pub(crate) paused: bool,
    applied: Option<Commit>,
    pub(crate) live: Option<TaskId>,
    unpublished: Vec<Commit>,
    published: Watched<Seq>,
    generation: u64,
    /// Attempts of the live task.
    attempts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Commit {
    seq: Seq,
    token: Token,
    fingerprint: Fingerprint,
}

type Verdict = Result<(), Broken>;

fn hold(holds: bool, invariant: &'static str, found: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(Broken { invariant, found: found.into() }) }
}

impl Oracle {
    /// Looks at an event and at the state that was made of it.
    pub(crate) fn see(&mut self, recorded: &Recorded, state: &State, world: &World) -> Verdict {
        let Some(id) = recorded.event.collection(recorded.seq) else { return Ok(()) };
        if let Event::CollectionDeclared { name, source, spec, .. } = &recorded.event {
            let said = Said { source: Said::source_of(source), spec: Said::spec_of(spec) };
            let heard = Heard { said, version: None };
            let known = Known {
                collection: index_of(name),
                heard,
                wanted: heard,
                held: false,
                paused: false,
                applied: None,
                live: None,
                unpublished: Vec::new(),
                published: Watched(Seq::ZERO),
                generation: 1,
                attempts: 0,
            };
            self.known.insert(id, known);
        }
        if let Some(known) = self.known.get_mut(&id) {
            known.see_word(recorded, world)?;
            known.see_commit(recorded)?;
            if let Some(collection) = state.collection(id) {
                known.compare_commit(collection.applied.as_deref())?;
            }
        }
        self.see_task(id, recorded, world.total())?;
        if matches!(recorded.event, Event::CollectionDropped { .. }) {
            self.known.remove(&id);
        }
        Ok(())
    }

    fn see_task(&mut self, id: CollectionId, recorded: &Recorded, limit: Option<u32>) -> Verdict {
        let mut known = self.known.get_mut(&id);
        let live = known.as_ref().and_then(|known| known.live);
        let mut over = |task: TaskId| match &mut known {
            Some(known) => {
                known.attempts = 0;
                hold(known.live.take() == Some(task), "OneLive", "the end of a task that is not live")
            }
            None => hold(false, "OneLive", "a task of a collection that is gone"),
        };
        match recorded.event {
            Event::TaskCreated { fingerprint, .. } => {
                hold(live.is_none(), "OneLive", "a second task")?;
                let wanted = known.as_ref().and_then(|known| known.wanted.fingerprint());
                hold(wanted == Some(fingerprint), "LastWord", "a task for what is not wanted")?;
                known.into_iter().for_each(|known| known.live = Some(TaskId(recorded.seq)));
            }
            Event::TaskStarted { collection, task, attempt, .. } => {
                hold(live == Some(task), "OneLive", "an attempt of a task that is not live")?;
                if let Some(known) = known {
                    hold(!known.paused, "NothingWaitsSilently", "an attempt during a pause")?;
                    known.attempts += 1;
                    hold(known.attempts == attempt, "OneLive", "an attempt with the number of another one")?;
                }
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                hold(self.last_token.0.replace(token) < Some(token), "EpochFenced", "a token that is not a new one")?;
                let alone = self.open.values().all(|open| open.collection != collection);
                hold(alone, "OneLive", "an attempt beside another one")?;
                self.open.insert(token, AttemptRef { collection, task, attempt, token });
                let within = limit.is_none_or(|most| self.open.len() <= most as usize);
                hold(within, "NothingWaitsSilently", "more attempts than the limit allows")?;
            }
            Event::TaskCompleted { collection, task, attempt, token, fingerprint, .. } => {
                over(task)?;
                let attempt = AttemptRef { collection, task, attempt, token };
                hold(self.open.get(&token) == Some(&attempt), "LastWord", "the commit of an attempt that has ended")?;
                let wanted = self.known.get(&id).and_then(|known| known.wanted.fingerprint());
                hold(wanted == Some(fingerprint), "LastWord", "the commit of what is not wanted")?;
            }
            Event::TaskAborted { task, .. } | Event::TaskParked { task, .. } => over(task)?,
            Event::AttemptFailed { collection, task, attempt, token, .. } => {
                let attempt = AttemptRef { collection, task, attempt, token };
                hold(self.open.get(&token) == Some(&attempt), "OneLive", "an attempt fails that has ended")?;
            }
            Event::AttemptEnded { collection, task, attempt, token, .. } => {
                let attempt = AttemptRef { collection, task, attempt, token };
                hold(self.open.remove(&token) == Some(attempt), "OneLive", "an attempt ends twice")?;
            }
            Event::CollectionDropped { .. } => hold(live.is_none(), "OneLive", "a drop leaves a task behind")?,
            _ => {}
        }
        Ok(())
    }

    /// What the state says of a collection is what was counted here.
    pub(crate) fn compare(&self, state: &State) -> Verdict {
        hold(self.known.len() == state.len(), "LatestNotLost", "a collection is lost, or back")?;
        for (id, known) in &self.known {
            let Some(collection) = state.collection(*id) else {
                return hold(false, "LatestNotLost", "a collection is lost");
            };
            let latest = Heard::of(&collection.latest);
            hold(latest == known.heard, "LatestNotLost", "the last word is not the one that was said last")?;
            let wanted = collection.wanted_fingerprint();
            hold(wanted == known.wanted.fingerprint(), "LastWord", "what is wanted is not what was admitted")?;
            let live = collection.status.live().map(|task| task.id);
            hold(live == known.live, "OneLive", "the live task is another one")?;
            hold(collection.paused == known.paused, "NothingWaitsSilently", "a pause that nobody asked for")?;
            let last = known.generation;
            hold(last <= collection.generation.0, "LatestNotLost", "a generation goes back")?;
            let running = collection.status.running().map(|running| running.attempt_of(*id));
            let is_open = running.is_none_or(|attempt| self.open.get(&attempt.token) == Some(&attempt));
            hold(is_open, "OneLive", "an attempt runs that has ended")?;
        }
        let held = state.running().count() + state.all_draining().count();
        hold(held == self.open.len(), "OneLive", "an attempt is forgotten, or counted twice")
    }
}

impl Known {
    fn see_word(&mut self, recorded: &Recorded, world: &World) -> Verdict {
        let mut admitted = None;
        let before = self.wanted.fingerprint();
        match &recorded.event {
            Event::SourceChanged { source, admission, .. } => {
                let source = Said::source_of(source);
                // Nothing observed of one source counts under another. A repeated word says nothing new.
                self.heard.version = self.heard.version.filter(|_| source == self.heard.said.source);
                self.heard.said.source = source;
                self.held = false;
                admitted = Some(*admission);
            }
            Event::SpecChanged { spec, admission, .. } => {
                self.heard.said.spec = Said::spec_of(spec);
                let is_applied = self.applied.is_some_and(|at| Some(at.fingerprint) == self.heard.fingerprint());
                if self.held && !is_applied {
                    // What is held stays out of what is wanted.
                    let same_source = self.wanted.said.source == self.heard.said.source;
                    self.wanted = Heard { said: self.heard.said, version: self.wanted.version.filter(|_| same_source) };
                } else {
                    self.held = false;
                    admitted = Some(*admission);
                }
            }
            Event::SourceObserved { observed, admission, .. } => {
                let version = Some(observed.version.as_bytes()[0]);
                // What waited and is admitted now was heard before, and confirmed if it had to be.
                let is_new = self.held || self.heard.version != version;
                self.heard.version = version;
                self.held = false;
                admitted = Some(*admission);
                let is_loss = world.holds(self.collection) && self.heard.is_empty() && !self.returns();
                hold(!(is_new && is_loss), "LatestNotLost", "a loss is admitted that nobody has confirmed")?;
            }
            Event::CollectionHeld { observed, .. } => {
                self.heard.version = Some(observed.version.as_bytes()[0]);
                self.held = true;
            }
            Event::HoldConfirmed { fingerprint, .. } => {
                hold(self.held, "LastWord", "something is confirmed that is not held")?;
                hold(self.heard.fingerprint() == Some(*fingerprint), "LastWord", "something else is confirmed")?;
                (self.wanted, self.held) = (self.heard, false);
            }
            Event::CollectionPaused { .. } => self.paused = true,
            Event::CollectionResumed { .. } => self.paused = false,
            _ => return Ok(()),
        }
        if let Some(Admission::Admitted { wanted, .. }) = admitted {
            self.wanted = self.heard;
            hold(self.wanted.fingerprint() == wanted, "LastWord", "an event admits what was not said")?;
        }
        let generation = generation_of(&recorded.event).unwrap_or(self.generation);
        let is_change = before.is_some() && before != self.wanted.fingerprint();
        let has_grown = if is_change { self.generation < generation } else { self.generation <= generation };
        hold(has_grown, "LatestNotLost", "a change of what is wanted has no generation of its own")?;
        self.generation = generation;
        Ok(())
    }

    /// Nothing is lost by coming back to what is wanted or applied.
    fn returns(&self) -> bool {
        let heard = self.heard.fingerprint();
        heard == self.wanted.fingerprint() || heard == self.applied.map(|applied| applied.fingerprint)
    }

    fn see_commit(&mut self, recorded: &Recorded) -> Verdict {
        match recorded.event {
            Event::TaskCompleted { token, fingerprint, .. } => {
                let commit = Commit { seq: recorded.seq, token, fingerprint };
                self.applied = Some(commit);
                if duties(self.collection).publish {
                    self.unpublished.push(commit);
                }
            }
            Event::Published { commit: seq, token, fingerprint, .. } => {
                let commit = Commit { seq, token, fingerprint };
                let is_next = self.unpublished.first() == Some(&commit) && self.published.0 < seq;
                hold(is_next, "PublishedInOrder", "another commit is next")?;
                self.unpublished.remove(0);
                self.published.0 = seq;
            }
            _ => {}
        }
        Ok(())
    }

    /// OneCommit: what is applied changes with `task_completed`, all of it at once, and with nothing else.
    fn compare_commit(&self, found: Option<&lastword::core::Applied>) -> Verdict {
        let found = found.map(|at| Commit { seq: at.seq, token: at.token, fingerprint: at.fingerprint });
        hold(found == self.applied, "OneCommit", "what is applied is not what the last commit said")
    }

    pub(crate) fn owes(&self) -> bool {
        !self.unpublished.is_empty()
    }
}

fn generation_of(event: &Event) -> Option<u64> {
    match event {
        Event::SourceChanged { admission: Admission::Admitted { generation, .. }, .. }
        | Event::SpecChanged { admission: Admission::Admitted { generation, .. }, .. }
        | Event::SourceObserved { admission: Admission::Admitted { generation, .. }, .. }
        | Event::HoldConfirmed { generation, .. } => Some(generation.0),
        _ => None,
    }
}
