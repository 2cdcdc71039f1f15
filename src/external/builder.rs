//! What a user writes to have something built for each segment. It must not know how segments are planned or where
//! their manifest lies.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::format::ask;
use super::{
    BuildError, ExternalSpec, FileAddress, FileReader, Format, FormatError, Fragment, Interrupted, Manifest, PathSet,
    Segment, SegmentId, SegmentKey, SourceLocation, SourcePath, StopCheck, Store, StoreError,
};
use crate::core::vocabulary::{CollectionId, Name, Token};
use crate::worker::CommitView;

/// Builds segments: writes an index, a file, rows of a table for each.
///
/// What is made for a segment goes under the segment's id, which belongs to one attempt alone and is never given out
/// twice. So nothing is ever overwritten, and nothing that is not committed is in the way of what is.
pub trait SegmentBuilder: Send + Sync {
    /// Builds one segment. What comes back is kept with it: an opaque note of at most 4 KiB on where the result is.
    /// With [`External::parallel`](super::External::parallel) several are built at the same time.
    ///
    /// # Errors
    /// As the attempt is to fail. If the source changed meanwhile, that is reported in its place. A panic counts as a
    /// failure, and as nothing more.
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError>;

    /// Whether this builder reads the content of files. Then the library does so as well, right after it, while what was
    /// read is at hand: so that a later change of mode, owner or times alone is known to be no change of what was built.
    fn reads(&self) -> bool {
        true
    }

    /// Whether this builder can discard. Only then are the outputs of attempts without a commit kept, to be
    /// taken over by a later attempt or discarded.
    fn discards(&self) -> bool {
        false
    }

    /// Removes what is not wanted any more. Called at least once for everything that will never be live again, so
    /// what is gone already is no error.
    ///
    /// # Errors
    /// A message for people; it is tried again later.
    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        let _ = what;
        Ok(())
    }

    /// Whether this builder publishes commits. Without it the manifest is all that readers need.
    fn publishes(&self) -> bool {
        false
    }

    /// Makes the segments of a commit visible to readers, all at once. Called at least once for every commit, in their
    /// order; a destination that compares tokens refuses one with a lower token than it has seen.
    ///
    /// # Errors
    /// A message for people; it is tried again later.
    fn publish(&self, publication: &CommitView<'_>, manifest: &Manifest) -> Result<(), String> {
        let _ = manifest;
        Err(format!("the builder of {} says that it publishes, and cannot", publication.name))
    }

    /// Whether what was built for a segment is still there and whole.
    ///
    /// # Errors
    /// What is wrong with it, for people. Then it counts as not built.
    fn verify(&self, segment: &Segment) -> Result<(), String> {
        let _ = segment;
        Ok(())
    }
}

/// Builds nothing: the manifest itself is the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBuilder;

impl SegmentBuilder for NoBuilder {
    fn build(&self, _: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        Ok(None)
    }

    fn reads(&self) -> bool {
        false
    }
}

/// One segment to be built, and everything that is known about it.
pub struct SegmentJob<'a> {
    /// Its name.
    pub id: SegmentId,
    /// What it is built from.
    pub key: SegmentKey,
    /// How many rows it has.
    pub rows: u64,
    /// Its fragments, in ascending order.
    pub fragments: &'a [Fragment],
    /// The collection.
    pub collection: &'a Name,
    /// Where the files lie.
    pub source: &'a SourceLocation,
    /// How they are read and built: columns, params, recipe.
    pub spec: &'a ExternalSpec,
    pub(super) store: &'a dyn Store,
    pub(super) format: &'a dyn Format,
    /// The parts of the files that were asked for.
    pub(super) parts: Mutex<HashMap<SourcePath, Arc<[u64]>>>,
    pub(super) files: &'a PathSet,
    pub(super) stop_check: StopCheck<'a>,
    pub(super) tally: Tally<'a>,
}

/// The set of all files is left out: it may be long.
impl fmt::Debug for SegmentJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentJob")
            .field("id", &self.id)
            .field("key", &self.key)
            .field("rows", &self.rows)
            .field("fragments", &self.fragments)
            .field("collection", self.collection)
            .field("source", self.source)
            .field("spec", self.spec)
            .finish_non_exhaustive()
    }
}

