//! What is kept of the past: snapshots beside the log, and checkpoints in the log for prefixes that are to go.
//!
//! Both are the work of the background snapshotter. Only a checkpoint comes back: its parts are events, and one of them
//! after the other is taken into a frame.
//!
//! *Architecture invariant:* this part reads the log and its snapshots. It does not write the log: it hands out the
//! parts of a checkpoint, and says where the log may begin.

mod checkpoint;
mod snapshotter;

use std::collections::VecDeque;

use crossbeam_channel::Sender;

use self::snapshotter::Snapshotter;
use super::error::CompactError;
use super::message::CompactReply;
use super::report::{HistoryReport, Report};
use super::retention::Retention;
use super::stats::Counters;
use crate::core::State;
use crate::core::vocabulary::{Event, Seq, Timestamp};
use crate::log::{LogReader, Position, Start};
use crate::snapshot::{Limit, Snapshots, TakeError};
use crate::unwind;

pub(super) use self::checkpoint::Checkpoint;

/// Events between two snapshots, unless it is set otherwise: about a tenth of a second of replay.
pub(super) const EVENTS_PER_SNAPSHOT: u64 = 100_000;

/// A snapshot costs in proportion to the collections, however few of them have changed. So many events for each of them
/// lie between two, or a machine with a million collections would do little else.
const EVENTS_PER_COLLECTION: u64 = 4;

/// A shutdown takes a snapshot if it spares the next start at least one part in so many of what a snapshot is taken for
/// anyway.
const WORTH_AT_SHUTDOWN: u64 = 100;

/// A checkpoint has the size of the whole state, so it is written only when at least this many events can go, and a
/// quarter of what is kept.
const LEAST_TRUNCATED: u64 = 1000;

/// What is kept of the past.
#[derive(Clone, Copy, Debug)]
pub(super) struct HistoryConfig {
    /// Events between two snapshots; none without it.
    pub(super) snapshot_every: Option<u64>,
    pub(super) retention: Retention,
}

pub(super) struct History {
    config: HistoryConfig,
    snapshots: Option<Snapshots>,
    reader: Box<dyn LogReader>,
    reports: Sender<Report>,
    /// The event of the last snapshot, or of the last attempt at one.
    last_snapshot: Seq,
    /// The event at which the retention was looked at last and led to a checkpoint.
    last_checkpoint: Seq,
    /// When the first event that is there happened, once there is one.
    oldest: Option<Timestamp>,
    /// Dropped before the snapshotter, which may be waiting for one of its parts to be taken.
    checkpoint: Option<Checkpoint>,
    snapshotter: Option<Snapshotter>,
    /// Where the log may begin: the checkpoint is in it, and was read through.
    checked: Option<Start>,
    asked: VecDeque<(Retention, CompactReply)>,
    waiting: Vec<CompactReply>,
}

