//! Manifests: the segments of a collection as a tree of objects, and as JSON.
//!
//! The tree has one entry for the manifest itself and one for each segment (numbers little-endian but in keys):
//!
//! ```text
//! 00                                   u16 version = 1  u64 target_rows  u64 segments  u64 rows
//! 01  u64 epoch  u64 seq  u32 n (all   32 bytes key  u64 rows  u8 0, or 1 and the output behind its length
//!     big-endian: keys sort by id)     u32 fragments, each:  u32 path length  path  file version
//!                                                            u64 start  u64 end
//! ```

use std::fmt;

use serde_json::{Value, json};

use super::path::percent_encode;
use super::segments::write_fragment;
use super::wire::{Reader, Writer};
use super::{FileVersion, Fragment, Layout, Segment, SegmentId, SegmentKey, SourcePath, check};
use crate::core::vocabulary::{Epoch, Fingerprint, ObjectHash, Seq, Token};
use crate::error::ErrorKind;
use crate::objects::Objects;
use crate::objects::tree::{self, Entry, Root, TreeError};

const VERSION: u16 = 1;
const HEADER: u8 = 0;
const SEGMENT: u8 = 1;

/// The segments that a commit names, and the layout they were packed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The layout.
    pub layout: Layout,
    /// The segments, in ascending order of their ids.
    pub segments: Vec<Segment>,
}

impl Manifest {
    /// The rows of all segments together. Saturates.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.rows))
    }

    /// Writes the manifest. When this returns it is durable. Segments that the last manifest has as well cost
    /// nothing but their share of the nodes above them.
    ///
    /// # Errors
    /// When the segments are not in order, or the store fails.
    pub fn write(&self, objects: &dyn Objects) -> Result<Root, TreeError> {
        let header = header_entry(self.layout, self.segments.len() as u64, self.rows());
        tree::build(objects, std::iter::once(header).chain(self.segments.iter().map(segment_entry)))
    }

    /// Reads a manifest and checks it, by [`check`] too.
    ///
    /// # Errors
    /// When an object is missing or damaged, or the tree is not one of a manifest.
    pub fn read(objects: &dyn Objects, root: ObjectHash) -> Result<Manifest, ManifestError> {
        let malformed = |problem: String| ManifestError::Malformed { root, problem };
        let mut entries = tree::read(objects, root);
        let header = entries.next().transpose()?.ok_or_else(|| malformed("it has no header".to_owned()))?;
        let (layout, count, rows) =
            read_header(&header.0, &header.1).map_err(|problem| malformed(problem.to_owned()))?;
        let mut manifest = Manifest { layout, segments: Vec::new() };
        for entry in entries {
            manifest.segments.push(read_segment(&entry?).map_err(|problem| malformed(problem.to_owned()))?);
        }
        if (manifest.segments.len() as u64, manifest.rows()) != (count, rows) {
            return Err(malformed("it does not hold what its header says".to_owned()));
        }
        check(&manifest.segments).map_err(malformed)?;
        Ok(manifest)
    }
}

/// The entry of the manifest itself: its layout, how many segments it has, and their rows together.
pub(super) fn header_entry(layout: Layout, segments: u64, rows: u64) -> Entry {
    let mut bytes = Writer::default();
    bytes.raw(&VERSION.to_le_bytes());
    bytes.u64(layout.target_rows);
    bytes.u64(segments);
    bytes.u64(rows);
    (vec![HEADER], bytes.0)
}

/// Under which key a segment lies.
pub(super) fn segment_key(id: SegmentId) -> Vec<u8> {
    let mut key = vec![SEGMENT];
    key.extend_from_slice(&id.token.epoch.0.to_be_bytes());
    key.extend_from_slice(&id.token.seq.0.to_be_bytes());
    key.extend_from_slice(&id.n.to_be_bytes());
    key
}

