//! `HEAD` alone: nothing else of a log is read, and nothing is copied.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use lastword::log::{Anchor, OpenError};

use crate::fail::Failure;
use crate::input::{Input, configuration};

/// More than `HEAD` ever has.
const MOST_HEAD: u64 = 64 << 10;

/// What `HEAD` of the log at `state` says. Nothing else is read.
pub(crate) fn read_anchor(state: &Path) -> Result<Anchor, Failure> {
    let path = state.join("HEAD");
    // Two slots are all that is read of it, however long the file is.
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MOST_HEAD).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory if let Some(failure) = configuration(state) => failure,
        // A log that has lost it is damaged; what can be done is told as everywhere.
        io::ErrorKind::NotFound => match Input::open(state) {
            Err(failure) => failure,
            Ok(_) => Failure::io("reading", &path, &error),
        },
        _ => Failure::io("reading", &path, &error),
    })?;
    Ok(Anchor::parse(&bytes).map_err(|found| OpenError::Anchor { path, found })?)
}
