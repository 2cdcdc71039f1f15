//! Keeps a source and the log that is written about it apart. Paths do not tell: a link or another mount leads to the same
//! directory under any name. Device and inode do.
//!
//! It must not know how a source is walked.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::SourceLocation;

/// The state directory, and the directories right in it: any of them may be what is mounted or linked into a source.
pub(super) struct Apart {
    state: PathBuf,
    identities: Vec<(u64, u64)>,
}

impl Apart {
    /// Of the log that the source belongs to. Nothing if there is none, or it cannot be found under its path: then its own
    /// owner will say so.
    pub(super) fn of(source: &SourceLocation) -> Option<Apart> {
        let state = fs::canonicalize(source.state_directory()?).ok()?;
        let mut identities = vec![identity(&fs::metadata(&state).ok()?)];
        for entry in fs::read_dir(&state).into_iter().flatten().flatten() {
            identities.extend(entry.metadata().ok().filter(Metadata::is_dir).map(|found| identity(&found)));
        }
        Some(Apart { state, identities })
    }

    /// The state directory, if this is a directory of it, by its device and inode.
    pub(super) fn met(&self, directory: (u64, u64)) -> Option<&Path> {
        self.identities.contains(&directory).then_some(&*self.state)
    }

    /// The state directory, if this path, which has no links in it, leads into it.
    pub(super) fn is_around(&self, real: &Path) -> Option<&Path> {
        let above = |path: &Path| fs::metadata(path).is_ok_and(|found| self.met(identity(&found)).is_some());
        real.ancestors().any(above).then_some(&*self.state)
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
