//! A sorted collection of entries (key bytes -> value bytes) as a tree of objects.
//!
//! Where one object ends and the next begins is decided by the hash of a key and by nothing else that could
//! know how the tree came to be. So the same entries always give the same root, whatever was there before,
//! and a changed entry of ten thousand rewrites its leaf and the few nodes above it: the rest is shared. (The
//! road not taken, a B-tree, depends on the order of insertion: equal sets would have different names.)
//!
//! This module owns the layout of the objects ([`layout`](self) below) and knows nothing of what entries mean.
//!
//! # Layout of an object (all numbers little-endian)
//!
//! ```text
//! header   "LWOB"  u16 version = 1  u8 kind (1 leaf, 2 node)  u8 level (0 for a leaf)  u32 count
//! leaf     count times:  u32 key length  u32 value length  key  value
//! node     count times:  u32 key length  key (the first below the child)  32 bytes child  u64 entries below it
//! ```
//!
//! Nothing follows the last one. Keys are strictly ascending through the whole tree. Children of a node of level
//! n have level n - 1. Only a tree without entries has an object with count 0: one leaf.
//!
//! # Where an object ends
//!
//! Items (entries in leaves, children in nodes) are filled in order. At level `l`, after the item with key `k`
//! the object ends if the first two bytes of `BLAKE3(l as one byte, k)`, as a little-endian number, are divisible
//! by 64, and, in a node, if it has at least two children. It also ends before an item that would make its items
//! longer than 32 KiB, if it has one item (leaf) or two (node) already. The level is hashed along because the first
//! key of an object is also the first key of its parent: without it, a boundary below would be one above as well.

mod build;
mod diff;
mod edit;
mod gather;
mod layout;
mod read;

use std::fmt;

use crate::core::vocabulary::ObjectHash;
use crate::error::ErrorKind;
use crate::objects::ObjectError;

pub use build::{TreeWriter, build};
pub use diff::{Change, Diff, diff};
pub use edit::edit;
pub use gather::Gathering;
pub(crate) use read::children;
pub use read::{Entries, Take, Visit, entry_count, get, reachable, read, verify, visit, walk};

/// The longest key, in bytes. A path of the deepest directory that is listed fits.
pub const MAX_KEY_BYTES: usize = 64 << 10;

/// The longest value, in bytes: a segment with 100,000 fragments takes about 10 MB.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// One entry: key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The name of a whole tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The topmost object.
    pub hash: ObjectHash,
    /// How many entries the tree holds.
    pub entries: u64,
}

/// Why a tree could not be written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeError {
    /// The store of objects failed.
    Object(ObjectError),
    /// The object has the right hash and is not what a tree is made of.
    Malformed {
        /// The object.
        hash: ObjectHash,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The entries offered are not in strictly ascending order of their keys.
    Unsorted,
    /// A key or a value is too long.
    TooLong {
        /// Which: `key` or `value`.
        what: &'static str,
        /// Its length in bytes.
        found: usize,
        /// The most that is allowed, in bytes.
        allowed: usize,
    },
}

impl From<ObjectError> for TreeError {
    fn from(error: ObjectError) -> TreeError {
        TreeError::Object(error)
    }
}

impl TreeError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            TreeError::Object(error) => error.kind(),
            TreeError::Malformed { .. } => ErrorKind::Damaged,
            TreeError::Unsorted | TreeError::TooLong { .. } => ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::Object(error) => error.fmt(f),
            TreeError::Malformed { hash, problem } => write!(f, "object {hash} is not part of a tree: {problem}"),
            TreeError::Unsorted => write!(f, "the entries are not in strictly ascending order"),
            TreeError::TooLong { what, found, allowed } => {
                write!(f, "a {what} of {found} bytes is longer than the {allowed} that are allowed")
            }
        }
    }
}

impl std::error::Error for TreeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TreeError::Object(error) => Some(error),
            _ => None,
        }
    }
}
