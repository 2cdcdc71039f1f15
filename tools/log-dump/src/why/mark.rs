//! An event as the reason of something: as text, and as JSON.

use std::fmt;
use std::sync::Arc;

use lastword::core::vocabulary::{By, Recorded, Seq, Timestamp};
use serde::Serialize;

/// An event that something is because of, and who asked for it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) seq: Seq,
    pub(super) at: Timestamp,
    pub(super) event: &'static str,
    pub(super) by: Option<Arc<By>>,
}

impl Mark {
    pub(super) fn of(recorded: &Recorded) -> Mark {
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
pub(super) struct MarkLine {
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
