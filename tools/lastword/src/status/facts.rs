//! One collection of the table: what its row says, as the log or the run has written it.

use std::path::Path;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Seq, Timestamp};
use serde_json::{Map, Value, json};

use super::command;
use super::writer::{Writer, ago, short};
use crate::console::grouped;
use crate::control::Gone;

/// What the table needs of a row of `describe::view_json`.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) id: CollectionId,
    pub(super) condition: String,
    because: String,
    generation: u64,
    rows: Option<u64>,
    segments: Option<u64>,
    /// Unknown while the source cannot be observed.
    pub(super) lag: Option<Duration>,
    pub(super) paused: bool,
    pub(super) has_task: bool,
    versioned: bool,
    held: Option<String>,
    unobservable: Option<(String, String)>,
    is_overdue: bool,
    delivery: Option<String>,
    /// How the last attempt failed.
    failure: Option<String>,
    applied_at: Option<String>,
    /// Since when it is in its condition, or behind.
    pub(super) since: Option<String>,
}

impl Facts {
    /// `None` if it is no such row.
    pub(super) fn parse(text: &str) -> Option<Facts> {
        let row: Map<String, Value> = serde_json::from_str(text).ok()?;
        let text = |key: &str| Some(row.get(key)?.as_str()?.to_owned());
        let number = |key: &str| row.get(key)?.as_u64();
        let inner = |key: &str, inner: &str| Some(row.get(key)?.get(inner)?.as_str()?.to_owned());
        let condition = text("condition")?;
        let lag = row.get("lag_seconds").and_then(Value::as_f64).and_then(|lag| Duration::try_from_secs_f64(lag).ok());
        let behind = || before(&text("time")?, lag?);
        let since = match condition.as_str() {
            "fresh" => text("applied_at"),
            "unobservable" => inner("unobservable", "since"),
            "not_observed" => inner("not_observed", "since"),
            "parked" | "backing_off" => inner("last_failure", "time"),
            _ => None,
        };
        let delivery = || Some((inner("delivery_failure", "delivery")?, inner("delivery_failure", "cause")?));
        Some(Facts {
            name: text("name")?,
            id: CollectionId(Seq(number("incarnation")?)),
            because: text("because")?,
            generation: number("generation")?,
            rows: number("rows"),
            segments: number("segments_kept").zip(number("segments_new")).map(|(kept, new)| kept + new),
            paused: row.get("paused")?.as_bool()?,
            has_task: number("task").is_some(),
            versioned: row.get("versioned")?.as_bool()?,
            held: text("held"),
            unobservable: inner("unobservable", "since").zip(inner("unobservable", "cause")),
            is_overdue: row.get("not_observed").is_some_and(Value::is_object),
            failure: inner("last_failure", "message"),
            applied_at: text("applied_at"),
            delivery: delivery().map(|(delivery, cause)| format!("its last {delivery} failed: {cause}")),
            since: since.or_else(behind),
            lag,
            condition,
        })
    }

    /// Why it is not fresh, or may not be; empty if it is. `gone`: from the file.
    pub(super) fn cause(&self, gone: Option<&Gone>) -> String {
        let mut causes = Vec::new();
        let by_file = gone.is_some_and(|gone| gone.resumes);
        let is = |condition: &str| self.condition == condition;
        if let Some(Gone { file, .. }) = gone {
            let until = if by_file && self.paused { ", and paused until it comes back" } else { "" };
            causes.push(format!("unmanaged: gone from {file}{until}"));
        }
        if !is("fresh") && !(by_file && is("paused")) {
            causes.push(self.because.clone());
        }
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
        causes.extend(self.delivery.clone());
        causes.join("; ")
    }
}

/// One collection: what the log or the run says of it, and what is known besides.
pub(super) struct Row {
    /// As it was written.
    pub(super) text: String,
    pub(super) facts: Facts,
    pub(super) gone: Option<Gone>,
    /// What only the running process knows.
    pub(super) live: Option<Value>,
    /// A run answers.
    pub(super) is_run: bool,
}

impl Row {
    /// The row of the library, then `unmanaged`: the file that the collection is gone from, or null; `live`: what only the
    /// running process knows, or null; `observed`: whether somebody observes its source, so that `fresh` can be believed;
    /// and `run`: who has the log open.
    pub(super) fn json(&self, writer: &Writer) -> String {
        let members = self.text.strip_suffix('}').unwrap_or(&self.text);
        let unmanaged = json!(self.gone.as_ref().map(|gone| &gone.file));
        let mut live = self.live.clone();
        if let Some(Value::Object(live)) = &mut live {
            live.remove("name");
        }
        let (observed, run) = (self.is_observed(), writer.json());
        format!("{members},\"unmanaged\":{unmanaged},\"live\":{},\"observed\":{observed},\"run\":{run}}}", json!(live))
    }

