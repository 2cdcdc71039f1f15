//! What is kept of the past: snapshots beside the log, and bases for prefixes that are to go.
//!
//! Both are the work of a second reader on a thread of its own. It folds what is durable into a state that it drops
//! again; the reducer is not held up, and a failure costs a warning. Only a base comes back: its parts are events, and
//! one of them after the other is taken into a frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::error::CompactError;
use super::message::Report;
use super::promise::Promise;
use super::run::Engine;
use crate::codec::state::encode_state;
use crate::core::vocabulary::{Event, Seq, Timestamp};
use crate::log::{LogReader, Position, Start};
use crate::reducer::ReducerError;
use crate::snapshot::{Folded, Limit, SnapshotError, Snapshots, TakeError, fold_until, take};

/// Events between two snapshots, unless it is set otherwise: about a tenth of a second of replay.
pub(super) const EVENTS_PER_SNAPSHOT: u64 = 100_000;

/// A snapshot costs in proportion to the collections, however few of them have changed. So many events for each of them lie
/// between two, or a machine with a million collections would do little else.
const EVENTS_PER_COLLECTION: u64 = 4;

/// A shutdown takes a snapshot if it spares the next start at least one part in so many of what a snapshot is taken for
/// anyway.
const WORTH_AT_SHUTDOWN: u64 = 100;

/// The nice value of the second reader: beside a thread of the usual 0 it has about a tenth of a core, so that it comes
/// to its end however busy the machine is.
#[cfg(target_os = "linux")]
const STEPPED_BACK: i32 = 10;

/// A base has the size of the whole state, so it is written only when at least this many events can go, and a quarter
/// of what is kept.
const LEAST_FORGOTTEN: u64 = 1000;

/// 256 KiB of a base in one event: a few of them fill a frame, and what is committed beside them waits for no more.
const PART_BYTES: usize = 256 << 10;

/// How much of the past is kept. An event stays for as long as either of the two wants it; with neither, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// At least this many of the last events.
    pub events: Option<u64>,
    /// At least everything that is not older than this.
    pub age: Option<Duration>,
}

impl Retention {
    fn is_everything(self) -> bool {
        self == Retention::default()
    }

    /// What may go.
    fn limit(self, last: Seq, now: Timestamp) -> Limit {
        let seq = Seq(last.0.saturating_sub(self.events.unwrap_or(0)));
        let age = |age| Timestamp(now.0.saturating_sub(crate::core::vocabulary::micros(age)));
        Limit { seq, time: self.age.map(age) }
    }
}

/// Where the answer to a compaction goes: the first event that is left.
pub(super) type Compacted = Promise<Result<Seq, CompactError>>;

/// What the second reader has made.
#[derive(Debug)]
pub(super) enum Remembered {
    /// A snapshot at this event, or none if there was one.
    Snapshot(Result<Option<Seq>, TakeError>),
    /// The state at the end of a frame, encoded; nothing if nothing is to go.
    Base(Result<Option<(Position, Vec<u8>)>, TakeError>),
}

pub(super) struct History {
    pub(super) snapshots: Option<Snapshots>,
    pub(super) every: Option<u64>,
    pub(super) retention: Retention,
    reader: Box<dyn LogReader>,
    reports: Sender<Report>,
    /// The event of the last snapshot, or of the last attempt at one.
    last_snapshot: Seq,
    /// The event at which the retention was looked at last and led to a base.
    last_base: Seq,
    /// When the first event that is there happened, once there is one.
    oldest: Option<Timestamp>,
    snapshotter: Option<Snapshotter>,
    base: Option<Base>,
    asked: VecDeque<(Retention, Compacted)>,
    waiting: Vec<Compacted>,
}

struct Snapshotter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A base on its way into the log.
struct Base {
    at: Position,
    body: Vec<u8>,
    part: u32,
    parts: u32,
    first: Option<Seq>,
}

