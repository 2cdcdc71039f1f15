//! Events to bytes and back, exactly as `log-format.md` says. The only module that names bincode.
//!
//! A payload is bincode 1.3 with `DefaultOptions` (little-endian varints), read from a slice whose frame was
//! verified, with a limit, and with nothing left over.

mod records;

use std::fmt;
use std::time::Duration;

use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::core::vocabulary::{
    AbortReason, Admission, AttemptTimeout, Built, Coalesce, CollectionId, Delta, EndReason, Epoch, Event, FailReason,
    FieldError, Fingerprint, Generation, Grace, HoldCause, Kind, Name, ObjectHash, Observed, OnChange, ParkCause,
    PathSet, Policy, RejectReason, Retry, SegmentCounts, Seq, Source, Spec, Stopping, TaskId, Timestamp, Token,
    Version, WorkerName, micros,
};
use records::*;

/// No payload is longer: the largest event is a declaration with a spec of 64 KiB and a source of 4 KiB.
const MOST_PAYLOAD: u64 = 1 << 20;

/// The number of an event's type, and the version of its payload. Both stand outside the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The type. Numbers only grow; a retired one is never used again.
    pub event_type: u16,
    /// The version of its payload.
    pub version: u16,
}

/// Declares the registry of event types. Numbers 1-15 are control records, 16-31 declarations and what people ask
/// for, 32-47 observations, 48-63 tasks, 64-79 obligations towards destinations.
macro_rules! registry {
    ($($number:literal $constant:ident $name:literal,)*) => {
        $(const $constant: u16 = $number;)*

        /// Every event type that this program writes: number, version, name.
        pub const REGISTRY: &[(u16, u16, &str)] = &[$(($number, 1, $name),)*];
    };
}

registry! {
    1 WRITER_OPENED "writer_opened",
    2 DATA_LOSS_ACCEPTED "data_loss_accepted",
    // 3 base_frame: reserved for the state that stands for a deleted prefix.
    16 COLLECTION_DECLARED "collection_declared",
    17 SOURCE_CHANGED "source_changed",
    18 SPEC_CHANGED "spec_changed",
    19 POLICY_CHANGED "policy_changed",
    20 COLLECTION_DROPPED "collection_dropped",
    21 COLLECTION_PAUSED "collection_paused",
    22 COLLECTION_RESUMED "collection_resumed",
    23 REFRESH_REQUESTED "refresh_requested",
    32 SOURCE_OBSERVED "source_observed",
    33 OBSERVATION_FAILED "observation_failed",
    34 COLLECTION_HELD "collection_held",
    35 HOLD_CONFIRMED "hold_confirmed",
    48 TASK_CREATED "task_created",
    49 TASK_STARTED "task_started",
    50 TASK_ABORTED "task_aborted",
    51 TASK_COMPLETED "task_completed",
    52 ATTEMPT_FAILED "attempt_failed",
    53 ATTEMPT_ENDED "attempt_ended",
    54 TASK_PARKED "task_parked",
    55 COMPLETION_REJECTED "completion_rejected",
    // 64 published, 65 publish_failed, 66 discarded: reserved for obligations towards destinations.
}

/// Event types whose numbers are given out and that this program neither writes nor reads yet: number and name.
pub const RESERVED: &[(u16, &str)] = &[(3, "base_frame"), (64, "published"), (65, "publish_failed"), (66, "discarded")];

/// Why an event could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The type or its version is none that this program knows: the log was written by a newer one.
    Unknown(Tag),
    /// The payload does not have the layout of its type.
    Payload {
        /// Which type.
        tag: Tag,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Unknown(tag) => {
                write!(f, "event type {} version {} is not known to this program", tag.event_type, tag.version)
            }
            CodecError::Payload { tag, problem } => {
                write!(f, "the payload of event type {} version {} is damaged: {problem}", tag.event_type, tag.version)
            }
        }
    }
}

impl std::error::Error for CodecError {}

