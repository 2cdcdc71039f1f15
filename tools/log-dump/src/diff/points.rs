//! Two points of one log: which collections came and went, what changed of the others, and how much was done.
//!
//! The log is read once; the states at the two points are compared, so memory is bounded by them.

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;
use lastword::core::State;
use lastword::core::vocabulary::{AbortReason, Event, Name, Recorded, Seq, Timestamp};
use lastword::describe::{Describer, counted};
use lastword::replay::{ReplayError, Until, begin_before, events};
use serde::Serialize;
use serde_json::Value;

use super::content::{Comparing, Content};
use super::side::{At, Change, Side, changes, side};
use crate::changed_files::Named;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, printable};
use crate::point::{is_behind, now_at, time_of};

/// As much of a value as fits beside another one into a line; scripts get all of it.
const MOST_VALUE: usize = 100;

pub(super) fn run(
    input: &Input,
    from: Until,
    to: Until,
    collection: Option<&Pattern>,
    (json, files): (bool, bool),
    mut output: Output,
) -> Result<(), Failure> {
    let mut reading = Reading::new(begin_before(input.reader(), from)?, collection);
    let Some(first) = reading.read(input, from, to)? else {
        return Err(Failure::new(Exit::USAGE, "--from lies behind --to: name the earlier point with --from"));
    };
    let last = reading.point(to);
    let comparing = Comparing::new(Named::of(input), files, json);
    let names: BTreeSet<&Name> = first.side.keys().chain(last.side.keys()).collect();
    let found = names.into_iter().map(|name| {
        let counts = reading.counts.get(name).copied().unwrap_or_default();
        Difference::of(name, (first.side.get(name), last.side.get(name)), counts, &comparing)
    });
    let found: Vec<Difference<'_>> = found.collect();
    let summary = Summary::of(&first, &last, &found, &reading, input);
    if json {
        found.iter().filter(|found| !found.is_none()).try_for_each(|found| output.object(found))?;
        output.object(&summary)?;
        return output.finish();
    }
    output.line(&format!("from event {}, {}", first.seq, time_of(first.seq, first.time)))?;
    output.line(&format!("to event {}, {}", last.seq, time_of(last.seq, last.time)))?;
    found.iter().filter(|found| !found.is_none()).try_for_each(|found| found.write(&mut output))?;
    summary.write(&mut output)?;
    output.finish()
}

/// The collections at a point.
struct Point {
    seq: Seq,
    time: Timestamp,
    side: Side,
}

/// The one reading: the state as it goes, and what was done since the first point.
struct Reading<'g> {
    glob: Option<&'g Pattern>,
    state: State,
    describer: Describer,
    /// Of collections that are there at one of the two points.
    counts: BTreeMap<Name, Counts>,
    /// Of all.
    total: Counts,
    declarations: u64,
    events: u64,
}

