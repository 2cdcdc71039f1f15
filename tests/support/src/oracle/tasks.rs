//! Tasks and their attempts, what they commit, and what of that is published.

use lastword::core::vocabulary::{
    AbortReason, AttemptRef, CollectionId, EndReason, Event, FailReason, Fingerprint, Recorded, RejectReason, TaskId,
    Timestamp, Token,
};

use super::known::{Commit, Known};
use super::{Broken, Open, Oracle, Verdict, hold};

impl Oracle {
    /// A collection of which an event tells something that only happens to those that are there.
    fn there(&mut self, id: CollectionId) -> Result<&mut Known, Broken> {
        let gone = Broken { invariant: "OneLive", found: "a task of a collection that is gone".into() };
        self.known.get_mut(&id).ok_or(gone)
    }

    pub(super) fn see_task(&mut self, recorded: &Recorded) -> Verdict {
        match &recorded.event {
            Event::TaskCreated { collection, fingerprint, not_before, .. } => {
                self.there(*collection)?.see_created(recorded, *fingerprint, *not_before)
            }
            Event::TaskStarted { .. } => self.see_started(recorded),
            Event::TaskCompleted { .. } => self.see_completed(recorded),
            Event::TaskAborted { collection, task, reason, stopping } => {
                let known = self.there(*collection)?;
                let attempt = known.end_task(*task)?;
                known.parked = *reason == AbortReason::Cancelled;
                let stopped = stopping.map(|stopping| stopping.token);
                hold(attempt == stopped, "OneLive", "another attempt is stopped than the one that runs")
            }
            Event::TaskParked { collection, task, .. } => {
                let known = self.there(*collection)?;
                let attempt = known.end_task(*task)?;
                known.parked = true;
                hold(attempt.is_none(), "OneLive", "a task is parked under its attempt")
            }
            Event::AttemptFailed { collection, task, attempt, token, reason, retry_at, .. } => {
                let attempt = AttemptRef { collection: *collection, task: *task, attempt: *attempt, token: *token };
                hold(self.is_open(attempt), "OneLive", "an attempt fails that has ended")?;
                let leased = self.open.get(token).is_some_and(|open| open.leased);
                let known = self.there(*collection)?;
                hold(known.attempt.take() == Some(*token), "OneLive", "an attempt fails that does not run")?;
                (known.moved, known.waits) = (*reason == FailReason::SourceMoved, Some(*retry_at));
                known.crashes += u32::from(*reason == FailReason::WorkerLost && !leased);
                Ok(())
            }
            Event::AttemptEnded { collection, task, attempt, token, reason } => {
                let attempt = AttemptRef { collection: *collection, task: *task, attempt: *attempt, token: *token };
                self.see_ended(attempt, *reason, recorded.at)
            }
            _ => Ok(()),
        }
    }

    fn is_open(&self, attempt: AttemptRef) -> bool {
        self.open.get(&attempt.token).is_some_and(|open| open.attempt == attempt)
    }

    fn see_started(&mut self, recorded: &Recorded) -> Verdict {
        let Event::TaskStarted { collection, task, attempt, duties, lease, .. } = recorded.event else { return Ok(()) };
        let token = Token { epoch: recorded.epoch, seq: recorded.seq };
        let is_new = self.given_out.token.replace(token) < Some(token);
        hold(is_new, "EpochFenced", "a token is given out twice, or a lower one later")?;
        hold(recorded.epoch.0 == self.given_out.epoch, "EpochFenced", "an attempt under another writer's epoch")?;
        let alone = self.open.values().all(|open| open.attempt.collection != collection);
        hold(alone, "OneLive", "an attempt beside another one, or before the last one has let go")?;
        let leased = lease.is_some();
        let beside = leased || self.may_run_here(self.known.get(&collection).is_some_and(Known::is_isolated));
        hold(beside, "NothingWaitsSilently", "what took its process with it does not run alone")?;
        let known = self.there(collection)?;
        hold(known.live.map(|(live, _)| live) == Some(task), "OneLive", "an attempt of a task that is not live")?;
        hold(!known.paused, "NothingWaitsSilently", "an attempt during a pause")?;
        known.attempts += 1;
        hold(known.attempts == attempt, "OneLive", "an attempt with the number of another one")?;
        hold(known.attempt.replace(token).is_none(), "OneLive", "an attempt beside another one")?;
        known.waits = None;
        let (kind, name) = (known.kind.clone(), known.name.clone());
        let attempt = AttemptRef { collection, task, attempt, token };
        self.open.insert(token, Open { attempt, duties, leased, kind, name });
        hold(self.is_within_limits(collection), "NothingWaitsSilently", "more attempts than the limits allow")
    }

