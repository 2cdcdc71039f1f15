//! One scan of a source, which lists it and judges every file, and how the set that it found is stored.
//!
//! It must not know what follows from a set: whether a version is new, wanted or refused is decided elsewhere.

use std::fmt;
use std::time::Duration;

use super::content::{PartialHash, hash_file, hash_unknown};
use super::judge::{Earlier, judge};
use super::path_set::Difference;
use super::version::wait_for;
use super::{PathSet, SourceLocation, StopCheck, Store, StoreError, never_interrupted};
use crate::core::vocabulary::{Missing, ObjectHash, Timestamp};
use crate::objects::Objects;
use crate::objects::tree::{self, TreeError};

/// What a scan is told.
pub struct ScanRequest<'a> {
    /// Where the files lie.
    pub store: &'a dyn Store,
    /// What is listed.
    pub source: &'a SourceLocation,
    /// The set that is compared with: what the last accepted observation found. An attempt compares with what is
    /// wanted, so that it comes to the same version if nothing has changed.
    pub known: Option<&'a PathSet>,
    /// What the last commit was built from: a content that returns has its version again.
    pub applied: Option<&'a PathSet>,
    /// The wall clock when the scan begins.
    pub now: Timestamp,
    /// How many bytes may be read to hash the content of files before anything asks for it.
    pub hash_budget: u64,
    /// Asked between steps whether to go on.
    pub stop_check: StopCheck<'a>,
}

impl<'a> ScanRequest<'a> {
    /// A scan that knows nothing of the past, hashes nothing ahead and is not interrupted.
    #[must_use]
    pub fn new(store: &'a dyn Store, source: &'a SourceLocation, now: Timestamp) -> ScanRequest<'a> {
        let stop_check = &never_interrupted;
        ScanRequest { store, source, known: None, applied: None, now, hash_budget: 0, stop_check }
    }
}

/// Sets of files are left out: they may be long.
impl fmt::Debug for ScanRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanRequest")
            .field("source", self.source)
            .field("now", &self.now)
            .field("hash_budget", &self.hash_budget)
            .finish_non_exhaustive()
    }
}

/// What one scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The observed version: the digest of the set.
    pub version: [u8; 32],
    /// The files.
    pub set: PathSet,
    /// How many files are not proven; see [`PathSet::racy`].
    pub racy: u64,
    /// When the next of those can be, by another scan.
    pub observe_again: Option<Duration>,
    /// What of the applied set is not there, and what came in its place; `None` without one.
    pub missing: Option<Missing>,
}

/// Scans a source. `judge.rs` says how each file is judged.
///
/// # Errors
/// When it could not be listed as a whole. What is unknown is never reported as unchanged or empty.
pub fn scan(request: &ScanRequest<'_>) -> Result<Scan, StoreError> {
    scan_resuming(request, &mut None)
}

/// A scan that goes on hashing where the last one stopped.
pub(super) fn scan_resuming<'a>(
    request: &ScanRequest<'a>,
    partial: &mut Option<PartialHash>,
) -> Result<Scan, StoreError> {
    let listing = request.store.list(request.source, request.stop_check)?;
    let mut files = Vec::with_capacity(listing.len());
    let mut first = Vec::new();
    for (path, listed) in listing {
        let file_in = |set: Option<&'a PathSet>| set.and_then(|set| set.get(&path));
        let earlier = Earlier { known: file_in(request.known), applied: file_in(request.applied) };
        let hash = &mut || hash_file((request.store, request.source), &path, &listed, request.stop_check);
        let file = judge(listed, earlier, request.now, hash)?;
        if earlier.known.is_some_and(|known| known.version != file.version && file.content.is_none()) {
            first.push(files.len());
        }
        files.push((path, file));
    }
    let mut set = PathSet::new(files);
    hash_unknown((request.store, request.source), &mut set, &first, partial, request.hash_budget, request.stop_check)?;
    Ok(Scan {
        version: set.digest(),
        racy: set.racy(),
        observe_again: set.next_aged(request.now).map(wait_for),
        missing: request.applied.map(|applied| set.missing(applied)),
        set,
    })
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
    /// How it differs from the set before.
    pub difference: Difference,
}

/// Stores a path set and compares it with an earlier one. One changed file of ten thousand writes a few small
/// objects. Without an earlier set every file counts as added.
///
/// # Errors
/// When the set cannot be made durable.
pub fn store_set(objects: &dyn Objects, set: &PathSet, previous: Option<&PathSet>) -> Result<StoredSet, TreeError> {
    let root = tree::build(objects, set.entries())?;
    let difference = previous
        .map(|previous| set.difference(previous))
        .unwrap_or(Difference { added: root.entries, ..Difference::default() });
    Ok(StoredSet { root: root.hash, files: root.entries, bytes: set.bytes(), difference })
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
