//! Events for people and scripts: one JSON object or one line each. The one place that knows how tools print an
//! event; the keys are a contract.
//!
//! Events name collections and tasks by number. A [`Describer`] is shown all of them in order and remembers the
//! names, so that every line can be read by itself.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::vocabulary::{
    AbortReason, Admission, CollectionId, Delta, EndReason, Event, FailReason, Fingerprint, Generation, HoldCause,
    Name, Observed, ParkCause, Policy, Recorded, RejectReason, Seq, Spec, TaskId, Timestamp, Token, micros,
};

/// The version of the JSON form. Keys are only ever added within one.
const FORM: u32 = 1;

/// Remembers what events refer to.
#[derive(Clone, Debug, Default)]
pub struct Describer {
    names: BTreeMap<CollectionId, Name>,
    tasks: BTreeMap<TaskId, Known>,
}

/// What is known of a task that may still be referred to.
#[derive(Clone, Copy, Debug)]
struct Known {
    generation: Generation,
    fingerprint: Fingerprint,
    /// Attempts that have started and not ended.
    outstanding: u32,
    live: bool,
}

impl Describer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Describer {
        Describer::default()
    }

    /// Describes the next event. All events have to be shown, from the first on, whether they are printed or not.
    pub fn describe<'e>(&mut self, recorded: &'e Recorded) -> Described<'e> {
        if let Event::CollectionDeclared { name, .. } = &recorded.event {
            self.names.insert(CollectionId(recorded.seq), name.clone());
        }
        let id = recorded.event.collection(recorded.seq);
        let task = recorded.event.task(recorded.seq);
        let known = task.and_then(|task| self.follow_task(task, recorded));
        Described { recorded, name: id.and_then(|id| self.names.get(&id).cloned()), known }
    }

    /// Remembers a task while events may refer to it: while it is live or an attempt of it has not ended.
    fn follow_task(&mut self, task: TaskId, recorded: &Recorded) -> Option<Known> {
        if let Event::TaskCreated { generation, fingerprint, .. } = recorded.event {
            self.tasks.insert(task, Known { generation, fingerprint, outstanding: 0, live: true });
        }
        let known = self.tasks.get_mut(&task)?;
        match &recorded.event {
            Event::TaskStarted { .. } => known.outstanding += 1,
            Event::AttemptEnded { .. } => known.outstanding = known.outstanding.saturating_sub(1),
            Event::TaskAborted { .. } | Event::TaskCompleted { .. } | Event::TaskParked { .. } => known.live = false,
            _ => {}
        }
        let known = *known;
        if !known.live && known.outstanding == 0 {
            self.tasks.remove(&task);
        }
        Some(known)
    }
}

/// An event with the names of what it refers to. `Display` is one line for people, [`Described::json`] one line for
/// scripts.
#[derive(Clone, Debug)]
pub struct Described<'e> {
    recorded: &'e Recorded,
    name: Option<Name>,
    known: Option<Known>,
}

impl Described<'_> {
    /// The event.
    #[must_use]
    pub fn recorded(&self) -> &Recorded {
        self.recorded
    }

    /// The name of the collection that the event is about.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// The event as one JSON object, without a line break.
    #[must_use]
    pub fn json(&self) -> String {
        // Nothing in the object can fail to be written: no maps with keys that are not text, no floats.
        serde_json::to_string(&self.line()).unwrap_or_default()
    }

    fn line(&self) -> Line<'_> {
        let Recorded { seq, at, epoch, event } = self.recorded;
        let mut line = Line {
            v: FORM,
            seq: seq.0,
            time: at.to_string(),
            event_type: event.type_name(),
            collection: self.name.as_ref().map(Name::as_str),
            incarnation: event.collection(*seq).map(|id| id.0.0),
            task: event.task(*seq).map(|task| task.0.0),
            attempt: event.attempt(),
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
            Event::CollectionDeclared { kind, source, spec, versioned, policy, wanted, .. } => {
                line.wants(*wanted, Generation(1));
                line.kind = Some(kind.as_str());
                line.source = Some(source.as_str());
                line.spec = raw(spec);
                line.versioned = Some(*versioned);
                line.policy = Some(policy.into());
            }
            Event::SourceChanged { source, wanted, generation, .. } => {
                line.wants(*wanted, *generation);
                line.source = Some(source.as_str());
            }
            Event::SpecChanged { spec, wanted, generation, .. } => {
                line.wants(*wanted, *generation);
                line.spec = raw(spec);
            }
            Event::PolicyChanged { policy, .. } => line.policy = Some(policy.into()),
            Event::SourceObserved { observed, delta, admission, .. } => {
                line.saw(observed, *delta);
                match admission {
                    Admission::Admitted { fingerprint, generation } => line.wants(Some(*fingerprint), *generation),
                    Admission::Settling { until } => line.until = Some(until.to_string()),
                }
            }
            Event::ObservationFailed { cause, .. } => line.cause = Some(cause),
            Event::CollectionHeld { observed, delta, cause, fingerprint, .. } => {
                line.saw(observed, *delta);
                line.cause = Some(name_of_hold(*cause));
                line.held = Some(fingerprint.to_string());
            }
            Event::HoldConfirmed { fingerprint, generation, .. } => line.wants(Some(*fingerprint), *generation),
            Event::CollectionDropped { .. }
            | Event::CollectionPaused { .. }
            | Event::CollectionResumed { .. }
            | Event::RefreshRequested { .. } => {}
            Event::TaskCreated { not_before, .. } => line.not_before = Some(not_before.to_string()),
            Event::TaskStarted { worker, deadline, .. } => {
                line.token = Some(Token { epoch: *epoch, seq: *seq }.to_string());
                line.worker = Some(worker.as_str());
                line.deadline = deadline.map(|at| at.to_string());
            }
            Event::TaskAborted { reason, stopping, .. } => {
                line.reason = Some(name_of_abort(*reason));
                line.token = stopping.map(|stopping| stopping.token.to_string());
                line.grace_until = stopping.map(|stopping| stopping.grace_until.to_string());
            }
            Event::TaskCompleted { token, result, .. } => {
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
                line.reason = Some(name_of_failure(*reason));
                line.message = Some(message);
                line.retry_at = Some(retry_at.to_string());
                line.failures = Some(*failures);
                line.grace_until = grace_until.map(|at| at.to_string());
            }
            Event::AttemptEnded { token, reason, .. } => {
                line.token = Some(token.to_string());
                line.reason = Some(name_of_end(*reason));
            }
            Event::TaskParked { cause, .. } => line.cause = Some(name_of_parking(*cause)),
            Event::CompletionRejected { token, reason, fingerprint, wanted, .. } => {
                line.token = Some(token.to_string());
                line.reason = Some(name_of_rejection(*reason));
                // What the result was built from, whatever its task was to build.
                line.generation = None;
                line.fingerprint = Some(fingerprint.to_string());
                line.wanted = wanted.map(|wanted| wanted.to_string());
            }
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
}

