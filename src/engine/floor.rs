//! How often something may begin at the most, whoever asks for it.
//!
//! *Architecture invariant:* pure. What begins is told to it, and no clock is read.

use std::time::Duration;

use crate::core::vocabulary::{Timestamp, micros};

/// One in so long: what is never at rest, or is asked for in a loop, would take a whole core without it.
pub(super) const SOONEST: Duration = Duration::from_millis(10);

/// What has rested may be done in advance of that: a hundred times, for callers that wait for each.
const IN_ADVANCE: Duration = Duration::from_secs(1);

/// How many have begun lately: observations of one source, or attempts that one worker has handed back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begun {
    /// Those that have begun are paid for by then, each with [`SOONEST`].
    paid: Timestamp,
}

impl Begun {
    /// One begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.paid = self.paid.max(now).after(SOONEST);
    }

    /// When the next one may begin.
    pub(super) fn next(self) -> Timestamp {
        Timestamp(self.paid.0.saturating_sub(micros(IN_ADVANCE)))
    }

    /// Whether nothing of it is left to be remembered.
    pub(super) fn is_paid(self, now: Timestamp) -> bool {
        self.paid <= now
    }
}
