//! An executor of twenty lines: whatever works here asks for no runtime.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use crate::support::LONG;

/// Wakes a thread; also counts, by its references, who could still do so.
pub struct Unpark(Thread);

impl Unpark {
    pub fn this() -> Arc<Unpark> {
        Arc::new(Unpark(thread::current()))
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Sleeps until it is woken. What is not ready in a time in which nothing takes as long fails the test.
#[track_caller]
fn park(since: Instant) {
    let left = LONG.saturating_sub(since.elapsed());
    assert!(!left.is_zero(), "a future was not ready");
    thread::park_timeout(left);
}

/// Drives a future on this thread.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let (mut future, waker, since) = (pin!(future), Waker::from(Unpark::this()), Instant::now());
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => park(since),
        }
    }
}

/// Drives many futures on this thread.
#[track_caller]
pub fn all<F: Future + Unpin>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let (waker, since) = (Waker::from(Unpark::this()), Instant::now());
    let mut futures: Vec<Result<F::Output, F>> = futures.into_iter().map(Err).collect();
    while futures.iter().any(Result::is_err) {
        for entry in &mut futures {
            if let Err(future) = entry
                && let Poll::Ready(output) = Pin::new(future).poll(&mut Context::from_waker(&waker))
            {
                *entry = Ok(output);
            }
        }
        if futures.iter().any(Result::is_err) {
            park(since);
        }
    }
    futures.into_iter().filter_map(Result::ok).collect()
}

/// The output of whichever of two is first.
pub async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Pending => second.as_mut().poll(context),
        ready => ready,
    })
    .await
}

/// Polls once; it has to be pending.
#[track_caller]
pub fn poll_pending<F: Future + Unpin>(future: &mut F, wake: &Arc<Unpark>) {
    let waker = Waker::from(Arc::clone(wake));
    assert!(Pin::new(future).poll(&mut Context::from_waker(&waker)).is_pending());
}
