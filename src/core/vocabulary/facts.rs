//! What events carry: admissions, reasons and causes with their names, results.

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

/// What of what is applied is not there any more, by its path, and what came in its place. Only both together tell a loss
/// from a refresh or a compaction, which replace every file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Missing {
    /// Files that are gone.
    pub files: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// Files that came.
    pub new_files: u64,
    /// What came, in bytes: the sizes of those, and by how much the files that stayed have grown.
    pub new_bytes: u64,
}

impl Missing {
    /// Whether what came can stand for what went: at least half of its bytes or, where nothing that went had any, of its
    /// files.
    #[must_use]
    pub fn is_replaced(self) -> bool {
        let (came, went) = if self.bytes > 0 { (self.new_bytes, self.bytes) } else { (self.new_files, self.files) };
        came >= went.div_ceil(2)
    }
}

/// So many files are gone, and nothing came in their place that anybody has counted.
impl From<u64> for Missing {
    fn from(files: u64) -> Missing {
        Missing { files, ..Missing::default() }
    }
}

/// Whether inputs are wanted.
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

impl HoldCause {
    /// `empty` or `most_gone`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HoldCause::Empty => "empty",
            HoldCause::MostGone { .. } => "most_gone",
        }
    }
}

/// Why a refresh was requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefreshReason {
    /// A caller asked.
    Asked,
    /// The policy's `resync` came due.
    Resync,
    /// What was committed is not there any more; this is what was found instead.
    Drift(Box<str>),
}

impl RefreshReason {
    /// `asked`, `resync` or `drift`: its name in JSON.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            RefreshReason::Asked => "asked",
            RefreshReason::Resync => "resync",
            RefreshReason::Drift(_) => "drift",
        }
    }
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

/// What is delivered to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryKind {
    /// A commit is published.
    Publish,
    /// Outputs are discarded.
    Discard,
}

impl DeliveryKind {
    /// `publish` or `discard`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryKind::Publish => "publish",
            DeliveryKind::Discard => "discard",
        }
    }
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

impl AbortReason {
    /// `superseded`, `dropped` or `cancelled`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AbortReason::Superseded => "superseded",
            AbortReason::Dropped => "dropped",
            AbortReason::Cancelled => "cancelled",
        }
    }
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

impl FailReason {
    /// `failed`, `timed_out`, `worker_lost`, `panicked` or `source_moved`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailReason::Failed => "failed",
            FailReason::TimedOut => "timed_out",
            FailReason::WorkerLost => "worker_lost",
            FailReason::Panicked => "panicked",
            FailReason::SourceMoved => "source_moved",
        }
    }
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

impl EndReason {
    /// `acknowledged`, `abandoned` or `lost`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::Acknowledged => "acknowledged",
            EndReason::Abandoned => "abandoned",
            EndReason::Lost => "lost",
        }
    }
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

impl ParkCause {
    /// `permanent`, `out_of_attempts` or `lost_too_often`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ParkCause::Permanent => "permanent",
            ParkCause::OutOfAttempts => "out_of_attempts",
            ParkCause::LostTooOften => "lost_too_often",
        }
    }
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

impl RejectReason {
    /// `stale`, `not_live`, `duplicate` or `unknown_collection`: its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::Stale => "stale",
            RejectReason::NotLive => "not_live",
            RejectReason::Duplicate => "duplicate",
            RejectReason::UnknownCollection => "unknown_collection",
        }
    }
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
    /// [`Built::MOST_OUTPUT`] bytes. If a kind that discards names neither this nor a manifest, the commit has the token
    /// of its attempt here: what was made under that token is then discarded once it is replaced.
    pub output: Option<Box<str>>,
}

impl Built {
    /// The most bytes an output may have: a reference, not the result.
    pub const MOST_OUTPUT: usize = 4096;

    /// The same, with the token of its attempt for an output if it names nothing.
    pub(crate) fn named_by(self, token: Token) -> Built {
        let is_named = self.manifest.is_some() || self.output.is_some();
        if is_named { self } else { Built { output: Some(token.to_string().into()), ..self } }
    }

    /// The same, to be kept. All results of kinds that say nothing of what they build share one allocation.
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
