//! The reducer's side of kinds that the caller drives: who gets which attempt, and what is made of the reports.

use std::sync::Arc;
use std::time::Duration;

use super::error::CommandError;
use super::job::{Decision, Heartbeat, Job, Standing};
use super::leases::{LONGEST_LEASE, SHORTEST_LEASE, Seeker};
use super::message::Reply;
use super::pool::{Outcome, report};
use super::run::Engine;
use crate::core::vocabulary::{
    AttemptRef, By, CollectionId, Command, Completion, Event, FieldError, Fingerprint, Receipt, RejectReason,
    Rejection, Timestamp,
};
use crate::reducer::ReducerError;
use crate::worker::Failure;

/// What a worker outside asks and reports.
pub(super) enum Lending {
    Seek(Seeker),
    Beat { attempt: AttemptRef, reply: Reply<Heartbeat> },
    Query { attempt: AttemptRef, reply: Reply<Standing> },
    Complete { completion: Box<Completion>, by: Option<Arc<By>>, reply: Reply<Decision> },
    Fail { attempt: AttemptRef, failure: Failure, by: Option<Arc<By>>, reply: Reply<Receipt> },
    LetGo { attempt: AttemptRef, by: Option<Arc<By>>, reply: Reply<Receipt> },
}

/// Leases that run out in one batch. Each adds at most four events.
const MOST_RUN_OUT: usize = 1024;

impl Engine {
    pub(super) fn lending(&mut self, lending: Lending) -> Result<(), ReducerError> {
        match lending {
            Lending::Seek(seeker) => match self.check_seeker(&seeker) {
                Ok(()) => self.leases.seek(seeker),
                Err(error) => {
                    let reply = seeker.reply.taken();
                    self.release(move || reply.answer(Err(CommandError::Refused(error.into()))));
                }
            },
            Lending::Beat { attempt, reply } => {
                let (reply, answer) = (reply.taken(), self.beat(attempt));
                self.release(move || reply.answer(answer));
            }
            Lending::Query { attempt, reply } => {
                let (reply, standing) = (reply.taken(), self.standing(attempt));
                self.release(move || reply.answer(Ok(standing)));
            }
            Lending::Complete { completion, by, reply } => {
                let reply = reply.taken();
                let decision = self.complete(*completion, by.as_ref())?;
                self.release(move || reply.answer(decision));
            }
            Lending::Fail { attempt, failure, by, reply } => {
                let reply = reply.taken();
                let verdict = self.fail(attempt, failure, by.as_ref())?;
                self.release(move || reply.answer(verdict));
            }
            Lending::LetGo { attempt, by, reply } => {
                let reply = reply.taken();
                let verdict = self.end_lent(attempt, &Command::Stopped { attempt }, by.as_ref())?;
                self.release(move || reply.answer(verdict));
            }
        }
        Ok(())
    }

    fn check_seeker(&self, seeker: &Seeker) -> Result<(), FieldError> {
        // Whoever serves more kinds than this has mixed something up.
        const MOST_KINDS: usize = 256;
        let Seeker { kinds, lease, .. } = seeker;
        if kinds.is_empty() || kinds.len() > MOST_KINDS {
            return Err(FieldError::new("kinds", format!("must be 1 to {MOST_KINDS}, found {}", kinds.len())));
        }
        if let Some(kind) = kinds.keys().find(|kind| self.kinds.contains_key(*kind)) {
            let problem = format!("must have no worker in the engine's own process, and {kind} has one");
            return Err(FieldError::new("kinds", problem));
        }
        if *lease < SHORTEST_LEASE || *lease > LONGEST_LEASE {
            let problem = format!("must be {SHORTEST_LEASE:?} to {LONGEST_LEASE:?}, found {lease:?}");
            return Err(FieldError::new("lease", problem));
        }
        Ok(())
    }

    fn beat(&mut self, attempt: AttemptRef) -> Result<Heartbeat, CommandError> {
        self.check_lent(attempt)?;
        Ok(match self.standing(attempt) {
            Standing::Running { .. } => {
                let until = self.leases.extend(attempt.token, self.time.now());
                until.map_or(Heartbeat::Gone, |until| Heartbeat::Go { until })
            }
            Standing::Stopping { grace_until } => Heartbeat::Stop { grace_until },
            Standing::Committed { .. } | Standing::Gone => Heartbeat::Gone,
        })
    }

    fn standing(&self, attempt: AttemptRef) -> Standing {
        let (state, id) = (self.reducer.state(), attempt.collection);
        let collection = state.collection(id);
        if collection.and_then(|c| c.status.running()).is_some_and(|running| running.attempt_of(id) == attempt) {
            return Standing::Running { until: self.leases.until(attempt.token) };
        }
        if let Some(draining) = state.draining(attempt.token).filter(|draining| draining.attempt == attempt) {
            return Standing::Stopping { grace_until: draining.grace_until };
        }
        let applied = collection.and_then(|c| c.applied.as_deref());
        let applied = applied.filter(|applied| (applied.token, applied.task) == (attempt.token, attempt.task));
        applied.map_or(Standing::Gone, |applied| Standing::Committed { seq: applied.seq })
    }

