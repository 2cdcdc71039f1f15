//! `lastword status`: what is wanted, what is applied, and what stands between the two.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Fingerprint, Name, Timestamp};
use lastword::core::{CollectionView, Condition, Lag, NotObserved, Surroundings};
use lastword::describe;
use serde_json::{Value, json};

use crate::console::{Table, grouped, line, note, quoted};
use crate::control::{Connection, Gone, Request, Unmanaged};
use crate::fail::Fail;
use crate::inspect::Inspected;

/// What the log says does not wait for a run that is slow to answer.
const LIVE_WITHIN: Duration = Duration::from_secs(2);

pub(crate) fn status(state: &Path, name: Option<&str>, json: bool) -> Result<ExitCode, Fail> {
    let inspected = Inspected::open(state)?;
    let ids: Vec<CollectionId> = match name {
        Some(name) => vec![inspected.find(name)?.0],
        None => inspected.state.by_name().map(|(id, _)| id).collect(),
    };
    let unmanaged = Unmanaged::read(state);
    let live = live(state, name);
    // What only the run knows of a collection is part of its condition.
    let within = |view: CollectionView| match live.get(view.name.as_str()).and_then(surroundings) {
        Some(surroundings) => view.within(surroundings),
        None => view,
    };
    let views: Vec<CollectionView> =
        ids.into_iter().filter_map(|id| CollectionView::of(&inspected.state, id, inspected.now)).map(within).collect();
    let rows = views.iter().map(|view| Row {
        view,
        gone: unmanaged.get(&view.name, view.id),
        live: live.get(view.name.as_str()),
    });
    let lines = if json {
        rows.map(|row| describe::plain_json(row.json(inspected.now))).collect()
    } else {
        let headings = ["NAME", "CONDITION", ">GENERATION", ">ROWS", ">SEGMENTS", ">LAG", ">LOOKED", "CAUSE"];
        let mut table = Table::new(&headings);
        rows.for_each(|row| table.row(row.cells(state)));
        table.lines()
    };
    for text in lines {
        if !line(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !json && !inspected.copy.writer_active() && views.iter().any(|view| view.task.is_some()) {
        note("no lastword has this log open: what is unfinished goes on when one does");
    }
    Ok(ExitCode::SUCCESS)
}

/// What only the running process knows, by name; nothing if none runs or none answers.
fn live(state: &Path, name: Option<&str>) -> BTreeMap<String, Value> {
    let ask = || {
        let name = name.and_then(|name| Name::new(name).ok());
        Connection::open(state).ok()??.within(LIVE_WITHIN).ask(&Request::Look { name }).ok()
    };
    let answer = ask();
    let live = answer.as_ref().map_or(&[][..], |answer| answer.list("looks"));
    live.iter().filter_map(|one| Some((one.get("name")?.as_str()?.to_owned(), one.clone()))).collect()
}

/// What the run that answers knows of a collection, and its condition depends on.
fn surroundings(live: &Value) -> Option<Surroundings> {
    let known = live.get("surroundings")?;
    let not_observed = |found: &Value| {
        let (since, cause) = (found.get("since_us")?.as_u64()?, found.get("cause")?.as_str()?);
        Some(NotObserved { since: Timestamp(since), cause: cause.into() })
    };
    Some(Surroundings {
        has_worker: known.get("has_worker")?.as_bool()?,
        has_observer: known.get("has_observer")?.as_bool()?,
        not_observed: known.get("not_observed").and_then(not_observed),
    })
}

/// One collection: what the log says, and what is known besides.
struct Row<'v> {
    view: &'v CollectionView,
    gone: Option<&'v Gone>,
    live: Option<&'v Value>,
}

impl Row<'_> {
    /// The row of the library, then `unmanaged`: the file that the collection is gone from, or null; and `live`: what
    /// only the running process knows, or null.
    fn json(&self, now: Timestamp) -> String {
        let row = describe::view_json(self.view, now);
        let members = row.strip_suffix('}').unwrap_or(&row);
        let unmanaged = json!(self.gone.map(|gone| &gone.file));
        let mut live = self.live.cloned();
        if let Some(Value::Object(live)) = &mut live {
            live.remove("name");
        }
        format!("{members},\"unmanaged\":{unmanaged},\"live\":{}}}", json!(live))
    }

    fn cells(&self, state: &Path) -> Vec<String> {
        let view = self.view;
        let result = view.applied.as_ref().map(|applied| &applied.result);
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
        vec![
            view.name.to_string(),
            view.condition.name().to_owned(),
            view.generation.to_string(),
            number(result.and_then(|result| result.rows)),
            number(result.and_then(|result| result.segments).map(|segments| segments.kept + segments.new)),
            lag(view.lag),
            self.observed().unwrap_or_else(|| "-".to_owned()),
            self.cause(state),
        ]
    }

    /// When the last observation of the source began, and how many files could have changed again without being seen.
    fn observed(&self) -> Option<String> {
        let last = self.live?.get("last_look")?;
        let ago = Duration::try_from_secs_f64(last.get("seconds_ago")?.as_f64()?).ok()?;
        let racy = last.get("racy").and_then(Value::as_u64).unwrap_or(0);
        let racy = if racy > 0 { format!(", {} racy", grouped(racy)) } else { String::new() };
        Some(format!("{} ago{racy}{}", short(ago), skipped(last)))
    }

    fn cause(&self, state: &Path) -> String {
        let confirm = self.view.held().map(|(_, fingerprint)| how_to_confirm(state, &self.view.name, fingerprint));
        let count = |key: &str| self.live.and_then(|live| live.pointer(&format!("/progress/{key}"))?.as_u64());
        let progress = count("done").zip(count("total"));
        let progress = progress.map(|(done, total)| format!("; {} of {} done", grouped(done), grouped(total)));
        cause(self.view, self.gone) + &progress.unwrap_or_default() + &confirm.unwrap_or_default()
    }
}

