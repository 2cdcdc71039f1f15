//! The repository itself: the rules of the house, the public interface, the pages and the planted bugs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests report like tests")]

mod api;
mod cases;
mod face;
mod imports;
mod planted;
mod rules;
mod settings;
