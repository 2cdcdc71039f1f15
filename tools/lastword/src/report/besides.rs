//! What only a running engine knows of its collections, now: that nobody builds their kind, or that nobody looks at their
//! source. The log has none of it, so a page shows it at its newest moment alone.
//!
//! *It must not know* how a page shows it.

use std::time::{Duration, Instant};

use lastword::Handle;
use lastword::core::{CollectionView, Condition, Lag};
use lastword::engine::CollectionStatus;
use serde_json::{Value, json};

use crate::fail::Fail;
use crate::status::rank;

/// Collections in one question to the engine: some milliseconds of its time.
const PAGE: usize = 500;

/// Nine tenths of the time are left to the work, however many pages are open: a list that took a second is good for nine.
const REST: u32 = 9;

/// The collections of which more is known than the log says.
#[derive(Debug, Default)]
pub(super) struct Besides {
    found: Vec<Value>,
    listed: Option<(Instant, Duration)>,
}

impl Besides {
    /// Asks the engine, unless that was done just now for what it costs. An array, one object for each collection.
    pub(super) fn read(&mut self, handle: &Handle) -> Result<String, Fail> {
        if self.listed.is_none_or(|(at, took)| at.elapsed() >= took.saturating_mul(REST)) {
            let begun = Instant::now();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = handle.list_page(after, PAGE)?;
                found.extend(page.iter().filter_map(beside));
                after = page.last().map(|last| last.view.id);
                if page.len() < PAGE {
                    break;
                }
            }
            *self = Besides { found, listed: Some((Instant::now(), begun.elapsed())) };
        }
        Ok(json!(self.found).to_string())
    }
}

/// Whether the engine says of it what its log does not.
fn is_more(view: &CollectionView) -> bool {
    let is_said = matches!(
        view.condition,
        Condition::NoWorker
            | Condition::NotObserved(_)
            | Condition::AwaitingCaller
            | Condition::Undelivered { cause: Some(_), .. }
    );
    // A source that was observed, and may hold anything by now.
    let may_be_behind = view.lag == Lag::Unknown && view.latest.is_some() && view.unobservable.is_none();
    is_said || may_be_behind || view.not_observed.is_some()
}

fn beside(status: &CollectionStatus) -> Option<Value> {
    let view = Some(&status.view).filter(|view| is_more(view))?;
    let owes = view.outbox.as_ref().is_some_and(|outbox| outbox.failure.is_some());
    let cannot_look = view.unobservable.is_some() || view.not_observed.is_some();
    Some(json!({
        "id": view.id.0.0,
        "condition": view.condition.name(),
        "cause": view.cause(),
        "because": view.condition.to_string(),
        "rank": rank(view.condition.name(), cannot_look, owes, view.paused),
        "lag_is_known": view.lag != Lag::Unknown,
        "not_observed": view.not_observed.as_ref().map(|found| json!({
            "since": found.since.to_string(),
            "cause": found.cause,
        })),
    }))
}
