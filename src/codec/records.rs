//! The frozen payloads: one struct for each (type, version), exactly as `log-format.md` lays them out.
//!
//! A struct here never changes. What a new version needs is a new struct, a new version number and a pure
//! upcaster in `mod.rs`. No `usize`, floats, maps, recursion or attributes that change the layout.

use bincode::{BorrowDecode, Encode};

pub(super) type Hash32 = [u8; 32];

/// Type 1, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct WriterOpenedV1<'a> {
    pub(super) software: &'a str,
}

/// Type 2, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct DataLossAcceptedV1<'a> {
    pub(super) last: u64,
    pub(super) found: &'a str,
}

/// Type 3, versions 1 and 2, which say how the state is encoded that `bytes` are a part of.
#[derive(Encode, BorrowDecode)]
pub(super) struct BaseFrameV1<'a> {
    pub(super) at: u64,
    pub(super) hash: Hash32,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) bytes: &'a [u8],
}

/// Type 4, version 1. Kinds and prefixes in ascending order of their bytes.
#[derive(Encode, BorrowDecode)]
pub(super) struct LimitsChangedV1<'a> {
    pub(super) total: Option<u32>,
    pub(super) kinds: Vec<LimitV1<'a>>,
    pub(super) prefixes: Vec<LimitV1<'a>>,
}

/// Part of type 4.
#[derive(Encode, BorrowDecode)]
pub(super) struct LimitV1<'a> {
    pub(super) of: &'a str,
    pub(super) most: u32,
}

/// Before the payload of a record whose version has its highest bit set.
#[derive(Encode, BorrowDecode)]
pub(super) struct ByV1<'a> {
    pub(super) actor: Option<&'a str>,
    pub(super) cause: Option<&'a str>,
}

/// Type 16, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct CollectionDeclaredV1<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) source: &'a str,
    pub(super) spec: &'a str,
    pub(super) versioned: bool,
    pub(super) policy: PolicyV1,
    pub(super) revision: Option<u64>,
    pub(super) wanted: Option<Hash32>,
}

/// Type 16, version 2.
#[derive(Encode, BorrowDecode)]
pub(super) struct CollectionDeclaredV2<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) source: &'a str,
    pub(super) spec: &'a str,
    pub(super) versioned: bool,
    pub(super) policy: PolicyV2,
    pub(super) revision: Option<u64>,
    pub(super) wanted: Option<Hash32>,
}

/// Part of types 16 and 19, version 2: what was there, and what came to it.
#[derive(Encode, BorrowDecode)]
pub(super) struct PolicyV2 {
    pub(super) before: PolicyV1,
    pub(super) max_lag: Option<u64>,
    pub(super) slow_retry: Option<u64>,
    pub(super) max_lost_alone: Option<u32>,
}

/// Part of types 16 and 19, version 1. All durations in microseconds.
#[derive(Encode, BorrowDecode)]
pub(super) struct PolicyV1 {
    pub(super) on_change: OnChangeV1,
    pub(super) grace: u64,
    pub(super) quiet: u64,
    pub(super) max_delay: u64,
    pub(super) max_attempts: u32,
    pub(super) backoff_base: u64,
    pub(super) backoff_cap: u64,
    pub(super) max_lost: u32,
    pub(super) attempt_timeout: Option<u64>,
    pub(super) empty_source: EmptySourceV1,
    /// The priority plus 32,768: no signed numbers on disk.
    pub(super) priority: u16,
    pub(super) resync: Option<u64>,
}

/// Part of `PolicyV1`.
#[derive(Encode, BorrowDecode)]
pub(super) enum OnChangeV1 {
    Supersede,
    FinishThenLatest,
    Reject,
}

/// Part of `PolicyV1`.
#[derive(Encode, BorrowDecode)]
pub(super) enum EmptySourceV1 {
    Hold,
    Apply,
}

/// Type 17, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct SourceChangedV1<'a> {
    pub(super) collection: u64,
    pub(super) source: &'a str,
    pub(super) admission: AdmissionV1,
}

