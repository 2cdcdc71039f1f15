//! The frozen layout of the items of a state, exactly as `log-format.md` says.

use bincode::{BorrowDecode, Encode};

use crate::codec::records::{
    AttemptV1, FailReasonV1, Hash32, HoldCauseV1, LimitsChangedV1, ObservedV1, ParkCauseV1, PolicyV2, SegmentCountsV1,
    TokenV1,
};

#[derive(Encode, BorrowDecode)]
pub(super) struct HeadV1<'a> {
    pub(super) last: u64,
    pub(super) epoch: u64,
    pub(super) at: u64,
    pub(super) limits: LimitsChangedV1<'a>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WordV1<'a> {
    pub(super) source: &'a str,
    pub(super) spec: &'a str,
    pub(super) content: ContentV1<'a>,
}

#[derive(Encode, BorrowDecode)]
pub(super) enum ContentV1<'a> {
    Unversioned,
    Unknown,
    Observed(ObservedV1<'a>),
}

/// Version 1 with a `PolicyV1`.
#[derive(Encode, BorrowDecode)]
pub(super) struct CollectionOf<'a, P> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) versioned: bool,
    pub(super) policy: P,
    pub(super) revision: Option<u64>,
    pub(super) latest: u32,
    pub(super) wanted: Option<WantedV1>,
    pub(super) generation: u64,
    pub(super) rebuild: bool,
    pub(super) applied: Option<AppliedV1<'a>>,
    pub(super) pending: Option<PendingV1>,
    pub(super) status: StatusV1<'a>,
    pub(super) last_input: u64,
    pub(super) paused: bool,
    pub(super) failures: u32,
    pub(super) moves: u32,
    pub(super) draining: u32,
    pub(super) unapplied_since: Option<u64>,
    pub(super) unobservable: Option<UnobservableV1<'a>>,
    pub(super) refreshed: u64,
    pub(super) resync_at: Option<u64>,
    pub(super) obligations: Option<ObligationsV1>,
}

/// Version 2: what was there, and what came to it.
#[derive(Encode, BorrowDecode)]
pub(super) struct CollectionV2<'a> {
    pub(super) before: CollectionOf<'a, PolicyV2>,
    pub(super) panics: u32,
    pub(super) crashes: u32,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WantedV1 {
    pub(super) fingerprint: Hash32,
    pub(super) inputs: u32,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct AppliedV1<'a> {
    pub(super) fingerprint: Hash32,
    pub(super) generation: u64,
    pub(super) task: u64,
    pub(super) token: TokenV1,
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) result: BuiltV1<'a>,
    pub(super) inputs: u32,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct BuiltV1<'a> {
    pub(super) manifest: Option<Hash32>,
    pub(super) segments: Option<SegmentCountsV1>,
    pub(super) rows: Option<u64>,
    pub(super) output: Option<&'a str>,
}

#[derive(Encode, BorrowDecode)]
pub(super) enum PendingV1 {
    Settling { since: u64, until: u64 },
    Waiting { since: u64 },
    Held { since: u64, cause: HoldCauseV1, fingerprint: Hash32 },
}

#[derive(Encode, BorrowDecode)]
pub(super) enum StatusV1<'a> {
    Idle,
    Waiting(WaitingV1<'a>),
    Running(RunningV1<'a>),
    Parked(ParkedV1<'a>),
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WaitingV1<'a> {
    pub(super) task: TaskV1<'a>,
    pub(super) not_before: u64,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct RunningV1<'a> {
    pub(super) task: TaskV1<'a>,
    pub(super) number: u32,
    pub(super) token: TokenV1,
    pub(super) worker: &'a str,
    pub(super) started: u64,
    pub(super) deadline: Option<u64>,
    pub(super) lease: Option<u64>,
    pub(super) publish: bool,
    pub(super) discard: bool,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct ParkedV1<'a> {
    pub(super) task: u64,
    pub(super) fingerprint: Hash32,
    pub(super) cause: ParkingV1,
    pub(super) since: u64,
    pub(super) last_failure: Option<FailureV1<'a>>,
}

#[derive(Encode, BorrowDecode)]
pub(super) enum ParkingV1 {
    Failed(ParkCauseV1),
    Cancelled,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct TaskV1<'a> {
    pub(super) id: u64,
    pub(super) fingerprint: Hash32,
    pub(super) generation: u64,
    pub(super) rebuild: bool,
    pub(super) attempts: u32,
    pub(super) charged: u32,
    pub(super) lost: u32,
    pub(super) last_failure: Option<FailureV1<'a>>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct FailureV1<'a> {
    pub(super) reason: FailReasonV1,
    pub(super) message: &'a str,
    pub(super) at: u64,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct UnobservableV1<'a> {
    pub(super) since: u64,
    pub(super) cause: &'a str,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct ObligationsV1 {
    /// How many entries follow.
    pub(super) owed: u64,
    pub(super) leftovers: Vec<TokenV1>,
    pub(super) zombies: Vec<TokenV1>,
    pub(super) published: Option<u64>,
    pub(super) discards: bool,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct ObligationV1<'a> {
    pub(super) id: u64,
    pub(super) since: u64,
    pub(super) owed: OwedV1<'a>,
    pub(super) due: u64,
    pub(super) failures: u32,
    pub(super) cause: Option<&'a str>,
}

#[derive(Encode, BorrowDecode)]
pub(super) enum OwedV1<'a> {
    Publish(AppliedV1<'a>),
    Discard(LeavingV1<'a>),
}

#[derive(Encode, BorrowDecode)]
pub(super) struct LeavingV1<'a> {
    pub(super) tokens: Vec<TokenV1>,
    pub(super) before: Option<BuiltV1<'a>>,
    pub(super) after: Option<BuiltV1<'a>>,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct OrphanV1<'a> {
    pub(super) id: u64,
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) draining: u32,
    pub(super) obligations: ObligationsV1,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct DrainingV1 {
    pub(super) attempt: AttemptV1,
    pub(super) grace_until: Option<u64>,
    pub(super) leased: bool,
    pub(super) leaves: bool,
}

#[derive(Encode, BorrowDecode)]
pub(super) struct EndV1 {
    pub(super) collections: u64,
    pub(super) orphans: u64,
    pub(super) draining: u64,
}
