//! A stream in a file, read like a log.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::read::check;
use super::{EvlogError, Item, Reader, Totals};
use crate::core::vocabulary::Seq;
use crate::log::{FrameBuf, LogError, LogReader, Start};

/// A stream in a file that was checked as a whole. Every iteration over its frames reads it from the start.
#[derive(Clone, Debug)]
pub struct EvlogFile {
    path: PathBuf,
    totals: Totals,
}

impl EvlogFile {
    /// Checks all of the stream in the file `path`.
    ///
    /// # Errors
    /// The first defect, or why it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<EvlogFile, EvlogError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(EvlogError::Input)?;
        Ok(EvlogFile { path: path.to_owned(), totals: check(BufReader::new(file))? })
    }

    /// What it holds.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    fn reader(&self) -> Result<Reader<BufReader<File>>, LogError> {
        let file = File::open(&self.path).map_err(|source| self.io(source))?;
        Reader::new(BufReader::new(file)).map_err(|error| self.log_error(error))
    }

    fn io(&self, source: io::Error) -> LogError {
        LogError::Io { doing: "reading", path: self.path.clone(), source }
    }

    /// The stream was whole when it was opened, so this is a file that changed meanwhile.
    fn log_error(&self, error: EvlogError) -> LogError {
        match error {
            EvlogError::Input(source) => self.io(source),
            EvlogError::Frame { at, found } => LogError::Damaged { at, found },
            error => LogError::Storage(error.to_string()),
        }
    }
}

impl LogReader for EvlogFile {
    fn start(&self) -> Start {
        self.totals.start
    }

    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_> {
        let begins = self.totals.start.first();
        if from != Seq::ZERO && from < begins {
            return Box::new(std::iter::once(Err(LogError::PrefixGone { begins })));
        }
        let reader = match self.reader() {
            Ok(reader) => reader,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        Box::new(reader.filter_map(move |item| match item {
            Ok(Item::Object(_)) => None,
            Ok(Item::Frame(frame)) => (frame.as_frame().last() >= from).then_some(Ok(frame)),
            Err(error) => Some(Err(self.log_error(error))),
        }))
    }

    fn another(&self) -> Box<dyn LogReader> {
        Box::new(self.clone())
    }
}
