//! How a command can end, and which exit code says so.

use std::fmt;
use std::io;
use std::path::Path;

use lastword::codec::CodecError;
use lastword::evlog::{EvlogError, ImportError};
use lastword::log::{LogError, OpenError};
use lastword::objects::ObjectError;
use lastword::objects::tree::TreeError;
use lastword::replay::ReplayError;

/// The exit codes that scripts rely on. Most of 2, usage, is given by the parser of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something is damaged or missing, or two logs part.
    Defect = 1,
    /// What was asked for does not exist in this log.
    Usage = 2,
    CannotOpen = 3,
    TooNew = 4,
    ShorterThanAnchor = 5,
    Diverged = 6,
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something is wrong; the text says what.
    Error(Exit, String),
    /// The output is not read any more, which is no error: `| head`.
    OutputClosed,
}

impl Failure {
    pub(crate) fn new(exit: Exit, problem: impl fmt::Display) -> Failure {
        Failure::Error(exit, problem.to_string())
    }

    /// An error of the operating system about `path`.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::new(Exit::CannotOpen, format_args!("{doing} {}: {error}", path.display()))
    }

    /// An error of writing to stdout.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::new(Exit::CannotOpen, format_args!("writing the output: {error}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let exit = if error.is_too_new() {
            Exit::TooNew
        } else if error.is_shorter_than_anchor() {
            Exit::ShorterThanAnchor
        } else if error.is_defect() {
            Exit::Defect
        } else {
            Exit::CannotOpen
        };
        Failure::new(exit, error)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        Failure::new(exit_of_log(&error), error)
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Failure {
        let exit = match &error {
            ReplayError::Log(error) => exit_of_log(error),
            ReplayError::Codec { error: CodecError::Unknown(_), .. } => Exit::TooNew,
            ReplayError::Codec { error: CodecError::Payload { .. }, .. } | ReplayError::Checkpoint { .. } => {
                Exit::Defect
            }
            ReplayError::Illegal(_) | ReplayError::Violation { .. } | ReplayError::Snapshot { .. } => Exit::Diverged,
            ReplayError::Object { error, .. } => exit_of_tree(error),
        };
        Failure::new(exit, error)
    }
}

impl From<EvlogError> for Failure {
    fn from(error: EvlogError) -> Failure {
        if let EvlogError::Output(error) = &error {
            return Failure::output(error);
        }
        let exit = match &error {
            EvlogError::Log(error) => exit_of_log(error),
            EvlogError::Input(_) | EvlogError::Output(_) => Exit::CannotOpen,
            EvlogError::Object { error, .. } => exit_of_tree(error),
            _ if error.is_too_new() => Exit::TooNew,
            _ if error.is_no_stream() => Exit::CannotOpen,
            _ => Exit::Defect,
        };
        Failure::new(exit, error)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Failure {
        match error {
            ImportError::Stream(error) => error.into(),
            error => Failure::new(Exit::CannotOpen, error),
        }
    }
}

fn exit_of_log(error: &LogError) -> Exit {
    match error {
        LogError::Damaged { found, .. } | LogError::Refused(found) if found.is_too_new() => Exit::TooNew,
        LogError::Damaged { .. } | LogError::Refused(_) | LogError::Storage(_) | LogError::Poisoned(_) => Exit::Defect,
        // What was asked for is not there any more, which is no defect.
        LogError::PrefixGone { .. } | LogError::Io { .. } => Exit::CannotOpen,
    }
}

fn exit_of_tree(error: &TreeError) -> Exit {
    match error {
        TreeError::Object(ObjectError::Io(..)) => Exit::CannotOpen,
        TreeError::Object(ObjectError::Missing(_) | ObjectError::Damaged(_))
        | TreeError::Malformed { .. }
        | TreeError::Unsorted
        | TreeError::TooLong { .. } => Exit::Defect,
    }
}
