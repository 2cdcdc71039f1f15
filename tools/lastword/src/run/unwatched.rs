//! The local file system with nothing in it that could be watched: `watch = false`.

use lastword::external::{Checkpoint, FileReader, Listing, LocalStore, Source, SourcePath, Stat, Store, StoreError};

/// Lists and reads as [`LocalStore`] does, and names no directory.
pub(super) struct Unwatched(pub(super) LocalStore);

impl Store for Unwatched {
    fn list(&self, source: &Source, checkpoint: Checkpoint<'_>) -> Result<Listing, StoreError> {
        self.0.list(source, checkpoint)
    }

    fn stat(&self, source: &Source, path: &SourcePath) -> Result<Stat, StoreError> {
        self.0.stat(source, path)
    }

    fn open(&self, source: &Source, path: &SourcePath, listed: &Stat) -> Result<Box<dyn FileReader>, StoreError> {
        self.0.open(source, path, listed)
    }
}
