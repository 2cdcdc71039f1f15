//! A deterministic simulation of everything that decides: the real reducer, codec, frames, replay, snapshots, bases and
//! the planner of external collections, under virtual time and one seed. No thread, no clock, no chance but the seed's.
//!
//! ```text
//! cargo test --all-features --test sim                                        1,000 seeds, what every run of CI does
//! cargo test --release --all-features --test sim -- --seeds 100000 --from 1   a long soak
//! cargo test --all-features --test sim -- --seed 17                           one seed, with a trace of its last steps
//! cargo test --all-features --test sim -- --seed 17 --export FILE             and its log as a stream
//! ```
//!
//! Every step is one batch and one frame, as in the engine: what happens is said to the reducer, deadlines come, idle
//! workers get work, the frame is written, and only then follows what follows. In between processes end, appends fail
//! and keep all or nothing, frames are torn, clocks jump, backups are put back. The oracle of `tests/support`, which
//! shares no code with the core, counts the durable events for itself. In the end the storm is over, and everything has
//! to be made of what the sources hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation is a test's report")]

mod clock;
mod couriers;
mod dice;
mod disk;
mod files;
mod history;
mod lake;
mod looks;
mod people;
mod queue;
mod rest;
mod runs;
mod sim;
mod weather;
mod witness;
mod workers;

use std::process::ExitCode;

fn main() -> ExitCode {
    runs::main(std::env::args().skip(1).collect())
}