impl<'g> Reading<'g> {
    fn new(begin: State, glob: Option<&'g Pattern>) -> Reading<'g> {
        Reading {
            glob,
            describer: Describer::behind(&begin),
            state: begin,
            counts: BTreeMap::new(),
            total: Counts::default(),
            declarations: 0,
            events: 0,
        }
    }

    /// Reads up to `to`, and gives the collections as they are at `from`; nothing if that comes later.
    fn read(&mut self, input: &Input, from: Until, to: Until) -> Result<Option<Point>, ReplayError> {
        let mut first = None;
        for event in events(input.reader(), self.state.last().next()) {
            let event = event?;
            if first.is_none() && is_behind(&event, from) {
                first = Some(self.point(from));
            }
            if is_behind(&event, to) {
                return Ok(first);
            }
            let name = self.describer.describe(&event).name().cloned().filter(|name| self.holds(name));
            self.state.fold(&event).map_err(ReplayError::Illegal)?;
            if let Some(first) = &first {
                self.count(&event, name, first);
            }
        }
        Ok(first.or_else(|| Some(self.point(from))))
    }

    fn point(&self, until: Until) -> Point {
        let time = now_at(&self.state, until);
        Point { seq: self.state.last(), time, side: side(&self.state, time, |name| self.holds(name)) }
    }

    fn holds(&self, name: &Name) -> bool {
        self.glob.is_none_or(|glob| glob.matches(name.as_str()))
    }

    fn count(&mut self, event: &Recorded, name: Option<Name>, first: &Point) {
        self.events += u64::from(self.glob.is_none() || name.is_some());
        let Some(name) = name else { return };
        self.declarations += u64::from(matches!(event.event, Event::CollectionDeclared { .. }));
        let counts = Counts::of(&event.event);
        self.total.add(counts);
        if self.state.id_of(&name).is_some() || first.side.contains_key(&name) {
            self.counts.entry(name).or_default().add(counts);
        } else {
            // It came and went: a part of the total alone.
            self.counts.remove(&name);
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    tasks_created: u64,
    tasks_completed: u64,
    tasks_superseded: u64,
    tasks_cancelled: u64,
    tasks_dropped: u64,
    tasks_parked: u64,
    attempts_failed: u64,
    completions_rejected: u64,
    published: u64,
    publish_failed: u64,
}

impl Counts {
    fn of(event: &Event) -> Counts {
        let mut counts = Counts::default();
        match event {
            Event::TaskCreated { .. } => counts.tasks_created = 1,
            Event::TaskCompleted { .. } => counts.tasks_completed = 1,
            Event::TaskAborted { reason: AbortReason::Superseded, .. } => counts.tasks_superseded = 1,
            Event::TaskAborted { reason: AbortReason::Cancelled, .. } => counts.tasks_cancelled = 1,
            Event::TaskAborted { reason: AbortReason::Dropped, .. } => counts.tasks_dropped = 1,
            Event::TaskParked { .. } => counts.tasks_parked = 1,
            Event::AttemptFailed { .. } => counts.attempts_failed = 1,
            Event::CompletionRejected { .. } => counts.completions_rejected = 1,
            Event::Published { .. } => counts.published = 1,
            Event::PublishFailed { .. } => counts.publish_failed = 1,
            _ => {}
        }
        counts
    }

    fn add(&mut self, other: Counts) {
        self.tasks_created += other.tasks_created;
        self.tasks_completed += other.tasks_completed;
        self.tasks_superseded += other.tasks_superseded;
        self.tasks_cancelled += other.tasks_cancelled;
        self.tasks_dropped += other.tasks_dropped;
        self.tasks_parked += other.tasks_parked;
        self.attempts_failed += other.attempts_failed;
        self.completions_rejected += other.completions_rejected;
        self.published += other.published;
        self.publish_failed += other.publish_failed;
    }

    /// Those that are not zero; `None` if all are.
    fn text(&self) -> Option<String> {
        let counts = [
            (self.tasks_created, format!("{} created", self.tasks_created)),
            (self.tasks_completed, format!("{} completed", self.tasks_completed)),
            (self.tasks_superseded, format!("{} superseded", self.tasks_superseded)),
            (self.tasks_cancelled, format!("{} cancelled", self.tasks_cancelled)),
            (self.tasks_dropped, format!("{} dropped", self.tasks_dropped)),
            (self.tasks_parked, format!("{} parked", self.tasks_parked)),
            (self.attempts_failed, format!("{} failed", counted(self.attempts_failed, "attempt"))),
            (self.completions_rejected, format!("{} rejected", counted(self.completions_rejected, "completion"))),
            (self.published, format!("{} published", self.published)),
            (self.publish_failed, format!("{} failed", counted(self.publish_failed, "publication"))),
        ];
        let given = counts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text);
        Some(given.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
    }
}

/// How one name differs; a line of JSON.
#[derive(Serialize)]
struct Difference<'n> {
    kind: &'static str,
    collection: &'n str,
    /// `declared`, `dropped`, `declared_again`, `changed`, or `none`.
    change: &'static str,
    changes: BTreeMap<String, Change>,
    #[serde(flatten)]
    content: Content,
    counts: Counts,
    #[serde(skip)]
    because: Option<&'n str>,
}

impl<'n> Difference<'n> {
    fn of(
        name: &'n Name,
        (from, to): (Option<&At>, Option<&'n At>),
        counts: Counts,
        comparing: &Comparing,
    ) -> Difference<'n> {
        let (changes, content) = (changes(from, to), comparing.of(from, to));
        let change = match (from, to) {
            (None, _) => "declared",
            (Some(_), None) => "dropped",
            (Some(from), Some(to)) if from.id != to.id => "declared_again",
            (Some(_), Some(_)) if changes.is_empty() && counts == Counts::default() && content.is_none() => "none",
            (Some(_), Some(_)) => "changed",
        };
        let because = to.map(|to| to.condition.as_str());
        Difference { kind: "collection", collection: name.as_str(), change, changes, content, counts, because }
    }

    fn is_none(&self) -> bool {
        self.change == "none"
    }

    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let (sign, said) = match self.change {
            "declared" => ("+", ": declared"),
            "dropped" => ("-", ": dropped"),
            "declared_again" => ("~", ": dropped and declared again"),
            _ => ("~", ""),
        };
        output.line(&printable(&format!("{sign} {}{said}", self.collection)))?;
        let one_sided = matches!(self.change, "declared" | "dropped");
        for (field, Change { from, to }) in &self.changes {
            // All of a new policy is more than a person wants to read.
            if one_sided && field.starts_with("policy.") {
                continue;
            }
            let text = match (self.change, field.as_str(), self.because) {
                ("declared", "condition", Some(because)) => format!("{}: {because}", value(to)),
                ("declared", _, _) => value(to),
                ("dropped", _, _) => value(from),
                (_, "condition", Some(because)) => format!("{} -> {}: {because}", value(from), value(to)),
                _ => format!("{} -> {}", value(from), value(to)),
            };
            output.line(&printable(&format!("    {field:<16} {text}")))?;
        }
        self.content.write(output)?;
        self.counts.text().map_or(Ok(()), |text| output.line(&format!("    {:<16} {text}", "tasks")))
    }
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(MOST_VALUE) {
        Some((cut, _)) => format!("{}... ({} bytes)", &text[..cut], text.len()),
        None => text,
    }
}

/// The last line in JSON.
#[derive(Serialize)]
struct Summary {
    kind: &'static str,
    from_seq: u64,
    from_time: String,
    to_seq: u64,
    to_time: String,
    declared: usize,
    dropped: usize,
    declared_again: usize,
    changed: usize,
    unchanged: usize,
    /// Incarnations that were declared and dropped in between.
    passing: u64,
    counts: Counts,
    /// Behind the first point, up to and with the second; of the collections that were asked for.
    events: u64,
    head: String,
}

impl Summary {
    fn of(first: &Point, last: &Point, found: &[Difference<'_>], reading: &Reading<'_>, input: &Input) -> Summary {
        let count = |change: &str| found.iter().filter(|found| found.change == change).count();
        let (declared, declared_again) = (count("declared"), count("declared_again"));
        let there = (declared + declared_again) as u64;
        Summary {
            kind: "diff",
            from_seq: first.seq.0,
            from_time: first.time.to_string(),
            to_seq: last.seq.0,
            to_time: last.time.to_string(),
            declared,
            dropped: count("dropped"),
            declared_again,
            changed: count("changed"),
            unchanged: count("none"),
            passing: reading.declarations.saturating_sub(there),
            counts: reading.total,
            events: reading.events,
            head: input.head().to_string(),
        }
    }

    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let Summary { declared, dropped, declared_again, changed, unchanged, passing, events, .. } = self;
        output.line(&format!(
            "{}: {declared} declared, {dropped} dropped, {declared_again} declared again, {changed} \
             changed, {unchanged} not, {passing} came and went",
            counted(*events, "event")
        ))?;
        self.counts.text().map_or(Ok(()), |text| output.line(&format!("tasks: {text}")))
    }
}
