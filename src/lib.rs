#![doc = include_str!("../README.md")]
//!
//! # The map
//!
//! | module | what it owns |
//! |---|---|
//! | [`core`] | what may happen: commands, events, the status table, the state; pure |
//! | [`codec`] | events as bytes, exactly as the log format says |
//! | [`log`] | frames on a disk (or in memory): append, barrier, read |
//! | [`objects`] | immutable, content-addressed objects: sets of files, manifests |
//! | [`evlog`] | the portable stream of a log and its objects: export, import |
//! | [`replay`] | from a log back to events, states and proofs |
//! | [`snapshot`] | what a log adds up to, kept so that opening costs the tail |
//! | [`reducer`] | decide, fold, append, barrier; no thread, no clock |
//! | [`engine`] | threads, queues, handles, watches: [`Reconciler`] and [`Handle`] |
//! | [`worker`] | what users write: [`Worker`] and [`Observer`](worker::Observer) |
//! | [`clock`] | the only place that reads a clock |
//! | [`describe`] | events as JSON and as lines |
//! | [`promises`] | what happens when ...: a page per promise, with its tests; no code |
//! | [`settings`] | every setting, its default and why it is the default; no code |
//! | `external` | collections built from Parquet files in directories (feature `external`) |
//! | `testing` | a harness to test workers with: the real engine in memory, time by hand (feature `testing`) |
//!
//! # What it tells `tracing`
//!
//! | target | what | fields |
//! |---|---|---|
//! | `lastword::event` | every event, once it is durable (debug) | `seq`, `collection`, `task`, `attempt` |
//! | `lastword::attempt` | a span around each attempt (info) | `collection`, `task`, `attempt` |
//! | `lastword::pool` | abandoned attempts, threads that could not be started | `collection`, `task`, `attempt` |
//! | `lastword::snapshot` | snapshots taken (debug), not taken or not usable, logs not compacted (warn) | `seq`, `error` |
//! | `lastword::delivery` | a span around each publication, discard and verification (info); verifications that could not be made (warn) | `collection`, `kind`, `commit`, `error` |
//! | `lastword::sweep` | orphaned objects collected (debug), or why not (warn) | `removed`, `error` |
//! | `lastword::external` | what of the past cannot be read and is built anew (warn) | `collection`, `manifest`, `error` |
//! | `lastword::engine` | the end of the engine, if it was not asked for | `error` |
//!
//! Counters are in [`Stats`](engine::Stats), see [`Handle::stats`].
#![forbid(unsafe_code)]
// A library that keeps other people's data does not end their process: errors are values.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bell;
pub mod clock;
pub mod codec;
pub mod core;
pub mod describe;
pub mod engine;
pub mod evlog;
#[cfg(feature = "external")]
pub mod external;
pub mod log;
pub mod objects;
mod open;
pub mod promises;
pub mod reducer;
pub mod replay;
pub mod snapshot;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
pub mod worker;

/// The format on disk: `log-format.md`, whose examples are tests.
#[doc = include_str!("../log-format.md")]
pub mod format {}

#[doc = include_str!("settings.md")]
pub mod settings {}

pub use engine::{Handle, Reconciler};
pub use worker::{Context, Failure, Worker};
