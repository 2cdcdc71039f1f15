//! Immutable, content-addressed objects beside the log: path sets and manifests of every size.
//!
//! An object is durable before the event that names it; events carry only the root's hash and counts. This
//! module owns how objects are kept ([`FileObjects`], [`MemoryObjects`]) and how a sorted collection of entries
//! becomes objects that share what did not change ([`tree`]). It must not know what the entries mean.

mod files;
mod lent;
mod memory;
pub mod tree;

use std::fmt;
use std::io;
use std::path::Path;

use crate::core::vocabulary::ObjectHash;
use crate::error::ErrorKind;

pub use files::FileObjects;
pub(crate) use lent::Lent;
pub use memory::MemoryObjects;

/// The longest object that is stored or read, in bytes. The largest one that `tree` writes holds a single entry
/// with a value of 64 MiB; the rest is room for its key and header. Without a bound a file that grew by damage
/// would be read into memory whole before its hash is seen to be wrong.
pub const MAX_OBJECT_BYTES: usize = 65 << 20;

/// A store of immutable objects, each named by the BLAKE3 of its bytes.
pub trait Objects: Send + Sync {
    /// Stores all of `objects` and returns once every one of them is durable. Storing an object that is
    /// there already does nothing.
    ///
    /// # Errors
    /// When one could not be made durable; then none of the batch may be named by an event.
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError>;

    /// The bytes of one object, checked against its name.
    ///
    /// # Errors
    /// When it is missing, damaged or cannot be read.
    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError>;

    /// The names of all objects held, in ascending order.
    ///
    /// # Errors
    /// When the store cannot be listed.
    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError>;

    /// Removes one object. Removing one that is not there does nothing. Workers, observers and destinations are given
    /// stores that refuse it: only the engine knows what the log names, and it collects the rest.
    ///
    /// # Errors
    /// When it cannot be removed; [`ObjectError::NotRemoved`] where only the engine may.
    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError>;

    /// The directory of the log that they belong to; `None` if they belong to none, or lie in memory. It changes with
    /// every event, so no source may hold it.
    fn state_directory(&self) -> Option<&Path> {
        None
    }
}

/// Why an object could not be stored or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ObjectError {
    /// No object of that name is held.
    Missing(ObjectHash),
    /// The bytes held under that name are not the ones that were stored.
    Damaged(ObjectHash),
    /// It was to be removed by one who may not: only the engine removes objects, once nothing names them any more.
    NotRemoved(ObjectHash),
    /// The operating system refused; the text says what was tried, on which path.
    Io(String, io::Error),
}

impl ObjectError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ObjectError::Missing(_) | ObjectError::Damaged(_) => ErrorKind::Damaged,
            ObjectError::NotRemoved(_) => ErrorKind::Refused,
            ObjectError::Io(..) => ErrorKind::Io,
        }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectError::Missing(hash) => write!(f, "object {hash} is missing"),
            ObjectError::Damaged(hash) => write!(f, "object {hash} is damaged: its bytes do not have that hash"),
            ObjectError::NotRemoved(hash) => {
                write!(f, "object {hash} was not removed: only the engine removes objects")
            }
            ObjectError::Io(doing, source) => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for ObjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ObjectError::Io(_, source) => Some(source),
            ObjectError::Missing(_) | ObjectError::Damaged(_) | ObjectError::NotRemoved(_) => None,
        }
    }
}

/// The name of an object with these bytes.
#[must_use]
pub fn object_hash(bytes: &[u8]) -> ObjectHash {
    ObjectHash(*blake3::hash(bytes).as_bytes())
}

/// Refuses what no reader would accept back.
fn check_len(bytes: &[u8]) -> Result<(), ObjectError> {
    if bytes.len() <= MAX_OBJECT_BYTES {
        return Ok(());
    }
    let problem = format!("an object of {} bytes is longer than {MAX_OBJECT_BYTES}", bytes.len());
    Err(ObjectError::Io("store an object".to_owned(), io::Error::new(io::ErrorKind::InvalidInput, problem)))
}
