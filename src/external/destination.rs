//! What becomes of a destination beside the building: what is not wanted is discarded, what is live is verified. It
//! must not know when: the engine asks for both.

use std::collections::BTreeSet;
use std::fmt;

use super::{Discard, Manifest, ManifestError, Segment, SegmentBuilder, SegmentId};
use crate::core::vocabulary::{CollectionId, Name, ObjectHash, Token};
use crate::error::ErrorKind;
use crate::objects::tree::TreeError;
use crate::objects::{ObjectError, Objects};
use crate::unwind;

/// Has the builder remove everything that was made under `tokens`, except for segments of the manifest `after`, and
/// the segments of `before` that are not in `after`. `after` is what is live; `None`: nothing is.
///
/// # Errors
/// When `after` cannot be read (what is live must not be guessed), the disk refused `before`, or the builder failed.
/// A `before` that is missing or damaged is no error: then what it named is not known any more, and waiting does not
/// bring it back.
pub fn discard(
    builder: &dyn SegmentBuilder,
    (collection, name, is_drop): (CollectionId, &Name, bool),
    objects: &dyn Objects,
    tokens: &[Token],
    before: Option<ObjectHash>,
    after: Option<ObjectHash>,
) -> Result<(), String> {
    let unread = |error: ManifestError| format!("what is live cannot be read, so nothing is discarded: {error}");
    let live: BTreeSet<SegmentId> = ids(&segments(objects, after).map_err(unread)?);
    let mut dropped = match segments(objects, before) {
        Ok(segments) => segments,
        Err(error @ ManifestError::Tree(TreeError::Object(ObjectError::Io(..)))) => return Err(error.to_string()),
        Err(error) => {
            unwind::tell(|| {
                tracing::warn!(target: "lastword::external", %error,
                    "the segments of an earlier commit are not known any more: theirs is not discarded");
            });
            Vec::new()
        }
    };
    dropped.retain(|segment| !live.contains(&segment.id));
    builder.discard(&Discard { collection, name, is_drop, tokens, live: &live, dropped: &dropped })
}

fn segments(objects: &dyn Objects, manifest: Option<ObjectHash>) -> Result<Vec<Segment>, ManifestError> {
    manifest.map_or(Ok(Vec::new()), |root| Manifest::read(objects, root).map(|manifest| manifest.segments))
}

fn ids(segments: &[Segment]) -> BTreeSet<SegmentId> {
    segments.iter().map(|segment| segment.id).collect()
}

/// Whether everything that a commit names is still there: the manifest to its last leaf, and each segment, as far as
/// the builder can tell.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify(builder: &dyn SegmentBuilder, objects: &dyn Objects, manifest: ObjectHash) -> Result<(), VerifyError> {
    let manifest = Manifest::read(objects, manifest).map_err(|error| match error {
        ManifestError::Tree(TreeError::Object(ObjectError::Io(..))) => VerifyError::Unknown(error.to_string()),
        error => VerifyError::Drift(error.to_string()),
    })?;
    let mut problems = manifest.segments.iter().filter_map(|segment| {
        builder.verify(segment).err().map(|problem| format!("segment {}: {problem}", segment.id))
    });
    let Some(first) = problems.next() else { return Ok(()) };
    let text = match problems.count() {
        0 => first,
        more => format!("{first}; and {more} more"),
    };
    Err(VerifyError::Drift(text))
}

/// What verifying found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// What was committed is not there any more, or not what it was.
    Drift(String),
    /// It cannot be told now.
    Unknown(String),
}

impl VerifyError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            VerifyError::Drift(_) => ErrorKind::Damaged,
            VerifyError::Unknown(_) => ErrorKind::Io,
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::Drift(text) | VerifyError::Unknown(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for VerifyError {}
