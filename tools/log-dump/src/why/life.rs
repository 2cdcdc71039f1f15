//! The first reading: what became of a name, up to the point that was asked for.

use std::collections::BTreeSet;

use lastword::core::vocabulary::{CollectionId, Event, Fingerprint, Generation, Name, Recorded, Seq, Timestamp};
use lastword::core::{CollectionView, Condition, State};
use lastword::replay::{ReplayError, Until, events};

use super::chain::Recent;
use super::mark::Mark;
use super::show::no_beginning;
use super::work::Work;
use crate::fail::Failure;
use crate::input::Input;
use crate::point::{is_behind, now_at};

/// A name, as the log knew it at one point.
pub(super) struct Life {
    pub(super) state: State,
    /// The time as of which the answer holds.
    pub(super) now: Timestamp,
    /// The last incarnation that has the name, or had it.
    pub(super) incarnation: Option<Incarnation>,
    /// All that ever had it.
    pub(super) ids: BTreeSet<CollectionId>,
    /// The last change of the limits, which belong to no collection.
    pub(super) limits: Option<Mark>,
    /// The last events about the name.
    pub(super) recent: Recent,
    /// The first event that is there.
    pub(super) begins: Seq,
}

/// Since when a condition is what it is.
pub(super) enum Since {
    Event(Mark),
    /// It became so by the mere passing of time.
    Time,
    /// Since before history begins.
    PrefixGone,
}

/// What led one incarnation to where it is.
pub(super) struct Incarnation {
    pub(super) id: CollectionId,
    /// As it is, or as it was when it was dropped.
    pub(super) view: CollectionView,
    pub(super) since: Since,
    /// What made its inputs wanted, unless that was before history begins.
    pub(super) wanted_by: Option<Mark>,
    /// The last accepted declaration or observation.
    pub(super) last_input: Seq,
    pub(super) dropped: Option<Mark>,
    last_commit: Option<Seq>,
    commit_before: Option<Seq>,
    /// Up to the last commit from the one before, and since.
    work: (Work, Work),
}

impl Life {
    /// Follows `name` up to `until`, and reads as little as that takes: from the last snapshot if the story begins behind it.
    /// Beside it is where the reading began.
    pub(super) fn find(input: &Input, name: &Name, until: Until) -> Result<(State, Life), Failure> {
        for begin in input.beginnings(until) {
            let begin = begin?;
            let life = Life::of(begin.clone(), input, name, until)?;
            if begin.last() <= input.start().seq || life.begins_behind(begin.last()) {
                return Ok((begin, life));
            }
        }
        Err(no_beginning())
    }

    /// Whether all that is told lies behind this event.
    fn begins_behind(&self, seq: Seq) -> bool {
        let Some(incarnation) = &self.incarnation else { return false };
        let since = match &incarnation.since {
            Since::Event(_) | Since::Time => true,
            Since::PrefixGone => false,
        };
        let limits = !matches!(incarnation.view.condition, Condition::Limit { .. }) || self.limits.is_some();
        let wanted = incarnation.view.wanted.is_none() || incarnation.wanted_by.is_some();
        incarnation.begin() > seq && since && wanted && limits
    }

    /// Replays the log from `begin` up to `until` and follows `name`.
    fn of(begin: State, input: &Input, name: &Name, until: Until) -> Result<Life, ReplayError> {
        let mut life = Life::behind(begin, name);
        for event in events(input.reader(), life.begins) {
            let event = event?;
            if is_behind(&event, until) {
                break;
            }
            if event.event.collection(event.seq) == life.incarnation.as_ref().map(|incarnation| incarnation.id) {
                life.view_at(event.at);
            }
            life.state.fold(&event).map_err(ReplayError::Illegal)?;
            if life.follow(name, &event) {
                life.recent.add(event.seq);
            }
        }
        life.now = now_at(&life.state, until);
        life.view_at(life.now);
        Ok(life)
    }

    /// What is known of `name` where history begins.
    fn behind(state: State, name: &Name) -> Life {
        let (id, dropped) = (state.id_of(name), state.orphans().filter(|(_, orphan)| orphan.name == *name));
        Life {
            now: state.at(),
            incarnation: id.and_then(|id| Incarnation::behind(&state, id)),
            ids: dropped.map(|(id, _)| id).chain(id).collect(),
            limits: None,
            recent: Recent::default(),
            begins: state.last().next(),
            state,
        }
    }

