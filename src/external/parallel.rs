//! The new segments of one attempt, built one by one or several at a time.
//!
//! Which number a segment has is decided before any is built, so the order in which they end says nothing. The first
//! failure stops the others through their stop checks; those that are finished by then are handed back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::builder::Tally;
use super::content::hash_file;
use super::segments::MAX_OUTPUT_BYTES;
use super::{
    Build, BuildError, BuildProgress, Interrupted, NewSegment, ObservedFile, PathSet, Segment, SegmentId, SegmentJob,
    SourcePath,
};
use crate::membership::Membership;
use crate::unwind;

/// What one attempt reads at most to know the content of what it builds from, in bytes: some seconds of one core. Whoever
/// builds from more works for far longer; what is left over is read by later looks.
const MOST_LEARNED: u64 = 8 << 30;

/// Builds all of `jobs`, of the files of `files`. What was finished comes back even if something failed.
pub(super) fn build_all(
    attempt: &Build<'_>,
    files: &PathSet,
    jobs: Vec<NewSegment>,
) -> (Vec<Segment>, Result<(), BuildError>) {
    let work = Work {
        attempt,
        files,
        jobs: &jobs,
        of: jobs.iter().fold(0, |sum, job| sum.saturating_add(job.rows)),
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        rows: AtomicU64::new(0),
        learned: Mutex::default(),
        may_learn: AtomicU64::new(MOST_LEARNED),
        ended: Mutex::default(),
    };
    let helpers = attempt.parallel.min(jobs.len()).saturating_sub(1);
    let (span, membership) = (tracing::Span::current(), Membership::here());
    thread::scope(|scope| {
        for n in 0..helpers {
            let help = || {
                membership.join();
                span.in_scope(|| work.help());
            };
            let helper = thread::Builder::new().name(format!("lastword-seg{n}"));
            if let Err(error) = helper.spawn_scoped(scope, help) {
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::external", %error, "no thread could be started: fewer at a time");
                });
                break;
            }
        }
        work.help();
    });
    let Ended { segments, failure } = work.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    (segments.into_values().collect(), failure.map_or(Ok(()), Err))
}

struct Work<'a> {
    attempt: &'a Build<'a>,
    files: &'a PathSet,
    jobs: &'a [NewSegment],
    /// Rows of all jobs.
    of: u64,
    /// The first job that was not begun.
    next: AtomicUsize,
    stop: AtomicBool,
    rows: AtomicU64,
    /// Files that were read for their content, or tried.
    learned: Mutex<BTreeSet<SourcePath>>,
    /// How many bytes more may be read for that.
    may_learn: AtomicU64,
    ended: Mutex<Ended>,
}

#[derive(Default)]
struct Ended {
    /// By place in the plan.
    segments: BTreeMap<usize, Segment>,
    /// The first one.
    failure: Option<BuildError>,
}

impl Work<'_> {
    /// Goes on, and fails with what a panic says: on a thread that helps, nobody else would.
    fn help(&self) {
        if let Err(text) = unwind::catch(|| self.go_on()) {
            self.fail(BuildError::Panicked(text));
        }
    }

    /// Builds one after the other until there is none left or one has failed.
    fn go_on(&self) {
        while !self.stop.load(Ordering::Acquire) {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(at) else { return };
            let built = self.build(at, job).inspect(|segment| (self.attempt.finished)(segment));
            match built {
                Ok(segment) => drop(self.ended().segments.insert(at, segment)),
                Err(error) => self.fail(error),
            }
        }
    }

    fn fail(&self, error: BuildError) {
        // Before the others are told: what they then end with is no failure of their own.
        self.ended().failure.get_or_insert(error);
        self.stop.store(true, Ordering::Release);
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self, at: usize, segment: &NewSegment) -> Result<Segment, BuildError> {
        let n = u32::try_from(at)
            .map_err(|_| BuildError::Permanent("more than 2^32 segments; raise target_rows".to_owned()))?;
        let id = SegmentId { token: self.attempt.token, n };
        self.check_stop()?;
        let report = |done| (self.attempt.progress)(BuildProgress::Rows { done, of: self.of });
        let job = SegmentJob {
            id,
            key: segment.key,
            rows: segment.rows,
            fragments: &segment.fragments,
            collection: self.attempt.collection,
            source: self.attempt.source,
            spec: self.attempt.spec,
            store: self.attempt.store,
            format: self.attempt.format,
            parts: Mutex::default(),
            files: self.files,
            stop_check: &|| self.check_stop(),
            tally: Tally { here: AtomicU64::new(0), all: &self.rows, report: &report },
        };
        let output = unwind::catch(|| self.attempt.builder.build(&job))
            .unwrap_or_else(|text| Err(BuildError::Panicked(text)))?;
        if let Some(found) = output.as_ref().map(Vec::len).filter(|found| *found > MAX_OUTPUT_BYTES) {
            let problem =
                format!("the output of segment {id} has {found} bytes, at most {MAX_OUTPUT_BYTES} are allowed");
            return Err(BuildError::Permanent(problem));
        }
        job.tally.reached(segment.rows);
        // What is finished is finished, also if the attempt is told to stop meanwhile.
        let _ = self.learn(segment);
        let NewSegment { key, rows, fragments } = segment.clone();
        Ok(Segment { id, key, rows, output, fragments })
    }

    /// Reads what a segment was built from once more, right after its builder: the content of files that are not known.
    fn learn(&self, segment: &NewSegment) -> Result<(), Interrupted> {
        if !self.attempt.builder.reads() {
            return Ok(());
        }
        for path in segment.fragments.iter().map(|fragment| &fragment.path).collect::<BTreeSet<_>>() {
            let is_known = |file: &ObservedFile| file.content.is_some() || file.last_stat.tag.is_strong();
            let Some(file) = self.files.get(path).filter(|file| !is_known(file)) else { continue };
            let size = file.last_stat.size;
            let is_new = self.learned.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
            let may_read = |left: u64| left.checked_sub(size);
            let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
            if !is_new || self.may_learn.fetch_update(set, fetch, may_read).is_err() {
                continue;
            }
            let place = (self.attempt.store, self.attempt.source);
            if let Some(content) = hash_file(place, path, &file.last_stat, &|| self.check_stop())? {
                (self.attempt.learned)(path, &file.last_stat, content);
            }
        }
        Ok(())
    }

    fn check_stop(&self) -> Result<(), Interrupted> {
        if self.stop.load(Ordering::Acquire) { Err(Interrupted) } else { (self.attempt.stop_check)() }
    }
}