/// Type 18, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct SpecChangedV1<'a> {
    pub(super) collection: u64,
    pub(super) spec: &'a str,
    pub(super) admission: AdmissionV1,
}

/// Type 19, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct PolicyChangedV1 {
    pub(super) collection: u64,
    pub(super) policy: PolicyV1,
    pub(super) revision: Option<u64>,
    pub(super) resync_at: Option<u64>,
}

/// Type 19, version 2.
#[derive(Encode, BorrowDecode)]
pub(super) struct PolicyChangedV2 {
    pub(super) collection: u64,
    pub(super) policy: PolicyV2,
    pub(super) revision: Option<u64>,
    pub(super) resync_at: Option<u64>,
}

/// Types 20, 21 and 22, version 1: nothing but the collection.
#[derive(Encode, BorrowDecode)]
pub(super) struct CollectionOnlyV1 {
    pub(super) collection: u64,
}

/// Type 23, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct RefreshRequestedV1<'a> {
    pub(super) collection: u64,
    pub(super) force: bool,
    pub(super) reason: RefreshReasonV1<'a>,
    pub(super) resync_at: Option<u64>,
}

/// Part of type 23.
#[derive(Encode, BorrowDecode)]
pub(super) enum RefreshReasonV1<'a> {
    Asked,
    Resync,
    Drift { message: &'a str },
}

/// Part of types 32 and 34.
#[derive(Encode, BorrowDecode)]
pub(super) struct ObservedV1<'a> {
    pub(super) version: &'a [u8],
    pub(super) set: Option<PathSetV1>,
}

/// Part of `ObservedV1`.
#[derive(Encode, BorrowDecode)]
pub(super) struct PathSetV1 {
    pub(super) root: Hash32,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Part of types 32 and 34.
#[derive(Encode, BorrowDecode)]
pub(super) struct DeltaV1 {
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) changed: u64,
}

/// Type 32, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct SourceObservedV1<'a> {
    pub(super) collection: u64,
    pub(super) observed: ObservedV1<'a>,
    pub(super) delta: Option<DeltaV1>,
    pub(super) admission: AdmissionV1,
}

/// Part of types 17, 18 and 32.
#[derive(Encode, BorrowDecode)]
pub(super) enum AdmissionV1 {
    Admitted { wanted: Option<Hash32>, generation: u64 },
    Settling { until: u64 },
    Waiting,
}

/// Type 33, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct ObservationFailedV1<'a> {
    pub(super) collection: u64,
    pub(super) cause: &'a str,
}

/// Type 34, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct CollectionHeldV1<'a> {
    pub(super) collection: u64,
    pub(super) observed: ObservedV1<'a>,
    pub(super) delta: Option<DeltaV1>,
    pub(super) cause: HoldCauseV1,
    pub(super) fingerprint: Hash32,
}

/// Part of type 34.
#[derive(Encode, BorrowDecode)]
pub(super) enum HoldCauseV1 {
    Empty,
    MostGone { gone: u64, of: u64 },
}

/// Type 35, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct HoldConfirmedV1 {
    pub(super) collection: u64,
    pub(super) fingerprint: Hash32,
    pub(super) generation: u64,
}

/// Type 48, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct TaskCreatedV1 {
    pub(super) collection: u64,
    pub(super) generation: u64,
    pub(super) fingerprint: Hash32,
    pub(super) not_before: u64,
    pub(super) rebuild: bool,
}

/// Type 49, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct TaskStartedV1<'a> {
    pub(super) collection: u64,
    pub(super) task: u64,
    pub(super) attempt: u32,
    pub(super) worker: &'a str,
    pub(super) deadline: Option<u64>,
    pub(super) lease: Option<u64>,
    pub(super) publish: bool,
    pub(super) discard: bool,
}

/// Type 50, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct TaskAbortedV1 {
    pub(super) collection: u64,
    pub(super) task: u64,
    pub(super) reason: AbortReasonV1,
    pub(super) stopping: Option<StoppingV1>,
}

