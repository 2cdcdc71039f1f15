//! Attempts that are leased to remote workers, and the workers that wait for one. Heartbeats are kept in memory only:
//! after an opening every lease begins anew.
//!
//! *Architecture invariant:* this part sees the state and durable events, and returns commands and answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::floor::Begun;
use super::message::AssignmentWaiter;
use super::remote::{AttemptState, CompletionOutcome, HeartbeatReply, LeasedAssignment};
use crate::core::vocabulary::{
    AttemptRef, CollectionId, EngineCommand, Event, FieldError, Kind, Recorded, RejectReason, Stopping, Timestamp,
    Token, WorkerName,
};
use crate::core::{RunsAt, State};
use crate::worker::{Assignment, Progress, Signals};

/// The shortest lease: what a busy machine needs to answer a heartbeat.
const SHORTEST_LEASE: Duration = Duration::from_millis(10);

/// The longest lease: a worker that has been silent for a day is not coming back.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);

/// Leases that run out in one batch. Each adds at most four events.
const MOST_RUN_OUT: usize = 1024;

/// Kinds that are remembered because a caller has asked for an assignment of them: far more than any program has, so that
/// one that makes them up takes no memory.
const MOST_DRIVEN: usize = 4096;

/// Workers of which it is remembered that they have handed attempts back: far more than hand back in a second.
const MOST_RELEASED: usize = 4096;

pub(super) struct Leases {
    /// The kinds that callers drive: those that were said to be when the engine was started, and those that were asked for
    /// since.
    driven: BTreeSet<Kind>,
    /// The attempts that are leased and have not ended.
    held: BTreeMap<Token, Lease>,
    due: BTreeSet<(Timestamp, Token)>,
    /// In the order in which they came.
    waiting: VecDeque<AssignmentWaiter>,
    /// The workers that have handed attempts back lately.
    released: BTreeMap<WorkerName, Begun>,
    /// Attempts that were started for a worker that had left before they arrived.
    unclaimed: Vec<AttemptRef>,
}

struct Lease {
    attempt: AttemptRef,
    span: Duration,
    begun: Timestamp,
    until: Timestamp,
    signals: Arc<Signals>,
}

impl Leases {
    pub(super) fn new(driven: BTreeSet<Kind>) -> Leases {
        let (held, due, waiting) = (BTreeMap::new(), BTreeSet::new(), VecDeque::new());
        Leases { driven, held, due, waiting, released: BTreeMap::new(), unclaimed: Vec::new() }
    }

    /// Whether callers drive this kind.
    pub(super) fn drives(&self, kind: &Kind) -> bool {
        self.driven.contains(kind)
    }

    /// The kinds that callers drive, as far as is known.
    pub(super) fn driven(&self) -> &BTreeSet<Kind> {
        &self.driven
    }

    /// Attempts that were leased by an earlier process may still come back: their leases begin anew.
    pub(super) fn resume(&mut self, state: &State, now: Timestamp) {
        let leased = |(id, attempt): (CollectionId, AttemptRef)| {
            let lease = state.collection(id)?.status.attempt()?.lease?;
            Some((attempt, lease))
        };
        for (attempt, lease) in state.running().filter_map(leased) {
            self.begin(attempt, lease, now);
        }
    }

    /// What a durable event means for the leases. If it ends one, says when that began.
    pub(super) fn on_event(&mut self, recorded: &Recorded) -> Option<(AttemptRef, Timestamp)> {
        match recorded.event {
            Event::TaskStarted { collection, task, attempt, lease: Some(lease), .. } => {
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                self.begin(AttemptRef { collection, task, attempt, token }, lease, recorded.at);
                None
            }
            Event::TaskAborted { stopping: Some(Stopping { token, .. }), .. }
            | Event::AttemptFailed { token, grace_until: Some(_), .. } => {
                self.stop(token);
                None
            }
            Event::AttemptEnded { token, .. } => {
                self.stop(token);
                self.held.remove(&token).map(|lease| (lease.attempt, lease.begun))
            }
            _ => None,
        }
    }

