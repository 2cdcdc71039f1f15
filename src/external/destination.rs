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
/// If `after` is missing or damaged, waiting does not bring it back. Then `newest` stands for it, what is live by now: a
/// segment of `before` or under `tokens` that is in a later manifest is in `after`, and what is in `after` alone is not live
/// any more. Of a collection that was dropped nothing stays.
///
/// # Errors
/// When what is live cannot be read (it must not be guessed), the disk refused `before`, or the builder failed.
/// A `before` that is missing or damaged is no error: then what it named is not known any more, and waiting does not
/// bring it back.
pub fn discard(
    builder: &dyn SegmentBuilder,
    (collection, name, is_drop): (CollectionId, &Name, bool),
    objects: &dyn Objects,
    tokens: &[Token],
    before: Option<ObjectHash>,
    after: Option<ObjectHash>,
    newest: Option<ObjectHash>,
) -> Result<(), String> {
    let live = match segments(objects, after) {
        Err(error) if is_lost(&error) && is_drop => Ok(Vec::new()),
        Err(error) if is_lost(&error) && newest.is_some() => segments(objects, newest).inspect(|_| instead_of(&error)),
        read => read,
    };
    let live =
        ids(&live.map_err(|error| format!("what is live cannot be read, so nothing is discarded: {}", said(&error)))?);
    let mut dropped = match segments(objects, before) {
        Ok(segments) => segments,
        Err(error) if !is_lost(&error) => return Err(error.to_string()),
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

fn instead_of(error: &ManifestError) {
    unwind::tell(|| {
        tracing::warn!(target: "lastword::external", %error,
            "what was live is not known any more: what is live by now stays, and nothing else");
    });
}

/// Whether waiting does not bring a manifest back: what the disk refuses now may be fine.
fn is_lost(error: &ManifestError) -> bool {
    !matches!(error, ManifestError::Tree(TreeError::Object(ObjectError::Io(..))))
}

/// Why a manifest cannot be read, and what helps where waiting does not.
pub(super) fn said(error: &ManifestError) -> String {
    match is_lost(error) {
        true => format!("{error}. Put the object back from a backup; or drop the collection and declare it anew"),
        false => error.to_string(),
    }
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
        error if is_lost(&error) => VerifyError::Drift(error.to_string()),
        error => VerifyError::Unknown(error.to_string()),
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
