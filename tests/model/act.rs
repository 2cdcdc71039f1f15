//! What may happen at a point.
//!
//! *Progress* is what happens by itself if nobody interferes: looks, attempts that end as they should, deadlines,
//! publications. It costs nothing, and where none is left the world has come to rest. Everything else, whatever
//! people ask for or goes wrong, *costs* one of a few units, so that the number of histories is finite: all of them
//! with so many interferences, each at every point, in every order.

use std::fmt;
use std::time::Duration;

use lastword::core::vocabulary::{AttemptRef, Deadline, DeliveryKind, Timestamp};
use lastword::core::{Collection, OutboxEntry, Status};

use super::point::{Point, Voice};
use super::world::{CONTENTS, MILLI, WORKERS, WORLDS, lease, version};

/// Collections and workers go by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    // Progress.
    /// A look at the source begins: from here on it knows what it will tell.
    Look(usize),
    /// It tells.
    Tell(usize),
    Assign(usize, usize),
    Complete(Tried),
    /// An attempt that was told to stop does so without a result.
    Stop(Tried),
    Publish(usize),
    /// The first deadline that has come.
    Due,
    /// Time passes until something is due.
    Wait(Duration),
    // An attempt that was given up has a result after all. Nobody has to wait for it.
    CompleteLate(Tried),
    // Interferences.
    Change(usize, u8),
    FailLook(usize),
    Respec(usize),
    Resource(usize),
    Pause(usize),
    Resume(usize),
    Cancel(usize),
    Refresh(usize),
    Rebuild(usize),
    Confirm(usize),
    Drop(usize),
    Declare(usize),
    FailPublish(usize),
    FailTransient(Tried),
    FailForGood(Tried),
    /// The source moved under the attempt.
    FailMoved(Tried),
    /// A running attempt is given back.
    HandBack(Tried),
    /// The result is of something else than the task.
    Confuse(Tried),
    /// What was said is said again.
    Repeat(Tried),
    /// A worker in a process of its own is silent for longer than its lease.
    LoseLease(Tried),
    /// Time passes until an attempt has overrun: its timeout, or the grace in which it was to stop.
    Overrun(Duration),
    Crash,
}

/// An attempt, in few words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tried(pub(crate) AttemptRef);

impl fmt::Debug for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AttemptRef { task, attempt, .. } = self.0;
        write!(f, "attempt {attempt} of task {task}")
    }
}

impl Act {
    pub(crate) fn costs(self) -> bool {
        match self {
            Act::Look(_)
            | Act::Tell(_)
            | Act::Assign(..)
            | Act::Complete(_)
            | Act::Stop(_)
            | Act::Publish(_)
            | Act::Due
            | Act::Wait(_)
            | Act::CompleteLate(_) => false,
            Act::Change(..)
            | Act::FailLook(_)
            | Act::Respec(_)
            | Act::Resource(_)
            | Act::Pause(_)
            | Act::Resume(_)
            | Act::Cancel(_)
            | Act::Refresh(_)
            | Act::Rebuild(_)
            | Act::Confirm(_)
            | Act::Drop(_)
            | Act::Declare(_)
            | Act::FailPublish(_)
            | Act::FailTransient(_)
            | Act::FailForGood(_)
            | Act::FailMoved(_)
            | Act::HandBack(_)
            | Act::Confuse(_)
            | Act::Repeat(_)
            | Act::LoseLease(_)
            | Act::Overrun(_)
            | Act::Crash => true,
        }
    }
}

impl Point {
    pub(crate) fn acts(&self, acts: &mut Vec<Act>) {
        if self.broken.is_some() {
            return;
        }
        self.progress(acts);
        let late = self.voices.iter().filter(|voice| !self.is_open(voice) && !voice.has_spoken);
        acts.extend(late.map(|voice| Act::CompleteLate(Tried(voice.attempt))));
        if self.left > 0 {
            self.interferences(acts);
        }
    }

    /// What happens by itself.
    pub(crate) fn progress(&self, acts: &mut Vec<Act>) {
        for collection in self.collections() {
            if self.ends[collection].look.is_some() {
                acts.push(Act::Tell(collection));
            } else if self.has_to_look(collection) {
                acts.push(Act::Look(collection));
            }
            if self.can_start(collection) {
                let here = self.can_start_here(collection);
                let idle = WORKERS.into_iter().filter(|worker| self.is_idle(*worker));
                let idle = idle.filter(|worker| here || lease(*worker).is_some());
                acts.extend(idle.map(|worker| Act::Assign(worker, collection)));
            }
            if self.publication(collection).is_some_and(|owed| self.has_passed(owed.failures > 0, owed.due)) {
                acts.push(Act::Publish(collection));
            }
        }
        for voice in self.voices.iter().filter(|voice| self.is_open(voice)) {
            acts.push(Act::Complete(Tried(voice.attempt)));
            if self.is_draining(voice) {
                acts.push(Act::Stop(Tried(voice.attempt)));
            }
        }
        if self.state.first_due(self.now).is_some() {
            acts.push(Act::Due);
        } else if let Some((until, false)) = self.next_instant() {
            acts.push(Act::Wait(until));
        }
    }

