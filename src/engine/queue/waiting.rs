//! A message that found no room, and waits for it with the response to it.
//!
//! *Architecture invariant:* it sends its message once, and knows nothing of what it asks.

use std::task::{Context, Poll};
use std::time::Duration;

use super::{Queue, Unqueued};
use crate::engine::message::Message;
use crate::engine::reply::Unsent;
use crate::watch_cell::WaiterId;

/// A message that waits for room.
pub(super) struct Waiting {
    queue: Queue,
    /// Gone once it is sent.
    message: Option<Message>,
    waiter: WaiterId,
}

impl Waiting {
    pub(super) fn new(queue: Queue, message: Message) -> Waiting {
        Waiting { queue, message: Some(message), waiter: WaiterId::default() }
    }
}

impl Unsent for Waiting {
    fn send(mut self: Box<Self>) {
        if let Some(message) = self.message.take() {
            self.queue.send(message);
        }
    }

    fn send_within(mut self: Box<Self>, timeout: Duration) -> Option<Box<dyn Unsent>> {
        let message = self.message.take()?;
        match self.queue.send_timeout(message, timeout) {
            Err(Unqueued::Full(message)) => {
                self.message = Some(message);
                Some(self)
            }
            Ok(()) | Err(Unqueued::Over) => None,
        }
    }

    fn poll_send(&mut self, context: &Context<'_>) -> Poll<()> {
        let Waiting { queue, message, waiter } = self;
        let mut over = None;
        let sent = queue.capacity.poll(waiter, context, |()| {
            if queue.is_over() {
                over = message.take();
                return Some(());
            }
            let (lane, queued) = (queue.lane_of(message.as_ref()?), queue.queued(message.take()?));
            match lane.try_send(queued) {
                Ok(()) => Some(()),
                Err(crossbeam_channel::TrySendError::Full(queued)) => {
                    *message = Some(queued.message);
                    None
                }
                Err(crossbeam_channel::TrySendError::Disconnected(queued)) => {
                    over = Some(queued.message);
                    Some(())
                }
            }
        });
        // Without the lock: a message that is dropped answers for itself, and wakers are foreign code.
        drop(over);
        queue.sent(sent)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.capacity.deregister(&mut self.waiter);
    }
}
