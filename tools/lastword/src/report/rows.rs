//! The row of one collection as numbers: what `describe::view_json` says of it, at its event and at every later time until
//! its next row.
//!
//! What depends on the time alone is written so that the page needs no rules: times are themselves, a wait that ends by
//! itself has a second condition for after its end, and a limit is a fact of its kind and prefix that is looked up.

use lastword::core::vocabulary::{CollectionId, Timestamp};
use lastword::core::{Applied, CollectionView, Condition, Lag, LastFailure, OutboxView, State};
use serde_json::{Value, json};

use super::columns::{Columns, Table, number};
use crate::status::rank;

/// The tables that rows refer to.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) texts: Table,
    pub(super) declared: Table,
    pub(super) commits: Table,
    pub(super) said: Table,
    pub(super) failures: Table,
    pub(super) unobservable: Table,
    pub(super) outboxes: Table,
}

pub(super) const NAMES: [&str; 26] = [
    "seq",
    "of",
    "declared",
    "generation",
    "latest",
    "wanted",
    "commit",
    "said",
    "until",
    "started",
    "paused",
    "task",
    "attempt",
    "attempts",
    "worker",
    "failures",
    "failure",
    "held",
    "unobservable",
    "since",
    "outbox",
    "resync",
    "later",
    "switch",
    "group",
    "ranks",
];

/// What a row is, without when and of what: what stands behind the first two names.
pub(super) type Cells = [Option<i64>; 24];

/// Stands in place of a row when its collection is gone.
pub(super) fn gone() -> Cells {
    [Some(-1); 24]
}

/// The group of a collection: a limit keeps all of one or none.
pub(super) type Group = i64;

/// Whether a limit may keep it, and which condition it is in if none does.
fn unlimited(view: &CollectionView, state: &State) -> Option<(&'static str, String)> {
    match &view.condition {
        Condition::Limit { .. } => {
            let collection = state.collection(view.id)?;
            let condition = if collection.is_isolated() {
                Condition::Isolated { crashes: collection.crashes }
            } else {
                Condition::WaitingForWorker
            };
            Some((condition.name(), condition.to_string()))
        }
        Condition::Isolated { .. } | Condition::WaitingForWorker => {
            Some((view.condition.name(), view.condition.to_string()))
        }
        _ => None,
    }
}

/// A task that waits, and not in the middle of a frame in which it is about to be created.
fn may_be_limited(view: &CollectionView) -> bool {
    view.task.is_some()
        && matches!(view.condition, Condition::Limit { .. } | Condition::Isolated { .. } | Condition::WaitingForWorker)
}

/// One collection in one condition.
struct Said {
    place: i64,
    until: Option<Timestamp>,
    started: Option<Timestamp>,
    rank: u8,
    limited: bool,
}

