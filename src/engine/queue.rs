//! The queue of requests to the engine. Its end is an answer to every request in it.
//!
//! A bounded channel of crossbeam keeps what is in it for as long as anybody could still send, even when no receiver is
//! left. A caller that asked while the engine came to its end would wait for ever. Here every sender checks afterwards
//! whether the engine is over, and then empties the queue in its place: either the engine has seen the message, or its
//! sender sees the end. A message that is dropped answers for itself.
//!
//! *Architecture invariant:* it carries messages and knows nothing of what they ask.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendError, SendTimeoutError, Sender, TrySendError, bounded};

use super::message::Message;
use super::reply::Died;
use super::reply::{Reply, Response, Unsent, reply};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::interrupt;
use crate::watch_cell::{WaiterId, WatchCell};

/// The callers' side.
#[derive(Clone)]
pub(super) struct Queue {
    messages: Sender<Message>,
    rest: Rest,
    /// Notified when messages have left the queue.
    capacity: Arc<WatchCell<()>>,
    died: Died,
}

/// The engine's side.
pub(super) struct Inbox {
    pub(super) messages: Receiver<Message>,
    capacity: Arc<WatchCell<()>>,
}

/// What is in the queue, and whether anything will take it.
#[derive(Clone)]
struct Rest {
    queued: Receiver<Message>,
    is_over: Arc<AtomicBool>,
}

/// Ends the queue when it is dropped: what is in it is not accepted, nor anything later, and no caller waits for room any
/// more. It keeps no sender, so that the engine still notices when every handle is gone.
pub(super) struct QueueEnd {
    rest: Rest,
    capacity: Arc<WatchCell<()>>,
}

impl Inbox {
    /// Messages were taken: who waits for room may try again.
    pub(super) fn announce_room(&self) {
        self.capacity.notify(|()| ());
    }
}

#[expect(clippy::result_large_err, reason = "the message comes back, as from a channel")]
impl Queue {
    /// A queue for so many messages, and where the engine takes them out.
    pub(super) fn bounded(capacity: usize, died: Died) -> (Queue, Inbox) {
        let (messages, queued) = bounded(capacity);
        let capacity = Arc::new(WatchCell::new(()));
        let inbox = Inbox { messages: queued.clone(), capacity: Arc::clone(&capacity) };
        let rest = Rest { queued, is_over: Arc::new(AtomicBool::new(false)) };
        (Queue { messages, rest, capacity, died }, inbox)
    }

    /// What the engine drops last of all.
    pub(super) fn end(&self) -> QueueEnd {
        QueueEnd { rest: self.rest.clone(), capacity: Arc::clone(&self.capacity) }
    }

    /// Why the engine died, if it did.
    pub(super) fn died(&self) -> &Died {
        &self.died
    }

    /// Asks at once if there is room, and otherwise when the response is polled or waited for.
    pub(super) fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Message) -> Response<T> {
        let (reply, response) = reply(&self.died);
        match self.try_send(request(reply)) {
            Err(TrySendError::Full(message)) => response.unsent(Box::new(Waiting::new(self.clone(), message))),
            // A queue that is gone drops the message, which answers for itself.
            Ok(()) | Err(TrySendError::Disconnected(_)) => response,
        }
    }

    /// Waits for room.
    pub(super) fn send(&self, message: Message) -> Result<(), SendError<Message>> {
        if self.rest.is_over() {
            return Err(SendError(message));
        }
        self.sent(self.messages.send(message))
    }

    pub(super) fn send_timeout(&self, message: Message, timeout: Duration) -> Result<(), SendTimeoutError<Message>> {
        if self.rest.is_over() {
            return Err(SendTimeoutError::Disconnected(message));
        }
        self.sent(self.messages.send_timeout(message, timeout))
    }

    pub(super) fn try_send(&self, message: Message) -> Result<(), TrySendError<Message>> {
        if self.rest.is_over() {
            return Err(TrySendError::Disconnected(message));
        }
        self.sent(self.messages.try_send(message))
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    fn is_full(&self) -> bool {
        !self.rest.is_over() && self.messages.is_full()
    }

    fn sent<R>(&self, result: R) -> R {
        if self.rest.is_over() {
            self.rest.clear();
        }
        result
    }
}

impl Rest {
    fn is_over(&self) -> bool {
        let is_over = self.is_over.load(Ordering::SeqCst);
        interrupt();
        is_over
    }

    /// Each message that goes lets one in that waited for room, and its sender comes here as well.
    fn clear(&self) {
        self.queued.try_iter().for_each(drop);
    }
}

impl Drop for QueueEnd {
    fn drop(&mut self) {
        self.rest.is_over.store(true, Ordering::SeqCst);
        self.rest.clear();
        self.capacity.notify(|()| ());
    }
}

/// A message that waits for room.
struct Waiting {
    queue: Queue,
    /// Gone once it is sent.
    message: Option<Message>,
    waiter: WaiterId,
}

impl Waiting {
    fn new(queue: Queue, message: Message) -> Waiting {
        Waiting { queue, message: Some(message), waiter: WaiterId::default() }
    }
}

impl Unsent for Waiting {
    fn send(mut self: Box<Self>) {
        if let Some(message) = self.message.take() {
            let _ = self.queue.send(message);
        }
    }

    fn send_within(mut self: Box<Self>, timeout: Duration) -> Option<Box<dyn Unsent>> {
        let message = self.message.take()?;
        match self.queue.send_timeout(message, timeout) {
            Err(SendTimeoutError::Timeout(message)) => {
                self.message = Some(message);
                Some(self)
            }
            Ok(()) | Err(SendTimeoutError::Disconnected(_)) => None,
        }
    }

    fn poll_send(&mut self, context: &Context<'_>) -> Poll<()> {
        let Waiting { queue, message, waiter } = self;
        let mut refused = None;
        let sent = queue.capacity.poll(waiter, context, |()| {
            let unsent = message.take()?;
            if queue.rest.is_over() {
                refused = Some(unsent);
                return Some(());
            }
            match queue.messages.try_send(unsent) {
                Ok(()) => return Some(()),
                Err(TrySendError::Full(unsent)) => *message = Some(unsent),
                Err(TrySendError::Disconnected(unsent)) => refused = Some(unsent),
            }
            refused.is_some().then_some(())
        });
        // Without the lock: a message that is dropped answers for itself, and wakers are foreign code.
        drop(refused);
        queue.sent(sent)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.capacity.deregister(&mut self.waiter);
    }
}

/// Resolves when the queue of commands has room, or the reconciler has ended; see
/// [`Handle::queue_capacity`](super::Handle::queue_capacity).
#[must_use = "a future does nothing unless it is polled"]
pub struct QueueCapacity {
    queue: Queue,
    waiter: WaiterId,
}

impl QueueCapacity {
    pub(super) fn new(queue: Queue) -> QueueCapacity {
        QueueCapacity { queue, waiter: WaiterId::default() }
    }
}

impl Future for QueueCapacity {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let QueueCapacity { queue, waiter } = self.get_mut();
        queue.capacity.poll(waiter, context, |()| (!queue.is_full()).then_some(()))
    }
}

impl Drop for QueueCapacity {
    fn drop(&mut self) {
        self.queue.capacity.deregister(&mut self.waiter);
    }
}

impl fmt::Debug for QueueCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueCapacity").field("full", &self.queue.is_full()).finish_non_exhaustive()
    }
}
