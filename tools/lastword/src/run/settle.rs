//! `--once`: when there is nothing left to wait for.
//!
//! A collection is settled when a look that began after the start agrees with what is applied and began after every
//! file had aged: a file that changed a moment ago may change again without a trace in its times. Or when a cause
//! stands that only a person or a change of the source can remove.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{
    CollectionId, Event, FailReason, Fingerprint, Generation, Name, Recorded, Seq, Timestamp, micros,
};
use lastword::core::{CollectionView, Condition, Pending};
use lastword::engine::{CollectionStatus, LastLook};
use lastword::external::{LocalStore, Source, Store, never_interrupted};

use crate::config::Config;
use crate::status::cause;

/// How long a change of a file may hide the next one: the coarsest clock of common file systems.
const GRANULARITY: Duration = Duration::from_secs(2);

/// A source that changed so often without anything being committed keeps changing: about a minute of looks.
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
    /// Changes since the last commit.
    changes: BTreeMap<CollectionId, u32>,
}

struct Watched {
    source: Source,
    /// For which commit the files were listed, and when the last of them had aged, by the wall clock.
    aged: Option<(Seq, Generation, Timestamp)>,
    /// The first of the looks that failed in a row.
    failed: Option<Timestamp>,
}

impl Settling {
    pub(crate) fn new(config: &Config) -> Settling {
        let watched = |source: &Source| Watched { source: source.clone(), aged: None, failed: None };
        let watched = config.collections.iter().map(|entry| (entry.name.clone(), watched(&entry.source)));
        Settling { watched: watched.collect(), changes: BTreeMap::new() }
    }

    /// Counts what keeps a source from resting.
    pub(crate) fn hear(&mut self, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match &recorded.event {
            Event::SourceObserved { delta: Some(_), .. }
            | Event::AttemptFailed { reason: FailReason::SourceMoved, .. } => {
                *self.changes.entry(id).or_default() += 1;
            }
            Event::TaskCompleted { .. } => {
                self.changes.remove(&id);
            }
            _ => {}
        }
    }

    /// The verdicts, once there is one for every collection. `ahead`: the engine's clock before the wall clock.
    pub(crate) fn judge(&mut self, list: &[CollectionStatus], ahead: Duration) -> Option<Vec<(Name, Verdict)>> {
        let by_name: BTreeMap<&Name, &CollectionStatus> =
            list.iter().map(|status| (&status.view.name, status)).collect();
        let mut verdicts = Vec::with_capacity(self.watched.len());
        for (name, watched) in &mut self.watched {
            let verdict = match by_name.get(name) {
                Some(status) => {
                    let changes = self.changes.get(&status.view.id).copied().unwrap_or(0);
                    watched.judge(status, changes, ahead)
                }
                // Nobody else can write to the log while we do.
                None => {
                    Some(Verdict::Stuck { condition: "dropped", cause: "it is not in the log".to_owned(), held: None })
                }
            };
            // All are judged every time, so that their files age together.
            verdicts.push((name.clone(), verdict));
        }
        verdicts.into_iter().map(|(name, verdict)| Some((name, verdict?))).collect()
    }
}

impl Watched {
    fn judge(&mut self, status: &CollectionStatus, changes: u32, ahead: Duration) -> Option<Verdict> {
        // Looks are forgotten when the log is closed: whatever there is began after the start.
        let look = status.last_look?;
        let view = &status.view;
        if !look.succeeded {
            return self.unobservable(view, look);
        }
        self.failed = None;
        match &view.condition {
            Condition::Fresh => self.has_aged(view, look, ahead).then_some(Verdict::Fresh),
            Condition::Held { .. } | Condition::Parked { .. } | Condition::Paused
                if !matches!(view.pending, Some(Pending::Settling { .. })) =>
            {
                Some(stuck(view))
            }
            condition if changes >= MOST_CHANGES => {
                let cause = format!("its source keeps changing, {changes} times since the last commit");
                Some(Verdict::Stuck { condition: condition.name(), cause, held: held(view) })
            }
            _ => None,
        }
    }

    /// A source that cannot be observed twice in a row stays so; once may be a file that vanished while it was listed.
    fn unobservable(&mut self, view: &CollectionView, look: LastLook) -> Option<Verdict> {
        let first = *self.failed.get_or_insert(look.started);
        let runs = matches!(view.condition, Condition::Running { .. });
        (first < look.started && !runs).then(|| stuck(view))
    }

    /// Whether the last look began when every file that is there had aged.
    fn has_aged(&mut self, view: &CollectionView, look: LastLook, ahead: Duration) -> bool {
        let Some(applied) = &view.applied else { return false };
        let (seq, generation) = (applied.seq, view.generation);
        let known = self.aged.filter(|known| (known.0, known.1) == (seq, generation));
        // One listing per commit; if it fails, the engine's own look will say so.
        let Some(aged) = known.or_else(|| Some((seq, generation, aged_at(&self.source)?))) else { return false };
        self.aged = Some(aged);
        look.started.0.saturating_sub(micros(ahead)) >= aged.2.0
    }
}

fn stuck(view: &CollectionView) -> Verdict {
    Verdict::Stuck { condition: view.condition.name(), cause: cause(view, None), held: held(view) }
}

fn held(view: &CollectionView) -> Option<Fingerprint> {
    view.held().map(|(_, fingerprint)| fingerprint)
}

/// When the last change of any file of the source has aged, by the wall clock. Times in the future are no reason to
/// wait: such a file was changed before the clock was set back.
fn aged_at(source: &Source) -> Option<Timestamp> {
    let listing = LocalStore.list(source, &never_interrupted).ok()?;
    let now = SystemClock::new().wall();
    let changes = listing.iter().map(|(_, stat)| stat.ctime.micros());
    let newest = changes.filter_map(|micros| u64::try_from(micros).ok()).filter(|micros| *micros <= now.0).max();
    Some(newest.map_or(Timestamp(0), |newest| Timestamp(newest).after(GRANULARITY)))
}
