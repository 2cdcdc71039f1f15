//! The bodies of the fuzz targets, for libFuzzer. `tests/corpus.rs` includes the same bodies for stable compilers.

pub mod targets;

// The included parts of the tools name their neighbours from the root of the program.
use targets::programs::{console, fail};