impl History {
    pub(super) fn new(
        reader: Box<dyn LogReader>,
        durable: Seq,
        snapshots: Option<Snapshots>,
        config: HistoryConfig,
        reports: Sender<Report>,
    ) -> History {
        // Behind the end of the log lie those of another one: of the log before a backup was restored, or before a power
        // cut took the tail. They are of no use, and would pass for the last ones.
        let forgotten = snapshots.as_ref().map(|snapshots| snapshots.forget_behind(durable));
        if let Some(Err(error)) = forgotten {
            unwind::tell(|| {
                tracing::warn!(target: "lastword::snapshot", %error, "snapshots of another log were not removed");
            });
        }
        let all = snapshots.as_ref().and_then(|snapshots| snapshots.list().ok()).unwrap_or_default();
        let last_snapshot = all.into_iter().find(|seq| *seq <= durable).unwrap_or_default();
        let last_checkpoint = reader.start().seq;
        History {
            config,
            snapshots,
            reader,
            reports,
            last_snapshot,
            last_checkpoint,
            oldest: None,
            snapshotter: None,
            checkpoint: None,
            checked: None,
            asked: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    /// The next part of a checkpoint, for the batch.
    pub(super) fn next_part(&mut self) -> Option<Event> {
        self.checkpoint.as_mut()?.next_part()
    }

    /// That part has this number in the log.
    pub(super) fn part_written(&mut self, seq: Seq) {
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.written(seq);
        }
    }

    /// Where the log may begin, once all parts of a checkpoint are durable and were read through.
    pub(super) fn take_start(&mut self) -> Option<Start> {
        self.checked.take()
    }

    /// Whether it has something for the next batch.
    pub(super) fn is_writing(&self) -> bool {
        self.checkpoint.as_ref().is_some_and(Checkpoint::is_ready)
    }

    /// The first event of the log.
    pub(super) fn begins(&self) -> Seq {
        self.reader.start().first()
    }

    /// The event of the last snapshot.
    pub(super) fn last_snapshot(&self) -> Seq {
        self.last_snapshot
    }

    /// A caller wants the log to be no longer than this.
    pub(super) fn compact(&mut self, keep: Retention, reply: CompactReply) {
        if keep.is_everything() {
            return reply.answer(Ok(Ok(self.begins())));
        }
        self.asked.push_back((keep, reply));
    }

    /// Begins what is due, one thing at a time.
    pub(super) fn begin_due(&mut self, durable: Seq, now: Timestamp, collections: usize) {
        if self.snapshotter.is_none()
            && let Some(start) = self.checkpoint.as_ref().and_then(Checkpoint::start)
        {
            self.checkpoint = None;
            self.started(Snapshotter::check_checkpoint(self.reader.another(), start, self.reports.clone()));
        }
        if self.snapshotter.is_some() || self.checkpoint.is_some() || self.checked.is_some() {
            return;
        }
        if let Some((keep, reply)) = self.asked.pop_front() {
            self.waiting.push(reply);
            self.begin_checkpoint(keep.limit(durable, now));
        } else if self.is_checkpoint_due(durable, now) {
            self.last_checkpoint = durable;
            self.begin_checkpoint(self.config.retention.limit(durable, now));
        } else if let Some(every) = self.config.snapshot_every {
            let worth = every.max(EVENTS_PER_COLLECTION.saturating_mul(collections as u64));
            if durable.0 - self.last_snapshot.0 >= worth {
                self.begin_snapshot(durable);
            }
        }
    }

    /// The log begins at `start` now, or does not.
    pub(super) fn truncated(&mut self, start: Result<Start, String>, counters: &mut Counters) {
        let answer = match start {
            Ok(start) => {
                counters.compactions += 1;
                self.oldest = None;
                let pruned = self.snapshots.as_ref().map(|snapshots| snapshots.prune(2, start.first()));
                if let Some(Err(error)) = pruned {
                    unwind::tell(|| {
                        tracing::warn!(target: "lastword::snapshot", %error, "old snapshots were not removed");
                    });
                }
                Ok(start.first())
            }
            Err(error) => {
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::snapshot", %error, "the log was not compacted");
                });
                Err(CompactError::Failed(error))
            }
        };
        self.answer(&answer);
    }

    /// The snapshotter has ended.
    pub(super) fn returned(&mut self, report: HistoryReport, counters: &mut Counters) {
        let goes_on = matches!(report, HistoryReport::CheckpointBegun(Ok(Some(_))) | HistoryReport::PartMade);
        if !goes_on {
            self.snapshotter = None;
        }
        match report {
            HistoryReport::Snapshot(Ok(Some(seq))) => {
                counters.snapshots += 1;
                unwind::tell(|| {
                    tracing::debug!(target: "lastword::snapshot", seq = seq.0, "a snapshot was taken");
                });
            }
            HistoryReport::Snapshot(Ok(None)) => {}
            HistoryReport::Snapshot(Err(error)) => no_snapshot(&error, counters),
            HistoryReport::CheckpointBegun(Ok(Some(checkpoint))) => self.checkpoint = Some(checkpoint),
            HistoryReport::CheckpointBegun(Ok(None)) => self.answer(&Ok(self.begins())),
            HistoryReport::PartMade | HistoryReport::CheckpointMade(Ok(())) => {}
            HistoryReport::CheckpointBegun(Err(error)) | HistoryReport::CheckpointMade(Err(error)) => {
                self.checkpoint = None;
                self.truncated(Err(error.to_string()), counters);
            }
            HistoryReport::CheckpointChecked(Ok(start)) => self.checked = Some(start),
            HistoryReport::CheckpointChecked(Err(error)) => self.truncated(Err(error.to_string()), counters),
            HistoryReport::Panicked(text) => {
                counters.snapshots_failed += 1;
                self.checkpoint = None;
                unwind::tell(|| {
                    tracing::error!(target: "lastword::snapshot", panic = text, "the background snapshotter panicked");
                });
                self.answer(&Err(CompactError::Failed(format!("it panicked: {text}"))));
            }
        }
    }

    /// At the very end, when everything is durable and nothing else reads: spares the next start the tail.
    pub(super) fn finish(mut self, state: &State, position: Position, counters: &mut Counters) {
        self.stop();
        let (Some(snapshots), Some(every)) = (&self.snapshots, self.config.snapshot_every) else { return };
        // Not the last attempt at one: that may just have been stopped.
        let last = snapshots.list().ok().and_then(|all| all.first().copied()).unwrap_or_default();
        if position.seq.0.saturating_sub(last.0) < (every / WORTH_AT_SHUTDOWN).max(1) {
            return;
        }
        match snapshots.store(state, position, self.begins()) {
            Ok(_) => counters.snapshots += 1,
            Err(error) => no_snapshot(&TakeError::Write(error), counters),
        }
    }

    /// Ends the snapshotter: it keeps the log open.
    fn stop(&mut self) {
        // First the receiver of its parts: it may be waiting for one to be taken.
        self.checkpoint = None;
        self.snapshotter = None;
        self.forget_all();
    }

    /// Whoever waits for a compaction is told that there will be none: nothing more is begun. What is under way is not waited
    /// for here, for it may be reading.
    pub(super) fn forget_all(&mut self) {
        self.waiting.extend(self.asked.drain(..).map(|(_, reply)| reply));
        self.answer(&Err(CompactError::Closed));
    }

    fn is_checkpoint_due(&mut self, durable: Seq, now: Timestamp) -> bool {
        let Retention { events, age } = self.config.retention;
        if self.config.retention.is_everything() || durable.0 - self.last_checkpoint.0 < LEAST_TRUNCATED {
            return false;
        }
        let there = durable.0 - self.reader.start().seq.0;
        let too_many = events.is_none_or(|keep| there >= keep.saturating_add((keep / 4).max(LEAST_TRUNCATED)));
        if self.oldest.is_none() && age.is_some() {
            self.oldest = time_of_first(&*self.reader);
        }
        let too_old =
            |age: std::time::Duration| self.oldest.is_some_and(|at| now.since(at) >= age.saturating_add(age / 4));
        too_many && age.is_none_or(too_old)
    }

    fn begin_snapshot(&mut self, durable: Seq) {
        let Some(snapshots) = self.snapshots.clone() else { return };
        // Also if it fails: the next attempt is due as many events later.
        self.last_snapshot = durable;
        let limit = Limit { seq: durable, time: None };
        let (reader, reports) = (self.reader.another(), self.reports.clone());
        self.started(Snapshotter::take_snapshot(reader, snapshots, limit, reports));
    }

    fn begin_checkpoint(&mut self, limit: Limit) {
        let (reader, snapshots, reports) = (self.reader.another(), self.snapshots.clone(), self.reports.clone());
        self.started(Snapshotter::encode_checkpoint(reader, snapshots, limit, reports));
    }

    fn started(&mut self, snapshotter: std::io::Result<Snapshotter>) {
        match snapshotter {
            Ok(snapshotter) => self.snapshotter = Some(snapshotter),
            Err(error) => {
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::snapshot", %error, "no thread for the snapshotter");
                });
                self.answer(&Err(CompactError::Failed(error.to_string())));
            }
        }
    }

    fn answer(&mut self, answer: &Result<Seq, CompactError>) {
        self.waiting.drain(..).for_each(|reply| reply.answer(Ok(answer.clone())));
    }
}

fn no_snapshot(error: &TakeError, counters: &mut Counters) {
    if matches!(error, TakeError::Stopped) {
        return;
    }
    counters.snapshots_failed += 1;
    unwind::tell(|| {
        tracing::warn!(target: "lastword::snapshot", %error, "no snapshot was taken");
    });
}

/// The time of the first event that is there.
fn time_of_first(reader: &dyn LogReader) -> Option<Timestamp> {
    let first = reader.frames(Seq::ZERO).next()?.ok()?;
    Some(first.as_frame().header().time)
}
