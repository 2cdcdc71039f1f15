//! Where files lie. `LocalStore` is the first; object stores come behind the same trait. A store must not know what its
//! files are read for.

use std::fmt;
use std::io;
use std::path::Path;

use super::{FieldError, Mounts, Scheme, SourceLocation, SourcePath, Stat, StopCheck};
use crate::error::ErrorKind;
use crate::worker::{Skipped, TrafficCounter};

/// Most files of one source, and most directories. A path set of a million files takes about 100 MB in memory, and a
/// listing twice that; a source with more is more likely a mistake (`/home`) than a collection.
pub const MAX_FILES: usize = 1_000_000;

/// How deep directories may lie within each other, counted from the source.
pub const MAX_DEPTH: usize = 64;

/// Longest path relative to the source, in bytes: what Linux accepts in one call.
pub const MAX_PATH_BYTES: usize = 4096;

/// A place where files lie: it lists, says what `stat` says of a file, and reads byte ranges. Synchronous: calls
/// come from threads of the pool.
pub trait Store: Send + Sync {
    /// All data files of a source with what `stat` says of them, in ascending order of their paths, and what else is known of
    /// them. Every regular file is data, whatever its extension, but for what the source's rules leave out: see
    /// [`settings`](crate::settings#what-is-data). A store that says nothing of mounts tells none from another.
    ///
    /// What is sent over a wire is counted in `traffic`, while it is, and also if the listing fails. A store that counts
    /// nothing sends nothing that anybody pays for. It may serve several who ask at the same time with one listing, but none
    /// of them with one that began before he asked.
    ///
    /// # Errors
    /// When anything could not be listed: a listing is whole or it is an error, never a part and never empty
    /// because something was unreadable.
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<Listed, StoreError>;

    /// What `stat` says of one file now.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it is no data file of the source any more; others when it cannot be told.
    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError>;

    /// Opens one file as it was listed.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it is gone or `stat` says something else; others when it cannot be read.
    fn open(
        &self,
        source: &SourceLocation,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError>;

    /// Whether sources of this kind lie where the store reads. Asked when a collection is declared; nothing is reached for it.
    ///
    /// # Errors
    /// What is wrong with the field `source`, and what is allowed.
    fn serves(&self, source: &SourceLocation) -> Result<(), FieldError> {
        let _ = source;
        Ok(())
    }

    /// The directory of the local file system where the source lies, to be watched; `None` if it lies elsewhere.
    fn directory<'s>(&self, source: &'s SourceLocation) -> Option<&'s Path> {
        let _ = source;
        None
    }
}

/// What a store lists.
pub type Listing = Vec<(SourcePath, Stat)>;

/// A listing, and what else is known of it.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The files.
    pub files: Listing,
    /// The mounts that they lie on.
    pub mounts: Mounts,
    /// What is not among them.
    pub left_out: LeftOut,
}

/// With nothing known beside the files.
impl From<Listing> for Listed {
    fn from(files: Listing) -> Listed {
        Listed { files, ..Listed::default() }
    }
}

/// What a listing left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many files and directories, by the reason.
    pub skipped: Skipped,
    /// Links that lead nowhere, not counted above: whether one counts as left out depends on what was there.
    pub dead_links: Vec<SourcePath>,
}

/// One opened file. It may be read from several threads at the same time, and given away.
pub trait FileReader: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly `length` bytes from `start` on, of the content that was opened.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when the file changed since it was opened; others when it cannot be read.
    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError>;
}

