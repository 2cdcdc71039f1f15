//! How much of the past is kept: data.
//!
//! *Architecture invariant:* data alone. When something is deleted is decided in `history.rs`.

use std::time::Duration;

use crate::core::vocabulary::{Seq, Timestamp};
use crate::snapshot::Limit;

/// How much of the past is kept. An event stays for as long as either of the two wants it; with neither, for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// At least this many of the last events.
    pub events: Option<u64>,
    /// At least everything that is not older than this.
    pub age: Option<Duration>,
}

impl Retention {
    pub(super) fn is_everything(self) -> bool {
        self == Retention::default()
    }

    /// What may go.
    pub(super) fn limit(self, last: Seq, now: Timestamp) -> Limit {
        let seq = Seq(last.0.saturating_sub(self.events.unwrap_or(0)));
        let before =
            |age: Duration| Timestamp(now.0.saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)));
        Limit { seq, time: self.age.map(before) }
    }
}