impl Line<'_> {
    fn wants(&mut self, wanted: Option<Fingerprint>, generation: Generation) {
        self.generation = Some(generation.0);
        self.fingerprint = wanted.map(|wanted| wanted.to_string());
    }

    fn saw(&mut self, observed: &Observed, delta: Option<Delta>) {
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
}

impl From<&Policy> for PolicyLine {
    fn from(policy: &Policy) -> PolicyLine {
        PolicyLine {
            on_change: match policy.on_change {
                crate::core::vocabulary::OnChange::Supersede => "supersede",
            },
            grace_us: micros(policy.grace.0),
            quiet_us: micros(policy.coalesce.quiet),
            max_delay_us: micros(policy.coalesce.max_delay),
            max_attempts: policy.retry.max_attempts,
            backoff_base_us: micros(policy.retry.base),
            backoff_cap_us: micros(policy.retry.cap),
            max_lost: policy.retry.max_lost,
            attempt_timeout_us: policy.attempt_timeout.0.map(micros),
        }
    }
}

/// A canonical spec is JSON: it is written as it stands.
fn raw(spec: &Spec) -> Option<&RawValue> {
    serde_json::from_str(spec.as_str()).ok()
}

/// One line: time, number, collection, and a sentence.
impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { seq, at, .. } = self.recorded;
        write!(f, "{at} {:>6} ", seq.0)?;
        if let Some(name) = &self.name {
            write!(f, "{name}: ")?;
        }
        Printable(f).write_fmt(format_args!("{}", Sentence(self)))
    }
}

