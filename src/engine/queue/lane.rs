//! One lane of the queue: a bounded channel, and a budget of bytes.
//!
//! *Architecture invariant:* it counts. What a message weighs is told to it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

use crate::core::vocabulary::Timestamp;
use crate::engine::error::MOST_BYTES_IN_BATCH;
use crate::engine::message::Message;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// What may wait in each lane.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Room {
    pub(in crate::engine) commands: usize,
    pub(in crate::engine) bytes: usize,
}

/// A message that waits.
pub(super) struct Queued {
    pub(super) message: Message,
    pub(super) bytes: usize,
    /// In the engine's time.
    pub(super) arrived: Timestamp,
}

/// The callers' end.
#[derive(Clone)]
pub(super) struct Lane {
    messages: Sender<Queued>,
    rest: Rest,
    budget: Arc<Budget>,
}

/// What is in a lane, without keeping it open.
#[derive(Clone)]
pub(super) struct Rest(Receiver<Queued>);

/// The bytes of what waits.
pub(super) struct Budget {
    used: AtomicUsize,
    most: usize,
}

/// A lane, its end at the engine and what that has to give back.
pub(super) fn lane(room: Room) -> (Lane, (Receiver<Queued>, Arc<Budget>)) {
    let (messages, queued) = bounded(room.commands);
    let budget = Arc::new(Budget { used: AtomicUsize::new(0), most: room.bytes });
    (Lane { messages, rest: Rest(queued.clone()), budget: Arc::clone(&budget) }, (queued, budget))
}

impl Lane {
    pub(super) fn rest(&self) -> Rest {
        self.rest.clone()
    }

    #[expect(clippy::result_large_err, reason = "the message comes back, as from a channel")]
    pub(super) fn try_send(&self, queued: Queued) -> Result<(), TrySendError<Queued>> {
        if !self.budget.reserve(queued.bytes) {
            return Err(TrySendError::Full(queued));
        }
        let bytes = queued.bytes;
        self.messages.try_send(queued).inspect_err(|_| self.budget.release(bytes))
    }

    /// Takes room for so many bytes, if there is.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        self.budget.reserve(bytes)
    }

    /// Sends what has its bytes, waiting for its place for as long as is `left`.
    #[expect(clippy::result_large_err, reason = "the message comes back, as from a channel")]
    pub(super) fn send_reserved(&self, queued: Queued, left: Option<Duration>) -> Result<(), SendTimeoutError<Queued>> {
        let bytes = queued.bytes;
        let sent = match left {
            None => self.messages.send(queued).map_err(|error| SendTimeoutError::Disconnected(error.0)),
            Some(left) => self.messages.send_timeout(queued, left),
        };
        sent.inspect_err(|_| self.budget.release(bytes))
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether any message would find room.
    pub(super) fn has_room(&self) -> bool {
        !self.messages.is_full() && self.budget.has_room()
    }

    pub(super) fn clear(&self) {
        self.rest.clear();
    }
}

impl Rest {
    pub(super) fn clear(&self) {
        self.0.try_iter().for_each(drop);
    }
}

impl Budget {
    /// One message has room whatever it weighs.
    fn reserve(&self, bytes: usize) -> bool {
        let fits = |used: usize| {
            let sum = used.checked_add(bytes)?;
            (used == 0 || sum <= self.most).then_some(sum)
        };
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits).is_ok()
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    fn has_room(&self) -> bool {
        self.used() <= self.most.saturating_sub(MOST_BYTES_IN_BATCH)
    }
}
