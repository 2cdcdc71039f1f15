//! Clients that each wait for their answer before they ask again, for a while.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::Result;
use crate::workload::{Change, Changes};

/// One connection to a contestant, as it were. Blocks until the change is durable.
pub(crate) trait Client: Send {
    fn declare(&mut self, change: Change) -> Result<()>;

    /// All of them or none, acknowledged together. `false` from those who have no such thing; nothing was done then.
    fn declare_together(&mut self, changes: Vec<Change>) -> Result<bool> {
        drop(changes);
        Ok(false)
    }
}

/// What was done, and how long it took.
pub(crate) struct Measured {
    pub(crate) done: f64,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
}

impl Measured {
    /// Per second.
    pub(crate) fn rate(&self) -> f64 {
        self.done / self.elapsed.as_secs_f64()
    }
}

/// How long each answer took, to three digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Latencies> {
        /// Ten minutes: no answer that took longer is waited for.
        const LONGEST_NANOS: u64 = 600_000_000_000;
        Ok(Latencies(Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?))
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: &Latencies) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// In microseconds; `quantile` is 0.99 for the 99th percentile.
    pub(crate) fn micros(&self, quantile: f64) -> f64 {
        as_f64(self.0.value_at_quantile(quantile)) / 1e3
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }
}

/// Lets one client declare so many at a time for `span`. `None` if it cannot.
pub(crate) fn drive_together(
    client: &mut dyn Client,
    changes: &Changes,
    together: usize,
    span: Duration,
) -> Result<Option<f64>> {
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < span {
        if !client.declare_together((0..together).map(|_| changes.next()).collect())? {
            return Ok(None);
        }
        done += together as u64;
    }
    Ok(Some(as_f64(done) / began.elapsed().as_secs_f64()))
}

/// Lets all `clients` declare for `span`.
pub(crate) fn drive(clients: &mut [Box<dyn Client>], changes: &Changes, span: Duration) -> Result<Measured> {
    let start = Barrier::new(clients.len() + 1);
    let start = &start;
    thread::scope(|scope| {
        let threads: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || one(&mut **client, changes, start, span))).collect();
        start.wait();
        let began = Instant::now();
        let mut latencies = Latencies::new()?;
        for thread in threads {
            latencies.merge(&thread.join().map_err(|_| "a client panicked")??)?;
        }
        let elapsed = began.elapsed();
        Ok(Measured { done: as_f64(latencies.count()), elapsed, latencies })
    })
}

fn one(client: &mut dyn Client, changes: &Changes, start: &Barrier, span: Duration) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    start.wait();
    let began = Instant::now();
    while began.elapsed() < span {
        let change = changes.next();
        let asked = Instant::now();
        client.declare(change)?;
        latencies.add(asked.elapsed());
    }
    Ok(latencies)
}

/// A count as a number to divide with. Exact up to 2^53, more than is ever counted here.
#[expect(clippy::cast_precision_loss)]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}
