//! The JSON form of an event. The order of the fields of `Line` is the order of the keys.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Described, plain_json};
use crate::core::vocabulary::{
    Admission, Delta, EmptySource, Event, Fingerprint, Generation, HoldCause, Limits, Name, OnChange, Policy, Recorded,
    RefreshReason, Seq, SourceState, Spec, Token, micros, write_hex,
};

/// The version of the JSON form. Keys are only ever added within one.
const FORM: u32 = 1;

/// A policy as the JSON object that `policy` is in `collection_declared` and `policy_changed`, without a line break.
#[must_use]
pub fn policy_json(policy: &Policy) -> String {
    // Like an event: nothing in it can fail to be written.
    serde_json::to_string(&PolicyLine::from(policy)).unwrap_or_default()
}

impl Described<'_> {
    /// The event as one JSON object, without a line break.
    #[must_use]
    pub fn json(&self) -> String {
        // Nothing in the object can fail to be written: no maps with keys that are not text, no floats.
        plain_json(serde_json::to_string(&self.line()).unwrap_or_default())
    }

    fn line(&self) -> Line<'_> {
        let Recorded { seq, at, epoch, by, event } = self.recorded;
        let mut line = Line {
            v: FORM,
            seq: seq.0,
            time: at.to_string(),
            event_type: event.type_name(),
            collection: self.name.as_ref().map(Name::as_str),
            incarnation: event.collection(*seq).map(|id| id.0.0),
            task: event.task(*seq).map(|task| task.0.0),
            attempt: event.attempt(),
            by: by.as_deref().map(|by| ByLine { actor: by.actor(), cause: by.cause() }),
            ..Line::default()
        };
        if let Some(known) = self.known {
            line.generation = Some(known.generation.0);
            line.fingerprint = Some(known.fingerprint.to_string());
        }
        match event {
            Event::WriterOpened { software } => {
                line.epoch = Some(epoch.0);
                line.software = Some(software);
            }
            Event::DataLossAccepted { last, found } => {
                line.last = Some(last.0);
                line.found = Some(found);
            }
            Event::CheckpointPart { at, hash, part, parts, bytes } => {
                line.base = Some(at.0);
                line.hash = Some(Hex(hash).to_string());
                (line.part, line.parts, line.length) = (Some(*part), Some(*parts), Some(bytes.len() as u64));
            }
            Event::LimitsChanged { limits } => line.limits = Some(limits.into()),
            Event::CollectionDeclared { kind, source, spec, versioned, policy, revision, wanted, .. } => {
                line.revision = *revision;
                line.wants(*wanted, Generation(1));
                line.kind = Some(kind.as_str());
                line.source = Some(source.as_str());
                line.spec = raw(spec);
                line.versioned = Some(*versioned);
                line.policy = Some((&**policy).into());
            }
            Event::SourceChanged { source, admission, .. } => {
                line.admits(*admission);
                line.source = Some(source.as_str());
            }
            Event::SpecChanged { spec, admission, .. } => {
                line.admits(*admission);
                line.spec = raw(spec);
            }
            Event::PolicyChanged { policy, revision, resync_at, .. } => {
                line.policy = Some((&**policy).into());
                line.revision = *revision;
                line.resync_at = resync_at.map(|at| at.to_string());
            }
            Event::SourceObserved { observed, delta, admission, .. } => {
                line.saw(observed, *delta);
                line.admits(*admission);
            }
            Event::ObservationFailed { cause, .. } => line.cause = Some(cause),
            Event::CollectionHeld { observed, delta, cause, fingerprint, .. } => {
                line.saw(observed, *delta);
                line.cause = Some(cause.as_str());
                line.held = Some(fingerprint.to_string());
                if let HoldCause::MostGone { gone, of } = cause {
                    (line.gone, line.of) = (Some(*gone), Some(*of));
                }
            }
            Event::HoldConfirmed { fingerprint, generation, .. } => line.wants(Some(*fingerprint), *generation),
            Event::CollectionDropped { .. } | Event::CollectionPaused { .. } | Event::CollectionResumed { .. } => {}
            Event::RefreshRequested { force, reason, resync_at, .. } => {
                line.force = force.then_some(true);
                line.resync_at = resync_at.map(|at| at.to_string());
                line.reason = Some(reason.as_str());
                if let RefreshReason::Drift(message) = reason {
                    line.message = Some(message);
                }
            }
            Event::TaskCreated { not_before, rebuild, .. } => {
                line.not_before = Some(not_before.to_string());
                line.rebuild = rebuild.then_some(true);
            }
            Event::TaskStarted { worker, deadline, lease, duties, .. } => {
                line.lease_us = lease.map(micros);
                line.publish = duties.publish.then_some(true);
                line.discard = duties.discard.then_some(true);
                line.token = Some(Token { epoch: *epoch, seq: *seq }.to_string());
                line.worker = Some(worker.as_str());
                line.deadline = deadline.map(|at| at.to_string());
            }
            Event::TaskAborted { reason, stopping, .. } => {
                line.reason = Some(reason.as_str());
                line.token = stopping.map(|stopping| stopping.token.to_string());
                line.grace_until = stopping.map(|stopping| stopping.grace_until.to_string());
            }
            Event::TaskCompleted { token, result, resync_at, .. } => {
                line.resync_at = resync_at.map(|at| at.to_string());
                line.token = Some(token.to_string());
                line.segments_kept = result.segments.map(|segments| segments.kept);
                line.segments_new = result.segments.map(|segments| segments.new);
                line.segments_dropped = result.segments.map(|segments| segments.dropped);
                line.rows = result.rows;
                line.manifest = result.manifest.map(|root| root.to_string());
                line.output = result.output.as_deref();
            }
            Event::AttemptFailed { token, reason, message, retry_at, failures, grace_until, .. } => {
                line.token = Some(token.to_string());
                line.reason = Some(reason.as_str());
                line.message = Some(message);
                line.retry_at = Some(retry_at.to_string());
                line.failures = Some(*failures);
                line.grace_until = grace_until.map(|at| at.to_string());
            }
            Event::AttemptEnded { token, reason, .. } => {
                line.token = Some(token.to_string());
                line.reason = Some(reason.as_str());
            }
            Event::TaskWoken { not_before, .. } => line.not_before = Some(not_before.to_string()),
            Event::TaskParked { cause, .. } => line.cause = Some(cause.as_str()),
            Event::CompletionRejected { token, reason, fingerprint, wanted, .. } => {
                line.token = Some(token.to_string());
                line.reason = Some(reason.as_str());
                // What the result was built from, whatever its task was to build.
                line.generation = None;
                line.fingerprint = Some(fingerprint.to_string());
                line.wanted = wanted.map(|wanted| wanted.to_string());
            }
            Event::Published { commit, token, fingerprint, .. } => {
                line.commit = Some(commit.0);
                line.token = Some(token.to_string());
                line.fingerprint = Some(fingerprint.to_string());
            }
            Event::PublishFailed { obligation, delivery, message, failures, retry_at, .. } => {
                line.obligation = Some(obligation.0);
                line.delivery = Some(delivery.as_str());
                line.message = Some(message);
                line.failures = Some(*failures);
                line.retry_at = Some(retry_at.to_string());
            }
            Event::Discarded { obligation, .. } => line.obligation = Some(obligation.0),
        }
        line
    }
}