impl History {
    pub(super) fn new(
        reader: Box<dyn LogReader>,
        durable: Seq,
        snapshots: Option<Snapshots>,
        (every, retention): (Option<u64>, Retention),
        reports: Sender<Report>,
    ) -> History {
        // Behind the end of the log lie those of another one: of the log before a backup was restored, or before a power
        // cut took the tail. They are of no use, and would pass for the last ones.
        let forgotten = snapshots.as_ref().map(|snapshots| snapshots.forget_behind(durable));
        if let Some(Err(error)) = forgotten {
            tracing::warn!(target: "lastword::snapshot", %error, "snapshots of another log were not removed");
        }
        let all = snapshots.as_ref().and_then(|snapshots| snapshots.list().ok()).unwrap_or_default();
        let last_snapshot = all.into_iter().find(|seq| *seq <= durable).unwrap_or_default();
        let last_base = reader.start().seq;
        History {
            snapshots,
            every,
            retention,
            reader,
            reports,
            last_snapshot,
            last_base,
            oldest: None,
            snapshotter: None,
            base: None,
            asked: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    /// Whether it has something for the next batch.
    pub(super) fn is_writing(&self) -> bool {
        self.base.is_some()
    }

    /// The first event of the log.
    pub(super) fn begins(&self) -> Seq {
        self.reader.start().first()
    }

    /// The event of the last snapshot.
    pub(super) fn last_snapshot(&self) -> Seq {
        self.last_snapshot
    }

    /// Somebody wants the log to be no longer than this.
    pub(super) fn compact(&mut self, keep: Retention, reply: Compacted) {
        if keep.is_everything() {
            return reply.keep(Ok(self.reader.start().first()));
        }
        self.asked.push_back((keep, reply));
    }

    /// Begins what is due, one thing at a time.
    fn begin_due(&mut self, durable: Seq, now: Timestamp, collections: usize) {
        if self.snapshotter.is_some() || self.base.is_some() {
            return;
        }
        if let Some((keep, reply)) = self.asked.pop_front() {
            self.waiting.push(reply);
            self.begin_base(keep.limit(durable, now));
        } else if self.is_base_due(durable, now) {
            self.last_base = durable;
            self.begin_base(self.retention.limit(durable, now));
        } else if let Some(every) = self.every {
            let worth = every.max(EVENTS_PER_COLLECTION.saturating_mul(collections as u64));
            if durable.0 - self.last_snapshot.0 >= worth {
                self.begin_snapshot(durable);
            }
        }
    }

    fn is_base_due(&mut self, durable: Seq, now: Timestamp) -> bool {
        let Retention { events, age } = self.retention;
        if self.retention.is_everything() || durable.0 - self.last_base.0 < LEAST_FORGOTTEN {
            return false;
        }
        let there = durable.0 - self.reader.start().seq.0;
        let too_many = events.is_none_or(|keep| there >= keep.saturating_add((keep / 4).max(LEAST_FORGOTTEN)));
        if self.oldest.is_none() && age.is_some() {
            self.oldest = time_of_first(&*self.reader);
        }
        let too_old = |age: Duration| self.oldest.is_some_and(|at| now.since(at) >= age.saturating_add(age / 4));
        too_many && age.is_none_or(too_old)
    }

    fn begin_snapshot(&mut self, durable: Seq) {
        let Some(snapshots) = self.snapshots.clone() else { return };
        // Also if it fails: the next attempt is due as many events later.
        self.last_snapshot = durable;
        self.spawn(move |reader, stop| {
            let taken = take(reader, &snapshots, Limit { seq: durable, time: None }, stop);
            Remembered::Snapshot(taken.map(|taken| taken.map(|header| header.position.seq)))
        });
    }

    fn begin_base(&mut self, limit: Limit) {
        let snapshots = self.snapshots.clone();
        self.spawn(move |reader, stop| Remembered::Base(encode_base(reader, snapshots.as_ref(), limit, stop)));
    }

    fn spawn(&mut self, work: impl FnOnce(&dyn LogReader, &dyn Fn() -> bool) -> Remembered + Send + 'static) {
        let (reader, reports) = (self.reader.another(), self.reports.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            step_back();
            let remembered = work(&*reader, &|| stopped.load(Ordering::Acquire));
            // Its reader goes first: whoever hears of the end may want to close the log.
            drop(reader);
            // The queue has room for this report; if it is gone, so is the engine.
            let _ = reports.send(Report::Remembered(remembered));
        };
        match thread::Builder::new().name("lastword-history".to_owned()).spawn(run) {
            Ok(thread) => self.snapshotter = Some(Snapshotter { stop, thread: Some(thread) }),
            Err(error) => {
                tracing::warn!(target: "lastword::snapshot", %error, "no thread for the second reader");
                self.answer(&Err(CompactError::Failed(error.to_string())));
            }
        }
    }

    fn answer(&mut self, answer: &Result<Seq, CompactError>) {
        self.waiting.drain(..).for_each(|reply| reply.keep(answer.clone()));
    }

    /// Ends the second reader: it keeps the log open.
    fn stop(&mut self) {
        self.snapshotter = None;
        self.base = None;
        self.waiting.extend(self.asked.drain(..).map(|(_, reply)| reply));
        self.answer(&Err(CompactError::Closed));
    }
}

/// Lets every other thread go first: nobody waits for what this one makes. On Linux a priority is a thread's own;
/// elsewhere it is the whole process's, and left alone.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), STEPPED_BACK) {
        tracing::debug!(target: "lastword::snapshot", %error, "the second reader runs at the priority of the others");
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It reports its own errors; a panic in it has harmed nothing.
            let _ = thread.join();
        }
    }
}

impl Base {
    fn new(at: Position, body: Vec<u8>) -> Base {
        let parts = u32::try_from(body.len().div_ceil(PART_BYTES).max(1)).unwrap_or(u32::MAX);
        Base { at, body, part: 0, parts, first: None }
    }

