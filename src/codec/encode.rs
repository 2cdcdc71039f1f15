//! Events to payloads, always of the newest version.

use bincode::Encode;

use super::records::*;
use super::*;
use crate::core::vocabulary::{
    AbortReason, Admission, By, CollectionId, DeliveryKind, Delta, EmptySource, EndReason, Event, FailReason,
    HoldCause, OnChange, ParkCause, Policy, RefreshReason, RejectReason, SourceState, TaskId, Token, micros,
};

/// Appends the payload of `event` to `out`, behind who asked for it, and says which type it is.
///
/// # Errors
/// When the payload would be longer than the format allows.
pub fn encode(event: &Event, by: Option<&By>, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    let Some(by) = by else { return encode_event(event, out) };
    let unattributed = |problem| CodecError::Payload { tag: Tag { event_type: 0, version: ATTRIBUTED }, problem };
    put(&ByV1 { actor: by.actor(), cause: by.cause() }, out).map_err(unattributed)?;
    let tag = encode_event(event, out)?;
    Ok(Tag { version: tag.version | ATTRIBUTED, ..tag })
}

fn encode_event(event: &Event, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    match event {
        Event::WriterOpened { software } => write(WRITER_OPENED, &WriterOpenedV1 { software }, out),
        Event::DataLossAccepted { last, found } => {
            write(DATA_LOSS_ACCEPTED, &DataLossAcceptedV1 { last: last.0, found }, out)
        }
        Event::CheckpointPart { at, hash, part, parts, bytes } => {
            let record = BaseFrameV1 { at: at.0, hash: *hash, part: *part, parts: *parts, bytes };
            write_version(BASE_FRAME, state::STATE_VERSION, &record, out)
        }
        Event::LimitsChanged { limits } => {
            let record = LimitsChangedV1 {
                total: limits.total,
                kinds: limits.kinds.iter().map(|(kind, most)| LimitV1 { of: kind.as_str(), most: *most }).collect(),
                prefixes: limits.prefixes.iter().map(|(of, most)| LimitV1 { of: of.as_str(), most: *most }).collect(),
            };
            write(LIMITS_CHANGED, &record, out)
        }
        Event::CollectionDeclared { name, kind, source, spec, versioned, policy, revision, wanted } => {
            let record = CollectionDeclaredV2 {
                name: name.as_str(),
                kind: kind.as_str(),
                source: source.as_str(),
                spec: spec.as_str(),
                versioned: *versioned,
                policy: (&**policy).into(),
                revision: *revision,
                wanted: wanted.map(|f| f.0),
            };
            write_version(COLLECTION_DECLARED, 2, &record, out)
        }
        Event::SourceChanged { collection, source, admission } => {
            let (source, admission) = (source.as_str(), (*admission).into());
            write(SOURCE_CHANGED, &SourceChangedV1 { collection: id(*collection), source, admission }, out)
        }
        Event::SpecChanged { collection, spec, admission } => {
            let (spec, admission) = (spec.as_str(), (*admission).into());
            write(SPEC_CHANGED, &SpecChangedV1 { collection: id(*collection), spec, admission }, out)
        }
        Event::PolicyChanged { collection, policy, revision, resync_at } => {
            let (policy, revision, resync_at) = ((&**policy).into(), *revision, resync_at.map(|t| t.0));
            let record = PolicyChangedV2 { collection: id(*collection), policy, revision, resync_at };
            write_version(POLICY_CHANGED, 2, &record, out)
        }
        Event::CollectionDropped { collection } => write_only(COLLECTION_DROPPED, *collection, out),
        Event::CollectionPaused { collection } => write_only(COLLECTION_PAUSED, *collection, out),
        Event::CollectionResumed { collection } => write_only(COLLECTION_RESUMED, *collection, out),
        Event::RefreshRequested { collection, force, reason, resync_at } => {
            let reason = match reason {
                RefreshReason::Asked => RefreshReasonV1::Asked,
                RefreshReason::Resync => RefreshReasonV1::Resync,
                RefreshReason::Drift(message) => RefreshReasonV1::Drift { message },
            };
            let (collection, force, resync_at) = (id(*collection), *force, resync_at.map(|t| t.0));
            write(REFRESH_REQUESTED, &RefreshRequestedV1 { collection, force, reason, resync_at }, out)
        }
        Event::SourceObserved { collection, observed, delta, admission } => {
            let (observed, delta, admission) = ((&**observed).into(), delta.map(Into::into), (*admission).into());
            write(SOURCE_OBSERVED, &SourceObservedV1 { collection: id(*collection), observed, delta, admission }, out)
        }
        Event::ObservationFailed { collection, cause } => {
            write(OBSERVATION_FAILED, &ObservationFailedV1 { collection: id(*collection), cause }, out)
        }
        Event::CollectionHeld { collection, observed, delta, cause, fingerprint } => {
            let cause = match cause {
                HoldCause::Empty => HoldCauseV1::Empty,
                HoldCause::MostGone { gone, of } => HoldCauseV1::MostGone { gone: *gone, of: *of },
            };
            let (observed, delta) = ((&**observed).into(), delta.map(Into::into));
            let record =
                CollectionHeldV1 { collection: id(*collection), observed, delta, cause, fingerprint: fingerprint.0 };
            write(COLLECTION_HELD, &record, out)
        }
        Event::HoldConfirmed { collection, fingerprint, generation } => {
            let (fingerprint, generation) = (fingerprint.0, generation.0);
            write(HOLD_CONFIRMED, &HoldConfirmedV1 { collection: id(*collection), fingerprint, generation }, out)
        }
        Event::TaskCreated { collection, generation, fingerprint, not_before, rebuild } => {
            let record = TaskCreatedV1 {
                collection: id(*collection),
                generation: generation.0,
                fingerprint: fingerprint.0,
                not_before: not_before.0,
                rebuild: *rebuild,
            };
            write(TASK_CREATED, &record, out)
        }
        Event::TaskStarted { collection, task, attempt, worker, deadline, lease, duties } => {
            let record = TaskStartedV1 {
                collection: id(*collection),
                task: task.0.0,
                attempt: *attempt,
                worker: worker.as_str(),
                deadline: deadline.map(|t| t.0),
                lease: lease.map(micros),
                publish: duties.publish,
                discard: duties.discard,
            };
            write(TASK_STARTED, &record, out)
        }
        Event::TaskAborted { collection, task, reason, stopping } => {
            let reason = match reason {
                AbortReason::Superseded => AbortReasonV1::Superseded,
                AbortReason::Dropped => AbortReasonV1::Dropped,
                AbortReason::Cancelled => AbortReasonV1::Cancelled,
            };
            let stopping = stopping.map(|s| StoppingV1 { token: s.token.into(), grace_until: s.grace_until.0 });
            write(TASK_ABORTED, &TaskAbortedV1 { collection: id(*collection), task: task.0.0, reason, stopping }, out)
        }
        Event::TaskCompleted { collection, task, attempt, token, fingerprint, result, resync_at } => {
            let segments = result.segments.map(|s| SegmentCountsV1 { kept: s.kept, new: s.new, dropped: s.dropped });
            let record = TaskCompletedV1 {
                attempt: attempt_v1(*collection, *task, *attempt, *token),
                fingerprint: fingerprint.0,
                manifest: result.manifest.map(|h| h.0),
                segments,
                rows: result.rows,
                output: result.output.as_deref(),
                resync_at: resync_at.map(|t| t.0),
            };
            write(TASK_COMPLETED, &record, out)
        }
        Event::AttemptFailed { collection, task, attempt, token, reason, message, retry_at, failures, grace_until } => {
            let reason = match reason {
                FailReason::Failed => FailReasonV1::Failed,
                FailReason::TimedOut => FailReasonV1::TimedOut,
                FailReason::WorkerLost => FailReasonV1::WorkerLost,
                FailReason::Panicked => FailReasonV1::Panicked,
                FailReason::SourceMoved => FailReasonV1::SourceMoved,
            };
            let record = AttemptFailedV1 {
                attempt: attempt_v1(*collection, *task, *attempt, *token),
                reason,
                message,
                retry_at: retry_at.0,
                failures: *failures,
                grace_until: grace_until.map(|t| t.0),
            };
            write(ATTEMPT_FAILED, &record, out)
        }
        Event::AttemptEnded { collection, task, attempt, token, reason } => {
            let reason = match reason {
                EndReason::Acknowledged => EndReasonV1::Acknowledged,
                EndReason::Abandoned => EndReasonV1::Abandoned,
                EndReason::Lost => EndReasonV1::Lost,
            };
            let attempt = attempt_v1(*collection, *task, *attempt, *token);
            write(ATTEMPT_ENDED, &AttemptEndedV1 { attempt, reason }, out)
        }
        Event::TaskParked { collection, task, cause } => {
            let cause = match cause {
                ParkCause::Permanent => ParkCauseV1::Permanent,
                ParkCause::OutOfAttempts => ParkCauseV1::OutOfAttempts,
                ParkCause::LostTooOften => ParkCauseV1::LostTooOften,
            };
            write(TASK_PARKED, &TaskParkedV1 { collection: id(*collection), task: task.0.0, cause }, out)
        }
        Event::TaskWoken { collection, task, not_before } => {
            let (collection, not_before) = (id(*collection), not_before.0);
            write(TASK_WOKEN, &TaskWokenV1 { collection, task: task.0.0, not_before }, out)
        }
        Event::CompletionRejected { collection, task, attempt, token, reason, fingerprint, wanted } => {
            let reason = match reason {
                RejectReason::Stale => RejectReasonV1::Stale,
                RejectReason::NotLive => RejectReasonV1::NotLive,
                RejectReason::Duplicate => RejectReasonV1::Duplicate,
                RejectReason::UnknownCollection => RejectReasonV1::UnknownCollection,
            };
            let attempt = attempt_v1(*collection, *task, *attempt, *token);
            let (fingerprint, wanted) = (fingerprint.0, wanted.map(|f| f.0));
            write(COMPLETION_REJECTED, &CompletionRejectedV1 { attempt, reason, fingerprint, wanted }, out)
        }
        Event::Published { collection, commit, token, fingerprint } => {
            let (collection, commit) = (id(*collection), commit.0);
            let (token, fingerprint) = ((*token).into(), fingerprint.0);
            write(PUBLISHED, &PublishedV1 { collection, commit, token, fingerprint }, out)
        }
        Event::PublishFailed { collection, obligation, delivery, message, failures, retry_at } => {
            let record = PublishFailedV1 {
                collection: id(*collection),
                obligation: obligation.0,
                delivery: match delivery {
                    DeliveryKind::Publish => DeliveryV1::Publish,
                    DeliveryKind::Discard => DeliveryV1::Discard,
                },
                message,
                failures: *failures,
                retry_at: retry_at.0,
            };
            write(PUBLISH_FAILED, &record, out)
        }
        Event::Discarded { collection, obligation } => {
            write(DISCARDED, &DiscardedV1 { collection: id(*collection), obligation: obligation.0 }, out)
        }
    }
}

