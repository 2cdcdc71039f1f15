//! Why the files of a source cannot be said or read, and what that means for an attempt. It must not know who asks.

use std::fmt;

use super::{SourcePath, StoreError};
use crate::error::ErrorKind;
use crate::objects::ObjectError;
use crate::objects::tree::TreeError;
use crate::worker::Failure;

/// Why a worker cannot be told which files its source has, or what is in them. It becomes a [`Failure`] by `?`.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// No files were observed: the collection is unversioned, or its observer says a version and no files.
    NoFiles,
    /// This file is not among those that were observed.
    NotObserved {
        /// The file.
        path: SourcePath,
    },
    /// What was observed cannot be read back.
    Set(TreeError),
    /// The source or one of its files is not what was observed any more, or cannot be read.
    Store(StoreError),
}

impl SourceError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            SourceError::NoFiles | SourceError::NotObserved { .. } => ErrorKind::InvalidInput,
            SourceError::Set(error) => error.kind(),
            SourceError::Store(error) => error.kind(),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::NoFiles => {
                f.write_str("no files were observed: the collection has to be versioned, and its observer to name them")
            }
            SourceError::NotObserved { path } => write!(f, "{path} is not among the files that were observed"),
            SourceError::Set(error) => write!(f, "the files that were observed cannot be read back: {error}"),
            SourceError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::Set(error) => Some(error),
            SourceError::Store(error) => Some(error),
            SourceError::NoFiles | SourceError::NotObserved { .. } => None,
        }
    }
}

impl From<TreeError> for SourceError {
    fn from(error: TreeError) -> SourceError {
        SourceError::Set(error)
    }
}

impl From<StoreError> for SourceError {
    fn from(error: StoreError) -> SourceError {
        SourceError::Store(error)
    }
}

impl From<SourceError> for Failure {
    /// A file that is not what was observed has moved; what the disk refused may pass; the rest does not.
    fn from(error: SourceError) -> Failure {
        match error {
            SourceError::Store(error) => Failure::from(error),
            SourceError::Set(TreeError::Object(ObjectError::Io(..))) => Failure::Transient(error.to_string()),
            SourceError::NoFiles | SourceError::NotObserved { .. } | SourceError::Set(_) => {
                Failure::Permanent(error.to_string())
            }
        }
    }
}

impl From<StoreError> for Failure {
    /// A file that is not what was listed has moved; what may pass is tried again; the rest is not.
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Moved { .. } => Failure::moved(error),
            StoreError::Interrupted => Failure::Stopped,
            error if error.is_transient() => Failure::Transient(error.to_string()),
            error => Failure::Permanent(error.to_string()),
        }
    }
}
