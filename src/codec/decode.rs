//! Payloads to events, from every version that was ever written.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bincode::BorrowDecode;

use super::records::*;
use super::*;
use crate::core::vocabulary::{
    AbortReason, Admission, AttemptTimeout, Built, By, Coalesce, CollectionId, DeliveryKind, Delta, Duties,
    EmptySource, EndReason, Epoch, Event, FailReason, FieldError, Fingerprint, Generation, Grace, HoldCause, Kind,
    Limits, MaxLag, Name, ObjectHash, OnChange, ParkCause, PathSetRef, Policy, Priority, RefreshReason, RejectReason,
    Resync, Retry, SegmentCounts, Seq, Source, SourceState, Spec, Stopping, TaskId, Timestamp, Token, Version,
    WorkerName,
};

/// Reads the event of type `tag` from its payload, and who asked for it.
///
/// # Errors
/// When the type or version is not known, or the payload does not have its layout.
pub fn decode(tag: Tag, payload: &[u8]) -> Result<(Event, Option<By>), CodecError> {
    if tag.version & ATTRIBUTED == 0 {
        return Ok((event(tag, payload)?, None));
    }
    let reader = Reader { tag, payload };
    let (by, rest): (ByV1<'_>, _) = take(payload).map_err(|problem| reader.damaged(&problem))?;
    let by = reader.check(By::recorded(by.actor, by.cause))?;
    Ok((event(Tag { version: tag.version & !ATTRIBUTED, ..tag }, rest)?, Some(by)))
}

fn event(tag: Tag, payload: &[u8]) -> Result<Event, CodecError> {
    let reader = Reader { tag, payload };
    match tag.version {
        1 => first_version(&reader),
        2 => second_version(&reader),
        _ => Err(CodecError::Unknown(tag)),
    }
}

/// The payloads of version 2. What is read of version 1 is brought to the same events.
fn second_version(reader: &Reader<'_>) -> Result<Event, CodecError> {
    Ok(match reader.tag.event_type {
        BASE_FRAME => reader.base_frame()?,
        COLLECTION_DECLARED => reader.declared(reader.read()?)?,
        POLICY_CHANGED => policy_changed(reader.read()?),
        _ => return Err(CodecError::Unknown(reader.tag)),
    })
}

fn first_version(reader: &Reader<'_>) -> Result<Event, CodecError> {
    Ok(match reader.tag.event_type {
        WRITER_OPENED => {
            let r: WriterOpenedV1<'_> = reader.read()?;
            Event::WriterOpened { software: r.software.into() }
        }
        DATA_LOSS_ACCEPTED => {
            let r: DataLossAcceptedV1<'_> = reader.read()?;
            Event::DataLossAccepted { last: Seq(r.last), found: r.found.into() }
        }
        BASE_FRAME => reader.base_frame()?,
        LIMITS_CHANGED => {
            let r: LimitsChangedV1<'_> = reader.read()?;
            let mut limits = Limits { total: r.total, ..Limits::default() };
            for limit in &r.kinds {
                limits.kinds.insert(reader.check(Kind::new(limit.of))?, limit.most);
            }
            for limit in &r.prefixes {
                limits.prefixes.insert(reader.check(Name::new(limit.of))?, limit.most);
            }
            Event::LimitsChanged { limits }
        }
        COLLECTION_DECLARED => {
            let r: CollectionDeclaredV1<'_> = reader.read()?;
            reader.declared(r.into())?
        }
        SOURCE_CHANGED => {
            let r: SourceChangedV1<'_> = reader.read()?;
            let (source, admission) = (reader.check(Source::recorded(r.source))?, r.admission.into());
            Event::SourceChanged { collection: collection(r.collection), source, admission }
        }
        SPEC_CHANGED => {
            let r: SpecChangedV1<'_> = reader.read()?;
            let (spec, admission) = (reader.spec(r.spec)?, r.admission.into());
            Event::SpecChanged { collection: collection(r.collection), spec, admission }
        }
        POLICY_CHANGED => {
            let PolicyChangedV1 { collection, policy, revision, resync_at } = reader.read()?;
            policy_changed(PolicyChangedV2 { collection, policy: policy.into(), revision, resync_at })
        }
        COLLECTION_DROPPED => Event::CollectionDropped { collection: reader.collection_only()? },
        COLLECTION_PAUSED => Event::CollectionPaused { collection: reader.collection_only()? },
        COLLECTION_RESUMED => Event::CollectionResumed { collection: reader.collection_only()? },
        REFRESH_REQUESTED => {
            let r: RefreshRequestedV1<'_> = reader.read()?;
            let reason = match r.reason {
                RefreshReasonV1::Asked => RefreshReason::Asked,
                RefreshReasonV1::Resync => RefreshReason::Resync,
                RefreshReasonV1::Drift { message } => RefreshReason::Drift(message.into()),
            };
            let (force, resync_at) = (r.force, r.resync_at.map(Timestamp));
            Event::RefreshRequested { collection: collection(r.collection), force, reason, resync_at }
        }
        SOURCE_OBSERVED => {
            let r: SourceObservedV1<'_> = reader.read()?;
            let (observed, delta) = (Arc::new(reader.observed(&r.observed)?), r.delta.map(Into::into));
            let admission = r.admission.into();
            Event::SourceObserved { collection: collection(r.collection), observed, delta, admission }
        }
        OBSERVATION_FAILED => {
            let r: ObservationFailedV1<'_> = reader.read()?;
            Event::ObservationFailed { collection: collection(r.collection), cause: r.cause.into() }
        }
        COLLECTION_HELD => {
            let r: CollectionHeldV1<'_> = reader.read()?;
            let cause = match r.cause {
                HoldCauseV1::Empty => HoldCause::Empty,
                HoldCauseV1::MostGone { gone, of } => HoldCause::MostGone { gone, of },
            };
            let (observed, delta) = (Arc::new(reader.observed(&r.observed)?), r.delta.map(Into::into));
            let fingerprint = Fingerprint(r.fingerprint);
            Event::CollectionHeld { collection: collection(r.collection), observed, delta, cause, fingerprint }
        }
        HOLD_CONFIRMED => {
            let r: HoldConfirmedV1 = reader.read()?;
            Event::HoldConfirmed {
                collection: collection(r.collection),
                fingerprint: Fingerprint(r.fingerprint),
                generation: Generation(r.generation),
            }
        }
        TASK_CREATED => {
            let r: TaskCreatedV1 = reader.read()?;
            Event::TaskCreated {
                collection: collection(r.collection),
                generation: Generation(r.generation),
                fingerprint: Fingerprint(r.fingerprint),
                not_before: Timestamp(r.not_before),
                rebuild: r.rebuild,
            }
        }
        TASK_STARTED => {
            let r: TaskStartedV1<'_> = reader.read()?;
            Event::TaskStarted {
                collection: collection(r.collection),
                task: task(r.task),
                attempt: r.attempt,
                worker: reader.check(WorkerName::new(r.worker))?,
                deadline: r.deadline.map(Timestamp),
                lease: r.lease.map(Duration::from_micros),
                duties: Duties { publish: r.publish, discard: r.discard },
            }
        }
        TASK_ABORTED => {
            let r: TaskAbortedV1 = reader.read()?;
            let reason = match r.reason {
                AbortReasonV1::Superseded => AbortReason::Superseded,
                AbortReasonV1::Dropped => AbortReason::Dropped,
                AbortReasonV1::Cancelled => AbortReason::Cancelled,
            };
            let stopping =
                r.stopping.map(|s| Stopping { token: s.token.into(), grace_until: Timestamp(s.grace_until) });
            Event::TaskAborted { collection: collection(r.collection), task: task(r.task), reason, stopping }
        }
        TASK_COMPLETED => {
            let r: TaskCompletedV1<'_> = reader.read()?;
            Event::TaskCompleted {
                collection: collection(r.attempt.collection),
                task: task(r.attempt.task),
                attempt: r.attempt.attempt,
                token: r.attempt.token.into(),
                fingerprint: Fingerprint(r.fingerprint),
                result: Built {
                    manifest: r.manifest.map(ObjectHash),
                    segments: r.segments.map(|s| SegmentCounts { kept: s.kept, new: s.new, dropped: s.dropped }),
                    rows: r.rows,
                    output: r.output.map(Into::into),
                }
                .shared(),
                resync_at: r.resync_at.map(Timestamp),
            }
        }
        ATTEMPT_FAILED => {
            let r: AttemptFailedV1<'_> = reader.read()?;
            let reason = match r.reason {
                FailReasonV1::Failed => FailReason::Failed,
                FailReasonV1::TimedOut => FailReason::TimedOut,
                FailReasonV1::WorkerLost => FailReason::WorkerLost,
                FailReasonV1::Panicked => FailReason::Panicked,
                FailReasonV1::SourceMoved => FailReason::SourceMoved,
            };
            Event::AttemptFailed {
                collection: collection(r.attempt.collection),
                task: task(r.attempt.task),
                attempt: r.attempt.attempt,
                token: r.attempt.token.into(),
                reason,
                message: r.message.into(),
                retry_at: Timestamp(r.retry_at),
                failures: r.failures,
                grace_until: r.grace_until.map(Timestamp),
            }
        }
        ATTEMPT_ENDED => {
            let r: AttemptEndedV1 = reader.read()?;
            let reason = match r.reason {
                EndReasonV1::Acknowledged => EndReason::Acknowledged,
                EndReasonV1::Abandoned => EndReason::Abandoned,
                EndReasonV1::Lost => EndReason::Lost,
            };
            Event::AttemptEnded {
                collection: collection(r.attempt.collection),
                task: task(r.attempt.task),
                attempt: r.attempt.attempt,
                token: r.attempt.token.into(),
                reason,
            }
        }
        TASK_PARKED => {
            let r: TaskParkedV1 = reader.read()?;
            let cause = match r.cause {
                ParkCauseV1::Permanent => ParkCause::Permanent,
                ParkCauseV1::OutOfAttempts => ParkCause::OutOfAttempts,
                ParkCauseV1::LostTooOften => ParkCause::LostTooOften,
            };
            Event::TaskParked { collection: collection(r.collection), task: task(r.task), cause }
        }
        TASK_WOKEN => {
            let r: TaskWokenV1 = reader.read()?;
            let (collection, not_before) = (collection(r.collection), Timestamp(r.not_before));
            Event::TaskWoken { collection, task: task(r.task), not_before }
        }
        COMPLETION_REJECTED => {
            let r: CompletionRejectedV1 = reader.read()?;
            let reason = match r.reason {
                RejectReasonV1::Stale => RejectReason::Stale,
                RejectReasonV1::NotLive => RejectReason::NotLive,
                RejectReasonV1::Duplicate => RejectReason::Duplicate,
                RejectReasonV1::UnknownCollection => RejectReason::UnknownCollection,
            };
            Event::CompletionRejected {
                collection: collection(r.attempt.collection),
                task: task(r.attempt.task),
                attempt: r.attempt.attempt,
                token: r.attempt.token.into(),
                reason,
                fingerprint: Fingerprint(r.fingerprint),
                wanted: r.wanted.map(Fingerprint),
            }
        }
        PUBLISHED => {
            let r: PublishedV1 = reader.read()?;
            Event::Published {
                collection: collection(r.collection),
                commit: Seq(r.commit),
                token: r.token.into(),
                fingerprint: Fingerprint(r.fingerprint),
            }
        }
        PUBLISH_FAILED => {
            let r: PublishFailedV1<'_> = reader.read()?;
            Event::PublishFailed {
                collection: collection(r.collection),
                obligation: Seq(r.obligation),
                delivery: match r.delivery {
                    DeliveryV1::Publish => DeliveryKind::Publish,
                    DeliveryV1::Discard => DeliveryKind::Discard,
                },
                message: r.message.into(),
                failures: r.failures,
                retry_at: Timestamp(r.retry_at),
            }
        }
        DISCARDED => {
            let r: DiscardedV1 = reader.read()?;
            Event::Discarded { collection: collection(r.collection), obligation: Seq(r.obligation) }
        }
        _ => return Err(CodecError::Unknown(reader.tag)),
    })
}

/// A payload that is being read, and what it is said to be.
struct Reader<'a> {
    tag: Tag,
    payload: &'a [u8],
}

