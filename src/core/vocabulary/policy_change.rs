//! A declaration that changes a part of a policy. It must not know what any of it means: that is the policy's.

use std::time::Duration;

use super::{AttemptTimeout, Coalesce, EmptySource, Grace, MaxLag, OnChange, Policy, Priority, Resync, Retry};

/// What of a [`Policy`] is changed: what is `None` stays as it is. The names are those of the policy's own fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// [`Policy::on_change`].
    pub on_change: Option<OnChange>,
    /// [`Policy::grace`].
    pub grace: Option<Grace>,
    /// [`Coalesce::quiet`].
    pub quiet: Option<Duration>,
    /// [`Coalesce::max_delay`].
    pub max_delay: Option<Duration>,
    /// [`Policy::empty_source`].
    pub empty_source: Option<EmptySource>,
    /// [`Retry::max_attempts`].
    pub max_attempts: Option<u32>,
    /// [`Retry::base`].
    pub base: Option<Duration>,
    /// [`Retry::cap`].
    pub cap: Option<Duration>,
    /// [`Retry::slow`].
    pub slow: Option<Option<Duration>>,
    /// [`Retry::max_lost`].
    pub max_lost: Option<u32>,
    /// [`Retry::max_lost_alone`].
    pub max_lost_alone: Option<Option<u32>>,
    /// [`Policy::attempt_timeout`].
    pub attempt_timeout: Option<AttemptTimeout>,
    /// [`Policy::priority`].
    pub priority: Option<Priority>,
    /// [`Policy::resync`].
    pub resync: Option<Resync>,
    /// [`Policy::max_lag`].
    pub max_lag: Option<MaxLag>,
}

impl PolicyChange {
    /// What it makes of `policy`.
    #[must_use]
    pub fn of(&self, policy: &Policy) -> Policy {
        // Without `..`: a new field does not compile before it has its place here.
        let Policy { on_change, grace, coalesce, empty_source, retry, attempt_timeout, priority, resync, max_lag } =
            policy;
        let Coalesce { quiet, max_delay } = *coalesce;
        let Retry { max_attempts, base, cap, slow, max_lost, max_lost_alone } = *retry;
        Policy {
            on_change: self.on_change.unwrap_or(*on_change),
            grace: self.grace.unwrap_or(*grace),
            coalesce: Coalesce { quiet: self.quiet.unwrap_or(quiet), max_delay: self.max_delay.unwrap_or(max_delay) },
            empty_source: self.empty_source.unwrap_or(*empty_source),
            retry: Retry {
                max_attempts: self.max_attempts.unwrap_or(max_attempts),
                base: self.base.unwrap_or(base),
                cap: self.cap.unwrap_or(cap),
                slow: self.slow.unwrap_or(slow),
                max_lost: self.max_lost.unwrap_or(max_lost),
                max_lost_alone: self.max_lost_alone.unwrap_or(max_lost_alone),
            },
            attempt_timeout: self.attempt_timeout.unwrap_or(*attempt_timeout),
            priority: self.priority.unwrap_or(*priority),
            resync: self.resync.unwrap_or(*resync),
            max_lag: self.max_lag.unwrap_or(*max_lag),
        }
    }
}
