//! One collection as it is now, with what only the running engine knows: data.
//!
//! *Architecture invariant:* data alone. It is put together in `run/show.rs`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::core::CollectionView;
use crate::core::vocabulary::{Seq, Timestamp};
use crate::describe::{plain_json, view_json};
use crate::worker::{DeliveryError, Progress, Skipped, Traffic, VerifyOutcome};

/// One collection as it is now, with what only the running engine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectionStatus {
    /// The engine's time at which it was like this.
    pub at: Timestamp,
    /// What the log says of it, within its surroundings.
    pub view: CollectionView,
    /// The last accepted observation of its source since the engine was opened.
    pub last_observation: Option<LastObservation>,
    /// The observation of its source that is under way.
    pub observing: Option<Observing>,
    /// When its source is observed next; nothing while it is being observed, or if nothing observes it.
    pub next_observation: Option<Timestamp>,
    /// How far the running attempt has come.
    pub progress: Option<Progress>,
    /// The task waits, and every worker that its kind may have is held by an attempt that was abandoned: of its own kind, or of
    /// all kinds together if so many were abandoned that none is replaced any more.
    pub workers_exhausted: bool,
    /// Its outbox is not empty, and no worker here delivers what is first in it.
    pub undeliverable: bool,
    /// Its outbox is not empty, and every thread that deliveries of its kind may have is held by one that was given up, of its
    /// own kind or of all together. It is delivered once one of them comes back.
    pub deliveries_exhausted: bool,
    /// Why, if `workers_exhausted` or `deliveries_exhausted`: what holds the threads.
    pub exhausted: Option<Box<str>>,
    /// The last verification of what it has applied, since the engine was opened.
    pub verification: Option<LastVerification>,
}

impl CollectionStatus {
    /// The status as one JSON object, without a line break: the keys that `log-dump state` prints, and `live` with what
    /// only the running engine knows, as in `lastword status --json`. What does not apply is `null`.
    ///
    /// | key of `live` | value |
    /// |---|---|
    /// | `last_look` | the last accepted observation: `{"began","seconds_ago","took_seconds","succeeded","goes_on","racy","weak","evidence","skipped","requests","throttled"}`; `goes_on`: it failed and the next one goes on from where it came to; `evidence` is `strong` or `weak`, `skipped` counts by reason; `requests` it sent; `throttled`: how often it was asked to wait, `{"times","status"}` |
    /// | `look` | the observation that is under way: `{"began","requests","throttled"}` |
    /// | `next_look` | when the source is observed next |
    /// | `next_look_in_seconds` | the same, counted from now; zero if it is due |
    /// | `progress` | how far the running attempt has come: `{"done","total"}` |
    /// | `workers_exhausted` | whether abandoned attempts hold every worker that its kind may have |
    /// | `undeliverable` | whether nobody here delivers what is first in its outbox |
    /// | `deliveries_exhausted` | whether deliveries that were given up hold every thread that its kind may have |
    /// | `exhausted` | why, if one of `workers_exhausted` and `deliveries_exhausted` is true: what holds the threads |
    /// | `verification` | the last verification: `{"at","commit","intact","found"}`; `intact` is `null` if that could not be told |
    #[must_use]
    pub fn to_json(&self) -> String {
        let row = view_json(&self.view, self.at);
        let members = row.strip_suffix('}').unwrap_or(&row);
        plain_json(format!("{members},\"live\":{}}}", self.live()))
    }

    /// What only the running engine knows, as a JSON object.
    #[must_use]
    pub fn live(&self) -> Value {
        let last_look = self.last_observation.map(|last| {
            json!({
                "began": last.started.to_string(),
                "seconds_ago": self.at.since(last.started).as_secs_f64(),
                "took_seconds": last.took.as_secs_f64(),
                "succeeded": last.succeeded,
                "goes_on": last.goes_on,
                "racy": last.racy,
                "weak": last.weak,
                "evidence": if last.weak > 0 { "weak" } else { "strong" },
                "skipped": skipped_json(&last.skipped),
                "requests": last.traffic.requests,
                "throttled": throttled_json(last.traffic),
            })
        });
        let look = self.observing.map(|look| {
            json!({
                "began": look.started.to_string(),
                "requests": look.traffic.requests,
                "throttled": throttled_json(look.traffic),
            })
        });
        json!({
            "last_look": last_look,
            "look": look,
            "next_look": self.next_observation.map(|at| at.to_string()),
            "next_look_in_seconds": self.next_observation.map(|at| at.since(self.at).as_secs_f64()),
            "progress": self.progress.map(|progress| json!({"done": progress.done, "total": progress.total})),
            "workers_exhausted": self.workers_exhausted,
            "undeliverable": self.undeliverable,
            "deliveries_exhausted": self.deliveries_exhausted,
            "exhausted": self.exhausted,
            "verification": self.verification.as_ref().map(LastVerification::json),
        })
    }
}

fn skipped_json(skipped: &Skipped) -> Value {
    skipped
        .reasons()
        .map(|(reason, count)| (reason.name().to_owned(), Value::from(count)))
        .collect::<Map<_, _>>()
        .into()
}

fn throttled_json(traffic: Traffic) -> Value {
    let times = Some(traffic.throttled).filter(|times| *times > 0);
    times.map_or(Value::Null, |times| json!({ "times": times, "status": traffic.status }))
}

impl LastVerification {
    fn json(&self) -> Value {
        let (intact, found) = match &self.found {
            Ok(VerifyOutcome::Intact) => (Some(true), None),
            Ok(VerifyOutcome::Drifted(found)) => (Some(false), Some(found.clone())),
            Err(error) => (None, Some(error.to_string())),
        };
        json!({ "at": self.at.to_string(), "commit": self.commit.0, "intact": intact, "found": found })
    }
}

/// An observation that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observing {
    /// When it began.
    pub started: Timestamp,
    /// What it has sent over a wire so far.
    pub traffic: Traffic,
}

/// The last accepted observation of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastObservation {
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Whether the source could be observed.
    pub succeeded: bool,
    /// It could not, because one observation may not read so much, and has come further than the one before: the next one
    /// goes on.
    pub goes_on: bool,
    /// In how many parts a change could have gone unnoticed; see [`Observation::racy`](crate::Observation::racy).
    pub racy: u64,
    /// How many parts were believed although nothing tells that they are what they were; see
    /// [`Observation::weak`](crate::Observation::weak).
    pub weak: u64,
    /// What below the source it left out; see [`Observation::skipped`](crate::Observation::skipped).
    pub skipped: Skipped,
    /// What it sent over a wire, and how often it was asked to wait: requests of listings. Zero for directories.
    pub traffic: Traffic,
}

/// The last verification of what a collection has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastVerification {
    /// When its end was reported.
    pub at: Timestamp,
    /// The event that committed what was verified.
    pub commit: Seq,
    /// What was found, or why that could not be found out.
    pub found: Result<VerifyOutcome, DeliveryError>,
}
