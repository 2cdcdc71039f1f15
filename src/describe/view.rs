//! The JSON form of a collection, shared by every tool that prints one.

use serde::Serialize;
use serde_json::value::RawValue;

use super::json::raw;
use super::plain_json;
use crate::core::vocabulary::{Fingerprint, Timestamp};
use crate::core::{CollectionView, Condition, DeliveryFailure, DroppedView, LastFailure};

/// A collection as one JSON object, without a line break, as it is at `now` (the time that `view` was made for).
///
/// Every key is always there, in this order; what does not apply is `null`:
///
/// | key | value |
/// |---|---|
/// | `v` | 1, the version of this form; keys are only ever added within one |
/// | `name`, `incarnation` | the collection, and the number of the event that declared it |
/// | `kind`, `source`, `spec`, `versioned` | as declared last |
/// | `generation` | counts the changes of `wanted` |
/// | `latest`, `wanted`, `applied` | fingerprints: of the latest inputs, of the admitted ones, of the last commit |
/// | `condition` | `fresh awaiting_observation awaiting_caller not_observed no_worker unobservable settling held running draining backing_off failing moving waiting_for_worker isolated limit parked undelivered paused` |
/// | `cause` | of `held`, `parked` and `failing`, `unobservable` for a source that cannot be observed, `not_observed` for one that is not |
/// | `because` | the condition as a sentence |
/// | `until` | when the condition ends by itself: the end of settling, grace or backoff, or the deadline of an attempt |
/// | `paused` | whether new attempts wait for a resume, also while one is running |
/// | `task`, `attempt`, `attempts`, `worker` | the live task, its running attempt, its attempts so far, the worker that runs it |
/// | `failures`, `last_failure` | failures in a row, and the last one: `{"reason","message","time"}` |
/// | `held` | the fingerprint that waits to be confirmed, also while a task for the inputs before is live |
/// | `unobservable` | why the source cannot be observed: `{"since","cause"}` |
/// | `not_observed` | since when its source was not observed although it is due, and why: `{"since","cause"}`; always `null` where no engine runs |
/// | `lag_seconds` | how far behind it is; 0 when the latest inputs are applied, `null` when the source cannot be observed or is not |
/// | `applied_at`, `applied_seq`, `token` | when, by which event and under which token the last commit was made |
/// | `segments_kept`, `segments_new`, `segments_dropped`, `rows`, `manifest`, `output` | what it committed |
/// | `published`, `unpublished`, `published_lag_seconds` | the event of the last commit that was published, commits that are to be, and how far the destination is behind; `null` for kinds without one |
/// | `undiscarded` | how many events have made outputs obsolete that are still to be discarded |
/// | `delivery_failure` | why the destination could not be served: `{"delivery","cause","failures","retry_at"}` |
/// | `resync_at` | when what is applied is checked again |
/// | `policy` | as declared last, with every key, as [`Policy::to_json`](crate::core::vocabulary::Policy::to_json) writes it |
/// | `time` | `now` |
#[must_use]
pub fn view_json(view: &CollectionView, now: Timestamp) -> String {
    // Nothing in the object can fail to be written: a lag is a finite number.
    plain_json(serde_json::to_string(&Row::of(view, now)).unwrap_or_default())
}

/// What is left of a dropped collection as one JSON object, without a line break, as it is at `now`.
///
/// Every key is always there, in this order; what does not apply is `null`:
///
/// | key | value |
/// |---|---|
/// | `v`, `name`, `incarnation`, `kind`, `time` | as of a collection, see [`view_json`] |
/// | `condition` | `dropped` |
/// | `attempts_stopping` | attempts of it that have not stopped yet |
/// | `since` | since when what is discarded next is to be |
/// | `undiscarded`, `delivery_failure` | as of a collection |
#[must_use]
pub fn dropped_json(view: &DroppedView, now: Timestamp) -> String {
    let row = DroppedRow {
        v: 1,
        name: view.name.as_str(),
        incarnation: view.id.0.0,
        kind: view.kind.as_str(),
        condition: "dropped",
        attempts_stopping: view.draining,
        since: view.since.map(|since| since.to_string()),
        undiscarded: view.outbox.undiscarded,
        delivery_failure: view.outbox.failure.as_ref().map(DeliveryFailureRow::of),
        time: now.to_string(),
    };
    plain_json(serde_json::to_string(&row).unwrap_or_default())
}

