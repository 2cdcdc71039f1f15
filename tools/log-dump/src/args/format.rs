//! In which forms events are written.

use clap::ValueEnum;

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line for people.
    Text,
    /// JSON Lines with stable keys; the last line is a summary.
    Json,
    /// A line of headings, and one for each event.
    Csv,
    /// Trace events in JSON, which Perfetto and chrome://tracing open: a track for each collection, a bar for each attempt, an
    /// instant for each change.
    Trace,
}
