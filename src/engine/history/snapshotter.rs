//! The background snapshotter: a reader of the log on a thread of its own, which folds what is durable into a state that
//! it drops again. The reducer is not held up, and a failure costs a warning.
//!
//! *Architecture invariant:* it reads the log and writes snapshots. It never writes the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;

use crate::codec::state::encode_state;
use crate::engine::report::{HistoryReport, Report};
use crate::log::{LogReader, Position};
use crate::snapshot::{Folded, Limit, SnapshotError, Snapshots, TakeError, fold_until, take};
use crate::unwind;

/// The nice value of the thread: beside a thread of the usual 0 it has about a tenth of a core, so that it comes to its
/// end however busy the machine is.
#[cfg(target_os = "linux")]
const STEPPED_BACK: i32 = 10;

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

    /// Encodes the state up to `limit`, as a checkpoint for the prefix before it.
    pub(super) fn encode_checkpoint(
        reader: Box<dyn LogReader>,
        snapshots: Option<Snapshots>,
        limit: Limit,
        reports: Sender<Report>,
    ) -> std::io::Result<Snapshotter> {
        Snapshotter::spawn(reader, reports, move |reader, stop| {
            HistoryReport::Checkpoint(checkpoint(reader, snapshots.as_ref(), limit, stop))
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

/// Lets every other thread go first: no caller waits for what this one makes. On Linux a priority is a thread's own;
/// elsewhere it is the whole process's, and left alone.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), STEPPED_BACK) {
        tracing::debug!(target: "lastword::snapshot", %error, "the snapshotter runs at the priority of the others");
    }
}

fn checkpoint(
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
