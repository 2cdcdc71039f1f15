//! What handles ask of the engine: every reason for which it wakes, apart from time and reports.
//!
//! *Architecture invariant:* data alone: no message knows how it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::CompactError;
use super::remote::{AttemptState, CompletionOutcome, HeartbeatReply, LeasedAssignment};
use super::reply::Reply;
use super::retention::Retention;
use super::stats::Stats;
use super::status::CollectionStatus;
use super::waits::WaitOutcome;
use crate::core::vocabulary::{
    AttemptRef, By, Command, Completion, Duties, Generation, Kind, Name, Receipt, Rejection, Seq, WorkerName,
};
use crate::worker::Failure;

/// From a handle.
pub(super) enum Message {
    Command { command: Command, by: Option<Arc<By>>, reply: Reply<Receipt> },
    Batch { commands: Vec<Command>, by: Option<Arc<By>>, reply: Reply<Vec<Result<Receipt, Rejection>>> },
    Wait { name: Name, generation: Generation, reply: Reply<WaitOutcome> },
    Status { name: Name, reply: Reply<Option<Box<CollectionStatus>>> },
    List { reply: Reply<Vec<CollectionStatus>> },
    Stats { reply: Reply<Box<Stats>> },
    Digest { reply: Reply<(Seq, [u8; 32])> },
    Compact { keep: Retention, reply: CompactReply },
    Remote(RemoteRequest),
    Hint { name: Name, reply: Reply<()> },
    Verify { name: Name, reply: Reply<()> },
    Shutdown { timeout: Duration },
}

/// The answer to a compaction: the first event that is left.
pub(super) type CompactReply = Reply<Result<Seq, CompactError>>;

/// What a remote worker asks and reports.
pub(super) enum RemoteRequest {
    Assignment(AssignmentWaiter),
    Heartbeat { attempt: AttemptRef, reply: Reply<HeartbeatReply> },
    Query { attempt: AttemptRef, reply: Reply<AttemptState> },
    Complete { completion: Box<Completion>, by: Option<Arc<By>>, reply: Reply<CompletionOutcome> },
    Fail { attempt: AttemptRef, failure: Failure, by: Option<Arc<By>>, reply: Reply<Receipt> },
    Release { attempt: AttemptRef, by: Option<Arc<By>>, reply: Reply<Receipt> },
}

/// A remote worker that waits for an assignment.
pub(super) struct AssignmentWaiter {
    pub(super) kinds: BTreeMap<Kind, Duties>,
    pub(super) worker: WorkerName,
    pub(super) lease: Duration,
    pub(super) reply: Reply<LeasedAssignment>,
}
