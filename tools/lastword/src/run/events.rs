//! The events of this run, in order, each with the line that is printed for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Epoch, Recorded, Timestamp};
use lastword::describe::Describer;
use lastword::engine::{Watch, WatchError, Watched};

use super::Format;
use crate::fail::Fail;

/// Follows a log and shows what this writer adds.
pub(crate) struct Events {
    watch: Watch,
    describer: Describer,
    epoch: Epoch,
    format: Format,
    opened: Option<Timestamp>,
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
    /// `describer` knows everything before the first event of `watch`; `epoch` is the one of the writer whose events are shown.
    pub(crate) fn new(watch: Watch, describer: Describer, epoch: Epoch, format: Format) -> Events {
        Events { watch, describer, epoch, format, opened: None }
    }

    pub(crate) fn next_within(&mut self, timeout: Duration) -> Result<Next, Fail> {
        let until = Instant::now() + timeout;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = match self.watch.next_within(left) {
                Ok(Watched::Event(event)) => event,
                Ok(Watched::Lagged { .. }) => continue,
                Err(WatchError::TimedOut) => return Ok(Next::Nothing),
                Err(WatchError::Closed) => return Ok(Next::Closed),
                Err(WatchError::Replay(error)) => return Err(error.into()),
            };
            let described = self.describer.describe(&event);
            if event.epoch == self.epoch {
                self.opened.get_or_insert(event.at);
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

    /// When this writer opened the log, by the engine's clock; `None` while that was not shown yet.
    pub(crate) fn opened(&self) -> Option<Timestamp> {
        self.opened
    }
}