/// Part of type 50.
#[derive(Encode, BorrowDecode)]
pub(super) enum AbortReasonV1 {
    Superseded,
    Dropped,
    Cancelled,
}

/// Part of type 50.
#[derive(Encode, BorrowDecode)]
pub(super) struct StoppingV1 {
    pub(super) token: TokenV1,
    pub(super) grace_until: u64,
}

/// Part of types 50 to 53 and 55.
#[derive(Encode, BorrowDecode)]
pub(super) struct TokenV1 {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

/// Part of types 51, 52, 53 and 55: which attempt.
#[derive(Encode, BorrowDecode)]
pub(super) struct AttemptV1 {
    pub(super) collection: u64,
    pub(super) task: u64,
    pub(super) attempt: u32,
    pub(super) token: TokenV1,
}

/// Type 51, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct TaskCompletedV1<'a> {
    pub(super) attempt: AttemptV1,
    pub(super) fingerprint: Hash32,
    pub(super) manifest: Option<Hash32>,
    pub(super) segments: Option<SegmentCountsV1>,
    pub(super) rows: Option<u64>,
    pub(super) output: Option<&'a str>,
    pub(super) resync_at: Option<u64>,
}

/// Part of type 51.
#[derive(Encode, BorrowDecode)]
pub(super) struct SegmentCountsV1 {
    pub(super) kept: u64,
    pub(super) new: u64,
    pub(super) dropped: u64,
}

/// Type 52, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct AttemptFailedV1<'a> {
    pub(super) attempt: AttemptV1,
    pub(super) reason: FailReasonV1,
    pub(super) message: &'a str,
    pub(super) retry_at: u64,
    pub(super) failures: u32,
    pub(super) grace_until: Option<u64>,
}

/// Part of type 52.
#[derive(Encode, BorrowDecode)]
pub(super) enum FailReasonV1 {
    Failed,
    TimedOut,
    WorkerLost,
    Panicked,
    SourceMoved,
}

/// Type 53, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct AttemptEndedV1 {
    pub(super) attempt: AttemptV1,
    pub(super) reason: EndReasonV1,
}

/// Part of type 53.
#[derive(Encode, BorrowDecode)]
pub(super) enum EndReasonV1 {
    Acknowledged,
    Abandoned,
    Lost,
}

/// Type 54, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct TaskParkedV1 {
    pub(super) collection: u64,
    pub(super) task: u64,
    pub(super) cause: ParkCauseV1,
}

/// Part of type 54.
#[derive(Encode, BorrowDecode)]
pub(super) enum ParkCauseV1 {
    Permanent,
    OutOfAttempts,
    LostTooOften,
}

/// Type 56, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct TaskWokenV1 {
    pub(super) collection: u64,
    pub(super) task: u64,
    pub(super) not_before: u64,
}

/// Type 55, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct CompletionRejectedV1 {
    pub(super) attempt: AttemptV1,
    pub(super) reason: RejectReasonV1,
    pub(super) fingerprint: Hash32,
    pub(super) wanted: Option<Hash32>,
}

/// Part of type 55.
#[derive(Encode, BorrowDecode)]
pub(super) enum RejectReasonV1 {
    Stale,
    NotLive,
    Duplicate,
    UnknownCollection,
}

/// Type 64, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct PublishedV1 {
    pub(super) collection: u64,
    pub(super) commit: u64,
    pub(super) token: TokenV1,
    pub(super) fingerprint: Hash32,
}

/// Type 65, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct PublishFailedV1<'a> {
    pub(super) collection: u64,
    pub(super) obligation: u64,
    pub(super) delivery: DeliveryV1,
    pub(super) message: &'a str,
    pub(super) failures: u32,
    pub(super) retry_at: u64,
}

/// Part of type 65.
#[derive(Encode, BorrowDecode)]
pub(super) enum DeliveryV1 {
    Publish,
    Discard,
}

/// Type 66, version 1.
#[derive(Encode, BorrowDecode)]
pub(super) struct DiscardedV1 {
    pub(super) collection: u64,
    pub(super) obligation: u64,
}
