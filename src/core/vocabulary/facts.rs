//! What events carry: objects, admissions, reasons and causes, results.

use std::sync::{Arc, LazyLock};

use super::{Fingerprint, Generation, ObjectHash, Timestamp, Token};

/// What differs between two observations, in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Delta {
    /// Files that were not there before.
    pub added: u64,
    /// Files that are gone.
    pub removed: u64,
    /// Files of the same path with another version.
    pub changed: u64,
}

/// Whether a word is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// It is what is wanted from here on (or still).
    Admitted {
        /// What is wanted; `None` until the source was observed, which a declared source has to be first.
        wanted: Option<Fingerprint>,
        /// Its generation.
        generation: Generation,
    },
    /// It waits until the live task has ended.
    Waiting,
    /// It waits until the source was quiet.
    Settling {
        /// When it will be admitted if nothing else is observed.
        until: Timestamp,
    },
}

/// Why an observation waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HoldCause {
    /// The source holds no files.
    Empty,
    /// Most of the files that are applied are gone.
    MostGone {
        /// How many.
        gone: u64,
        /// Of how many.
        of: u64,
    },
}

/// Why a refresh was requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefreshReason {
    /// Somebody asked.
    Asked,
    /// The policy's `resync` came due.
    Resync,
    /// What was committed is not there any more; this is what was found instead.
    Drift(Box<str>),
}

/// What a kind does for its destination beside building: a fact of each attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Duties {
    /// It publishes every commit.
    pub publish: bool,
    /// It discards the outputs that can never be live again.
    pub discard: bool,
}

impl Duties {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.publish || self.discard
    }
}

/// What is done to meet an obligation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryKind {
    /// A commit is published.
    Publish,
    /// Outputs are discarded.
    Discard,
}

/// Why a live task was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AbortReason {
    /// Something newer is wanted.
    Superseded,
    /// Its collection was dropped.
    Dropped,
    /// A person cancelled it.
    Cancelled,
}

/// An attempt that was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stopping {
    /// Its token.
    pub token: Token,
    /// Then it is abandoned.
    pub grace_until: Timestamp,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailReason {
    /// The worker reported a failure.
    Failed,
    /// It ran longer than allowed.
    TimedOut,
    /// The process that ran it is gone.
    WorkerLost,
    /// The worker panicked.
    Panicked,
    /// The source changed under it. Not charged to the task.
    SourceMoved,
}

/// How an attempt let go of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// The worker returned.
    Acknowledged,
    /// It did not stop within its grace; its worker was replaced.
    Abandoned,
    /// The process that ran it is gone.
    Lost,
}

/// Why a task was parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkCause {
    /// The worker said that trying again will not help.
    Permanent,
    /// Every attempt that the policy allows has failed.
    OutOfAttempts,
    /// Too many attempts ended with their process.
    LostTooOften,
}

/// Why a completion was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// It was built from what is no longer wanted.
    Stale,
    /// Its task or attempt may not commit (any more).
    NotLive,
    /// This very completion was committed before.
    Duplicate,
    /// Its collection was dropped or never existed.
    UnknownCollection,
}

/// What an attempt has built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Built {
    /// The manifest, for kinds that write one.
    pub manifest: Option<ObjectHash>,
    /// Segments kept, new and dropped, for kinds that build segments.
    pub segments: Option<SegmentCounts>,
    /// How many rows the result holds, if that is known.
    pub rows: Option<u64>,
    /// What the worker wants to remember of its result: a path, an address, a checksum. At most
    /// [`Built::MOST_OUTPUT`] bytes.
    pub output: Option<Box<str>>,
}

impl Built {
    /// The most bytes an output may have: a reference, not the result.
    pub const MOST_OUTPUT: usize = 4096;

    /// The same, to be kept. Some kinds have nothing to say of what they build, and that is said once for all of them.
    pub(crate) fn shared(self) -> Arc<Built> {
        static NOTHING: LazyLock<Arc<Built>> = LazyLock::new(Arc::default);
        if self == **NOTHING { Arc::clone(&NOTHING) } else { Arc::new(self) }
    }
}

/// Segments of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SegmentCounts {
    /// Taken over from the commit before.
    pub kept: u64,
    /// Built by this commit.
    pub new: u64,
    /// Of the commit before, no longer part of the result.
    pub dropped: u64,
}
