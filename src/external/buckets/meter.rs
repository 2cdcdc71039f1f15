//! What goes over the wire, counted: requests that were sent, and what came back. What comes for a
//! page is looked at on the way (`answer.rs`).

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::{ClientOptions, Result};

use super::answer;
use super::outgoing::{self, Redirected};
use crate::worker::TrafficCounter;

tokio::task_local! {
    /// Counts the requests of the task as well.
    static COUNTER: TrafficCounter;
}

/// What `work` sends is counted in `traffic` as well.
pub(super) async fn counted<T>(traffic: TrafficCounter, work: impl Future<Output = T>) -> T {
    COUNTER.scope(traffic, work).await
}

/// Counters of one client.
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    /// Answers that were no trouble, and pages.
    arrivals: AtomicU64,
    /// The status of the last answer that asks to try again later; 0 if none has since something arrived.
    trouble: AtomicU16,
}

impl Meter {
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// The status with which the store asks to try again, if that is the last that it said.
    pub(super) fn last_trouble(&self) -> Option<u16> {
        Some(self.trouble.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Something has arrived.
    pub(super) fn arrived(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
    }
}

/// Connects, and counts.
#[derive(Debug)]
pub(super) struct Metered(pub(super) Arc<Meter>);

impl HttpConnector for Metered {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = outgoing::client(options)?;
        Ok(HttpClient::new(Counting { client, meter: Arc::clone(&self.0) }))
    }
}

struct Counting {
    client: HttpClient,
    meter: Arc<Meter>,
}

/// What it holds may show credentials.
impl fmt::Debug for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counting").field("meter", &self.meter).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Counting {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.meter.requests.fetch_add(1, Ordering::Relaxed);
        let _ = COUNTER.try_with(TrafficCounter::count_request);
        let (page, sent) = (answer::asks_for_page(&request), outgoing::sent(&request));
        let answer = self.client.execute(request).await.map_err(outgoing::lasting)?;
        let status = answer.status();
        if status.is_server_error() || status.as_u16() == 429 {
            self.meter.trouble.store(status.as_u16(), Ordering::Relaxed);
            if let 429 | 503 = status.as_u16() {
                let _ = COUNTER.try_with(|counter| counter.count_throttled(status.as_u16()));
            }
        } else {
            self.meter.trouble.store(0, Ordering::Relaxed);
            self.meter.arrived();
        }
        if let Some(redirected) = Redirected::of(&answer, &sent) {
            return Err(redirected.into_error());
        }
        match page {
            Some(protocol) if status.is_success() => answer::checked(answer, protocol).await,
            _ => Ok(answer),
        }
    }
}