pub(super) fn segment_entry(segment: &Segment) -> Entry {
    let mut value = Writer::default();
    value.raw(&segment.key.0);
    value.u64(segment.rows);
    value.option(segment.output.as_deref());
    value.len(segment.fragments.len());
    segment.fragments.iter().for_each(|fragment| write_fragment(&mut value, fragment));
    (segment_key(segment.id), value.0)
}

/// What [`header_entry`] has written.
pub(super) fn read_header(key: &[u8], value: &[u8]) -> Result<(Layout, u64, u64), &'static str> {
    if key != [HEADER] {
        return Err("it has no header");
    }
    let mut bytes = Reader(value);
    if u16::from_le_bytes(bytes.array()?) != VERSION {
        return Err("its version is not 1");
    }
    let header = (Layout { target_rows: bytes.u64()? }, bytes.u64()?, bytes.u64()?);
    bytes.end()?;
    Ok(header)
}

/// The segment that lies under a key.
pub(super) fn read_id(key: &[u8]) -> Result<SegmentId, &'static str> {
    let mut bytes = Reader(key);
    if bytes.u8()? != SEGMENT {
        return Err("it has an entry of an unknown kind");
    }
    let epoch = Epoch(u64::from_be_bytes(bytes.array()?));
    let seq = Seq(u64::from_be_bytes(bytes.array()?));
    let id = SegmentId { token: Token { epoch, seq }, n: u32::from_be_bytes(bytes.array()?) };
    bytes.end()?;
    Ok(id)
}

pub(super) fn read_segment((key, value): &Entry) -> Result<Segment, &'static str> {
    let id = read_id(key)?;
    let mut bytes = Reader(value);
    let key = SegmentKey(bytes.array()?);
    let rows = bytes.u64()?;
    let output = bytes.option()?.map(<[u8]>::to_vec);
    let count = bytes.u32()?;
    let mut fragments = Vec::new();
    for _ in 0..count {
        let path = SourcePath(bytes.bytes()?.to_vec());
        let version = FileVersion::read(&mut bytes)?;
        fragments.push(Fragment { path, version, start: bytes.u64()?, end: bytes.u64()? });
    }
    bytes.end()?;
    Ok(Segment { id, key, rows, output, fragments })
}

/// A manifest as `lastword manifest --json` prints it. Before the first commit `applied` is `None` and there are no
/// segments. Paths and outputs are text: bytes that are not UTF-8 are percent-encoded and `%` is `%25`.
#[must_use]
pub fn manifest_json(collection: &str, applied: Option<Fingerprint>, segments: &[Segment]) -> Value {
    json!({
        "collection": collection,
        "applied": applied.map(|applied| applied.to_string()),
        "segments": segments.iter().map(segment_json).collect::<Vec<_>>(),
    })
}

fn segment_json(segment: &Segment) -> Value {
    let fragment = |fragment: &Fragment| {
        json!({
            "path": fragment.path.encode(),
            "version": fragment.version.name(),
            "start": fragment.start,
            "end": fragment.end,
        })
    };
    json!({
        "id": segment.id.to_string(),
        "key": segment.key.to_string(),
        "rows": segment.rows,
        "output": segment.output.as_deref().map(percent_encode),
        "fragments": segment.fragments.iter().map(fragment).collect::<Vec<_>>(),
    })
}

/// Why a manifest could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ManifestError {
    /// Its objects could not be read.
    Tree(TreeError),
    /// The tree is whole and is not one of a manifest.
    Malformed {
        /// The tree.
        root: ObjectHash,
        /// What is wrong with it.
        problem: String,
    },
}

impl From<TreeError> for ManifestError {
    fn from(error: TreeError) -> ManifestError {
        ManifestError::Tree(error)
    }
}

impl ManifestError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ManifestError::Tree(error) => error.kind(),
            ManifestError::Malformed { .. } => ErrorKind::Damaged,
        }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::Tree(error) => error.fmt(f),
            ManifestError::Malformed { root, problem } => write!(f, "manifest {root} is malformed: {problem}"),
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ManifestError::Tree(error) => Some(error),
            ManifestError::Malformed { .. } => None,
        }
    }
}
