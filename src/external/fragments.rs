//! Fragments: the ranges of rows of every file of a path set. Only files that changed are opened.
//! It must not know how fragments are packed into segments.

use std::collections::HashMap;
use std::fmt;

use super::{
    FileVersion, Format, FormatError, Fragment, Instant, Interrupted, ObservedFile, PathSet, RowRange, Segment,
    SourceLocation, SourcePath, StopCheck, Store,
};
use crate::error::ErrorKind;

/// The ranges of rows of files that were read before, by path and version. Files without rows are not in it: they
/// leave no trace in a manifest, and are read again at the cost of a footer each.
#[derive(Debug, Default)]
pub struct FragmentCache<'a> {
    ranges: HashMap<(&'a SourcePath, &'a FileVersion), Vec<RowRange>>,
}

impl<'a> FragmentCache<'a> {
    /// What the segments of an earlier manifest say. Give it all segments of the manifest: each may hold a part of
    /// a file only.
    #[must_use]
    pub fn new(segments: &'a [Segment]) -> FragmentCache<'a> {
        let mut ranges: HashMap<_, Vec<RowRange>> = HashMap::new();
        for fragment in segments.iter().flat_map(|segment| &segment.fragments) {
            let range = RowRange { start: fragment.start, end: fragment.end };
            ranges.entry((&fragment.path, &fragment.version)).or_default().push(range);
        }
        ranges.values_mut().for_each(|ranges| ranges.sort_unstable());
        FragmentCache { ranges }
    }

    fn get<'s>(&'s self, path: &'s SourcePath, version: &'s FileVersion) -> Option<&'s [RowRange]> {
        self.ranges.get(&(path, version)).map(Vec::as_slice)
    }
}

/// The fragments of all files of `set` in ascending order. `done` is called after each file with
/// the number of files done so far; `stop_check` is asked before each one.
///
/// # Errors
/// The first file that cannot be cut, or that the work was told to stop.
pub fn fragments_of(
    (store, source): (&dyn Store, &SourceLocation),
    (format, columns): (&dyn Format, Option<&[String]>),
    set: &PathSet,
    cache: &FragmentCache<'_>,
    stop_check: StopCheck<'_>,
    done: &dyn Fn(usize),
) -> Result<Vec<Fragment>, FragmentError> {
    let mut fragments = Vec::new();
    for (at, (path, ObservedFile { version, last_stat, .. })) in set.files().iter().enumerate() {
        stop_check()?;
        let mut add = |ranges: &[RowRange]| {
            fragments.extend(ranges.iter().map(|range| Fragment {
                path: path.clone(),
                start: range.start,
                end: range.end,
                version: *version,
            }));
        };
        match cache.get(path, version) {
            Some(ranges) => add(ranges),
            None => {
                let failed = |error| FragmentError::File { path: path.clone(), mtime: last_stat.mtime, error };
                let file = store.open(source, path, last_stat).map_err(|error| failed(error.into()))?;
                add(&format.fragments(file.as_ref(), columns).map_err(failed)?);
            }
        }
        done(at + 1);
    }
    Ok(fragments)
}

/// Why the fragments of a source are not known.
#[derive(Debug)]
#[non_exhaustive]
pub enum FragmentError {
    /// One file could not be cut.
    File {
        /// The file.
        path: SourcePath,
        /// When what was tried was modified, as the file says.
        mtime: Instant,
        /// What is wrong with it.
        error: FormatError,
    },
    /// The work was told to stop.
    Interrupted,
}

impl From<Interrupted> for FragmentError {
    fn from(_: Interrupted) -> FragmentError {
        FragmentError::Interrupted
    }
}

impl FragmentError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            FragmentError::File { error, .. } => error.kind(),
            FragmentError::Interrupted => ErrorKind::Stopped,
        }
    }
}

impl fmt::Display for FragmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An error of the store names the file by itself.
            FragmentError::File { error: FormatError::Store(error), .. } => error.fmt(f),
            FragmentError::File { path, error, .. } => write!(f, "{path} {error}"),
            FragmentError::Interrupted => Interrupted.fmt(f),
        }
    }
}

impl std::error::Error for FragmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FragmentError::File { error, .. } => Some(error),
            FragmentError::Interrupted => None,
        }
    }
}