/// Appends the payload of `event` to `out` and says which type it is.
///
/// # Errors
/// When the payload would be longer than the format allows.
pub fn encode(event: &Event, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    match event {
        Event::WriterOpened { software } => write(WRITER_OPENED, &WriterOpenedV1 { software }, out),
        Event::DataLossAccepted { last, found } => {
            write(DATA_LOSS_ACCEPTED, &DataLossAcceptedV1 { last: last.0, found }, out)
        }
        Event::CollectionDeclared { name, kind, source, spec, versioned, policy, wanted } => {
            let record = CollectionDeclaredV1 {
                name: name.as_str(),
                kind: kind.as_str(),
                source: source.as_str(),
                spec: spec.as_str(),
                versioned: *versioned,
                policy: policy.into(),
                wanted: wanted.map(|f| f.0),
            };
            write(COLLECTION_DECLARED, &record, out)
        }
        Event::SourceChanged { collection, source, wanted, generation } => {
            let (source, wanted) = (source.as_str(), wanted.map(|f| f.0));
            let record = SourceChangedV1 { collection: id(*collection), source, wanted, generation: generation.0 };
            write(SOURCE_CHANGED, &record, out)
        }
        Event::SpecChanged { collection, spec, wanted, generation } => {
            let (spec, wanted) = (spec.as_str(), wanted.map(|f| f.0));
            let record = SpecChangedV1 { collection: id(*collection), spec, wanted, generation: generation.0 };
            write(SPEC_CHANGED, &record, out)
        }
        Event::PolicyChanged { collection, policy } => {
            write(POLICY_CHANGED, &PolicyChangedV1 { collection: id(*collection), policy: policy.into() }, out)
        }
        Event::CollectionDropped { collection } => write_only(COLLECTION_DROPPED, *collection, out),
        Event::CollectionPaused { collection } => write_only(COLLECTION_PAUSED, *collection, out),
        Event::CollectionResumed { collection } => write_only(COLLECTION_RESUMED, *collection, out),
        Event::RefreshRequested { collection } => write_only(REFRESH_REQUESTED, *collection, out),
        Event::SourceObserved { collection, observed, delta, admission } => {
            let admission = match admission {
                Admission::Admitted { fingerprint, generation } => {
                    AdmissionV1::Admitted { fingerprint: fingerprint.0, generation: generation.0 }
                }
                Admission::Settling { until } => AdmissionV1::Settling { until: until.0 },
            };
            let (observed, delta) = (observed.into(), delta.map(Into::into));
            write(SOURCE_OBSERVED, &SourceObservedV1 { collection: id(*collection), observed, delta, admission }, out)
        }
        Event::ObservationFailed { collection, cause } => {
            write(OBSERVATION_FAILED, &ObservationFailedV1 { collection: id(*collection), cause }, out)
        }
        Event::CollectionHeld { collection, observed, delta, cause, fingerprint } => {
            let cause = match cause {
                HoldCause::Empty => HoldCauseV1::Empty,
            };
            let (observed, delta) = (observed.into(), delta.map(Into::into));
            let record =
                CollectionHeldV1 { collection: id(*collection), observed, delta, cause, fingerprint: fingerprint.0 };
            write(COLLECTION_HELD, &record, out)
        }
        Event::HoldConfirmed { collection, fingerprint, generation } => {
            let (fingerprint, generation) = (fingerprint.0, generation.0);
            write(HOLD_CONFIRMED, &HoldConfirmedV1 { collection: id(*collection), fingerprint, generation }, out)
        }
        Event::TaskCreated { collection, generation, fingerprint, not_before } => {
            let record = TaskCreatedV1 {
                collection: id(*collection),
                generation: generation.0,
                fingerprint: fingerprint.0,
                not_before: not_before.0,
            };
            write(TASK_CREATED, &record, out)
        }
        Event::TaskStarted { collection, task, attempt, worker, deadline } => {
            let record = TaskStartedV1 {
                collection: id(*collection),
                task: task.0.0,
                attempt: *attempt,
                worker: worker.as_str(),
                deadline: deadline.map(|t| t.0),
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
        Event::TaskCompleted { collection, task, attempt, token, fingerprint, result } => {
            let segments = result.segments.map(|s| SegmentCountsV1 { kept: s.kept, new: s.new, dropped: s.dropped });
            let record = TaskCompletedV1 {
                attempt: attempt_v1(*collection, *task, *attempt, *token),
                fingerprint: fingerprint.0,
                manifest: result.manifest.map(|h| h.0),
                segments,
                rows: result.rows,
                output: result.output.as_deref(),
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
    }
}

/// Reads the event of type `tag` from its payload.
///
/// # Errors
/// When the type or version is not known, or the payload does not have its layout.
pub fn decode(tag: Tag, payload: &[u8]) -> Result<Event, CodecError> {
    if tag.version != 1 {
        return Err(CodecError::Unknown(tag));
    }
    let reader = Reader { tag, payload };
    Ok(match tag.event_type {
        WRITER_OPENED => {
            let r: WriterOpenedV1<'_> = reader.read()?;
            Event::WriterOpened { software: r.software.into() }
        }
        DATA_LOSS_ACCEPTED => {
            let r: DataLossAcceptedV1<'_> = reader.read()?;
            Event::DataLossAccepted { last: Seq(r.last), found: r.found.into() }
        }
        COLLECTION_DECLARED => {
            let r: CollectionDeclaredV1<'_> = reader.read()?;
            Event::CollectionDeclared {
                name: reader.check(Name::new(r.name))?,
                kind: reader.check(Kind::new(r.kind))?,
                source: reader.check(Source::new(r.source))?,
                spec: reader.spec(r.spec)?,
                versioned: r.versioned,
                policy: r.policy.into(),
                wanted: r.wanted.map(Fingerprint),
            }
        }
        SOURCE_CHANGED => {
            let r: SourceChangedV1<'_> = reader.read()?;
            Event::SourceChanged {
                collection: collection(r.collection),
                source: reader.check(Source::new(r.source))?,
                wanted: r.wanted.map(Fingerprint),
                generation: Generation(r.generation),
            }
        }
        SPEC_CHANGED => {
            let r: SpecChangedV1<'_> = reader.read()?;
            Event::SpecChanged {
                collection: collection(r.collection),
                spec: reader.spec(r.spec)?,
                wanted: r.wanted.map(Fingerprint),
                generation: Generation(r.generation),
            }
        }
        POLICY_CHANGED => {
            let r: PolicyChangedV1 = reader.read()?;
            Event::PolicyChanged { collection: collection(r.collection), policy: r.policy.into() }
        }
        COLLECTION_DROPPED => Event::CollectionDropped { collection: reader.collection_only()? },
        COLLECTION_PAUSED => Event::CollectionPaused { collection: reader.collection_only()? },
        COLLECTION_RESUMED => Event::CollectionResumed { collection: reader.collection_only()? },
        REFRESH_REQUESTED => Event::RefreshRequested { collection: reader.collection_only()? },
        SOURCE_OBSERVED => {
            let r: SourceObservedV1<'_> = reader.read()?;
            let admission = match r.admission {
                AdmissionV1::Admitted { fingerprint, generation } => {
                    Admission::Admitted { fingerprint: Fingerprint(fingerprint), generation: Generation(generation) }
                }
                AdmissionV1::Settling { until } => Admission::Settling { until: Timestamp(until) },
            };
            let (observed, delta) = (reader.observed(&r.observed)?, r.delta.map(Into::into));
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
            };
            let (observed, delta) = (reader.observed(&r.observed)?, r.delta.map(Into::into));
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
                },
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
        _ => return Err(CodecError::Unknown(tag)),
    })
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(MOST_PAYLOAD)
}

fn write<R: Serialize>(event_type: u16, record: &R, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    let tag = Tag { event_type, version: 1 };
    options().serialize_into(out, record).map_err(|error| CodecError::Payload { tag, problem: error.to_string() })?;
    Ok(tag)
}

fn write_only(event_type: u16, collection: CollectionId, out: &mut Vec<u8>) -> Result<Tag, CodecError> {
    write(event_type, &CollectionOnlyV1 { collection: id(collection) }, out)
}

/// A payload that is being read, and what it is said to be.
struct Reader<'a> {
    tag: Tag,
    payload: &'a [u8],
}

impl<'a> Reader<'a> {
    fn read<R: Deserialize<'a>>(&self) -> Result<R, CodecError> {
        options().deserialize(self.payload).map_err(|error| self.damaged(&error))
    }

    fn collection_only(&self) -> Result<CollectionId, CodecError> {
        self.read::<CollectionOnlyV1>().map(|record| collection(record.collection))
    }

    fn check<T>(&self, checked: Result<T, FieldError>) -> Result<T, CodecError> {
        checked.map_err(|error| self.damaged(&error))
    }

    /// A logged spec is canonical already; one that is not was written by something else.
    fn spec(&self, text: &str) -> Result<Spec, CodecError> {
        let spec = self.check(Spec::parse(text))?;
        if spec.as_str() == text { Ok(spec) } else { Err(self.damaged(&"the spec is not in canonical form")) }
    }

    fn observed(&self, record: &ObservedV1<'_>) -> Result<Observed, CodecError> {
        let version = self.check(Version::new(record.version))?;
        let set = record.set.as_ref().map(|s| PathSet { root: ObjectHash(s.root), files: s.files, bytes: s.bytes });
        Ok(Observed { version, set })
    }

    fn damaged(&self, problem: &dyn fmt::Display) -> CodecError {
        CodecError::Payload { tag: self.tag, problem: problem.to_string() }
    }
}

fn id(collection: CollectionId) -> u64 {
    collection.0.0
}

fn collection(number: u64) -> CollectionId {
    CollectionId(Seq(number))
}

fn task(number: u64) -> TaskId {
    TaskId(Seq(number))
}

fn attempt_v1(collection: CollectionId, task: TaskId, attempt: u32, token: Token) -> AttemptV1 {
    AttemptV1 { collection: id(collection), task: task.0.0, attempt, token: token.into() }
}

impl From<Token> for TokenV1 {
    fn from(token: Token) -> TokenV1 {
        TokenV1 { epoch: token.epoch.0, seq: token.seq.0 }
    }
}

impl From<TokenV1> for Token {
    fn from(record: TokenV1) -> Token {
        Token { epoch: Epoch(record.epoch), seq: Seq(record.seq) }
    }
}

impl From<Delta> for DeltaV1 {
    fn from(delta: Delta) -> DeltaV1 {
        DeltaV1 { added: delta.added, removed: delta.removed, changed: delta.changed }
    }
}

impl From<DeltaV1> for Delta {
    fn from(record: DeltaV1) -> Delta {
        Delta { added: record.added, removed: record.removed, changed: record.changed }
    }
}

impl<'a> From<&'a Observed> for ObservedV1<'a> {
    fn from(observed: &'a Observed) -> ObservedV1<'a> {
        let set = observed.set.map(|s| PathSetV1 { root: s.root.0, files: s.files, bytes: s.bytes });
        ObservedV1 { version: observed.version.as_bytes(), set }
    }
}

impl From<&Policy> for PolicyV1 {
    fn from(policy: &Policy) -> PolicyV1 {
        PolicyV1 {
            on_change: match policy.on_change {
                OnChange::Supersede => OnChangeV1::Supersede,
            },
            grace: micros(policy.grace.0),
            quiet: micros(policy.coalesce.quiet),
            max_delay: micros(policy.coalesce.max_delay),
            max_attempts: policy.retry.max_attempts,
            backoff_base: micros(policy.retry.base),
            backoff_cap: micros(policy.retry.cap),
            max_lost: policy.retry.max_lost,
            attempt_timeout: policy.attempt_timeout.0.map(micros),
        }
    }
}

impl From<PolicyV1> for Policy {
    fn from(record: PolicyV1) -> Policy {
        let span = Duration::from_micros;
        Policy {
            on_change: match record.on_change {
                OnChangeV1::Supersede => OnChange::Supersede,
            },
            grace: Grace(span(record.grace)),
            coalesce: Coalesce { quiet: span(record.quiet), max_delay: span(record.max_delay) },
            retry: Retry {
                max_attempts: record.max_attempts,
                base: span(record.backoff_base),
                cap: span(record.backoff_cap),
                max_lost: record.max_lost,
            },
            attempt_timeout: AttemptTimeout(record.attempt_timeout.map(span)),
        }
    }
}
