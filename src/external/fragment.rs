//! One fragment: a range of rows of one version of a file. It must not know how files are cut or fragments packed.

use super::{FileVersion, SourcePath};

/// A range of rows of one version of one file. The same path and rows with other bytes is another fragment, because
/// its version differs. Ordered by path, then start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fragment {
    /// The file.
    pub path: SourcePath,
    /// The first row, counted from 0 in the file.
    pub start: u64,
    /// The row behind the last one.
    pub end: u64,
    /// Which version of the file. Last, so that the order is by path and rows.
    pub version: FileVersion,
}

impl Fragment {
    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}
