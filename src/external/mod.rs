//! External collections: a directory of Parquet files, scanned, cut into segments, kept in step.
//!
//! ```text
//! scan ──> PathSet ──> fragments ──> plan ──> builder ──> scan again ──> manifest
//!          (digest =   (row groups,  (kept,              (equal? else   (a tree of
//!           version)    footers)      new, dropped)       Moved)         objects)
//! ```
//!
//! What makes a version of a file, and when its content is read to be sure, is written down in `judge.rs`. If little has changed,
//! only that is planned and written: `standing.rs`.
//!
//! Everything here is a function of what it is given: no clock is read, and the only threads are those that build
//! several segments of one attempt, which end with it. It must not know the engine, events or the log; `worker.rs`
//! carries these functions to the engine.

mod address;
mod apart;
mod balance;
mod bucket;
#[cfg(feature = "_buckets")]
mod buckets;
mod build;
mod build_error;
mod builder;
mod cache;
mod changes;
mod content;
mod destination;
mod directory;
mod enclosing;
mod evidence;
mod format;
mod formats;
mod fragment;
mod fragments;
#[cfg(all(feature = "notify", target_os = "linux"))]
mod inotify;
mod judge;
mod listed;
mod local;
mod manifest;
mod memory;
mod mount;
mod mount_table;
mod names;
mod next_set;
mod packed;
mod parallel;
#[cfg(feature = "external")]
mod parquet;
mod path;
mod path_set;
mod patterns;
mod scan;
mod segments;
mod shared;
mod skip;
mod source;
mod source_error;
mod spec;
mod standing;
mod store;
mod tag;
mod takeover;
#[cfg(feature = "external")]
mod thrift;
mod version;
#[cfg(all(feature = "notify", target_os = "linux"))]
mod watch;
mod whole;
mod wire;
mod worker;

use std::fmt;

use crate::error::ErrorKind;

pub(crate) use crate::core::vocabulary::FieldError;
pub use crate::worker::TrafficCounter;
pub use address::FileAddress;
pub use balance::balance;
pub use bucket::{Bucket, BucketPrefix, Scheme};
#[cfg(feature = "_buckets")]
pub use buckets::{Access, Buckets, Examination, Finding, FindingOutcome, NeededBy, SecretName};
pub use build::{Build, BuildFailed, BuildOutcome, BuildProgress, build};
pub use build_error::BuildError;
pub use builder::{Discard, NoBuilder, SegmentBuilder, SegmentJob};
pub use changes::{Change, Changes};
pub use destination::{VerifyError, discard, verify};
pub use directory::Directory;
pub use format::{Format, FormatError, RowRange};
pub use formats::format_of;
pub use fragment::Fragment;
pub use fragments::{BadFile, BadFiles, FragmentCache, FragmentError, fragments_of};
pub use listed::SourceFile;
pub use local::LocalStore;
pub use manifest::{Manifest, ManifestError, manifest_json};
pub use mount::{Mount, Mounts};
#[cfg(feature = "external")]
pub use parquet::Parquet;
pub use path::SourcePath;
pub use path_set::{Difference, PathSet};
pub use patterns::Patterns;
pub use scan::{Scan, ScanRequest, StoredSet, load_set, scan, store_set};
pub use segments::{Layout, NewSegment, Plan, Segment, SegmentId, SegmentKey, check, plan};
pub use source::{SourceLocation, SourceUri};
pub use source_error::SourceError;
pub use spec::ExternalSpec;
pub use store::{FileReader, LeftOut, Listed, Listing, MAX_DEPTH, MAX_FILES, MAX_PATH_BYTES, Store, StoreError};
pub use tag::EntityTag;
#[cfg(feature = "internals")]
pub use takeover::{note_of, noted};
pub use version::{ContentHash, FileVersion, Instant, ObservedFile, Stat};
pub use whole::WholeFiles;
pub use worker::External;

/// The work was told to stop: cancelled, superseded or shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl Interrupted {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stopped
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the work was told to stop")
    }
}

impl std::error::Error for Interrupted {}

/// Asked between steps, at least once per file: whether to go on.
pub type StopCheck<'a> = &'a (dyn Fn() -> Result<(), Interrupted> + Sync + 'a);

/// The [`StopCheck`] of work that is never told to stop.
///
/// # Errors
/// Never.
pub fn never_interrupted() -> Result<(), Interrupted> {
    Ok(())
}
