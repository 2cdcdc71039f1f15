//! Counters, for dashboards. They start at zero with every process.
//!
//! *Architecture invariant:* it counts what others tell it. Nothing depends on a counter.

use std::time::Duration;

use crate::core::vocabulary::{
    AbortReason, Epoch, Event, FailReason, ParkCause, RefreshReason, RejectReason, Seq, Timestamp,
};
use crate::worker::Traffic;

/// What the engine has done since it was opened, and what it is doing now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// When this was so: the engine's time.
    pub at: Timestamp,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The last durable event.
    pub durable: Seq,
    /// The first event that the log holds.
    pub begins: Seq,
    /// The event of the last snapshot, or of the last attempt at one; 0 before the first.
    pub snapshot: Seq,
    /// Collections.
    pub collections: u64,
    /// Collections with a live task.
    pub live: u64,
    /// Collections whose live task is not running.
    pub waiting: u64,
    /// Collections whose task was given up.
    pub parked: u64,
    /// Collections that are paused.
    pub paused: u64,
    /// Collections with an observation that waits for a person.
    pub held: u64,
    /// Collections whose source cannot be observed.
    pub unobservable: u64,
    /// Collections whose source is due to be observed and is not, see [`NotObserved`](crate::core::NotObserved).
    pub not_observed: u64,
    /// The greatest lag of a collection whose source can be observed.
    pub lag: Duration,
    /// Attempts running or being told to stop.
    pub attempts: u64,
    /// Those of them that sleep in [`wait_stopped`](crate::Context::wait_stopped).
    pub sleeping: u64,
    /// Attempts leased to remote workers, running or told to stop.
    pub leased: u64,
    /// Remote workers that wait for an assignment.
    pub assignment_waiters: u64,
    /// Idle worker threads.
    pub idle_workers: u64,
    /// Worker threads given up and not come back.
    pub abandoned_workers: u64,
    /// Observations under way.
    pub observations: u64,
    /// Entries of outboxes that are not delivered yet, those of dropped collections included.
    pub undelivered: u64,
    /// Those of them that are commits to be published.
    pub unpublished: u64,
    /// How long ago the oldest commit that is to be published was made: how far a destination is behind, at most.
    pub publish_lag: Duration,
    /// Publications, discards and verifications under way.
    pub deliveries: u64,
    /// Those that took longer than allowed and have not come back.
    pub overdue_deliveries: u64,
    /// When something happens by itself: a deadline, a retry, an observation, a delivery, an attempt that wakes. Nothing that waits for a
    /// worker, an answer or a person is in it.
    pub due: Option<Timestamp>,
    /// Messages in the queue of commands.
    pub queued: u64,
    /// Their bytes, as they are counted against [`Builder::queue_bytes`](super::Builder::queue_bytes).
    pub queued_bytes: u64,
    /// Callers that wait: for a generation to be applied or published, or for a source to be in step.
    pub waiters: u64,
    /// The newest events, which are kept in memory for watches.
    pub feed_events: u64,
    /// About how many bytes these take.
    pub feed_bytes: u64,
    /// How often the reducer's thread woke.
    pub wakes: u64,
    /// Counted since opening.
    pub counters: Counters,
}

/// How long something took, each time: for a histogram. Counted since opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// How often.
    pub count: u64,
    /// All of it together.
    pub total: Duration,
    /// How often it took no longer than the bound at the same place of [`Times::BOUNDS`], and longer than the one before.
    pub within: [u64; 10],
}

impl Times {
    /// The bounds, from the shortest: what a disk or a network does well, slowly, or badly.
    pub const BOUNDS: [Duration; 10] = [
        Duration::from_millis(1),
        Duration::from_millis(3),
        Duration::from_millis(10),
        Duration::from_millis(30),
        Duration::from_millis(100),
        Duration::from_millis(300),
        Duration::from_secs(1),
        Duration::from_secs(3),
        Duration::from_secs(10),
        Duration::from_secs(60),
    ];

    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.total += took;
        let within = Times::BOUNDS.iter().position(|bound| took <= *bound);
        if let Some(count) = within.and_then(|at| self.within.get_mut(at)) {
            *count += 1;
        }
    }
}

