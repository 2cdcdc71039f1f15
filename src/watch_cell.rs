//! A value that threads and futures wait for.
//!
//! Replies, watches, the signals of an attempt and the room in the queue have this in common: a thread sleeps or a
//! future is polled until the value says something. It knows no runtime: a waker is all it asks of one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::unwind;

/// A value, and the threads and futures that wait for it to change.
#[derive(Debug, Default)]
pub(crate) struct WatchCell<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner<T> {
    value: T,
    /// Threads that sleep. Waking none of them is a system call all the same, and most answers come before they are
    /// waited for when many requests are made at once.
    sleepers: usize,
    next_waiter: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// One future among those that wait. Its owner gives it back with [`WatchCell::deregister`].
#[derive(Debug, Default)]
pub(crate) struct WaiterId(Option<u64>);

impl<T> WatchCell<T> {
    pub(crate) fn new(value: T) -> WatchCell<T> {
        let inner = Inner { value, sleepers: 0, next_waiter: 0, wakers: BTreeMap::new() };
        WatchCell { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Reads the value, or changes a part of it that no waiter asks about.
    pub(crate) fn with<R>(&self, read: impl FnOnce(&mut T) -> R) -> R {
        read(&mut self.lock().value)
    }

    /// Changes the value and wakes every waiter.
    pub(crate) fn notify<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner.value);
        let wakers = std::mem::take(&mut inner.wakers);
        let sleeps = inner.sleepers > 0;
        // Wakers are foreign code: they are called without the lock, and one that panics keeps no other from its call.
        drop(inner);
        if sleeps {
            self.changed.notify_all();
        }
        for waker in wakers.into_values() {
            let _ = unwind::catch(|| waker.wake());
        }
        result
    }

    /// Sleeps until `poll` breaks off with a result. When it continues it says how long to sleep at most; `None` is
    /// until the next change.
    pub(crate) fn wait<R>(&self, mut poll: impl FnMut(&mut T) -> ControlFlow<R, Option<Duration>>) -> R {
        let mut inner = self.lock();
        loop {
            let at_most = match poll(&mut inner.value) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(at_most) => at_most,
            };
            inner.sleepers += 1;
            inner = match at_most {
                None => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(at_most) => self.changed.wait_timeout(inner, at_most).unwrap_or_else(PoisonError::into_inner).0,
            };
            inner.sleepers -= 1;
        }
    }

    /// Sleeps until `poll` has a result, for at most `timeout` of real time.
    pub(crate) fn wait_timeout<R>(&self, timeout: Duration, mut poll: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let waited = SystemClock::new();
        self.wait(|value| match (poll(value), timeout.saturating_sub(waited.monotonic())) {
            (Some(result), _) => ControlFlow::Break(Some(result)),
            (None, Duration::ZERO) => ControlFlow::Break(None),
            (None, left) => ControlFlow::Continue(Some(left)),
        })
    }

    /// The result of `read`, or the waker of `context` is called at the next change.
    pub(crate) fn poll<R>(
        &self,
        waiter: &mut WaiterId,
        context: &Context<'_>,
        mut read: impl FnMut(&mut T) -> Option<R>,
    ) -> Poll<R> {
        if let Some(result) = self.with(&mut read) {
            return Poll::Ready(result);
        }
        // Cloned and dropped without the lock: that, too, is foreign code, and may come back here.
        let waker = context.waker().clone();
        let mut inner = self.lock();
        if let Some(result) = read(&mut inner.value) {
            drop(inner);
            return Poll::Ready(result);
        }
        let number = *waiter.0.get_or_insert(inner.next_waiter);
        inner.next_waiter = inner.next_waiter.max(number + 1);
        let before = inner.wakers.insert(number, waker);
        drop(inner);
        drop(before);
        Poll::Pending
    }

    /// The future waits no longer.
    pub(crate) fn deregister(&self, waiter: &mut WaiterId) {
        if let Some(number) = waiter.0.take() {
            let waker = self.lock().wakers.remove(&number);
            drop(waker);
        }
    }

    /// No change leaves a value that is half of something, so one that was under a panic is still whole.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    struct Panicking;

    impl Wake for Panicking {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }

    fn seen(value: &mut u32) -> Option<u32> {
        (*value > 0).then_some(*value)
    }

    #[test]
    fn a_waiter_is_woken_once_for_each_poll_and_a_deregistered_one_never() {
        let (cell, counting) = (WatchCell::new(0), Arc::new(Counting(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&counting));
        let context = Context::from_waker(&waker);
        let (mut first, mut second) = (WaiterId::default(), WaiterId::default());
        for waiter in [&mut first, &mut second] {
            assert!(cell.poll(waiter, &context, seen).is_pending());
            assert!(cell.poll(waiter, &context, seen).is_pending());
        }
        assert_eq!(Arc::strong_count(&counting), 4, "one waker for each waiter");
        cell.deregister(&mut second);
        assert_eq!(Arc::strong_count(&counting), 3);
        cell.notify(|value| *value = 7);
        assert_eq!((counting.0.load(SeqCst), Arc::strong_count(&counting)), (1, 2));
        assert_eq!(cell.poll(&mut first, &context, seen), Poll::Ready(7));
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_being_woken() {
        let (cell, counting) = (WatchCell::new(0), Arc::new(Counting(AtomicUsize::new(0))));
        let (bad, good) = (Waker::from(Arc::new(Panicking)), Waker::from(Arc::clone(&counting)));
        let (mut first, mut second) = (WaiterId::default(), WaiterId::default());
        assert!(cell.poll(&mut first, &Context::from_waker(&bad), seen).is_pending());
        assert!(cell.poll(&mut second, &Context::from_waker(&good), seen).is_pending());
        cell.notify(|value| *value = 1);
        assert_eq!(counting.0.load(SeqCst), 1);
    }
}
