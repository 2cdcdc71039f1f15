//! How an attempt to build fails. It must not know the steps of an attempt.

use std::fmt;

use super::{Interrupted, Scan, StoreError};
use crate::error::ErrorKind;

/// How an attempt failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The source is not what is wanted; this is what it is.
    Moved {
        /// What the scan found.
        scan: Box<Scan>,
    },
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

impl BuildError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            BuildError::Moved { .. } => ErrorKind::Busy,
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
            BuildError::Moved { .. } => write!(f, "the source is not what is wanted any more"),
            BuildError::Interrupted => Interrupted.fmt(f),
            BuildError::Transient(text) | BuildError::Permanent(text) => f.write_str(text),
            BuildError::Panicked(text) => write!(f, "the builder panicked: {text}"),
        }
    }
}

impl std::error::Error for BuildError {}

pub(super) fn of_store(error: &StoreError) -> BuildError {
    match error {
        StoreError::Interrupted => BuildError::Interrupted,
        error if error.is_transient() => BuildError::Transient(error.to_string()),
        error => BuildError::Permanent(error.to_string()),
    }
}