impl<'a> Reader<'a> {
    fn read<R: BorrowDecode<'a, ()>>(&self) -> Result<R, CodecError> {
        take_all(self.payload).map_err(|problem| self.damaged(&problem))
    }

    fn base_frame(&self) -> Result<Event, CodecError> {
        let BaseFrameV1 { at, hash, part, parts, bytes } = self.read()?;
        Ok(Event::CheckpointPart { at: Seq(at), hash, part, parts, bytes: bytes.into() })
    }

    fn declared(&self, r: CollectionDeclaredV2<'_>) -> Result<Event, CodecError> {
        Ok(Event::CollectionDeclared {
            name: self.check(Name::new(r.name))?,
            kind: self.check(Kind::new(r.kind))?,
            source: self.check(Source::recorded(r.source))?,
            spec: self.spec(r.spec)?,
            versioned: r.versioned,
            policy: Policy::from(r.policy).shared(),
            revision: r.revision,
            wanted: r.wanted.map(Fingerprint),
        })
    }

    fn collection_only(&self) -> Result<CollectionId, CodecError> {
        self.read::<CollectionOnlyV1>().map(|record| collection(record.collection))
    }

    fn check<T>(&self, checked: Result<T, FieldError>) -> Result<T, CodecError> {
        checked.map_err(|error| self.damaged(&error))
    }

    fn spec(&self, text: &str) -> Result<Spec, CodecError> {
        self.check(Spec::recorded(text))
    }

    fn observed(&self, record: &ObservedV1<'_>) -> Result<SourceState, CodecError> {
        let version = self.check(Version::new(record.version))?;
        let set = record.set.as_ref().map(|s| PathSetRef { root: ObjectHash(s.root), files: s.files, bytes: s.bytes });
        Ok(SourceState { version, set })
    }

    fn damaged(&self, problem: &dyn fmt::Display) -> CodecError {
        CodecError::Payload { tag: self.tag, problem: problem.to_string() }
    }
}

