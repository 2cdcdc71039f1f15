//! The local file system with nothing in it that could be watched: `watch = false`.

use lastword::external::{
    FileReader, Listed, Listing, LocalStore, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError,
};

/// Lists and reads as [`LocalStore`] does, and names no directory.
pub(super) struct Unwatched(pub(super) LocalStore);

impl Store for Unwatched {
    fn list(&self, source: &SourceLocation, check_stop: StopCheck<'_>) -> Result<Listing, StoreError> {
        self.0.list(source, check_stop)
    }

    fn list_and_tell(&self, source: &SourceLocation, check_stop: StopCheck<'_>) -> Result<Listed, StoreError> {
        self.0.list_and_tell(source, check_stop)
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
