//! Collections of files: what a source is observed to hold, how it is cut into segments, built, delivered and watched.
//!
//! Damaged and hostile Parquet files are in `tests/parsers`, which counts what is allocated.
#![allow(unreachable_pub, missing_docs, reason = "a test crate has no public items")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests report like tests")]

mod attack;
mod build;
mod careless;
mod checks;
mod delivery;
mod destination;
mod detect;
mod directories;
mod engine;
mod evidence;
mod formats;
mod growing;
mod half_listed;
mod hinted;
mod incremental;
mod lake;
mod layout;
mod listed;
mod look;
mod lost_manifest;
mod metered;
mod mounts;
mod parquet;
mod segments;
mod skip;
mod takeover;
mod unreadable;
mod watch;
