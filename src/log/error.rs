//! Why a log could not be read or written, and why one on disk could not be opened.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{AnchorError, FrameError, FrameHash};
use crate::core::vocabulary::Seq;
use crate::error::ErrorKind;
use crate::held::{Replaced, Replacement, with_path};

/// Why a log could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// An earlier append or barrier failed; the text says which and why.
    Poisoned(String),
    /// The frame offered does not continue the log. Nothing was written and the log is not poisoned.
    Refused(FrameError),
    /// This event was deleted on purpose.
    PrefixGone {
        /// The first that is there.
        begins: Seq,
    },
    /// What is stored at this place is not a whole frame, or not the one that the chain continues with.
    Damaged {
        /// The `Seq` at which the damaged frame begins or should begin.
        at: Seq,
        /// What was found there.
        found: FrameError,
    },
    /// The path of the log leads to something else than what is held open: nothing more is acknowledged, and nothing is
    /// written for the path. What was acknowledged before is where the directory was moved to, if it still exists.
    Replaced(Replaced),
    /// The storage engine reported an error or panicked; the text is its own.
    Storage(String),
    /// The operating system refused.
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl LogError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            LogError::Poisoned(_) => ErrorKind::Closed,
            LogError::Refused(found) | LogError::Damaged { found, .. } => found.kind(),
            LogError::PrefixGone { .. } => ErrorKind::PrefixGone,
            LogError::Replaced(what) => what.kind(),
            // The storage engine tells damage by panicking, and in texts that no program can tell from others.
            LogError::Storage(_) => ErrorKind::Damaged,
            LogError::Io { .. } => ErrorKind::Io,
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Poisoned(why) => write!(f, "the log is closed for writing after an earlier failure: {why}"),
            LogError::Refused(why) => write!(f, "a frame that does not continue the log was offered: {why}"),
            LogError::PrefixGone { begins } => {
                write!(f, "the log begins with event {begins}; earlier ones were deleted")
            }
            LogError::Damaged { at, found } if found.is_too_new() => {
                write!(f, "the frame at event {at} is from a newer program: {found}")
            }
            LogError::Damaged { at, found } => write!(f, "the frame at event {at} is damaged: {found}"),
            LogError::Replaced(what) => write!(f, "{what}: {NOT_ACKNOWLEDGED}; {}", where_it_is(what)),
            LogError::Storage(text) => write!(f, "the storage engine failed: {text}"),
            LogError::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LogError::Io { source, .. } => Some(source),
            LogError::Refused(found) | LogError::Damaged { found, .. } => Some(found),
            LogError::Replaced(what) => Some(what),
            LogError::Poisoned(_) | LogError::PrefixGone { .. } | LogError::Storage(_) => None,
        }
    }
}

const NOT_ACKNOWLEDGED: &str = "nothing more is acknowledged here";

/// What is known of where the acknowledged is.
fn where_it_is(replaced: &Replaced) -> &'static str {
    match replaced.found {
        Replacement::Rewritten => "its content is not what this process wrote last, and who wrote it is not known",
        Replacement::Nothing | Replacement::Another => {
            "what was acknowledged is where it was moved to, if it was not removed or overwritten"
        }
    }
}

