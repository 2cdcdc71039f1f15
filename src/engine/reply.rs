//! The answer to one request: a [`Reply`] on the engine's side, a [`Response`] on the caller's.
//!
//! Every request is answered, also by an engine that dies: a reply that is dropped answers for itself. While its
//! request is queued, that says that nothing was accepted; once the request was taken into a batch, that its outcome is unknown.
//!
//! *Why not a channel or a crate:* a response may be polled, put down and waited for. The channels of this engine
//! cannot be polled, and `oneshot`, which has both, has split the two into types that do not lead back.
//!
//! *Architecture invariant:* nothing here knows the queue or what was asked. A request that found no room is an
//! [`Unsent`], which the queue's side implements.

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::CommandError;
use super::life::Life;
use crate::clock::{Clock, SystemClock};
use crate::watch_cell::{WaiterId, WatchCell};

/// A reply, and the response that it will become.
pub(super) fn reply<T>(life: &Arc<Life>) -> (Reply<T>, Response<T>) {
    let cell = Arc::new(WatchCell::new(Slot::Open));
    let reply = Reply { cell: Some(Arc::clone(&cell)), life: Arc::clone(life), is_taken: false };
    (reply, Response { cell, life: Arc::clone(life), waiter: WaiterId::default(), unsent: None })
}

/// The side that has to answer.
pub(super) struct Reply<T> {
    /// Gone once it has answered.
    cell: Option<Arc<WatchCell<Slot<T>>>>,
    life: Arc<Life>,
    is_taken: bool,
}

#[derive(Debug)]
enum Slot<T> {
    Open,
    Answered(Result<T, CommandError>),
    /// The answer was taken, or its caller has left.
    Empty,
}

impl<T> Reply<T> {
    /// The request is taken into a batch. If this is dropped from here on, its outcome is unknown.
    pub(super) fn taken(mut self) -> Reply<T> {
        self.is_taken = true;
        self
    }

    /// Answers. A caller that has left is not told.
    pub(super) fn answer(mut self, answer: Result<T, CommandError>) {
        if let Some(cell) = self.cell.take() {
            let _ = put(&cell, answer);
        }
    }

    /// Answers, or gives the answer back if the caller has left. There is nothing in between: what was put is taken, or
    /// comes back from [`Response::close`].
    pub(super) fn offer(mut self, answer: T) -> Result<(), T> {
        let Some(cell) = self.cell.take() else { return Err(answer) };
        match put(&cell, Ok(answer)) {
            Err(Ok(answer)) => Err(answer),
            Ok(()) | Err(Err(_)) => Ok(()),
        }
    }

    /// Whether the caller still waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.cell.as_ref().is_some_and(|cell| Arc::strong_count(cell) > 1)
    }
}

fn put<T>(cell: &WatchCell<Slot<T>>, answer: Result<T, CommandError>) -> Result<(), Result<T, CommandError>> {
    cell.notify(|slot| match slot {
        Slot::Open => {
            *slot = Slot::Answered(answer);
            Ok(())
        }
        Slot::Answered(_) | Slot::Empty => Err(answer),
    })
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            let why = self.life.why();
            let error = if self.is_taken { CommandError::Unknown(why) } else { CommandError::NotAccepted(why) };
            let _ = put(&cell, Err(error));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("taken", &self.is_taken).finish_non_exhaustive()
    }
}

/// A request that found no room in the queue of the engine. Dropped, it is not asked.
pub(super) trait Unsent: Send + Sync {
    /// Sends it, however long that takes.
    fn send(self: Box<Self>);

    /// Sends it within `timeout`, or comes back.
    fn send_within(self: Box<Self>, timeout: Duration) -> Option<Box<dyn Unsent>>;

    /// Ready once it is sent; it is not to be polled again then.
    fn poll_send(&mut self, context: &Context<'_>) -> Poll<()>;
}

/// The answer to a request, as soon as what it says is durable: a future, which [`wait`](Response::wait) turns into a
/// call. Any executor or none may poll it.
///
/// A request that found no room in the engine's queue is sent when this is polled or waited for. Dropping it takes
/// nothing back that was sent.
#[must_use = "the answer may be that the request was refused, and one without room in the queue is not sent yet"]
pub struct Response<T> {
    cell: Arc<WatchCell<Slot<T>>>,
    life: Arc<Life>,
    waiter: WaiterId,
    unsent: Option<Box<dyn Unsent>>,
}

impl<T> Response<T> {
    /// The response to a request that is still to be sent.
    pub(super) fn unsent(self, unsent: Box<dyn Unsent>) -> Response<T> {
        // Assigned, not moved out of: a response closes when it is dropped.
        let mut response = self;
        response.unsent = Some(unsent);
        response
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When what was asked was refused, not accepted, or its outcome is unknown; and on the engine's own thread if there is
    /// no answer yet ([`CommandError::OwnThread`]).
    pub fn wait(mut self) -> Result<T, CommandError> {
        if self.life.is_this_thread() {
            return self.try_wait().unwrap_or(Err(CommandError::OwnThread));
        }
        if let Some(unsent) = self.unsent.take() {
            unsent.send();
        }
        self.cell.wait(|slot| slot.take().map_or(ControlFlow::Continue(None), ControlFlow::Break))
    }

    /// Waits for the answer for at most `timeout` of real time; `None` if there is none yet, and waiting may go on. On the
    /// engine's own thread it does not wait.
    ///
    /// # Errors
    /// The inner error is that of [`wait`](Response::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, CommandError>> {
        let waited = SystemClock::new();
        let timeout = if self.life.is_this_thread() { Duration::ZERO } else { timeout };
        if let Some(unsent) = self.unsent.take() {
            self.unsent = unsent.send_within(timeout);
            if self.unsent.is_some() {
                return None;
            }
        }
        self.cell.wait_timeout(timeout.saturating_sub(waited.monotonic()), Slot::take)
    }

