//! The step that one attempt runs: observe, cut, plan, build, observe again, write the manifest.
//!
//! What was observed is what is built: the result is handed out only if every file of the wanted set was there with its
//! version at both observations. Files that came since are left to the next observation. What happens to the result then,
//! and whether it is still wanted, is the reducer's to decide.

use std::fmt;

use super::build_error::of_store;
use super::parallel::build_all;
use super::segments::{are_of, plan_by};
use super::standing::Standing;
use super::takeover::take_over;
use super::{
    BadFile, BuildError, ContentHash, ExternalSpec, Format, FormatError, Fragment, FragmentCache, FragmentError,
    Layout, Manifest, ManifestError, Mounts, PathSet, Plan, Scan, ScanRequest, Segment, SegmentBuilder, SourceLocation,
    SourcePath, Stat, StopCheck, Store, StoreError, check, fragments_of, scan,
};
use crate::core::vocabulary::{Name, ObjectHash, Timestamp, Token};
use crate::error::ErrorKind;
use crate::objects::tree::{Root, TreeError};
use crate::objects::{ObjectError, Objects};
use crate::unwind;
use crate::worker::{SkipReason, TrafficCounter};

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
    pub source: &'a SourceLocation,
    /// How it is read, laid out and built.
    pub spec: &'a ExternalSpec,
    /// The wanted version: the digest of the path set.
    pub wanted: [u8; 32],
    /// The wanted set: a source that did not change has its version only in comparison with it. Without it all that the
    /// source holds has to be what is wanted.
    pub known: Option<&'a PathSet>,
    /// The mounts that the wanted set was found on, if the last look found it. If not, nothing that is weak is
    /// believed.
    pub mounts: Option<&'a Mounts>,
    /// How many bytes each of the two observations may read where the content of files decides.
    pub most_read: u64,
    /// The set that the last commit was built from: what returns to it has its versions again.
    pub applied: Option<&'a PathSet>,
    /// The manifest of the last commit, if there was one. If it is missing or damaged, everything is built anew. Its objects
    /// have to stay until the result is committed: what does not change of it is named there, and not stored again.
    pub previous: Option<ObjectHash>,
    /// The token of this attempt: new segments are named by it.
    pub token: Token,
    /// Builds each new segment; [`NoBuilder`](super::NoBuilder) where nothing is built.
    pub builder: &'a dyn SegmentBuilder,
    /// How many segments are built at the same time; 0 counts as 1.
    pub parallel: usize,
    /// What earlier attempts have built and was neither committed nor discarded. What is still wanted is taken over,
    /// under its own id.
    pub leftovers: &'a [Segment],
    /// Asked between steps whether to go on.
    pub stop_check: StopCheck<'a>,
    /// Told of each new segment as soon as it is finished, on the thread that built it.
    pub finished: &'a (dyn Fn(&Segment) + Sync),
    /// Told how far the work is.
    pub progress: &'a (dyn Fn(BuildProgress) + Sync),
    /// Told the content of files that were read for what was built, and what `stat` said of them.
    pub learned: &'a (dyn Fn(&SourcePath, &Stat, ContentHash) + Sync),
    /// Wall time, to tell a young file from an old one.
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
}

/// Sets of files are left out: they may be long.
impl fmt::Debug for Build<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Build")
            .field("collection", self.collection)
            .field("source", self.source)
            .field("spec", self.spec)
            .field("previous", &self.previous)
            .field("token", &self.token)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildProgress {
    /// Files whose fragments are known.
    Files {
        /// So many.
        done: usize,
        /// Of so many.
        of: usize,
    },
    /// Rows of new segments that are built.
    Rows {
        /// So many.
        done: u64,
        /// Of so many.
        of: u64,
    },
}

/// What an attempt made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildOutcome {
    /// The new manifest, durable.
    pub manifest: ObjectHash,
    /// Segments that stayed.
    pub kept: u64,
    /// Segments that the manifest before did not have: those that were built, and those that were taken over.
    pub new: u64,
    /// How many of the new ones were built by an earlier attempt and taken over.
    pub taken_over: u64,
    /// Segments that went.
    pub dropped: u64,
    /// Rows of all segments of the new manifest.
    pub rows: u64,
    /// The source holds files by now that it did not when it was observed. They are left to the next observation.
    pub is_behind: bool,
    /// What was built now, in ascending order of the ids.
    pub built: Vec<Segment>,
}

impl BuildOutcome {
    /// Rows of the segments that were built now.
    #[must_use]
    pub fn rows_built(&self) -> u64 {
        self.built.iter().fold(0, |sum, segment| sum.saturating_add(segment.rows))
    }
}

