//! Collections of files: what a source is observed to hold, how it is cut into segments, built, delivered and watched.
//!
//! Damaged and hostile Parquet files are in `tests/parsers`, which counts what is allocated.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests report like tests")]

mod attack;
mod build;
mod delivery;
mod destination;
mod detect;
mod engine;
mod growing;
mod hinted;
mod layout;
mod look;
mod parquet;
mod segments;
mod watch;