    /// The answer, if there is one already.
    ///
    /// # Errors
    /// The inner error is that of [`wait`](Response::wait).
    pub fn try_wait(&mut self) -> Option<Result<T, CommandError>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Waits no longer: takes the request back if it was not sent, and gives out an answer that has come by now.
    pub(super) fn close(&mut self) -> Option<Result<T, CommandError>> {
        self.unsent = None;
        self.cell.deregister(&mut self.waiter);
        self.cell.with(|slot| match std::mem::replace(slot, Slot::Empty) {
            Slot::Answered(answer) => Some(answer),
            Slot::Open | Slot::Empty => None,
        })
    }
}

impl<T> Slot<T> {
    /// The answer, if there is one yet.
    fn take(&mut self) -> Option<Result<T, CommandError>> {
        match std::mem::replace(self, Slot::Empty) {
            Slot::Open => {
                *self = Slot::Open;
                None
            }
            Slot::Answered(answer) => Some(answer),
            Slot::Empty => Some(Err(CommandError::Unknown("the answer was taken before".to_owned()))),
        }
    }
}

/// Not to be polled again once it has answered: it would say that the outcome is unknown. In a call that the engine's own
/// thread has made, as of [`Worker::check`](crate::Worker::check) or of a waker, nothing comes before that returns: there it is
/// [`CommandError::OwnThread`] if there is no answer yet.
impl<T> Future for Response<T> {
    type Output = Result<T, CommandError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.life.is_called_out() {
            return Poll::Ready(this.try_wait().unwrap_or(Err(CommandError::OwnThread)));
        }
        let Response { cell, waiter, unsent, life: _ } = this;
        if let Some(request) = unsent {
            if request.poll_send(context).is_pending() {
                return Poll::Pending;
            }
            *unsent = None;
        }
        cell.poll(waiter, context, Slot::take)
    }
}

/// Its waker goes at once, however long the reply is still held.
impl<T> Drop for Response<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<T> fmt::Debug for Response<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("sent", &self.unsent.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn an_answer_comes_once_and_may_be_polled_and_waited_for() {
        let (reply, mut response) = reply(&Arc::default());
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut response).poll(&mut context).is_pending());
        assert_eq!(response.wait_timeout(Duration::from_millis(1)), None);
        reply.answer(Ok(7));
        assert_eq!(response.try_wait(), Some(Ok(7)));
        let again = Pin::new(&mut response).poll(&mut context);
        assert!(matches!(again, Poll::Ready(Err(CommandError::Unknown(_)))));
    }

    #[test]
    fn a_dropped_reply_says_what_is_known_of_its_request() {
        let life = Arc::<Life>::default();
        let (queued, response) = reply::<u32>(&life);
        let waiting = std::thread::spawn(move || response.wait());
        drop(queued);
        assert!(matches!(waiting.join().unwrap(), Err(CommandError::NotAccepted(_))));

        life.die("the disk is full".to_owned());
        let (queued, response) = reply::<u32>(&life);
        drop(queued.taken());
        assert_eq!(response.wait(), Err(CommandError::Unknown("the disk is full".to_owned())));
    }

    #[test]
    fn a_reply_knows_that_its_caller_has_left() {
        let (reply, response) = reply::<u32>(&Arc::default());
        assert!(reply.is_awaited());
        drop(response);
        assert!(!reply.is_awaited());
        assert_eq!(reply.offer(1), Err(1));
    }

    #[test]
    fn an_answer_that_comes_between_giving_up_and_leaving_is_not_lost() {
        let (reply, mut response) = reply(&Arc::default());
        assert_eq!(response.wait_timeout(Duration::ZERO), None);
        assert_eq!(reply.offer(7), Ok(()));
        assert_eq!(response.close(), Some(Ok(7)));
        assert_eq!(response.close(), None);
    }
}
