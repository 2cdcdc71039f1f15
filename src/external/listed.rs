//! Files as users meet them: one file of a source, and an observation made of all of them by an observer of one's own.
//! It must not know how files are listed.

use super::wire::hash;
use super::{FileVersion, MAX_FILES, MAX_PATH_BYTES, ObservedFile, PathSet, SourcePath, Stat, load_set, store_set};
use crate::core::vocabulary::{Delta, FieldError, PathSetRef, SourceState, Version};
use crate::objects::tree::TreeError;
use crate::objects::{ObjectError, Objects};
use crate::worker::{Observation, ObserveError, ObserveRequest};

/// Keeps versions of a user's own apart from contents that were hashed.
const OWN_VERSION_CONTEXT: &str = "lastword 2026 file version of an observer's own v1";

/// One file of a source: where it lies, and which content it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SourceFile {
    /// Its path, relative to the source.
    pub path: SourcePath,
    /// Its size in bytes.
    pub size: u64,
    /// Which content it has: equal versions of one path are equal bytes. [`FileVersion::name`] names it in 16 digits.
    pub version: FileVersion,
}

impl SourceFile {
    /// A file, object or document as an observer of one's own lists it: a path of 1 to 4,096 bytes, a size in bytes, and
    /// whatever tells its content from another: an ETag, a revision, a hash.
    ///
    /// # Errors
    /// When the path is empty or too long.
    pub fn new(path: impl Into<Vec<u8>>, size: u64, version: &[u8]) -> Result<SourceFile, FieldError> {
        let path = SourcePath(path.into());
        if path.0.is_empty() || path.0.len() > MAX_PATH_BYTES {
            let problem = format!("must have 1 to {MAX_PATH_BYTES} bytes, found {}", path.0.len());
            return Err(FieldError::new("path", problem));
        }
        let stat = Stat { size, ..Stat::default() };
        let version = FileVersion { stat, content: Some(hash(OWN_VERSION_CONTEXT, version)) };
        Ok(SourceFile { path, size, version })
    }

    /// As it lies in the tree of a set.
    #[cfg(feature = "testing")]
    pub(crate) fn into_entry(self) -> crate::objects::tree::Entry {
        let set = PathSet::new([(self.path, ObservedFile::of(self.version))]);
        set.entries().next().unwrap_or_default()
    }

    pub(super) fn of(path: SourcePath, file: &ObservedFile) -> SourceFile {
        SourceFile { path, size: file.last_stat.size, version: file.version }
    }
}

impl Observation {
    /// All files that a source has, in any order; of two with one path the later one counts. The version of the source
    /// is the digest of them, what differs from the last observation is counted, and so is what is missing of the last
    /// commit: a source that lost all or most of its files is held (see [`Observation`]). A worker learns from
    /// [`Context::changes`](crate::Context::changes) which of them have changed.
    ///
    /// ```
    /// use lastword::sources::SourceFile;
    /// use lastword::{Observation, ObserveError, ObserveRequest, Observer};
    ///
    /// # struct Object { key: String, size: u64, etag: String }
    /// # fn list(_bucket: &str) -> std::io::Result<Vec<Object>> { Ok(Vec::new()) }
    /// /// Sources are buckets.
    /// struct Buckets;
    ///
    /// impl Observer for Buckets {
    ///     fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
    ///         // A bucket that cannot be listed to its end is not an empty one: that is an error.
    ///         let objects = list(request.source.as_str())?;
    ///         let files = objects.into_iter().map(|o| SourceFile::new(o.key, o.size, o.etag.as_bytes()));
    ///         Observation::files(request, files.collect::<Result<Vec<_>, _>>()?)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// When there are more than a million files, or the set of them cannot be kept or compared.
    pub fn files(
        request: &ObserveRequest<'_>,
        files: impl IntoIterator<Item = SourceFile>,
    ) -> Result<Observation, ObserveError> {
        let mut found = Vec::new();
        for file in files {
            if found.len() == MAX_FILES {
                return Err(ObserveError(format!("the source has more than {MAX_FILES} files")));
            }
            found.push((file.path, ObservedFile::of(file.version)));
        }
        let found = PathSet::new(found);
        let version = Version::new(&found.digest())?;
        let applied = set_of(request.objects, request.applied)?;
        let missing = applied.map(|applied| found.missing(&applied));
        if let Some(known) = request.known.filter(|known| known.version == version && known.set.is_some()) {
            return Ok(Observation { missing, ..Observation::unchanged(known) });
        }
        let known = known_of(request.objects, request.known)?;
        let stored = store_set(request.objects, &found, known.as_ref())
            .map_err(|error| ObserveError(format!("what was seen could not be kept: {error}")))?;
        let set = PathSetRef { root: stored.root, files: stored.files, bytes: stored.bytes };
        let difference = stored.difference;
        let delta = Delta { added: difference.added, removed: difference.removed, changed: difference.changed };
        // A version that named no files says nothing of what differs.
        let is_compared = known.is_some() || request.known.is_none();
        let state = SourceState { version, set: Some(set) };
        Ok(Observation { missing, ..Observation::of(state, is_compared.then_some(delta)) })
    }
}

/// The set that was observed last, for what differs from it. Without it that is not known; nothing else hangs on it, and
/// an observation that is accepted takes its place.
fn known_of(objects: &dyn Objects, state: Option<&SourceState>) -> Result<Option<PathSet>, ObserveError> {
    let root = state.and_then(|state| state.set).map(|set| set.root);
    match root.map(|root| load_set(objects, root)).transpose() {
        Err(error @ TreeError::Object(ObjectError::Io(..))) => Err(ObserveError(error.to_string())),
        found => Ok(found.unwrap_or_default()),
    }
}

/// The set that a state names. What cannot be read must not pass for nothing: losses are measured against it.
fn set_of(objects: &dyn Objects, state: Option<&SourceState>) -> Result<Option<PathSet>, ObserveError> {
    let root = state.and_then(|state| state.set).map(|set| set.root);
    root.map(|root| load_set(objects, root)).transpose().map_err(|error| ObserveError(error.to_string()))
}
