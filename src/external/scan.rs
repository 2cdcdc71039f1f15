//! One scan of a source, which lists it and judges every file, and how the set that it found is stored.
//!
//! It must not know what follows from a set: whether a version is new, wanted or refused is decided elsewhere.

use std::fmt;
use std::io;
use std::time::Duration;

use super::content::{PartialHash, hash_file, hash_unknown};
use super::judge::{Earlier, judge};
use super::path_set::Difference;
use super::version::wait_for;
use super::{
    Format, FormatError, LeftOut, PathSet, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError,
    never_interrupted,
};
use crate::core::vocabulary::{ObjectHash, Timestamp};
use crate::objects::Objects;
use crate::objects::tree::{self, TreeError};
use crate::worker::{SkipReason, Skipped};

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
    /// What says whether a file is finished; without it every file is.
    pub format: Option<&'a dyn Format>,
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
        ScanRequest { store, source, known: None, applied: None, format: None, now, hash_budget: 0, stop_check }
    }
}

/// What a file is, and not what it is called, leaves it out only if the last commit was not built from it: otherwise it
/// would pass for a file that was removed. One that had bytes when it was observed last is being rewritten.
impl ScanRequest<'_> {
    fn no_data_yet(&self, path: &SourcePath, listed: &Stat) -> Option<SkipReason> {
        let is_in = |set: Option<&PathSet>| set.is_some_and(|set| set.get(path).is_some());
        if is_in(self.applied) {
            return None;
        }
        if listed.size == 0 {
            return (!is_in(self.known)).then_some(SkipReason::Empty);
        }
        let format = self.format.filter(|_| listed.mtime.is_young(self.now))?;
        let opened = self.store.open(self.source, path, listed).map_err(FormatError::Store);
        match opened.and_then(|file| format.is_finished(file.as_ref())) {
            Ok(false) | Err(FormatError::Store(StoreError::Moved { .. })) => Some(SkipReason::Unfinished),
            // What cannot be read is for the attempt to name.
            Ok(true) | Err(_) => None,
        }
    }

    /// Whether the last commit was built from what a link led to that leads nowhere now: what is unknown is not removed.
    fn check_dead_link(&self, link: &SourcePath) -> Result<(), StoreError> {
        let below = [&link.0[..], b"/"].concat();
        let is_behind = |path: &SourcePath| path == link || path.0.starts_with(&below);
        match self.applied.is_some_and(|applied| applied.files().iter().any(|(path, _)| is_behind(path))) {
            true => Err(StoreError::Unreadable {
                what: link.to_string(),
                source: io::Error::new(
                    io::ErrorKind::NotFound,
                    "the link leads nowhere, and what it led to is applied",
                ),
            }),
            false => Ok(()),
        }
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
    /// How many files are not proven, see [`PathSet::racy`], or not finished.
    pub racy: u64,
    /// When the next of those can be, by another scan.
    pub observe_again: Option<Duration>,
    /// How many files of the applied set are not there; `None` without one.
    pub missing: Option<u64>,
    /// What was left out.
    pub skipped: Skipped,
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
    let mut left_out = LeftOut::default();
    let listing = request.store.list_and_tell(request.source, &mut left_out, request.stop_check)?;
    let LeftOut { mut skipped, dead_links } = left_out;
    for link in dead_links {
        request.check_dead_link(&link)?;
        skipped.add(SkipReason::DeadLink);
    }
    let (mut in_the_making, mut finished_in) = (0, None);
    let mut files = Vec::with_capacity(listing.len());
    let mut first = Vec::new();
    for (path, listed) in listing {
        if let Some(reason) = request.no_data_yet(&path, &listed) {
            skipped.add(reason);
            // Also one without bytes, a moment ago.
            if let Some(span) = listed.mtime.young_for(request.now) {
                in_the_making += 1;
                finished_in = finished_in.into_iter().chain([span]).min();
            }
            continue;
        }
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
        racy: set.racy() + in_the_making,
        observe_again: set.next_aged(request.now).into_iter().chain(finished_in).min().map(wait_for),
        missing: request.applied.map(|applied| set.difference(applied).removed),
        skipped,
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
