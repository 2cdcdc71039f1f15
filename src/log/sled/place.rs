//! Whether the path of a log still leads to what its writer holds open.
//!
//! It is asked after the sync and before anything is acknowledged: what was acknowledged was durable in the directory
//! that the path led to at that moment. It owns what a log consists of for this question; it must not know what is to
//! happen when the answer is no.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::held::{EmptyDirectory, HeldDirectory, Identity, Replaced, Replacement};
use crate::log::anchor::AnchorFile;
use crate::log::{LogError, OpenError};

const HEAD: &str = "HEAD";

/// What has to stay in its place, beside the directory itself. Whoever takes `LOCK` away lets a second writer in.
const PARTS: [&str; 5] = ["LOCK", HEAD, "sled/db", "sled/blobs", "objects"];

/// The directory of a log, held open, and what lay in it when it was opened.
pub(super) struct Place {
    directory: Arc<HeldDirectory>,
    parts: Vec<(&'static str, Identity)>,
    /// What sled puts there it never syncs. Held open, it can be looked at when there are no descriptors left.
    blobs: EmptyDirectory,
}

impl Place {
    /// `db` is the file that sled has open: its lock says so.
    ///
    /// # Errors
    /// When the path, or one of the files, is not the one that is held.
    pub(super) fn of(
        directory: Arc<HeldDirectory>,
        (lock, head, db): (&File, &AnchorFile, &File),
    ) -> Result<Place, OpenError> {
        let path = directory.path().to_owned();
        let io = |error| OpenError::io("looking at", &path)(error);
        let held = [("LOCK", lock), (HEAD, head.file()), ("sled/db", db)];
        for (name, file) in held {
            let wrong = directory.check_name(name, Identity::of(file).map_err(io)?).map_err(io)?;
            wrong.map_or(Ok(()), |wrong| Err(OpenError::Replaced(wrong)))?;
        }
        // sled locks the file that it opened by the path. If this one is free, that is another.
        if db.try_lock().is_ok() {
            let _ = db.unlock();
            let found = Replacement::Another;
            return Err(OpenError::Replaced(Replaced { path: directory.path().join("sled/db"), found }));
        }
        let mut parts = Vec::with_capacity(PARTS.len());
        for name in PARTS {
            parts.extend(directory.identity_of(name).map_err(io)?.map(|identity| (name, identity)));
        }
        let blobs = EmptyDirectory::open(&directory, "sled/blobs").map_err(io)?;
        Ok(Place { directory, parts, blobs })
    }

    /// # Errors
    /// [`LogError::Replaced`] if the path leads elsewhere, also where only a part is another one, or `HEAD` was written
    /// by somebody else.
    pub(super) fn check(&self, head: &AnchorFile) -> Result<(), LogError> {
        let io = |path: PathBuf| move |source: io::Error| LogError::Io { doing: "looking at", path, source };
        let path = || self.directory.path().to_owned();
        let mut wrong = self.directory.check().map_err(io(path()))?;
        for (name, identity) in &self.parts {
            if wrong.is_none() {
                wrong = self.directory.check_name(name, *identity).map_err(io(path().join(name)))?;
            }
        }
        if wrong.is_none() && !head.is_as_written().map_err(io(path().join(HEAD)))? {
            wrong = Some(Replaced { path: path().join(HEAD), found: Replacement::Rewritten });
        }
        wrong.map_or(Ok(()), |wrong| Err(LogError::Replaced(wrong)))
    }

    /// A value in `blobs/` is one that sled never syncs.
    pub(super) fn check_blobs(&mut self) -> Result<(), LogError> {
        let path = self.directory.path().join("sled/blobs");
        match self.blobs.has_something() {
            Ok(false) => Ok(()),
            Ok(true) => Err(LogError::Storage(format!("it put a value into {}, which it never syncs", path.display()))),
            Err(source) => Err(LogError::Io { doing: "listing", path, source }),
        }
    }
}
