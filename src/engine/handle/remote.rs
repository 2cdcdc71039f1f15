//! The handle of remote workers.
//!
//! *Architecture invariant:* like the handle, it knows the queue alone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Handle;
use crate::core::vocabulary::{AttemptRef, Built, Completion, Duties, Fingerprint, Kind, Receipt, WorkerName};
use crate::engine::error::CommandError;
use crate::engine::message::{AssignmentWaiter, Message, RemoteRequest};
use crate::engine::queue::Queue;
use crate::engine::remote::{AttemptState, CompletionOutcome, HeartbeatReply, LeasedAssignment};
use crate::engine::reply::{Reply, Response, reply};
use crate::worker::Failure;

/// Driving kinds that have no [`Worker`](crate::Worker) in the engine's process: an async runtime, another process,
/// another machine is the worker. It takes an assignment under a lease, shows by heartbeats that it lives, and reports
/// how it went.
///
/// Each of the methods that ask or report gives a [`Response`]: `.await` it, or call [`wait`](Response::wait). Reports
/// may be repeated when their outcome is unknown, also after the engine was opened again: an attempt survives that.
impl Handle {
    /// Waits for an attempt of one of `kinds`, for at most `wait` of real time. `worker` names this incarnation of the
    /// worker, as the log will show it; `lease` (10 ms to a day) is how long it may be silent.
    ///
    /// # Errors
    /// When a kind has a worker in the engine's process, the lease is out of range, or the reconciler has ended.
    pub fn next_assignment(
        &self,
        kinds: &[Kind],
        worker: &WorkerName,
        lease: Duration,
        wait: Duration,
    ) -> Result<Option<LeasedAssignment>, CommandError> {
        self.assignment(kinds, worker, lease).wait_timeout(wait)
    }

    /// The same as a future, which waits until there is one. An attempt that was started for a future that is dropped
    /// is handed back.
    pub fn assignment(&self, kinds: &[Kind], worker: &WorkerName, lease: Duration) -> NextAssignment {
        // A remote worker looks after its outputs itself.
        let kinds = kinds.iter().map(|kind| (kind.clone(), Duties::default())).collect();
        let worker = worker.clone();
        let wait = |reply| RemoteRequest::Assignment(AssignmentWaiter { kinds, worker, lease, reply });
        NextAssignment { queue: self.queue.clone(), response: self.remote(wait) }
    }

    /// Shows that the worker of an attempt lives, which extends its lease, and asks whether to go on. Leaves no event.
    pub fn heartbeat(&self, attempt: AttemptRef) -> Response<HeartbeatReply> {
        self.remote(|reply| RemoteRequest::Heartbeat { attempt, reply })
    }

    /// Offers the result of an attempt. Repeating a completion that was committed is answered as the first one was,
    /// while nothing newer is committed.
    pub fn complete(
        &self,
        attempt: AttemptRef,
        fingerprint: Fingerprint,
        result: Built,
    ) -> Response<CompletionOutcome> {
        let completion = Box::new(Completion { attempt, fingerprint, result });
        let by = self.by.clone();
        self.remote(|reply| RemoteRequest::Complete { completion, by, reply })
    }

    /// Says that an attempt has failed, and whether trying again may help.
    pub fn fail(&self, attempt: AttemptRef, failure: Failure) -> Response<Receipt> {
        let by = self.by.clone();
        self.remote(|reply| RemoteRequest::Fail { attempt, failure, by, reply })
    }

    /// Hands an attempt back without a result: because it was told to stop, or to leave it to another worker. Nothing is
    /// charged. A worker that hands back in a loop gets a hundred attempts at once, and then one in 10 ms.
    pub fn release(&self, attempt: AttemptRef) -> Response<Receipt> {
        let by = self.by.clone();
        self.remote(|reply| RemoteRequest::Release { attempt, by, reply })
    }

    /// What an attempt is now: for a worker that does not know what became of its reports.
    pub fn query(&self, attempt: AttemptRef) -> Response<AttemptState> {
        self.remote(|reply| RemoteRequest::Query { attempt, reply })
    }

    fn remote<T>(&self, request: impl FnOnce(Reply<T>) -> RemoteRequest) -> Response<T> {
        self.queue.ask(|reply| Message::Remote(request(reply)))
    }
}

/// Waits for an attempt to work on; see [`Handle::assignment`].
#[must_use = "a future does nothing unless it is polled"]
pub struct NextAssignment {
    queue: Queue,
    response: Response<LeasedAssignment>,
}

impl NextAssignment {
    /// Waits for at most `timeout`, and then no longer.
    ///
    /// # Errors
    /// As [`Handle::next_assignment`].
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Option<LeasedAssignment>, CommandError> {
        match self.response.wait_timeout(timeout) {
            Some(answer) => answer.map(Some),
            // What comes between the timeout and leaving is taken, not sent back.
            None => self.response.close().transpose(),
        }
    }
}

impl Future for NextAssignment {
    type Output = Result<LeasedAssignment, CommandError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.response).poll(context)
    }
}

/// An assignment that was not taken is handed back at once. If the queue has no room for that, its lease runs out.
impl Drop for NextAssignment {
    fn drop(&mut self) {
        if let Some(Ok(assignment)) = self.response.close() {
            let (reply, _) = reply(self.queue.life());
            let release = RemoteRequest::Release { attempt: assignment.attempt(), by: None, reply };
            let _ = self.queue.try_send(Message::Remote(release));
        }
    }
}

impl fmt::Debug for NextAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextAssignment").finish_non_exhaustive()
    }
}
