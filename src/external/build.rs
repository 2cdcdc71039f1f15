//! The step that one attempt runs: observe, cut, plan, build, observe again, write the manifest.
//!
//! The result is handed out only if both observations were the wanted version. What happens to it then, and whether
//! it is still wanted, is the reducer's to decide.

use std::fmt;

use super::segments::MAX_OUTPUT_BYTES;
use super::{
    Checkpoint, ExternalSpec, Format, FormatError, FragmentCache, FragmentError, Instant, Interrupted, Layout, Look,
    Looking, Manifest, ManifestError, NewSegment, PathSet, Plan, Segment, SegmentId, SegmentKey, Source, Store,
    StoreError, check, fragments_of, look, plan,
};
use crate::core::vocabulary::{Name, ObjectHash, Timestamp, Token};
use crate::objects::tree::TreeError;
use crate::objects::{ObjectError, Objects};

/// A corrupt file that was modified within this many microseconds may still be in the making: five seconds is longer
/// than a writer pauses between opening a file and writing its footer in one go, and short enough that a file that
/// stays corrupt is reported at the next attempt.
const YOUNG_MICROS: i64 = 5_000_000;

/// What one attempt is to build, and with what.
pub struct Build<'a> {
    /// The collection's name, for what is reported on the way.
    pub collection: &'a Name,
    /// Where the files lie.
    pub store: &'a dyn Store,
    /// How they are cut.
    pub format: &'a dyn Format,
    /// Where manifests are kept.
    pub objects: &'a dyn Objects,
    /// What is built from.
    pub source: &'a Source,
    /// How it is read, laid out and built.
    pub spec: &'a ExternalSpec,
    /// The wanted version: the digest of the path set.
    pub wanted: [u8; 32],
    /// The wanted set: a source that did not change has its version only in comparison with it.
    pub known: Option<&'a PathSet>,
    /// The set that the last commit was built from: what returns to it has its versions again.
    pub applied: Option<&'a PathSet>,
    /// The manifest of the last commit, if there was one. If it is missing or damaged, everything is built anew.
    pub previous: Option<ObjectHash>,
    /// The token of this attempt: new segments are named by it.
    pub token: Token,
    /// Builds each new segment; [`NoBuilder`] where nothing is built.
    pub builder: &'a dyn SegmentBuilder,
    /// Asked between steps whether to go on.
    pub checkpoint: Checkpoint<'a>,
    /// Told how far the work is.
    pub progress: &'a dyn Fn(Progress),
    /// Wall time, to tell a young file from an old one.
    pub now: &'a dyn Fn() -> Timestamp,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Files whose fragments are known.
    Files {
        /// So many.
        done: usize,
        /// Of so many.
        of: usize,
    },
    /// New segments that are built.
    Segments {
        /// So many.
        done: usize,
        /// Of so many.
        of: usize,
    },
}

/// Builds one segment: writes an index, a file, rows of a table.
pub trait SegmentBuilder {
    /// Builds `segment` under the name `id`, which belongs to this attempt alone. What comes back is kept with the
    /// segment: an opaque note of at most 4 KiB on where the result is.
    ///
    /// # Errors
    /// As the attempt is to fail. If the source changed meanwhile, that is reported in its place.
    fn build(
        &self,
        id: SegmentId,
        segment: &NewSegment,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Option<Vec<u8>>, BuildError>;
}

/// Builds nothing: the manifest itself is the result.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBuilder;

impl SegmentBuilder for NoBuilder {
    fn build(&self, _: SegmentId, _: &NewSegment, _: Checkpoint<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        Ok(None)
    }
}

/// What an attempt made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The new manifest, durable.
    pub manifest: ObjectHash,
    /// Segments that stayed.
    pub kept: u64,
    /// Segments that were built.
    pub new: u64,
    /// Segments that went.
    pub dropped: u64,
    /// Rows of all segments of the new manifest.
    pub rows: u64,
}

/// How an attempt failed.
#[derive(Debug)]
pub enum BuildError {
    /// The source is not what is wanted; this is what it is.
    Moved {
        /// What was seen.
        look: Look,
    },
    /// The work was told to stop.
    Interrupted,
    /// Trying again later may help.
    Transient(String),
    /// Trying again does not help until the source or the declaration changes.
    Permanent(String),
}

/// A failed attempt, and what its builder had made by then: outputs that can never become live.
#[derive(Debug)]
pub struct BuildFailed {
    /// How it failed.
    pub error: BuildError,
    /// The outputs that were made, by segment.
    pub outputs: Vec<(SegmentId, Vec<u8>)>,
}

/// Runs one attempt.
///
/// # Errors
/// See [`BuildError`]. Nothing that an error leaves behind is visible: objects that no event names are garbage.
pub fn build(attempt: &Build<'_>) -> Result<Outcome, BuildFailed> {
    let mut built = Vec::new();
    run(attempt, &mut built).map_err(|error| BuildFailed {
        error: attempt.explain(error),
        outputs: built.into_iter().filter_map(|segment: Segment| Some((segment.id, segment.output?))).collect(),
    })
}

fn run(attempt: &Build<'_>, built: &mut Vec<Segment>) -> Result<Outcome, BuildError> {
    let seen = attempt.observe(attempt.known)?;
    let plan = attempt.plan(&seen)?;
    let of = plan.new.len();
    for (at, segment) in plan.new.into_iter().enumerate() {
        (attempt.checkpoint)()?;
        built.push(attempt.build_one(at, segment)?);
        (attempt.progress)(Progress::Segments { done: at + 1, of });
    }
    attempt.observe(Some(&seen.set))?;
    (attempt.checkpoint)()?;

    let (kept, new, dropped) = (plan.kept.len(), built.len(), plan.dropped.len());
    let mut segments = plan.kept;
    segments.extend(built.iter().cloned());
    segments.sort_unstable_by_key(|segment| segment.id);
    check(&segments).map_err(|problem| BuildError::Permanent(format!("the plan is wrong, a bug: {problem}")))?;
    let manifest = Manifest { layout: Layout::of(attempt.spec), segments };
    let root = manifest.write(attempt.objects).map_err(|error| of_tree(&error))?;
    Ok(Outcome {
        manifest: root.hash,
        kept: kept as u64,
        new: new as u64,
        dropped: dropped as u64,
        rows: manifest.rows(),
    })
}

