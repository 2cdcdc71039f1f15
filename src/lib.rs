//! lastword keeps derived collections in step with their sources.
#![forbid(unsafe_code)]

pub mod core;
pub mod log;
pub mod objects;
#[cfg(feature = "external")]
pub mod external;