#[derive(Serialize)]
struct DroppedRow<'v> {
    v: u32,
    name: &'v str,
    incarnation: u64,
    kind: &'v str,
    condition: &'static str,
    attempts_stopping: u32,
    since: Option<String>,
    undiscarded: u64,
    delivery_failure: Option<DeliveryFailureRow<'v>>,
    time: String,
}

#[derive(Serialize)]
struct Row<'v> {
    v: u32,
    name: &'v str,
    incarnation: u64,
    kind: &'v str,
    source: &'v str,
    spec: Option<&'v RawValue>,
    versioned: bool,
    generation: u64,
    latest: Option<String>,
    wanted: Option<String>,
    applied: Option<String>,
    condition: &'static str,
    cause: Option<&'v str>,
    because: String,
    until: Option<String>,
    paused: bool,
    task: Option<u64>,
    attempt: Option<u32>,
    attempts: u32,
    worker: Option<&'v str>,
    failures: u32,
    last_failure: Option<FailureRow<'v>>,
    held: Option<String>,
    unobservable: Option<UnobservableRow<'v>>,
    not_observed: Option<UnobservableRow<'v>>,
    lag_seconds: Option<f64>,
    applied_at: Option<String>,
    applied_seq: Option<u64>,
    token: Option<String>,
    segments_kept: Option<u64>,
    segments_new: Option<u64>,
    segments_dropped: Option<u64>,
    rows: Option<u64>,
    manifest: Option<String>,
    output: Option<&'v str>,
    published: Option<u64>,
    unpublished: Option<u64>,
    published_lag_seconds: Option<f64>,
    undiscarded: Option<u64>,
    delivery_failure: Option<DeliveryFailureRow<'v>>,
    resync_at: Option<String>,
    policy: Option<Box<RawValue>>,
    time: String,
}

#[derive(Serialize)]
struct DeliveryFailureRow<'v> {
    delivery: &'static str,
    cause: &'v str,
    failures: u32,
    retry_at: String,
}

#[derive(Serialize)]
struct FailureRow<'v> {
    reason: &'static str,
    message: &'v str,
    time: String,
}

#[derive(Serialize)]
struct UnobservableRow<'v> {
    since: String,
    cause: &'v str,
}