    /// Takes note of an event, and says whether it is about the name.
    fn follow(&mut self, name: &Name, recorded: &Recorded) -> bool {
        if matches!(recorded.event, Event::LimitsChanged { .. }) {
            self.limits = Some(Mark::of(recorded));
        }
        let Some(id) = recorded.event.collection(recorded.seq) else { return false };
        if matches!(&recorded.event, Event::CollectionDeclared { name: declared, .. } if declared == name) {
            self.ids.insert(id);
            self.incarnation = Incarnation::declared(&self.state, id, recorded);
        } else if let Some(incarnation) = self.incarnation.as_mut().filter(|incarnation| incarnation.id == id) {
            incarnation.follow(&self.state, recorded);
        }
        self.ids.contains(&id)
    }

    /// How it is at `now`, without an event: a backoff may be over by then.
    fn view_at(&mut self, now: Timestamp) {
        let Some(incarnation) = &mut self.incarnation else { return };
        let Some(view) = CollectionView::of(&self.state, incarnation.id, now) else { return };
        if view.condition.name() != incarnation.view.condition.name() {
            incarnation.since = Since::Time;
        }
        incarnation.view = view;
    }
}

impl Incarnation {
    fn declared(state: &State, id: CollectionId, recorded: &Recorded) -> Option<Incarnation> {
        let view = CollectionView::of(state, id, recorded.at)?;
        Some(Incarnation {
            id,
            since: Since::Event(Mark::of(recorded)),
            wanted_by: view.wanted.map(|_| Mark::of(recorded)),
            view,
            last_input: recorded.seq,
            dropped: None,
            last_commit: None,
            commit_before: None,
            work: Default::default(),
        })
    }

    /// One that was declared before history begins, with what `state` still knows.
    fn behind(state: &State, id: CollectionId) -> Option<Incarnation> {
        let view = CollectionView::of(state, id, state.at())?;
        let last_input = state.collection(id)?.last_input;
        let last_commit = view.applied.as_ref().map(|applied| applied.seq);
        let (since, wanted_by, dropped, commit_before) = (Since::PrefixGone, None, None, None);
        let mut work = Work::default();
        let running = state.running().filter(|(running, _)| *running == id);
        running.for_each(|(_, attempt)| work.goes_on(&attempt, state.at()));
        let work = (Work::default(), work);
        Some(Incarnation { id, view, since, wanted_by, last_input, dropped, last_commit, commit_before, work })
    }

    fn follow(&mut self, state: &State, recorded: &Recorded) {
        if matches!(recorded.event, Event::CollectionDropped { .. }) {
            self.dropped = Some(Mark::of(recorded));
        }
        // The end of the attempt that committed comes behind its commit.
        if matches!(recorded.event, Event::TaskCompleted { .. }) {
            self.work.1.follow(recorded);
            self.commit_before = self.last_commit.replace(recorded.seq);
            self.work.0 = std::mem::take(&mut self.work.1);
        } else if !self.work.0.ends(recorded) {
            self.work.1.follow(recorded);
        }
        // Gone: how it was stays.
        let Some(view) = CollectionView::of(state, self.id, recorded.at) else { return };
        if view.condition.name() != self.view.condition.name() {
            self.since = Since::Event(Mark::of(recorded));
        }
        if wanted(&view) != wanted(&self.view) {
            self.wanted_by = Some(Mark::of(recorded));
        }
        self.last_input = state.collection(self.id).map_or(self.last_input, |collection| collection.last_input);
        self.view = view;
    }

    /// Where the story begins: with the last commit, or with the one before if the last is what made it so.
    pub(super) fn begin(&self) -> Seq {
        let commit = if self.is_settled() { self.commit_before } else { self.last_commit };
        commit.unwrap_or(self.id.0)
    }

    /// The work of the story.
    pub(super) fn work(&self) -> &Work {
        if self.is_settled() { &self.work.0 } else { &self.work.1 }
    }

    fn is_settled(&self) -> bool {
        self.dropped.is_none()
            && self.view.condition.name() == "fresh"
            && self.wanted_by.as_ref().map(|by| by.seq) <= self.last_commit
    }

    /// The events that are told however many others are left out.
    pub(super) fn turning_points(&self) -> BTreeSet<Seq> {
        let task = self.view.task.map(|task| task.0);
        let marks = [self.since.mark(), self.wanted_by.as_ref(), self.dropped.as_ref()];
        let marks = marks.into_iter().flatten().map(|mark| mark.seq);
        marks.chain([self.begin(), self.last_input]).chain(task).chain(self.last_commit).collect()
    }
}

impl Since {
    pub(super) fn mark(&self) -> Option<&Mark> {
        match self {
            Since::Event(mark) => Some(mark),
            Since::Time | Since::PrefixGone => None,
        }
    }
}

fn wanted(view: &CollectionView) -> (Generation, Option<Fingerprint>) {
    (view.generation, view.wanted)
}