impl Build<'_> {
    /// Looks, and is content only with what is wanted.
    fn observe(&self, known: Option<&PathSet>) -> Result<Look, BuildError> {
        let look = look(&Looking {
            store: self.store,
            source: self.source,
            known,
            applied: self.applied,
            now: (self.now)(),
            learning: 0,
            checkpoint: self.checkpoint,
        })
        .map_err(|error| of_store(&error))?;
        if look.version == self.wanted { Ok(look) } else { Err(BuildError::Moved { look }) }
    }

    fn plan(&self, seen: &Look) -> Result<Plan, BuildError> {
        let (layout, segments) =
            self.previous()?.map_or((None, Vec::new()), |manifest| (Some(manifest.layout), manifest.segments));
        let columns = self.spec.columns.as_deref();
        // Files that were cut under other read keys were not checked for these.
        let same_spec = segments.iter().all(|segment| SegmentKey::of(self.spec, &segment.fragments) == segment.key);
        let cache = FragmentCache::new(if same_spec { &segments } else { &[] });
        let of = seen.set.len();
        let done = |done| (self.progress)(Progress::Files { done, of });
        let fragments =
            fragments_of((self.store, self.source), (self.format, columns), &seen.set, &cache, self.checkpoint, &done)
                .map_err(|error| self.of_fragments(&error))?;
        drop(cache);
        Ok(plan(layout, segments, self.spec, fragments))
    }

    /// What a plan can start from. What the disk refused may be readable later; what is missing or damaged never is,
    /// and must not keep the collection from being built.
    fn previous(&self) -> Result<Option<Manifest>, BuildError> {
        let Some(root) = self.previous else { return Ok(None) };
        match Manifest::read(self.objects, root) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(ManifestError::Tree(TreeError::Object(error @ ObjectError::Io(..)))) => {
                Err(BuildError::Transient(error.to_string()))
            }
            Err(error) => {
                tracing::warn!(target: "lastword::external", collection = %self.collection, manifest = %root, %error,
                    "the manifest of the last commit cannot be read: everything is built anew");
                Ok(None)
            }
        }
    }

    fn build_one(&self, at: usize, segment: NewSegment) -> Result<Segment, BuildError> {
        let n = u32::try_from(at)
            .map_err(|_| BuildError::Permanent("more than 2^32 segments; raise target_rows".to_owned()))?;
        let id = SegmentId { token: self.token, n };
        let output = self.builder.build(id, &segment, self.checkpoint)?;
        if let Some(found) = output.as_ref().map(Vec::len).filter(|found| *found > MAX_OUTPUT_BYTES) {
            let problem =
                format!("the output of segment {id} has {found} bytes, at most {MAX_OUTPUT_BYTES} are allowed");
            return Err(BuildError::Permanent(problem));
        }
        Ok(Segment { id, key: segment.key, rows: segment.rows, output, fragments: segment.fragments })
    }

    /// A source that changed under an attempt explains its failure, and is not the attempt's fault.
    fn explain(&self, error: BuildError) -> BuildError {
        match error {
            BuildError::Moved { .. } | BuildError::Interrupted => error,
            BuildError::Transient(_) | BuildError::Permanent(_) => match self.observe(self.known) {
                Err(moved @ BuildError::Moved { .. }) => moved,
                _ => error,
            },
        }
    }

    fn of_fragments(&self, error: &FragmentError) -> BuildError {
        let text = error.to_string();
        match error {
            FragmentError::Interrupted => BuildError::Interrupted,
            FragmentError::File { error: FormatError::Store(error), .. } => of_store(error),
            FragmentError::File { mtime, error: FormatError::Corrupt(_), .. } if self.is_young(*mtime) => {
                BuildError::Transient(text)
            }
            FragmentError::File { .. } => BuildError::Permanent(text),
        }
    }

    /// Modified less than five seconds ago. A time further in the future than that says nothing about age.
    fn is_young(&self, mtime: Instant) -> bool {
        let now = i64::try_from((self.now)().0).unwrap_or(i64::MAX);
        let age = now.saturating_sub(mtime.micros());
        (-YOUNG_MICROS..YOUNG_MICROS).contains(&age)
    }
}

fn of_store(error: &StoreError) -> BuildError {
    match error {
        StoreError::Interrupted => BuildError::Interrupted,
        error if error.is_transient() => BuildError::Transient(error.to_string()),
        error => BuildError::Permanent(error.to_string()),
    }
}

/// What the disk refused may work later; what is missing or wrong stays so.
fn of_tree(error: &TreeError) -> BuildError {
    match error {
        TreeError::Object(ObjectError::Io(..)) => BuildError::Transient(error.to_string()),
        error => BuildError::Permanent(error.to_string()),
    }
}

impl From<Interrupted> for BuildError {
    fn from(_: Interrupted) -> BuildError {
        BuildError::Interrupted
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Moved { .. } => write!(f, "the source is not what is wanted any more"),
            BuildError::Interrupted => Interrupted.fmt(f),
            BuildError::Transient(text) | BuildError::Permanent(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for BuildError {}

impl fmt::Display for BuildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for BuildFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