    fn interferences(&self, acts: &mut Vec<Act>) {
        for index in self.collections() {
            let (Some(collection), Some(known)) = (self.collection(index), self.known(index)) else {
                acts.push(Act::Declare(index));
                continue;
            };
            let others = CONTENTS.into_iter().filter(|content| *content != self.ends[index].content);
            acts.extend(others.map(|content| Act::Change(index, content)));
            if collection.unobservable.is_none() {
                acts.push(Act::FailLook(index));
            }
            acts.extend([Act::Respec(index), Act::Resource(index), Act::Drop(index)]);
            acts.push(if known.paused { Act::Resume(index) } else { Act::Pause(index) });
            if known.live.is_some() {
                acts.push(Act::Cancel(index));
            }
            if matches!(collection.status, Status::Parked(_) | Status::Waiting(_)) {
                acts.push(Act::Refresh(index));
            }
            if collection.wanted.is_some() {
                acts.push(Act::Rebuild(index));
            }
            if known.held {
                acts.push(Act::Confirm(index));
            }
            if self.publication(index).is_some() {
                acts.push(Act::FailPublish(index));
            }
        }
        self.voices.iter().for_each(|voice| self.failures(voice, acts));
        if let (None, Some((until, true))) = (self.state.first_due(self.now), self.next_instant()) {
            acts.push(Act::Overrun(until));
        }
        acts.push(Act::Crash);
    }

    fn failures(&self, voice: &Voice, acts: &mut Vec<Act>) {
        let attempt = Tried(voice.attempt);
        if self.is_open(voice) && !self.is_draining(voice) {
            let failures = [Act::FailTransient, Act::FailForGood, Act::FailMoved, Act::HandBack, Act::Confuse];
            acts.extend(failures.map(|failure| failure(attempt)));
        }
        if self.is_open(voice) && lease(voice.worker).is_some() {
            acts.push(Act::LoseLease(attempt));
        }
        if voice.has_spoken {
            acts.push(Act::Repeat(attempt));
        }
    }

    /// Something is there that was not seen.
    fn has_to_look(&self, collection: usize) -> bool {
        let (end, Some(found)) = (&self.ends[collection], self.collection(collection)) else { return false };
        let seen = |source| end.heard.and_then(|heard| heard.version) == Some(version(source, end.content));
        found.unobservable.is_some() || end.heard.is_some_and(|heard| !seen(heard.said.source))
    }

    /// A task that nothing keeps from starting.
    pub(crate) fn can_start(&self, index: usize) -> bool {
        let (Some(id), Some(collection)) = (self.id(index), self.collection(index)) else { return false };
        let Status::Waiting(waiting) = &collection.status else { return false };
        let alone = self.oracle.open_attempts().all(|open| open.collection != id);
        alone
            && !self.waits_for_a_person(index)
            && self.has_passed(backs_off(collection), waiting.not_before)
            && self.has_room()
    }

    /// Whether it may start beside what runs in the process of the reducer.
    pub(crate) fn can_start_here(&self, index: usize) -> bool {
        self.known(index).is_some_and(|known| self.oracle.may_run_here(known.is_isolated()))
    }

    /// It is paused, or what its task was to build is gone, and what is there instead is held.
    fn waits_for_a_person(&self, index: usize) -> bool {
        let has_moved = self.collection(index).is_some_and(|collection| collection.moves > 0);
        self.known(index).is_some_and(|known| known.paused || (known.held && has_moved))
    }

    pub(crate) fn has_room(&self) -> bool {
        WORLDS[self.world].total().is_none_or(|most| self.oracle.open.len() < most as usize)
    }

    /// A backoff has jitter of a microsecond, which is the one thing that depends on a sequence number. So that it makes
    /// no difference, what backs off is not begun before the next step of time.
    fn has_passed(&self, backs_off: bool, due: Timestamp) -> bool {
        if backs_off { due < self.now } else { due <= self.now }
    }

    fn is_idle(&self, worker: usize) -> bool {
        !self.voices.iter().any(|voice| voice.worker == worker && self.is_open(voice))
    }

    fn is_draining(&self, voice: &Voice) -> bool {
        self.state.draining(voice.attempt.token).is_some()
    }

    /// The commit that is to be published first.
    pub(crate) fn publication(&self, collection: usize) -> Option<&OutboxEntry> {
        let (_, _, first) = self.state.first_outbox_entry(self.id(collection)?)?;
        Some(first).filter(|owed| owed.delivery() == DeliveryKind::Publish)
    }

    /// How long it takes until something is due, and whether an attempt has overrun then.
    fn next_instant(&self) -> Option<(Duration, bool)> {
        let deadline = self.state.next_deadline();
        let later = self.collections().flat_map(|index| self.later(index)).flatten().min();
        let until = self.steps_to(deadline.into_iter().chain(later).min()?);
        let first = self.state.first_due(self.now.after(until));
        Some((until, matches!(first, Some(Deadline::Attempt(_) | Deadline::Grace(_)))))
    }

    /// When the time comes of what waits for nothing else.
    fn later(&self, index: usize) -> [Option<Timestamp>; 2] {
        let not_before = self.collection(index).and_then(|collection| match &collection.status {
            Status::Waiting(waiting) if !self.waits_for_a_person(index) && collection.draining == 0 => {
                Some(waiting.not_before).filter(|due| !self.has_passed(backs_off(collection), *due))
            }
            Status::Waiting(_) | Status::Idle | Status::Running(_) | Status::Parked(_) => None,
        });
        let owed = self.publication(index).map(|owed| (owed.due, owed.failures > 0));
        [not_before, owed.filter(|(due, failed)| !self.has_passed(*failed, *due)).map(|(due, _)| due)]
    }

    /// The time to the first step at which `due` has passed.
    fn steps_to(&self, due: Timestamp) -> Duration {
        let ahead = due.since(self.now).as_micros().div_ceil(MILLI.as_micros());
        MILLI * u32::try_from(ahead.max(1)).unwrap()
    }
}

/// The next attempt follows one that did not end well.
fn backs_off(collection: &Collection) -> bool {
    collection.moves > 0 || collection.status.live().is_some_and(|task| task.last_failure.is_some())
}