fn collection(number: u64) -> CollectionId {
    CollectionId(Seq(number))
}

fn task(number: u64) -> TaskId {
    TaskId(Seq(number))
}

impl From<TokenV1> for Token {
    fn from(record: TokenV1) -> Token {
        Token { epoch: Epoch(record.epoch), seq: Seq(record.seq) }
    }
}

impl From<DeltaV1> for Delta {
    fn from(record: DeltaV1) -> Delta {
        Delta { added: record.added, removed: record.removed, changed: record.changed }
    }
}

impl From<AdmissionV1> for Admission {
    fn from(record: AdmissionV1) -> Admission {
        match record {
            AdmissionV1::Admitted { wanted, generation } => {
                Admission::Admitted { wanted: wanted.map(Fingerprint), generation: Generation(generation) }
            }
            AdmissionV1::Settling { until } => Admission::Settling { until: Timestamp(until) },
            AdmissionV1::Waiting => Admission::Waiting,
        }
    }
}

fn policy_changed(r: PolicyChangedV2) -> Event {
    let (policy, resync_at) = (Policy::from(r.policy).shared(), r.resync_at.map(Timestamp));
    Event::PolicyChanged { collection: collection(r.collection), policy, revision: r.revision, resync_at }
}

impl<'a> From<CollectionDeclaredV1<'a>> for CollectionDeclaredV2<'a> {
    fn from(record: CollectionDeclaredV1<'a>) -> CollectionDeclaredV2<'a> {
        let CollectionDeclaredV1 { name, kind, source, spec, versioned, policy, revision, wanted } = record;
        CollectionDeclaredV2 { name, kind, source, spec, versioned, policy: policy.into(), revision, wanted }
    }
}

