//! The queue of what is asked of the engine, whose end is an answer too.
//!
//! A bounded channel of crossbeam keeps what is in it for as long as anybody could still send, even when nobody is left
//! who could receive. So whoever asked while the engine came to its end would wait for ever. Here everybody who sends
//! looks afterwards whether the engine is over, and then empties the queue in its place: either the engine has seen the
//! message or its sender sees the end. A message that is dropped answers for itself.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendError, SendTimeoutError, Sender, TrySendError, bounded};

use super::message::Message;
use crate::bell::Bell;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::interrupt;

/// The side of those who ask.
#[derive(Clone)]
pub(super) struct Queue {
    messages: Sender<Message>,
    left: Left,
}

/// What is in the queue, and whether anybody will take it.
#[derive(Clone)]
struct Left {
    queued: Receiver<Message>,
    is_over: Arc<AtomicBool>,
}

/// Ends the queue when it is dropped: what is in it is not accepted, nor anything later, and nobody waits for room any
/// more. It keeps no sender, so that the engine still notices when every handle is gone.
pub(super) struct QueueGone {
    left: Left,
    room: Arc<Bell<()>>,
}

#[expect(clippy::result_large_err, reason = "the message comes back, as from a channel")]
impl Queue {
    /// A queue for so many messages, and where the engine takes them out.
    pub(super) fn bounded(capacity: usize) -> (Queue, Receiver<Message>) {
        let (messages, queued) = bounded(capacity);
        let left = Left { queued: queued.clone(), is_over: Arc::new(AtomicBool::new(false)) };
        (Queue { messages, left }, queued)
    }

    /// What the engine drops last of all.
    pub(super) fn gone(&self, room: &Arc<Bell<()>>) -> QueueGone {
        QueueGone { left: self.left.clone(), room: Arc::clone(room) }
    }

    /// Waits for room.
    pub(super) fn send(&self, message: Message) -> Result<(), SendError<Message>> {
        if self.left.is_over() {
            return Err(SendError(message));
        }
        self.sent(self.messages.send(message))
    }

    pub(super) fn send_timeout(&self, message: Message, timeout: Duration) -> Result<(), SendTimeoutError<Message>> {
        if self.left.is_over() {
            return Err(SendTimeoutError::Disconnected(message));
        }
        self.sent(self.messages.send_timeout(message, timeout))
    }

    pub(super) fn try_send(&self, message: Message) -> Result<(), TrySendError<Message>> {
        if self.left.is_over() {
            return Err(TrySendError::Disconnected(message));
        }
        self.sent(self.messages.try_send(message))
    }

    pub(super) fn is_full(&self) -> bool {
        !self.left.is_over() && self.messages.is_full()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    fn sent<R>(&self, result: R) -> R {
        if self.left.is_over() {
            self.left.clear();
        }
        result
    }
}

impl Left {
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

impl Drop for QueueGone {
    fn drop(&mut self) {
        self.left.is_over.store(true, Ordering::SeqCst);
        self.left.clear();
        self.room.ring(|()| ());
    }
}
