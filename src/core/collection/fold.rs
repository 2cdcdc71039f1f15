//! How an event changes a collection.

use std::sync::Arc;

use super::{Collection, Pending, Unobservable, Wanted};
use crate::core::commit::Applied;
use crate::core::outbox::Outbox;
use crate::core::status::Status;
use crate::core::vocabulary::{
    Admission, Duties, Event, FailReason, Fingerprint, Generation, Inputs, Recorded, RefreshReason, Seq, SourceState,
    Timestamp, Token,
};

impl Collection {
    /// What `recorded` makes of this collection, its status included.
    pub(in crate::core) fn fold(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        let attempt = self.status.attempt();
        let duties = attempt.map(|attempt| attempt.duties).unwrap_or_default();
        let is_leased = attempt.is_some_and(|attempt| attempt.lease.is_some());
        self.status = std::mem::take(&mut self.status).after(recorded)?;
        self.fold_inputs(recorded)?;
        self.fold_task(recorded, duties, is_leased)?;
        self.measure_lag(recorded.at);
        self.discard_leftovers(recorded.seq, recorded.at);
        Ok(())
    }

    /// An attempt that was to discard has ended without a commit; a zombie may go on making outputs.
    pub(in crate::core) fn add_leftover(&mut self, token: Token, is_zombie: bool, event: (Seq, Timestamp)) {
        let after = self.applied.as_ref().map(|applied| &applied.result);
        let outbox = self.outbox.get_or_insert_default();
        if is_zombie { outbox.add_zombie(token, event, after) } else { outbox.add_leftover(token) }
    }

    /// The process of all abandoned attempts is gone.
    pub(in crate::core) fn retire_zombies(&mut self, event: (Seq, Timestamp)) {
        let after = self.applied.as_ref().map(|applied| &applied.result);
        if let Some(outbox) = &mut self.outbox {
            outbox.retire_zombies(event, after);
        }
    }

    /// Puts the leftovers that no attempt can take over any more into the outbox, to be discarded.
    pub(in crate::core) fn discard_leftovers(&mut self, seq: Seq, at: Timestamp) {
        if self.leftovers().is_empty() {
            return;
        }
        let rests = self.is_fresh() && self.status.live().is_none();
        let after = self.applied.as_ref().map(|applied| &applied.result);
        let Some(outbox) = &mut self.outbox else { return };
        match self.status {
            _ if rests => outbox.discard((seq, at), None, after),
            Status::Running(_) => {}
            Status::Idle | Status::Waiting(_) | Status::Parked(_) => outbox.limit_leftovers((seq, at), after),
        }
    }

    /// The outbox that is left of a dropped collection: nothing of it is live any more.
    pub(in crate::core) fn take_outbox(&mut self, seq: Seq, at: Timestamp) -> Outbox {
        let mut outbox = self.outbox.take().map(|outbox| *outbox).unwrap_or_default();
        outbox.drop_publications();
        // What attempts have left is discarded also if the kind discards nothing any more: it was promised then.
        let applied = self.applied.take().filter(|_| outbox.discards);
        outbox.discard((seq, at), applied.map(|applied| applied.result), None);
        outbox
    }

