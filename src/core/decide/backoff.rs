//! Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015), derived from
//! the task's id: the same log decides the same delays, and tasks that failed together do not return together.

use std::time::Duration;

use crate::core::vocabulary::{Policy, Retry, Seq, Timestamp, micros};

/// Whatever a policy says, delays are drawn from no less than this: what fails at once would fill the log otherwise, with
/// thousands of attempts a second.
const SHORTEST: Duration = Duration::from_millis(10);

/// When to try again after the `failures`-th failure in a row of what the event `of` began.
pub(super) fn retry_at(retry: &Retry, of: Seq, failures: u32, at: Timestamp) -> Timestamp {
    let base = micros(retry.base);
    let longest = base.saturating_mul(1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX));
    let longest = longest.min(micros(retry.cap)).max(micros(SHORTEST));
    let dice = mix(of.0.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(failures)));
    // The high half of the product is uniform below `longest`.
    let delay = (u128::from(dice) * u128::from(longest)) >> 64;
    Timestamp(at.0.saturating_add(u64::try_from(delay).unwrap_or(longest)))
}

/// When to try again what has used up its attempts: after `slow`, give or take a tenth. `of` is the attempt that failed.
pub(super) fn slow_retry_at(slow: Duration, of: Seq, at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_add(spread(micros(slow.max(SHORTEST)), of)))
}

/// When what is applied is to be checked again: after the interval, give or take a tenth, so that what was committed
/// together is not checked together for ever. `of` is the event that decides it.
pub(super) fn resync_at(policy: &Policy, of: Seq, at: Timestamp) -> Option<Timestamp> {
    Some(Timestamp(at.0.saturating_add(spread(micros(policy.resync.0?), of))))
}

/// The time, give or take a tenth.
fn spread(every: u64, of: Seq) -> u64 {
    let dice = u128::from(mix(of.0)) * u128::from(every / 5);
    let offset = u64::try_from(dice >> 64).unwrap_or(0);
    (every - every / 10).saturating_add(offset)
}

/// The output function of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_25_no_policy_makes_what_fails_at_once_fill_the_log() {
        let retry = Retry { base: Duration::ZERO, cap: Duration::from_micros(1), ..Retry::default() };
        let delays = (0..1000).map(|task| retry_at(&retry, Seq(task), 9, Timestamp(0)).0);
        assert!((4_000..6_000).contains(&(delays.sum::<u64>() / 1000)), "five milliseconds on average");
        assert!(slow_retry_at(Duration::ZERO, Seq(1), Timestamp(0)) >= Timestamp(9_000));
    }

    #[test]
    fn case_32_delays_grow_with_failures_up_to_the_cap() {
        let retry = Retry::default();
        let longest = |failures| {
            let delays = (0..1000).map(|task| retry_at(&retry, Seq(task), failures, Timestamp(0)).0);
            Duration::from_micros(delays.max().unwrap_or(0))
        };
        assert!(longest(1) <= Duration::from_secs(1) && longest(1) > Duration::from_millis(900));
        assert!(longest(3) <= Duration::from_secs(4) && longest(3) > Duration::from_millis(3600));
        assert!(longest(64) <= Duration::from_secs(30) && longest(64) > Duration::from_secs(27));
        assert!(longest(u32::MAX) <= Duration::from_secs(30));
    }

    #[test]
    fn numbers_are_those_of_splitmix64_from_seed_0() {
        let seeds = [0, 0x9E37_79B9_7F4A_7C15, 0x3C6E_F372_FE94_F82A];
        assert_eq!(seeds.map(mix), [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn case_32_delays_are_spread_evenly() {
        let retry = Retry::default();
        let delays: Vec<u64> = (0..1000).map(|task| retry_at(&retry, Seq(task), 1, Timestamp(0)).0).collect();
        for tenth in 0..10 {
            let there = delays.iter().filter(|delay| **delay / 100_000 == tenth).count();
            assert!((60..140).contains(&there), "{there} of 1000 in tenth {tenth}");
        }
    }
}
