//! How a file is cut into ranges of rows. A format reads the file that it is given and must not know others.

use std::fmt;

use super::{FileReader, SourcePath, StoreError};
use crate::error::ErrorKind;
use crate::unwind;

/// A range of rows of one file: from `start`, up to and without `end`. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowRange {
    /// The first row, counted from 0 in the file.
    pub start: u64,
    /// The row behind the last one.
    pub end: u64,
}

/// A format of files: how one is cut. [`External::format`](super::External::format) takes one of one's own.
///
/// A format knows one file, and not how many there are or which of them count. So a table of Parquet files (Delta Lake,
/// Iceberg) is no format of its own: which files a version of it has is said by what lists them, a
/// [`Store`](super::Store) that reads the table's log in the place of a directory and whose listing is the files of that
/// version, each with its size and tag; they are cut, fenced and built as Parquet. A table whose data files are of another
/// kind (Lance) brings a format for those beside such a store. That a table's log is read instead of its prefix is one or
/// two requests, counted by [`Store::list`](super::Store::list) like any others.
///
/// Nor does a format hear of hints: they make an observation come sooner ([`Observer::watch`](crate::Observer::watch)), and a
/// file is cut only when an observation has found it. Whatever came first, [`fragments`](Format::fragments) is asked once
/// for each version of a file, and reads it under the fence of that version.
///
/// ```
/// use lastword::external::{External, FileReader, Format, FormatError, RowRange};
///
/// /// Records of 100 bytes, ten thousand of which are read as one piece.
/// struct Records;
///
/// impl Format for Records {
///     fn fragments(&self, file: &dyn FileReader, _: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
///         if file.len() % 100 != 0 {
///             return Err(FormatError::Corrupt(format!("its {} bytes are no whole number of records", file.len())));
///         }
///         let rows = file.len() / 100;
///         let starts = (0..rows).step_by(10_000);
///         Ok(starts.map(|start| RowRange { start, end: rows.min(start + 10_000) }).collect())
///     }
/// }
///
/// let external = External::local().format("records", Records);
/// # let _ = external;
/// ```
pub trait Format: Send + Sync {
    /// The ranges of rows that are read as one piece, in ascending order, without gaps, from row 0 to the last row
    /// of the file. A file without rows has none. `columns` are the read keys, which the file has to have.
    ///
    /// # Errors
    /// When the file is not what the format says, or cannot be read. What is cut otherwise than that is not built.
    fn fragments(&self, file: &dyn FileReader, columns: Option<&[String]>) -> Result<Vec<RowRange>, FormatError>;

    /// The first row of every part of the file, counted as the format counts its parts, those without rows included: of
    /// a Parquet file, of every row group. In ascending order; without parts that have no rows it follows from the fragments.
    ///
    /// # Errors
    /// When the file is not what the format says, or cannot be read. Parts that hold other rows than the fragments are not
    /// read.
    fn parts(&self, file: &dyn FileReader) -> Result<Vec<u64>, FormatError> {
        self.fragments(file, None).map(|ranges| ranges.iter().map(|range| range.start).collect())
    }

    /// What the names of files of this format end in, behind a dot. A file whose name has another ending is left out, unless
    /// the spec has an `include`, or the last commit was built from it; one whose name has none may be of any format. By
    /// default every name will do.
    fn endings(&self) -> &[&'static str] {
        &[]
    }

    /// Whether the file is not one of this format that a writer is still writing, as far as can be told from a few bytes.
    /// It is asked of new files that changed a moment ago: one that is not finished is no data yet. By default every file
    /// is finished.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn is_finished(&self, file: &dyn FileReader) -> Result<bool, FormatError> {
        let _ = file;
        Ok(true)
    }
}

/// Why a file could not be cut. Does not name the file: the caller knows it.
#[derive(Debug)]
#[non_exhaustive]
pub enum FormatError {
    /// The file is not of this format at all. The text is a sentence of which the file is the subject, as `is not
    /// Parquet (no PAR1 at its start)`.
    Foreign(String),
    /// The file is not a whole file of its format.
    Corrupt(String),
    /// It is one, and uses something that is not supported.
    Unsupported(String),
    /// It has no column of this name.
    NoColumn(String),
    /// The format has cut it against its contract, see [`Format::fragments`]: a bug in the format.
    Cut(String),
    /// The format panicked, and this is what it said.
    Panicked(String),
    /// It could not be read.
    Store(StoreError),
}

impl From<StoreError> for FormatError {
    fn from(error: StoreError) -> FormatError {
        FormatError::Store(error)
    }
}

/// Asks a format, which is code of somebody else.
pub(super) fn ask<T>(call: impl FnOnce() -> Result<T, FormatError>) -> Result<T, FormatError> {
    unwind::catch(call).unwrap_or_else(|text| Err(FormatError::Panicked(text)))
}

/// What the names of files of the format end in, see [`Format::endings`].
pub(super) fn endings_of<'f>(format: &'f dyn Format, name: &str) -> Result<&'f [&'static str], StoreError> {
    let wrong = |text| format!("panicked when it was asked which endings its files have: {text}");
    unwind::catch(|| format.endings()).map_err(|text| StoreError::Format { name: name.to_owned(), said: wrong(text) })
}

impl FormatError {
    /// Nobody can tell whether a file is one that is still written: the error of a look, which names the file and the format.
    pub(super) fn unanswered(self, name: &str, path: &SourcePath) -> StoreError {
        let said = match self {
            FormatError::Panicked(text) => format!("panicked when it was asked whether {path} is finished: {text}"),
            other => format!("does not tell whether a file is finished: {path} {other}"),
        };
        StoreError::Format { name: name.to_owned(), said }
    }

    /// It is the format that is wrong, and not the file.
    pub(super) fn is_bug(&self) -> bool {
        matches!(self, FormatError::Cut(_) | FormatError::Panicked(_))
    }

    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            FormatError::Foreign(_)
            | FormatError::Corrupt(_)
            | FormatError::Unsupported(_)
            | FormatError::NoColumn(_) => ErrorKind::InvalidInput,
            FormatError::Cut(_) | FormatError::Panicked(_) => ErrorKind::Bug,
            FormatError::Store(error) => error.kind(),
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Foreign(problem) => f.write_str(problem),
            FormatError::Corrupt(problem) => write!(f, "is corrupt: {problem}"),
            FormatError::Unsupported(problem) => write!(f, "is not supported: {problem}"),
            FormatError::NoColumn(column) => write!(f, "has no column {column}"),
            FormatError::Cut(problem) => write!(f, "was cut wrongly, by a bug in its format: {problem}"),
            FormatError::Panicked(text) => write!(f, "was not cut, by a bug in its format, which panicked: {text}"),
            FormatError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FormatError::Store(error) => Some(error),
            _ => None,
        }
    }
}