    fn see_completed(&mut self, recorded: &Recorded) -> Verdict {
        let Event::TaskCompleted { collection, task, attempt, token, fingerprint, result, .. } = &recorded.event else {
            return Ok(());
        };
        let attempt = AttemptRef { collection: *collection, task: *task, attempt: *attempt, token: *token };
        hold(self.is_open(attempt), "LastWord", "the commit of an attempt that has ended")?;
        hold(self.commits.insert(*token), "OneCommit", "one attempt commits twice")?;
        let publishes = self.open.get(token).is_some_and(|open| open.duties.publish);
        let known = self.there(*collection)?;
        let wanted = known.wanted.fingerprint();
        hold(wanted == Some(*fingerprint), "LastWord", "the commit of what is not wanted")?;
        let is_for_it = known.live == Some((*task, *fingerprint));
        hold(is_for_it, "LastWord", "the commit of a task that is not live, or of something else")?;
        let running = known.end_task(*task)?;
        hold(running == Some(*token), "LastWord", "the commit of an attempt that was told to stop")?;
        (known.moved, known.crashes) = (false, 0);
        let (seq, token, fingerprint) = (recorded.seq, *token, *fingerprint);
        let commit = Commit { seq, token, fingerprint, result: result.clone() };
        known.unpublished.extend(publishes.then(|| commit.clone()));
        known.applied = Some(commit);
        Ok(())
    }

    fn see_ended(&mut self, attempt: AttemptRef, reason: EndReason, at: Timestamp) -> Verdict {
        let ended = self.open.remove(&attempt.token).map(|open| open.attempt);
        hold(ended == Some(attempt), "OneLive", "an attempt ends twice, or under another name")?;
        let known = self.known.get_mut(&attempt.collection);
        let Some(known) = known.filter(|known| known.attempt == Some(attempt.token)) else { return Ok(()) };
        (known.attempt, known.waits) = (None, Some(at));
        hold(reason != EndReason::Abandoned, "OneLive", "an attempt is abandoned that nobody told to stop")
    }

    pub(super) fn see_delivery(&mut self, recorded: &Recorded) -> Verdict {
        match recorded.event {
            Event::CompletionRejected { collection, task, attempt, token, reason, fingerprint, wanted, .. } => {
                let attempt = AttemptRef { collection, task, attempt, token };
                self.see_rejected(attempt, fingerprint, reason, wanted)
            }
            Event::Published { collection, commit, token, fingerprint } => {
                let Some(known) = self.known.get_mut(&collection) else {
                    return hold(false, "PublishedInOrder", "what is gone is published");
                };
                let next = known.unpublished.pop_front();
                let is_next =
                    next.is_some_and(|next| (next.seq, next.token, next.fingerprint) == (commit, token, fingerprint));
                hold(is_next && known.published < commit, "PublishedInOrder", "another commit is next")?;
                known.published = commit;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A completion is rejected only if it cannot be committed, and for the reason that is true.
    fn see_rejected(
        &self,
        attempt: AttemptRef,
        fingerprint: Fingerprint,
        reason: RejectReason,
        wanted: Option<Fingerprint>,
    ) -> Verdict {
        let token = attempt.token;
        let known = self.known.get(&attempt.collection);
        let now = known.and_then(|known| known.wanted.fingerprint());
        hold(now == wanted, "LastWord", "a rejection names something else than what is wanted")?;
        let runs = known.is_some_and(|known| known.attempt == Some(token)) && self.is_open(attempt);
        hold(!(runs && now == Some(fingerprint)), "LastWord", "the completion of the attempt that runs is rejected")?;
        let is_applied = |known: &Known| {
            known.applied.as_ref().is_some_and(|done| (done.token, done.fingerprint) == (token, fingerprint))
        };
        let expected = match known {
            None => RejectReason::UnknownCollection,
            Some(known) if is_applied(known) => RejectReason::Duplicate,
            Some(_) if now == Some(fingerprint) => RejectReason::NotLive,
            Some(_) => RejectReason::Stale,
        };
        hold(reason == expected, "LastWord", "a rejection has another reason than the one that is true")
    }
}

impl Known {
    fn see_created(&mut self, recorded: &Recorded, fingerprint: Fingerprint, not_before: Timestamp) -> Verdict {
        let is_later = not_before >= recorded.at;
        hold(is_later, "NothingWaitsSilently", "a task that was ready before it was created jumps the queue")?;
        let before = self.live.replace((TaskId(recorded.seq), fingerprint));
        hold(before.is_none(), "OneLive", "a second task")?;
        let wanted = self.wanted.fingerprint();
        hold(wanted == Some(fingerprint), "LastWord", "a task for what is not wanted")?;
        (self.parked, self.attempts, self.waits) = (false, 0, Some(not_before));
        Ok(())
    }

    /// The end of the live task; its attempt, if one runs.
    fn end_task(&mut self, task: TaskId) -> Result<Option<Token>, Broken> {
        let ended = self.live.take().map(|(live, _)| live);
        hold(ended == Some(task), "OneLive", "the end of a task that is not live")?;
        (self.attempts, self.waits) = (0, None);
        Ok(self.attempt.take())
    }
}
