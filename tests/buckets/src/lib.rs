//! Servers of object stores for tests, and a hand that writes into them.
//!
//! [`servers`] starts real ones: moto (S3) from PyPI, s3rver (S3) and Azurite from npm. They are installed once below `target/`;
//! where they cannot be had a test is skipped and says so, unless `LASTWORD_REQUIRE_SERVERS=1` forbids that. [`stage`] is one
//! in this process, which holds a hundred thousand objects, and misbehaves as it is told.

#![allow(missing_docs, missing_debug_implementations)]

pub mod bucket;
mod pages;
pub mod parrot;
pub mod servers;
pub mod stage;
