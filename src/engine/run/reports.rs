//! What the crews report, as commands.
//!
//! *Architecture invariant:* it translates. What a report means for a collection is decided by the core.

use std::sync::Arc;

use super::EngineLoop;
use crate::core::vocabulary::{By, CollectionId, EngineCommand, Seq};
use crate::engine::deliveries::Settled;
use crate::engine::observers::Observers;
use crate::engine::report::{BuildReport, ObserveReport, Report};
use crate::engine::status::LastVerification;
use crate::engine::workers;
use crate::reducer::ReducerError;
use crate::unwind;
use crate::worker::{DeliveryError, VerifyOutcome};

impl EngineLoop {
    /// Takes what has arrived, before any message: a flood of commands does not keep a completion from being heard.
    pub(super) fn take_reports(&mut self) -> Result<(), ReducerError> {
        if self.wakes.clock_moved.receiver.try_iter().count() > 0 {
            self.workers.wake_all();
        }
        while let Ok(report) = self.wakes.reports.try_recv() {
            match report {
                Report::Built(report) => self.built(report)?,
                Report::Observed(report) => self.observed(*report)?,
                Report::History(report) => self.history.returned(report, &mut self.counters),
                Report::Delivered(report) => {
                    if let Some(settled) = self.deliveries.returned(report) {
                        self.settle_delivery(settled)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A worker of this process has returned.
    fn built(&mut self, report: BuildReport) -> Result<(), ReducerError> {
        let BuildReport { member, attempt, fingerprint, end } = report;
        let facts = self.observers.facts(attempt.collection, self.reducer.state());
        let was_told = self.workers.is_stopping(attempt.token);
        // Neither is ever refused: a completion that may not commit is recorded as rejected.
        let _ = self.reducer.command(&workers::command(attempt, fingerprint, end, was_told, facts))?;
        if let Some(started) = self.workers.started(attempt.token)
            && !self.is_applied(attempt)
        {
            self.counters.wasted_work += self.time.now().since(started);
        }
        if self.workers.is_hinted(attempt.token) {
            let (state, now) = (self.reducer.state(), self.time.now());
            self.observers.request(attempt.collection, state, now);
        }
        self.workers.returned(member, attempt.token);
        Ok(())
    }

    fn observed(&mut self, report: ObserveReport) -> Result<(), ReducerError> {
        // One that was told to stop has found nothing out, unless it came to its end before.
        let counts = !report.was_stopped || report.result.is_ok();
        let accepted = counts && self.reducer.command(&Observers::command(&report))?.is_ok();
        let (state, now) = (self.reducer.state(), self.time.now());
        self.counters.look(now.since(report.started), report.result.is_ok(), report.traffic);
        self.settling.touch(report.collection);
        self.observers.returned(report, accepted, state, now);
        Ok(())
    }

    /// What became of a delivery.
    pub(super) fn settle_delivery(&mut self, settled: Settled) -> Result<(), ReducerError> {
        match settled {
            // Refused if the entry has left the outbox: a later delivery was successful, or the collection was dropped.
            Settled::Command(command) => drop(self.reducer.command(&command)?),
            Settled::Verified { collection, commit, found } => self.verified(collection, commit, found)?,
        }
        Ok(())
    }

    /// Has built anew what a kind that publishes now has committed while it did not: its destination never got it.
    pub(super) fn rebuild_unpublished(&mut self) -> Result<(), ReducerError> {
        let state = self.reducer.state();
        let missed = state.collections().filter(|(_, collection)| self.deliveries.publishes(&collection.kind));
        let missed = missed.filter_map(|(id, collection)| {
            let commit = collection.applied.as_ref()?.seq;
            let is_owed = collection.outbox.as_ref().is_some_and(|outbox| outbox.is_told_of(commit));
            (!is_owed).then_some((id, commit))
        });
        for (collection, commit) in missed.collect::<Vec<_>>() {
            let message = "it was committed while nobody published what its kind commits".into();
            let drifted = EngineCommand::Drifted { collection, commit, message };
            let _ = self.reducer.command_by(&drifted, by_itself().as_ref())?;
        }
        Ok(())
    }

    fn verified(
        &mut self,
        id: CollectionId,
        commit: Seq,
        found: Result<VerifyOutcome, DeliveryError>,
    ) -> Result<(), ReducerError> {
        self.counters.verifications += 1;
        if self.reducer.state().collection(id).is_none() {
            return Ok(());
        }
        match &found {
            Ok(VerifyOutcome::Intact) => {}
            Ok(VerifyOutcome::Drifted(message)) => {
                let message = message.as_str().into();
                // It says nothing if something else was committed meanwhile.
                let drifted = EngineCommand::Drifted { collection: id, commit, message };
                let _ = self.reducer.command_by(&drifted, by_itself().as_ref())?;
            }
            Err(error) => {
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::delivery", collection = %id, %commit, %error,
                        "what was committed could not be verified");
                });
            }
        }
        self.deliveries.verified(id, LastVerification { at: self.time.now(), commit, found });
        Ok(())
    }
}

/// Nobody has asked for it.
fn by_itself() -> Option<Arc<By>> {
    By::new(Some("lastword"), None).ok().map(Arc::new)
}