impl<'v> Row<'v> {
    fn of(view: &'v CollectionView, now: Timestamp) -> Row<'v> {
        let hex = |fingerprint: Option<Fingerprint>| fingerprint.map(|fingerprint| fingerprint.to_string());
        let (applied, owes) = (view.applied.as_ref(), view.outbox.as_ref());
        let result = applied.map(|applied| &applied.result);
        let segments = result.and_then(|result| result.segments);
        let (attempt, worker) = match &view.condition {
            Condition::Running { attempt, worker, .. } => (Some(*attempt), Some(worker.as_str())),
            _ => (None, None),
        };
        Row {
            v: 1,
            name: view.name.as_str(),
            incarnation: view.id.0.0,
            kind: view.kind.as_str(),
            source: view.source.as_str(),
            spec: raw(&view.spec),
            versioned: view.versioned,
            generation: view.generation.0,
            latest: hex(view.latest),
            wanted: hex(view.wanted),
            applied: hex(applied.map(|applied| applied.fingerprint)),
            condition: view.condition.name(),
            cause: view.cause(),
            because: view.condition.to_string(),
            until: view.condition.until().map(|until| until.to_string()),
            paused: view.paused,
            task: view.task.map(|task| task.0.0),
            attempt,
            attempts: view.attempts,
            worker,
            failures: view.failures,
            last_failure: view.last_failure.as_ref().map(FailureRow::of),
            held: hex(view.held().map(|(_, fingerprint)| fingerprint)),
            unobservable: view
                .unobservable
                .as_ref()
                .map(|found| UnobservableRow { since: found.since.to_string(), cause: &found.cause }),
            not_observed: view
                .not_observed
                .as_ref()
                .map(|found| UnobservableRow { since: found.since.to_string(), cause: &found.cause }),
            lag_seconds: view.lag.seconds(),
            applied_at: applied.map(|applied| applied.at.to_string()),
            applied_seq: applied.map(|applied| applied.seq.0),
            token: applied.map(|applied| applied.token.to_string()),
            segments_kept: segments.map(|segments| segments.kept),
            segments_new: segments.map(|segments| segments.new),
            segments_dropped: segments.map(|segments| segments.dropped),
            rows: result.and_then(|result| result.rows),
            manifest: result.and_then(|result| result.manifest).map(|root| root.to_string()),
            output: result.and_then(|result| result.output.as_deref()),
            published: owes.and_then(|owes| owes.published).map(|commit| commit.0),
            unpublished: owes.map(|owes| owes.unpublished),
            published_lag_seconds: owes.and_then(|owes| owes.lag.seconds()),
            undiscarded: owes.map(|owes| owes.undiscarded),
            delivery_failure: owes.and_then(|owes| owes.failure.as_ref()).map(DeliveryFailureRow::of),
            resync_at: view.resync_at.map(|at| at.to_string()),
            policy: RawValue::from_string(view.policy.to_json()).ok(),
            time: now.to_string(),
        }
    }
}

impl<'v> DeliveryFailureRow<'v> {
    fn of(failure: &'v DeliveryFailure) -> DeliveryFailureRow<'v> {
        let DeliveryFailure { delivery, cause, failures, retry_at } = failure;
        let (delivery, retry_at) = (delivery.as_str(), retry_at.to_string());
        DeliveryFailureRow { delivery, cause, failures: *failures, retry_at }
    }
}

impl<'v> FailureRow<'v> {
    fn of(failure: &'v LastFailure) -> FailureRow<'v> {
        FailureRow { reason: failure.reason.as_str(), message: &failure.message, time: failure.at.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::State;
    use crate::core::vocabulary::{CollectionId, Epoch, Event, Kind, Name, Policy, Recorded, Seq, Source, Spec};

    #[test]
    fn a_row_has_every_key_in_order() {
        let mut state = State::new();
        let declared = Event::CollectionDeclared {
            name: Name::new("a").unwrap(),
            kind: Kind::new("files").unwrap(),
            source: Source::new("lake/").unwrap(),
            spec: Spec::parse(r#"{"b":1}"#).unwrap(),
            versioned: true,
            policy: Policy::default().into(),
            revision: None,
            wanted: None,
        };
        for (seq, event) in [(1, Event::WriterOpened { software: "test".into() }), (2, declared)] {
            state
                .fold(&Recorded { seq: Seq(seq), at: Timestamp(1_000_000), epoch: Epoch(1), by: None, event })
                .unwrap();
        }
        let now = Timestamp(2_500_000);
        let view = CollectionView::of(&state, CollectionId(Seq(2)), now).unwrap();
        let row = view_json(&view, now);
        let policy = format!(r#""policy":{},"#, Policy::default().to_json());
        assert!(row.contains(&policy), "{row}");
        assert_eq!(
            row.replace(&policy, ""),
            concat!(
                r#"{"v":1,"name":"a","incarnation":2,"kind":"files","source":"lake/","spec":{"b":1},"versioned":true,"#,
                r#""generation":1,"latest":null,"wanted":null,"applied":null,"condition":"awaiting_observation","#,
                r#""cause":null,"because":"waits for the first look at its source","until":null,"paused":false,"#,
                r#""task":null,"attempt":null,"attempts":0,"worker":null,"failures":0,"last_failure":null,"held":null,"#,
                r#""unobservable":null,"not_observed":null,"lag_seconds":1.5,"applied_at":null,"applied_seq":null,"token":null,"#,
                r#""segments_kept":null,"segments_new":null,"segments_dropped":null,"rows":null,"manifest":null,"#,
                r#""output":null,"published":null,"unpublished":null,"published_lag_seconds":null,"undiscarded":null,"#,
                r#""delivery_failure":null,"resync_at":null,"time":"1970-01-01T00:00:02.500000Z"}"#
            )
        );
    }
}