/// What is only ever counted up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Events logged.
    pub events: u64,
    /// Frames logged.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// The longest frame in bytes.
    pub frame_longest: u64,
    /// Time spent in appending frames and waiting for their barriers.
    pub barriers: Duration,
    /// The same, each of them.
    pub barrier_times: Times,
    /// The longest of these times.
    pub barrier_longest: Duration,
    /// Tasks created.
    pub tasks: u64,
    /// Tasks committed.
    pub committed: u64,
    /// Tasks superseded.
    pub superseded: u64,
    /// Tasks cancelled by a person.
    pub cancelled: u64,
    /// Tasks aborted because their collection was dropped.
    pub dropped: u64,
    /// Tasks parked because trying again will not help.
    pub parked_permanent: u64,
    /// Tasks parked because every attempt that they may have has failed.
    pub parked_out_of_attempts: u64,
    /// Tasks parked because too many attempts ended with their process.
    pub parked_lost_too_often: u64,
    /// Attempts started.
    pub attempts: u64,
    /// Attempts failed: the sum of the five that follow.
    pub failed: u64,
    /// Attempts whose worker reported a failure.
    pub failed_reported: u64,
    /// Attempts that ran longer than allowed.
    pub failed_timed_out: u64,
    /// Attempts whose process is gone.
    pub failed_worker_lost: u64,
    /// Attempts whose worker panicked.
    pub failed_panicked: u64,
    /// Attempts under which the source changed.
    pub failed_source_moved: u64,
    /// Completions refused because something else is wanted.
    pub rejected_stale: u64,
    /// Completions refused because their task or attempt may not commit.
    pub rejected_not_live: u64,
    /// Completions that had been committed before.
    pub rejected_duplicate: u64,
    /// Completions of collections that are gone.
    pub rejected_unknown: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Snapshots that could not be taken.
    pub snapshots_failed: u64,
    /// How often a prefix of the log was let go.
    pub compactions: u64,
    /// Commits published.
    pub published: u64,
    /// Times that an outbox entry could not be delivered, a publication or a discard.
    pub publish_failed: u64,
    /// Discards that were delivered.
    pub discarded: u64,
    /// Verifications of what was committed, whatever they found.
    pub verifications: u64,
    /// Those of them that found it drifted, and led to a rebuild.
    pub drifts: u64,
    /// Time that workers spent on attempts which committed nothing.
    pub wasted_work: Duration,
    /// Observations that came back, and how long each took.
    pub looks: Times,
    /// Those of them that could not observe their source.
    pub looks_failed: u64,
    /// Requests that observations sent over a wire.
    pub look_requests: u64,
    /// How often observations were asked to wait.
    pub look_throttled: u64,
}

impl Counters {
    /// Counts one event.
    pub(super) fn event(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::TaskCreated { .. } => self.tasks += 1,
            Event::TaskStarted { .. } => self.attempts += 1,
            Event::TaskCompleted { .. } => self.committed += 1,
            Event::AttemptFailed { reason, .. } => self.failed(*reason),
            Event::TaskAborted { reason, .. } => match reason {
                AbortReason::Superseded => self.superseded += 1,
                AbortReason::Dropped => self.dropped += 1,
                AbortReason::Cancelled => self.cancelled += 1,
            },
            Event::TaskParked { cause, .. } => match cause {
                ParkCause::Permanent => self.parked_permanent += 1,
                ParkCause::OutOfAttempts => self.parked_out_of_attempts += 1,
                ParkCause::LostTooOften => self.parked_lost_too_often += 1,
            },
            Event::Published { .. } => self.published += 1,
            Event::PublishFailed { .. } => self.publish_failed += 1,
            Event::Discarded { .. } => self.discarded += 1,
            Event::RefreshRequested { reason: RefreshReason::Drift(_), .. } => self.drifts += 1,
            Event::CompletionRejected { reason, .. } => match reason {
                RejectReason::Stale => self.rejected_stale += 1,
                RejectReason::NotLive => self.rejected_not_live += 1,
                RejectReason::Duplicate => self.rejected_duplicate += 1,
                RejectReason::UnknownCollection => self.rejected_unknown += 1,
            },
            _ => {}
        }
    }

    fn failed(&mut self, reason: FailReason) {
        self.failed += 1;
        match reason {
            FailReason::Failed => self.failed_reported += 1,
            FailReason::TimedOut => self.failed_timed_out += 1,
            FailReason::WorkerLost => self.failed_worker_lost += 1,
            FailReason::Panicked => self.failed_panicked += 1,
            FailReason::SourceMoved => self.failed_source_moved += 1,
        }
    }

    /// Counts an observation that came back.
    pub(super) fn look(&mut self, took: Duration, found: bool, traffic: Traffic) {
        self.looks.add(took);
        self.looks_failed += u64::from(!found);
        // An observer says what it likes.
        self.look_requests = self.look_requests.saturating_add(traffic.requests);
        self.look_throttled = self.look_throttled.saturating_add(traffic.throttled);
    }

    /// Counts one frame.
    pub(super) fn frame(&mut self, bytes: usize, barrier: Duration) {
        self.frames += 1;
        self.frame_bytes += bytes as u64;
        self.frame_longest = self.frame_longest.max(bytes as u64);
        self.barriers += barrier;
        self.barrier_times.add(barrier);
        self.barrier_longest = self.barrier_longest.max(barrier);
    }
}