impl Tables {
    /// All of them, with their names in the data.
    pub(super) fn all(&self) -> [(&'static str, &Table); 7] {
        let Tables { texts, declared, commits, said, failures, unobservable, outboxes } = self;
        [
            ("texts", texts),
            ("declared", declared),
            ("commits", commits),
            ("said", said),
            ("failures", failures),
            ("unobservable", unobservable),
            ("outboxes", outboxes),
        ]
    }

    /// The cells of a row, and whether its group is to be followed.
    pub(super) fn cells(
        &mut self,
        state: &State,
        id: CollectionId,
        at: Timestamp,
        group: Group,
    ) -> Option<(Cells, bool)> {
        let view = CollectionView::of(state, id, at)?;
        let now = self.said(&view, state);
        // The only conditions that end by themselves without an event.
        let ends = match &view.condition {
            Condition::BackingOff { until, .. } | Condition::Failing { until, .. } | Condition::Moving { until } => {
                Some(*until)
            }
            _ => None,
        };
        let later_view = ends.and_then(|ends| CollectionView::of(state, id, ends));
        let later = later_view.as_ref().map(|view| self.said(view, state));
        let follows = now.limited || later.as_ref().is_some_and(|later| later.limited);
        let limited = rank("limit", view.unobservable.is_some(), owes(&view), view.paused);
        let later_rank = later.as_ref().map_or(0, |later| later.rank);
        let ranks = [now.rank, later_rank, limited].iter().rev().fold(0, |all, rank| all * 8 + i64::from(*rank));
        let (attempt, worker) = match &view.condition {
            Condition::Running { attempt, worker, .. } => (i64::from(*attempt), self.texts.text(worker.as_str())),
            _ => (-1, -1),
        };
        let time = |time: Option<Timestamp>| time.map(|time| number(time.0) - number(at.0));
        let mut hex = |fingerprint: Option<String>| self.texts.maybe(fingerprint.as_deref());
        let latest = hex(view.latest.map(|of| of.to_string()));
        let wanted = hex(view.wanted.map(|of| of.to_string()));
        let held = hex(view.held().map(|(_, of)| of.to_string()));
        let failure = view.last_failure.as_ref().map_or(-1, |failure| self.failure(failure));
        let unobservable = view.unobservable.as_ref().map_or(-1, |found| {
            let cause = self.texts.text(&found.cause);
            self.unobservable.place(&json!([number(found.since.0), cause]))
        });
        let commit = view.applied.as_ref().map_or(-1, |applied| self.commit(applied));
        let outbox = view.outbox.as_ref().map_or(-1, |outbox| self.outbox(outbox, at));
        let declared = self.declared(&view);
        let lag = match view.lag {
            Lag::Zero => -1,
            Lag::Unknown => -2,
            Lag::Since(span) => i64::try_from(span.as_micros()).unwrap_or(i64::MAX),
        };
        let cells = [
            Some(declared),
            Some(number(view.generation.0)),
            Some(latest),
            Some(wanted),
            Some(commit),
            Some(now.place),
            // That of the second condition, if there is one: the first ends when it does.
            time(later.as_ref().map_or(now.until, |later| later.until)),
            Some(now.started.map_or(-1, |started| number(at.0) - number(started.0))),
            Some(i64::from(view.paused)),
            Some(view.task.map_or(-1, |task| number(task.0.0))),
            Some(attempt),
            Some(i64::from(view.attempts)),
            Some(worker),
            Some(i64::from(view.failures)),
            Some(failure),
            Some(held),
            Some(unobservable),
            Some(lag),
            Some(outbox),
            time(view.resync_at),
            Some(later.as_ref().map_or(-1, |later| later.place)),
            time(ends),
            Some(if follows { group } else { -1 }),
            Some(ranks),
        ];
        Some((cells, follows))
    }

    fn said(&mut self, view: &CollectionView, state: &State) -> Said {
        let limited = may_be_limited(view);
        let (word, sentence) = unlimited(view, state)
            .filter(|_| limited)
            .unwrap_or_else(|| (view.condition.name(), view.condition.to_string()));
        let until = view.condition.until();
        let started = match &view.condition {
            Condition::Running { since, .. } => Some(*since),
            _ => None,
        };
        let rank = rank(word, view.unobservable.is_some(), owes(view), view.paused);
        let parts = parts(&sentence, &[until, started].map(|time| time.map(|time| time.to_string())));
        let cause = self.texts.maybe(view.cause());
        let place = self.said.place(&json!([word, cause, parts]));
        Said { place, until, started, rank, limited }
    }

    /// What a limit makes of all that it keeps.
    pub(super) fn limit(&mut self, condition: &Condition) -> i64 {
        self.said.place(&json!([condition.name(), -1, condition.to_string()]))
    }

    fn declared(&mut self, view: &CollectionView) -> i64 {
        let mut text = |text: &str| self.texts.text(text);
        let (source, spec, policy) =
            (text(view.source.as_str()), text(view.spec.as_str()), text(&view.policy.to_json()));
        self.declared.place(&json!([source, spec, policy, view.versioned]))
    }

    fn failure(&mut self, failure: &LastFailure) -> i64 {
        let message = self.texts.text(&failure.message);
        self.failures.place(&json!([failure.reason.as_str(), message, number(failure.at.0)]))
    }

    fn commit(&mut self, applied: &Applied) -> i64 {
        let result = &applied.result;
        let fingerprint = self.texts.text(&applied.fingerprint.to_string());
        let manifest = self.texts.maybe(result.manifest.map(|root| root.to_string()).as_deref());
        let output = self.texts.maybe(result.output.as_deref());
        let segments = result.segments.map(|segments| [segments.kept, segments.new, segments.dropped]);
        self.commits.place(&json!([
            fingerprint,
            number(applied.at.0),
            number(applied.seq.0),
            applied.token.to_string(),
            segments,
            result.rows,
            manifest,
            output,
            number(applied.task.0.0),
        ]))
    }

    fn outbox(&mut self, outbox: &OutboxView, at: Timestamp) -> i64 {
        let since = match outbox.lag {
            Lag::Since(span) => Some(number(at.0) - i64::try_from(span.as_micros()).unwrap_or(0)),
            Lag::Zero | Lag::Unknown => None,
        };
        let failure = outbox.failure.as_ref().map(|failure| {
            let cause = self.texts.text(&failure.cause);
            json!([failure.delivery.as_str(), cause, failure.failures, number(failure.retry_at.0)])
        });
        let published = outbox.published.map(|seq| number(seq.0));
        self.outboxes.place(&json!([published, outbox.unpublished, since, outbox.undiscarded, failure]))
    }
}

fn owes(view: &CollectionView) -> bool {
    view.outbox.as_ref().is_some_and(|outbox| outbox.failure.is_some())
}

/// A sentence with holes for the times that stand in it, so that sentences which differ in nothing else are one.
fn parts(sentence: &str, holes: &[Option<String>]) -> Value {
    let mut parts = vec![Value::String(sentence.to_owned())];
    for (number, hole) in holes.iter().enumerate() {
        let Some(hole) = hole else { continue };
        let cut = parts.into_iter().flat_map(|part| match part {
            Value::String(text) => {
                let mut cut = Vec::new();
                for (place, text) in text.split(hole.as_str()).enumerate() {
                    if place > 0 {
                        cut.push(json!(number));
                    }
                    cut.push(Value::String(text.to_owned()));
                }
                cut
            }
            other => vec![other],
        });
        parts = cut.collect();
    }
    if parts.len() == 1 { parts.remove(0) } else { Value::Array(parts) }
}

/// The columns of all rows.
pub(super) fn columns() -> Columns<26> {
    Columns::new(NAMES)
}