/// What an observation left out, by the reason; nothing if it left out nothing.
fn skipped(last: &Value) -> String {
    let Some(reasons) = last.get("skipped").and_then(Value::as_object).filter(|reasons| !reasons.is_empty()) else {
        return String::new();
    };
    let count = |(reason, count): (&String, &Value)| {
        format!("{} {}", grouped(count.as_u64().unwrap_or(0)), reason.replace('_', " "))
    };
    format!(", left out: {}", reasons.iter().map(count).collect::<Vec<_>>().join(", "))
}

fn lag(lag: Lag) -> String {
    match lag {
        Lag::Zero => "0s".to_owned(),
        Lag::Unknown => "unknown".to_owned(),
        Lag::Since(lag) => short(lag),
    }
}

/// A person reads no more than tenths below a minute, or more than seconds above.
fn short(span: Duration) -> String {
    match span.as_secs() {
        0..60 => format!("{:.1}s", span.as_secs_f64()),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

/// What follows the sentence of a collection that is held. `place`: the directory of the log, or the configuration.
pub(crate) fn how_to_confirm(place: &Path, name: &Name, fingerprint: Fingerprint) -> String {
    let (place, name) = (quoted(place), quoted(Path::new(name.as_str())));
    format!("; confirm it with: lastword confirm {place} {name} {fingerprint}")
}

/// Why a collection is not fresh, or may not be; empty for one that is. `gone`: from the file.
pub(crate) fn cause(view: &CollectionView, gone: Option<&Gone>) -> String {
    let mut causes = Vec::new();
    let by_file = gone.is_some_and(|gone| gone.resumes);
    if let Some(Gone { file, .. }) = gone {
        let until = if by_file && view.paused { ", and paused until it comes back" } else { "" };
        causes.push(format!("unmanaged: gone from {file}{until}"));
    }
    if view.condition != Condition::Fresh && !(by_file && view.condition == Condition::Paused) {
        causes.push(view.condition.to_string());
    }
    if let Some(unobservable) = &view.unobservable
        && !matches!(view.condition, Condition::Unobservable { .. })
    {
        causes.push(format!("its source cannot be observed since {}: {}", unobservable.since, unobservable.cause));
    }
    if view.paused && !by_file && view.condition != Condition::Paused {
        causes.push("paused by a person: no further attempt starts".to_owned());
    }
    causes.join("; ")
}
