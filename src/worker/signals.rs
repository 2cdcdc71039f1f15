//! What an attempt and the engine tell each other while it runs: stop, how far it has come, and that its
//! source may have changed.

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::EngineTime;
use crate::core::vocabulary::Timestamp;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::watch_cell::{WaiterId, WatchCell};

/// How far an attempt has come, in units of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Signals {
    stop: AtomicBool,
    /// The attempt has returned.
    over: AtomicBool,
    hinted: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    /// Notified when the attempt is told to stop or time was moved by hand; the value is until when its threads sleep.
    sleepers: WatchCell<Vec<Timestamp>>,
}

impl Signals {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// The attempt has returned: nobody waits for its stop any longer.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.wake();
    }

    fn is_over(&self) -> bool {
        self.is_stopping() || self.over.load(Ordering::Acquire)
    }

    /// Has the threads that sleep read the clock again.
    pub(crate) fn wake(&self) {
        self.sleepers.notify(|_| ());
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The source may have changed.
    pub(crate) fn hint(&self) {
        self.hinted.store(true, Ordering::Release);
    }

    pub(crate) fn is_hinted(&self) -> bool {
        self.hinted.load(Ordering::Acquire)
    }

    pub(crate) fn report(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| Progress { done: self.done.load(Ordering::Relaxed).min(total), total })
    }

    /// When the first thread of the attempt that sleeps will wake.
    pub(crate) fn sleeping_until(&self) -> Option<Timestamp> {
        self.sleepers.with(|sleeping| sleeping.iter().min().copied())
    }

    /// Sleeps until the attempt is told to stop, for at most `span`; says whether it was told.
    pub(super) fn sleep(&self, time: &EngineTime, span: Duration) -> bool {
        let until = time.now().after(span);
        self.sleepers.with(|sleeping| sleeping.push(until));
        let told = self.sleepers.wait(|_| match self.is_stopping() {
            true => ControlFlow::Break(true),
            false if time.now() >= until => ControlFlow::Break(false),
            false => ControlFlow::Continue(time.sleep(until)),
        });
        self.sleepers.with(|sleeping| {
            if let Some(this) = sleeping.iter().position(|at| *at == until) {
                sleeping.swap_remove(this);
            }
        });
        told
    }
}

/// Resolves when an attempt is told to stop or has returned, see [`Context::stopped`](super::Context::stopped).
#[must_use = "a future does nothing unless it is polled"]
pub struct Stopped {
    signals: Arc<Signals>,
    waiter: WaiterId,
}

impl Stopped {
    pub(crate) fn new(signals: Arc<Signals>) -> Stopped {
        Stopped { signals, waiter: WaiterId::default() }
    }
}

impl Future for Stopped {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Stopped { signals, waiter } = self.get_mut();
        signals.sleepers.poll(waiter, context, |_| signals.is_over().then_some(()))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signals.sleepers.deregister(&mut self.waiter);
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped").field("stopping", &self.signals.is_stopping()).finish_non_exhaustive()
    }
}
