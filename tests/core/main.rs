//! The core against its public API: stories, a table, and a random walk. Nothing here is real but the decisions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is a test's way to report")]

mod attempts;
mod catalogue;
mod checks;
mod detection;
mod full_outbox;
mod isolated;
mod kinds;
mod leases;
mod lifecycle;
mod losses;
mod moves;
mod nameless;
mod names;
mod outbox;
mod policies;
mod queue;
mod rechecks;
mod said;
mod slow_retry;
mod starved;
mod states;
mod table;
mod texts;
mod views;
mod walk;
mod world;