/// The JSON object of an event; the order of the fields is the order of the keys.
#[derive(Default, Serialize)]
struct Line<'a> {
    v: u32,
    seq: u64,
    time: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discard: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obligation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resync_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    force: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versioned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_set: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments_kept: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments_new: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments_dropped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<ByLine<'a>>,
}

/// Who asked for the event, and why.
#[derive(Serialize)]
struct ByLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

/// Limits: kinds and prefixes in ascending order.
#[derive(Serialize)]
struct LimitsLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u32>,
    kinds: BTreeMap<&'a str, u32>,
    prefixes: BTreeMap<&'a str, u32>,
}

impl<'a> From<&'a Limits> for LimitsLine<'a> {
    fn from(limits: &'a Limits) -> LimitsLine<'a> {
        LimitsLine {
            total: limits.total,
            kinds: limits.kinds.iter().map(|(kind, most)| (kind.as_str(), *most)).collect(),
            prefixes: limits.prefixes.iter().map(|(prefix, most)| (prefix.as_str(), *most)).collect(),
        }
    }
}

/// Hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.0, f)
    }
}

impl Line<'_> {
    fn wants(&mut self, wanted: Option<Fingerprint>, generation: Generation) {
        self.generation = Some(generation.0);
        self.fingerprint = wanted.map(|wanted| wanted.to_string());
    }

    fn admits(&mut self, admission: Admission) {
        match admission {
            Admission::Admitted { wanted, generation } => self.wants(wanted, generation),
            Admission::Settling { until } => self.until = Some(until.to_string()),
            Admission::Waiting => self.waits_for = Some("task"),
        }
    }

    fn saw(&mut self, observed: &SourceState, delta: Option<Delta>) {
        self.version = Some(observed.version.to_string());
        self.path_set = observed.set.map(|set| set.root.to_string());
        self.files = observed.set.map(|set| set.files);
        self.bytes = observed.set.map(|set| set.bytes);
        self.added = delta.map(|delta| delta.added);
        self.removed = delta.map(|delta| delta.removed);
        self.changed = delta.map(|delta| delta.changed);
    }
}