/// Why a store could not answer. `what` is a path, already fit to be shown.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The source does not exist.
    Missing {
        /// The source.
        what: String,
    },
    /// The source exists and is not a directory.
    NotADirectory {
        /// The source.
        what: String,
    },
    /// The source does not lie where this store reads.
    NotServed {
        /// The source.
        what: String,
        /// What the store reads.
        by: &'static str,
    },
    /// The source leads to a device or to what the kernel shows as files.
    Device {
        /// Where it leads.
        what: String,
    },
    /// The source holds the state directory, or lies in it.
    HoldsState {
        /// Where the walk met it.
        what: String,
        /// The state directory.
        state: String,
    },
    /// The source is, holds, or is a part of a table of a format that says by a log which of its files count.
    Table {
        /// The directory of the table.
        what: String,
        /// The format.
        format: &'static str,
        /// What it is recognised by, relative to the source.
        mark: SourcePath,
    },
    /// Something cannot be listed or read.
    Unreadable {
        /// The file or directory.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Files came and went while the source was listed, as often as it was tried.
    Unsettled {
        /// What vanished last.
        what: String,
        /// How often it was tried.
        tries: u32,
    },
    /// A file is not the one that was listed any more.
    Moved {
        /// The file.
        path: SourcePath,
    },
    /// What decides is in the content of files, and one look may not read so much. The next one goes on.
    Unfinished {
        /// The first of them.
        path: SourcePath,
        /// How many there are beside it.
        others: u64,
    },
    /// The source is beyond a limit.
    Limit {
        /// Where it was met.
        what: String,
        /// What there is too much of, with the limit.
        limit: String,
    },
    /// A format did not answer what it was asked of its files: a bug in the format.
    Format {
        /// The format, as specs name it.
        name: String,
        /// What it did instead: a sentence of which the format is the subject.
        said: String,
    },
    /// The work was told to stop.
    Interrupted,
}

impl StoreError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Missing { .. }
            | StoreError::NotADirectory { .. }
            | StoreError::NotServed { .. }
            | StoreError::Device { .. }
            | StoreError::HoldsState { .. } => ErrorKind::WrongPath,
            StoreError::Unreadable { .. } => ErrorKind::Io,
            StoreError::Unsettled { .. } | StoreError::Moved { .. } | StoreError::Unfinished { .. } => ErrorKind::Busy,
            StoreError::Limit { .. } | StoreError::Table { .. } => ErrorKind::InvalidInput,
            StoreError::Format { .. } => ErrorKind::Bug,
            StoreError::Interrupted => ErrorKind::Stopped,
        }
    }

    /// Whether trying again later can help without a change of the declaration. What is beyond a limit or is no
    /// directory stays so until a person acts.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Missing { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Unsettled { .. }
            | StoreError::Moved { .. }
            | StoreError::Unfinished { .. }
            | StoreError::Interrupted => true,
            StoreError::NotADirectory { .. }
            | StoreError::NotServed { .. }
            | StoreError::Device { .. }
            | StoreError::HoldsState { .. }
            | StoreError::Table { .. }
            | StoreError::Limit { .. }
            | StoreError::Format { .. } => false,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Missing { what }
                if Scheme::ALL.iter().any(|scheme| what.starts_with(&format!("{scheme}://"))) =>
            {
                write!(
                    f,
                    "{what} does not exist: there is no such bucket, or its endpoint is another one or lacks a path, as of \
                 Azurite the account"
                )
            }
            StoreError::Missing { what } => write!(f, "{what} does not exist"),
            StoreError::NotADirectory { what } => write!(f, "{what} is not a directory"),
            StoreError::NotServed { what, by } => write!(f, "{what} cannot be reached: this program reads {by} only"),
            StoreError::Device { what } => {
                write!(f, "{what} is not a place for data: /dev, /proc and /sys are refused")
            }
            StoreError::HoldsState { what, state } => {
                write!(f, "{what} leads into the state directory {state}, which changes with every observation")
            }
            StoreError::Table { what, format, mark } => write!(
                f,
                "{what} is a table of {format} (it has {mark}): files of it can be deleted or replaced and still be \
                 there. Export it to plain files; or exclude {mark} to take every file for data"
            ),
            StoreError::Unreadable { what, source } => write!(f, "{what} cannot be read: {source}"),
            StoreError::Unsettled { what, tries } => {
                write!(f, "files vanished while they were listed, {tries} times in a row, last {what}")
            }
            StoreError::Moved { path } => write!(f, "{path} changed after it was listed"),
            StoreError::Unfinished { path, others } => {
                let others = match others {
                    0 => String::new(),
                    1 => " and one more".to_owned(),
                    others => format!(" and {others} more"),
                };
                write!(f, "the content of {path}{others} is not read yet, which alone tells whether it has changed")
            }
            StoreError::Limit { what, limit } => write!(f, "{what} is beyond a limit: {limit}"),
            StoreError::Format { name, said } => write!(f, "format {name:?} {said}"),
            StoreError::Interrupted => super::Interrupted.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<super::Interrupted> for StoreError {
    fn from(_: super::Interrupted) -> StoreError {
        StoreError::Interrupted
    }
}
