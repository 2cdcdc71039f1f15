//! Waiting for a collection: until one generation is applied, or until it is in step.
//!
//! With a generation the answer is the library's. Without one the question is whether everything that the source
//! holds *now* is applied, and only a look that began after the question can say that.

use std::time::{Duration, Instant};

use lastword::Handle;
use lastword::core::vocabulary::{Generation, Name, Timestamp};
use lastword::core::{CollectionView, Condition, Pending};
use lastword::engine::Waited;
use serde_json::json;

use super::{Answer, MOST_WAIT};
use crate::fail::{Fail, USAGE};
use crate::status::cause;

/// Nothing to tell yet: ask again.
pub(crate) const PENDING: &str = "pending";
/// What was waited for.
pub(crate) const APPLIED: &str = "applied";

/// How often a collection is looked at that has to come to rest: nobody notices a twentieth of a second.
const SLICE: Duration = Duration::from_millis(50);

/// Waits for [`MOST_WAIT`] at the longest; `stopping` ends it earlier. `since`: nothing that a look saw that began
/// before counts.
pub(super) fn wait(
    handle: &Handle,
    name: &Name,
    (generation, since): (Option<Generation>, Timestamp),
    stopping: impl Fn() -> bool,
) -> Result<Answer, Fail> {
    let begun = Instant::now();
    loop {
        let found = handle.status(name.clone())?;
        let found = found.ok_or_else(|| Fail::new(USAGE, format!("there is no collection {name:?}")))?;
        let outcome = match generation {
            Some(generation) => of_waited(handle.wait_applied(name.clone(), generation, SLICE)?),
            None => match found.last_look {
                Some(look) if look.started >= since => at_rest(&found.view, look.succeeded),
                Some(_) | None => PENDING,
            },
        };
        if outcome != PENDING || begun.elapsed() >= MOST_WAIT || stopping() {
            return Ok(answer(&found.view, outcome, since));
        }
        if generation.is_none() {
            std::thread::sleep(SLICE);
        }
    }
}

/// What can be told of a log that nobody writes.
pub(crate) fn known(view: &CollectionView, generation: Option<Generation>) -> Answer {
    let applied = view.applied.as_ref().map(|applied| applied.generation);
    let is_applied = generation.is_some_and(|generation| applied.is_some_and(|applied| applied >= generation));
    let outcome = if is_applied { APPLIED } else { "nobody_runs" };
    answer(view, outcome, Timestamp(0)).without("since")
}

fn of_waited(waited: Waited) -> &'static str {
    match waited {
        Waited::Applied { .. } => APPLIED,
        Waited::Superseded { .. } => "superseded",
        Waited::Parked { .. } => "parked",
        Waited::Held { .. } => "held",
        Waited::Paused => "paused",
        Waited::Dropped => "dropped",
        Waited::TimedOut => PENDING,
    }
}

/// What a collection has come to whose source was just looked at.
fn at_rest(view: &CollectionView, succeeded: bool) -> &'static str {
    if view.held().is_some() && view.task.is_none() {
        return "held";
    }
    let settles = matches!(view.pending, Some(Pending::Settling { .. }));
    match &view.condition {
        Condition::Fresh if succeeded => APPLIED,
        Condition::Unobservable { .. } => "unobservable",
        Condition::Parked { .. } if !settles => "parked",
        Condition::Paused if !settles => "paused",
        _ => PENDING,
    }
}

fn answer(view: &CollectionView, outcome: &str, since: Timestamp) -> Answer {
    let because = match (outcome, view.held(), &view.condition) {
        ("superseded", _, _) => format!("generation {} is wanted by now", view.generation),
        // A task that was parked hides that its source was emptied since.
        ("held", Some((_, held)), Condition::Parked { .. }) => {
            format!("{}; what its source holds now has to be confirmed by a person: {held}", cause(view))
        }
        _ => cause(view),
    };
    Answer::new(json!({
        "waited": outcome,
        "collection": view.id.0.0,
        "condition": view.condition.name(),
        "generation": view.generation.0,
        "seq": view.applied.as_ref().map(|applied| applied.seq.0),
        "because": because,
        "since": since.0,
    }))
}
