//! What the answers of a collection and of a task have in common when they are written.

use std::fmt;

use lastword::log::FrameHash;
use serde::Serialize;

use super::chain::Chain;
use crate::fail::{Exit, Failure};
use crate::output::{Output, printable};

/// What the last line says of the lines before it, with the keys of every other summary.
#[derive(Serialize)]
pub(super) struct Extent {
    events: u64,
    from: u64,
    to: u64,
    /// The first event of the log, if the story began before it.
    history_begins: Option<u64>,
    head: String,
}

impl Extent {
    pub(super) fn new(events: u64, chain: &Chain<'_>, head: FrameHash) -> Extent {
        Extent {
            events,
            from: chain.first.max(chain.begins).0,
            to: chain.last.next().0,
            history_begins: chain.history_begins().map(|begins| begins.0),
            head: head.to_string(),
        }
    }
}

pub(super) fn unknown(problem: impl fmt::Display) -> Failure {
    Failure::new(Exit::USAGE, problem)
}

/// The last of all beginnings is that of the log, and whatever is asked is answered from there.
pub(super) fn no_beginning() -> Failure {
    Failure::new(Exit::DEFECT, "the log has no beginning")
}

/// The rows of the answer that do apply, one below the other.
pub(super) fn rows(output: &mut Output, rows: &[(&str, Option<String>)]) -> Result<(), Failure> {
    let given = rows.iter().filter_map(|(heading, text)| Some((heading, text.as_ref()?)));
    given.into_iter().try_for_each(|(heading, text)| output.line(&printable(&format!("{heading:<10}{text}"))))
}
