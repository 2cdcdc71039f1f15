//! What a report reads: a private copy of a log, or an exported stream. Nothing is changed there.

use std::path::{Path, PathBuf};

use lastword::core::vocabulary::Timestamp;
use lastword::evlog::EvlogFile;
use lastword::log::{LogReader, Position, PrivateCopy};
use lastword::objects::{FileObjects, Objects};

use crate::command::state_of;
use crate::fail::{Fail, unopened};
use crate::words::is_exported;

/// An open log.
pub(super) struct Input {
    opened: Opened,
    /// What commands are typed with.
    pub(super) place: PathBuf,
}

enum Opened {
    Directory { copy: PrivateCopy, reader: Box<dyn LogReader> },
    Stream(EvlogFile),
}

impl Input {
    pub(super) fn open(named: &Path) -> Result<Input, Fail> {
        if is_exported(named) {
            let file = EvlogFile::open(named).map_err(|error| {
                let fail = Fail::from(error);
                Fail::new(fail.code, format!("{}: {fail}", named.display()))
            })?;
            // A command needs the directory of the log, which a stream does not name.
            return Ok(Input { opened: Opened::Stream(file), place: PathBuf::from("STATE") });
        }
        let state = state_of(named)?;
        let copy = PrivateCopy::of(&state).map_err(|error| unopened(error, &state))?;
        let reader = copy.reader();
        Ok(Input { opened: Opened::Directory { copy, reader }, place: named.to_owned() })
    }

    pub(super) fn reader(&self) -> &dyn LogReader {
        match &self.opened {
            Opened::Directory { reader, .. } => reader.as_ref(),
            Opened::Stream(file) => file,
        }
    }

    /// What names the files of observations, or why they cannot be named.
    pub(super) fn objects(&self) -> Result<Box<dyn Objects>, String> {
        match &self.opened {
            Opened::Directory { copy, .. } => match FileObjects::open_read_only(copy.objects()) {
                Ok(objects) => Ok(Box::new(objects)),
                Err(error) => Err(format!("the files cannot be named: {error}")),
            },
            Opened::Stream(_) => Err("an exported stream does not name its files: import it".to_owned()),
        }
    }

    pub(super) fn end(&self) -> Position {
        match &self.opened {
            Opened::Directory { copy, .. } => copy.end(),
            Opened::Stream(file) => file.totals().end,
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        match &self.opened {
            Opened::Directory { copy, .. } => copy.time(),
            Opened::Stream(file) => file.totals().time,
        }
    }
}
