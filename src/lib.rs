#![doc = include_str!("../README.md")]
//!
//! # The map
//!
//! What a program needs is at the root and in six modules: [`policy`] (how a collection is treated), [`event`] and
//! [`status`] (what happened, and what is), [`destination`] (publishing, discarding, verifying), [`remote`] (workers in
//! other processes) and [`errors`] (one type for each operation). Three come with a feature: `sources` (directories of
//! files, and what has changed in them), `external` (collections that are built from files in segments) and `testing` (a
//! harness to test workers with).
//!
//! Four pages hold no code: [`design`] (how it is built and why, its words, a map of the modules inside, the cases),
//! [`promises`], [`settings`] and [`mod@format`].
//!
//! The other modules are the inside: for the tools, the tests and the curious, public only with the feature `internals`,
//! and they may change with every version.
//!
//! # What it tells `tracing`
//!
//! | target | what | fields |
//! |---|---|---|
//! | `lastword::event` | every event, once it is durable (debug) | `seq`, `collection`, `task`, `attempt` |
//! | `lastword::attempt` | a span around each attempt (info) | `collection`, `task`, `attempt` |
//! | `lastword::log` | a log that was begun anew | `path` |
//! | `lastword::pool` | abandoned attempts, threads that could not be started | `collection`, `task`, `attempt` |
//! | `lastword::snapshot` | snapshots taken (debug), not taken or not usable, logs not compacted (warn) | `seq`, `error` |
//! | `lastword::delivery` | a span around each publication, discard and verification (info); verifications that could not be made (warn) | `collection`, `kind`, `commit`, `error` |
//! | `lastword::sweep` | orphaned objects collected (debug), or why not (warn) | `removed`, `error` |
//! | `lastword::notes` | notes that were not kept, or are damaged (warn) | `collection`, `token`, `error` |
//! | `lastword::external` | what of the past cannot be read and is built anew (warn) | `collection`, `manifest`, `error` |
//! | `lastword::engine` | the end of the engine, if it was not asked for | `error` |
//!
//! A subscriber is called where the event is: those of `lastword::event` and `lastword::engine`, among others, on the engine's
//! own thread, which waits for it. It must not block, and must not wait for the engine: what writes to a place that may be
//! slow, as a pipe, a socket or a disk, hands over to a thread of its own and drops what does not fit (`tracing-appender` in
//! its non-blocking mode does that). One that blocks holds up everything that the engine does.
//!
//! Counters are in [`Stats`], see [`Handle::stats`].
#![forbid(unsafe_code)]
// A library that keeps other people's data does not end their process: errors are values.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
// Without `internals` much of the inside is reached only by tools and tests that ask for it.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unreachable_pub, unused_imports))]

#[cfg(feature = "internals")]
pub mod apart;
#[cfg(not(feature = "internals"))]
mod apart;
#[cfg(feature = "internals")]
pub mod clock;
#[cfg(not(feature = "internals"))]
mod clock;
#[cfg(feature = "internals")]
pub mod codec;
#[cfg(not(feature = "internals"))]
mod codec;
#[cfg(feature = "internals")]
pub mod core;
#[cfg(not(feature = "internals"))]
mod core;
#[cfg(feature = "internals")]
pub mod describe;
#[cfg(not(feature = "internals"))]
mod describe;
#[cfg(feature = "internals")]
pub mod engine;
#[cfg(not(feature = "internals"))]
mod engine;
#[cfg(feature = "internals")]
pub mod evlog;
#[cfg(not(feature = "internals"))]
mod evlog;
#[cfg(feature = "internals")]
pub mod log;
#[cfg(not(feature = "internals"))]
mod log;
#[cfg(feature = "internals")]
pub mod objects;
#[cfg(not(feature = "internals"))]
mod objects;
#[cfg(feature = "internals")]
pub mod reducer;
#[cfg(not(feature = "internals"))]
mod reducer;
#[cfg(feature = "internals")]
pub mod replay;
#[cfg(not(feature = "internals"))]
mod replay;
#[cfg(feature = "internals")]
pub mod snapshot;
#[cfg(not(feature = "internals"))]
mod snapshot;
#[cfg(feature = "internals")]
pub mod worker;
#[cfg(not(feature = "internals"))]
mod worker;

mod error;
#[cfg(feature = "sources")]
pub mod external;
mod held;
mod membership;
mod notes;
mod open;
pub mod promises;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
mod umbrella;
mod unwind;
mod watch_cell;

