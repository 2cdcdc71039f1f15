//! What is left of dropped collections and waits: outputs that nobody has discarded. The collection is gone, so its row
//! cannot say it.

use std::time::Duration;

use lastword::core::vocabulary::Timestamp;
use lastword::core::{DroppedView, State};
use lastword::describe;
use serde_json::{Map, Value};

use crate::words::seconds;

/// What has failed is told at once, and what nobody does after this: most are discarded within seconds.
const TOLD_AFTER: Duration = Duration::from_secs(60);

/// What waits at `now` of what is left of a dropped collection, as a text; nothing if nothing of it waits for long.
pub(crate) fn waiting(view: &DroppedView, now: Timestamp) -> Option<String> {
    let waits = view.since.is_some_and(|since| now.since(since) >= TOLD_AFTER);
    (waits || view.outbox.failure.is_some()).then(|| describe::dropped_json(view, now))
}

/// The same of all that a log has.
pub(crate) fn all_waiting(state: &State, now: Timestamp) -> Vec<Dropped> {
    let views = state.orphans().filter_map(|(id, _)| DroppedView::of(state, id, now));
    views.filter_map(|view| Dropped::parse(&waiting(&view, now)?)).collect()
}

/// What is left of one dropped collection.
#[derive(Clone, Debug)]
pub(crate) struct Dropped {
    pub(crate) text: String,
    pub(crate) name: String,
    since: Option<String>,
    because: String,
}

impl Dropped {
    /// `None` if it is no such text.
    pub(crate) fn parse(text: &str) -> Option<Dropped> {
        let row: Map<String, Value> = serde_json::from_str(text).ok()?;
        let word = |key: &str| Some(row.get(key)?.as_str()?.to_owned());
        let failure = row.get("delivery_failure").and_then(Value::as_object);
        let failed = failure.and_then(|failure| {
            let (cause, failures) = (failure.get("cause")?.as_str()?, failure.get("failures")?.as_u64()?);
            let retry_at = seconds(failure.get("retry_at")?.as_str()?);
            let cause = cause.lines().next().unwrap_or_default();
            Some(format!("its last discard failed, {failures} in a row, the next one not before {retry_at}: {cause}"))
        });
        let kind = word("kind")?;
        let nobody = || format!("nobody discards it: run a program whose kind {kind} discards");
        let count = row.get("undiscarded")?.as_u64()?;
        let what = if count == 1 {
            "1 discard of what it made waits".to_owned()
        } else {
            format!("{count} discards of what it made wait")
        };
        let because = format!("{what}; {}", failed.unwrap_or_else(nobody));
        Some(Dropped { text: text.to_owned(), name: word("name")?, since: word("since"), because })
    }

    /// As a row of the table of `status`.
    pub(crate) fn cells(&self) -> Vec<String> {
        let none = || "-".to_owned();
        let since = self.since.as_deref().map_or_else(none, seconds);
        let mut cells = vec![self.name.clone(), "dropped".to_owned()];
        cells.extend((0..8).map(|_| none()));
        cells.extend([since, self.because.clone()]);
        cells
    }
}
