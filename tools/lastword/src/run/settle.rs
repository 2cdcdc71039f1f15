//! `--once`: when there is nothing left to wait for.
//!
//! A collection is settled when an observation that began after the start agrees with what is applied and could not
//! have missed anything: a file that changed a moment ago may change again without a trace in its times. Or when a
//! cause stands that only a person or a change of the source can remove.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Event, FailReason, Fingerprint, Name, Recorded, Seq, Timestamp};
use lastword::core::{CollectionView, Condition, Pending};
use lastword::engine::{CollectionStatus, LastObservation};

use crate::config::Config;
use crate::status::cause;

/// Observations that may have missed something for so long will not be better for another: a file that is left alone is
/// proven after two seconds, but one that is touched all the time, or whose content cannot be read, never is.
const UNPROVEN: Duration = Duration::from_secs(10);

/// A source that changed so often since the start keeps changing, whether it is committed now and then or not: about a
/// minute of observations.
const MOST_CHANGES: u32 = 120;

/// How a collection ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that its source holds is applied.
    Fresh,
    /// It is not fresh, and waiting does not help.
    Stuck {
        condition: &'static str,
        cause: String,
        /// What waits to be confirmed.
        held: Option<Fingerprint>,
    },
}

/// Judges the collections of one configuration.
pub(crate) struct Settling {
    watched: BTreeMap<Name, Watched>,
    /// Changes since the start.
    changes: BTreeMap<CollectionId, u32>,
}

#[derive(Default)]
struct Watched {
    /// The first of the observations in a row that may have missed something, and the commit it agreed with.
    racy: Option<(Option<Seq>, Timestamp)>,
    /// The first of the observations that failed in a row.
    failed: Option<Timestamp>,
}

impl Settling {
    pub(crate) fn new(config: &Config) -> Settling {
        let watched = config.names().map(|name| (name, Watched::default()));
        Settling { watched: watched.collect(), changes: BTreeMap::new() }
    }

    /// Counts what keeps a source from settling.
    pub(crate) fn hear(&mut self, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match &recorded.event {
            Event::SourceObserved { delta: Some(_), .. }
            | Event::AttemptFailed { reason: FailReason::SourceMoved, .. } => {
                *self.changes.entry(id).or_default() += 1;
            }
            _ => {}
        }
    }

    /// The verdicts, once there is one for every collection.
    pub(crate) fn judge(&mut self, list: &[CollectionStatus]) -> Option<Vec<(Name, Verdict)>> {
        let by_name: BTreeMap<&Name, &CollectionStatus> =
            list.iter().map(|status| (&status.view.name, status)).collect();
        let mut verdicts = Vec::with_capacity(self.watched.len());
        for (name, watched) in &mut self.watched {
            let verdict = match by_name.get(name) {
                Some(status) => {
                    let changes = self.changes.get(&status.view.id).copied().unwrap_or(0);
                    watched.judge(status, changes)
                }
                // No other process can write to the log while this one does.
                None => {
                    Some(Verdict::Stuck { condition: "dropped", cause: "it is not in the log".to_owned(), held: None })
                }
            };
            // All are judged every time, so that each sees every observation of it.
            verdicts.push((name.clone(), verdict));
        }
        verdicts.into_iter().map(|(name, verdict)| Some((name, verdict?))).collect()
    }
}

impl Watched {
    fn judge(&mut self, status: &CollectionStatus, changes: u32) -> Option<Verdict> {
        // Observations are not kept when the log is closed: whatever there is began after the start.
        let last = status.last_observation?;
        let view = &status.view;
        if !last.succeeded {
            return self.unobservable(view, last);
        }
        self.failed = None;
        match &view.condition {
            Condition::Fresh => self.is_proven(view, last).then_some(Verdict::Fresh),
            Condition::Held { .. } | Condition::Parked { .. } | Condition::Failing { .. } | Condition::Paused
                if !matches!(view.pending, Some(Pending::Settling { .. })) =>
            {
                Some(stuck(view))
            }
            condition if changes >= MOST_CHANGES => {
                let cause = format!("its source keeps changing, {changes} times since the start");
                Some(Verdict::Stuck { condition: condition.name(), cause, held: held(view) })
            }
            _ => None,
        }
    }

    /// A source that cannot be observed twice in a row stays so; once may be a file that vanished while it was listed.
    fn unobservable(&mut self, view: &CollectionView, last: LastObservation) -> Option<Verdict> {
        let first = *self.failed.get_or_insert(last.started);
        let runs = matches!(view.condition, Condition::Running { .. });
        (first < last.started && !runs).then(|| stuck(view))
    }

    /// Whether the last observation could have missed nothing, or nothing is won by waiting for one that could not.
    fn is_proven(&mut self, view: &CollectionView, last: LastObservation) -> bool {
        let applied = view.applied.as_ref().map(|applied| applied.seq);
        if last.racy == 0 {
            self.racy = None;
            return true;
        }
        let known = self.racy.filter(|(seq, _)| *seq == applied);
        let (_, first) = *self.racy.insert(known.unwrap_or((applied, last.started)));
        last.started.since(first) >= UNPROVEN
    }
}

fn stuck(view: &CollectionView) -> Verdict {
    Verdict::Stuck { condition: view.condition.name(), cause: cause(view, None), held: held(view) }
}

fn held(view: &CollectionView) -> Option<Fingerprint> {
    view.held().map(|(_, fingerprint)| fingerprint)
}
