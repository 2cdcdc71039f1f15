//! Why a stream could not be written, read or imported.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::codec::CodecError;
use crate::core::vocabulary::{ObjectHash, Seq};
use crate::describe::counted;
use crate::error::ErrorKind;
use crate::log::{FrameError, LogError, OpenError};
use crate::objects::ObjectError;
use crate::objects::tree::TreeError;

/// Why a stream could not be written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum EvlogError {
    /// The log that is to be written out could not be read.
    Log(LogError),
    /// An object that an event of the log names could not be read.
    Object {
        /// The event.
        seq: Seq,
        /// Why not.
        error: TreeError,
    },
    /// The stream could not be written.
    Output(io::Error),
    /// The stream could not be read.
    Input(io::Error),
    /// It does not begin like a stream.
    Magic {
        /// The first four bytes; zeros where there are fewer.
        found: [u8; 4],
    },
    /// Its header is damaged.
    Header,
    /// Written by a newer program.
    TooNew {
        /// Its version.
        version: u16,
    },
    /// It ends before its end block.
    Truncated {
        /// After so many bytes.
        offset: u64,
    },
    /// A block of a kind that does not exist.
    Tag {
        /// Where it begins.
        offset: u64,
        /// Its tag.
        found: [u8; 4],
    },
    /// A block is longer or shorter than its kind allows.
    Length {
        /// Where it begins.
        offset: u64,
        /// Its length.
        found: u32,
    },
    /// The bytes of an object are not the ones of that name.
    ObjectDamaged {
        /// Its name.
        name: ObjectHash,
    },
    /// An object is not part of a whole tree.
    Tree(TreeError),
    /// An object that no event of the next frame names.
    ObjectUnnamed {
        /// Its name.
        name: ObjectHash,
    },
    /// An event names an object that did not come before it.
    ObjectMissing {
        /// The event.
        seq: Seq,
        /// The object.
        name: ObjectHash,
    },
    /// A frame is damaged or does not continue the one before.
    Frame {
        /// The `Seq` at which it should begin.
        at: Seq,
        /// What is wrong.
        found: FrameError,
    },
    /// The stream begins behind a deleted prefix, and the checkpoint that stands for it is not in it.
    NoCheckpoint {
        /// The last deleted event.
        seq: Seq,
    },
    /// An event cannot be decoded, so it is not known which objects it names.
    Codec {
        /// The event.
        seq: Seq,
        /// Why not.
        error: CodecError,
    },
    /// The end block does not say what the stream holds.
    End,
    /// Bytes follow the end block.
    Trailing {
        /// Where they begin.
        offset: u64,
    },
}

impl EvlogError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        use EvlogError::*;
        match self {
            Log(error) => error.kind(),
            Object { error, .. } | Tree(error) => error.kind(),
            Output(_) | Input(_) => ErrorKind::Io,
            Frame { found, .. } => found.kind(),
            Codec { error, .. } => error.kind(),
            TooNew { .. } => ErrorKind::TooNew,
            Magic { .. } | Truncated { offset: 0 } => ErrorKind::WrongPath,
            Header | Truncated { .. } | Tag { .. } | Length { .. } | End | Trailing { .. } => ErrorKind::Damaged,
            ObjectDamaged { .. } | ObjectUnnamed { .. } | ObjectMissing { .. } | NoCheckpoint { .. } => {
                ErrorKind::Damaged
            }
        }
    }

    /// Whether nothing of a stream was there: an empty file, or one of another kind. That is no damage.
    #[must_use]
    pub fn is_no_stream(&self) -> bool {
        self.kind() == ErrorKind::WrongPath
    }

    /// Whether a newer program may be able to read this: it is whole, and not damaged.
    #[must_use]
    pub fn is_too_new(&self) -> bool {
        self.kind() == ErrorKind::TooNew
    }
}

