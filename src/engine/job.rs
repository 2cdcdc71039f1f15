//! What a worker outside gets and says: a [`Job`], and the answers to what it reports.

use std::sync::Arc;
use std::time::Duration;

use crate::core::Applied;
use crate::core::vocabulary::{
    AttemptRef, CollectionId, Content, Fingerprint, Generation, Kind, Name, RejectReason, Seq, Source, SourceState,
    Spec, Timestamp, Token, Version,
};
use crate::worker::{Assignment, Signals, Stopped};

/// One attempt, lent to a worker that the caller drives. Plain data: it may be written down and sent to another
/// process or machine, which reports under the same [`attempt`](Job::attempt) and [`fingerprint`](Job::fingerprint).
#[derive(Clone, Debug)]
pub struct Job {
    assignment: Assignment,
    lease: Duration,
}

impl Job {
    pub(super) fn new(assignment: Assignment, lease: Duration) -> Job {
        Job { assignment, lease }
    }

    /// The attempt, as it has to be named in every report.
    #[must_use]
    pub fn attempt(&self) -> AttemptRef {
        self.assignment.attempt
    }

    /// The fencing token. Hand it to every destination that can compare tokens.
    #[must_use]
    pub fn token(&self) -> Token {
        self.assignment.attempt.token
    }

    /// The collection's incarnation.
    #[must_use]
    pub fn collection(&self) -> CollectionId {
        self.assignment.attempt.collection
    }

    /// The collection's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.assignment.name
    }

    /// The collection's kind.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.assignment.kind
    }

    /// The source to build from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.assignment.inputs.source
    }

    /// How to build it.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.assignment.inputs.spec
    }

    /// What the source was observed to hold; `None` for an unversioned collection.
    #[must_use]
    pub fn observed(&self) -> Option<&SourceState> {
        match &self.assignment.inputs.content {
            Content::Observed(observed) => Some(observed),
            Content::Unversioned | Content::Unknown => None,
        }
    }

    /// The version that was observed; `None` for an unversioned collection.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.observed().map(|observed| &observed.version)
    }

    /// The fingerprint of all three: what the result is built from.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.assignment.fingerprint
    }

    /// The generation that is built.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.assignment.generation
    }

    /// The last commit of the collection, to build on.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        self.assignment.applied.as_deref()
    }

    /// Earlier attempts of the collection that ended without a commit and whose outputs were not discarded.
    #[must_use]
    pub fn leftovers(&self) -> &[Token] {
        &self.assignment.leftovers
    }

    /// When the attempt times out, however often its worker reports; `None` if it never does.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.assignment.deadline
    }

    /// How long its worker may be silent. A third of it between heartbeats leaves room for one that is lost.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Says how far the attempt has come. It is shown, not logged, and only by the engine that lent it out.
    pub fn progress(&self, done: u64, total: u64) {
        self.signals().report(done, total);
    }

    /// Whether the attempt was told to stop, or counts as lost.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.signals().is_stopping()
    }

    /// A future that resolves when the attempt is told to stop, or counts as lost: cancellation within the process of
    /// the engine that lent it out. Everywhere else, and after that engine has ended, heartbeats tell.
    pub fn stopped(&self) -> Stopped {
        Stopped::new(Arc::clone(self.signals()))
    }

    fn signals(&self) -> &Arc<Signals> {
        &self.assignment.signals
    }
}

/// What a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
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
pub enum Standing {
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
pub enum Decision {
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
