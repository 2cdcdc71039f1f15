//! The engine's end of the queue.
//!
//! *Architecture invariant:* it takes messages out, and knows nothing of what they ask.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Select, TryRecvError};

use super::lane::{Budget, Queued};
use crate::core::vocabulary::Timestamp;
use crate::engine::message::{Message, ShutdownRequest};
use crate::watch_cell::WatchCell;

type Taken = (Receiver<Queued>, Arc<Budget>);

/// The engine's side.
pub(in crate::engine) struct Inbox {
    commands: Taken,
    reports: Taken,
    /// The report that is next, if it was looked at.
    next_report: Option<Queued>,
    shutdown: Receiver<ShutdownRequest>,
    capacity: Arc<WatchCell<()>>,
}

impl Inbox {
    pub(super) fn new(
        (commands, reports): (Taken, Taken),
        shutdown: Receiver<ShutdownRequest>,
        capacity: Arc<WatchCell<()>>,
    ) -> Inbox {
        Inbox { commands, reports, next_report: None, shutdown, capacity }
    }

    /// Has `select` wake when there is a message.
    pub(in crate::engine) fn wake<'i>(&'i self, select: &mut Select<'i>) {
        select.recv(&self.commands.0);
        select.recv(&self.reports.0);
        select.recv(&self.shutdown);
    }

    /// That the engine is to end, if it was told.
    pub(in crate::engine) fn take_shutdown(&self) -> Option<ShutdownRequest> {
        self.shutdown.try_recv().ok()
    }

    /// The next report of a worker, if there is one.
    pub(in crate::engine) fn take_report(&mut self) -> Option<Message> {
        let queued = self.next_report.take().or_else(|| self.reports.0.try_recv().ok())?;
        self.reports.1.release(queued.bytes);
        Some(queued.message)
    }

    /// When the oldest report arrived that was not taken.
    pub(in crate::engine) fn oldest_report(&mut self) -> Option<Timestamp> {
        if self.next_report.is_none() {
            self.next_report = self.reports.0.try_recv().ok();
        }
        self.next_report.as_ref().map(|queued| queued.arrived)
    }

    /// Whether a report was looked at and not taken: nothing would wake the engine for it.
    pub(in crate::engine) fn has_report(&self) -> bool {
        self.next_report.is_some()
    }

    /// The next of all other messages.
    ///
    /// # Errors
    /// When there is none, or none can come any more.
    pub(in crate::engine) fn take_command(&self) -> Result<Message, TryRecvError> {
        let queued = self.commands.0.try_recv()?;
        self.commands.1.release(queued.bytes);
        Ok(queued.message)
    }

    /// Messages were taken: who waits for room may try again.
    pub(in crate::engine) fn announce_room(&self) {
        self.capacity.notify(|()| ());
    }

    /// Messages that wait.
    pub(in crate::engine) fn len(&self) -> usize {
        self.commands.0.len() + self.reports.0.len() + usize::from(self.has_report())
    }

    /// Their bytes.
    pub(in crate::engine) fn bytes(&self) -> usize {
        self.commands.1.used() + self.reports.1.used()
    }
}