/// The format on disk: `log-format.md`, whose examples are tests.
#[doc = include_str!("../log-format.md")]
pub mod format {}

#[doc = include_str!("settings.md")]
pub mod settings {}

#[doc = include_str!("design.md")]
pub mod design {}

pub use crate::core::vocabulary::{
    Built, By, CollectionId, Command, Declaration, Event, FileCounts, Fingerprint, Generation, Kind, Missing, Name,
    ObservationOutcome, Receipt, Recorded, Seq, Source, SourceState, Spec, TaskId, Timestamp, Token, Version,
};
pub use crate::core::{Applied, CollectionView, Condition, NotObserved};
pub use engine::{
    Builder, CollectionStatus, Handle, ObserveInterval, Reconciler, Requests, Response, Retention, SettleOutcome,
    Stats, WaitOutcome, Watch, WatchItem,
};
pub use error::ErrorKind;
pub use log::Durability;
pub use umbrella::Error;
pub use worker::{
    Assignment, Context, Failure, Hint, Observation, ObserveError, ObserveRequest, ObserveSignals, Observer,
    SkipReason, Skipped, SourceWatch, Worker,
};

/// How a collection is treated: what a change does to a running task, how often is tried again, what an emptied source
/// means. Every default has its reason in [`settings`].
pub mod policy {
    pub use crate::core::vocabulary::{
        AttemptTimeout, Coalesce, EmptySource, Grace, Limits, MaxLag, OnChange, Policy, PolicyChange, Priority, Resync,
        Retry,
    };
}

#[doc = include_str!("destination.md")]
pub mod destination {
    pub use crate::core::vocabulary::Duties;
    pub use crate::objects::Objects;
    pub use crate::worker::{CommitView, DeliveryError, DiscardRequest, VerifyOutcome};
}

/// What is in an [`Event`]: the reasons, causes and facts that programs tell apart, each with its name in JSON
/// (`as_str`). [`Recorded::to_json`] writes an event, and a [`Describer`](event::Describer) all of a log with the names of
/// what they refer to.
pub mod event {
    pub use crate::core::vocabulary::{
        AbortReason, Admission, Content, DeliveryKind, Delta, EndReason, Epoch, FailReason, HoldCause, Inputs,
        ObjectHash, ParkCause, PathSetRef, RefreshReason, RejectReason, SegmentCounts, Stopping,
    };
    pub use crate::describe::{Described, Describer};
}

/// What is in a [`CollectionStatus`] and its [`CollectionView`]: why a collection waits, how far it is behind, and what
/// failed last. [`CollectionStatus::to_json`] writes all of it.
pub mod status {
    pub use crate::core::vocabulary::Scope;
    pub use crate::core::{DeliveryFailure, DroppedView, Lag, LastFailure, OutboxView, Parking, Pending, Unobservable};
    pub use crate::engine::{Counters, LastObservation, LastVerification, Observing, Times};
    pub use crate::worker::{Progress, Traffic};
}

/// Files as sources, of any kind and anywhere: [`Directory`](sources::Directory) observes directories for a worker of one's
/// own, [`Observation::files`] takes the listing of an observer of one's own, and [`Context::changes`] says to a worker
/// which files have changed since its last commit. The feature `sources` brings it;
/// [`external`] goes on from here to collections that are built in segments.
#[cfg(feature = "sources")]
pub mod sources {
    pub use crate::external::{
        Change, Changes, Directory, FileReader, FileVersion, SourceError, SourceFile, SourcePath, Store, StoreError,
    };
}

/// Workers that the caller drives: an async runtime, another process, another machine. They take assignments from a
/// [`Handle`] under a lease, show by heartbeats that they live, and report how it went.
pub mod remote {
    pub use crate::core::vocabulary::{AttemptRef, WorkerName};
    pub use crate::engine::{AttemptState, CompletionOutcome, HeartbeatReply, LeasedAssignment, NextAssignment};
}

/// The errors of the operations, for programs that tell their variants apart. [`Error`] can hold any of them, and each has
/// an [`ErrorKind`], which says what to do about it.
pub mod errors {
    pub use crate::core::vocabulary::{FieldError, Rejection};
    pub use crate::engine::{CommandError, CompactError, EngineError, StartError, SubmitError, WatchError};
    pub use crate::log::{OpenError, Replaced, Replacement};
    pub use crate::objects::ObjectError;
    pub use crate::reducer::ReducerError;
    pub use crate::replay::ReplayError;
}
