//! lastword keeps derived collections in step with their sources.
#![forbid(unsafe_code)]

pub mod core;