fn write<R: Encode>(event_type: u16, record: &R, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    write_version(event_type, 1, record, out)
}

fn write_version<R: Encode>(event_type: u16, version: u16, record: &R, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    let tag = Tag { event_type, version };
    put(record, out).map_err(|problem| CodecError::Payload { tag, problem })?;
    Ok(tag)
}

fn write_only(event_type: u16, collection: CollectionId, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    write(event_type, &CollectionOnlyV1 { collection: id(collection) }, out)
}

fn id(collection: CollectionId) -> u64 {
    collection.0.0
}

fn attempt_v1(collection: CollectionId, task: TaskId, attempt: u32, token: Token) -> AttemptV1 {
    AttemptV1 { collection: id(collection), task: task.0.0, attempt, token: token.into() }
}

impl From<Token> for TokenV1 {
    fn from(token: Token) -> TokenV1 {
        TokenV1 { epoch: token.epoch.0, seq: token.seq.0 }
    }
}

impl From<Delta> for DeltaV1 {
    fn from(delta: Delta) -> DeltaV1 {
        DeltaV1 { added: delta.added, removed: delta.removed, changed: delta.changed }
    }
}

impl<'a> From<&'a SourceState> for ObservedV1<'a> {
    fn from(observed: &'a SourceState) -> ObservedV1<'a> {
        let set = observed.set.map(|s| PathSetV1 { root: s.root.0, files: s.files, bytes: s.bytes });
        ObservedV1 { version: observed.version.as_bytes(), set }
    }
}

