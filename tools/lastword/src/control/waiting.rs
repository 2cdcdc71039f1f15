//! Waiting for a collection: until one generation is applied, or until it is in step.
//!
//! With a generation the answer is the library's. Without one the question is whether everything that the source
//! holds *now* is applied, and only an observation that began after the question can say that.

use std::time::{Duration, Instant};

use lastword::Handle;
use lastword::core::vocabulary::{Generation, Name, Timestamp};
use lastword::core::{CollectionView, Condition, Pending};
use lastword::engine::{CollectionStatus, WaitOutcome};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::Gone;
use crate::door::Answer;
use crate::facts::{cause, cause_without_run};
use crate::fail::{Fail, USAGE};
use crate::words::seconds;

/// Nothing to tell yet: ask again.
pub(crate) const PENDING: &str = "pending";
/// What was waited for.
pub(crate) const APPLIED: &str = "applied";

/// How often a collection is polled that has to come to rest: a twentieth of a second, which a person does not notice.
const SLICE: Duration = Duration::from_millis(50);

/// What a client waits for.
pub(crate) struct Waiting<'a> {
    pub(crate) handle: &'a Handle,
    pub(crate) name: &'a Name,
    /// Until this is applied.
    pub(crate) generation: Option<Generation>,
    /// Without a generation: an observation that began earlier does not count.
    pub(crate) since: Timestamp,
    /// How long an observation may take.
    pub(crate) timeout: Duration,
    /// How long to wait.
    pub(crate) within: Duration,
}

impl Waiting<'_> {
    /// Waits for `within` at the longest; `stopping` ends it earlier. `gone` tells what is gone from the file.
    pub(crate) async fn wait(
        &self,
        stopping: impl Fn() -> bool,
        gone: impl Fn(&CollectionView) -> Option<Gone>,
    ) -> Result<Answer, Fail> {
        let begun = Instant::now();
        loop {
            let left = self.within.saturating_sub(begun.elapsed());
            let outcome = self.outcome(left.min(SLICE)).await?;
            if outcome != PENDING || begun.elapsed() >= self.within || stopping() {
                // Asked for afterwards, so that it does not say what was before.
                let found = self.status().await?;
                let gone = gone(&found.view);
                let because = match cause(&found.view, gone.as_ref(), found.last_observation) {
                    cause if cause.is_empty() && outcome == PENDING => unheard(&found),
                    cause => cause,
                };
                return Ok(answer((&found.view, gone.as_ref()), because, self.generation, outcome, self.since));
            }
        }
    }

    /// The outcome, or what there is after a short while.
    async fn outcome(&self, slice: Duration) -> Result<&'static str, Fail> {
        let found = self.status().await?;
        if let Some(generation) = self.generation {
            let applied = self.handle.applied(self.name.clone(), generation);
            return Ok(of_waited(timeout(slice, applied).await.unwrap_or(Ok(WaitOutcome::TimedOut))?));
        }
        let last = found.last_observation.filter(|last| last.started >= self.since);
        let outcome = match last {
            Some(last) if last.goes_on => PENDING,
            Some(last) => at_rest(&found.view, last.succeeded),
            None if self.is_given_up(&found.view).await? => "unobservable",
            None if nobody_will(&found.view.condition) => found.view.condition.name(),
            None if found.view.not_observed.is_some() && self.is_late().await? => "not_observed",
            None => PENDING,
        };
        if outcome == PENDING {
            sleep(slice).await;
        }
        Ok(outcome)
    }

    /// Whether the engine has said that the source cannot be observed, without an observation that came back: one that
    /// hangs never does. It says so once; later nothing but the time tells.
    async fn is_given_up(&self, view: &CollectionView) -> Result<bool, Fail> {
        let Some(unobservable) = &view.unobservable else { return Ok(false) };
        Ok(unobservable.since >= self.since || self.is_late().await?)
    }

    /// Whether an observation would have come back by now.
    async fn is_late(&self) -> Result<bool, Fail> {
        Ok(self.handle.request().stats().await?.at.since(self.since) >= self.timeout)
    }

    async fn status(&self) -> Result<CollectionStatus, Fail> {
        let unknown = || Fail::new(USAGE, format!("there is no collection {:?}", self.name));
        self.handle.request().status(self.name.clone()).await?.ok_or_else(unknown)
    }
}