/// What a policy of the first version did: nothing bounds the lag, and who has no attempts left is parked.
impl From<PolicyV1> for PolicyV2 {
    fn from(before: PolicyV1) -> PolicyV2 {
        PolicyV2 { before, max_lag: None, slow_retry: None, max_lost_alone: None }
    }
}

impl From<PolicyV2> for Policy {
    fn from(PolicyV2 { before: record, max_lag, slow_retry, max_lost_alone }: PolicyV2) -> Policy {
        let span = Duration::from_micros;
        Policy {
            on_change: match record.on_change {
                OnChangeV1::Supersede => OnChange::Supersede,
                OnChangeV1::FinishThenLatest => OnChange::FinishThenLatest,
                OnChangeV1::Reject => OnChange::Reject,
            },
            grace: Grace(span(record.grace)),
            coalesce: Coalesce { quiet: span(record.quiet), max_delay: span(record.max_delay) },
            retry: Retry {
                max_attempts: record.max_attempts,
                base: span(record.backoff_base),
                cap: span(record.backoff_cap),
                slow: slow_retry.map(span),
                max_lost: record.max_lost,
                max_lost_alone,
            },
            attempt_timeout: AttemptTimeout(record.attempt_timeout.map(span)),
            empty_source: match record.empty_source {
                EmptySourceV1::Hold => EmptySource::Hold,
                EmptySourceV1::Apply => EmptySource::Apply,
            },
            priority: Priority((record.priority ^ SIGN).cast_signed()),
            resync: Resync(record.resync.map(span)),
            max_lag: MaxLag(max_lag.map(span)),
        }
    }
}
