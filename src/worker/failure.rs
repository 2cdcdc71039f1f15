//! How an attempt fails, as its worker says it.

use std::fmt;

use super::observer::Observation;
use crate::error::ErrorKind;

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Trying again later may help. Charged to the task.
    Transient(String),
    /// Trying again will not help: the task is parked.
    Permanent(String),
    /// The source changed while it was read. Not charged; what it holds now counts as an observation.
    SourceMoved(Option<Box<Observation>>),
    /// The attempt was told to stop, and did: what [`Context::check_stop`](super::Context::check_stop) returns.
    Stopped,
}

impl Failure {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Failure::Transient(_) => ErrorKind::Io,
            Failure::Permanent(_) => ErrorKind::InvalidInput,
            Failure::SourceMoved(_) => ErrorKind::Busy,
            Failure::Stopped => ErrorKind::Stopped,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Transient(message) | Failure::Permanent(message) => f.write_str(message),
            Failure::SourceMoved(_) => f.write_str("the source changed while it was read"),
            Failure::Stopped => f.write_str("the attempt was told to stop"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// An I/O error may pass.
    fn from(error: std::io::Error) -> Failure {
        Failure::Transient(error.to_string())
    }
}