/// Why nothing can be told of a collection that was in step when its source was observed last.
fn unheard(found: &CollectionStatus) -> String {
    match found.observing.map(|look| look.started) {
        Some(since) => {
            format!("the look at its source that began at {} has not come back yet", seconds(&since.to_string()))
        }
        None => "its source was not looked at since".to_owned(),
    }
}

/// What can be told of a log without a running writer, whose last event is so old.
pub(crate) fn known(
    view: &CollectionView,
    gone: Option<&Gone>,
    generation: Option<Generation>,
    last_event: &str,
) -> Answer {
    let applied = view.applied.as_ref().map(|applied| applied.generation);
    let is_applied = generation.is_some_and(|generation| applied.is_some_and(|applied| applied >= generation));
    let because = match cause_without_run(view, gone) {
        // It was fresh when the log heard of it last, which is all that is known.
        because if because.is_empty() && generation.is_none() => format!("nobody looks at its source; {last_event}"),
        because => because,
    };
    let outcome = if is_applied { APPLIED } else { "nobody_runs" };
    answer((view, gone), because, generation, outcome, Timestamp(0)).without("since")
}

fn of_waited(waited: WaitOutcome) -> &'static str {
    match waited {
        WaitOutcome::Applied { .. } => APPLIED,
        WaitOutcome::Superseded { .. } => "superseded",
        WaitOutcome::Parked { .. } => "parked",
        WaitOutcome::Failing { .. } => "failing",
        WaitOutcome::Held { .. } => "held",
        WaitOutcome::Paused => "paused",
        WaitOutcome::Dropped => "dropped",
        WaitOutcome::TimedOut => PENDING,
    }
}

/// Whether nobody in this run builds the collection, or observes its source.
fn nobody_will(condition: &Condition) -> bool {
    matches!(condition, Condition::NoWorker | Condition::AwaitingCaller)
}

/// What a collection has come to whose source was just observed.
fn at_rest(view: &CollectionView, succeeded: bool) -> &'static str {
    if view.held().is_some() && view.task.is_none() {
        return "held";
    }
    let settles = matches!(view.pending, Some(Pending::Settling { .. }));
    match &view.condition {
        Condition::Fresh if succeeded => APPLIED,
        Condition::Unobservable { .. } => "unobservable",
        Condition::Parked { .. } if !settles => "parked",
        Condition::Failing { .. } if !settles => "failing",
        Condition::Paused if !settles => "paused",
        condition if nobody_will(condition) => condition.name(),
        _ => PENDING,
    }
}

/// `cause`: why it is not fresh; empty if it is.
fn answer(
    (view, gone): (&CollectionView, Option<&Gone>),
    cause: String,
    waited_for: Option<Generation>,
    outcome: &str,
    since: Timestamp,
) -> Answer {
    let mut because = match (outcome, view.held(), &view.condition) {
        ("superseded", _, _) => format!("generation {} is wanted by now", view.generation),
        // A task that was parked hides that its source was emptied since.
        ("held", Some((_, held)), Condition::Parked { .. }) => {
            format!("{cause}; what its source holds now has to be confirmed by a person: {held}")
        }
        _ => cause,
    };
    // Who edits the file brings it back; a person did not stop it.
    let by_file = view.paused && gone.is_some_and(|gone| gone.resumes);
    if let Some(generation) = waited_for.filter(|generation| *generation > view.generation) {
        let newest = format!("there is no generation {generation} yet, the newest is {}", view.generation);
        because = if because.is_empty() { newest } else { format!("{newest}; {because}") };
    }
    Answer::new(json!({
        "waited": outcome,
        "collection": view.id.0.0,
        "condition": view.condition.name(),
        "generation": view.generation.0,
        "seq": view.applied.as_ref().map(|applied| applied.seq.0),
        "because": because,
        "held": view.held().map(|(_, held)| held.to_string()),
        "by_file": by_file,
        "since": since.0,
    }))
}