/// What an event says, in words.
struct Sentence<'d>(&'d Described<'d>);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { seq, at, epoch, event } = self.0.recorded;
        match event {
            Event::WriterOpened { software } => write!(f, "log opened by {software}, epoch {epoch}"),
            Event::DataLossAccepted { last, found } => {
                write!(f, "loss of everything after event {last} accepted: {found}")
            }
            Event::CollectionDeclared { kind, source, spec, .. } => {
                write!(f, "declared as {kind} from {source} with {spec}")
            }
            Event::SourceChanged { source, generation, .. } => {
                write!(f, "source is now {source} (generation {generation})")
            }
            Event::SpecChanged { spec, generation, .. } => write!(f, "spec is now {spec} (generation {generation})"),
            Event::PolicyChanged { .. } => f.write_str("policy changed"),
            Event::SourceObserved { observed, delta, admission, .. } => {
                f.write_str("source observed")?;
                write_sight(f, observed, *delta)?;
                match admission {
                    Admission::Admitted { fingerprint, generation } => {
                        write!(f, ", wanted: {} (generation {generation})", short(*fingerprint))
                    }
                    Admission::Settling { until } => write!(f, ", settling for {}", span(*at, *until)),
                }
            }
            Event::ObservationFailed { cause, .. } => write!(f, "source cannot be observed: {cause}"),
            Event::CollectionHeld { observed, delta, cause, fingerprint, .. } => {
                write!(f, "held ({})", name_of_hold(*cause))?;
                write_sight(f, observed, *delta)?;
                write!(f, "; to accept it, confirm {fingerprint}")
            }
            Event::HoldConfirmed { generation, .. } => {
                write!(f, "what was held is confirmed (generation {generation})")
            }
            Event::CollectionDropped { .. } => f.write_str("dropped"),
            Event::CollectionPaused { .. } => f.write_str("paused"),
            Event::CollectionResumed { .. } => f.write_str("resumed"),
            Event::RefreshRequested { .. } => f.write_str("refresh requested"),
            Event::TaskCreated { generation, fingerprint, not_before, .. } => {
                write!(f, "task {seq} created for {} (generation {generation})", short(*fingerprint))?;
                if not_before > at { write!(f, ", starts in {}", span(*at, *not_before)) } else { Ok(()) }
            }
            Event::TaskStarted { task, attempt, worker, .. } => {
                write!(f, "task {task} started, attempt {attempt} on {worker}")
            }
            Event::TaskAborted { task, reason, .. } => write!(f, "task {task} aborted: {}", name_of_abort(*reason)),
            Event::TaskCompleted { task, fingerprint, result, .. } => {
                write!(f, "task {task} committed {}", short(*fingerprint))?;
                if let Some(segments) = result.segments {
                    let (kept, new, dropped) = (segments.kept, segments.new, segments.dropped);
                    write!(f, ", segments: {kept} kept, {new} new, {dropped} dropped")?;
                }
                result.rows.map_or(Ok(()), |rows| write!(f, ", {rows} rows"))
            }
            Event::AttemptFailed { task, attempt, reason, message, retry_at, .. } => {
                let reason = name_of_failure(*reason);
                write!(f, "task {task} attempt {attempt} {reason}: {message}")?;
                if retry_at > at { write!(f, "; next in {}", span(*at, *retry_at)) } else { Ok(()) }
            }
            Event::AttemptEnded { task, attempt, reason, .. } => {
                write!(f, "task {task} attempt {attempt} ended: {}", name_of_end(*reason))
            }
            Event::TaskParked { task, cause, .. } => write!(f, "task {task} parked: {}", name_of_parking(*cause)),
            Event::CompletionRejected { task, attempt, reason, fingerprint, wanted, .. } => {
                let reason = name_of_rejection(*reason);
                write!(f, "task {task} attempt {attempt}: result of {} rejected, {reason}", short(*fingerprint))?;
                wanted.map_or(Ok(()), |wanted| write!(f, "; wanted is {}", short(wanted)))
            }
        }
    }
}

fn write_sight(f: &mut fmt::Formatter<'_>, observed: &Observed, delta: Option<Delta>) -> fmt::Result {
    if let Some(set) = observed.set {
        write!(f, ": {} files, {} bytes", set.files, set.bytes)?;
    }
    if let Some(Delta { added, removed, changed }) = delta {
        write!(f, " (+{added} -{removed} ~{changed})")?;
    }
    Ok(())
}

/// As much of a fingerprint as people compare.
fn short(fingerprint: Fingerprint) -> String {
    fingerprint.to_string().chars().take(12).collect()
}

fn span(from: Timestamp, to: Timestamp) -> String {
    format!("{:.1} s", to.since(from).as_secs_f64())
}

/// Lets no control character through: names of files come from outside and must not drive a terminal.
struct Printable<'f, 'a>(&'f mut fmt::Formatter<'a>);

impl fmt::Write for Printable<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

/// `empty`.
#[must_use]
pub fn name_of_hold(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Empty => "empty",
    }
}

fn name_of_abort(reason: AbortReason) -> &'static str {
    match reason {
        AbortReason::Superseded => "superseded",
        AbortReason::Dropped => "dropped",
        AbortReason::Cancelled => "cancelled",
    }
}

/// `failed`, `timed_out`, `worker_lost`, `panicked` or `source_moved`.
#[must_use]
pub fn name_of_failure(reason: FailReason) -> &'static str {
    match reason {
        FailReason::Failed => "failed",
        FailReason::TimedOut => "timed_out",
        FailReason::WorkerLost => "worker_lost",
        FailReason::Panicked => "panicked",
        FailReason::SourceMoved => "source_moved",
    }
}

fn name_of_end(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Acknowledged => "acknowledged",
        EndReason::Abandoned => "abandoned",
        EndReason::Lost => "lost",
    }
}

/// `permanent`, `out_of_attempts` or `lost_too_often`.
#[must_use]
pub fn name_of_parking(cause: ParkCause) -> &'static str {
    match cause {
        ParkCause::Permanent => "permanent",
        ParkCause::OutOfAttempts => "out_of_attempts",
        ParkCause::LostTooOften => "lost_too_often",
    }
}

fn name_of_rejection(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::Stale => "stale",
        RejectReason::NotLive => "not_live",
        RejectReason::Duplicate => "duplicate",
        RejectReason::UnknownCollection => "unknown_collection",
    }
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
