//! Which events are asked for.

use clap::Args;
use glob::Pattern;
use lastword::core::vocabulary::{Seq, Timestamp};

use super::values::{parse_glob, parse_time, parse_type};

/// Which events. All conditions have to hold.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectionArgs {
    /// From this event on.
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<u64>,
    /// Up to but without this event.
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// From this time on: RFC 3339, seconds since the Unix epoch, or how long ago, such as 2h or 30m.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Up to but without this time (half-open, like --to): RFC 3339, seconds since the Unix epoch, or how long ago.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// The last N of what the other conditions leave.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// Events of these types.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = parse_type)]
    types: Vec<u16>,
    /// Events of collections whose name matches: `*` any characters, `?` one, `[a-z]` one of these.
    #[arg(long, value_name = "GLOB", value_parser = parse_glob)]
    collection: Option<Pattern>,
}

impl SelectionArgs {
    /// All events behind this one.
    pub(crate) fn behind(seq: Seq) -> SelectionArgs {
        SelectionArgs { from: Some(seq.next().0), ..SelectionArgs::default() }
    }

    /// What is said if nothing was selected of a log that holds these events.
    pub(crate) fn nothing(&self, first: Seq, last: Seq) -> String {
        if last < first {
            return "there are no events in this log".to_owned();
        }
        let collection = self.collection.as_ref().map(|glob| format!(" of collections {:?}", glob.as_str()));
        format!("no event{} is selected; the log holds events {first} to {last}", collection.unwrap_or_default())
    }

    /// The first event that may be selected.
    pub fn first(&self) -> Seq {
        Seq(self.from.unwrap_or(1).max(1))
    }

    /// The first event behind those that may be selected, in a log that ends with `end`.
    pub fn end(&self, end: Seq) -> Seq {
        let behind = end.next();
        Seq(self.to.unwrap_or(behind.0)).min(behind).max(self.first().min(behind))
    }

    /// Whether an event of a log is selected, `last` aside. `name` is that of its collection.
    pub fn holds(&self, seq: Seq, at: Timestamp, event_type: u16, name: Option<&str>) -> bool {
        self.from.is_none_or(|from| seq.0 >= from)
            && self.to.is_none_or(|to| seq.0 < to)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && (self.types.is_empty() || self.types.contains(&event_type))
            && self.collection.as_ref().is_none_or(|glob| name.is_some_and(|name| glob.matches(name)))
    }

    /// Whether nothing from here on can be selected, so that reading may stop.
    pub fn is_over(&self, seq: Seq, at: Timestamp) -> bool {
        self.to.is_some_and(|to| seq.0 >= to) || self.until.is_some_and(|until| at >= until)
    }
}
