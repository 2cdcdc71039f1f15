//! What is to happen once the frame of a batch is durable.

use super::error::CommandError;
use super::leases::Seeker;
use super::message::Taken;
use super::pool::Slot;
use crate::core::vocabulary::{CollectionId, Receipt};

/// What the commands of a batch have led to, and nobody may see yet.
#[derive(Default)]
pub(super) struct Batch {
    releases: Vec<Release>,
    /// Attempts given to workers of the pool.
    pub(super) assigned: Vec<(Slot, CollectionId)>,
    /// Attempts given to workers outside.
    pub(super) lent: Vec<(Seeker, CollectionId)>,
}

/// Somebody who asked, and the answer.
enum Release {
    /// To a command. A batch has thousands of them, so they need no allocation each.
    Verdict(Taken<Receipt>, Result<Receipt, CommandError>),
    Other(Box<dyn FnOnce() + Send>),
}

impl Batch {
    /// The verdict on a command.
    pub(super) fn answer(&mut self, reply: Taken<Receipt>, verdict: Result<Receipt, CommandError>) {
        self.releases.push(Release::Verdict(reply, verdict));
    }

    pub(super) fn release(&mut self, release: impl FnOnce() + Send + 'static) {
        self.releases.push(Release::Other(Box::new(release)));
    }

    /// Answers everybody, in the order in which they asked.
    pub(super) fn let_go(&mut self) {
        for release in self.releases.drain(..) {
            match release {
                Release::Verdict(reply, verdict) => reply.answer(verdict),
                Release::Other(release) => release(),
            }
        }
    }
}
