//! What an observation sends over a wire, counted while it runs. It must not know to whom, nor what follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// How many requests something took, and how often it was asked to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests that were sent, those that were tried again included.
    pub requests: u64,
    /// How many of them were answered with the word to ask more slowly.
    pub throttled: u64,
    /// The status of the last such answer, as 429 or 503.
    pub status: Option<u16>,
}

impl Traffic {
    /// What was added since `before` was counted.
    #[cfg(feature = "_buckets")]
    pub(crate) fn since(self, before: Traffic) -> Traffic {
        let throttled = self.throttled.saturating_sub(before.throttled);
        Traffic {
            requests: self.requests.saturating_sub(before.requests),
            throttled,
            status: self.status.filter(|_| throttled > 0),
        }
    }
}

/// Counts on. A counter that is full stays so: to begin anew would say that nothing was sent.
fn count(counter: &AtomicU64, more: u64) {
    let add = |before: u64| Some(before.saturating_add(more));
    let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}

/// Counts the traffic of one observation, from any thread. Clones count as one.
#[derive(Clone, Debug, Default)]
pub struct TrafficCounter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    throttled: AtomicU64,
    /// Zero if there was none.
    status: AtomicU16,
}

impl TrafficCounter {
    /// A request is sent.
    pub fn count_request(&self) {
        count(&self.0.requests, 1);
    }

    /// A request was answered with this status, which asks to wait.
    pub fn count_throttled(&self, status: u16) {
        count(&self.0.throttled, 1);
        self.0.status.store(status, Ordering::Relaxed);
    }

    /// What somebody else has counted belongs to this observation as well.
    pub fn add(&self, traffic: Traffic) {
        count(&self.0.requests, traffic.requests);
        count(&self.0.throttled, traffic.throttled);
        if let Some(status) = traffic.status {
            self.0.status.store(status, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Traffic {
        Traffic {
            requests: self.0.requests.load(Ordering::Relaxed),
            throttled: self.0.throttled.load(Ordering::Relaxed),
            status: Some(self.0.status.load(Ordering::Relaxed)).filter(|status| *status != 0),
        }
    }
}
