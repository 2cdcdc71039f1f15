//! Ends other than a good one: an exit code that scripts know, and a sentence for people.
//!
//! Both come from the library: the code of an error is that of its kind, and the sentence is its own.

use std::fmt;

use lastword::{Error, ErrorKind};

/// Something is not as it should be: a collection is not fresh, a stored thing is damaged.
pub(crate) const DEFECT: u8 = ErrorKind::Damaged.exit_code();
/// The command line, the configuration or a name in them is wrong. The same code as clap's.
pub(crate) const USAGE: u8 = ErrorKind::InvalidInput.exit_code();
/// The log or a file cannot be opened: absent, forbidden, busy, I/O.
pub(crate) const CANNOT_OPEN: u8 = ErrorKind::Io.exit_code();

/// Why the program ends, and with which code.
#[derive(Debug)]
pub struct Fail {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Fail {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Fail {
        Fail { code, message: message.into() }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fail {}

/// Any error of the library.
impl<E: Into<Error>> From<E> for Fail {
    fn from(error: E) -> Fail {
        let error = error.into();
        Fail::new(error.kind().exit_code(), error.to_string())
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
            let fail = Fail::from(error);
            assert_eq!((fail.code, fail.message), (code, text), "{kind:?}");
            kinds.insert(kind);
        }
        assert_eq!(kinds, BTreeSet::from(ErrorKind::ALL));
        assert_eq!((DEFECT, USAGE, CANNOT_OPEN), (1, 2, 3));
    }
}
