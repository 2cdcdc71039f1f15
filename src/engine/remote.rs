//! Kinds that the caller drives: an async runtime, another process, another machine is the worker. It takes an
//! assignment under a lease, shows by heartbeats that it lives, and reports how it went. Silence longer than the lease
//! counts as lost, and another worker takes over under a newer token.
//!
//! Here is what such a worker gets and is answered, as data.
//!
//! *Architecture invariant:* data alone. Which attempt is leased to which worker is known in `leases.rs`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::core::vocabulary::{RejectReason, Seq, Timestamp};
use crate::worker::{Assignment, Signals, Stopped};

/// One attempt that is leased to a remote worker. It gives access to its [`Assignment`]: plain data, which may be
/// written down and sent to another process or machine. That one reports under the same
/// [`attempt`](Assignment::attempt) and [`fingerprint`](Assignment::fingerprint).
#[derive(Clone)]
pub struct LeasedAssignment {
    assignment: Assignment,
    lease: Duration,
    signals: Arc<Signals>,
}

impl LeasedAssignment {
    pub(super) fn new(assignment: Assignment, lease: Duration, signals: Arc<Signals>) -> LeasedAssignment {
        LeasedAssignment { assignment, lease, signals }
    }

    /// How long its worker may be silent. A third of it between heartbeats leaves room for one that is lost.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Says how far the attempt has come. It is shown, not logged, and only by the engine that gave it out.
    pub fn progress(&self, done: u64, total: u64) {
        self.signals.report(done, total);
    }

    /// Whether the attempt was told to stop, or counts as lost.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.signals.is_stopping()
    }

    /// A future that resolves when the attempt is told to stop, or counts as lost: cancellation within the process of
    /// the engine that gave it out. Everywhere else, and after that engine has ended, heartbeats tell.
    pub fn stopped(&self) -> Stopped {
        Stopped::new(Arc::clone(&self.signals))
    }
}

impl Deref for LeasedAssignment {
    type Target = Assignment;

    fn deref(&self) -> &Assignment {
        &self.assignment
    }
}

impl fmt::Debug for LeasedAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeasedAssignment { assignment, lease, signals: _ } = self;
        f.debug_struct("LeasedAssignment").field("assignment", assignment).field("lease", lease).finish_non_exhaustive()
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatReply {
    /// Go on.
    Go {
        /// Without another heartbeat the attempt counts as lost then.
        until: Timestamp,
    },
    /// Stop, and say so: something else is wanted, or the attempt has timed out. Its result can never commit.
    Stop {
        /// Without a report the attempt is abandoned then.
        grace_until: Option<Timestamp>,
    },
    /// The attempt has ended: committed, failed, lost, or of a collection that is gone.
    Gone,
}

/// What an attempt is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// It is the running attempt of the live task.
    Running {
        /// Without a heartbeat it counts as lost then; `None` for an attempt of a worker in the engine's process.
        until: Option<Timestamp>,
    },
    /// It was told to stop and has not said that it has.
    Stopping {
        /// It is abandoned then.
        grace_until: Option<Timestamp>,
    },
    /// Its result is what the collection has applied.
    Committed {
        /// The event that committed it.
        seq: Seq,
    },
    /// It has ended some other way, or another commit has replaced its own.
    Gone,
}

/// What became of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionOutcome {
    /// It is committed, by this completion or by an earlier one of the same attempt.
    Committed {
        /// The event that committed it.
        seq: Seq,
    },
    /// It may not commit, which is recorded.
    Rejected {
        /// Why.
        reason: RejectReason,
    },
}
