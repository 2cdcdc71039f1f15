//! One collection as it is now, with what only the running engine knows: data.
//!
//! *Architecture invariant:* data alone. It is put together in `run/show.rs`.

use crate::core::CollectionView;
use crate::core::vocabulary::{Seq, Timestamp};
use crate::worker::{DeliveryError, Progress, Skipped, VerifyOutcome};

/// One collection as it is now, with what only the running engine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectionStatus {
    /// What the log says of it.
    pub view: CollectionView,
    /// The last accepted observation of its source since the engine was opened.
    pub last_observation: Option<LastObservation>,
    /// When its source is observed next; nothing while it is being observed, or if nothing observes it.
    pub next_observation: Option<Timestamp>,
    /// How far the running attempt has come.
    pub progress: Option<Progress>,
    /// The task waits, and every worker that its kind may have is held by an attempt that was abandoned.
    pub workers_exhausted: bool,
    /// Its outbox is not empty, and no worker here delivers what is first in it.
    pub undeliverable: bool,
    /// The last verification of what it has applied, since the engine was opened.
    pub verification: Option<LastVerification>,
}

/// The last accepted observation of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastObservation {
    /// When it began.
    pub started: Timestamp,
    /// Whether the source could be observed.
    pub succeeded: bool,
    /// In how many parts a change could have gone unnoticed; see [`Observation::racy`](crate::Observation::racy).
    pub racy: u64,
    /// What below the source it left out; see [`Observation::skipped`](crate::Observation::skipped).
    pub skipped: Skipped,
}

/// The last verification of what a collection has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastVerification {
    /// When its end was reported.
    pub at: Timestamp,
    /// The event that committed what was verified.
    pub commit: Seq,
    /// What was found, or why that could not be found out.
    pub found: Result<VerifyOutcome, DeliveryError>,
}
