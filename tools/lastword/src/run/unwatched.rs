//! The local file system with nothing in it that could be watched: `watch = false`.

use lastword::external::{
    FileReader, Listing, LocalStore, Mounts, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError,
};

/// Lists and reads as [`LocalStore`] does, and names no directory.
pub(super) struct Unwatched(pub(super) LocalStore);

impl Store for Unwatched {
    fn list(&self, source: &SourceLocation, check_stop: StopCheck<'_>) -> Result<Listing, StoreError> {
        self.0.list(source, check_stop)
    }

    fn list_with_mounts(
        &self,
        source: &SourceLocation,
        check_stop: StopCheck<'_>,
    ) -> Result<(Listing, Mounts), StoreError> {
        self.0.list_with_mounts(source, check_stop)
    }

    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        self.0.stat(source, path)
    }

    fn open(
        &self,
        source: &SourceLocation,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError> {
        self.0.open(source, path, listed)
    }
}
