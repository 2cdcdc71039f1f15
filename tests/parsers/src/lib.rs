//! What each fuzz target does with its input: the only copy, run by libFuzzer (`tests/fuzz`) and, with the checked-in
//! corpus, by `tests/parsers/tests/corpus` on every `cargo test`.
//!
//! Every body holds the same three promises: it does not panic, it allocates no more than the length of its input
//! allows, and what was accepted can be written and read again and is the same.
//!
//! Inputs with checksums would all die at the first of them. So bodies *mend* their input first: they recompute the
//! checksums and hashes over whatever bytes there are, as somebody hostile would.
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz TARGET \
//!     target/fuzz/found/TARGET tests/fuzz/corpus/TARGET -- -max_total_time=90
//! ```

pub mod configuration;
pub mod control;
pub mod declared;
pub mod events;
pub mod frames;
pub mod memory;
pub mod parquet_footer;
pub mod states;
pub mod streams;
pub mod trees;

/// A target: its name, which is that of its corpus and of its file in `fuzz_targets`, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 14] = [
    ("anchor", frames::anchor),
    ("configuration", configuration::configuration),
    ("control", configuration::control),
    ("evlog", streams::evlog),
    ("frame", frames::frame),
    ("manifest", trees::manifest),
    ("parquet", parquet_footer::parquet),
    ("path_set", trees::path_set),
    ("payload", events::payload),
    ("selection", configuration::selection),
    ("snapshot", states::snapshot),
    ("source", declared::source),
    ("spec", declared::spec),
    ("state", states::state),
];

/// Runs the target of this name.
pub fn run(name: &str, input: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(target, _)| *target == name).unwrap_or_else(|| panic!("no target {name}"));
    body(input);
}

/// `N` bytes at `at`, if they are there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