impl From<Admission> for AdmissionV1 {
    fn from(admission: Admission) -> AdmissionV1 {
        match admission {
            Admission::Admitted { wanted, generation } => {
                AdmissionV1::Admitted { wanted: wanted.map(|wanted| wanted.0), generation: generation.0 }
            }
            Admission::Settling { until } => AdmissionV1::Settling { until: until.0 },
            Admission::Waiting => AdmissionV1::Waiting,
        }
    }
}

impl From<&Policy> for PolicyV2 {
    fn from(policy: &Policy) -> PolicyV2 {
        let (max_lag, slow_retry) = (policy.max_lag.0.map(micros), policy.retry.slow.map(micros));
        let max_lost_alone = policy.retry.max_lost_alone;
        PolicyV2 { before: policy.into(), max_lag, slow_retry, max_lost_alone }
    }
}

/// What the first version could say of a policy.
impl From<&Policy> for PolicyV1 {
    fn from(policy: &Policy) -> PolicyV1 {
        PolicyV1 {
            on_change: match policy.on_change {
                OnChange::Supersede => OnChangeV1::Supersede,
                OnChange::FinishThenLatest => OnChangeV1::FinishThenLatest,
                OnChange::Reject => OnChangeV1::Reject,
            },
            grace: micros(policy.grace.0),
            quiet: micros(policy.coalesce.quiet),
            max_delay: micros(policy.coalesce.max_delay),
            max_attempts: policy.retry.max_attempts,
            backoff_base: micros(policy.retry.base),
            backoff_cap: micros(policy.retry.cap),
            max_lost: policy.retry.max_lost,
            attempt_timeout: policy.attempt_timeout.0.map(micros),
            empty_source: match policy.empty_source {
                EmptySource::Hold => EmptySourceV1::Hold,
                EmptySource::Apply => EmptySourceV1::Apply,
            },
            priority: policy.priority.0.cast_unsigned() ^ SIGN,
            resync: policy.resync.0.map(micros),
        }
    }
}
