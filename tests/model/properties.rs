//! What holds at every point, what holds where the world has come to rest, and what has to be met somewhere.

use std::borrow::Cow;

use lastword::core::vocabulary::{Assign, CollectionId, EngineCommand};
use lastword::core::{CollectionView, Condition, Events, decide};
use stateright::Property;

use super::met::Met;
use super::model::Small;
use super::point::{Broken, Point};
use super::world::{EMPTY, Heard, WORLDS, duties, kind, lease, version, worker};

/// An encounter that only the large run has.
pub(crate) const MOVED_UNMEASURED: &str =
    "an attempt that builds anew cannot measure what is gone, and is not believed";

/// Another one.
pub(crate) const WOKEN: &str = "what is retried without an end is woken";

/// The invariants of design.md that the core decides, by their names there, and those of this model.
pub(crate) fn invariants() -> Vec<Property<Small>> {
    vec![
        Property::always("OneLive", |model, point| model.holds("OneLive", point)),
        Property::always("LastWord", |model, point| model.holds("LastWord", point)),
        Property::always("OneCommit", |model, point| model.holds("OneCommit", point)),
        Property::always("SameFold", |model, point| model.holds("SameFold", point)),
        Property::always("NothingWaitsSilently", |model, point| model.holds("NothingWaitsSilently", point)),
        Property::always("LatestNotLost", |model, point| model.holds("LatestNotLost", point)),
        Property::always("EpochFenced", |model, point| model.holds("EpochFenced", point)),
        Property::always("PublishedInOrder", |model, point| model.holds("PublishedInOrder", point)),
        // Where changes are to let an attempt finish, none that is observed aborts it.
        Property::always("NobodyStarves", |model, point| model.holds("NobodyStarves", point)),
        // Whatever is decided can be folded.
        Property::always("Legal", |model, point| model.holds("Legal", point)),
        // Neither deciding nor folding panics, nor does the model.
        Property::always("NoPanic", |model, point| model.holds("NoPanic", point)),
        Property::always("ComesToRest", Small::remembers_where_it_goes),
    ]
}

/// That the interesting things do happen.
pub(crate) fn encounters() -> Vec<Property<Small>> {
    vec![
        Property::sometimes("a task is superseded", |m, _| m.meets(Met::Superseded)),
        Property::sometimes("a task is cancelled", |m, _| m.meets(Met::Cancelled)),
        Property::sometimes("a collection is dropped with its task", |m, _| m.meets(Met::DroppedWhileLive)),
        Property::sometimes("a result is rejected as stale", |m, _| m.meets(Met::Stale)),
        Property::sometimes("a result is rejected as not live", |m, _| m.meets(Met::NotLive)),
        Property::sometimes("a result is rejected as a duplicate", |m, _| m.meets(Met::Duplicate)),
        Property::sometimes("a result is rejected as a dropped collection's", |m, _| m.meets(Met::OfDropped)),
        Property::sometimes("a result comes late and is rejected", |m, _| m.meets(Met::Late)),
        Property::sometimes("the process ends and another opens the log", |m, _| m.meets(Met::Crash)),
        Property::sometimes("a commit after a crash", |m, _| m.meets(Met::CommitAfterCrash)),
        Property::sometimes("a commit under a token from before a crash", |m, _| m.meets(Met::CommitAcrossCrash)),
        Property::sometimes("a commit during a pause", |m, _| m.meets(Met::CommitDuringPause)),
        Property::sometimes("a commit after A, B, A", |m, _| m.meets(Met::CommitAfterReturn)),
        Property::sometimes("a commit after drop and declare", |m, _| m.meets(Met::CommitOfRedeclared)),
        Property::sometimes("a commit of an emptied source", |m, _| m.meets(Met::CommitOfEmpty)),
        Property::sometimes("an emptied source is held", |m, _| m.meets(Met::Held)),
        Property::sometimes("what is held is confirmed", |m, _| m.meets(Met::Confirmed)),
        Property::sometimes("a change settles", |m, _| m.meets(Met::Settling)),
        Property::sometimes("a change has settled", |m, _| m.meets(Met::Settled)),
        Property::sometimes("a change waits for the end of a task", |m, _| m.meets(Met::Waited)),
        Property::sometimes("an attempt is drained", |m, _| m.meets(Met::Drained)),
        Property::sometimes("an attempt is abandoned", |m, _| m.meets(Met::Abandoned)),
        Property::sometimes("an attempt times out", |m, _| m.meets(Met::TimedOut)),
        Property::sometimes("a source moves under an attempt", |m, _| m.meets(Met::Moved)),
        Property::sometimes("a change waits for a starved attempt", |m, _| m.meets(Met::Starved)),
        Property::sometimes("a task that has used up its attempts is retried", |m, p: &Point| {
            m.meets_if(Met::Failing, p.is_failing())
        }),
        Property::sometimes(WOKEN, |m, _| m.meets(Met::Woken)),
        Property::sometimes(MOVED_UNMEASURED, |m, _| m.meets(Met::MovedUnmeasured)),
        Property::sometimes("a worker is lost", |m, _| m.meets(Met::Lost)),
        Property::sometimes("parked because it failed for good", |m, _| m.meets(Met::ParkedForGood)),
        Property::sometimes("parked because it failed too often", |m, _| m.meets(Met::ParkedOutOfAttempts)),
        Property::sometimes("parked because it was lost too often", |m, _| m.meets(Met::ParkedLostTooOften)),
        Property::sometimes("a commit is published", |m, _| m.meets(Met::Published)),
        Property::sometimes("a commit cannot be published", |m, _| m.meets(Met::PublishFailed)),
        Property::sometimes("a look is refused", |m, _| m.meets(Met::ObservationTooOld)),
        Property::sometimes("a limit keeps a task from starting", |m, p: &Point| {
            m.meets_if(Met::Limited, p.is_limited())
        }),
    ]
}

