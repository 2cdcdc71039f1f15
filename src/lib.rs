//! lastword keeps derived collections in step with their sources.
#![forbid(unsafe_code)]

pub mod clock;
pub mod codec;
pub mod core;
pub mod describe;
pub mod engine;
pub mod evlog;
#[cfg(feature = "external")]
pub mod external;
pub mod log;
pub mod objects;
pub mod reducer;
pub mod replay;
pub mod worker;

/// The format on disk: `log-format.md`, whose examples are tests.
#[doc = include_str!("../log-format.md")]
pub mod format {}
