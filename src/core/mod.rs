//! The pure core: no I/O, no clock, no threads, no randomness, no unordered iteration.
//!
//! *Architecture invariant:* nothing here imports another module of this crate. `tests/house.rs` holds that.

pub mod vocabulary;
