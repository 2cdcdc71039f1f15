//! The runtime that requests run on, and how a thread waits for them. It must not know what is asked for.
//!
//! *Architecture invariant:* whoever waits is woken by one of three: the answer, the word to stop, or that nothing has
//! arrived for a minute. A listing of an hour in which pages come is waited for.

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::fault::Fault;
use super::meter::Meter;
use crate::clock::{Clock, SystemClock};
use crate::external::StopCheck;

/// Without an answer or a page for so long, a request is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// How often who waits asks whether to go on.
const TURN: Duration = Duration::from_millis(50);

/// Threads for requests: decrypting and parsing pages is most of what they do.
const THREADS: usize = 2;

/// The runtime. It is started when something is first asked for.
#[derive(Default)]
pub(super) struct Network {
    clock: SystemClock,
    runtime: Mutex<Option<Arc<Held>>>,
}

/// A runtime that does not wait for its threads when it goes: where it is dropped may be a thread of another one.
struct Held(Option<Runtime>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Network {
    fn runtime(&self) -> Result<Arc<Held>, Fault> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &*runtime {
            return Ok(Arc::clone(held));
        }
        let started = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(4)
            .thread_name("lastword-net")
            .enable_all()
            .build()
            .map_err(Fault::NoThreads)?;
        Ok(Arc::clone(runtime.insert(Arc::new(Held(Some(started))))))
    }

    /// Runs a future to its end. If it is not waited for any longer it is dropped where it stands, and with it its
    /// connection.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        meter: &Meter,
        stop_check: StopCheck<'_>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Fault> {
        let held = self.runtime()?;
        let Some(runtime) = &held.0 else { return Err(Fault::Ended) };
        let (answer, answered) = sync_channel(1);
        let task = runtime.spawn(async move {
            // Nobody may be waiting any more.
            let _ = answer.send(work.await);
        });
        let (mut seen, mut since) = (meter.arrivals(), self.clock.monotonic());
        loop {
            match answered.recv_timeout(TURN) {
                Ok(found) => return Ok(found),
                // It panicked, or the runtime ended.
                Err(RecvTimeoutError::Disconnected) => return Err(Fault::Ended),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop_check().is_err() {
                task.abort();
                return Err(Fault::Interrupted);
            }
            let arrived = meter.arrivals();
            if arrived != seen {
                (seen, since) = (arrived, self.clock.monotonic());
            } else if self.clock.monotonic().saturating_sub(since) >= SILENCE {
                task.abort();
                return Err(Fault::Silence(meter.last_trouble()));
            }
        }
    }
}