/// A failed attempt, and what it had finished by then: a later attempt may take it over.
#[derive(Debug)]
#[non_exhaustive]
pub struct BuildFailed {
    /// How it failed.
    pub error: BuildError,
    /// What was built, in ascending order of the ids.
    pub built: Vec<Segment>,
}

/// Runs one attempt.
///
/// # Errors
/// See [`BuildError`]. Nothing that an error leaves behind is visible: objects that no event names are garbage.
pub fn build(attempt: &Build<'_>) -> Result<BuildOutcome, BuildFailed> {
    let mut built = Vec::new();
    match run(attempt, &mut built) {
        Ok(outcome) => Ok(BuildOutcome { built, ..outcome }),
        Err(error) => Err(BuildFailed { error: attempt.explain(error), built }),
    }
}

fn run(attempt: &Build<'_>, built: &mut Vec<Segment>) -> Result<BuildOutcome, BuildError> {
    let Own { set: own, mounts, .. } = attempt.observe(attempt.known, attempt.mounts)?;
    let Planned { plan: Plan { kept, new, dropped }, standing } = attempt.plan(&own)?;
    let (taken, new) = take_over(new, attempt.leftovers, attempt.builder);
    let (finished, result) = build_all(attempt, &own, new);
    *built = finished;
    result?;
    let Own { is_behind, .. } = attempt.observe(Some(&own), Some(&mounts))?;
    (attempt.stop_check)()?;

    let [stayed, taken_over, went] = [kept.len(), taken.len(), dropped.len()].map(|count| count as u64);
    let mut new = taken;
    new.extend(built.iter().cloned());
    new.sort_unstable_by_key(|segment| segment.id);
    let count = new.len() as u64;
    let (root, rows) = match &standing {
        Some(standing) => {
            // What it goes on from was read a moment ago. Should it be gone, the next attempt plans the whole.
            let written = standing.write(attempt.objects, &dropped, &new);
            written.map_err(|error| BuildError::Transient(error.to_string()))?.map_err(wrong)?
        }
        None => attempt.write(kept, new)?,
    };
    let kept = stayed + standing.map_or(0, |standing| standing.kept());
    Ok(BuildOutcome {
        manifest: root.hash,
        kept,
        new: count,
        taken_over,
        dropped: went,
        rows,
        is_behind,
        built: Vec::new(),
    })
}

fn wrong(problem: String) -> BuildError {
    BuildError::Permanent(format!("the plan is wrong, a bug: {problem}"))
}

/// A plan, and what it goes on from.
struct Planned {
    plan: Plan,
    /// Without it the plan is of the whole.
    standing: Option<Standing>,
}

/// What an observation found of the wanted set.
struct Own {
    /// Its files, as they are now.
    set: PathSet,
    /// The mounts that they were found on.
    mounts: Mounts,
    /// The source holds others as well.
    is_behind: bool,
}

