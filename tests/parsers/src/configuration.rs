//! What the tools read: a configuration file, the arguments that select events, a request to a run.

use std::path::Path;

use lastword::core::vocabulary::{Seq, Timestamp};

use lastword_cli::config::Config;
use lastword_cli::door::MOST_REQUEST;
use log_dump::args::selected;

use super::control;
use super::memory::bounded;

/// A configuration file.
pub fn configuration(input: &[u8]) {
    let base = Path::new("/conf");
    match bounded(input, 1 << 10, || Config::parse(Path::new("lake.toml"), input, base)) {
        Ok(config) => {
            assert!(!config.collections.is_empty() && config.state.starts_with(base) || config.state.is_absolute());
            for entry in &config.collections {
                // Refused or declared, and nothing in between.
                let _ = entry.declaration();
                assert!(
                    entry.source.directory().is_none_or(|source| !config.state.starts_with(source)),
                    "a source holds the log: {entry:?}"
                );
            }
            assert!(config.needs_restart(&config).is_empty());
        }
        Err(wrong) => assert!(wrong.to_string().starts_with("lake.toml:"), "{wrong}"),
    }
}

/// The arguments of `log-dump`, one in each line, and the events that they select.
pub fn selection(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let arguments = ["log-dump"].into_iter().chain(text.lines());
    let Some(selection) = selected(arguments) else { return };
    for end in [0, 1, 17, u64::MAX - 1] {
        let end = Seq(end);
        let (first, behind) = (selection.first(), selection.end(end));
        assert!(first >= Seq(1) && behind <= end.next());
        for seq in [first, behind, end] {
            for at in [0, 1_700_000_000_000_000, u64::MAX] {
                let at = Timestamp(at);
                for name in [None, Some("lineitem"), Some("a/b[*?]")] {
                    let held = selection.holds(seq, at, 48, name);
                    assert!(!held || !selection.is_over(seq, at), "reading stops before an event that is selected");
                    assert!(!held || seq >= first || seq == end);
                }
            }
        }
    }
}

/// A request to a run, and the same as an answer of a server.
pub fn control(input: &[u8]) {
    if input.len() <= MOST_REQUEST {
        // A number in a list takes 32 bytes for two.
        bounded(input, 256, || control::check(input));
    }
    bounded(input, 512, || control::check_answer(input));
}
