//! Why a collection is as it is.

use lastword::core::vocabulary::{Fingerprint, Name, Scope, Seq, Timestamp};
use lastword::core::{Collection, CollectionView, Condition, DeliveryFailure, Lag, OutboxView, Pending, State};
use lastword::describe::counted;
use lastword::replay::Until;
use serde::Serialize;

use super::chain::Chain;
use super::form::Form;
use super::life::{Incarnation, Life, Since};
use super::mark::MarkLine;
use super::show::{Extent, rows, unknown};
use super::work::WorkLine;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, printable};

/// As many of the attempts that hold the workers as fit into a sentence.
const MOST_BUSY: usize = 3;

pub(super) fn run(input: &Input, name: &Name, until: Until, form: Form, mut output: Output) -> Result<(), Failure> {
    let (begin, life) = Life::find(input, name, until)?;
    let Some(incarnation) = &life.incarnation else {
        let last = life.state.last();
        let known = if life.begins > Seq(1) {
            format!(" from event {} on, where history begins", life.begins)
        } else {
            String::new()
        };
        return Err(unknown(format_args!("NAME {name:?}: no such collection was declared{known} up to event {last}")));
    };
    let chain = Chain {
        ids: &life.ids,
        task: None,
        first: incarnation.begin(),
        last: life.state.last(),
        begins: life.begins,
        always: incarnation.turning_points(),
        recent: life.recent.first(),
    };
    let sentence = sentence(&life, incarnation);
    if form.json {
        let events = chain.write(input, &begin, &mut output, form)?;
        let extent = Extent::new(events, &chain, input.head());
        output.object(&WhyLine::of(&life, incarnation, sentence, extent))?;
        return output.finish();
    }
    head(&mut output, &life, incarnation, &sentence)?;
    let told = if incarnation.begin() == incarnation.id.0 { "since its declaration" } else { "since a commit" };
    output.line(&match chain.history_begins() {
        Some(begins) => format!("\n{told}, event {}; history begins with event {begins}:", chain.first),
        None => format!("\n{told}, event {}:", chain.first),
    })?;
    chain.write(input, &begin, &mut output, form)?;
    output.finish()
}

/// The answer.
fn sentence(life: &Life, incarnation: &Incarnation) -> String {
    let Incarnation { view, dropped, .. } = incarnation;
    let name = &view.name;
    if let Some(dropped) = dropped {
        let applied = view.applied.as_ref().map_or_else(
            || "nothing was ever applied".to_owned(),
            |applied| format!("what was applied last is {}, by event {}", applied.fingerprint, applied.seq),
        );
        return format!("{name} was dropped by {dropped} at {}; {applied}", dropped.at);
    }
    let condition = &view.condition;
    let mut parts = vec![format!("{name} is {}: {condition}", condition.name().replace('_', " "))];
    match &incarnation.since {
        Since::Event(mark) => parts.push(format!("since {mark}")),
        Since::Time => {}
        Since::PrefixGone => parts.push(format!("since before event {}, with which history begins", life.begins)),
    }
    match condition {
        Condition::WaitingForWorker => parts.push(busy(&life.state, &Scope::Kind(view.kind.clone()))),
        Condition::Limit { scope, .. } => {
            parts.push(match &life.limits {
                Some(limits) => format!("the limits are those of {limits}"),
                None => "the limits were set before history begins".to_owned(),
            });
            parts.push(busy(&life.state, scope));
        }
        _ => {}
    }
    parts.extend(beside(view));
    parts.extend(view.outbox.as_ref().and_then(outbox));
    parts.join("; ")
}

