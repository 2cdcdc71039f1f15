//! A stream in a file, read like a log.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::read::{check, check_up_to_damage};
use super::{EvlogError, Item, Reader, Totals};
use crate::core::vocabulary::Seq;
use crate::log::{FrameBuf, LogError, LogReader, Start};

/// A stream in a file that was checked as a whole, or up to its first defect. Every iteration over its frames reads it from the start.
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

    /// The same of a damaged stream: what is whole before the first defect, and beside it that defect.
    ///
    /// # Errors
    /// The defect, if what comes before it is no log.
    pub fn open_up_to_damage(path: impl AsRef<Path>) -> Result<(EvlogFile, Option<EvlogError>), EvlogError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(EvlogError::Input)?;
        let (totals, damage) = check_up_to_damage(BufReader::new(file))?;
        Ok((EvlogFile { path: path.to_owned(), totals }, damage))
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
        let frames = reader.filter_map(|item| match item {
            Ok(Item::Object(_)) => None,
            Ok(Item::Frame(frame)) => Some(Ok(frame)),
            Err(error) => Some(Err(self.log_error(error))),
        });
        // What lies behind the last one was not whole when the stream was opened.
        let whole = frames.take(usize::try_from(self.totals.frames).unwrap_or(usize::MAX));
        let is_asked_for = move |frame: &Result<FrameBuf, LogError>| {
            frame.as_ref().map_or(true, |frame| frame.as_frame().last() >= from)
        };
        Box::new(whole.filter(is_asked_for))
    }

    fn another(&self) -> Box<dyn LogReader> {
        Box::new(self.clone())
    }
}
