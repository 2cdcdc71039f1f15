//! What the row of a collection says, as the log or a run has written it: its condition, and why it is in it.

use std::time::Duration;

use lastword::core::CollectionView;
use lastword::core::vocabulary::{CollectionId, Seq, Timestamp};
use lastword::describe;
use lastword::engine::LastObservation;
use serde_json::{Map, Value};

use crate::control::Gone;
use crate::words::seconds;

/// What the table needs of a row of `describe::view_json`.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) id: CollectionId,
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) spec: Value,
    /// How it is treated; nothing if an older run does not say it.
    pub(crate) policy: Option<Map<String, Value>>,
    /// The root of the applied manifest, in hexadecimal.
    pub(crate) manifest: Option<String>,
    /// The live task: the event that created it.
    pub(crate) task: Option<u64>,
    pub(crate) condition: String,
    pub(crate) because: String,
    pub(crate) generation: u64,
    pub(crate) rows: Option<u64>,
    pub(crate) segments: Option<u64>,
    /// Unknown while the source cannot be observed.
    pub(crate) lag: Option<Duration>,
    pub(crate) paused: bool,
    pub(crate) versioned: bool,
    pub(crate) held: Option<String>,
    pub(crate) unobservable: Option<(String, String)>,
    pub(crate) is_overdue: bool,
    pub(crate) delivery: Option<String>,
    /// How the last attempt failed.
    pub(crate) failure: Option<String>,
    pub(crate) applied_at: Option<String>,
    /// Since when it is in its condition, or behind.
    pub(crate) since: Option<String>,
    /// The moment that is shown.
    pub(crate) time: Option<String>,
}

impl Facts {
    /// `None` if it is no such row.
    pub(crate) fn parse(text: &str) -> Option<Facts> {
        let row: Map<String, Value> = serde_json::from_str(text).ok()?;
        let text = |key: &str| Some(row.get(key)?.as_str()?.to_owned());
        let number = |key: &str| row.get(key)?.as_u64();
        let inner = |key: &str, inner: &str| Some(row.get(key)?.get(inner)?.as_str()?.to_owned());
        let condition = text("condition")?;
        let lag = row.get("lag_seconds").and_then(Value::as_f64).and_then(|lag| Duration::try_from_secs_f64(lag).ok());
        // What is not behind is not so since the question.
        let behind = || before(&text("time")?, lag.filter(|lag| !lag.is_zero())?);
        let since = match condition.as_str() {
            "fresh" => text("applied_at"),
            "unobservable" => inner("unobservable", "since"),
            "not_observed" => inner("not_observed", "since"),
            "parked" | "backing_off" | "failing" => inner("last_failure", "time"),
            _ => None,
        };
        let delivery = || Some((inner("delivery_failure", "delivery")?, inner("delivery_failure", "cause")?));
        Some(Facts {
            name: text("name")?,
            id: CollectionId(Seq(number("incarnation")?)),
            kind: text("kind")?,
            source: text("source")?,
            spec: row.get("spec")?.clone(),
            policy: row.get("policy").and_then(Value::as_object).cloned(),
            manifest: text("manifest"),
            task: number("task"),
            because: text("because")?,
            generation: number("generation")?,
            rows: number("rows"),
            segments: number("segments_kept").zip(number("segments_new")).map(|(kept, new)| kept + new),
            paused: row.get("paused")?.as_bool()?,
            versioned: row.get("versioned")?.as_bool()?,
            held: text("held"),
            unobservable: inner("unobservable", "since").zip(inner("unobservable", "cause")),
            is_overdue: row.get("not_observed").is_some_and(Value::is_object),
            failure: inner("last_failure", "message"),
            applied_at: text("applied_at"),
            delivery: delivery().map(|(delivery, cause)| format!("its last {delivery} failed: {cause}")),
            since: since.or_else(behind),
            time: text("time"),
            lag,
            condition,
        })
    }

