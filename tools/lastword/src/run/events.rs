//! The events of this run, in order, each with the line that is printed for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use lastword::core::vocabulary::{Epoch, Recorded};
use lastword::describe::Describer;
use lastword::engine::{Watch, WatchError, WatchItem};

use crate::fail::Fail;

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One readable line per event
    Text,
    /// One JSON object per event and line
    Json,
}

/// Follows a log and shows what this writer adds.
pub(crate) struct Events {
    watch: Watch,
    describer: Describer,
    epoch: Epoch,
    format: Format,
}

/// What came next.
pub(crate) enum Next {
    /// An event of this run.
    Event(Arc<Recorded>, String),
    /// Nothing in time.
    Nothing,
    /// The reconciler is gone and everything was shown.
    Closed,
}

impl Events {
    /// `describer` knows everything before the first event of `watch`; `epoch` is the one of the writer whose events
    /// are shown.
    pub(crate) fn new(watch: Watch, describer: Describer, epoch: Epoch, format: Format) -> Events {
        Events { watch, describer, epoch, format }
    }

    pub(crate) fn next_within(&mut self, timeout: Duration) -> Result<Next, Fail> {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = match self.watch.next_within(left) {
                Ok(WatchItem::Event(event)) => event,
                Ok(WatchItem::Lagged { .. }) => continue,
                Err(WatchError::TimedOut) => return Ok(Next::Nothing),
                Err(WatchError::Closed) => return Ok(Next::Closed),
                Err(error) => return Err(error.into()),
            };
            let described = self.describer.describe(&event);
            if event.epoch == self.epoch {
                let text = match self.format {
                    Format::Text => described.to_string(),
                    Format::Json => described.json(),
                };
                return Ok(Next::Event(event, text));
            }
            if left.is_zero() {
                return Ok(Next::Nothing);
            }
        }
    }
}
