//! What callers wait for: the answer to a command, a word being applied, room in the queue. Each can be polled as a
//! [`Future`], by any executor or none, or waited for by a thread, whichever suits at the moment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, TrySendError};

use super::error::CommandError;
use super::handle::{end_of, unknown};
use super::message::{Message, Reply};
use super::promise::{Answer, Broken, promise};
use super::queue::Queue;
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

/// What a question needs of a handle.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) messages: Queue,
    pub(super) room: Arc<Bell<()>>,
    pub(super) died: Arc<OnceLock<String>>,
}

/// A question to the engine: it waits for room in the queue, then for the answer.
pub(super) struct Asked<T> {
    line: Line,
    seat: Seat,
    /// The question, while there is no room for it in the queue.
    unsent: Option<Message>,
    answer: Answer<T>,
}

impl<T> Asked<T> {
    /// Asks at once if there is room.
    pub(super) fn new(line: Line, question: Message, answer: Answer<T>) -> Asked<T> {
        let mut asked = Asked { line, seat: Seat::default(), unsent: Some(question), answer };
        send(&asked.line.messages, &mut asked.unsent);
        asked
    }

    pub(super) fn wait(&mut self) -> Result<T, Broken> {
        if let Some(question) = self.unsent.take() {
            // A queue that is gone drops the question, and with it the promise of an answer.
            let _ = self.line.messages.send(question);
        }
        self.answer.wait()
    }

    /// `None` if there is none in time.
    pub(super) fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, Broken>> {
        let waited = SystemClock::new();
        if let Some(question) = self.unsent.take()
            && let Err(SendTimeoutError::Timeout(question)) = self.line.messages.send_timeout(question, timeout)
        {
            self.unsent = Some(question);
            return None;
        }
        self.answer.wait_timeout(timeout.saturating_sub(waited.monotonic()))
    }

    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<T, Broken>> {
        let Asked { line, seat, unsent, answer } = self;
        if unsent.is_some() {
            let sent = line.room.poll(seat, context, |()| send(&line.messages, unsent).then_some(()));
            if sent.is_pending() {
                return Poll::Pending;
            }
        }
        answer.poll(context)
    }

    /// Takes the question back, or gives out an answer that has come by now.
    pub(super) fn close(&mut self) -> Option<T> {
        let answer = self.answer.close();
        self.unsent = None;
        answer
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.line.room.leave(&mut self.seat);
    }
}

/// Sends the question if there is room for it. Says whether that is settled: a queue that is gone drops it, and with
/// it the promise of an answer.
fn send(messages: &Queue, unsent: &mut Option<Message>) -> bool {
    if let Some(question) = unsent.take()
        && let Err(TrySendError::Full(question)) = messages.try_send(question)
    {
        *unsent = Some(question);
    }
    unsent.is_none()
}

/// The answer to a question: a future, which [`wait`](Asking::wait) turns into a call. The question is asked when
/// this is made if the queue has room, and else when it is polled.
#[must_use = "without room in the queue it is not asked before it is polled or waited for"]
pub struct Asking<T> {
    asked: Asked<Result<T, CommandError>>,
}

impl<T> Asking<T> {
    pub(super) fn new(line: Line, question: impl FnOnce(Reply<T>) -> Message) -> Asking<T> {
        let (reply, answer) = Reply::new(&line.died);
        Asking { asked: Asked::new(line, question(reply), answer) }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When what was asked was refused, not accepted, or its outcome is unknown.
    pub fn wait(mut self) -> Result<T, CommandError> {
        let answer = self.asked.wait();
        self.told(answer)
    }

    fn told(&self, answer: Result<Result<T, CommandError>, Broken>) -> Result<T, CommandError> {
        answer.unwrap_or_else(|Broken| Err(unknown(&self.asked.line.died)))
    }
}

/// Not to be polled again once it has answered: it would say that the outcome is unknown.
impl<T> Future for Asking<T> {
    type Output = Result<T, CommandError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.asked.poll(context).map(|answer| self.told(answer))
    }
}

impl<T> fmt::Debug for Asking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("queued", &self.asked.unsent.is_none()).finish_non_exhaustive()
    }
}

/// Waits until a generation of a collection is applied or it is clear that it will not be for now; see
/// [`Handle::applied`](super::Handle::applied).
#[must_use = "a future does nothing unless it is polled"]
pub struct Wait {
    asked: Asked<Waited>,
}

impl Wait {
    pub(super) fn new(line: Line, name: Name, generation: Generation) -> Wait {
        let (reply, answer) = promise();
        Wait { asked: Asked::new(line, Message::Wait { name, generation, reply }, answer) }
    }

    /// Waits for at most `timeout`; [`Waited::TimedOut`] is no end, and waiting may go on.
    ///
    /// # Errors
    /// When the reconciler has shut down or died. A name that nothing has counts as dropped.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Waited, CommandError> {
        self.asked.wait_timeout(timeout).map_or(Ok(Waited::TimedOut), |answer| self.told(answer))
    }

    fn told(&self, answer: Result<Waited, Broken>) -> Result<Waited, CommandError> {
        answer.map_err(|Broken| CommandError::NotAccepted(end_of(&self.asked.line.died)))
    }
}

/// Never [`Waited::TimedOut`].
impl Future for Wait {
    type Output = Result<Waited, CommandError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.asked.poll(context).map(|answer| self.told(answer))
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("queued", &self.asked.unsent.is_none()).finish_non_exhaustive()
    }
}

/// Resolves when the queue of commands has room, or the reconciler has ended; see
/// [`Handle::room`](super::Handle::room).
#[must_use = "a future does nothing unless it is polled"]
pub struct Room {
    line: Line,
    seat: Seat,
}

impl Room {
    pub(super) fn new(line: Line) -> Room {
        Room { line, seat: Seat::default() }
    }
}

impl Future for Room {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Room { line, seat } = self.get_mut();
        line.room.poll(seat, context, |()| (!line.messages.is_full()).then_some(()))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.line.room.leave(&mut self.seat);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("full", &self.line.messages.is_full()).finish_non_exhaustive()
    }
}