/// Why a log on disk could not be opened. None of these has changed or dropped a frame.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no log at this path, and none was to be created.
    Absent {
        /// The directory of the log.
        path: PathBuf,
    },
    /// The directory holds something, and it is not a log.
    NotALog {
        /// The directory.
        path: PathBuf,
        /// The name of something found in it.
        found: String,
    },
    /// The path is a symbolic link, or goes through one, that leads to nothing: that is what a file system looks like that
    /// is not mounted.
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// One of the log's own files is something else: a symbolic link, or a directory where a file belongs.
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// The log belongs to another user of this machine: what was written into it could not be opened by its owner.
    ForeignOwner {
        /// The directory of the log.
        path: PathBuf,
        /// The number of the user that it belongs to.
        owner: u32,
        /// The number of the user that this process runs as.
        user: u32,
    },
    /// Another process, or another log of this one, has it open for writing.
    Busy {
        /// The lock that is held.
        path: PathBuf,
        /// The process that holds it, if that can be seen; it may be this one.
        holder: Option<u32>,
    },
    /// The log changed under every attempt to copy it.
    Moving {
        /// How many attempts were made.
        tries: u32,
        /// What was wrong with the last copy.
        last: Box<OpenError>,
    },
    /// `HEAD` is missing, damaged or newer, so it is not known where the log has to end.
    Anchor {
        /// The path of `HEAD`.
        path: PathBuf,
        /// What is wrong.
        found: AnchorError,
    },
    /// A file of the log is missing. The storage engine was not allowed near its place.
    FileMissing {
        /// The file.
        path: PathBuf,
    },
    /// A file of the log is shorter than `HEAD` says. The storage engine was not allowed near it.
    FileShorterThanAnchor {
        /// The file.
        path: PathBuf,
        /// The bytes it had, if `HEAD` knows.
        expected: u64,
        /// The bytes it has.
        found: u64,
    },
    /// The log ends before `HEAD`: events that were durable are gone.
    ShorterThanAnchor {
        /// The last event by `HEAD`.
        anchor: Seq,
        /// The last event found.
        found: Seq,
    },
    /// The log was closed in order and now goes on behind that end: this `HEAD` belongs to an older log.
    LongerThanAnchor {
        /// The last event by `HEAD`.
        anchor: Seq,
        /// The last event found.
        found: Seq,
    },
    /// The frame at the `Seq` that `HEAD` names is another one: log and `HEAD` do not belong together.
    OtherThanAnchor {
        /// The last event by `HEAD`.
        seq: Seq,
        /// The hash of its frame by `HEAD`.
        expected: FrameHash,
        /// The hash of the frame found.
        found: FrameHash,
    },
    /// A frame is damaged. It was not dropped, and neither was anything behind it.
    Damaged {
        /// The `Seq` at which it begins or should begin.
        at: Seq,
        /// What was found there.
        found: FrameError,
    },
    /// A whole frame that only a newer program can read.
    TooNew {
        /// The `Seq` at which it begins.
        at: Seq,
        /// What is new about it.
        found: FrameError,
    },
    /// No space is left, even after the ballast file, which is kept for this, was given up. The storage engine
    /// writes when it opens, so some space has to be made first.
    Full {
        /// The directory of the log.
        path: PathBuf,
        /// What the storage engine said.
        text: String,
    },
    /// What was asked for was deleted on purpose.
    PrefixGone {
        /// The first event that is there.
        begins: Seq,
    },
    /// An earlier append or barrier failed; the text says which and why.
    Poisoned(String),
    /// A frame was offered that does not continue the log. Nothing was written.
    Refused(FrameError),
    /// The path came to lead to something else while the log was opened.
    Replaced(Replaced),
    /// The storage engine reported an error or panicked; the text is its own.
    Storage(String),
    /// The operating system refused.
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl OpenError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        use OpenError::*;
        match self {
            Absent { .. }
            | NotALog { .. }
            | DanglingLink { .. }
            | WrongKind { .. }
            | Replaced(_)
            | ForeignOwner { .. } => ErrorKind::WrongPath,
            Busy { .. } | Moving { .. } => ErrorKind::Busy,
            Anchor { found, .. } => found.kind(),
            FileMissing { .. } | FileShorterThanAnchor { .. } | ShorterThanAnchor { .. } => ErrorKind::TailLost,
            LongerThanAnchor { .. } | OtherThanAnchor { .. } | Damaged { .. } | Storage(_) => ErrorKind::Damaged,
            TooNew { .. } => ErrorKind::TooNew,
            PrefixGone { .. } => ErrorKind::PrefixGone,
            Poisoned(_) => ErrorKind::Closed,
            Refused(found) => found.kind(),
            Full { .. } | Io { .. } => ErrorKind::Io,
        }
    }

    /// Whether a newer program may be able to open it.
    #[must_use]
    pub fn is_too_new(&self) -> bool {
        self.kind() == ErrorKind::TooNew
    }

    /// Whether the log lost its end, seen from `HEAD`.
    #[must_use]
    pub fn is_shorter_than_anchor(&self) -> bool {
        self.kind() == ErrorKind::TailLost
    }

    /// Whether this is a defect of what is stored, in contrast to circumstances that may pass.
    #[must_use]
    pub fn is_defect(&self) -> bool {
        matches!(self.kind(), ErrorKind::Damaged | ErrorKind::TooNew | ErrorKind::TailLost)
    }

    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        move |source| OpenError::Io { doing, path: path.to_owned(), source }
    }

    /// The same, with what lies at `from` told as at `to`.
    pub(super) fn with_path(mut self, from: &Path, to: &Path) -> OpenError {
        use OpenError::*;
        match &mut self {
            Absent { path }
            | NotALog { path, .. }
            | DanglingLink { path, .. }
            | WrongKind { path, .. }
            | ForeignOwner { path, .. }
            | Busy { path, .. }
            | Anchor { path, .. }
            | FileMissing { path }
            | FileShorterThanAnchor { path, .. }
            | Io { path, .. } => replace(path, from, to),
            Full { path, text } => {
                replace(path, from, to);
                *text = with_path(text, from, to);
            }
            Replaced(what) => replace(&mut what.path, from, to),
            Storage(text) | Poisoned(text) => *text = with_path(text, from, to),
            Moving { last, .. } => {
                let inner = std::mem::replace(last.as_mut(), Storage(String::new()));
                **last = inner.with_path(from, to);
            }
            ShorterThanAnchor { .. }
            | LongerThanAnchor { .. }
            | OtherThanAnchor { .. }
            | Damaged { .. }
            | TooNew { .. }
            | PrefixGone { .. }
            | Refused(_) => {}
        }
        self
    }
}

