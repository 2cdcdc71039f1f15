//! The interesting things: that they happen is a property of the model too, or its invariants would hold of nothing.

use lastword::core::State;
use lastword::core::vocabulary::{
    AbortReason, Admission, EndReason, Event, FailReason, OnChange, ParkCause, Recorded, RejectReason,
};

use super::canon::{EPOCHS, SEQS};
use super::world::{Heard, Said, version};

/// One interesting thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Met {
    Superseded,
    Cancelled,
    DroppedWhileLive,
    Stale,
    NotLive,
    Duplicate,
    OfDropped,
    Late,
    Crash,
    CommitAfterCrash,
    CommitAcrossCrash,
    CommitDuringPause,
    CommitAfterReturn,
    CommitOfRedeclared,
    CommitOfEmpty,
    Held,
    Confirmed,
    Settling,
    Settled,
    Waited,
    Drained,
    Abandoned,
    TimedOut,
    Moved,
    Lost,
    ParkedForGood,
    ParkedOutOfAttempts,
    ParkedLostTooOften,
    Published,
    PublishFailed,
    ObservationTooOld,
    Limited,
    MovedUnmeasured,
    Starved,
    Failing,
    Woken,
}

/// What was met on one step.
#[derive(Clone, Copy, Default)]
pub(crate) struct MetSet(pub(crate) u64);

impl MetSet {
    pub(crate) fn meet(&mut self, met: Met) {
        self.0 |= 1 << met as u8;
    }

    pub(crate) fn has(self, met: Met) -> bool {
        self.0 & (1 << met as u8) != 0
    }

    /// What `recorded` shows, to whoever knows the state before it.
    pub(crate) fn see(&mut self, recorded: &Recorded, before: &State) {
        let collection = recorded.event.collection(recorded.seq).and_then(|id| before.collection(id));
        match &recorded.event {
            Event::TaskAborted { reason, .. } => self.meet(match reason {
                AbortReason::Superseded => Met::Superseded,
                AbortReason::Cancelled => Met::Cancelled,
                AbortReason::Dropped => Met::DroppedWhileLive,
            }),
            Event::CompletionRejected { reason, token, .. } => {
                self.meet(match reason {
                    RejectReason::Stale => Met::Stale,
                    RejectReason::NotLive => Met::NotLive,
                    RejectReason::Duplicate => Met::Duplicate,
                    RejectReason::UnknownCollection => Met::OfDropped,
                });
                let is_open =
                    before.draining(*token).is_some() || before.running().any(|(_, running)| running.token == *token);
                if !is_open {
                    self.meet(Met::Late);
                }
            }
            Event::TaskCompleted { token, .. } => {
                let Some(collection) = collection else { return };
                let first = EPOCHS.start + SEQS.start - 1;
                self.meet_if(before.epoch().0 > first, Met::CommitAfterCrash);
                self.meet_if(token.epoch < before.epoch(), Met::CommitAcrossCrash);
                self.meet_if(collection.paused, Met::CommitDuringPause);
                // It was wanted, then something else was, and then it was again.
                let first_word = Heard { said: Said::default(), version: Some(version(0, 1)) };
                let is_first = collection.wanted.as_ref().is_some_and(|wanted| Heard::of(&wanted.inputs) == first_word);
                self.meet_if(collection.generation.0 >= 3 && is_first, Met::CommitAfterReturn);
                let is_new = recorded.event.collection(recorded.seq).is_some_and(|id| id.0.0 > SEQS.start + 2);
                self.meet_if(is_new, Met::CommitOfRedeclared);
                let files = collection.observed().and_then(|observed| observed.set).map(|set| set.files);
                self.meet_if(files == Some(0), Met::CommitOfEmpty);
            }
            Event::CollectionHeld { .. } => self.meet(Met::Held),
            Event::HoldConfirmed { .. } => self.meet(Met::Confirmed),
            Event::SourceObserved { admission: Admission::Settling { .. }, .. } => self.meet(Met::Settling),
            Event::SourceObserved { admission: Admission::Waiting, .. }
                if collection.is_some_and(|collection| collection.policy.on_change == OnChange::Supersede) =>
            {
                self.meet(Met::Starved);
            }
            Event::TaskWoken { .. } => self.meet(Met::Woken),
            Event::SourceObserved { admission: Admission::Waiting, .. }
            | Event::SourceChanged { admission: Admission::Waiting, .. }
            | Event::SpecChanged { admission: Admission::Waiting, .. } => self.meet(Met::Waited),
            Event::AttemptEnded { token, reason, .. } => {
                let drained = before.draining(*token).is_some_and(|draining| draining.grace_until.is_some());
                self.meet_if(drained && *reason == EndReason::Acknowledged, Met::Drained);
                self.meet_if(*reason == EndReason::Abandoned, Met::Abandoned);
            }
            Event::AttemptFailed { reason, .. } => match reason {
                FailReason::TimedOut => self.meet(Met::TimedOut),
                FailReason::SourceMoved => self.meet(Met::Moved),
                FailReason::WorkerLost => self.meet(Met::Lost),
                FailReason::Failed | FailReason::Panicked => {}
            },
            Event::TaskParked { cause, .. } => self.meet(match cause {
                ParkCause::Permanent => Met::ParkedForGood,
                ParkCause::OutOfAttempts => Met::ParkedOutOfAttempts,
                ParkCause::LostTooOften => Met::ParkedLostTooOften,
            }),
            Event::Published { .. } => self.meet(Met::Published),
            Event::PublishFailed { .. } => self.meet(Met::PublishFailed),
            _ => {}
        }
    }

    pub(crate) fn meet_if(&mut self, is_met: bool, met: Met) {
        if is_met {
            self.meet(met);
        }
    }
}