impl Build<'_> {
    /// Scans the source for the files of the wanted set. It is an error if one of them is gone or another one.
    fn observe(&self, known: Option<&PathSet>, mounts: Option<&Mounts>) -> Result<Own, BuildError> {
        let own = known.filter(|known| known.digest() == self.wanted);
        let scan = self.scan((known, mounts), own).map_err(|error| of_store(&error))?;
        if scan.version == self.wanted {
            return Ok(Own { set: scan.set, mounts: scan.mounts, is_behind: scan.has_others });
        }
        let Some(own) = own else {
            let what = match known {
                Some(_) => "it holds something else than was observed",
                None => "what was observed of it cannot be read any more, so it is observed anew",
            };
            let what = what.to_owned();
            return Err(BuildError::Moved { what, scan: Some(Box::new(scan)) });
        };
        let in_the_making = scan.skipped.of(SkipReason::Empty) + scan.skipped.of(SkipReason::Unfinished);
        let what = scan.set.moved_since(own, in_the_making > 0).unwrap_or_default();
        // What all of it holds by now is worth an observation, and no more than that.
        match self.scan((known, mounts), None) {
            Err(StoreError::Interrupted) => Err(BuildError::Interrupted),
            found => Err(BuildError::Moved { what, scan: found.ok().map(Box::new) }),
        }
    }

    fn scan(
        &self,
        (known, mounts): (Option<&PathSet>, Option<&Mounts>),
        own: Option<&PathSet>,
    ) -> Result<Scan, StoreError> {
        scan(&ScanRequest {
            store: self.store,
            source: self.source,
            known,
            mounts,
            believes_unknown_mounts: false,
            own,
            applied: self.applied,
            format: Some(self.format),
            format_name: &self.spec.format,
            now: (self.now)(),
            most_read: self.most_read,
            hash_budget: 0,
            traffic: TrafficCounter::default(),
            stop_check: self.stop_check,
            list_check: None,
        })
    }

    /// Plans what has changed; or all of it, if there is nothing to go on from or it is not plain what has changed.
    fn plan(&self, own: &PathSet) -> Result<Planned, BuildError> {
        match self.plan_changes(own)? {
            Some(planned) => Ok(planned),
            None => self.plan_whole(own).map(|plan| Planned { plan, standing: None }),
        }
    }

    fn plan_changes(&self, own: &PathSet) -> Result<Option<Planned>, BuildError> {
        let Some(root) = self.previous else { return Ok(None) };
        let found = Standing::find(self.objects, root, self.spec, own, self.stop_check);
        let Some(mut standing) = found.map_err(|_| BuildError::Interrupted)? else { return Ok(None) };
        let (known, of) = (standing.files(), own.len());
        let done = |done| (self.progress)(BuildProgress::Files { done, of });
        if known > 0 {
            done(known);
        }
        let fragments = self.fragments(standing.fresh(), &FragmentCache::default(), &|fresh| done(known + fresh))?;
        Ok(standing.plan(self.spec, own, fragments).map(|plan| Planned { plan, standing: Some(standing) }))
    }

    fn fragments(
        &self,
        set: &PathSet,
        cache: &FragmentCache<'_>,
        done: &dyn Fn(usize),
    ) -> Result<Vec<Fragment>, BuildError> {
        let columns = self.spec.columns.as_deref();
        fragments_of((self.store, self.source), (self.format, columns), set, cache, self.stop_check, done)
            .map_err(|error| self.of_fragments(&error))
    }

    fn plan_whole(&self, own: &PathSet) -> Result<Plan, BuildError> {
        let (layout, segments) =
            self.previous()?.map_or((None, Vec::new()), |manifest| (Some(manifest.layout), manifest.segments));
        // Files that were cut under other read keys were not checked for these.
        let same_spec = are_of(self.spec, &segments);
        let cache = FragmentCache::new(if same_spec { &segments } else { &[] });
        let of = own.len();
        let done = |done| (self.progress)(BuildProgress::Files { done, of });
        let fragments = self.fragments(own, &cache, &done)?;
        drop(cache);
        Ok(plan_by((layout, same_spec), segments, self.spec, fragments))
    }

    /// Writes a manifest of all segments, and says how many rows it has.
    fn write(&self, kept: Vec<Segment>, new: Vec<Segment>) -> Result<(Root, u64), BuildError> {
        let mut segments = kept;
        segments.extend(new);
        segments.sort_unstable_by_key(|segment| segment.id);
        check(&segments).map_err(wrong)?;
        let manifest = Manifest { layout: Layout::of(self.spec), segments };
        let root = manifest.write(self.objects).map_err(|error| of_tree(&error))?;
        Ok((root, manifest.rows()))
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
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::external", collection = %self.collection, manifest = %root, %error,
                        "the manifest of the last commit cannot be read: everything is built anew");
                });
                Ok(None)
            }
        }
    }

    /// A file of its own that changed under an attempt explains its failure, and is not the attempt's fault.
    fn explain(&self, error: BuildError) -> BuildError {
        match error {
            BuildError::Moved { .. } | BuildError::Undecided(_) | BuildError::Interrupted | BuildError::Panicked(_) => {
                error
            }
            BuildError::Transient(_) | BuildError::Permanent(_) => match self.observe(self.known, self.mounts) {
                Err(moved @ BuildError::Moved { .. }) => moved,
                _ => error,
            },
        }
    }

    fn of_fragments(&self, error: &FragmentError) -> BuildError {
        match error {
            FragmentError::Interrupted => BuildError::Interrupted,
            FragmentError::Store(error) => of_store(error),
            FragmentError::Files(files) => {
                let is_bug = files.first().iter().any(|file| file.error.is_bug());
                let format = if is_bug { format!("format {:?}: ", self.spec.format) } else { String::new() };
                let text = format!("{format}{files}");
                // One that is in the making is enough: the others are named again if it is finished and they are as they were.
                let may_pass = files.first().iter().any(|file| self.may_be_in_the_making(file));
                if may_pass { BuildError::Transient(text) } else { BuildError::Permanent(text) }
            }
        }
    }

    fn may_be_in_the_making(&self, file: &BadFile) -> bool {
        // A file that is not whole yet is what careless formats panic of.
        let of_file =
            matches!(file.error, FormatError::Corrupt(_) | FormatError::Foreign(_) | FormatError::Panicked(_));
        of_file && file.mtime.is_young((self.now)())
    }
}

/// What the disk refused may work later; what is missing or wrong stays so.
fn of_tree(error: &TreeError) -> BuildError {
    match error {
        TreeError::Object(ObjectError::Io(..)) => BuildError::Transient(error.to_string()),
        error => BuildError::Permanent(error.to_string()),
    }
}

impl BuildFailed {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

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
