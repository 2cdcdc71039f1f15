//! The log and what is made of it: frames and their chain, the storage engine, the format, streams, replay, snapshots,
//! a past that is let go, and objects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests report like tests")]

mod attributed;
mod copy;
mod crash;
mod damage;
mod evlog;
mod forget;
mod forget_crash;
mod format;
mod frame;
mod inherited;
mod memory;
mod objects_files;
mod objects_tree;
mod orphans;
mod reducer;
mod replaced;
mod replay;
mod retention;
mod salvage;
mod salvage_crash;
mod sled;
mod snapshots;
mod swept;
