//! The events of this run, in order, each with the line that is printed for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use lastword::Handle;
use lastword::core::vocabulary::{Epoch, Name, Recorded, Seq};
use lastword::describe::Describer;
use lastword::engine::{Watch, WatchError, WatchItem};
use lastword::log::LogError;
use lastword::replay::ReplayError;

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
    handle: Handle,
    watch: Watch,
    /// What comes next.
    next: Seq,
    describer: Describer,
    epoch: Epoch,
    format: Format,
}

/// What came next.
pub(crate) enum Next {
    /// An event of this run, the collection that it is about, and its line.
    Event(Arc<Recorded>, Option<Name>, String),
    /// So many were forgotten (`retain`) before they were read.
    Forgotten(u64),
    /// Nothing in time.
    Nothing,
    /// The reconciler is gone and everything was shown.
    Closed,
}

impl Events {
    /// From `next` on, before which `describer` knows everything; `epoch` is the one of the writer whose events are shown.
    pub(crate) fn new(handle: &Handle, next: Seq, describer: Describer, epoch: Epoch, format: Format) -> Events {
        Events { handle: handle.clone(), watch: handle.watch(next), next, describer, epoch, format }
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
                Err(WatchError::Replay(ReplayError::Log(LogError::PrefixGone { begins }))) if begins > self.next => {
                    let forgotten = begins.0 - self.next.0;
                    (self.watch, self.next) = (self.handle.watch(begins), begins);
                    return Ok(Next::Forgotten(forgotten));
                }
                Err(error) => return Err(error.into()),
            };
            self.next = event.seq.next();
            let described = self.describer.describe(&event);
            if event.epoch == self.epoch {
                let text = match self.format {
                    Format::Text => described.to_string(),
                    Format::Json => described.json(),
                };
                let name = described.name().cloned();
                return Ok(Next::Event(Arc::clone(&event), name, text));
            }
            if left.is_zero() {
                return Ok(Next::Nothing);
            }
        }
    }
}
