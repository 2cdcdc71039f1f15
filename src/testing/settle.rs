//! Driving time until nothing changes by itself any more.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Harness;
use crate::clock::{Clock, SystemClock};
use crate::core::vocabulary::{Name, Timestamp};
use crate::core::{Condition, OutboxView, Pending};
use crate::describe::counted;
use crate::engine::{CollectionStatus, LastObservation, Stats};

/// Moves of the clock before a test is told that this leads nowhere: with the defaults a collection that fails for
/// ever is parked after ten, and years have passed after so many.
const MOST_MOVES: u32 = 10_000;

/// A delivery is never given up; to a test, one that has failed so often in a row, as often as an attempt may with the
/// defaults, is a cause that stands.
const FAILS_FOR_GOOD: u32 = 10;

/// What stands once everything has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    conditions: BTreeMap<Name, Condition>,
}

impl Settled {
    /// Whether the latest inputs of every collection are applied.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.causes().next().is_none()
    }

    /// The condition of one collection.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|(of, _)| of.as_str() == name).map(|(_, condition)| condition)
    }

    /// The collections that are not fresh, and why.
    pub fn causes(&self) -> impl Iterator<Item = (&Name, &Condition)> {
        self.conditions.iter().filter(|(_, condition)| **condition != Condition::Fresh)
    }
}

/// One line for each collection.
impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.conditions.iter().try_for_each(|(name, condition)| writeln!(f, "{name}: {condition}"))
    }
}

/// What the engine and its collections do at one moment.
struct Moment {
    stats: Stats,
    collections: Vec<CollectionStatus>,
}

impl Harness {
    /// Drives the clock from due time to due time until every collection is *settled*: an observation that began after
    /// this call agrees with what is applied, and its destination with that, or a cause stands that nothing but a
    /// change, a person or a worker of its kind removes.
    ///
    /// # Panics
    /// When that does not come within the harness's timeout of real time, as with an attempt that waits for a
    /// [`Gate`](super::Gate), does not listen, or is leased to a remote worker that does not report; when it never comes
    /// however far the clock is moved, as with a source that moves under every attempt; when the engine ends. The
    /// message says what was at work then.
    #[track_caller]
    pub fn run_until_settled(&self) -> Settled {
        let waited = SystemClock::new();
        // So that no observation that has begun by now can be taken for one of what is there now.
        self.advance(Duration::from_micros(1));
        let begun = self.stats().at;
        let mut moves = 0;
        loop {
            let moment = self.moment();
            match moment {
                Some(moment) if moment.collections.iter().all(|status| is_settled(status, begun)) => {
                    return moment.settled();
                }
                Some(moment) => match moment.stats.due {
                    Some(due) if moves < MOST_MOVES => {
                        moves += 1;
                        self.advance(due.since(moment.stats.at));
                    }
                    Some(_) => panic!("not settled after {moves} moves of the clock\n{}", self.doing()),
                    // Nothing is to come: it stands as it is.
                    None => return moment.settled(),
                },
                None if waited.monotonic() < self.timeout() => std::thread::sleep(Duration::from_micros(200)),
                None => panic!("not settled after {:?} of real time\n{}", self.timeout(), self.doing()),
            }
        }
    }

    /// What the engine and its collections do, if all that was to happen until now has happened.
    #[track_caller]
    fn moment(&self) -> Option<Moment> {
        let before = self.stats();
        if !is_quiet(&before) {
            return None;
        }
        let collections = self.answered(self.handle().list());
        let stats = self.stats();
        let same = is_quiet(&stats) && (stats.durable, stats.due, stats.at) == (before.durable, before.due, before.at);
        same.then_some(Moment { stats, collections })
    }

    #[track_caller]
    fn doing(&self) -> String {
        let stats = self.stats();
        let mut lines = String::new();
        for status in self.answered(self.handle().list()) {
            lines += &format!("{}: {}\n", status.view.name, status.view.condition);
        }
        format!(
            "at work: {} ({} asleep, {} abandoned), {} leased, {}, deliveries: {}; {} in the queue\n{lines}",
            counted(stats.attempts, "attempt"),
            stats.sleeping,
            stats.abandoned_workers,
            stats.leased,
            counted(stats.observations, "observation"),
            stats.deliveries,
            counted(stats.queued, "command"),
        )
    }
}

impl Moment {
    fn settled(self) -> Settled {
        let conditions = self.collections.into_iter().map(|status| (status.view.name, status.view.condition));
        Settled { conditions: conditions.collect() }
    }
}

/// Whether nothing happens before time passes. An attempt that was abandoned may come back whenever it likes, and
/// changes nothing then.
fn is_quiet(stats: &Stats) -> bool {
    let awake = stats.attempts.saturating_sub(stats.sleeping + stats.abandoned_workers);
    awake == 0
        && stats.leased == 0
        && stats.observations == 0
        && stats.deliveries == 0
        && stats.queued == 0
        && stats.due.is_none_or(|due| due > stats.at)
}

fn is_settled(status: &CollectionStatus, begun: Timestamp) -> bool {
    let proven = |last: LastObservation| last.started >= begun && last.racy == 0;
    let observed = status.next_observation.is_none() || status.last_observation.is_some_and(proven);
    let admitted = !matches!(status.view.pending, Some(Pending::Settling { .. }));
    let stands = match status.view.condition {
        Condition::Fresh
        | Condition::AwaitingObservation
        | Condition::AwaitingCaller
        | Condition::NoWorker
        | Condition::Held { .. }
        | Condition::Failing { .. }
        | Condition::WaitingForWorker
        | Condition::Isolated { .. }
        | Condition::Limit { .. }
        | Condition::Parked { .. }
        | Condition::Undelivered { .. }
        | Condition::Paused => true,
        Condition::Unobservable { .. } => status.last_observation.is_none_or(|last| !last.goes_on),
        Condition::NotObserved(_)
        | Condition::Settling { .. }
        | Condition::Running { .. }
        | Condition::Draining { .. }
        | Condition::BackingOff { .. }
        | Condition::Moving { .. } => false,
    };
    let given_up =
        |outbox: &OutboxView| outbox.failure.as_ref().is_some_and(|failure| failure.failures >= FAILS_FOR_GOOD);
    let is_met =
        |outbox: &OutboxView| outbox.unpublished + outbox.undiscarded == 0 || status.undeliverable || given_up(outbox);
    observed && admitted && stands && status.view.outbox.as_ref().is_none_or(is_met)
}
