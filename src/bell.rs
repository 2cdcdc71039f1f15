//! A value that threads and futures wait for, whichever they are: who changes it rings the bell.
//!
//! One home for what promises, watches and the signals of an attempt have in common. It knows no runtime: a waker is
//! all it asks of one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A value, and who waits for it to change.
#[derive(Debug, Default)]
pub(crate) struct Bell<T> {
    inner: Mutex<Inner<T>>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct Inner<T> {
    value: T,
    /// Threads that sleep. To wake nobody is a system call all the same, and most answers come before they are waited
    /// for when many are asked for at once.
    sleepers: usize,
    seats: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// The place of one future among those that wait. Whoever has one gives it back with [`Bell::leave`].
#[derive(Debug, Default)]
pub(crate) struct Seat(Option<u64>);

impl<T> Bell<T> {
    pub(crate) fn new(value: T) -> Bell<T> {
        Bell {
            inner: Mutex::new(Inner { value, sleepers: 0, seats: 0, wakers: BTreeMap::new() }),
            rung: Condvar::new(),
        }
    }

    /// Looks at the value, or changes what nobody waits for.
    pub(crate) fn look<R>(&self, see: impl FnOnce(&mut T) -> R) -> R {
        see(&mut self.lock().value)
    }

    /// Changes the value and wakes everybody who waits.
    pub(crate) fn ring<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner.value);
        let wakers = std::mem::take(&mut inner.wakers);
        let sleeps = inner.sleepers > 0;
        // Wakers are code of others: they are called without the lock, and one that panics harms nobody else.
        drop(inner);
        if sleeps {
            self.rung.notify_all();
        }
        for waker in wakers.into_values() {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        result
    }

    /// Sleeps until `see` breaks off with a result. When it goes on it says how long to sleep at most; `None` is
    /// until the bell rings.
    pub(crate) fn wait<R>(&self, mut see: impl FnMut(&mut T) -> ControlFlow<R, Option<Duration>>) -> R {
        let mut inner = self.lock();
        loop {
            let nap = match see(&mut inner.value) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(nap) => nap,
            };
            inner.sleepers += 1;
            inner = match nap {
                None => self.rung.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(nap) => self.rung.wait_timeout(inner, nap).unwrap_or_else(PoisonError::into_inner).0,
            };
            inner.sleepers -= 1;
        }
    }

    /// Sleeps until `see` has a result, for at most `timeout` of real time.
    pub(crate) fn wait_timeout<R>(&self, timeout: Duration, mut see: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let waited = SystemClock::new();
        self.wait(|value| match (see(value), timeout.saturating_sub(waited.monotonic())) {
            (Some(result), _) => ControlFlow::Break(Some(result)),
            (None, Duration::ZERO) => ControlFlow::Break(None),
            (None, left) => ControlFlow::Continue(Some(left)),
        })
    }

    /// The result of `see`, or a place among those who are woken when the bell rings.
    pub(crate) fn poll<R>(
        &self,
        seat: &mut Seat,
        context: &Context<'_>,
        mut see: impl FnMut(&mut T) -> Option<R>,
    ) -> Poll<R> {
        if let Some(result) = self.look(&mut see) {
            return Poll::Ready(result);
        }
        // Cloned and dropped without the lock: that, too, is code of others, and may come back here.
        let waker = context.waker().clone();
        let mut inner = self.lock();
        if let Some(result) = see(&mut inner.value) {
            drop(inner);
            return Poll::Ready(result);
        }
        let number = *seat.0.get_or_insert(inner.seats);
        inner.seats = inner.seats.max(number + 1);
        let before = inner.wakers.insert(number, waker);
        drop(inner);
        drop(before);
        Poll::Pending
    }

    /// Gives a seat back.
    pub(crate) fn leave(&self, seat: &mut Seat) {
        if let Some(number) = seat.0.take() {
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
    fn who_waits_is_woken_once_for_each_poll_and_who_leaves_is_forgotten() {
        let (bell, counting) = (Bell::new(0), Arc::new(Counting(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&counting));
        let context = Context::from_waker(&waker);
        let (mut first, mut second) = (Seat::default(), Seat::default());
        for seat in [&mut first, &mut second] {
            assert!(bell.poll(seat, &context, seen).is_pending());
            assert!(bell.poll(seat, &context, seen).is_pending());
        }
        assert_eq!(Arc::strong_count(&counting), 4, "one waker for each seat");
        bell.leave(&mut second);
        assert_eq!(Arc::strong_count(&counting), 3);
        bell.ring(|value| *value = 7);
        assert_eq!((counting.0.load(SeqCst), Arc::strong_count(&counting)), (1, 2));
        assert_eq!(bell.poll(&mut first, &context, seen), Poll::Ready(7));
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_being_woken() {
        let (bell, counting) = (Bell::new(0), Arc::new(Counting(AtomicUsize::new(0))));
        let (bad, good) = (Waker::from(Arc::new(Panicking)), Waker::from(Arc::clone(&counting)));
        let (mut first, mut second) = (Seat::default(), Seat::default());
        assert!(bell.poll(&mut first, &Context::from_waker(&bad), seen).is_pending());
        assert!(bell.poll(&mut second, &Context::from_waker(&good), seen).is_pending());
        bell.ring(|value| *value = 1);
        assert_eq!(counting.0.load(SeqCst), 1);
    }
}
