//! Directories of files of any kind as sources of a worker of one's own: what [`External`] does beside building. It must
//! not know what the files are read for.

use std::fmt;
use std::sync::Arc;

use super::worker::source_of;
use super::{ContentHash, load_set};
use super::{
    External, ExternalSpec, FileReader, ObservedFile, PathSet, Patterns, SourceError, SourcePath, Store, StoreError,
};
use crate::core::vocabulary::{FieldError, Source};
use crate::worker::{Context, Observation, ObserveError, ObserveRequest, Observer};

/// The spec by which a source is listed: what is said of formats and segments in it does not matter here.
const RULES: &str = r#"{"format":"any"}"#;

/// Observes directories of files of any kind, and reads their files as they were observed.
///
/// Every regular file below the source is data, whatever its name ends in; dotfiles, `_*` and `*.tmp` are not. A file
/// counts as changed when its content may be another: what `stat` says, and the content itself where times cannot tell. A
/// directory that cannot be listed to its end is not an empty one, and one that is empty or lost most of its files is held
/// until a person confirms it. With the feature `notify` the directories are watched. All of it is as for
/// [`External`], whose rules these are.
///
/// [`Context::changes`] says to the worker which files have changed since its last commit.
///
/// ```
/// use lastword::sources::{Change, Directory};
/// use lastword::errors::FieldError;
/// use lastword::{Built, Context, Failure, Observer, Source, Spec, Worker};
///
/// /// Counts the bytes of all files.
/// struct Size(Directory);
///
/// impl Worker for Size {
///     fn run(&self, context: &Context) -> Result<Built, Failure> {
///         let mut bytes = 0;
///         for change in context.changes()? {
///             if let Change::Added(file) = change? {
///                 bytes += self.0.read(context, &file.path)?.len() as u64;
///             }
///         }
///         Ok(Built { rows: Some(bytes), ..Built::default() })
///     }
///
///     fn check(&self, source: &Source, _: &Spec) -> Result<(), FieldError> {
///         self.0.check(source)
///     }
///
///     fn observer(&self) -> Option<&dyn Observer> {
///         Some(&self.0)
///     }
/// }
/// ```
pub struct Directory {
    external: External,
    follow_symlinks: bool,
    include: Option<Patterns>,
    exclude: Option<Patterns>,
}

impl Directory {
    /// The longest file that [`read`](Directory::read) takes into memory, in bytes: a document and not a data set, also
    /// where many are read at the same time. A longer one is read in pieces, see [`open`](Directory::open).
    pub const MOST_READ: u64 = 64 << 20;

    /// Directories of the local file system. A source is an absolute path or a `file://` URL.
    #[must_use]
    pub fn local() -> Directory {
        Directory { external: External::local(), follow_symlinks: false, include: None, exclude: None }
    }

    /// Files that lie in another store than the local file system.
    #[must_use]
    pub fn in_store(self, store: impl Store + 'static) -> Directory {
        Directory { external: self.external.in_store(store), ..self }
    }

    /// Whether symbolic links below a source are followed. By default they are no data.
    #[must_use]
    pub fn follow_symlinks(self, follow: bool) -> Directory {
        Directory { follow_symlinks: follow, ..self }
    }

    /// Only files that match one of these patterns are data. One without a slash matches the last part of a path below the
    /// source, at any depth; one with a slash matches the whole path. `*` and `?` stop at slashes, `**` does not; `[ab]` is
    /// one of these bytes, `{x,y}` one of these patterns. Other patterns are no change of a declaration: what they leave out
    /// counts as gone at the next observation.
    ///
    /// ```
    /// use lastword::sources::Directory;
    ///
    /// # fn main() -> Result<(), lastword::errors::FieldError> {
    /// let notes = Directory::local().include(&["*.md", "docs/**/*.txt"])?.exclude(&["drafts"])?;
    /// # drop(notes);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What is wrong with which pattern, or that there are none or more than 64.
    pub fn include(self, patterns: &[&str]) -> Result<Directory, FieldError> {
        let include = Patterns::new(patterns).map_err(|problem| FieldError::new("include", problem))?;
        Ok(Directory { include: Some(include), ..self })
    }

    /// Files that match one of these patterns are no data, nor is anything below a directory that does. They count before
    /// [`include`](Directory::include), whose patterns are written alike, and before every rule.
    ///
    /// # Errors
    /// What is wrong with which pattern, or that there are none or more than 64.
    pub fn exclude(self, patterns: &[&str]) -> Result<Directory, FieldError> {
        let exclude = Patterns::new(patterns).map_err(|problem| FieldError::new("exclude", problem))?;
        Ok(Directory { exclude: Some(exclude), ..self })
    }