impl SegmentJob<'_> {
    /// The fencing token of the attempt. Hand it to every destination that can compare tokens.
    #[must_use]
    pub fn token(&self) -> Token {
        self.id.token
    }

    /// Goes on, or returns that the work was told to stop: `job.check_stop()?` between steps. An attempt that does not
    /// stop within its grace is abandoned.
    ///
    /// # Errors
    /// When something newer is wanted, the attempt has timed out, the reconciler shuts down, or another segment of the
    /// same attempt has failed.
    pub fn check_stop(&self) -> Result<(), Interrupted> {
        (self.stop_check)()
    }

    /// Says how many rows of this segment are done. It is shown, not logged.
    pub fn progress(&self, rows: u64) {
        self.tally.reached(rows.min(self.rows));
    }

    /// Opens the file of one of the fragments, exactly as it was listed: every read fails with
    /// [`StoreError::Moved`] once the file has changed.
    ///
    /// # Errors
    /// When it changed since, or cannot be read.
    pub fn open(&self, fragment: &Fragment) -> Result<Box<dyn FileReader>, StoreError> {
        let path = &fragment.path;
        let file = self.files.get(path).ok_or_else(|| StoreError::Moved { path: path.clone() })?;
        self.store.open(self.source, path, &file.last_stat)
    }

    /// Where the file of one of the fragments lies and which content it had: what another process needs to fetch it, under
    /// the same fence.
    ///
    /// # Errors
    /// When it is no fragment of this job.
    pub fn address(&self, fragment: &Fragment) -> Result<FileAddress, StoreError> {
        let path = &fragment.path;
        let file = self.files.get(path).ok_or_else(|| StoreError::Moved { path: path.clone() })?;
        Ok(FileAddress::of(self.source, path, &file.last_stat))
    }

    /// Which part of its file a fragment is, counted from 0 as its format counts, parts without rows included: of a
    /// Parquet file, its row group. So a reader asks for this part, and not for the whole file. The file is asked once
    /// for all its fragments in this segment.
    ///
    /// # Errors
    /// When the file changed since it was listed, cannot be read, or has no part that holds the rows of the fragment and no
    /// others.
    pub fn part(&self, fragment: &Fragment) -> Result<usize, BuildError> {
        let path = &fragment.path;
        let known = self.parts.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        let starts = match known {
            Some(starts) => starts,
            None => {
                let file = self.open(fragment)?;
                let starts = ask(|| self.format.parts(&*file)).map_err(|error| self.of_format(path, error))?;
                let starts: Arc<[u64]> = starts.into();
                self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), Arc::clone(&starts));
                starts
            }
        };
        part_of(&starts, fragment).map_err(|problem| self.of_format(path, FormatError::Cut(problem)))
    }

    fn of_format(&self, path: &SourcePath, error: FormatError) -> BuildError {
        match error {
            FormatError::Store(error) => error.into(),
            error if error.is_bug() => BuildError::Permanent(format!("format {:?}: {path} {error}", self.spec.format)),
            error => BuildError::Permanent(format!("{path} {error}")),
        }
    }
}

/// Which of the parts that begin at `starts` holds the rows of a fragment: as many as it has, no more and no fewer.
fn part_of(starts: &[u64], fragment: &Fragment) -> Result<usize, String> {
    let Fragment { start, end, .. } = fragment;
    if !starts.is_sorted() {
        return Err("the rows at which its parts begin are not in ascending order".to_owned());
    }
    let behind = starts.partition_point(|at| at <= start);
    // Of several parts with one start, the last has the rows.
    let part = behind.checked_sub(1).filter(|part| starts.get(*part) == Some(start));
    let part = part.ok_or_else(|| format!("it has no part at row {start}, where rows to {end} begin"))?;
    match starts.get(behind) {
        Some(next) if next != end => Err(format!("part {part} has the rows {start} to {next}, and was cut to {end}")),
        _ => Ok(part),
    }
}

/// Counts the rows that are done, of one segment and of all.
pub(super) struct Tally<'a> {
    pub(super) here: AtomicU64,
    pub(super) all: &'a AtomicU64,
    pub(super) report: &'a (dyn Fn(u64) + Sync + 'a),
}

impl Tally<'_> {
    pub(super) fn reached(&self, rows: u64) {
        let before = self.here.fetch_max(rows, Ordering::Relaxed);
        if let Some(more) = rows.checked_sub(before) {
            (self.report)(self.all.fetch_add(more, Ordering::Relaxed).saturating_add(more));
        }
    }
}

/// What is to be removed from the destination.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Discard<'a> {
    /// The collection, by its incarnation.
    pub collection: CollectionId,
    /// The name that it has, or had.
    pub name: &'a Name,
    /// The collection was dropped: in the end nothing of it stays, and whatever the destination keeps of it beside its
    /// segments goes as well once `live` is empty.
    pub is_drop: bool,
    /// Everything that was made under these tokens, finished or not, goes ...
    pub tokens: &'a [Token],
    /// ... except what was made for these segments: they are live.
    pub live: &'a BTreeSet<SegmentId>,
    /// Segments that were live and are not any more. They go as well, whatever their tokens are.
    pub dropped: &'a [Segment],
}

impl Discard<'_> {
    /// Whether what was made for the segment of this id goes.
    #[must_use]
    pub fn covers(&self, id: SegmentId) -> bool {
        !self.live.contains(&id)
            && (self.tokens.contains(&id.token) || self.dropped.iter().any(|segment| segment.id == id))
    }
}
