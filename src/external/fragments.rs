//! Fragments: the ranges of rows of every file of a path set. Only files that changed are opened.
//! It must not know how fragments are packed into segments.

use std::collections::HashMap;
use std::fmt;

use super::format::ask;
use super::{
    FileVersion, Format, FormatError, Fragment, Instant, Interrupted, ObservedFile, PathSet, RowRange, Segment,
    SourceLocation, SourcePath, StopCheck, Store, StoreError,
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

/// How many bad files are named. A person who has ten of them looks for what they have in common.
const MOST_NAMED: usize = 10;

/// Most fragments of one file. Each is a part of a manifest; a Parquet file of this many row groups has a footer of tens of
/// megabytes.
const MOST_FRAGMENTS: usize = 1_000_000;

/// Longest path that is named whole where there are several, in characters.
const MOST_OF_A_PATH: usize = 256;

/// The fragments of all files of `set` in ascending order. `done` is called after each file with
/// the number of files done so far; `stop_check` is asked before each one.
///
/// # Errors
/// All files that cannot be cut; the first that cannot be read; or that the work was told to stop.
pub fn fragments_of(
    (store, source): (&dyn Store, &SourceLocation),
    (format, columns): (&dyn Format, Option<&[String]>),
    set: &PathSet,
    cache: &FragmentCache<'_>,
    stop_check: StopCheck<'_>,
    done: &dyn Fn(usize),
) -> Result<Vec<Fragment>, FragmentError> {
    let (mut fragments, mut rows) = (Vec::new(), 0_u64);
    let mut bad = BadFiles::default();
    for (at, (path, ObservedFile { version, last_stat, .. })) in set.files().enumerate() {
        stop_check()?;
        let mut add = |ranges: &[RowRange]| -> Result<(), FormatError> {
            let own = ranges.last().map_or(0, |last| last.end);
            let all = rows.checked_add(own).ok_or_else(|| {
                FormatError::Unsupported(format!("it has {own} rows, with which all files have more than {}", u64::MAX))
            })?;
            rows = all;
            fragments.extend(ranges.iter().map(|range| Fragment {
                path: path.clone(),
                start: range.start,
                end: range.end,
                version,
            }));
            Ok(())
        };
        let cut = if let Some(ranges) = cache.get(&path, &version).filter(|ranges| fault_in(ranges).is_none()) {
            add(ranges)
        } else {
            // What a format remarks of a file belongs to its name.
            let _named = tracing::warn_span!(target: "lastword::external", "file", %path).entered();
            let opened = store.open(source, &path, &last_stat).map_err(FormatError::Store);
            let ranges = opened.and_then(|file| ask(|| format.fragments(file.as_ref(), columns)));
            ranges.and_then(|ranges| fault_in(&ranges).map_or_else(|| add(&ranges), Err))
        };
        match cut {
            Ok(()) => {}
            // The next file may be as unreadable; and what can be read in a moment is not bad.
            Err(FormatError::Store(error)) => return Err(FragmentError::Store(error)),
            Err(error) => bad.add(&path, last_stat.mtime, error),
        }
        done(at + 1);
    }
    if bad.count == 0 { Ok(fragments) } else { Err(FragmentError::Files(bad)) }
}

/// That there are too many, or where they do not follow one upon the other from row 0 on, as every format promises. What
/// holds other rows than the file, or some of them twice, is not committed.
fn fault_in(ranges: &[RowRange]) -> Option<FormatError> {
    if ranges.len() > MOST_FRAGMENTS {
        let problem = format!("it has {} fragments, and a file may have {MOST_FRAGMENTS}", ranges.len());
        return Some(FormatError::Unsupported(problem));
    }
    let mut next = 0;
    for RowRange { start, end } in ranges {
        if *start != next || end <= start {
            return Some(FormatError::Cut(format!("rows {start} to {end} follow upon row {next}")));
        }
        next = *end;
    }
    None
}

/// Files that cannot be cut: the first ten by name, and how many they are.
#[derive(Debug, Default)]
pub struct BadFiles {
    first: Vec<BadFile>,
    count: u64,
}

/// A file that cannot be cut.
#[derive(Debug)]
#[non_exhaustive]
pub struct BadFile {
    /// The file.
    pub path: SourcePath,
    /// When what was tried was modified, as the file says.
    pub mtime: Instant,
    /// What is wrong with it.
    pub error: FormatError,
}

impl BadFiles {
    fn add(&mut self, path: &SourcePath, mtime: Instant, error: FormatError) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(BadFile { path: path.clone(), mtime, error });
        }
    }

    /// The first of them, ten at most, in ascending order of their paths.
    #[must_use]
    pub fn first(&self) -> &[BadFile] {
        &self.first
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Why the fragments of a source are not known.
#[derive(Debug)]
#[non_exhaustive]
pub enum FragmentError {
    /// Some files cannot be cut. All others were tried.
    Files(BadFiles),
    /// A file could not be read.
    Store(StoreError),
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
            FragmentError::Files(_) => ErrorKind::InvalidInput,
            FragmentError::Store(error) => error.kind(),
            FragmentError::Interrupted => ErrorKind::Stopped,
        }
    }
}

/// Each with what is wrong with it, and what a person can do.
impl fmt::Display for BadFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [BadFile { path, error, .. }] = &*self.first {
            write!(f, "{path} {error}")?;
        } else {
            write!(f, "{} files cannot be used", self.count)?;
            for (at, BadFile { path, error, .. }) in self.first.iter().enumerate() {
                let path = path.to_string();
                let skipped = path.chars().count().saturating_sub(MOST_OF_A_PATH);
                let shown: String = path.chars().skip(skipped).collect();
                let (begin, cut) = (if at == 0 { ": " } else { "; " }, if skipped > 0 { "..." } else { "" });
                write!(f, "{begin}{cut}{shown} {error}")?;
            }
            match self.count - self.first.len() as u64 {
                0 => {}
                more => write!(f, "; and {more} more")?,
            }
        }
        if self.first.iter().any(|file| matches!(file.error, FormatError::Foreign(_))) {
            write!(f, ". Move what is no data away, or exclude it")?;
        }
        Ok(())
    }
}

impl fmt::Display for FragmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FragmentError::Files(files) => files.fmt(f),
            // It names the file by itself.
            FragmentError::Store(error) => error.fmt(f),
            FragmentError::Interrupted => Interrupted.fmt(f),
        }
    }
}

impl std::error::Error for FragmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FragmentError::Files(files) => files.first.first().map(|file| &file.error as _),
            FragmentError::Store(error) => Some(error),
            FragmentError::Interrupted => None,
        }
    }
}
