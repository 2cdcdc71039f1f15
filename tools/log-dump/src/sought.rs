//! A log whose frames are looked at while somebody else reads them: whether one has a hash that was noted.

use std::sync::{Arc, Mutex, PoisonError};

use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::log::{FrameBuf, FrameHash, LogError, LogReader, Start};

/// A reader that looks for a frame on its way.
pub(crate) struct Sought<'r> {
    reader: Box<dyn LogReader + 'r>,
    hash: FrameHash,
    found: Arc<Mutex<Option<(Seq, Timestamp)>>>,
}

impl<'r> Sought<'r> {
    pub(crate) fn new(reader: Box<dyn LogReader + 'r>, hash: FrameHash) -> Sought<'r> {
        Sought { reader, hash, found: Arc::default() }
    }

    /// The last event of the frame, and its time, once it was read.
    pub(crate) fn found(&self) -> Option<(Seq, Timestamp)> {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogReader for Sought<'_> {
    fn start(&self) -> Start {
        self.reader.start()
    }

    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_> {
        Box::new(self.reader.frames(from).inspect(|frame| {
            let Ok(frame) = frame else { return };
            let frame = frame.as_frame();
            if frame.hash() == self.hash {
                let found = Some((frame.last(), frame.header().time));
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
            }
        }))
    }

    fn another(&self) -> Box<dyn LogReader> {
        self.reader.another()
    }
}
