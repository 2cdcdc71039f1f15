//! One look at a source, and how what was seen is stored.

use super::{Checkpoint, PathSet, Source, Store, StoreError};
use crate::core::vocabulary::ObjectHash;
use crate::objects::Objects;
use crate::objects::tree::{self, Change, TreeError};

/// What one look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The observed version: the digest of the set.
    pub version: [u8; 32],
    /// The files.
    pub set: PathSet,
}

/// Looks at a source.
///
/// # Errors
/// When it could not be listed as a whole. What is unknown is never reported as unchanged or empty.
pub fn look(store: &dyn Store, source: &Source, checkpoint: Checkpoint<'_>) -> Result<Look, StoreError> {
    let set = store.list(source, checkpoint)?;
    Ok(Look { version: set.digest(), set })
}

/// A path set that is durable, and how it differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredSet {
    /// The tree of the set.
    pub root: ObjectHash,
    /// How many files it has.
    pub files: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// How many files the set before did not have.
    pub added: u64,
    /// How many files only the set before had.
    pub removed: u64,
    /// How many files both have in different versions.
    pub changed: u64,
}

/// Stores a path set and compares it with an earlier one. One changed file of ten thousand writes a few small
/// objects. Without an earlier set every file counts as added.
///
/// # Errors
/// When the set cannot be made durable, or the earlier one cannot be read.
pub fn store_set(objects: &dyn Objects, set: &PathSet, previous: Option<ObjectHash>) -> Result<StoredSet, TreeError> {
    let root = tree::build(objects, set.entries())?;
    let mut stored =
        StoredSet { root: root.hash, files: root.entries, bytes: set.bytes(), added: 0, removed: 0, changed: 0 };
    let Some(previous) = previous else {
        stored.added = stored.files;
        return Ok(stored);
    };
    for change in tree::diff(objects, previous, root.hash) {
        match change? {
            Change::Added { .. } => stored.added += 1,
            Change::Removed { .. } => stored.removed += 1,
            Change::Changed { .. } => stored.changed += 1,
        }
    }
    Ok(stored)
}

/// Reads a path set back.
///
/// # Errors
/// When an object is missing or damaged, or the tree is not one of a path set.
pub fn load_set(objects: &dyn Objects, root: ObjectHash) -> Result<PathSet, TreeError> {
    let malformed = |problem| TreeError::Malformed { hash: root, problem };
    tree::read(objects, root)
        .map(|entry| PathSet::from_entry(entry?).map_err(malformed))
        .collect::<Result<Vec<_>, _>>()
        .map(PathSet::new)
}
