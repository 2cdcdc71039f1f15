//! Every reason for which the reducer wakes, apart from time.

use std::time::Duration;

use crossbeam_channel::Sender;

use super::handle::{CollectionStatus, CommandError};
use super::looks::Looked;
use super::pool::{Outcome, Slot};
use super::stats::Stats;
use super::waits::Waited;
use crate::core::vocabulary::{AttemptRef, Command, Fingerprint, Generation, Name, Receipt, Rejection, Seq};

/// From a handle.
pub(super) enum Message {
    Command { command: Box<Command>, reply: Sender<Result<Receipt, CommandError>> },
    Batch { commands: Vec<Command>, reply: Sender<Result<Vec<Result<Receipt, Rejection>>, CommandError>> },
    Wait { name: Name, generation: Generation, reply: Sender<Waited> },
    Status { name: Name, reply: Sender<Option<Box<CollectionStatus>>> },
    List { reply: Sender<Vec<CollectionStatus>> },
    Stats { reply: Sender<Box<Stats>> },
    Digest { reply: Sender<(Seq, [u8; 32])> },
    Shutdown { timeout: Duration },
}

/// From the threads of the pools. There are never more reports than threads, so they have a queue of their own, in
/// which every thread has its place: no flood of commands keeps a completion from being heard.
#[derive(Debug)]
pub(super) enum Report {
    Returned { slot: Slot, attempt: AttemptRef, fingerprint: Fingerprint, outcome: Outcome },
    Looked(Looked),
}
