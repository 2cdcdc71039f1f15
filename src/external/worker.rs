//! Carries the functions of this module to the engine: an [`External`] worker looks at sources and runs attempts.

use super::{
    Build, BuildError, BuildFailed, ExternalSpec, LocalStore, NoBuilder, Progress, SegmentBuilder, Store, build,
    format_of, look, never_interrupted, store_set,
};
use crate::core::vocabulary::{
    Built, Delta, FieldError, Name, ObjectHash, Observed, PathSet, SegmentCounts, Source, Spec, Version,
};
use crate::objects::tree::TreeError;
use crate::objects::{ObjectError, Objects};
use crate::worker::{Context, Failure, Look, LookError, Observer, Sight, Worker};

/// Builds collections from directories of files. The name of its kind is the user's choice; `external` is usual.
pub struct External {
    store: Box<dyn Store>,
    builder: Box<dyn SegmentBuilder + Send + Sync>,
}

impl External {
    /// Collections of local directories whose result is the manifest alone.
    #[must_use]
    pub fn local() -> External {
        External::with_builder(NoBuilder)
    }

    /// Collections of local directories whose segments `builder` builds.
    #[must_use]
    pub fn with_builder(builder: impl SegmentBuilder + Send + Sync + 'static) -> External {
        External { store: Box::new(LocalStore), builder: Box::new(builder) }
    }
}

impl Worker for External {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let source = source_of(context.source()).map_err(refused)?;
        let spec = ExternalSpec::parse(context.spec().as_str()).map_err(refused)?;
        let format = format_of(&spec.format)
            .ok_or_else(|| Failure::Permanent(format!("no files of the format {:?} can be read", spec.format)))?;
        let known = context.observed();
        let wanted = known.and_then(|known| <[u8; 32]>::try_from(known.version.as_bytes()).ok());
        let wanted =
            wanted.ok_or_else(|| Failure::Permanent("a collection of files has to be versioned".to_owned()))?;
        let result = build(&Build {
            collection: context.name(),
            store: &*self.store,
            format,
            objects: context.objects(),
            source: &source,
            spec: &spec,
            wanted,
            previous: context.applied().and_then(|applied| applied.result.manifest),
            token: context.token(),
            builder: &*self.builder,
            checkpoint: &|| context.checkpoint().map_err(|_| super::Interrupted),
            progress: &|progress| report(context, progress),
            now: &|| context.wall(),
        });
        match result {
            Ok(outcome) => Ok(Built {
                manifest: Some(outcome.manifest),
                segments: Some(SegmentCounts { kept: outcome.kept, new: outcome.new, dropped: outcome.dropped }),
                rows: Some(outcome.rows),
                output: None,
            }),
            Err(BuildFailed { error, .. }) => Err(failure(context, known, error)),
        }
    }

    fn check(&self, source: &Source, spec: &Spec) -> Result<(), FieldError> {
        source_of(source)?;
        ExternalSpec::parse(spec.as_str()).map(drop)
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }
}

impl Observer for External {
    fn look(&self, asked: &Look<'_>) -> Result<Sight, LookError> {
        let source = source_of(asked.source).map_err(|error| LookError(error.to_string()))?;
        let seen = look(&*self.store, &source, &never_interrupted).map_err(|error| LookError(error.to_string()))?;
        if let Some(known) = asked.known.filter(|known| known.version.as_bytes() == seen.version) {
            return Ok(Sight { observed: known.clone(), delta: None });
        }
        sight((asked.name, asked.objects), &seen, asked.known)
    }
}

/// Stores what was seen, so that the event that names it may be logged. If what was seen before cannot be read, there
/// is nothing to compare with; that is no fault of the source.
fn sight(
    (name, objects): (&Name, &dyn Objects),
    seen: &super::Look,
    known: Option<&Observed>,
) -> Result<Sight, LookError> {
    let version = Version::new(&seen.version).map_err(|error| LookError(error.to_string()))?;
    let before: Option<ObjectHash> = known.and_then(|known| known.set).map(|set| set.root);
    let (stored, is_compared) = match store_set(objects, &seen.set, before) {
        // What the disk refused, also to write, may work at the next look.
        Err(error) if before.is_some() && !matches!(error, TreeError::Object(ObjectError::Io(..))) => {
            let stored = store_set(objects, &seen.set, None).map_err(|error| unkept(&error))?;
            tracing::warn!(target: "lastword::external", collection = %name, %error,
                "what the last look saw cannot be read: the new one is kept without a comparison");
            (stored, false)
        }
        stored => (stored.map_err(|error| unkept(&error))?, true),
    };
    let set = PathSet { root: stored.root, files: stored.files, bytes: stored.bytes };
    let delta = Delta { added: stored.added, removed: stored.removed, changed: stored.changed };
    Ok(Sight { observed: Observed { version, set: Some(set) }, delta: is_compared.then_some(delta) })
}

fn unkept(error: &TreeError) -> LookError {
    LookError(format!("what was seen could not be kept: {error}"))
}

fn source_of(source: &Source) -> Result<super::Source, FieldError> {
    // Relative paths belong to a configuration file, which knows where they start.
    super::SourceUri::parse(source.as_str())?.resolve("".as_ref())
}

fn refused(error: FieldError) -> Failure {
    Failure::Permanent(error.to_string())
}

fn failure(context: &Context, known: Option<&Observed>, error: BuildError) -> Failure {
    match error {
        // What was seen counts even if it could not be kept: then the next look keeps it.
        BuildError::Moved { look } => {
            Failure::SourceMoved(sight((context.name(), context.objects()), &look, known).ok())
        }
        BuildError::Interrupted => Failure::Stopped,
        BuildError::Transient(message) => Failure::Transient(message),
        BuildError::Permanent(message) => Failure::Permanent(message),
    }
}

/// Files and segments are counted as one row of steps: first all files, then all segments.
fn report(context: &Context, progress: Progress) {
    let (Progress::Files { done, of } | Progress::Segments { done, of }) = progress;
    context.progress(done as u64, of as u64);
}
