//! How long the pause between two observations of a source is: what the last one cost decides.
//!
//! *Architecture invariant:* pure. What an observation cost is told to it, and no clock is read.

use std::time::Duration;

use crate::core::vocabulary::CollectionId;
pub(super) use crate::engine::floor::SOONEST;

/// How often each source is observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserveInterval {
    /// Every 5 seconds, and less often where an observation costs more: never for more than a twentieth of the time, and with
    /// no more requests a day than the budget has; but at least once in 7 days, whatever it costs.
    #[default]
    Auto,
    /// So often, whatever it costs.
    Fixed(Duration),
}

impl From<Duration> for ObserveInterval {
    fn from(interval: Duration) -> ObserveInterval {
        ObserveInterval::Fixed(interval)
    }
}

/// A source that costs little is observed so often: a change is seen within seconds.
const OFTEN: Duration = Duration::from_secs(5);

/// So many times as long as an observation took, none follows: it takes a twentieth of the time.
const REST: u32 = 19;

/// No source is observed less often than this, whatever an observation says that it has cost.
const SELDOM: Duration = Duration::from_secs(7 * 86_400);

const DAY: u128 = 86_400 * 1_000_000;

/// The setting, and what is paid for requests.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Pace {
    pub(in crate::engine) interval: ObserveInterval,
    /// Requests a day of one source, at least 1.
    pub(in crate::engine) budget: u64,
}

impl Pace {
    /// How often a source is observed that costs nothing.
    pub(super) fn shortest(self) -> Duration {
        match self.interval {
            ObserveInterval::Auto => OFTEN,
            ObserveInterval::Fixed(interval) => interval,
        }
    }

    /// What the budget asks for behind so many requests, whatever the observation itself asks for.
    pub(super) fn earned(self, requests: u64) -> Duration {
        match self.interval {
            ObserveInterval::Auto => {
                let micros = (u128::from(requests) * DAY).div_ceil(u128::from(self.budget.max(1)));
                Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).min(SELDOM)
            }
            ObserveInterval::Fixed(_) => Duration::ZERO,
        }
    }

    /// The least that follows an observation that took so long and so many requests.
    fn least(self, took: Duration, requests: u64) -> Duration {
        match self.interval {
            ObserveInterval::Auto => took.saturating_mul(REST).min(SELDOM).max(self.earned(requests)),
            ObserveInterval::Fixed(_) => Duration::ZERO,
        }
    }

    /// The interval, without the jitter.
    pub(super) fn interval(self, took: Duration, requests: u64) -> Duration {
        self.shortest().max(self.least(took, requests))
    }

    /// From when to when the next observation may begin, counted from the end of the last one: the interval give or take a
    /// tenth, and never sooner than what it costs allows.
    pub(super) fn window(self, took: Duration, requests: u64) -> (Duration, Duration) {
        let interval = self.interval(took, requests);
        let (tenth, least) = (interval / 10, self.least(took, requests));
        let latest = interval.saturating_add(tenth);
        // What costs nothing is as seldom as its interval says.
        ((interval - tenth).max(least), if least.is_zero() { latest } else { latest.min(SELDOM) })
    }

    /// When the next observation is due, counted from the end of the last one: collections that were declared together are
    /// not observed together for ever. `dice`: the collection, and how often it was observed.
    pub(super) fn pause(self, took: Duration, requests: u64, dice: (CollectionId, u64)) -> Duration {
        let (soonest, latest) = self.window(took, requests);
        jittered(self.interval(took, requests), dice).clamp(soonest, latest)
    }
}

/// The interval, give or take a tenth.
fn jittered(interval: Duration, (id, count): (CollectionId, u64)) -> Duration {
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let dice = (id.0.0 ^ count.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let fifth = u128::from(micros / 5);
    let offset = u64::try_from((fifth * u128::from(dice)) >> 24).unwrap_or(0);
    Duration::from_micros((micros - micros / 10).saturating_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vocabulary::Seq;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn auto(budget: u64) -> Pace {
        Pace { interval: ObserveInterval::Auto, budget }
    }

    #[test]
    fn the_interval_follows_what_a_look_costs() {
        // Milliseconds that it took, its requests, the budget, and the interval in milliseconds.
        for (took, requests, budget, expected) in [
            (0, 0, 20_000, 5_000),
            (1, 1, 20_000, 5_000),
            (250, 0, 20_000, 5_000),
            (263, 0, 20_000, 5_000),
            (264, 0, 20_000, 5_016),
            (1_000, 0, 20_000, 19_000),
            (1_000, 1, 20_000, 19_000),
            // 4.32 seconds a request.
            (10, 2, 20_000, 8_640),
            (250, 21, 20_000, 90_720),
            (60_000, 21, 20_000, 1_140_000),
            // A listing of a million keys.
            (30_000, 1_001, 20_000, 4_324_320),
            (1, 1, 1, 86_400_000),
            (1, 1, 86_400, 5_000),
            (1, 100, 86_400, 100_000),
            (1, 100, u64::MAX, 5_000),
        ] {
            let interval = auto(budget).interval(ms(took), requests);
            assert_eq!(interval, ms(expected), "{took} ms, {requests} requests of {budget}");
        }
        // What nobody pays for does not wrap around, and what says that it costs more than anything is observed nevertheless.
        for (took, requests) in [(Duration::MAX, u64::MAX), (Duration::MAX, 0), (Duration::ZERO, u64::MAX)] {
            let week = Duration::from_secs(7 * 86_400);
            let dice = (CollectionId(Seq(1)), 1);
            let pace = auto(1);
            assert_eq!((pace.interval(took, requests), pace.window(took, requests)), (week, (week, week)));
            assert_eq!(pace.pause(took, requests, dice), week);
        }
        let fixed = Pace { interval: ms(300).into(), budget: 1 };
        assert_eq!((fixed.interval(ms(60_000), 1_000), fixed.earned(1_000)), (ms(300), Duration::ZERO));
    }

    #[test]
    fn the_pause_stays_in_its_window_and_is_not_always_the_same() {
        for pace in [auto(20_000), Pace { interval: ms(300).into(), budget: 1 }] {
            for (took, requests) in [(0, 0), (250, 1), (1_000, 0), (10, 21)] {
                let (soonest, latest) = pace.window(ms(took), requests);
                let dice = (1..200).map(|count| (CollectionId(Seq(count % 7 + 1)), count));
                let pauses: std::collections::BTreeSet<_> =
                    dice.map(|dice| pace.pause(ms(took), requests, dice)).collect();
                assert!(pauses.iter().all(|pause| (soonest..=latest).contains(pause)), "{pauses:?}");
                assert!(pauses.len() > 50 && soonest >= pace.least(ms(took), requests), "{pauses:?}");
            }
        }
        let nothing = auto(20_000);
        assert_eq!(nothing.window(Duration::ZERO, 0), (ms(4_500), ms(5_500)));
    }
}
