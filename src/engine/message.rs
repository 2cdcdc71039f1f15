//! What handles ask of the engine: every reason for which it wakes, apart from time and reports.
//!
//! *Architecture invariant:* data alone: a message knows what it weighs, and not how it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::CompactError;
use super::remote::{AttemptState, CompletionOutcome, HeartbeatReply, LeasedAssignment};
use super::reply::Reply;
use super::retention::Retention;
use super::stats::Stats;
use super::status::CollectionStatus;
use super::waits::{Goal, SettleOutcome, WaitOutcome};
use crate::clock::SystemClock;
use crate::core::DroppedView;
use crate::core::vocabulary::{
    AttemptRef, By, CollectionId, Command, Completion, Declaration, Duties, Generation, Kind, Limits, Name,
    ObservationOutcome, Receipt, Rejection, Seq, WorkerName,
};
use crate::worker::Failure;

/// From a handle.
pub(super) enum Message {
    Command { command: Command, by: Option<Arc<By>>, reply: Reply<Receipt> },
    Batch { commands: Vec<Command>, by: Option<Arc<By>>, reply: Reply<Vec<Result<Receipt, Rejection>>> },
    Wait { name: Name, generation: Generation, goal: Goal, reply: Reply<WaitOutcome> },
    Settle { name: Name, reply: Reply<SettleOutcome> },
    Status { name: Name, reply: Reply<Option<CollectionStatus>> },
    Page { after: Option<CollectionId>, most: usize, reply: Reply<Vec<CollectionStatus>> },
    Dropped { after: Option<CollectionId>, most: usize, reply: Reply<Vec<DroppedView>> },
    Running { reply: Reply<Vec<CollectionStatus>> },
    Stats { reply: Reply<Stats> },
    Digest { reply: Reply<(Seq, [u8; 32])> },
    Compact { keep: Retention, reply: CompactReply },
    Remote(RemoteRequest),
    Hint { name: Name, reply: Reply<()> },
    Verify { name: Name, reply: Reply<()> },
}

/// That the engine is to end, which waits behind no message. Its bound is real time, counted from when it was asked for: a
/// manual clock must not keep a process from ending.
pub(super) struct ShutdownRequest {
    pub(super) since: SystemClock,
    pub(super) timeout: Duration,
}

impl ShutdownRequest {
    /// Asked for now.
    pub(super) fn new(timeout: Duration) -> ShutdownRequest {
        ShutdownRequest { since: SystemClock::new(), timeout }
    }
}

/// What a message takes beside its texts, as a round figure.
const BYTES_OF_A_MESSAGE: usize = 512;

/// What an entry of a map takes beside its texts, as a round figure.
const BYTES_OF_AN_ENTRY: usize = 64;

impl Message {
    /// Whether a worker of a caller reports with it that it lives or how it went. What it says was true when it was sent.
    pub(super) fn is_report(&self) -> bool {
        matches!(self, Message::Remote(request) if !matches!(request, RemoteRequest::Assignment(_)))
    }

    /// About how much memory it takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let texts = match self {
            Message::Command { command, .. } => text_bytes(command),
            Message::Batch { commands, .. } => {
                commands.iter().map(|command| text_bytes(command) + BYTES_OF_A_MESSAGE).sum()
            }
            Message::Remote(RemoteRequest::Assignment(waiter)) => {
                waiter.kinds.keys().map(|kind| kind.as_str().len() + BYTES_OF_AN_ENTRY).sum()
            }
            Message::Remote(RemoteRequest::Complete { completion, .. }) => {
                completion.result.output.as_deref().map_or(0, str::len)
            }
            Message::Remote(RemoteRequest::Fail { failure, .. }) => match failure {
                Failure::Transient(message) | Failure::Permanent(message) => message.len(),
                Failure::SourceMoved { what, .. } => what.as_ref().map_or(0, String::len),
                Failure::Stopped => 0,
            },
            _ => 0,
        };
        texts + BYTES_OF_A_MESSAGE
    }
}

/// What can be long of a command: its texts, and how many there are of them.
pub(super) fn text_bytes(command: &Command) -> usize {
    match command {
        Command::Declare(declaration) => {
            let Declaration { source, spec, .. } = &**declaration;
            source.as_ref().map_or(0, |source| source.as_str().len())
                + spec.as_ref().map_or(0, |spec| spec.as_str().len())
        }
        Command::Observe { outcome: ObservationOutcome::Failed { cause }, .. } => cause.len(),
        Command::Limit(Limits { kinds, prefixes, total: _ }) => {
            let kinds = kinds.keys().map(|kind| kind.as_str().len() + BYTES_OF_AN_ENTRY);
            let prefixes = prefixes.keys().map(|prefix| prefix.as_str().len() + BYTES_OF_AN_ENTRY);
            kinds.chain(prefixes).sum()
        }
        // Names, versions and fingerprints are short: they are part of the round figure.
        Command::Observe {
            outcome: ObservationOutcome::Content { .. } | ObservationOutcome::Counted { .. }, ..
        }
        | Command::Refresh { .. }
        | Command::Cancel { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Confirm { .. }
        | Command::Drop { .. } => 0,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_a_command_can_have_takes_room() {
        let name = |n: u32| Name::new(&format!("{n:0>100}")).unwrap();
        let cause = "x".repeat(1 << 20).into();
        let failed = Command::Observe { name: name(0), outcome: ObservationOutcome::Failed { cause } };
        assert!(text_bytes(&failed) >= 1 << 20);
        let limit = Command::Limit(Limits {
            prefixes: (0..1000).map(|n| (name(n), 1)).collect(),
            kinds: (0..1000).map(|n| (Kind::new(&format!("kind-{n}")).unwrap(), 1)).collect(),
            total: None,
        });
        assert!(text_bytes(&limit) >= 1000 * (100 + 6));
    }
}
