//! The local file system with nothing in it that could be watched: `watch = false`.

use lastword::external::{
    FileReader, Listed, LocalStore, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError, TrafficCounter,
};

/// Lists and reads as [`LocalStore`] does, and names no directory.
pub(super) struct Unwatched(pub(super) LocalStore);

impl Store for Unwatched {
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        self.0.list(source, stop_check, traffic)
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