    /// The part of an event that is about inputs.
    fn fold_inputs(&mut self, recorded: &Recorded) -> Result<(), &'static str> {
        match &recorded.event {
            Event::SourceChanged { source, admission, .. } => {
                let inputs = Arc::new(self.resourced(source));
                let pending = self.pending;
                self.accept(recorded.seq, Arc::clone(&inputs), pending);
                self.unobservable = None;
                self.admit(inputs, *admission, recorded.at)
            }
            Event::SpecChanged { spec, admission, .. } => {
                let inputs = Arc::new(self.respecified(spec));
                let last_input = Inputs { spec: spec.clone(), ..(*self.latest).clone() };
                match self.pending {
                    Some(Pending::Held { since, cause, .. }) if last_input != *inputs => {
                        let fingerprint = last_input.fingerprint().ok_or("nothing that was observed is held")?;
                        self.accept(recorded.seq, Arc::new(last_input), self.pending);
                        self.admit(inputs, *admission, recorded.at)?;
                        self.pending = Some(Pending::Held { since, cause, fingerprint });
                        Ok(())
                    }
                    pending => {
                        self.accept(recorded.seq, Arc::clone(&inputs), pending);
                        self.admit(inputs, *admission, recorded.at)
                    }
                }
            }
            Event::SourceObserved { observed, admission, .. } => {
                if self.is_known_and_waits(observed) && matches!(admission, Admission::Admitted { .. }) {
                    // No new observation: what was observed earlier is admitted now.
                    return self.admit(Arc::clone(&self.latest), *admission, recorded.at);
                }
                let inputs = self.observe(recorded.seq, observed)?;
                self.admit(inputs, *admission, recorded.at)
            }
            Event::CollectionHeld { observed, cause, fingerprint, .. } => {
                if self.observe(recorded.seq, observed)?.fingerprint() != Some(*fingerprint) {
                    return Err("its fingerprint is not that of what it says");
                }
                let again = |held: &Pending| matches!(held, Pending::Held { fingerprint: f, .. } if f == fingerprint);
                let since = self.pending.filter(again).map_or(recorded.at, |held| held.since());
                self.pending = Some(Pending::Held { since, cause: *cause, fingerprint: *fingerprint });
                Ok(())
            }
            Event::HoldConfirmed { fingerprint, generation, .. } => {
                if !matches!(self.pending, Some(Pending::Held { fingerprint: held, .. }) if held == *fingerprint) {
                    return Err("this is not held");
                }
                self.pending = None;
                self.last_input = recorded.seq;
                self.want(Arc::clone(&self.latest), Some(*fingerprint), *generation)
            }
            Event::ObservationFailed { cause, .. } => {
                self.unobservable = Some(Box::new(Unobservable { since: recorded.at, cause: cause.clone() }));
                Ok(())
            }
            Event::PolicyChanged { policy, revision, resync_at, .. } => {
                if *revision < self.revision {
                    return Err("its revision goes back");
                }
                self.policy = Arc::clone(policy);
                self.revision = *revision;
                self.resync_at = *resync_at;
                Ok(())
            }
            Event::WriterOpened { .. }
            | Event::DataLossAccepted { .. }
            | Event::CheckpointPart { .. }
            | Event::LimitsChanged { .. }
            | Event::CollectionDeclared { .. }
            | Event::CollectionDropped { .. }
            | Event::CollectionPaused { .. }
            | Event::CollectionResumed { .. }
            | Event::RefreshRequested { .. }
            | Event::TaskCreated { .. }
            | Event::TaskStarted { .. }
            | Event::TaskAborted { .. }
            | Event::TaskCompleted { .. }
            | Event::AttemptFailed { .. }
            | Event::AttemptEnded { .. }
            | Event::TaskWoken { .. }
            | Event::TaskParked { .. }
            | Event::CompletionRejected { .. }
            | Event::Published { .. }
            | Event::PublishFailed { .. }
            | Event::Discarded { .. } => Ok(()),
        }
    }

    /// The part of an event that is about tasks; the status has followed it already.
    /// `duties` are those of the attempt that was running, and `is_leased` says where.
    fn fold_task(&mut self, recorded: &Recorded, duties: Duties, is_leased: bool) -> Result<(), &'static str> {
        match &recorded.event {
            Event::CollectionPaused { .. } => self.paused = true,
            Event::CollectionResumed { .. } => self.paused = false,
            Event::RefreshRequested { force, reason, resync_at, .. } => {
                self.resync_at = *resync_at;
                self.rebuild |= *force;
                match reason {
                    RefreshReason::Asked => {
                        self.refreshed = recorded.seq;
                        (self.failures, self.moves) = (0, 0);
                    }
                    RefreshReason::Drift(_) => (self.failures, self.moves) = (0, 0),
                    RefreshReason::Resync => {}
                }
            }
            Event::TaskCreated { fingerprint, generation, rebuild, .. } => {
                if self.wanted_fingerprint() != Some(*fingerprint) || self.generation != *generation {
                    return Err("it is not what is wanted");
                }
                if *rebuild != self.rebuild {
                    return Err("whether it builds anew is not what was asked for");
                }
                self.panics = 0;
            }
            Event::TaskStarted { duties, .. } => {
                if self.outbox.is_some() || duties.any() {
                    self.outbox.get_or_insert_default().discards = duties.discard;
                }
                self.may_start()?;
            }
            Event::TaskCompleted { task, token, fingerprint, result, resync_at, .. } => {
                let wanted = self.wanted.as_ref().filter(|wanted| wanted.fingerprint == *fingerprint);
                let applied = Box::new(Applied {
                    fingerprint: *fingerprint,
                    generation: self.generation,
                    task: *task,
                    token: *token,
                    seq: recorded.seq,
                    at: recorded.at,
                    result: Arc::clone(result),
                    inputs: Arc::clone(&wanted.ok_or("it is not what is wanted")?.inputs),
                });
                self.fill_outbox(&applied, duties);
                self.applied = Some(applied);
                self.rebuild = false;
                self.resync_at = *resync_at;
                (self.failures, self.moves, self.crashes) = (0, 0, 0);
                // The first inputs that are not applied are now the pending ones, if any.
                self.unapplied_since = self.pending.map(|pending| pending.since());
            }
            Event::AttemptFailed { reason, failures, .. } => {
                self.failures = *failures;
                self.moves = if *reason == FailReason::SourceMoved { self.moves.saturating_add(1) } else { 0 };
                match reason {
                    FailReason::Panicked => self.panics = self.panics.saturating_add(1),
                    FailReason::WorkerLost if !is_leased => self.crashes = self.crashes.saturating_add(1),
                    FailReason::WorkerLost | FailReason::Failed | FailReason::TimedOut | FailReason::SourceMoved => {}
                }
            }
            Event::CompletionRejected { token, .. } => {
                let after = self.applied.as_ref().map(|applied| &applied.result);
                if let Some(outbox) = &mut self.outbox {
                    outbox.zombie_returned(*token, (recorded.seq, recorded.at), after);
                }
            }
            Event::Published { .. } | Event::PublishFailed { .. } | Event::Discarded { .. } => {
                self.outbox.as_mut().ok_or("nothing is to be delivered")?.fold(recorded)?;
            }
            Event::WriterOpened { .. }
            | Event::DataLossAccepted { .. }
            | Event::CheckpointPart { .. }
            | Event::LimitsChanged { .. }
            | Event::CollectionDeclared { .. }
            | Event::SourceChanged { .. }
            | Event::SpecChanged { .. }
            | Event::PolicyChanged { .. }
            | Event::SourceObserved { .. }
            | Event::ObservationFailed { .. }
            | Event::CollectionHeld { .. }
            | Event::HoldConfirmed { .. }
            | Event::CollectionDropped { .. }
            | Event::TaskAborted { .. }
            | Event::AttemptEnded { .. }
            | Event::TaskWoken { .. }
            | Event::TaskParked { .. } => {}
        }
        Ok(())
    }

    /// Puts into the outbox what a commit leads to: first it is published, then what it replaces is discarded.
    fn fill_outbox(&mut self, commit: &Applied, duties: Duties) {
        let before = self.applied.take().map(|applied| applied.result);
        if duties.publish {
            self.outbox.get_or_insert_default().publish(commit);
        }
        if duties.discard {
            let (id, outbox) = ((commit.seq, commit.at), self.outbox.get_or_insert_default());
            outbox.discard(id, before, Some(&commit.result));
        }
    }

    /// Whether this is the latest observation, which waits to be admitted.
    fn is_known_and_waits(&self, observed: &Arc<SourceState>) -> bool {
        let waits = matches!(self.pending, Some(Pending::Settling { .. } | Pending::Waiting { .. }));
        waits && self.observed() == Some(observed)
    }

    fn observe(&mut self, seq: Seq, observed: &Arc<SourceState>) -> Result<Arc<Inputs>, &'static str> {
        if !self.versioned {
            return Err("the collection is unversioned");
        }
        let inputs = Arc::new(self.observed_as(observed));
        let pending = self.pending;
        self.accept(seq, Arc::clone(&inputs), pending);
        self.unobservable = None;
        Ok(inputs)
    }

    fn accept(&mut self, seq: Seq, latest: Arc<Inputs>, pending: Option<Pending>) {
        self.last_input = seq;
        self.latest = latest;
        self.pending = pending;
    }

    /// Makes `inputs` wanted, or records what they wait for.
    fn admit(&mut self, inputs: Arc<Inputs>, admission: Admission, at: Timestamp) -> Result<(), &'static str> {
        self.pending = match (admission, self.pending) {
            (Admission::Admitted { wanted, generation }, _) => {
                self.pending = None;
                return self.want(inputs, wanted, generation);
            }
            (Admission::Settling { until }, Some(Pending::Settling { since, .. })) => {
                Some(Pending::Settling { since, until })
            }
            (Admission::Settling { until }, _) => Some(Pending::Settling { since: at, until }),
            (Admission::Waiting, _) if self.status.live().is_none() => return Err("no task is live that could end"),
            (Admission::Waiting, Some(Pending::Settling { since, .. } | Pending::Waiting { since })) => {
                Some(Pending::Waiting { since })
            }
            (Admission::Waiting, Some(Pending::Held { .. }) | None) => Some(Pending::Waiting { since: at }),
        };
        Ok(())
    }

    /// Makes `inputs` wanted. The event carries their fingerprint, and it has to be that of the inputs.
    pub(super) fn want(
        &mut self,
        inputs: Arc<Inputs>,
        wanted: Option<Fingerprint>,
        generation: Generation,
    ) -> Result<(), &'static str> {
        if inputs.fingerprint() != wanted {
            return Err("its fingerprint is not that of what it says");
        }
        if generation < self.generation {
            return Err("its generation goes back");
        }
        self.generation = generation;
        self.wanted = wanted.map(|fingerprint| Wanted { fingerprint, inputs });
        if let Some(applied) = self.applied.as_mut().filter(|applied| Some(applied.fingerprint) == wanted) {
            applied.generation = generation;
        }
        Ok(())
    }

    fn measure_lag(&mut self, at: Timestamp) {
        if self.is_fresh() {
            self.unapplied_since = None;
        } else {
            self.unapplied_since.get_or_insert(at);
        }
    }
}
