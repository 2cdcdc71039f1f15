//! How an attempt to build fails. It must not know the steps of an attempt.

use std::fmt;

use super::{Interrupted, Scan, StoreError};
use crate::error::ErrorKind;

/// How an attempt failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A file of what is wanted is gone or another one.
    Moved {
        /// Which one, for people.
        what: String,
        /// What the source is by now, if that could be found out.
        scan: Option<Box<Scan>>,
    },
    /// Whether the source is still what is wanted is in the content of files, and too much of it to be read in one look.
    Undecided(String),
    /// The work was told to stop.
    Interrupted,
    /// Trying again later may help.
    Transient(String),
    /// Trying again does not help until the source or the declaration changes.
    Permanent(String),
    /// The builder panicked, and this is what it said.
    Panicked(String),
}

impl From<Interrupted> for BuildError {
    fn from(_: Interrupted) -> BuildError {
        BuildError::Interrupted
    }
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> BuildError {
        of_store(&error)
    }
}

impl From<std::io::Error> for BuildError {
    /// An I/O error may pass.
    fn from(error: std::io::Error) -> BuildError {
        BuildError::Transient(error.to_string())
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for BuildError {
    /// What is known of no error may pass. One that is an error of this library stays what it is.
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> BuildError {
        let error = match error.downcast::<BuildError>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        if error.is::<Interrupted>() {
            return BuildError::Interrupted;
        }
        match error.downcast::<StoreError>() {
            Ok(error) => of_store(&error),
            Err(error) => BuildError::Transient(error.to_string()),
        }
    }
}

impl BuildError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            BuildError::Moved { .. } | BuildError::Undecided(_) => ErrorKind::Busy,
            BuildError::Interrupted => ErrorKind::Stopped,
            BuildError::Transient(_) => ErrorKind::Io,
            BuildError::Permanent(_) => ErrorKind::InvalidInput,
            BuildError::Panicked(_) => ErrorKind::Bug,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Moved { what, .. } => write!(f, "the source is not what is wanted any more: {what}"),
            BuildError::Interrupted => Interrupted.fmt(f),
            BuildError::Undecided(text) | BuildError::Transient(text) | BuildError::Permanent(text) => {
                f.write_str(text)
            }
            BuildError::Panicked(text) => write!(f, "the builder panicked: {text}"),
        }
    }
}

impl std::error::Error for BuildError {}

pub(super) fn of_store(error: &StoreError) -> BuildError {
    match error {
        StoreError::Interrupted => BuildError::Interrupted,
        StoreError::Unfinished { .. } => BuildError::Undecided(error.to_string()),
        error if error.is_transient() => BuildError::Transient(error.to_string()),
        error => BuildError::Permanent(error.to_string()),
    }
}
