//! Every reason for which the reducer wakes, apart from time.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::couriers::Returned;
use super::error::CommandError;
use super::handle::{CollectionStatus, end_of};
use super::history::{Compacted, Remembered, Retention};
use super::lend::Lending;
use super::looks::Looked;
use super::pool::{Outcome, Slot};
use super::promise::{Answer, Promise, promise};
use super::stats::Stats;
use super::waits::Waited;
use crate::core::vocabulary::{AttemptRef, By, Command, Fingerprint, Generation, Name, Receipt, Rejection, Seq};

/// From a handle.
pub(super) enum Message {
    Command { command: Command, by: Option<Arc<By>>, reply: Reply<Receipt> },
    Batch { commands: Vec<Command>, by: Option<Arc<By>>, reply: Reply<Vec<Result<Receipt, Rejection>>> },
    Wait { name: Name, generation: Generation, reply: Promise<Waited> },
    Status { name: Name, reply: Promise<Option<Box<CollectionStatus>>> },
    List { reply: Promise<Vec<CollectionStatus>> },
    Stats { reply: Promise<Box<Stats>> },
    Digest { reply: Promise<(Seq, [u8; 32])> },
    Compact { keep: Retention, reply: Compacted },
    Lending(Lending),
    Hint { name: Name, reply: Reply<()> },
    Shutdown { timeout: Duration },
}

/// From the threads of the pools. There are never more reports than threads, so they have a queue of their own, in
/// which every thread has its place: no flood of commands keeps a completion from being heard.
#[derive(Debug)]
pub(super) enum Report {
    Returned { slot: Slot, attempt: AttemptRef, fingerprint: Fingerprint, outcome: Outcome },
    Looked(Box<Looked>),
    Remembered(Remembered),
    Served(Returned),
}

/// Where the answer to a command goes. One that is dropped while its command is still queued, by whomever, answers
/// that the command was not accepted; once it was taken into a batch, silence means that nobody knows.
pub(super) struct Reply<T> {
    queued: Option<Promise<Result<T, CommandError>>>,
    died: Arc<OnceLock<String>>,
}

impl<T> Reply<T> {
    /// A reply, and where it arrives.
    pub(super) fn new(died: &Arc<OnceLock<String>>) -> (Reply<T>, Answer<Result<T, CommandError>>) {
        let (reply, answer) = promise();
        (Reply { queued: Some(reply), died: Arc::clone(died) }, answer)
    }

    /// Whether somebody still listens.
    pub(super) fn is_heard(&self) -> bool {
        self.queued.as_ref().is_some_and(Promise::is_heard)
    }

    /// Answers, or gives the answer back if nobody listens any more.
    pub(super) fn offer(mut self, answer: T) -> Result<(), T> {
        let Some(reply) = self.queued.take() else { return Err(answer) };
        match reply.offer(Ok(answer)) {
            Err(Ok(answer)) => Err(answer),
            Ok(()) | Err(Err(_)) => Ok(()),
        }
    }

    /// The command is taken into a batch; whoever asked is answered once that is durable.
    pub(super) fn taken(mut self) -> Taken<T> {
        Taken(self.queued.take())
    }
}

/// The reply to a command that was taken into a batch.
#[derive(Debug)]
pub(super) struct Taken<T>(Option<Promise<Result<T, CommandError>>>);

impl<T> Taken<T> {
    pub(super) fn answer(self, answer: Result<T, CommandError>) {
        if let Some(reply) = self.0 {
            reply.keep(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(reply) = self.queued.take() {
            reply.keep(Err(CommandError::NotAccepted(end_of(&self.died))));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("queued", &self.queued.is_some()).finish_non_exhaustive()
    }
}
