//! What a run tells in numbers, as Prometheus reads them: `lastword metrics`, `GET /metrics`.
//!
//! ```text
//!   Handle::stats, Handle::list_page, the directory of the log  -->  Seen  -->  TABLE  -->  text
//!                                                              (seen.rs)  (table/)  (text.rs)
//! ```
//!
//! Every metric is one row of `table`: its name, type, unit, labels and meaning, and the function that reads it. The text,
//! its help, and the page `tools/lastword/docs/metrics.md` come from the rows; dashboard and alerts below `tools/packaging`
//! are held against them.
//!
//! *Invariant:* it reads and counts nothing itself: no scrape changes what a later one says. *It must not know* who asks.

mod command;
#[cfg(test)]
mod packaging;
mod page;
mod seen;
mod table;
mod text;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use lastword::Handle;

pub(crate) use command::{Arguments, metrics};

/// The media type of the text.
pub(crate) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE as MEDIA;

use crate::fail::Fail;
use seen::{Disk, Fleet, Seen};

/// The metrics of one run.
pub(crate) struct Metrics {
    handle: Handle,
    opened: SystemTime,
    /// What is read at one scrape and may be good for the next. Who holds it reads; who comes meanwhile waits for that.
    kept: Mutex<(Fleet, Disk)>,
}

impl Metrics {
    /// Of the run that has the log in the directory `state` open.
    pub(crate) fn new(handle: Handle, state: &Path) -> Metrics {
        let kept = Mutex::new((Fleet::default(), Disk::new(state)));
        Metrics { handle, opened: SystemTime::now(), kept }
    }

    /// All of them as they are now, in the text format of Prometheus, version 0.0.4.
    pub(crate) fn render(&self) -> Result<String, Fail> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (fleet, disk) = &mut *kept;
        fleet.read(&self.handle)?;
        let log = disk.read();
        text::render(&Seen { stats: self.handle.stats()?, opened: self.opened, fleet, log })
    }
}
