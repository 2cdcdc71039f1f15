//! Collecting orphans: objects that no event names, left behind by attempts that were superseded or killed, by looks,
//! attempts and deliveries that stored what they did not name, and by a past that was let go.
//!
//! A sweep runs beside the work, on a thread that steps back. It marks what the events of the log name, and removes the
//! rest, unless somebody may be about to name it. There is one after each truncation of the log, so that what a retention
//! keeps bounds the objects too: it reads what was kept, and that much has to come before the next truncation. Under a
//! retention there is also one when no event comes, once enough was stored that nothing names, or some of it long ago. At a
//! start there is one unless the log was closed in order and nothing can have been orphaned since the last.
//!
//! *Architecture invariant:* it knows when to sweep, and neither the reducer nor the loop: a store that is swept is a
//! store.

mod marker;
mod store;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::background::step_back;
use crate::core::vocabulary::{Event, Seq};
use crate::log::{LogReader, Position};
use crate::unwind;

pub(super) use marker::Marker;
pub(super) use store::Sweepable;

/// Under a retention: so many bytes that nothing names are collected though the log is not truncated. Not fewer at a time: a
/// sweep reads all that is kept of the log.
const MOST_UNNAMED: u64 = 64 << 20;

/// Under a retention: fewer of them are collected this long after the sweep before.
const LONGEST_UNNAMED: Duration = Duration::from_secs(600);

/// The sweeps of one log.
pub(super) struct Sweeps {
    objects: Arc<Sweepable>,
    reader: Box<dyn LogReader>,
    marker: Option<Marker>,
    running: Option<Sweep>,
    /// One is to begin.
    is_due: bool,
    /// One is to begin if there is anything to collect.
    is_asked: bool,
    /// What nothing names is to be bounded while the engine runs.
    is_bounded: bool,
    /// When the last one began, or the first batch was committed.
    last_began: Option<Duration>,
    /// Since the last one that went through began, something may have been orphaned.
    may_have_orphans: bool,
}

impl Sweeps {
    /// `was_clean`: the log was closed in order, at `end`. `is_bounded`: there is a retention.
    pub(super) fn new(
        objects: Arc<Sweepable>,
        reader: Box<dyn LogReader>,
        marker: Option<Marker>,
        (was_clean, end): (bool, Position),
        is_bounded: bool,
    ) -> Sweeps {
        let is_swept = marker.as_ref().is_some_and(|marker| marker.take(end)) && was_clean;
        if is_swept {
            unwind::tell(|| {
                tracing::debug!(target: "lastword::sweep", "nothing was orphaned since the last sweep");
            });
        }
        Sweeps {
            objects,
            reader,
            marker,
            running: None,
            is_due: !is_swept,
            is_asked: false,
            is_bounded,
            last_began: None,
            may_have_orphans: !is_swept,
        }
    }

    /// What it names is no orphan.
    pub(super) fn on_event(&mut self, event: &Event) {
        event.object().into_iter().for_each(|root| self.objects.name(root));
    }

    /// A caller wants everything to go that can.
    pub(super) fn asked(&mut self) {
        self.is_asked = true;
    }

    /// A prefix of the log was deleted.
    pub(super) fn truncated(&mut self) {
        (self.is_due, self.may_have_orphans) = (true, true);
    }

    /// Begins one that is due, behind the commit of a batch: whatever ended before the last one is in the log. `now` goes
    /// on evenly.
    pub(super) fn begin_due(&mut self, durable: Seq, now: Duration) {
        if let Some(sweep) = self.running.take_if(|sweep| sweep.has_ended()) {
            self.may_have_orphans |= !sweep.finish();
        }
        if self.running.is_some() {
            return;
        }
        let began = *self.last_began.get_or_insert(now);
        self.objects.release_ended();
        let unnamed = self.objects.unnamed();
        self.may_have_orphans |= unnamed > 0;
        self.is_due |= self.is_asked && self.may_have_orphans
            || self.is_bounded && is_too_much(unnamed, now.saturating_sub(began));
        self.is_asked &= self.objects.has_ended();
        if !self.is_due {
            return;
        }
        // What is orphaned from here on may not be seen.
        (self.is_due, self.is_asked, self.may_have_orphans) = (false, false, false);
        self.last_began = Some(now);
        self.objects.forget_unnamed();
        match Sweep::start(Arc::clone(&self.objects), self.reader.another(), durable) {
            Ok(sweep) => self.running = Some(sweep),
            Err(error) => {
                self.may_have_orphans = true;
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::sweep", %error, "no thread to collect orphaned objects");
                });
            }
        }
    }

    /// Ends what runs, before the log is closed: its reader keeps the log open. What is left can say afterwards that
    /// nothing is to be swept.
    pub(super) fn stop(mut self) -> Option<Marker> {
        if let Some(sweep) = self.running.take() {
            self.may_have_orphans |= !sweep.finish();
        }
        self.may_have_orphans |= self.objects.leaves_unnamed();
        self.marker.filter(|_| !self.may_have_orphans && !self.is_due)
    }
}

/// Notes that the log, closed at `end`, needs no sweep at the next start.
pub(super) fn leave(marker: &Marker, end: Position) {
    if let Err(error) = marker.leave(end) {
        unwind::tell(|| {
            tracing::debug!(target: "lastword::sweep", %error, "the next start sweeps");
        });
    }
}

/// Whether what nothing names is collected under a retention, so long after the sweep before.
fn is_too_much(unnamed: u64, since: Duration) -> bool {
    unnamed >= MOST_UNNAMED || unnamed > 0 && since >= LONGEST_UNNAMED
}

/// One sweep on its thread. Dropped, it is stopped, and waited for.
struct Sweep {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<bool>>,
}

impl Sweep {
    fn start(objects: Arc<Sweepable>, reader: Box<dyn LogReader>, durable: Seq) -> io::Result<Sweep> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sweep = move || {
            step_back();
            match unwind::catch(|| objects.sweep(&*reader, durable, &stopped)) {
                Ok(Ok(removed)) => {
                    unwind::tell(|| {
                        tracing::debug!(target: "lastword::sweep", removed, "orphaned objects collected");
                    });
                    !stopped.load(Ordering::Acquire)
                }
                Ok(Err(error)) => {
                    unwind::tell(|| {
                        tracing::warn!(target: "lastword::sweep", %error, "orphaned objects were not collected");
                    });
                    false
                }
                Err(panic) => {
                    unwind::tell(|| {
                        tracing::error!(target: "lastword::sweep", panic, "collecting orphaned objects panicked");
                    });
                    false
                }
            }
        };
        let thread = thread::Builder::new().name("lastword-sweep".to_owned()).spawn(sweep)?;
        Ok(Sweep { stop, thread: Some(thread) })
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether it went through, once it has ended.
    fn finish(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        // One that has ended hears nothing of it.
        self.stop.store(true, Ordering::Release);
        // It reports its own errors; a panic in it has harmed nothing.
        self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.end();
    }
}
