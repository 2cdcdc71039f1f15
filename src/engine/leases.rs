//! Attempts that are lent to workers outside, and who waits to be lent one. Heartbeats are kept in memory only: after
//! an opening every lease begins anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::job::Job;
use super::message::Reply;
use crate::core::vocabulary::{AttemptRef, Duties, Kind, Timestamp, Token, WorkerName};
use crate::worker::{Progress, Signals};

/// The shortest lease: what a busy machine needs to answer a heartbeat.
pub(super) const SHORTEST_LEASE: Duration = Duration::from_millis(10);

/// The longest lease: whoever has been silent for a day is not coming back.
pub(super) const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);

/// Somebody who waits for work.
pub(super) struct Seeker {
    pub(super) kinds: BTreeMap<Kind, Duties>,
    pub(super) worker: WorkerName,
    pub(super) lease: Duration,
    pub(super) reply: Reply<Job>,
}

#[derive(Default)]
pub(super) struct Leases {
    /// The attempts that are lent out and have not ended.
    held: BTreeMap<Token, Lease>,
    due: BTreeSet<(Timestamp, Token)>,
    seekers: VecDeque<Seeker>,
    /// Attempts that were started for somebody who had left before the job arrived.
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
    /// An attempt is lent out from now on.
    pub(super) fn begin(&mut self, attempt: AttemptRef, span: Duration, now: Timestamp) {
        let until = now.after(span);
        self.due.insert((until, attempt.token));
        self.held.insert(attempt.token, Lease { attempt, span, begun: now, until, signals: Arc::default() });
    }

    /// The attempt may not commit any more: from here on its grace counts, not its lease.
    pub(super) fn stop(&mut self, token: Token) {
        if let Some(lease) = self.held.get(&token) {
            self.due.remove(&(lease.until, token));
            lease.signals.stop();
        }
    }

    /// The attempt has ended; says when it began.
    pub(super) fn end(&mut self, token: Token) -> Option<Timestamp> {
        self.stop(token);
        self.held.remove(&token).map(|lease| lease.begun)
    }

    /// Its worker has shown that it lives; says until when that will do.
    pub(super) fn extend(&mut self, token: Token, now: Timestamp) -> Option<Timestamp> {
        let lease = self.held.get_mut(&token)?;
        self.due.remove(&(lease.until, token));
        lease.until = now.after(lease.span);
        self.due.insert((lease.until, token));
        Some(lease.until)
    }

    /// An attempt whose worker was silent for too long.
    pub(super) fn run_out(&self, now: Timestamp) -> Option<AttemptRef> {
        let (_, token) = self.due.first().filter(|(until, _)| *until <= now)?;
        self.held.get(token).map(|lease| lease.attempt)
    }

    pub(super) fn until(&self, token: Token) -> Option<Timestamp> {
        self.held.get(&token).map(|lease| lease.until)
    }

    pub(super) fn signals(&self, token: Token) -> Option<&Arc<Signals>> {
        self.held.get(&token).map(|lease| &lease.signals)
    }

    pub(super) fn progress(&self, token: Token) -> Option<Progress> {
        self.signals(token).and_then(|signals| signals.progress())
    }

    /// How many attempts are lent out and have not ended.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// When the first lease runs out.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(until, _)| *until)
    }

    pub(super) fn seek(&mut self, seeker: Seeker) {
        self.seekers.push_back(seeker);
    }

    /// Those who wait, longest first, to be gone through and put back.
    pub(super) fn take_seekers(&mut self) -> VecDeque<Seeker> {
        let mut seekers = std::mem::take(&mut self.seekers);
        seekers.retain(|seeker| seeker.reply.is_heard());
        seekers
    }

    /// Those who still wait.
    pub(super) fn seekers(&self) -> impl Iterator<Item = &Seeker> {
        self.seekers.iter().filter(|seeker| seeker.reply.is_heard())
    }

    pub(super) fn leave_unclaimed(&mut self, attempt: AttemptRef) {
        self.unclaimed.push(attempt);
    }

    pub(super) fn has_unclaimed(&self) -> bool {
        !self.unclaimed.is_empty()
    }

    pub(super) fn take_unclaimed(&mut self) -> Vec<AttemptRef> {
        std::mem::take(&mut self.unclaimed)
    }
}