/// What else stands in the way, beside the condition.
fn beside(view: &CollectionView) -> Vec<String> {
    let condition = &view.condition;
    let mut parts = Vec::new();
    match view.pending {
        Some(Pending::Held { fingerprint, .. }) if !matches!(condition, Condition::Held { .. }) => {
            parts.push(format!("what was observed last looks like a loss, a person has to confirm {fingerprint}"));
        }
        Some(Pending::Settling { until, .. }) if !matches!(condition, Condition::Settling { .. }) => {
            parts.push(format!("newer inputs are admitted at {until} if its source stays quiet"));
        }
        Some(Pending::Waiting { .. }) => parts.push("newer inputs wait for the end of its task".to_owned()),
        Some(Pending::Held { .. } | Pending::Settling { .. }) | None => {}
    }
    if let Some(found) = view.unobservable.as_ref().filter(|_| !matches!(condition, Condition::Unobservable { .. })) {
        let cause = found.cause.lines().next().unwrap_or_default();
        parts.push(format!("its source cannot be observed since {}: {cause}", found.since));
    }
    if view.paused && !matches!(condition, Condition::Paused) {
        parts.push("it is paused, so no new attempt starts".to_owned());
    }
    parts
}

/// What is at work meanwhile, of those that share a limit or their workers. The log does not know how many workers
/// there are.
fn busy(state: &State, scope: &Scope) -> String {
    let shares = |collection: &Collection| match scope {
        Scope::Total => true,
        Scope::Kind(kind) => collection.kind == *kind,
        Scope::Prefix(prefix) => collection.name.as_str().starts_with(prefix.as_str()),
    };
    let running = state.running().filter_map(|(id, attempt)| {
        let collection = state.collection(id).filter(|collection| shares(collection))?;
        Some(format!("task {} of {}", attempt.task, collection.name))
    });
    let mut all: Vec<String> = running.collect();
    let rest = all.len().saturating_sub(MOST_BUSY);
    all.truncate(MOST_BUSY);
    match rest {
        _ if all.is_empty() => format!("no attempt of {scope} is running"),
        0 => format!("at work for {scope} is {}", all.join(", ")),
        rest => format!("at work for {scope} is {} and {rest} more", all.join(", ")),
    }
}

/// What its destination has not got.
fn outbox(view: &OutboxView) -> Option<String> {
    let OutboxView { unpublished, undiscarded, failure, .. } = view;
    if (*unpublished, *undiscarded) == (0, 0) {
        return None;
    }
    let (commits, discards) = (counted(*unpublished, "commit"), counted(*undiscarded, "discard"));
    let left = format!("its outbox holds {commits} and {discards}");
    Some(match failure {
        Some(DeliveryFailure { cause, failures, retry_at, .. }) => {
            let cause = cause.lines().next().unwrap_or_default();
            let times = counted((*failures).into(), "time");
            format!("{left}, which failed {times} in a row ({cause}) and is tried again at {retry_at}")
        }
        None => left,
    })
}

fn head(output: &mut Output, life: &Life, incarnation: &Incarnation, sentence: &str) -> Result<(), Failure> {
    let view = &incarnation.view;
    output.line(&printable(sentence))?;
    let by = |fingerprint: Option<Fingerprint>, by: String| {
        fingerprint.map_or_else(|| "unknown".to_owned(), |fingerprint| format!("{fingerprint}  {by}"))
    };
    let wanted_by = incarnation.wanted_by.as_ref();
    let wanted_by = wanted_by.map_or_else(|| "before history begins".to_owned(), |mark| mark.to_string());
    let applied = view.applied.as_ref().map_or_else(
        || "nothing yet".to_owned(),
        |applied| {
            let (seq, task, at) = (applied.seq, applied.task, applied.at);
            format!("{}  generation {}, event {seq}, task {task}, {at}", applied.fingerprint, applied.generation)
        },
    );
    rows(
        output,
        &[
            ("as of", Some(format!("event {}, {}", life.state.last(), life.now))),
            ("kind", Some(format!("{}, incarnation {}", view.kind, view.id))),
            ("source", Some(view.source.to_string())),
            ("latest", Some(by(view.latest, format!("by event {}", incarnation.last_input)))),
            ("wanted", Some(by(view.wanted, format!("generation {}, {wanted_by}", view.generation)))),
            ("applied", Some(applied)),
            ("task", view.task.map(|task| format!("{task}, {} so far", counted(view.attempts.into(), "attempt")))),
            ("work", incarnation.work().line(life.now).text()),
            ("failures", (view.failures > 0).then(|| format!("{} in a row", view.failures))),
            ("lag", lag(view, incarnation).map(|lag| format!("{lag:.1} s"))),
        ],
    )
}

