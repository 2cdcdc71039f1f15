//! How a command can end, and which exit code says so.
//!
//! The code of an error of the library is that of its kind, and the text is its own.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::Path;

use lastword::describe::advised;
use lastword::evlog::EvlogError;
use lastword::{Error, ErrorKind};

/// An exit code that scripts rely on. Most of 2, usage, is given by the parser of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Something is damaged or missing, or two logs part.
    pub(crate) const DEFECT: Exit = Exit::of(ErrorKind::Damaged);
    /// What was asked for does not exist in this log.
    pub(crate) const USAGE: Exit = Exit::of(ErrorKind::InvalidInput);
    /// Absent, no log, forbidden, I/O.
    pub(crate) const CANNOT_OPEN: Exit = Exit::of(ErrorKind::Io);

    pub(crate) const fn of(kind: ErrorKind) -> Exit {
        Exit(kind.exit_code())
    }
}

/// Why a command did not come to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Something is wrong; the text says what.
    Error(Exit, String),
    /// The output is not read any more, which is no error: `| head`.
    OutputClosed,
}

impl Failure {
    /// The exit code that says so, and the text for people, which is empty if nobody is to be told.
    #[must_use]
    pub fn told(self) -> (u8, String) {
        match self {
            Failure::Error(exit, problem) => (exit.0, problem),
            Failure::OutputClosed => (0, String::new()),
        }
    }

    pub(crate) fn new(exit: Exit, problem: impl fmt::Display) -> Failure {
        Failure::Error(exit, problem.to_string())
    }

    /// An error of the operating system about `path`.
    pub(crate) fn io(doing: &str, path: &Path, error: &io::Error) -> Failure {
        Failure::new(Exit::CANNOT_OPEN, format_args!("{doing} {}: {}", path.display(), advised(error)))
    }

    /// An error of writing to stdout.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            // Of an output that does not block, and no limit.
            io::ErrorKind::WouldBlock => Failure::new(Exit::CANNOT_OPEN, format_args!("writing the output: {error}")),
            _ => Failure::new(Exit::CANNOT_OPEN, format_args!("writing the output: {}", advised(error))),
        }
    }
}

/// Any error of the library.
impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let error = error.into();
        // A stream that is written goes to stdout, unless its writer says otherwise.
        match error.source().and_then(|error| error.downcast_ref()) {
            Some(EvlogError::Output(error)) => Failure::output(error),
            _ => Failure::new(Exit::of(error.kind()), advised(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lastword::log::OpenError;

    use super::*;

    /// Which kind has which code is the library's table, and tested there.
    #[test]
    fn an_error_of_the_library_keeps_its_code_and_its_text() {
        let absent = || Error::from(OpenError::Absent { path: PathBuf::from("state") });
        let (code, text) = (absent().kind().exit_code(), absent().to_string());
        let failure = Failure::from(absent());
        assert!(matches!(&failure, Failure::Error(exit, said) if (exit.0, said) == (code, &text)), "{failure:?}");
        assert_eq!((Exit::DEFECT, Exit::USAGE, Exit::CANNOT_OPEN), (Exit(1), Exit(2), Exit(3)));
    }

    #[test]
    fn an_output_that_was_closed_is_no_failure() {
        let closed = EvlogError::Output(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(Failure::from(closed), Failure::OutputClosed));
        let full = Failure::from(EvlogError::Output(io::ErrorKind::StorageFull.into()));
        assert!(matches!(&full, Failure::Error(Exit(3), said) if said.starts_with("writing the output: ")), "{full:?}");
        let busy = Failure::output(&io::Error::from_raw_os_error(11));
        assert!(matches!(&busy, Failure::Error(Exit(3), said) if !said.contains("ulimit")), "{busy:?}");
    }
}