    /// When the first lease runs out, or an attempt has to be taken back.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.unclaimed.is_empty() { self.due.first().map(|(until, _)| *until) } else { Some(now) }
    }

    /// When a worker that waits can be given something.
    pub(super) fn next_ready(&self, state: &State, now: Timestamp) -> Option<Timestamp> {
        let ready = |waiter: &AssignmentWaiter| {
            let ready = state.next_ready_at(RunsAt::Elsewhere, &waiter.kinds, now)?;
            Some(ready.max(self.next_of(&waiter.worker)))
        };
        self.waiting().filter_map(ready).min()
    }

    /// A worker hands back an attempt that it might have gone on with. One that does nothing else would fill the log: it
    /// gets the next a little later, and every other worker at once.
    pub(super) fn hand_back(&mut self, worker: &WorkerName, now: Timestamp) {
        if self.released.len() >= MOST_RELEASED {
            self.released.retain(|_, released| !released.is_paid(now));
        }
        if self.released.len() < MOST_RELEASED || self.released.contains_key(worker) {
            self.released.entry(worker.clone()).or_default().begin(now);
        }
    }

    /// Whether a worker that waits may be given something.
    pub(super) fn may_get(&self, waiter: &AssignmentWaiter, now: Timestamp) -> bool {
        self.next_of(&waiter.worker) <= now
    }

    fn next_of(&self, worker: &WorkerName) -> Timestamp {
        self.released.get(worker).map_or(Timestamp(0), |released| released.next())
    }

    /// Takes back what is leased to workers that have left or were silent for too long.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<EngineCommand> {
        let unclaimed = std::mem::take(&mut self.unclaimed).into_iter();
        let mut commands: Vec<_> = unclaimed.map(|attempt| EngineCommand::Stopped { attempt }).collect();
        for _ in 0..MOST_RUN_OUT {
            let Some(token) = self.due.first().filter(|(until, _)| *until <= now).map(|(_, token)| *token) else {
                break;
            };
            self.stop(token);
            commands.extend(self.held.get(&token).map(|lease| EngineCommand::Lost { attempt: lease.attempt }));
        }
        commands
    }

    /// A worker waits for an assignment of one of its kinds.
    pub(super) fn wait(&mut self, waiter: AssignmentWaiter) {
        if self.driven.len() < MOST_DRIVEN {
            self.driven
                .extend(waiter.kinds.keys().filter(|kind| !self.driven.contains(*kind)).cloned().collect::<Vec<_>>());
        }
        self.waiting.push_back(waiter);
    }

    /// A worker goes on waiting. Those that wait are put back in their order.
    pub(super) fn put_back(&mut self, waiter: AssignmentWaiter) {
        self.waiting.push_back(waiter);
    }

    /// The workers that wait, longest first, to be gone through and put back.
    pub(super) fn take_waiting(&mut self) -> VecDeque<AssignmentWaiter> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|waiter| waiter.reply.is_awaited());
        waiting
    }

    /// The attempt is durable: its worker gets it, if it still waits.
    pub(super) fn hand_over(&mut self, waiter: AssignmentWaiter, assignment: Option<Assignment>) {
        let Some(assignment) = assignment else { return };
        let attempt = assignment.attempt();
        let signals = self.held.get(&attempt.token).map_or_else(Arc::default, |lease| Arc::clone(&lease.signals));
        if waiter.reply.offer(LeasedAssignment::new(assignment, waiter.lease, signals)).is_err() {
            self.unclaimed.push(attempt);
        }
    }

    /// A worker has shown that it lives.
    pub(super) fn heartbeat(&mut self, attempt: AttemptRef, state: &State, now: Timestamp) -> HeartbeatReply {
        match self.state_of(attempt, state) {
            AttemptState::Running { .. } => {
                let until = self.extend(attempt.token, now);
                until.map_or(HeartbeatReply::Gone, |until| HeartbeatReply::Go { until })
            }
            AttemptState::Stopping { grace_until } => HeartbeatReply::Stop { grace_until },
            AttemptState::Committed { .. } | AttemptState::Gone => HeartbeatReply::Gone,
        }
    }

    /// What an attempt is now.
    pub(super) fn state_of(&self, attempt: AttemptRef, state: &State) -> AttemptState {
        let id = attempt.collection;
        let collection = state.collection(id);
        if collection.and_then(|c| c.status.running()).is_some_and(|running| running.attempt_of(id) == attempt) {
            return AttemptState::Running { until: self.held.get(&attempt.token).map(|lease| lease.until) };
        }
        if let Some(draining) = state.draining(attempt.token).filter(|draining| draining.attempt == attempt) {
            return AttemptState::Stopping { grace_until: draining.grace_until };
        }
        let applied = collection.and_then(|c| c.applied.as_deref());
        let applied = applied.filter(|applied| (applied.token, applied.task) == (attempt.token, attempt.task));
        applied.map_or(AttemptState::Gone, |applied| AttemptState::Committed { seq: applied.seq })
    }

    /// What became of a completion that led to the events `decided`; nothing if it led to none of its own.
    pub(super) fn outcome(
        &self,
        attempt: AttemptRef,
        decided: &[Recorded],
        state: &State,
    ) -> Option<CompletionOutcome> {
        let outcome = decided.iter().find_map(|recorded| match recorded.event {
            Event::TaskCompleted { .. } => Some(CompletionOutcome::Committed { seq: recorded.seq }),
            Event::CompletionRejected { reason, .. } => Some(CompletionOutcome::Rejected { reason }),
            _ => None,
        });
        match (outcome, self.state_of(attempt, state)) {
            // Repeating what was committed is answered as it was the first time.
            (
                Some(CompletionOutcome::Rejected { reason: RejectReason::Duplicate }),
                AttemptState::Committed { seq },
            ) => Some(CompletionOutcome::Committed { seq }),
            (outcome, _) => outcome,
        }
    }

    pub(super) fn progress(&self, token: Token) -> Option<Progress> {
        self.held.get(&token).and_then(|lease| lease.signals.progress())
    }

    /// The collections whose attempts are leased.
    pub(super) fn collections(&self) -> impl Iterator<Item = CollectionId> + '_ {
        self.held.values().map(|lease| lease.attempt.collection)
    }

    /// How many attempts are leased and have not ended.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// How many workers wait.
    pub(super) fn waiters(&self) -> usize {
        self.waiting().count()
    }

    fn waiting(&self) -> impl Iterator<Item = &AssignmentWaiter> {
        self.waiting.iter().filter(|waiter| waiter.reply.is_awaited())
    }

    fn begin(&mut self, attempt: AttemptRef, span: Duration, now: Timestamp) {
        let until = now.after(span);
        self.due.insert((until, attempt.token));
        self.held.insert(attempt.token, Lease { attempt, span, begun: now, until, signals: Arc::default() });
    }

    /// The attempt may not commit any more: from here on its grace counts, not its lease.
    fn stop(&mut self, token: Token) {
        if let Some(lease) = self.held.get(&token) {
            self.due.remove(&(lease.until, token));
            lease.signals.stop();
        }
    }

    fn extend(&mut self, token: Token, now: Timestamp) -> Option<Timestamp> {
        let lease = self.held.get_mut(&token)?;
        self.due.remove(&(lease.until, token));
        lease.until = now.after(lease.span);
        self.due.insert((lease.until, token));
        Some(lease.until)
    }
}

/// Whether a worker may wait for such an assignment; that its kinds have no worker here is checked elsewhere.
pub(super) fn check(waiter: &AssignmentWaiter) -> Result<(), FieldError> {
    // A worker that serves more kinds than this has mixed something up.
    const MOST_KINDS: usize = 256;
    let AssignmentWaiter { kinds, lease, .. } = waiter;
    if kinds.is_empty() || kinds.len() > MOST_KINDS {
        return Err(FieldError::new("kinds", format!("must be 1 to {MOST_KINDS}, found {}", kinds.len())));
    }
    if *lease < SHORTEST_LEASE || *lease > LONGEST_LEASE {
        let problem = format!("must be {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}, found {lease:?}");
        return Err(FieldError::new("lease", problem));
    }
    Ok(())
}
