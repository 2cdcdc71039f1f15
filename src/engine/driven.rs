//! Kinds that the caller drives: an async runtime, another process, another machine is the worker. It asks for an
//! assignment, shows by heartbeats that it lives, and reports how it went. Silence longer than its lease counts as
//! lost, and somebody else takes over under a newer token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::CommandError;
use super::futures::{Asked, Asking};
use super::handle::{Handle, unknown};
use super::job::{Decision, Heartbeat, Job, Standing};
use super::leases::Seeker;
use super::lend::Lending;
use super::message::{Message, Reply};
use super::promise::Broken;
use crate::core::vocabulary::{AttemptRef, Built, Completion, Duties, Fingerprint, Kind, Receipt, WorkerName};
use crate::worker::Failure;

/// Driving kinds that have no [`Worker`](crate::Worker) in the engine's process.
///
/// Each of the methods that ask or report gives an [`Asking`]: `.await` it, or call [`wait`](Asking::wait). Reports may
/// be repeated when their outcome is unknown, also after the engine was opened again: an attempt survives that.
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
    ) -> Result<Option<Job>, CommandError> {
        self.assignment(kinds, worker, lease).wait_timeout(wait)
    }

    /// The same as a future, which waits until there is one. An attempt that was started for a future that is dropped
    /// is handed back.
    pub fn assignment(&self, kinds: &[Kind], worker: &WorkerName, lease: Duration) -> NextAssignment {
        let line = self.line();
        let (reply, answer) = Reply::new(&line.died);
        // Who drives a kind looks after its outputs itself.
        let kinds = kinds.iter().map(|kind| (kind.clone(), Duties::default())).collect();
        let seeker = Seeker { kinds, worker: worker.clone(), lease, reply };
        NextAssignment { asked: Asked::new(line, Message::Lending(Lending::Seek(seeker)), answer) }
    }

    /// Shows that the worker of an attempt lives, which extends its lease, and asks whether to go on. Leaves no event.
    pub fn heartbeat(&self, attempt: AttemptRef) -> Asking<Heartbeat> {
        self.lending(|reply| Lending::Beat { attempt, reply })
    }

    /// Offers the result of an attempt. Repeating a completion that was committed is answered as the first one was,
    /// while nothing newer is committed.
    pub fn complete(&self, attempt: AttemptRef, fingerprint: Fingerprint, result: Built) -> Asking<Decision> {
        let completion = Box::new(Completion { attempt, fingerprint, result });
        let by = self.by.clone();
        self.lending(|reply| Lending::Complete { completion, by, reply })
    }

    /// Says that an attempt has failed, and whether trying again may help.
    pub fn fail(&self, attempt: AttemptRef, failure: Failure) -> Asking<Receipt> {
        let by = self.by.clone();
        self.lending(|reply| Lending::Fail { attempt, failure, by, reply })
    }

    /// Lets go of an attempt without a result: because it was told to stop, or to let somebody else have it. Nothing is
    /// charged.
    pub fn drop_attempt(&self, attempt: AttemptRef) -> Asking<Receipt> {
        let by = self.by.clone();
        self.lending(|reply| Lending::LetGo { attempt, by, reply })
    }

    /// What an attempt is now, for whoever has lost the thread.
    pub fn query(&self, attempt: AttemptRef) -> Asking<Standing> {
        self.lending(|reply| Lending::Query { attempt, reply })
    }

    fn lending<T>(&self, lending: impl FnOnce(Reply<T>) -> Lending) -> Asking<T> {
        Asking::new(self.line(), |reply| Message::Lending(lending(reply)))
    }
}

/// Waits for an attempt to work on; see [`Handle::assignment`].
#[must_use = "a future does nothing unless it is polled"]
pub struct NextAssignment {
    asked: Asked<Result<Job, CommandError>>,
}

impl NextAssignment {
    /// Waits for at most `timeout`, and then no longer.
    ///
    /// # Errors
    /// As [`Handle::next_assignment`].
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Option<Job>, CommandError> {
        let answer = self.asked.wait_timeout(timeout).map(|answer| self.told(answer));
        // What comes between the timeout and leaving is taken, not sent back.
        answer.or_else(|| self.asked.close()).transpose()
    }

    fn told(&self, answer: Result<Result<Job, CommandError>, Broken>) -> Result<Job, CommandError> {
        answer.unwrap_or_else(|Broken| Err(unknown(&self.asked.line().died)))
    }
}

impl Future for NextAssignment {
    type Output = Result<Job, CommandError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.asked.poll(context).map(|answer| self.told(answer))
    }
}

/// A job that nobody has taken is handed back at once. If the queue has no room for that, its lease runs out.
impl Drop for NextAssignment {
    fn drop(&mut self) {
        if let Some(Ok(job)) = self.asked.close() {
            let line = self.asked.line();
            let (reply, _) = Reply::new(&line.died);
            let _ =
                line.messages.try_send(Message::Lending(Lending::LetGo { attempt: job.attempt(), by: None, reply }));
        }
    }
}

impl fmt::Debug for NextAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextAssignment").finish_non_exhaustive()
    }
}
