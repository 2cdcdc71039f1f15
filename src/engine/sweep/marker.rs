//! A note beside the objects that says that nothing is to be swept at the next start: the log was closed at this event,
//! and nothing can have been orphaned since the last sweep had gone through all of it.
//!
//! It is taken away before anything else happens: after a crash there is none.
//!
//! *Architecture invariant:* it is a cache. Without it, or with one that is damaged or of another log, a sweep is made.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::held::HeldDirectory;
use crate::log::Position;

const NAME: &str = "swept";
const UNFINISHED: &str = "tmp/swept";

/// Longer than what is written.
const MOST_BYTES: u64 = 256;

/// Where the note of one log is.
#[derive(Debug)]
pub(in crate::engine) struct Marker(HeldDirectory);

impl Marker {
    /// Of the store of objects in `directory`.
    pub(in crate::engine) fn at(directory: &Path) -> io::Result<Marker> {
        HeldDirectory::open(directory).map(Marker)
    }

    /// Whether a log that was closed at `end` needs no sweep. Takes the note away.
    pub(super) fn take(&self, end: Position) -> bool {
        let mut text = String::new();
        let read = self.0.open_to_read(NAME).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
        let is_gone = self.0.remove_file(NAME).is_ok();
        read.is_ok() && is_gone && text == line(end)
    }

    /// Leaves the note.
    pub(super) fn leave(&self, end: Position) -> io::Result<()> {
        self.0.remove_file(UNFINISHED)?;
        let mut file = self.0.create_new(UNFINISHED)?;
        file.write_all(line(end).as_bytes())?;
        file.sync_all()?;
        self.0.rename(UNFINISHED, NAME)
    }
}

fn line(end: Position) -> String {
    format!("swept 1 {} {}\n", end.seq, end.hash)
}
