//! What a caller does about an error: one closed list for every error of the library, and the exit code of each.
//!
//! This is the lowest layer. It knows no error type: each of them says its own kind.
//!
//! # The convention of all error types
//!
//! * There is one type for each operation, its variants carry facts, and its `kind()` is one of [`ErrorKind`].
//! * The types are `#[non_exhaustive]` and grow. [`ErrorKind`] is not: a match on it that compiles is complete.
//! * `Display` is the whole text, with that of the error inside it. Print the outermost one, and not the chain.
//! * `source()` is the error inside, if one is held: for programs that want its type, not for printing.
//! * An error that wraps another one has the kind of the other, unless the place says more.

use std::fmt;

/// What a caller does about an error.
///
/// Kinds are told apart by what is to be done, and not by where they come from: an object that is missing and a frame
/// whose hash does not hold are both [`Damaged`](ErrorKind::Damaged). The list is closed: a new error finds its place in
/// it, and a match needs no `_`.
///
/// A name of a collection that is not there has no kind of its own. It is a command that the state contradicts
/// ([`Refused`](ErrorKind::Refused)), and the state says which names there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// What was given is not allowed or cannot be worked with: a setting, a field of a declaration, a batch, a file of
    /// a source. The same again fails again: change it.
    InvalidInput,
    /// The command contradicts the state, and changed nothing. Read the state and decide anew.
    Refused,
    /// At that path there is nothing, or something else than was asked for, or something where nothing may be. Give
    /// another path, or create what is missing.
    WrongPath,
    /// Something else uses it, changes it or fills it at this moment. Try again later.
    Busy,
    /// The operating system refused, or another system outside: no space, no permission, a device, a destination. If it
    /// does not pass by itself repair it, then try again. Nothing that was durable is lost.
    Io,
    /// What was asked has ended before, or has failed before and stopped. This call changed nothing. Open it again.
    Closed,
    /// Whether it was done is not known. Open the log again and ask again: the answer is then the true one.
    Unknown,
    /// What is stored is missing or is not what was written, or the storage engine cannot go on with it. Keep it as it
    /// is, and restore a backup.
    Damaged,
    /// It is whole, and in a version that this program does not know. Use the program that wrote it, or a newer one.
    TooNew,
    /// The log ends before its anchor: its last events are lost. Restore a backup, or find the rest.
    TailLost,
    /// What was asked for was deleted on purpose, by retention. Ask for something later.
    PrefixGone,
    /// Every byte is as it was written, and the events do not follow from each other, or not to the state that is noted.
    /// Either another program wrote them or this one has a bug: keep the log, and report it.
    Diverged,
    /// It did not happen in the time given. Wait longer, or give up.
    TimedOut,
    /// It was told to stop, and did. There is nothing to do.
    Stopped,
    /// The program contradicts itself, or code that it was given has panicked. Nothing wrong was committed. Report it.
    Bug,
}

impl ErrorKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [ErrorKind; 15] = [
        ErrorKind::InvalidInput,
        ErrorKind::Refused,
        ErrorKind::WrongPath,
        ErrorKind::Busy,
        ErrorKind::Io,
        ErrorKind::Closed,
        ErrorKind::Unknown,
        ErrorKind::Damaged,
        ErrorKind::TooNew,
        ErrorKind::TailLost,
        ErrorKind::PrefixGone,
        ErrorKind::Diverged,
        ErrorKind::TimedOut,
        ErrorKind::Stopped,
        ErrorKind::Bug,
    ];

    /// The exit code of `lastword` and `log-dump` when an error of this kind ends them:
    ///
    /// | code | meaning | kinds |
    /// |---|---|---|
    /// | 0 | ok | |
    /// | 1 | something is not as it should be | `Damaged`, `Unknown`, `TimedOut`, `Stopped`, `Bug` |
    /// | 2 | usage: the command line, the configuration or a name | `InvalidInput`, `Refused` |
    /// | 3 | cannot open: absent, forbidden, busy, I/O, deleted, closed | `WrongPath`, `Busy`, `Io`, `Closed`, `PrefixGone` |
    /// | 4 | the format is newer than the program | `TooNew` |
    /// | 5 | the log is shorter than its anchor | `TailLost` |
    /// | 6 | the replay diverges | `Diverged` |
    ///
    /// Scripts rely on these numbers, so they stay.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self.row().1
    }

    /// The name, in lower case and with underscores: for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The one table: name, exit code, wording.
    const fn row(self) -> (&'static str, u8, &'static str) {
        match self {
            ErrorKind::InvalidInput => ("invalid_input", 2, "what was given is not allowed"),
            ErrorKind::Refused => ("refused", 2, "the state does not allow this command"),
            ErrorKind::WrongPath => ("wrong_path", 3, "the path does not lead to what was asked for"),
            ErrorKind::Busy => ("busy", 3, "something else is using it"),
            ErrorKind::Io => ("io", 3, "the operating system, or another system outside, refused"),
            ErrorKind::Closed => ("closed", 3, "it was closed before"),
            ErrorKind::Unknown => ("unknown", 1, "it is not known whether it was done"),
            ErrorKind::Damaged => ("damaged", 1, "what is stored is damaged"),
            ErrorKind::TooNew => ("too_new", 4, "the format is newer than this program"),
            ErrorKind::TailLost => ("tail_lost", 5, "the log is shorter than its anchor"),
            ErrorKind::PrefixGone => ("prefix_gone", 3, "what was asked for was deleted"),
            ErrorKind::Diverged => ("diverged", 6, "the events do not follow from each other"),
            ErrorKind::TimedOut => ("timed_out", 1, "it did not happen in time"),
            ErrorKind::Stopped => ("stopped", 1, "it was told to stop"),
            ErrorKind::Bug => ("bug", 1, "this is a bug of the program"),
        }
    }
}

/// The kind in words: what the tools say where they name it.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}