fn broken(invariant: &'static str, found: impl Into<Cow<'static, str>>) -> Result<(), Broken> {
    Err(Broken { invariant, found: found.into() })
}

impl Point {
    /// The first invariant that does not hold here.
    pub(crate) fn verdict(&self) -> &Result<(), Broken> {
        self.verdict.get_or_init(|| self.check())
    }

    fn check(&self) -> Result<(), Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.check_queue()?;
        self.collections().try_for_each(|index| self.check_cause(index))?;
        self.check_rest()
    }

    fn is_limited(&self) -> bool {
        let limited = |view: CollectionView| matches!(view.condition, Condition::Limit { .. });
        self.collections().any(|index| self.view(index).is_some_and(limited))
    }

    fn is_failing(&self) -> bool {
        let failing = |view: CollectionView| matches!(view.condition, Condition::Failing { .. });
        self.collections().any(|index| self.view(index).is_some_and(failing))
    }

    fn view(&self, index: usize) -> Option<CollectionView> {
        CollectionView::of(&self.state, self.id(index)?, self.now)
    }

    /// Whoever can start is in the queue, and whoever is first in the queue can start.
    fn check_queue(&self) -> Result<(), Broken> {
        let first: Option<CollectionId> = self.state.first_ready([kind()], self.now);
        let behind = |id| self.state.collection(id).and_then(|collection| collection.unapplied_since);
        let is_drained = self.oracle.drained_for(self.now, behind).is_some();
        if first.is_none()
            && !is_drained
            && self.collections().any(|index| self.can_start(index) && self.can_start_here(index))
        {
            return broken("NothingWaitsSilently", "a task that can start is not in the queue");
        }
        let Some(collection) = first else { return Ok(()) };
        let assign = Assign { worker: worker(0), collection, lease: lease(0), duties: duties(0) };
        match decide(&self.state, &EngineCommand::Assign(assign), self.now, &mut Events::new()) {
            Ok(()) => Ok(()),
            Err(refused) => broken("NothingWaitsSilently", format!("the first of the queue blocks it: {refused}")),
        }
    }

    /// What a collection says that it waits for is what it waits for.
    fn check_cause(&self, index: usize) -> Result<(), Broken> {
        let (Some(view), Some(known)) = (self.view(index), self.known(index)) else { return Ok(()) };
        let is_applied = view.latest.is_some() && view.applied.as_ref().map(|at| at.fingerprint) == view.latest;
        let due_by = |until| self.state.next_deadline().is_some_and(|next| next <= until);
        let live = known.live.map(|(task, _)| task);
        let is_true = match view.condition {
            Condition::Fresh => is_applied,
            Condition::AwaitingObservation => view.latest.is_none(),
            Condition::Unobservable { .. } => is_applied || view.wanted.is_none(),
            Condition::Settling { until } | Condition::Draining { until } => due_by(until),
            Condition::Held { .. } => known.held && WORLDS[self.world].holds(index) && !is_applied,
            Condition::Running { .. } => self.oracle.open_attempts().any(|open| Some(open.task) == live),
            Condition::BackingOff { until, .. } | Condition::Failing { until, .. } | Condition::Moving { until } => {
                until > self.now && known.live.is_some()
            }
            Condition::WaitingForWorker => known.live.is_some() && !known.paused && self.has_room(),
            Condition::Isolated { .. } => known.live.is_some() && known.is_isolated(),
            Condition::Limit { .. } => known.live.is_some() && !self.has_room(),
            Condition::Parked { .. } => known.live.is_none(),
            Condition::Paused => known.paused,
            _ => false,
        };
        if is_true { Ok(()) } else { broken("NothingWaitsSilently", format!("it is not {}", view.condition.name())) }
    }

    /// Where nothing goes on by itself, everything that the world holds is applied, or a person has to do something.
    fn check_rest(&self) -> Result<(), Broken> {
        let mut progress = Vec::new();
        self.progress(&mut progress);
        if !progress.is_empty() {
            return Ok(());
        }
        if self.state.next_deadline().is_some() || self.state.orphans().next().is_some() || !self.oracle.open.is_empty()
        {
            return broken("NothingWaitsSilently", "a timer, an attempt or a dropped collection is left over");
        }
        self.collections().try_for_each(|index| self.check_rest_of(index))
    }

    fn check_rest_of(&self, index: usize) -> Result<(), Broken> {
        let (Some(view), Some(known)) = (self.view(index), self.known(index)) else { return Ok(()) };
        let end = &self.ends[index];
        let said = Heard::of(known.latest.inputs()).said;
        let truth = Heard { said, version: Some(version(said.source, end.content)) }.fingerprint();
        if view.latest != truth {
            return broken("LatestNotLost", "the last word is not what the source holds");
        }
        let is_well = match view.condition {
            Condition::Fresh => view.applied.as_ref().map(|applied| applied.fingerprint) == truth,
            Condition::Held { .. } => end.content == EMPTY,
            Condition::Paused => known.paused,
            Condition::Parked { .. } => true,
            _ => false,
        };
        if !is_well {
            let name = view.condition.name();
            return broken("NothingWaitsSilently", format!("the world rests, and collection {index} is {name}"));
        }
        if known.owes() {
            return broken("PublishedInOrder", "the world rests, and a commit is not published");
        }
        Ok(())
    }
}
