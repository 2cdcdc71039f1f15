//! How a command can end, and which exit code says so.
//!
//! The code of an error of the library is that of its kind, and the text is its own.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::Path;

use lastword::evlog::EvlogError;
use lastword::{Error, ErrorKind};

/// An exit code that scripts rely on. Most of 2, usage, is given by the parser of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

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
        Failure::new(Exit::CANNOT_OPEN, format_args!("{doing} {}: {error}", path.display()))
    }

    /// An error of writing to stdout.
    pub(crate) fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::new(Exit::CANNOT_OPEN, format_args!("writing the output: {error}")),
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
            _ => Failure::new(Exit::of(error.kind()), error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io;
    use std::path::PathBuf;

    use lastword::codec::{CodecError, Tag};
    use lastword::core::vocabulary::{FieldError, Rejection, Seq};
    use lastword::engine::{CommandError, EngineError, WatchError};
    use lastword::log::{LogError, OpenError};
    use lastword::objects::{ObjectError, object_hash};
    use lastword::replay::ReplayError;
    use lastword::snapshot::TakeError;

    use super::*;

    /// One error of every kind, with the code that scripts rely on.
    fn table() -> Vec<(u8, Error)> {
        let path = || PathBuf::from("state");
        vec![
            (1, ObjectError::Missing(object_hash(b"")).into()),
            (1, CommandError::Unknown("power".to_owned()).into()),
            (1, WatchError::TimedOut.into()),
            (1, TakeError::Stopped.into()),
            (1, EngineError::Panicked("none".to_owned()).into()),
            (2, FieldError::new("name", "none").into()),
            (2, CommandError::Refused(Rejection::NotDue).into()),
            (3, OpenError::Absent { path: path() }.into()),
            (3, OpenError::Busy { path: path(), holder: None }.into()),
            (
                3,
                ReplayError::Object { seq: Seq(1), error: ObjectError::Io("x".into(), io::Error::other("y")).into() }
                    .into(),
            ),
            (3, CommandError::NotAccepted("shut down".to_owned()).into()),
            (3, ReplayError::Log(LogError::PrefixGone { begins: Seq(9) }).into()),
            (
                4,
                ReplayError::Codec { seq: Seq(1), error: CodecError::Unknown(Tag { event_type: 79, version: 1 }) }
                    .into(),
            ),
            (5, OpenError::ShorterThanAnchor { anchor: Seq(2), found: Seq(1) }.into()),
            (6, ReplayError::Snapshot { seq: Seq(1) }.into()),
        ]
    }

    #[test]
    fn every_kind_has_its_exit_code_and_its_text() {
        let mut kinds = BTreeSet::new();
        for (code, error) in table() {
            let (kind, text) = (error.kind(), error.to_string());
            let failure = Failure::from(error);
            assert!(
                matches!(&failure, Failure::Error(exit, said) if (exit.0, said) == (code, &text)),
                "{kind:?}: {failure:?}"
            );
            kinds.insert(kind);
        }
        assert_eq!(kinds, BTreeSet::from(ErrorKind::ALL));
        assert_eq!((Exit::DEFECT, Exit::USAGE, Exit::CANNOT_OPEN), (Exit(1), Exit(2), Exit(3)));
    }

    #[test]
    fn an_output_that_was_closed_is_no_failure() {
        let closed = EvlogError::Output(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(Failure::from(closed), Failure::OutputClosed));
        let full = Failure::from(EvlogError::Output(io::ErrorKind::StorageFull.into()));
        assert!(matches!(&full, Failure::Error(Exit(3), said) if said.starts_with("writing the output: ")), "{full:?}");
    }
}