    pub(super) fn cells(&self, place: &Path) -> Vec<String> {
        let facts = &self.facts;
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
        let lag = facts.lag.filter(|_| !self.is_doubtful());
        vec![
            facts.name.clone(),
            self.condition(),
            facts.generation.to_string(),
            number(facts.rows),
            number(facts.segments),
            lag.map_or_else(|| "unknown".to_owned(), |lag| if lag.is_zero() { "0s".to_owned() } else { short(lag) }),
            self.looked().unwrap_or_else(|| "-".to_owned()),
            facts.since.as_deref().map_or_else(|| "-".to_owned(), seconds),
            self.cause(place),
        ]
    }

    /// What is shown: with a question mark where nobody observes that it is still so.
    pub(super) fn condition(&self) -> String {
        format!("{}{}", self.facts.condition, if self.is_doubtful() { "?" } else { "" })
    }

    /// It was fresh when the log heard of it last.
    pub(super) fn is_doubtful(&self) -> bool {
        self.facts.condition == "fresh" && !self.is_observed()
    }

    /// Whether somebody observes its source, or its content does not count.
    fn is_observed(&self) -> bool {
        let looked = self.live.as_ref().and_then(|live| live.get("last_look")).is_some_and(Value::is_object);
        self.is_run && (looked || !self.facts.versioned) && !self.facts.is_overdue
    }

    /// How much it needs somebody, from 0.
    pub(super) fn rank(&self) -> u8 {
        let is_exhausted = self.live.as_ref().is_some_and(|live| live.get("workers_exhausted") == Some(&json!(true)));
        match self.facts.condition.as_str() {
            "parked" | "held" | "no_worker" | "awaiting_caller" | "unobservable" | "not_observed" => 0,
            "backing_off" | "moving" => 1,
            _ if self.facts.unobservable.is_some() || self.facts.is_overdue => 0,
            _ if self.facts.delivery.is_some() || is_exhausted => 1,
            "paused" => 2,
            "fresh" if self.is_doubtful() => 3,
            "fresh" => 5,
            _ => 4,
        }
    }

    /// It does not come into step by itself, fails, or is not known.
    pub(super) fn needs_somebody(&self) -> bool {
        self.rank() < 4 || !self.is_run
    }

    /// When the last observation of the source began.
    pub(super) fn looked_ago(&self) -> Option<Duration> {
        let ago = self.live.as_ref()?.pointer("/last_look/seconds_ago")?.as_f64()?;
        Duration::try_from_secs_f64(ago).ok()
    }

    /// The same with how many files could have changed again without being seen.
    fn looked(&self) -> Option<String> {
        let unproven = self.live.as_ref()?.pointer("/last_look/racy").and_then(Value::as_u64).unwrap_or(0);
        let unproven = if unproven > 0 { format!(", {} too young", grouped(unproven)) } else { String::new() };
        let weak = self.live.as_ref()?.pointer("/last_look/weak").and_then(Value::as_u64).unwrap_or(0);
        let weak = if weak > 0 { format!(", {} weak", grouped(weak)) } else { String::new() };
        let skipped = self.live.as_ref()?.pointer("/last_look/skipped").and_then(skipped).unwrap_or_default();
        Some(format!("{}{unproven}{weak}{skipped}", ago(self.looked_ago()?)))
    }

    fn cause(&self, place: &Path) -> String {
        let name = &self.facts.name;
        let count = |key: &str| self.live.as_ref().and_then(|live| live.pointer(&format!("/progress/{key}"))?.as_u64());
        let progress = count("done").zip(count("total"));
        let progress = progress.map(|(done, total)| format!("; {} of {} done", grouped(done), grouped(total)));
        let held = self.facts.held.as_ref();
        let confirm = held.map(|held| format!("; confirm it with: {} {held}", command("confirm", place, name)));
        let verb = match self.facts.condition.as_str() {
            "parked" => Some(("to try it again", "refresh")),
            "paused" if self.gone.as_ref().is_none_or(|gone| !gone.resumes) => Some(("to go on", "resume")),
            _ => None,
        };
        let verb = verb.map(|(what, verb)| format!("; {what}: {}", command(verb, place, name)));
        let doubt = match self.is_doubtful() {
            true if self.is_run => "nobody has looked at its source since the run began",
            true => "nobody looks at its source: it was fresh when the log heard of it last",
            false => "",
        };
        let cause = self.facts.cause(self.gone.as_ref());
        let cause = if cause.is_empty() { doubt.to_owned() } else { cause };
        cause + &progress.unwrap_or_default() + &confirm.or(verb).unwrap_or_default()
    }
}

/// What an observation left out, by the reason; nothing if it left out nothing.
fn skipped(reasons: &Value) -> Option<String> {
    let reasons = reasons.as_object().filter(|reasons| !reasons.is_empty())?;
    let count = |(reason, count): (&String, &Value)| {
        format!("{} {}", grouped(count.as_u64().unwrap_or(0)), reason.replace('_', " "))
    };
    Some(format!(", left out: {}", reasons.iter().map(count).collect::<Vec<_>>().join(", ")))
}

/// A time without its fraction of a second.
pub(super) fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

/// A time in RFC 3339, so long before another.
fn before(time: &str, span: Duration) -> Option<String> {
    let at = humantime::parse_rfc3339(time).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let micros = u64::try_from(at.checked_sub(span)?.as_micros()).ok()?;
    Some(Timestamp(micros).to_string())
}