    fn next(&self) -> Event {
        let bytes = self.body.chunks(PART_BYTES).nth(self.part as usize).unwrap_or(&[]);
        let (at, hash) = (self.at.seq, self.at.hash.0);
        Event::CheckpointPart { at, hash, part: self.part, parts: self.parts, bytes: bytes.into() }
    }
}

impl Engine {
    /// Takes the next part of a base into the batch.
    pub(super) fn write_base(&mut self) -> Result<(), ReducerError> {
        let unfinished = self.history.base.as_mut().filter(|base| base.part < base.parts);
        let Some(base) = unfinished.filter(|_| self.stopping.is_none()) else { return Ok(()) };
        let seq = self.reducer.append(base.next())?;
        base.first.get_or_insert(seq);
        base.part += 1;
        Ok(())
    }

    /// After a commit: lets the prefix go whose base is in the log now, and begins what is due.
    pub(super) fn keep_history(&mut self) -> Result<(), ReducerError> {
        if let Some(base) = self.history.base.take_if(|base| base.part == base.parts)
            && let Some(first) = base.first
        {
            let start = Start { seq: base.at.seq, hash: base.at.hash, base: first };
            self.truncate_prefix(start)?;
        }
        if self.stopping.is_none() {
            let collections = self.reducer.state().len();
            self.history.begin_due(self.reducer.durable(), self.time.now(), collections);
        }
        Ok(())
    }

    fn truncate_prefix(&mut self, start: Start) -> Result<(), ReducerError> {
        let answer = match self.reducer.truncate_prefix(start)? {
            Ok(()) => {
                self.counted.compactions += 1;
                self.history.oldest = None;
                let pruned = self.history.snapshots.as_ref().map(|snapshots| snapshots.prune(2, start.first()));
                if let Some(Err(error)) = pruned {
                    tracing::warn!(target: "lastword::snapshot", %error, "old snapshots were not removed");
                }
                Ok(start.first())
            }
            Err(error) => {
                tracing::warn!(target: "lastword::snapshot", %error, "the log was not compacted");
                Err(CompactError::Failed(error.to_string()))
            }
        };
        self.history.answer(&answer);
        Ok(())
    }

    /// The second reader is through.
    pub(super) fn remembered(&mut self, remembered: Remembered) {
        self.history.snapshotter = None;
        match remembered {
            Remembered::Snapshot(Ok(Some(seq))) => {
                self.counted.snapshots += 1;
                tracing::debug!(target: "lastword::snapshot", seq = seq.0, "a snapshot was taken");
            }
            Remembered::Snapshot(Ok(None)) => {}
            Remembered::Snapshot(Err(error)) => self.no_snapshot(&error),
            Remembered::Base(Ok(Some((at, body)))) => self.history.base = Some(Base::new(at, body)),
            Remembered::Base(Ok(None)) => {
                let begins = self.history.begins();
                self.history.answer(&Ok(begins));
            }
            Remembered::Base(Err(error)) => {
                tracing::warn!(target: "lastword::snapshot", %error, "the log was not compacted");
                self.history.answer(&Err(CompactError::Failed(error.to_string())));
            }
        }
    }

    /// At the very end, when everything is durable and nobody else reads: spares the next start the tail.
    pub(super) fn snapshot_at_the_end(&mut self) {
        self.history.stop();
        let (Some(snapshots), Some(every)) = (&self.history.snapshots, self.history.every) else { return };
        let position = self.reducer.durable_position();
        // Not the last attempt at one: that may just have been stopped.
        let last = snapshots.list().ok().and_then(|all| all.first().copied()).unwrap_or_default();
        if position.seq.0.saturating_sub(last.0) < (every / WORTH_AT_SHUTDOWN).max(1) {
            return;
        }
        match snapshots.store(self.reducer.state(), position, self.history.begins()) {
            Ok(_) => self.counted.snapshots += 1,
            Err(error) => self.no_snapshot(&TakeError::Write(error)),
        }
    }

    fn no_snapshot(&mut self, error: &TakeError) {
        if matches!(error, TakeError::Stopped) {
            return;
        }
        self.counted.snapshots_failed += 1;
        tracing::warn!(target: "lastword::snapshot", %error, "no snapshot was taken");
    }
}

fn encode_base(
    reader: &dyn LogReader,
    snapshots: Option<&Snapshots>,
    limit: Limit,
    stop: &dyn Fn() -> bool,
) -> Result<Option<(Position, Vec<u8>)>, TakeError> {
    let start = reader.start();
    if limit.seq <= start.seq {
        return Ok(None);
    }
    let Folded { state, position, .. } = fold_until(reader, snapshots, limit, stop)?;
    if position.seq <= start.seq {
        return Ok(None);
    }
    let mut body = Vec::new();
    encode_state(&state, &mut body).map_err(|error| TakeError::Write(SnapshotError::State(error)))?;
    Ok(Some((position, body)))
}

/// The time of the first event that is there.
fn time_of_first(reader: &dyn LogReader) -> Option<Timestamp> {
    let first = reader.frames(Seq::ZERO).next()?.ok()?;
    Some(first.as_frame().header().time)
}
