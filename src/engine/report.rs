//! What the threads of the crews report, as data.
//!
//! There are never more reports than threads, so they have a queue of their own, in which every thread has its place: no
//! flood of commands keeps a completion from being heard.
//!
//! *Architecture invariant:* data alone: no report knows what is made of it.

use std::fmt;
use std::time::Duration;

use super::crew::Member;
use super::history::Checkpoint;
use crate::core::vocabulary::{
    AttemptRef, Built, CollectionId, DeliveryRef, Fingerprint, Seq, Source, Spec, Timestamp,
};
use crate::log::{LogError, Start};
use crate::snapshot::TakeError;
use crate::unwind;
use crate::worker::{DeliveryError, Failure, Observation, ObserveError, SourceWatch, Traffic, VerifyOutcome};

/// What the engine's observers know of a source and the state does not: unchanged observations are no events.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObserverFacts {
    /// The position of the log at which the last accepted observation began, since the log was opened.
    pub(super) last_observation: Option<Seq>,
    pub(super) has_observer: bool,
}

/// From a thread of a crew, or from the background snapshotter.
#[derive(Debug)]
pub(super) enum Report {
    Built(BuildReport),
    Observed(Box<ObserveReport>),
    Delivered(DeliveryReport),
    History(HistoryReport),
}

/// An attempt has ended.
#[derive(Debug)]
pub(super) struct BuildReport {
    pub(super) member: Member,
    pub(super) attempt: AttemptRef,
    pub(super) fingerprint: Fingerprint,
    pub(super) end: AttemptEnd,
}

/// How a worker's call ended.
#[derive(Debug)]
pub(super) enum AttemptEnd {
    Built(Built),
    Failed(Failure),
    Panicked(String),
}

/// An observation has ended.
pub(super) struct ObserveReport {
    pub(super) member: Member,
    pub(super) collection: CollectionId,
    /// The position of the log when it began.
    pub(super) began: Seq,
    pub(super) started: Timestamp,
    pub(super) result: Result<Observation, ObserveError>,
    /// When it asks to be followed by another, whatever it found.
    pub(super) again: Option<Duration>,
    /// It could not be finished, and has come further than the one before.
    pub(super) goes_on: bool,
    /// What it sent over a wire, whatever it found.
    pub(super) traffic: Traffic,
    /// It was told to stop.
    pub(super) was_stopped: bool,
    pub(super) watch: Option<ActiveWatch>,
}

/// The watch of a source between observations. It goes with each of them to its thread, and comes back with its result.
pub(super) struct ActiveWatch {
    pub(super) source: Source,
    pub(super) spec: Spec,
    watch: Option<Box<dyn SourceWatch>>,
}

impl ActiveWatch {
    pub(super) fn new(source: Source, spec: Spec, watch: Box<dyn SourceWatch>) -> ActiveWatch {
        ActiveWatch { source, spec, watch: Some(watch) }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.is_alive())
    }
}

/// The drop of a watch is foreign code, and runs on whichever thread holds it last.
impl Drop for ActiveWatch {
    fn drop(&mut self) {
        let watch = self.watch.take();
        let _ = unwind::catch(|| drop(watch));
    }
}

impl fmt::Debug for ObserveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserveReport")
            .field("collection", &self.collection)
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

/// What a delivery thread is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The first entry of an outbox.
    Outbox(DeliveryRef),
    /// What a collection has applied is to be verified.
    Verify { collection: CollectionId, commit: Seq },
}

impl Delivery {
    pub(super) fn collection(&self) -> CollectionId {
        match self {
            Delivery::Outbox(entry) => entry.collection,
            Delivery::Verify { collection, .. } => *collection,
        }
    }
}

/// A delivery has ended.
#[derive(Debug)]
pub(super) struct DeliveryReport {
    pub(super) member: Member,
    pub(super) delivery: Delivery,
    pub(super) end: DeliveryEnd,
}

/// How a delivery ended.
#[derive(Debug)]
pub(super) enum DeliveryEnd {
    /// What the outbox asked for is done.
    Delivered,
    /// The destination was asked for what was committed.
    Verified(VerifyOutcome),
    /// Neither could be done.
    Failed(DeliveryError),
}

/// What the background snapshotter has made.
#[derive(Debug)]
pub(super) enum HistoryReport {
    /// A snapshot at this event, or none if there was one.
    Snapshot(Result<Option<Seq>, TakeError>),
    /// A checkpoint is being made; nothing if nothing is to go. Then that was all.
    CheckpointBegun(Result<Option<Checkpoint>, TakeError>),
    /// A part of it is there.
    PartMade,
    /// All parts are there.
    CheckpointMade(Result<(), TakeError>),
    /// A checkpoint that is in the log was read through.
    CheckpointChecked(Result<Start, LogError>),
    /// None of these: it panicked, and said this.
    Panicked(String),
}
