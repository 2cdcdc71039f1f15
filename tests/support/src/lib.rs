//! What the tests of lastword and of its tools share.
//!
//! | module | what it has |
//! |---|---|
//! | [`log_writer`], [`story`], [`samples`] | logs by hand, a log with every type of event, an event of every kind |
//! | [`history`] | a real reconciler with a worker that builds nothing, and ways to read what it left |
//! | [`damage`] | damages to a directory, and the judgement of what comes of them |
//! | [`disk`], [`loop_drive`] | what a disk may hold after a power cut: by a model of it, and on a real file system |
//! | [`file_destination`] | a destination whose writers compare tokens |
//! | [`parquet_files`], [`strange_files`] | real Parquet files, and those of a stranger |
//! | [`oracle`] | the invariants, counted from the recorded events a second time |
//! | [`trace_listener`] | everything that a process traces |
//!
//! Nothing here has features of the library, and nothing here is a test. What fails panics: the caller is a test.
#![allow(
    missing_docs,
    missing_debug_implementations,
    reason = "read beside the tests that use it, not as documentation"
)]

pub mod damage;
pub mod disk;
pub mod file_destination;
pub mod history;
pub mod log_writer;
pub mod loop_drive;
pub mod oracle;
pub mod parquet_files;
pub mod samples;
pub mod story;
pub mod strange_files;
pub mod trace_listener;
