//! `why`: one answer for the person who was woken up, from the log alone: what is wanted and what is applied, what
//! stands between the two, and the events that led there.
//!
//! The events are folded twice: once to find out what the answer is and where its story begins, and once to tell it. So
//! memory is bounded by the state, however long the log. Before that the log was read to be checked when it was opened,
//! and before each of the two the checkpoint is read, if a prefix was deleted.

mod answer;
mod chain;
mod fate;
mod life;
mod task;

use std::fmt;
use std::sync::Arc;

use lastword::core::vocabulary::{By, Name, Recorded, Seq, TaskId, Timestamp};
use lastword::log::FrameHash;
use lastword::replay::Until;
use serde::Serialize;

use self::chain::Chain;
use crate::args::LogArgs;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, printable};

pub(crate) fn run(log: &LogArgs, name: &Name, until: Until, task: Option<TaskId>) -> Result<(), Failure> {
    let input = Input::open(&log.state)?;
    match task {
        None => answer::run(&input, name, until, log.json),
        Some(task) => task::run(&input, name, until, task, log.json),
    }
}

/// An event that something is because of, and who asked for it.
#[derive(Clone, Debug)]
struct Mark {
    seq: Seq,
    at: Timestamp,
    event: &'static str,
    by: Option<Arc<By>>,
}

impl Mark {
    fn of(recorded: &Recorded) -> Mark {
        Mark { seq: recorded.seq, at: recorded.at, event: recorded.event.type_name(), by: recorded.by.clone() }
    }
}

/// `event 12 (collection_paused by anna: the disk is swapped)`.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} ({}", self.seq, self.event)?;
        if let Some(by) = &self.by {
            write!(f, " by {}", by.actor().unwrap_or("an unnamed actor"))?;
            by.cause().map_or(Ok(()), |cause| write!(f, ": {cause}"))?;
        }
        f.write_str(")")
    }
}

/// A mark in JSON.
#[derive(Serialize)]
struct MarkLine {
    seq: u64,
    time: String,
    #[serde(rename = "type")]
    event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
}

impl From<&Mark> for MarkLine {
    fn from(mark: &Mark) -> MarkLine {
        let by = mark.by.as_deref();
        MarkLine {
            seq: mark.seq.0,
            time: mark.at.to_string(),
            event_type: mark.event,
            actor: by.and_then(By::actor).map(Into::into),
            cause: by.and_then(By::cause).map(Into::into),
        }
    }
}

/// What the last line says of the lines before it, with the keys of every other summary.
#[derive(Serialize)]
struct Extent {
    events: u64,
    from: u64,
    to: u64,
    /// The first event of the log, if the story began before it.
    history_begins: Option<u64>,
    head: String,
}

impl Extent {
    fn new(events: u64, chain: &Chain<'_>, head: FrameHash) -> Extent {
        Extent {
            events,
            from: chain.first.max(chain.begins).0,
            to: chain.last.next().0,
            history_begins: chain.history_begins().map(|begins| begins.0),
            head: head.to_string(),
        }
    }
}

fn unknown(problem: impl fmt::Display) -> Failure {
    Failure::new(Exit::USAGE, problem)
}

/// The rows of the answer that do apply, one below the other.
fn rows(output: &mut Output, rows: &[(&str, Option<String>)]) -> Result<(), Failure> {
    let given = rows.iter().filter_map(|(heading, text)| Some((heading, text.as_ref()?)));
    given.into_iter().try_for_each(|(heading, text)| output.line(&printable(&format!("{heading:<10}{text}"))))
}