    /// How long before the moment that is shown a time was.
    pub(crate) fn ago(&self, time: Option<&str>) -> Option<Duration> {
        let parse = |time: &str| humantime::parse_rfc3339(time).ok();
        Some(parse(self.time.as_deref()?)?.duration_since(parse(time?)?).unwrap_or_default())
    }

    /// Says of what only a run does that there is none.
    pub(crate) fn without_run(&mut self) {
        let heard = match self.condition.as_str() {
            "waiting_for_worker" | "limit" | "isolated" => String::new(),
            "awaiting_observation" => "; nobody has looked at its source yet".to_owned(),
            "running" => "; an attempt was running when the log heard of it last".to_owned(),
            "settling" | "draining" | "backing_off" | "failing" | "moving" | "undelivered" => {
                format!("; before: {}", self.because)
            }
            _ => return,
        };
        self.because = format!("no lastword runs, so nobody builds it{heard}");
    }

    /// Why it is not fresh, or may not be; empty if it is. `gone`: from the file; `skipped`: what the last observation of its
    /// source left out.
    pub(crate) fn cause(&self, gone: Option<&Gone>, skipped: Option<&str>) -> String {
        let mut causes = Vec::new();
        let by_file = gone.is_some_and(|gone| gone.resumes);
        let is = |condition: &str| self.condition == condition;
        if let Some(Gone { file, .. }) = gone {
            let until = if by_file && self.paused { ", and paused until it comes back" } else { "" };
            causes.push(format!("unmanaged: gone from {file}{until}"));
        }
        if !(is("fresh") || by_file && is("paused")) {
            causes.push(self.because.clone());
        }
        // What is missing may be there, under a name that says that it is no data.
        causes.extend(skipped.filter(|_| self.held.is_some()).map(|skipped| format!("left out: {skipped}")));
        if is("moving") {
            let moved = self.failure.clone().map(|failure| format!("the last time: {failure}"));
            causes.extend(moved);
            let committed = self.applied_at.as_ref().map(|at| format!("last commit {}", seconds(at)));
            causes.push(committed.unwrap_or_else(|| "nothing was committed yet".to_owned()));
        }
        if let Some((since, cause)) = self.unobservable.as_ref().filter(|_| !is("unobservable")) {
            causes.push(format!("its source cannot be observed since {since}: {cause}"));
        }
        if self.paused && !by_file && !is("paused") {
            causes.push("paused by a person: no further attempt starts".to_owned());
        }
        // It is said already.
        causes.extend(self.delivery.clone().filter(|_| !is("undelivered")));
        causes.join("; ")
    }
}

/// Why a collection is not fresh, or may not be; empty for one that is. `gone`: from the file; `last`: the last observation
/// of its source, if the process knows one.
pub(crate) fn cause(view: &CollectionView, gone: Option<&Gone>, last: Option<LastObservation>) -> String {
    let skipped = last.filter(|last| last.skipped.total() > 0).map(|last| last.skipped.to_string());
    facts(view).map(|facts| facts.cause(gone, skipped.as_deref())).unwrap_or_default()
}

/// The same of a log that no run has open.
pub(crate) fn cause_without_run(view: &CollectionView, gone: Option<&Gone>) -> String {
    let mut facts = facts(view);
    facts.iter_mut().for_each(Facts::without_run);
    facts.map(|facts| facts.cause(gone, None)).unwrap_or_default()
}

fn facts(view: &CollectionView) -> Option<Facts> {
    // The time has no part in a cause.
    Facts::parse(&describe::view_json(view, Timestamp(0)))
}

/// A time in RFC 3339, so long before another.
fn before(time: &str, span: Duration) -> Option<String> {
    let at = humantime::parse_rfc3339(time).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let micros = u64::try_from(at.checked_sub(span)?.as_micros()).ok()?;
    Some(Timestamp(micros).to_string())
}
