//! The engine as its users meet it: threads, channels, workers, looks, waits and watches over one log.
//!
//! Numbers in names are those of the cases that the design lists. Time is a [`lastword::clock::ManualClock`] unless a
//! test says otherwise; real time only bounds how long a test waits for what has to come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests report like tests")]
#![allow(unreachable_pub, missing_docs, reason = "a test crate has no public items")]

mod bounds;
mod by;
mod careless;
mod clocks;
mod counted;
mod delivery;
mod discards;
mod ends;
mod executor;
mod exhausted;
mod failures;
mod floods;
mod found;
mod gated;
mod harness;
mod held_up;
mod hints;
mod isolation;
mod lent;
mod lent_order;
mod limits;
mod looks;
mod lost_replies;
mod named_objects;
mod notes;
mod own_thread;
mod pace;
mod pages;
mod planted_secrets;
mod polling;
mod press;
mod restarts;
mod secrets;
mod settled;
mod steering;
mod superseding;
mod support;
mod surroundings;
mod told;
mod undelivered;
mod verifying;
mod waiting;
mod watching;
mod zombies;
