//! One answer to one question, for a thread that waits or a future that is polled, in any order.
//!
//! *Why not a channel or a crate:* a ticket may be polled, put down and waited for. The channels of this engine
//! cannot be polled, and `oneshot`, which has both, has split the two into types that do not lead back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::bell::{Bell, Seat};

/// A promise and the answer that it will become.
pub(super) fn promise<T>() -> (Promise<T>, Answer<T>) {
    let bell = Arc::new(Bell::new(Slot::Open));
    (Promise { bell: Arc::clone(&bell) }, Answer { bell, seat: Seat::default() })
}

/// The side of whoever has to answer. Dropped, it breaks: the other side learns that no answer will come.
#[derive(Debug)]
pub(super) struct Promise<T> {
    bell: Arc<Bell<Slot<T>>>,
}

/// The side of whoever waits.
#[derive(Debug)]
pub(super) struct Answer<T> {
    bell: Arc<Bell<Slot<T>>>,
    seat: Seat,
}

#[derive(Debug)]
enum Slot<T> {
    Open,
    Kept(T),
    /// There is no answer, it was taken, or nobody wants it any more.
    Empty,
}

/// The promise was broken, or its answer was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl<T> Promise<T> {
    /// Answers. Whoever no longer listens does not have to be told.
    pub(super) fn keep(self, answer: T) {
        let _ = self.offer(answer);
    }

    /// Answers, or gives the answer back if nobody listens any more. In between there is nothing: what is kept is
    /// taken, or comes back from [`Answer::close`].
    pub(super) fn offer(self, answer: T) -> Result<(), T> {
        self.bell.ring(|slot| match slot {
            Slot::Open => {
                *slot = Slot::Kept(answer);
                Ok(())
            }
            Slot::Kept(_) | Slot::Empty => Err(answer),
        })
    }

    /// Whether somebody still listens.
    pub(super) fn is_heard(&self) -> bool {
        Arc::strong_count(&self.bell) > 1
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.bell.look(|slot| matches!(slot, Slot::Open)) {
            self.bell.ring(|slot| *slot = Slot::Empty);
        }
    }
}

impl<T> Slot<T> {
    /// What there is to be said, if there is anything yet.
    fn take(&mut self) -> Option<Result<T, Broken>> {
        match std::mem::replace(self, Slot::Empty) {
            Slot::Open => {
                *self = Slot::Open;
                None
            }
            Slot::Kept(answer) => Some(Ok(answer)),
            Slot::Empty => Some(Err(Broken)),
        }
    }
}

impl<T> Answer<T> {
    pub(super) fn wait(&self) -> Result<T, Broken> {
        self.bell.wait(|slot| slot.take().map_or(ControlFlow::Continue(None), ControlFlow::Break))
    }

    /// `None` if there is none in time.
    pub(super) fn wait_timeout(&self, timeout: Duration) -> Option<Result<T, Broken>> {
        self.bell.wait_timeout(timeout, Slot::take)
    }

    pub(super) fn try_take(&self) -> Option<Result<T, Broken>> {
        self.bell.look(Slot::take)
    }

    /// Listens no longer. Gives out what was kept by then.
    pub(super) fn close(&mut self) -> Option<T> {
        self.bell.leave(&mut self.seat);
        self.bell.look(|slot| match std::mem::replace(slot, Slot::Empty) {
            Slot::Kept(answer) => Some(answer),
            Slot::Open | Slot::Empty => None,
        })
    }

    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<T, Broken>> {
        self.bell.poll(&mut self.seat, context, Slot::take)
    }
}

/// Its waker goes at once, however long the promise is still held.
impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn an_answer_comes_once_and_may_be_polled_and_waited_for() {
        let (promise, mut answer) = promise();
        let context = Context::from_waker(Waker::noop());
        assert!(answer.poll(&context).is_pending());
        assert_eq!(answer.wait_timeout(Duration::from_millis(1)), None);
        promise.keep(7);
        assert_eq!(answer.wait(), Ok(7));
        assert_eq!(answer.poll(&context), Poll::Ready(Err(Broken)));
    }

    #[test]
    fn a_promise_that_is_dropped_is_broken_and_one_that_nobody_hears_says_so() {
        let (kept, answer) = promise::<u32>();
        assert!(kept.is_heard());
        let waiting = std::thread::spawn(move || answer.wait());
        drop(kept);
        assert_eq!(waiting.join().unwrap(), Err(Broken));

        let (promise, answer) = promise::<u32>();
        drop(answer);
        assert!(!promise.is_heard());
        assert_eq!(promise.offer(1), Err(1));
    }

    #[test]
    fn an_answer_that_comes_between_giving_up_and_leaving_is_not_lost() {
        let (promise, mut answer) = promise();
        assert_eq!(answer.wait_timeout(Duration::ZERO), None);
        assert_eq!(promise.offer(7), Ok(()));
        assert_eq!(answer.close(), Some(7));
        assert_eq!(answer.close(), None);
    }
}
