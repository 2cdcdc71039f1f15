//! A log that this process writes, as far as it was durable when it was asked: read where it lies, and not copied. It must not
//! know who writes it.

use std::fmt;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::log::{FrameBuf, LogError, LogReader, Position, Start};
use lastword::snapshot::Snapshots;

use crate::fail::Failure;

/// The log.
pub struct Live {
    reader: UpTo,
    state: PathBuf,
    objects: PathBuf,
    end: Position,
    time: Timestamp,
}

impl Live {
    /// The log in `state` up to `durable`, the last event of a frame that `reader` reads.
    ///
    /// # Errors
    /// When that frame cannot be read.
    pub fn up_to(durable: Seq, reader: Box<dyn LogReader>, state: &Path) -> Result<Live, Failure> {
        let last = (durable > Seq::ZERO).then(|| reader.frames(durable).next()).flatten().transpose()?;
        let (end, time) = last.map_or((Position::START, Timestamp(0)), |frame| {
            let frame = frame.as_frame();
            (Position::of(&frame), frame.header().time)
        });
        Ok(Live {
            reader: UpTo { reader, end: end.seq },
            state: state.to_owned(),
            objects: state.join("objects"),
            end,
            time,
        })
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn reader(&self) -> &dyn LogReader {
        &self.reader
    }

    pub(crate) fn end(&self) -> Position {
        self.end
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    pub(crate) fn objects(&self) -> &Path {
        &self.objects
    }

    pub(crate) fn snapshots(&self) -> Snapshots {
        Snapshots::of_log(&self.state)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("state", &self.state).field("end", &self.end).finish_non_exhaustive()
    }
}

/// What comes behind the end is appended, and perhaps not durable yet.
struct UpTo {
    reader: Box<dyn LogReader>,
    end: Seq,
}

impl LogReader for UpTo {
    fn start(&self) -> Start {
        self.reader.start()
    }

    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_> {
        let is_before = |frame: &Result<FrameBuf, LogError>| {
            frame.as_ref().map_or(true, |frame| frame.as_frame().last() <= self.end)
        };
        Box::new(self.reader.frames(from).take_while(is_before))
    }

    fn another(&self) -> Box<dyn LogReader> {
        Box::new(UpTo { reader: self.reader.another(), end: self.end })
    }
}
