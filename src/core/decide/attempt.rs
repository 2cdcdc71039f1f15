//! Attempts: `Assign` starts one; `Complete`, `Fail` and `Stopped` are what its worker reports at its end.

use super::Events;
use super::backoff::{resync_at, retry_at, slow_retry_at};
use super::context::{DecisionContext, clip};
use super::observe::{check_observation, decide_observation};
use crate::core::collection::Collection;
use crate::core::commit::Applied;
use crate::core::state::State;
use crate::core::status::{Running, Status};
use crate::core::vocabulary::{
    Assign, AttemptObservation, AttemptRef, Built, Completion, EndReason, Event, FailReason, FailureClass,
    FailureReport, FieldError, ObservationOutcome, ParkCause, RejectReason, Rejection, Retry, TaskId, Timestamp,
};

pub(super) fn assign(state: &State, assign: &Assign, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let Assign { ref worker, collection: id, lease, duties } = *assign;
    let collection = state.collection(id).ok_or(Rejection::UnknownIncarnation(id))?;
    let Status::Waiting(waiting) = &collection.status else { return Err(Rejection::NotReady(id)) };
    let is_kept = collection.may_start().is_err() || (collection.is_undelivered() && duties.any());
    if is_kept || waiting.not_before > at || (lease.is_none() && !state.has_room_beside(id)) {
        return Err(Rejection::NotReady(id));
    }
    if let Some((scope, most)) = state.limit_reached(id) {
        return Err(Rejection::LimitReached { scope, most });
    }
    events.push(Event::TaskStarted {
        collection: id,
        task: waiting.task.id,
        attempt: waiting.task.attempts + 1,
        worker: worker.clone(),
        deadline: collection.policy.attempt_timeout.0.map(|timeout| at.after(timeout)),
        lease,
        duties,
    });
    Ok(())
}

/// LastWord: a result is committed if it comes from the running attempt of the live task and was built from what
/// is wanted now. Everything else is recorded as rejected, with the reason.
pub(super) fn complete(
    state: &State,
    completion: &Completion,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let AttemptRef { collection: id, task, attempt, token } = completion.attempt;
    let fingerprint = completion.fingerprint;
    check_output(&completion.result)?;
    let collection = state.collection(id);
    let wanted = collection.and_then(Collection::wanted_fingerprint);
    let live = collection.and_then(|found| running(found, completion.attempt).map(|running| (found, running)));
    if let Some((collection, _)) = live.filter(|_| wanted == Some(fingerprint)) {
        let result = to_commit(collection, completion).shared();
        let resync_at = resync_at(&collection.policy, events.next(), at);
        events.push(Event::TaskCompleted { collection: id, task, attempt, token, fingerprint, result, resync_at });
        events.push(ended(completion.attempt, EndReason::Acknowledged));
        DecisionContext::of(id, collection, at).after_commit(fingerprint).admit_waiting(events);
        return Ok(());
    }
    let committed = |applied: &Applied| (applied.token, applied.fingerprint) == (token, fingerprint);
    let reason = match collection {
        None => RejectReason::UnknownCollection,
        Some(collection) if collection.applied.as_deref().is_some_and(committed) => RejectReason::Duplicate,
        Some(_) if wanted == Some(fingerprint) => RejectReason::NotLive,
        Some(_) => RejectReason::Stale,
    };
    events.push(Event::CompletionRejected { collection: id, task, attempt, token, reason, fingerprint, wanted });
    if let Some((collection, running)) = live {
        // Charged like any other failure: a worker that is confused once may be so every time.
        let message = "its result was built from something else than its task".into();
        let context = DecisionContext::of(id, collection, at);
        charge(context, running, completion.attempt, FailReason::Failed, message, None, events);
        return Ok(());
    }
    stopped(state, completion.attempt, at, events)
}

/// The result as it is committed. What a kind that discards has made has to be found again: if the result names nothing, it
/// is named by the token of its attempt.
fn to_commit(collection: &Collection, completion: &Completion) -> Built {
    let result = completion.result.clone();
    let discards = collection.status.attempt().is_some_and(|attempt| attempt.duties.discard);
    if discards { result.named_by(completion.attempt.token) } else { result }
}

fn check_output(result: &Built) -> Result<(), FieldError> {
    let found = result.output.as_ref().map_or(0, |output| output.len());
    if found > Built::MOST_OUTPUT {
        let problem = format!("must have at most {} bytes, found {found}", Built::MOST_OUTPUT);
        return Err(FieldError::new("result.output", problem));
    }
    Ok(())
}

