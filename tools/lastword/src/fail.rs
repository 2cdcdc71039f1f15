//! Ends other than a good one: an exit code that scripts know, and a sentence for people.
//!
//! Both come from the library: the code of an error is that of its kind, and the sentence is its own.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use lastword::describe::{advised, way_on};
use lastword::{Error, ErrorKind};

use crate::console::quoted;

/// Something is not as it should be: a collection is not fresh, a stored thing is damaged.
pub(crate) const DEFECT: u8 = ErrorKind::Damaged.exit_code();
/// The command line, the configuration or a name in them is wrong. The same code as clap's.
pub(crate) const USAGE: u8 = ErrorKind::InvalidInput.exit_code();
/// The log or a file cannot be opened: absent, forbidden, busy, I/O.
pub(crate) const CANNOT_OPEN: u8 = ErrorKind::Io.exit_code();

/// Why the program ends, and with which code.
#[derive(Clone, Debug)]
pub struct Fail {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// That of the error of the library, if it is one.
    pub(crate) kind: Option<ErrorKind>,
}

impl Fail {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Fail {
        Fail { code, message: message.into(), kind: None }
    }

    /// An error of the operating system about what is named.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Fail {
        Fail::new(CANNOT_OPEN, format!("{what}: {}", advised(error)))
    }
}

impl Fail {
    /// Of what `log-dump`'s code does.
    pub(crate) fn of_log_dump(failure: log_dump::Failure) -> Fail {
        let (code, text) = failure.told();
        Fail::new(code, text)
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
        let kind = error.kind();
        Fail { kind: Some(kind), ..Fail::new(kind.exit_code(), advised(&error)) }
    }
}

/// What the person at the command line named: the configuration, or the directory of a log.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// Remembers what the person named, for advice that names it again.
pub(crate) fn remember_named(path: &Path) {
    let _ = NAMED.set(path.to_owned());
}

/// An error of opening a log. Of one that is damaged it says what can be done, and what that costs; of one that this user
/// may not open whose it is.
pub(crate) fn unopened(error: impl Into<Error>, state: &Path) -> Fail {
    let error = error.into();
    let kind = error.kind();
    let fail = Fail::from(error);
    match kind {
        ErrorKind::Damaged | ErrorKind::TailLost => {
            let file =
                NAMED.get().filter(|named| named.is_file()).map_or_else(|| "FILE".to_owned(), |file| quoted(file));
            let way_on = way_on(state, &quoted(state), &file);
            Fail::new(fail.code, format!("{}: {}; {way_on}", state.display(), fail.message))
        }
        ErrorKind::Io => fail.of_owner(state),
        _ => fail,
    }
}

impl Fail {
    /// Says of a log that is another user's whose it is.
    pub(crate) fn of_owner(self, state: &Path) -> Fail {
        let user = rustix::process::geteuid().as_raw();
        match std::fs::metadata(state).map(|found| found.uid()) {
            Ok(owner) if owner != user && user != 0 => {
                let whose = format!("the log belongs to the user with the number {owner}, and this is {user}");
                Fail::new(self.code, format!("{}; {whose}: run this as that user", self.message))
            }
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use lastword::core::vocabulary::Seq;
    use lastword::log::OpenError;

    use super::*;

    /// Which kind has which code is the library's table, and tested there.
    #[test]
    fn an_error_of_the_library_keeps_its_code_and_its_text() {
        let absent = || OpenError::Absent { path: PathBuf::from("state") };
        let short = || OpenError::ShorterThanAnchor { anchor: Seq(2), found: Seq(1) };
        for error in [Error::from(absent()), Error::from(short())] {
            let (kind, text) = (error.kind(), error.to_string());
            let fail = Fail::from(error);
            assert_eq!((fail.code, fail.message), (kind.exit_code(), text));
        }
        assert_eq!((DEFECT, USAGE, CANNOT_OPEN), (1, 2, 3));
    }
}