    /// What the engine's own workers do, nobody else reports.
    fn check_lent(&self, attempt: AttemptRef) -> Result<(), CommandError> {
        if self.pool.started(attempt.token).is_none() {
            return Ok(());
        }
        let problem = "must not be one of a worker in the engine's own process";
        Err(CommandError::Refused(Rejection::Field(FieldError::new("attempt", problem))))
    }

    fn complete(
        &mut self,
        completion: Completion,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Decision, CommandError>, ReducerError> {
        let (attempt, before) = (completion.attempt, self.reducer.decided().len());
        if let Err(error) = self.end_lent(attempt, &Command::Complete(Box::new(completion)), by)? {
            return Ok(Err(error));
        }
        let told = self.reducer.decided().get(before..).unwrap_or_default();
        let decision = told.iter().find_map(|recorded| match recorded.event {
            Event::TaskCompleted { .. } => Some(Decision::Committed { seq: recorded.seq }),
            Event::CompletionRejected { reason, .. } => Some(Decision::Rejected { reason }),
            _ => None,
        });
        let decision = match (decision, self.standing(attempt)) {
            // Repeating what was committed is answered as it was the first time.
            (Some(Decision::Rejected { reason: RejectReason::Duplicate }), Standing::Committed { seq }) => {
                Some(Decision::Committed { seq })
            }
            (decision, _) => decision,
        };
        // A completion that is not refused is committed or rejected.
        Ok(decision.ok_or_else(|| CommandError::Unknown("the completion left no event".to_owned())))
    }

    fn fail(
        &mut self,
        attempt: AttemptRef,
        failure: Failure,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Receipt, CommandError>, ReducerError> {
        let was_told = matches!(self.standing(attempt), Standing::Stopping { .. });
        let outcome = self.newest_word(attempt, Outcome::Failed(failure));
        // Only a result would need its fingerprint.
        let command = report(attempt, Fingerprint([0; 32]), outcome, was_told);
        self.end_lent(attempt, &command, by)
    }

    fn end_lent(
        &mut self,
        attempt: AttemptRef,
        command: &Command,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Receipt, CommandError>, ReducerError> {
        if let Err(error) = self.check_lent(attempt) {
            return Ok(Err(error));
        }
        Ok(self.reducer.command_by(command, by)?.map_err(CommandError::Refused))
    }

    /// Takes back what was lent to those who have left or fallen silent.
    pub(super) fn take_back(&mut self) -> Result<(), ReducerError> {
        for attempt in self.leases.take_unclaimed() {
            // Never refused.
            let _ = self.reducer.command(&Command::Stopped { attempt })?;
        }
        let now = self.time.now();
        for _ in 0..MOST_RUN_OUT {
            let Some(attempt) = self.leases.run_out(now) else { break };
            self.leases.stop(attempt.token);
            let _ = self.reducer.command(&Command::Lost { attempt })?;
        }
        Ok(())
    }

    /// Lends ready tasks to those who wait for them.
    pub(super) fn lend_out(&mut self) -> Result<(), ReducerError> {
        for seeker in self.leases.take_seekers() {
            match self.reducer.assign(&seeker.worker, &seeker.kinds, Some(seeker.lease))? {
                Some(collection) => self.batch.lent.push((seeker, collection)),
                None => self.leases.seek(seeker),
            }
        }
        Ok(())
    }

    /// When somebody who waits can be lent something.
    pub(super) fn next_lend(&self) -> Option<Timestamp> {
        let state = self.reducer.state();
        self.leases.seekers().filter_map(|seeker| state.next_ready(seeker.kinds.keys())).min()
    }

    /// The attempt is durable: its worker gets the job, if it still waits.
    pub(super) fn hand_over(&mut self, seeker: Seeker, id: CollectionId) {
        let Some(assignment) = self.assignment(id) else { return };
        let attempt = assignment.attempt;
        if seeker.reply.offer(Job::new(assignment, seeker.lease)).is_err() {
            self.leases.leave_unclaimed(attempt);
        }
    }

    /// Attempts that were lent out by an earlier process may still come back: their leases begin anew.
    pub(super) fn resume_leases(&mut self) {
        let (state, now) = (self.reducer.state(), self.time.now());
        let lent = |(id, attempt): (CollectionId, AttemptRef)| {
            let lease: Option<Duration> = state.collection(id)?.status.attempt()?.lease;
            lease.map(|lease| (attempt, lease))
        };
        for (attempt, lease) in state.running().filter_map(lent) {
            self.leases.begin(attempt, lease, now);
        }
    }
}