pub(super) fn fail(
    state: &State,
    attempt: AttemptRef,
    failure: &FailureReport,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    let live = state
        .collection(attempt.collection)
        .and_then(|collection| running(collection, attempt).map(|running| (collection, running)));
    let Some((collection, running)) = live else { return stopped(state, attempt, at, events) };
    let message: Box<str> = clip(&failure.message, FailureReport::MOST_MESSAGE).into();
    let context = DecisionContext::of(attempt.collection, collection, at);
    match &failure.class {
        FailureClass::Transient => {
            charge(context, running, attempt, FailReason::Failed, message, None, events);
        }
        FailureClass::Panicked => {
            charge(context, running, attempt, FailReason::Panicked, message, None, events);
        }
        FailureClass::Permanent => {
            let failures = collection.failures.saturating_add(1);
            events.push(failed(attempt, FailReason::Failed, message, at, failures, None));
            events.push(ended(attempt, EndReason::Acknowledged));
            park(context, attempt.task, ParkCause::Permanent, events);
        }
        FailureClass::SourceMoved(observation) => {
            // One change during a run is what this is for: it has only to settle. Where it does not stop, it costs rest.
            let retry_at = match collection.moves {
                0 => at.after(collection.policy.coalesce.quiet),
                moves => retry_at(&collection.policy.retry, attempt.task.0, moves, at),
            };
            events.push(failed(attempt, FailReason::SourceMoved, message, retry_at, collection.failures, None));
            events.push(ended(attempt, EndReason::Acknowledged));
            let context = context.after_move(retry_at);
            match observation.as_deref().filter(|observation| is_believed(collection, running, attempt, observation)) {
                Some(observation) => decide_observation(&context, &observation.outcome, events),
                // What waited for the end of the task need not wait for what can no longer be built.
                None => context.admit_waiting(events),
            }
        }
    }
    Ok(())
}

/// Whether what an attempt observed counts. It does not if
/// * source or spec were declared anew, and that waits for the end of the task: the attempt observed something else;
/// * newer inputs were accepted since the attempt began;
/// * a later observation was accepted, even if it found nothing new and left no event;
/// * it may be a loss that is not measured, while an observer can measure it.
///
/// An attempt whose observation does not count has failed as moved, with nothing observed. The engine has the source
/// observed after every `attempt_failed` of `source_moved`: it is not at rest.
fn is_believed(
    collection: &Collection,
    running: &Running,
    attempt: AttemptRef,
    observation: &AttemptObservation,
) -> bool {
    let began = attempt.token.seq;
    observes_latest(collection)
        && check_observation(collection, began, &observation.outcome).is_ok()
        && observation.last_observation.is_none_or(|last| last < began)
        && !is_unmeasured(collection, running, observation)
}

/// Whether the attempt observed what the latest inputs name.
fn observes_latest(collection: &Collection) -> bool {
    let observed = collection.wanted.as_ref().map(|wanted| (&wanted.inputs.source, &wanted.inputs.spec));
    observed == Some((&collection.latest.source, &collection.latest.spec))
}

/// Whether the attempt was told nothing of what is applied, because it builds anew, and so cannot say how much of it is
/// missing, while an observer can: what may be a loss must not be admitted unmeasured.
fn is_unmeasured(collection: &Collection, running: &Running, observation: &AttemptObservation) -> bool {
    let is_measured = !matches!(observation.outcome, ObservationOutcome::Content { missing: None, .. });
    observation.has_observer && !is_measured && running.task.rebuild && collection.applied.is_some()
}

/// The worker gave its attempt up without a result. If the attempt is still the live one, it is handed back and
/// not charged; if it was told to stop, it has.
pub(super) fn stopped(state: &State, attempt: AttemptRef, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let collection = state.collection(attempt.collection);
    let is_live = collection.is_some_and(|collection| running(collection, attempt).is_some());
    if is_live || is_draining(state, attempt) {
        events.push(ended(attempt, EndReason::Acknowledged));
    }
    if let Some(collection) = collection.filter(|_| is_live) {
        goes_on(DecisionContext::of(attempt.collection, collection, at), events);
    }
    Ok(())
}

/// The task lives on without an attempt. What let that one finish need not wait for the next: under `Supersede`, only an
/// attempt that runs is worth waiting for; and nothing waits for a task that is failing.
fn goes_on(context: DecisionContext<'_>, events: &mut Events) {
    let context = context.after_attempt();
    let wanted = context.collection.latest.fingerprint();
    if !context.has_to_wait(&context.collection.policy, wanted) {
        context.admit_waiting(events);
    }
}

