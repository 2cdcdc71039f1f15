//! What is to happen once the frame of a batch is durable: answers, and attempts that are handed out.
//!
//! *Architecture invariant:* it holds answers and hands them out; it neither makes them nor knows when the frame is
//! durable. The loop does.

use super::crew::Member;
use super::error::CommandError;
use super::message::AssignmentWaiter;
use super::reply::Reply;
use crate::core::vocabulary::{CollectionId, Receipt};

/// What the messages of a batch have led to, and no caller may see yet.
#[derive(Default)]
pub(super) struct Batch {
    releases: Vec<Release>,
    /// Attempts for workers of this process.
    assigned: Vec<(Member, CollectionId)>,
    /// Attempts for remote workers.
    leased: Vec<(AssignmentWaiter, CollectionId)>,
}

/// A reply and its answer.
enum Release {
    /// To a command. A batch has thousands of them, so they need no allocation each.
    Verdict(Reply<Receipt>, Result<Receipt, CommandError>),
    Other(Box<dyn FnOnce() + Send>),
}

impl Batch {
    /// The verdict on a command.
    pub(super) fn verdict(&mut self, reply: Reply<Receipt>, verdict: Result<Receipt, CommandError>) {
        self.releases.push(Release::Verdict(reply, verdict));
    }

    /// Any other answer.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, CommandError>) {
        self.releases.push(Release::Other(Box::new(move || reply.answer(answer))));
    }

    /// An attempt for a worker of this process.
    pub(super) fn assign(&mut self, member: Member, id: CollectionId) {
        self.assigned.push((member, id));
    }

    /// An attempt for a remote worker.
    pub(super) fn lease(&mut self, waiter: AssignmentWaiter, id: CollectionId) {
        self.leased.push((waiter, id));
    }

    pub(super) fn take_assigned(&mut self) -> Vec<(Member, CollectionId)> {
        std::mem::take(&mut self.assigned)
    }

    pub(super) fn take_leased(&mut self) -> Vec<(AssignmentWaiter, CollectionId)> {
        std::mem::take(&mut self.leased)
    }

    /// Whether somebody is to be answered.
    pub(super) fn has_answers(&self) -> bool {
        !self.releases.is_empty()
    }

    /// Gives all answers, in the order in which they were asked for.
    pub(super) fn release(&mut self) {
        for release in self.releases.drain(..) {
            match release {
                Release::Verdict(reply, verdict) => reply.answer(verdict),
                Release::Other(answer) => answer(),
            }
        }
    }
}