impl fmt::Display for EvlogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use EvlogError::*;
        match self {
            Log(error) => error.fmt(f),
            Object { seq, error } => write!(f, "event {seq} names an object that cannot be read: {error}"),
            Output(error) => write!(f, "the stream cannot be written: {error}"),
            Input(error) => write!(f, "the stream cannot be read: {error}"),
            Magic { found } => write!(f, "not an exported log: it begins with {found:02x?} and not with LWEV"),
            Header => write!(f, "the header of the stream is damaged"),
            TooNew { version } => write!(f, "the stream has version {version}, newer than this program knows"),
            Truncated { offset } => write!(f, "the stream is cut short after {}", counted(*offset, "byte")),
            Tag { offset, found } => write!(f, "the block at byte {offset} has the unknown tag {found:02x?}"),
            Length { offset, found } => {
                write!(f, "the block at byte {offset} cannot have {}", counted(u64::from(*found), "byte"))
            }
            ObjectDamaged { name } => write!(f, "object {name} is damaged: its bytes do not have that hash"),
            Tree(error) => error.fmt(f),
            ObjectUnnamed { name } => write!(f, "object {name} is named by nothing that follows it"),
            ObjectMissing { seq, name } => write!(f, "event {seq} names object {name}, which is missing"),
            Frame { at, found } => write!(f, "the frame at event {at} is damaged: {found}"),
            Codec { seq, error } => write!(f, "event {seq}: {error}"),
            NoCheckpoint { seq } => write!(f, "what the events up to {seq} had led to is not in the stream"),
            End => write!(f, "the end block does not say what the stream holds"),
            Trailing { offset } => write!(f, "bytes follow the end of the stream at byte {offset}"),
        }
    }
}

impl std::error::Error for EvlogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EvlogError::Log(error) => Some(error),
            EvlogError::Object { error, .. } | EvlogError::Tree(error) => Some(error),
            EvlogError::Output(error) | EvlogError::Input(error) => Some(error),
            EvlogError::Frame { found, .. } => Some(found),
            EvlogError::Codec { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<TreeError> for EvlogError {
    fn from(error: TreeError) -> EvlogError {
        EvlogError::Tree(error)
    }
}

/// Why a stream could not be made a log. Nothing is left behind at the target.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// Something is at the target already.
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The stream is not whole.
    Stream(EvlogError),
    /// The new log could not be created.
    Open(OpenError),
    /// The new log could not be written.
    Log(LogError),
    /// Its objects could not be stored.
    Objects(ObjectError),
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

impl ImportError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ImportError::Exists { .. } => ErrorKind::WrongPath,
            ImportError::Stream(error) => error.kind(),
            ImportError::Open(error) => of_new_log(error.kind()),
            ImportError::Log(error) => of_new_log(error.kind()),
            ImportError::Objects(error) => error.kind(),
            ImportError::Io { .. } => ErrorKind::Io,
        }
    }
}

/// The kind of what a log says that was just created. Nothing in it was ever whole, so what looks like damage is a device
/// that did not take what was written.
fn of_new_log(found: ErrorKind) -> ErrorKind {
    if found == ErrorKind::Damaged { ErrorKind::Io } else { found }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Exists { path } => write!(f, "{} exists already", path.display()),
            ImportError::Stream(error) => error.fmt(f),
            ImportError::Open(error) => error.fmt(f),
            ImportError::Log(error) => error.fmt(f),
            ImportError::Objects(error) => error.fmt(f),
            ImportError::Io { doing, path, source } => write!(f, "{doing} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ImportError::Exists { .. } => None,
            ImportError::Stream(error) => Some(error),
            ImportError::Open(error) => Some(error),
            ImportError::Log(error) => Some(error),
            ImportError::Objects(error) => Some(error),
            ImportError::Io { source, .. } => Some(source),
        }
    }
}

impl From<EvlogError> for ImportError {
    fn from(error: EvlogError) -> ImportError {
        ImportError::Stream(error)
    }
}

impl From<LogError> for ImportError {
    fn from(error: LogError) -> ImportError {
        ImportError::Log(error)
    }
}

impl From<ObjectError> for ImportError {
    fn from(error: ObjectError) -> ImportError {
        ImportError::Objects(error)
    }
}