/// The worker of a leased attempt was silent for longer than its lease. Without a lease nothing has run out: the process
/// that runs the attempt is this one.
pub(super) fn silent(state: &State, attempt: AttemptRef, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    let live = state.collection(attempt.collection).and_then(|collection| running(collection, attempt));
    let drains = state.draining(attempt.token).is_some_and(|draining| draining.leased);
    if drains || live.is_some_and(|running| running.attempt.lease.is_some()) {
        lost(state, attempt, "its worker was silent for longer than its lease", at, events);
    }
    Ok(())
}

/// The process that ran an attempt is gone, or was silent for so long that it counts as gone.
pub(super) fn lost(state: &State, attempt: AttemptRef, message: &str, at: Timestamp, events: &mut Events) {
    let collection = state.collection(attempt.collection);
    let live = collection.and_then(|collection| running(collection, attempt).map(|running| (collection, running)));
    if let Some((collection, running)) = live {
        events.push(failed(attempt, FailReason::WorkerLost, message.into(), at, collection.failures, None));
        events.push(ended(attempt, EndReason::Lost));
        let context = DecisionContext::of(attempt.collection, collection, at);
        if is_lost_too_often(collection, running) {
            park(context, attempt.task, ParkCause::LostTooOften, events);
        } else {
            goes_on(context, events);
        }
    } else if is_draining(state, attempt) {
        events.push(ended(attempt, EndReason::Lost));
    }
}

/// Whether the task is given up after the attempt that is running is lost as well. One that runs alone had nothing beside
/// it that could have ended their process.
fn is_lost_too_often(collection: &Collection, running: &Running) -> bool {
    let is_alone = running.attempt.lease.is_none() && collection.is_isolated();
    let alone = collection.crashes.saturating_sub(Retry::ISOLATED_AFTER).saturating_add(1);
    let Retry { max_lost, max_lost_alone, .. } = collection.policy.retry;
    running.task.lost.saturating_add(1) >= max_lost || (is_alone && max_lost_alone.is_some_and(|most| alone >= most))
}

/// Fails the running attempt and charges it to its task. If that was its last, the task is retried slowly; it is parked if
/// it panicked as often, or the policy knows no slow retry. `grace_until` is given if the worker does not know yet.
pub(super) fn charge(
    context: DecisionContext<'_>,
    running: &Running,
    attempt: AttemptRef,
    reason: FailReason,
    message: Box<str>,
    grace_until: Option<Timestamp>,
    events: &mut Events,
) {
    let (retry, at) = (&context.collection.policy.retry, context.at);
    let failures = context.collection.failures.saturating_add(1);
    let panics = context.collection.panics.saturating_add(u32::from(reason == FailReason::Panicked));
    let is_last = running.task.charged.saturating_add(1) >= retry.max_attempts;
    let slow = retry.slow.filter(|_| is_last && panics < retry.max_attempts);
    let retry_at = match slow {
        Some(slow) => slow_retry_at(slow.max(retry.cap), attempt.token.seq, at),
        None => retry_at(retry, attempt.task.0, failures, at),
    };
    events.push(failed(attempt, reason, message, retry_at, failures, grace_until));
    if grace_until.is_none() {
        events.push(ended(attempt, EndReason::Acknowledged));
    }
    match slow {
        Some(_) => goes_on(context.failing(), events),
        None if is_last => park(context, attempt.task, ParkCause::OutOfAttempts, events),
        None => goes_on(context, events),
    }
}

/// Ends the live task, which is not running, for good; what waited for its end is admitted.
pub(super) fn park(context: DecisionContext<'_>, task: TaskId, cause: ParkCause, events: &mut Events) {
    events.push(Event::TaskParked { collection: context.id, task, cause });
    context.after_task_end().admit_waiting(events);
}

pub(super) fn failed(
    attempt: AttemptRef,
    reason: FailReason,
    message: Box<str>,
    retry_at: Timestamp,
    failures: u32,
    grace_until: Option<Timestamp>,
) -> Event {
    let AttemptRef { collection, task, attempt, token } = attempt;
    Event::AttemptFailed { collection, task, attempt, token, reason, message, retry_at, failures, grace_until }
}

pub(super) fn ended(attempt: AttemptRef, reason: EndReason) -> Event {
    let AttemptRef { collection, task, attempt, token } = attempt;
    Event::AttemptEnded { collection, task, attempt, token, reason }
}

/// The running attempt, if it is this one.
pub(super) fn running(collection: &Collection, attempt: AttemptRef) -> Option<&Running> {
    collection.status.running().filter(|running| running.attempt_of(attempt.collection) == attempt)
}

/// Whether this very attempt was told to stop and has not. A caller that mixes up its attempts ends none.
fn is_draining(state: &State, attempt: AttemptRef) -> bool {
    state.draining(attempt.token).is_some_and(|draining| draining.attempt == attempt)
}
