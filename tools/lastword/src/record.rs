//! What a run says of itself for the time after it: `STATE/run.json`. It is written when the run begins and when it ends,
//! so that one that was killed is known as such whoever opens the log next, and an end has the time of the end.
//!
//! The log cannot tell: whoever opens and closes it leaves it closed in order, and its last event may be hours older than
//! the end of the run. A record that is lost or damaged costs nothing but these words.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::Timestamp;
use serde_json::{Value, json};

use crate::beside;
use crate::console::printable;

const NAME: &str = "run.json";

/// A run that has the log open.
pub(crate) struct Record {
    directory: File,
    began: Timestamp,
    file: String,
}

/// What the last run has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastRun {
    pub(crate) pid: u32,
    pub(crate) began: String,
    /// The configuration that it read; an older one has not said it.
    pub(crate) file: Option<String>,
    pub(crate) end: Option<RunEnd>,
}

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunEnd {
    pub(crate) at: String,
    /// Why it ended, if nobody had asked for that.
    pub(crate) failed: Option<String>,
}

impl Record {
    /// Notes that a run has begun. Only for who holds the lock of the log.
    pub(crate) fn begin(state: &Path, file: &Path) -> io::Result<Record> {
        let directory = File::open(state)?;
        let record = Record { directory, began: now(), file: file.display().to_string() };
        record.write(None).inspect_err(|_| {
            // What the run before has left would be taken for this one's.
            let _ = beside::remove(&record.directory, NAME);
        })?;
        Ok(record)
    }

    /// Notes how it has ended, after the log was closed. Another run may have begun by then: its record stays.
    pub(crate) fn end(&self, failed: Option<&str>) -> io::Result<()> {
        match LastRun::read_in(&self.directory) {
            Some(last) if (last.pid, &last.began) != (process::id(), &self.began.to_string()) => Ok(()),
            _ => self.write(Some(json!({"at": now().to_string(), "failed": failed}))),
        }
    }

    fn write(&self, end: Option<Value>) -> io::Result<()> {
        let end_is_told = end.is_some();
        let record =
            json!({"v": 1, "pid": process::id(), "began": self.began.to_string(), "file": self.file, "end": end});
        let text = format!("{record}\n");
        beside::write(&self.directory, NAME, &text).or_else(|error| match (error.kind(), end_is_told) {
            (io::ErrorKind::StorageFull, true) => beside::overwrite(&self.directory, NAME, &text),
            _ => Err(error),
        })
    }
}

impl LastRun {
    /// `None` if no run has left a record that can be read.
    pub(crate) fn read(state: &Path) -> Option<LastRun> {
        LastRun::read_in(&File::open(state).ok()?)
    }

    fn read_in(directory: &File) -> Option<LastRun> {
        let record: Value = serde_json::from_slice(&beside::read(directory, NAME).ok()?).ok()?;
        // Whoever can write here can write anything, and it is shown on a terminal.
        let text = |value: &Value, key: &str| Some(printable(value.get(key)?.as_str()?));
        if record.get("v")? != 1 {
            return None;
        }
        let end = match record.get("end")? {
            Value::Null => None,
            end => Some(RunEnd { at: text(end, "at")?, failed: text(end, "failed") }),
        };
        let pid = u32::try_from(record.get("pid")?.as_u64()?).ok()?;
        Some(LastRun { pid, began: text(&record, "began")?, file: text(&record, "file"), end })
    }

    /// Its last word was that it had begun.
    pub(crate) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// `the last run (pid 412, begun 2026-11-23T10:00:00Z) was not closed in order: ..`
    pub(crate) fn crashed(&self) -> String {
        format!("the last run ({}) was {NOT_IN_ORDER}", self.name())
    }

    pub(crate) fn name(&self) -> String {
        format!("pid {}, begun {}", self.pid, crate::words::seconds(&self.began))
    }
}

/// What is known of a log that was not closed.
pub(crate) const NOT_IN_ORDER: &str = "not closed in order: killed, or the machine went down";

fn now() -> Timestamp {
    SystemClock::new().wall()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn defect_39_a_record_is_of_the_run_that_began_last() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LastRun::read(dir.path()), None);
        let first = Record::begin(dir.path(), Path::new("/a/lake.toml")).unwrap();
        assert!(LastRun::read(dir.path()).unwrap().is_open());
        assert_eq!(LastRun::read(dir.path()).unwrap().file.as_deref(), Some("/a/lake.toml"));
        first.end(None).unwrap();
        assert_eq!(LastRun::read(dir.path()).unwrap().end.unwrap().failed, None);
        let second = Record {
            began: Timestamp(first.began.0 + 1),
            directory: File::open(dir.path()).unwrap(),
            file: String::new(),
        };
        second.write(None).unwrap();
        first.end(Some("late")).unwrap();
        assert!(LastRun::read(dir.path()).unwrap().is_open(), "the record of another was written over");
        second.end(Some("the disk is full")).unwrap();
        assert_eq!(LastRun::read(dir.path()).unwrap().end.unwrap().failed.as_deref(), Some("the disk is full"));
        std::fs::write(dir.path().join(NAME), "{\"v\":1}").unwrap();
        assert_eq!(LastRun::read(dir.path()), None);
    }
}
