//! What callers wait for: the answer to a command, a word being applied, room in the queue. Each can be polled as a
//! [`Future`], by any executor or none, or waited for by a thread, whichever suits at the moment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError};

use super::handle::{CommandError, end_of, unknown};
use super::message::Message;
use super::promise::{Answer, Broken, promise};
use super::waits::Waited;
use crate::bell::{Bell, Seat};
use crate::clock::{Clock, SystemClock};
use crate::core::vocabulary::{Generation, Name, Receipt};

/// The answer to a command, as soon as it is durable. Dropping the ticket takes nothing back.
#[derive(Debug)]
#[must_use = "the answer may be that the command was refused"]
pub struct Ticket {
    answer: Answer<Result<Receipt, CommandError>>,
    died: Arc<OnceLock<String>>,
}

impl Ticket {
    pub(super) fn new(answer: Answer<Result<Receipt, CommandError>>, died: Arc<OnceLock<String>>) -> Ticket {
        Ticket { answer, died }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When the command was refused, not accepted, or its outcome is unknown.
    pub fn wait(self) -> Result<Receipt, CommandError> {
        self.told(self.answer.wait())
    }

    /// Waits for the answer for at most `timeout`; the ticket comes back if there is none yet.
    ///
    /// # Errors
    /// The ticket. The inner error is that of [`wait`](Ticket::wait).
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<Receipt, CommandError>, Ticket> {
        self.answer.wait_timeout(timeout).map(|answer| self.told(answer)).ok_or(self)
    }

    /// The answer, if there is one already.
    ///
    /// # Errors
    /// The ticket. The inner error is that of [`wait`](Ticket::wait).
    pub fn try_wait(self) -> Result<Result<Receipt, CommandError>, Ticket> {
        self.answer.try_take().map(|answer| self.told(answer)).ok_or(self)
    }

    fn told(&self, answer: Result<Result<Receipt, CommandError>, Broken>) -> Result<Receipt, CommandError> {
        answer.unwrap_or_else(|Broken| Err(unknown(&self.died)))
    }
}

/// Not to be polled again once it has answered: it would say that the outcome is unknown.
impl Future for Ticket {
    type Output = Result<Receipt, CommandError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll(context).map(|answer| self.told(answer))
    }
}

/// Waits until a generation of a collection is applied or it is clear that it will not be for now; see
/// [`Handle::applied`](super::Handle::applied).
#[must_use = "a future does nothing unless it is polled"]
pub struct Wait {
    messages: Sender<Message>,
    room: Arc<Bell<()>>,
    seat: Seat,
    died: Arc<OnceLock<String>>,
    /// The question, while there is no room for it in the queue.
    unsent: Option<Message>,
    answer: Answer<Waited>,
}

impl Wait {
    pub(super) fn new(
        messages: Sender<Message>,
        room: Arc<Bell<()>>,
        died: Arc<OnceLock<String>>,
        name: Name,
        generation: Generation,
    ) -> Wait {
        let (reply, answer) = promise();
        let unsent = Some(Message::Wait { name, generation, reply });
        let mut wait = Wait { messages, room, seat: Seat::default(), died, unsent, answer };
        send(&wait.messages, &mut wait.unsent);
        wait
    }

    /// Waits for at most `timeout`; [`Waited::TimedOut`] is no end, and waiting may go on.
    ///
    /// # Errors
    /// When the reconciler has shut down or died. A name that nothing has counts as dropped.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Waited, CommandError> {
        let waited = SystemClock::new();
        if let Some(question) = self.unsent.take() {
            // A queue that is gone drops the question, and with it the promise of an answer.
            if let Err(SendTimeoutError::Timeout(question)) = self.messages.send_timeout(question, timeout) {
                self.unsent = Some(question);
                return Ok(Waited::TimedOut);
            }
        }
        let left = timeout.saturating_sub(waited.monotonic());
        self.answer.wait_timeout(left).map_or(Ok(Waited::TimedOut), |answer| self.told(answer))
    }

    fn told(&self, answer: Result<Waited, Broken>) -> Result<Waited, CommandError> {
        answer.map_err(|Broken| CommandError::NotAccepted(end_of(&self.died)))
    }
}

/// Never [`Waited::TimedOut`].
impl Future for Wait {
    type Output = Result<Waited, CommandError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let wait = self.get_mut();
        if wait.unsent.is_some() {
            let Wait { room, seat, messages, unsent, .. } = wait;
            let sent = room.poll(seat, context, |()| send(messages, unsent).then_some(()));
            if sent.is_pending() {
                return Poll::Pending;
            }
        }
        wait.answer.poll(context).map(|answer| wait.told(answer))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.room.leave(&mut self.seat);
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("queued", &self.unsent.is_none()).finish_non_exhaustive()
    }
}

/// Sends the question if there is room for it. Says whether that is settled: a queue that is gone drops it, and with
/// it the promise of an answer.
fn send(messages: &Sender<Message>, unsent: &mut Option<Message>) -> bool {
    if let Some(question) = unsent.take()
        && let Err(TrySendError::Full(question)) = messages.try_send(question)
    {
        *unsent = Some(question);
    }
    unsent.is_none()
}

/// Resolves when the queue of commands has room, or the reconciler has ended; see
/// [`Handle::room`](super::Handle::room).
#[must_use = "a future does nothing unless it is polled"]
pub struct Room {
    messages: Sender<Message>,
    room: Arc<Bell<()>>,
    seat: Seat,
}

impl Room {
    pub(super) fn new(messages: Sender<Message>, room: Arc<Bell<()>>) -> Room {
        Room { messages, room, seat: Seat::default() }
    }
}

impl Future for Room {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Room { messages, room, seat } = self.get_mut();
        room.poll(seat, context, |()| (!messages.is_full()).then_some(()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.room.leave(&mut self.seat);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("full", &self.messages.is_full()).finish_non_exhaustive()
    }
}