fn replace(path: &mut PathBuf, from: &Path, to: &Path) {
    if let Ok(rest) = path.strip_prefix(from) {
        *path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
    }
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Damaged { at, found } if found.is_too_new() => OpenError::TooNew { at, found },
            LogError::Damaged { at, found } => OpenError::Damaged { at, found },
            LogError::Io { doing, path, source } => OpenError::Io { doing, path, source },
            LogError::Storage(text) => OpenError::Storage(text),
            LogError::Poisoned(why) => OpenError::Poisoned(why),
            LogError::Refused(found) => OpenError::Refused(found),
            LogError::PrefixGone { begins } => OpenError::PrefixGone { begins },
            LogError::Replaced(what) => OpenError::Replaced(what),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use OpenError::*;
        match self {
            Absent { path } => write!(f, "{}: there is no log", path.display()),
            NotALog { path, found } if found == LOST_AND_FOUND => write!(
                f,
                "{}: not a log, it holds {found}, which belongs to the file system that is mounted here: use a directory \
                 below it",
                path.display()
            ),
            NotALog { path, found } => write!(f, "{}: not a log, it holds {found}", path.display()),
            DanglingLink { path, target } => {
                let (path, target) = (path.display(), target.display());
                write!(f, "{path} is a link to {target}, which does not exist")
            }
            WrongKind { path, expected } => write!(f, "{} is not {expected}", path.display()),
            ForeignOwner { path, owner, user } => write!(
                f,
                "{}: the log belongs to the user with the number {owner}, and this is {user}: what was written here \
                 could not be opened by its owner; run this as that user",
                path.display()
            ),
            Busy { path, holder: Some(pid) } if *pid == std::process::id() => write!(
                f,
                "{}: this process has the log open already: another writer in it, or a watch of one that has ended and was \
                 not dropped",
                path.display()
            ),
            Busy { path, holder: Some(pid) } => {
                write!(f, "{}: another writer has the log open: process {pid}", path.display())
            }
            Busy { path, holder: None } => write!(f, "{}: another writer has the log open", path.display()),
            Moving { tries, last } => write!(f, "the log changed under {tries} attempts to copy it; last: {last}"),
            Anchor { path, found } => write!(f, "{}: {found}", path.display()),
            FileMissing { path } => write!(f, "{} is missing", path.display()),
            FileShorterThanAnchor { path, expected, found } => {
                let bytes = if *found == 1 { "byte" } else { "bytes" };
                write!(f, "{} has {found} {bytes} and had at least {expected}", path.display())
            }
            ShorterThanAnchor { anchor, found } => {
                write!(f, "the log ends at event {found}, but it had reached {anchor}: events are lost")
            }
            LongerThanAnchor { anchor, found } => {
                write!(f, "the log was closed at event {anchor} and goes on to {found}: HEAD is of an older log")
            }
            OtherThanAnchor { seq, expected, found } => {
                write!(f, "the frame at event {seq} is {found}, but HEAD knows it as {expected}")
            }
            Damaged { at, found } => write!(f, "the frame at event {at} is damaged: {found}"),
            TooNew { at, found } => write!(f, "the frame at event {at} is from a newer program: {found}"),
            Full { path, text } => write!(
                f,
                "{}: the disk is full, and there is no ballast file to give up; make some space: {text}",
                path.display()
            ),
            PrefixGone { begins } => write!(f, "the log begins with event {begins}; earlier ones were deleted"),
            Poisoned(why) => write!(f, "the log is closed for writing after an earlier failure: {why}"),
            Refused(why) => write!(f, "a frame that does not continue the log was offered: {why}"),
            Replaced(what) => write!(f, "{what}"),
            Storage(text) => write!(f, "the storage engine failed: {text}"),
            Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
        }
    }
}

/// What ext4 has at its root.
const LOST_AND_FOUND: &str = "lost+found";

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io { source, .. } => Some(source),
            OpenError::Damaged { found, .. } | OpenError::TooNew { found, .. } => Some(found),
            OpenError::Refused(found) => Some(found),
            OpenError::Replaced(what) => Some(what),
            OpenError::Anchor { found, .. } => Some(found),
            OpenError::Moving { last, .. } => Some(last.as_ref()),
            _ => None,
        }
    }
}
