//! `--once`: when there is nothing left to wait for.
//!
//! A collection is settled when an observation that began after the start agrees with what is applied and could not
//! have missed anything: a file that changed a moment ago may change again without a trace in its times. Or when a
//! cause stands that only a person or a change of the source can remove. A source that does not answer never gives an
//! observation to judge by: then the judgement of the engine counts, and after a while the silence itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{CollectionId, Event, FailReason, Fingerprint, Name, Recorded, Seq, Timestamp};
use lastword::core::{CollectionView, Condition, Pending};
use lastword::engine::{CollectionStatus, LastObservation};

use crate::config::Config;
use crate::facts::cause;

/// Observations that may have missed something for so long will not be better for another: a file that is left alone is
/// proven after two seconds, but one that is touched all the time, or whose content cannot be read, never is.
const UNPROVEN: Duration = Duration::from_secs(10);

/// A source that changed so often since the start keeps changing, whether it is committed now and then or not: about a
/// minute of observations.
const MOST_CHANGES: u32 = 120;

/// What is said of a collection that nobody has observed.
const NOT_OBSERVED: &str = "not_observed";

/// Beyond the time that an observation may take: until its end was heard.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

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
    /// Of these the engine has said since the start that they cannot be observed.
    unobservable: BTreeSet<CollectionId>,
    /// How many sources have answered since the start, and since when it is so many.
    answered: (usize, Instant),
    /// How long an observation may take.
    timeout: Duration,
}

struct Watched {
    /// What an observation or an attempt that goes on changes, and since when it is so.
    moved: (Option<Sign>, Instant),
    /// The first of the observations in a row that may have missed something, and the commit it agreed with.
    racy: Option<(Option<Seq>, Timestamp)>,
    /// The first of the observations that failed in a row.
    failed: Option<Timestamp>,
}

/// The last observation that came back, the attempts so far, and how far the running one has come.
type Sign = (Option<Timestamp>, u32, Option<u64>);

impl Settling {
    pub(crate) fn new(config: &Config) -> Settling {
        let watched = |name| (name, Watched { moved: (None, Instant::now()), racy: None, failed: None });
        Settling {
            watched: config.names().map(watched).collect(),
            changes: BTreeMap::new(),
            unobservable: BTreeSet::new(),
            answered: (0, Instant::now()),
            timeout: config.settings.observe_timeout,
        }
    }

    /// Counts what keeps a source from settling.
    pub(crate) fn hear(&mut self, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match &recorded.event {
            Event::SourceObserved { delta: Some(_), .. }
            | Event::AttemptFailed { reason: FailReason::SourceMoved, .. } => {
                *self.changes.entry(id).or_default() += 1;
            }
            Event::ObservationFailed { .. } => {
                self.unobservable.insert(id);
            }
            _ => {}
        }
    }

    /// The verdicts, once there is one for every collection.
    pub(crate) fn judge(&mut self, list: &[CollectionStatus]) -> Option<Vec<(Name, Verdict)>> {
        let by_name: BTreeMap<&Name, &CollectionStatus> =
            list.iter().map(|status| (&status.view.name, status)).collect();
        let answered = list.iter().filter(|status| status.last_observation.is_some()).count();
        if answered != self.answered.0 {
            self.answered = (answered, Instant::now());
        }
        // As long as others get their first answer it may be that this one has not had its turn.
        let (silent_for, patience) = (self.answered.1.elapsed(), self.timeout.saturating_add(HEARD_WITHIN));
        let mut verdicts = Vec::with_capacity(self.watched.len());
        for (name, watched) in &mut self.watched {
            let verdict = match by_name.get(name) {
                Some(status) => {
                    let rests_for = watched.rests_for(status);
                    let changes = self.changes.get(&status.view.id).copied().unwrap_or(0);
                    match status.last_observation {
                        Some(last) => watched.judge(status, last, changes, rests_for >= patience),
                        None => {
                            let is_told = self.unobservable.contains(&status.view.id);
                            unanswered(&status.view, is_told, rests_for.min(silent_for), patience)
                        }
                    }
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
    /// For how long neither an observation nor an attempt has come any further.
    fn rests_for(&mut self, status: &CollectionStatus) -> Duration {
        let last = status.last_observation.map(|last| last.started);
        let sign = Some((last, status.view.attempts, status.progress.map(|progress| progress.done)));
        if self.moved.0 != sign {
            self.moved = (sign, Instant::now());
        }
        self.moved.1.elapsed()
    }

    /// `last`: observations are not kept when the log is closed, so it began after the start. `is_late`: nothing has come
    /// any further for longer than an observation may take.
    fn judge(
        &mut self,
        status: &CollectionStatus,
        last: LastObservation,
        changes: u32,
        is_late: bool,
    ) -> Option<Verdict> {
        let view = &status.view;
        let runs = matches!(view.condition, Condition::Running { .. });
        // One that succeeded would have ended the first: a later one was given up.
        let is_given_up = view.unobservable.is_some() && (is_late || last.succeeded && !runs);
        if is_given_up || view.not_observed.is_some() && is_late {
            return Some(stuck(view, Some(last)));
        }
        if !last.succeeded {
            return self.unobservable(view, last);
        }
        self.failed = None;
        match &view.condition {
            Condition::Fresh => self.is_proven(view, last).then_some(Verdict::Fresh),
            Condition::Held { .. } | Condition::Parked { .. } | Condition::Failing { .. } | Condition::Paused
                if !matches!(view.pending, Some(Pending::Settling { .. })) =>
            {
                Some(stuck(view, Some(last)))
            }
            condition if changes >= MOST_CHANGES => {
                let cause = format!("its source keeps changing, {changes} times since the start");
                Some(Verdict::Stuck { condition: condition.name(), cause, held: held(view) })
            }
            _ => None,
        }
    }

    /// A source that cannot be observed twice in a row stays so; once may be a file that vanished while it was listed. One
    /// that takes several observations to be read is read on.
    fn unobservable(&mut self, view: &CollectionView, last: LastObservation) -> Option<Verdict> {
        if last.goes_on {
            self.failed = None;
            return None;
        }
        let first = *self.failed.get_or_insert(last.started);
        let runs = matches!(view.condition, Condition::Running { .. });
        (first < last.started && !runs).then(|| stuck(view, Some(last)))
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

/// What there is to say of a source of which nothing has come back since the start.
fn unanswered(view: &CollectionView, is_told: bool, silent_for: Duration, timeout: Duration) -> Option<Verdict> {
    let runs = matches!(view.condition, Condition::Running { .. });
    // An event tells it when it becomes so, and none that it still is.
    let is_judged = view.unobservable.is_some() && (is_told && !runs || silent_for >= timeout);
    if is_judged || view.not_observed.is_some() && !runs && silent_for >= timeout {
        return Some(stuck(view, None));
    }
    (silent_for >= timeout.saturating_mul(2)).then(|| {
        let span = humantime::format_duration(Duration::from_secs(silent_for.as_secs()));
        let cause = format!("no observation of its source has come back for {span}");
        Verdict::Stuck { condition: NOT_OBSERVED, cause, held: held(view) }
    })
}

fn stuck(view: &CollectionView, last: Option<LastObservation>) -> Verdict {
    Verdict::Stuck { condition: view.condition.name(), cause: cause(view, None, last), held: held(view) }
}

fn held(view: &CollectionView) -> Option<Fingerprint> {
    view.held().map(|(_, fingerprint)| fingerprint)
}
