//! A point of a log: an event, a time, or the end.

use lastword::core::State;
use lastword::core::vocabulary::{Recorded, Seq, Timestamp};
use lastword::replay::Until;

/// The now of a question about the state as of `until`. A time that was asked for is the now that was asked for;
/// otherwise the last event is, so that the same log always gives the same answer.
pub(crate) fn now_at(state: &State, until: Until) -> Timestamp {
    match until {
        Until::Time(at) => at.max(state.at()),
        Until::Seq(_) | Until::End => state.at(),
    }
}

/// Whether `event` lies behind `until`.
pub(crate) fn is_behind(event: &Recorded, until: Until) -> bool {
    match until {
        Until::End => false,
        Until::Seq(last) => event.seq > last,
        Until::Time(at) => event.at > at,
    }
}

/// The time of a point, for people.
pub(crate) fn time_of(last: Seq, now: Timestamp) -> String {
    if last == Seq::ZERO { "before the first".to_owned() } else { now.to_string() }
}