fn lag(view: &CollectionView, incarnation: &Incarnation) -> Option<f64> {
    match view.lag {
        _ if incarnation.dropped.is_some() => None,
        Lag::Zero => Some(0.0),
        Lag::Since(span) => Some(span.as_secs_f64()),
        Lag::Unknown => None,
    }
}

/// The last line in JSON: the answer. Every key is always there; what does not apply is `null`.
#[derive(Serialize)]
struct WhyLine<'a> {
    kind: &'static str,
    collection: &'a str,
    incarnation: u64,
    condition: &'static str,
    sentence: String,
    since: Option<MarkLine>,
    generation: u64,
    latest: Option<String>,
    latest_seq: u64,
    wanted: Option<String>,
    wanted_by: Option<MarkLine>,
    applied: Option<String>,
    applied_seq: Option<u64>,
    applied_at: Option<String>,
    task: Option<u64>,
    attempts: u32,
    failures: u32,
    paused: bool,
    held: Option<String>,
    unobservable: Option<&'a str>,
    unpublished: Option<u64>,
    undiscarded: Option<u64>,
    delivery_failure: Option<&'a str>,
    lag_seconds: Option<f64>,
    dropped: Option<MarkLine>,
    /// What attempts have worked in the story that is told.
    work: WorkLine,
    time: String,
    #[serde(flatten)]
    extent: Extent,
}

impl<'a> WhyLine<'a> {
    fn of(life: &Life, incarnation: &'a Incarnation, sentence: String, extent: Extent) -> WhyLine<'a> {
        let Incarnation { view, dropped, .. } = incarnation;
        let hex = |fingerprint: Option<Fingerprint>| fingerprint.map(|fingerprint| fingerprint.to_string());
        let applied = view.applied.as_ref();
        WhyLine {
            kind: "why",
            collection: view.name.as_str(),
            incarnation: view.id.0.0,
            condition: dropped.as_ref().map_or(view.condition.name(), |_| "dropped"),
            sentence,
            since: dropped.as_ref().or(incarnation.since.mark()).map(MarkLine::from),
            generation: view.generation.0,
            latest: hex(view.latest),
            latest_seq: incarnation.last_input.0,
            wanted: hex(view.wanted),
            wanted_by: incarnation.wanted_by.as_ref().map(MarkLine::from),
            applied: hex(applied.map(|applied| applied.fingerprint)),
            applied_seq: applied.map(|applied| applied.seq.0),
            applied_at: applied.map(|applied| applied.at).as_ref().map(Timestamp::to_string),
            task: view.task.map(|task| task.0.0),
            attempts: view.attempts,
            failures: view.failures,
            paused: view.paused,
            held: hex(view.held().map(|(_, fingerprint)| fingerprint)),
            unobservable: view.unobservable.as_ref().map(|found| &*found.cause),
            unpublished: view.outbox.as_ref().map(|outbox| outbox.unpublished),
            undiscarded: view.outbox.as_ref().map(|outbox| outbox.undiscarded),
            delivery_failure: view
                .outbox
                .as_ref()
                .and_then(|outbox| outbox.failure.as_ref())
                .map(|failure| &*failure.cause),
            lag_seconds: lag(view, incarnation),
            dropped: dropped.as_ref().map(MarkLine::from),
            work: incarnation.work().line(life.now),
            time: life.now.to_string(),
            extent,
        }
    }
}