/// The policy, with all durations in microseconds.
#[derive(Serialize)]
struct PolicyLine {
    on_change: &'static str,
    grace_us: u64,
    quiet_us: u64,
    max_delay_us: u64,
    max_attempts: u32,
    backoff_base_us: u64,
    backoff_cap_us: u64,
    max_lost: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_timeout_us: Option<u64>,
    empty_source: &'static str,
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    resync_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lag_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow_retry_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lost_alone: Option<u32>,
}

impl From<&Policy> for PolicyLine {
    fn from(policy: &Policy) -> PolicyLine {
        PolicyLine {
            on_change: match policy.on_change {
                OnChange::Supersede => "supersede",
                OnChange::FinishThenLatest => "finish_then_latest",
                OnChange::Reject => "reject",
            },
            grace_us: micros(policy.grace.0),
            quiet_us: micros(policy.coalesce.quiet),
            max_delay_us: micros(policy.coalesce.max_delay),
            max_attempts: policy.retry.max_attempts,
            backoff_base_us: micros(policy.retry.base),
            backoff_cap_us: micros(policy.retry.cap),
            max_lost: policy.retry.max_lost,
            attempt_timeout_us: policy.attempt_timeout.0.map(micros),
            empty_source: match policy.empty_source {
                EmptySource::Hold => "hold",
                EmptySource::Apply => "apply",
            },
            priority: policy.priority.0,
            resync_us: policy.resync.0.map(micros),
            max_lag_us: policy.max_lag.0.map(micros),
            slow_retry_us: policy.retry.slow.map(micros),
            max_lost_alone: policy.retry.max_lost_alone,
        }
    }
}

/// A canonical spec is JSON: it is written as it stands.
pub(super) fn raw(spec: &Spec) -> Option<&RawValue> {
    serde_json::from_str(spec.as_str()).ok()
}

/// What was printed of a log: the last line of every dump in JSON.
#[derive(Debug, Serialize)]
pub struct Summary {
    kind: &'static str,
    events: u64,
    from: u64,
    to: u64,
    head: String,
}

impl Summary {
    /// `events` were printed of those from `from` up to but without `to`; `head` is the hash of the log's last frame.
    #[must_use]
    pub fn new(events: u64, from: Seq, to: Seq, head: crate::log::FrameHash) -> Summary {
        Summary { kind: "summary", events, from: from.0, to: to.0, head: head.to_string() }
    }

    /// The line, without a line break.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