    /// How many bytes one observation may read where the content of files decides; see [`External::reading`].
    #[must_use]
    pub fn reading(self, bytes: u64) -> Directory {
        Directory { external: self.external.reading(bytes), ..self }
    }

    /// How many bytes an observation may read to hash contents before anything asks for it; see
    /// [`External::learning`].
    #[must_use]
    pub fn learning(self, bytes: u64) -> Directory {
        Directory { external: self.external.learning(bytes), ..self }
    }

    /// Whether a source can be observed at all, for [`Worker::check`](crate::Worker::check): a relative path or another
    /// scheme cannot.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check(&self, source: &Source) -> Result<(), FieldError> {
        self.external.store().serves(&source_of(source, &self.rules()?)?)
    }

    /// The content of a file, of at most [`MOST_READ`](Directory::MOST_READ) bytes, which is the one that was observed: a
    /// file that changed since is an error, also where its times do not show it.
    ///
    /// # Errors
    /// When it is no longer what was observed, was not observed, is too long or cannot be read. All of them become the
    /// right [`Failure`](crate::Failure) by `?`.
    pub fn read(&self, context: &Context, path: &SourcePath) -> Result<Vec<u8>, SourceError> {
        let (file, reader) = self.opened(context, path)?;
        let length = usize::try_from(reader.len()).ok().filter(|_| reader.len() <= Directory::MOST_READ);
        let length = length.ok_or_else(|| StoreError::Limit {
            what: path.to_string(),
            limit: format!("files of at most {} bytes are read as a whole", Directory::MOST_READ),
        })?;
        let bytes = reader.read(0, length)?;
        let found: ContentHash = *blake3::hash(&bytes).as_bytes();
        match file.content {
            Some(content) if content != found => Err(StoreError::Moved { path: path.clone() }.into()),
            _ => Ok(bytes),
        }
    }

    /// Opens a file as it was observed, to be read in pieces. Every read fails once what `stat` says of it has changed.
    /// A change within two seconds after the one that was observed may leave no trace there: then
    /// [`read`](Directory::read) notices it, and the next observation.
    ///
    /// # Errors
    /// When it is no longer what was observed, was not observed, or cannot be opened.
    pub fn open(&self, context: &Context, path: &SourcePath) -> Result<Box<dyn FileReader>, SourceError> {
        self.opened(context, path).map(|(_, reader)| reader)
    }

    fn opened(&self, context: &Context, path: &SourcePath) -> Result<(ObservedFile, Box<dyn FileReader>), SourceError> {
        let set = self.observed(context)?;
        let file = set.get(path).ok_or_else(|| SourceError::NotObserved { path: path.clone() })?;
        let refused = |error: FieldError| StoreError::Limit { what: error.field, limit: error.problem };
        let source = self.rules().and_then(|rules| source_of(context.source(), &rules)).map_err(refused)?;
        let reader = self.external.store().open(&source, path, &file.last_stat)?;
        Ok((file, reader))
    }

    /// The files that were observed, with what later observations found out of them: times that moved on while the
    /// content stayed.
    fn observed(&self, context: &Context) -> Result<Arc<PathSet>, SourceError> {
        let observed = context.observed();
        let root = observed.and_then(|observed| observed.set).ok_or(SourceError::NoFiles)?.root;
        match self.external.known_set(context.name(), context.objects(), observed)? {
            Some(set) => Ok(set),
            // It cannot be read: this says why.
            None => Ok(Arc::new(load_set(context.objects(), root)?)),
        }
    }

    fn rules(&self) -> Result<ExternalSpec, FieldError> {
        let rules = ExternalSpec::parse_with(RULES, &["any"])?;
        let (include, exclude) = (self.include.clone(), self.exclude.clone());
        Ok(ExternalSpec { follow_symlinks: self.follow_symlinks, include, exclude, ..rules })
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new setting does not compile before it is shown.
        let Directory { external, follow_symlinks, include, exclude } = self;
        f.debug_struct("Directory")
            .field("external", external)
            .field("follow_symlinks", follow_symlinks)
            .field("include", include)
            .field("exclude", exclude)
            .finish()
    }
}

impl Observer for Directory {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        self.external.observe_by(request, &self.rules()?)
    }

    #[cfg(all(feature = "notify", target_os = "linux"))]
    fn watch(
        &self,
        source: &Source,
        _: &crate::core::vocabulary::Spec,
        hint: crate::worker::Hint,
    ) -> Option<Box<dyn crate::worker::SourceWatch>> {
        self.external.watch_by(source, &self.rules().ok()?, hint)
    }

    fn domain(&self, source: &Source) -> Option<String> {
        self.external.domain(source)
    }
}
