//! The background snapshotter: a reader of the log on a thread of its own, which folds what is durable into a state that
//! it drops again. The reducer is not held up, and a failure costs a warning.
//!
//! *Architecture invariant:* it reads the log and writes snapshots. It never writes the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;

use super::checkpoint::{Checkpoint, PART_BYTES};
use crate::codec::state::{StateError, encode_state_in_parts};
use crate::core::State;
use crate::engine::background::step_back;
use crate::engine::report::{HistoryReport, Report};
use crate::log::{LogReader, Start};
use crate::replay::check_checkpoint;
use crate::snapshot::{Folded, Limit, SnapshotError, Snapshots, TakeError, fold_until, take};
use crate::unwind;

/// One run of it. Dropped, it is stopped, and waited for: it keeps the log open.
pub(super) struct Snapshotter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Snapshotter {
    /// Takes a snapshot of the state up to `limit`, beside the log.
    pub(super) fn take_snapshot(
        reader: Box<dyn LogReader>,
        snapshots: Snapshots,
        limit: Limit,
        reports: Sender<Report>,
    ) -> std::io::Result<Snapshotter> {
        Snapshotter::spawn(reader, reports, move |reader, stop| {
            let taken = take(reader, &snapshots, limit, stop);
            HistoryReport::Snapshot(taken.map(|taken| taken.map(|header| header.position.seq)))
        })
    }

    /// Encodes the state up to `limit`, as a checkpoint for the prefix before it, part by part.
    pub(super) fn encode_checkpoint(
        reader: Box<dyn LogReader>,
        snapshots: Option<Snapshots>,
        limit: Limit,
        reports: Sender<Report>,
    ) -> std::io::Result<Snapshotter> {
        let told = reports.clone();
        Snapshotter::spawn(reader, reports, move |reader, stop| {
            let tell = |report| drop(told.send(Report::History(report)));
            let folded = match folded(reader, snapshots.as_ref(), limit, stop) {
                Ok(Some(folded)) => folded,
                Ok(None) => return HistoryReport::CheckpointBegun(Ok(None)),
                Err(error) => return HistoryReport::CheckpointBegun(Err(error)),
            };
            let parts = match count_parts(&folded.state) {
                Ok(parts) => parts,
                Err(error) => return HistoryReport::CheckpointBegun(Err(error.0)),
            };
            if stop() {
                return HistoryReport::CheckpointBegun(Err(TakeError::Stopped));
            }
            let (sender, checkpoint) = Checkpoint::new(folded.position, parts);
            tell(HistoryReport::CheckpointBegun(Ok(Some(checkpoint))));
            let made = encode_state_in_parts::<Failed>(&folded.state, PART_BYTES, &mut |part| {
                // Nobody wants it any more.
                sender.send(part).map_err(|_| Failed(TakeError::Stopped))?;
                tell(HistoryReport::PartMade);
                Ok(())
            });
            HistoryReport::CheckpointMade(made.map_err(|error| error.0))
        })
    }

    /// Reads the checkpoint of `start` through, before what it stands for is deleted.
    pub(super) fn check_checkpoint(
        reader: Box<dyn LogReader>,
        start: Start,
        reports: Sender<Report>,
    ) -> std::io::Result<Snapshotter> {
        Snapshotter::spawn(reader, reports, move |reader, _| {
            let checked = check_checkpoint(start, &mut reader.frames(start.checkpoint));
            HistoryReport::CheckpointChecked(checked.map(|()| start))
        })
    }

    fn spawn(
        reader: Box<dyn LogReader>,
        reports: Sender<Report>,
        work: impl FnOnce(&dyn LogReader, &dyn Fn() -> bool) -> HistoryReport + Send + 'static,
    ) -> std::io::Result<Snapshotter> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            step_back();
            // A log that was handed in is foreign code. Whoever waits for a compaction is answered whatever happens in it.
            let report = unwind::catch(|| work(&*reader, &|| stopped.load(Ordering::Acquire)));
            let report = report.unwrap_or_else(HistoryReport::Panicked);
            // Its reader goes first: the owner of the engine may close the log as soon as it hears of the end.
            let _ = unwind::catch(|| drop(reader));
            // The queue has room for this report; if it is gone, so is the engine.
            let _ = reports.send(Report::History(report));
        };
        let thread = thread::Builder::new().name("lastword-history".to_owned()).spawn(run)?;
        Ok(Snapshotter { stop, thread: Some(thread) })
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

/// Why a checkpoint was not made.
struct Failed(TakeError);

impl From<StateError> for Failed {
    fn from(error: StateError) -> Failed {
        Failed(TakeError::Write(SnapshotError::State(error)))
    }
}

/// How many parts it will be. The same state gives the same bytes each time, and this costs no memory.
fn count_parts(state: &State) -> Result<u32, Failed> {
    let mut parts = 0;
    encode_state_in_parts::<Failed>(state, PART_BYTES, &mut |_| {
        parts += 1;
        Ok(())
    })?;
    Ok(parts)
}

/// The state for which a checkpoint is made; nothing if nothing is to go.
fn folded(
    reader: &dyn LogReader,
    snapshots: Option<&Snapshots>,
    limit: Limit,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Folded>, TakeError> {
    let start = reader.start();
    if limit.seq <= start.seq {
        return Ok(None);
    }
    let folded = fold_until(reader, snapshots, limit, stop)?;
    Ok(Some(folded).filter(|folded| folded.position.seq > start.seq))
}
