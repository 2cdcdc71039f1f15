//! lastword keeps derived collections in step with their sources.
#![forbid(unsafe_code)]

pub mod codec;
pub mod core;
