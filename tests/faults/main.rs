//! Everything that fails around a log: processes that are killed, power that goes, calls that fail, disks that fill up,
//! directories that are damaged, zombies that write late.
//!
//! The processes are this binary itself, started once more with the name of a test and a variable that tells that test
//! that it is the child. Names after `--exact` are paths: `power::child`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests report like tests")]

#[cfg(feature = "external")]
mod crash;
mod damage;
mod descriptors;
mod fencing;
mod full_disk;
mod io_faults;
mod loop_device;
mod power;
mod replaced;
#[cfg(feature = "external")]
mod takeover;
