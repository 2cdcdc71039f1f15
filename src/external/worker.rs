//! Carries the functions of this module to the engine: an [`External`] worker observes sources and runs attempts. It
//! owns what is volatile between two calls, the cache of path sets, and decides nothing itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::ObservationCache;
use super::content::MOST_READ;
use super::destination::said;
use super::formats::Formats;
use super::memory::{Learned, Reach, SOON};
use super::mount_table::MountTable;
use super::scan::scan_remembering;
use super::takeover::{note_of, noted};
use super::{
    Build, BuildError, BuildFailed, BuildOutcome, BuildProgress, ContentHash, Difference, ExternalSpec, Format,
    LocalStore, Manifest, NoBuilder, PathSet, Scan, ScanRequest, Segment, SegmentBuilder, SourcePath, Stat, Store,
    StoreError, VerifyError, build, discard, load_set, store_set, verify,
};
use crate::core::vocabulary::{
    Built, CollectionId, Delta, Duties, FieldError, Missing, Name, ObjectHash, PathSetRef, SegmentCounts, Source,
    SourceState, Spec, Token, Version,
};
use crate::objects::Objects;
use crate::objects::tree::TreeError;
use crate::unwind;
use crate::worker::{
    CommitView, Context, DeliveryError, DiscardRequest, Failure, Observation, ObserveError, ObserveRequest, Observer,
    VerifyOutcome, Worker, observed_of,
};

/// What a scan reads at most to hash the content of files before anything asks for it, in bytes. A scan every half
/// minute hashes a terabyte in about six weeks, a load that no disk shows; what a chmod or a copy of a file that is not
/// hashed yet costs is one build of its segments.
const HASH_BUDGET: u64 = 8 << 20;

/// Builds collections from directories of files. The name of its kind is the user's choice; `external` is usual. Its
/// settings, with their defaults and reasons, are in [`settings`](crate::settings).
pub struct External {
    store: Box<dyn Store>,
    builder: Box<dyn SegmentBuilder>,
    formats: Formats,
    learning: u64,
    reading: u64,
    parallel: usize,
    cache: ObservationCache,
    mount_table: Arc<MountTable>,
}

impl External {
    /// Collections of local directories whose result is the manifest alone.
    #[must_use]
    pub fn local() -> External {
        External::with_builder(NoBuilder)
    }

    /// Collections of local directories whose segments `builder` builds.
    #[must_use]
    pub fn with_builder(builder: impl SegmentBuilder + 'static) -> External {
        let (cache, mount_table) = (ObservationCache::default(), Arc::default());
        let (store, builder, formats) = (Box::new(LocalStore), Box::new(builder), Formats::default());
        External { store, builder, formats, learning: HASH_BUDGET, reading: MOST_READ, parallel: 1, cache, mount_table }
    }

    /// Files that lie in another store than the local file system.
    #[must_use]
    pub fn in_store(self, store: impl Store + 'static) -> External {
        External { store: Box::new(store), ..self }
    }

    /// Files of another format than Parquet, or of Parquet read in another way. Specs name it as their `format`; of two
    /// formats of one name the later one counts.
    #[must_use]
    pub fn format(mut self, name: &str, format: impl Format + 'static) -> External {
        self.formats.add(name.to_owned(), Box::new(format));
        self
    }

    /// A spec of a collection of this kind.
    fn spec(&self, spec: &Spec) -> Result<ExternalSpec, FieldError> {
        ExternalSpec::parse_with(spec.as_str(), &self.formats.names())
    }

    /// How many bytes a scan may read to hash the content of files before anything asks for it: 8 MiB if nothing else
    /// is said. When only times or the inode of a file move, a known content says that nothing changed; an unknown
    /// one counts as changed.
    #[must_use]
    pub fn learning(self, bytes: u64) -> External {
        External { learning: bytes, ..self }
    }

    /// How many bytes one observation may read where the content of files decides: 512 MiB if nothing else is said. What is
    /// not read then is read by the next one, and until then the source cannot be observed: the cause names the file.
    #[must_use]
    pub fn reading(self, bytes: u64) -> External {
        External { reading: bytes, ..self }
    }

    /// How many segments of one attempt may be built at the same time: 1 if nothing else is said. Collections are built
    /// at the same time anyway, as many as the pool has workers; each of them building several segments takes that
    /// many times the memory and the handles, and only the builder knows whether its destination can take it.
    #[must_use]
    pub fn parallel(self, segments: usize) -> External {
        External { parallel: segments, ..self }
    }

    /// Discards what can never be live again; see [`discard`].
    ///
    /// # Errors
    /// As [`discard`] fails.
    pub fn discard(
        &self,
        of: (CollectionId, &Name, bool),
        objects: &dyn Objects,
        tokens: &[Token],
        before: Option<ObjectHash>,
        after: Option<ObjectHash>,
        newest: Option<ObjectHash>,
    ) -> Result<(), String> {
        discard(&*self.builder, of, objects, tokens, before, after, newest)
    }

    /// Whether what a commit names is still there; see [`verify`].
    ///
    /// # Errors
    /// As [`verify`] fails.
    pub fn verify(&self, objects: &dyn Objects, manifest: ObjectHash) -> Result<(), VerifyError> {
        verify(&*self.builder, objects, manifest)
    }

    /// Notes what an attempt has built: whether it is committed is decided elsewhere. Of a builder that cannot discard
    /// nothing is noted, for nothing of it may be taken over.
    fn note(&self, context: &Context, built: &Segment) {
        if self.builder.discards() {
            context.keep(&note_of(built));
        }
    }

    /// The set that was observed, with what was found out since.
    pub(super) fn known_set(
        &self,
        name: &Name,
        objects: &dyn Objects,
        observed: Option<&SourceState>,
    ) -> Result<Option<Arc<PathSet>>, TreeError> {
        match observed.and_then(|observed| observed.set) {
            Some(set) => self.cache.get(name, objects, set.root),
            None => Ok(None),
        }
    }

    /// Stores what a scan found, so that the event that names it may be logged. If nothing changed there is no event,
    /// and nothing is written.
    fn observation(
        &self,
        (name, objects): (&Name, &dyn Objects),
        scan: Scan,
        known: Option<(&SourceState, Option<Arc<PathSet>>)>,
    ) -> Result<Observation, ObserveError> {
        let version = Version::new(&scan.version).map_err(|error| ObserveError(error.to_string()))?;
        let Scan { set: found, racy, weak, observe_again, missing, skipped, .. } = scan;
        let observation =
            |state, delta| Observation { racy, weak, observe_again, missing, skipped, ..Observation::of(state, delta) };
        if let Some((known, _)) = known.as_ref().filter(|(known, _)| known.version == version) {
            if let Some(set) = known.set {
                self.cache.insert(name, set.root, Arc::new(found));
            }
            return Ok(observation((*known).clone(), None));
        }
        let before = known.as_ref().and_then(|(_, set)| set.as_deref());
        let stored = store_set(objects, &found, before)
            .map_err(|error| ObserveError(format!("what was seen could not be kept: {error}")))?;
        let set = PathSetRef { root: stored.root, files: stored.files, bytes: stored.bytes };
        let Difference { added, removed, changed } = stored.difference;
        // Nothing to compare with: there was nothing, or it cannot be read.
        let is_compared = before.is_some() || known.is_none();
        self.cache.insert(name, set.root, Arc::new(found));
        let state = SourceState { version, set: Some(set) };
        Ok(observation(state, is_compared.then_some(Delta { added, removed, changed })))
    }

    fn failure(&self, context: &Context, known: Option<Arc<PathSet>>, error: BuildError) -> Failure {
        match error {
            // What was found counts even if it could not be stored: then the next observation stores it.
            BuildError::Moved { what, scan } => {
                unwind::tell(|| {
                    tracing::info!(target: "lastword::external", collection = %context.name(), token = %context.token(), what,
                        "the source moved under an attempt");
                });
                let known = context.observed().map(|observed| (observed, known));
                let observation =
                    scan.and_then(|scan| self.observation((context.name(), context.objects()), *scan, known).ok());
                Failure::SourceMoved { what: Some(what), observation: observation.map(Box::new) }
            }
            // The next observation goes on where this one stopped.
            BuildError::Undecided(what) => Failure::moved(what),
            BuildError::Interrupted => Failure::Stopped,
            BuildError::Transient(message) => Failure::Transient(message),
            BuildError::Permanent(message) => Failure::Permanent(message),
            // The engine counts panics, and catches this one as it would have caught the builder's.
            BuildError::Panicked(message) => std::panic::resume_unwind(Box::new(message)),
        }
    }
}

/// The settings by the names of their methods.
impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new setting does not compile before it is shown.
        let External { store: _, builder: _, formats: _, learning, reading, parallel, cache: _, mount_table: _ } = self;
        f.debug_struct("External")
            .field("learning", learning)
            .field("reading", reading)
            .field("parallel", parallel)
            .finish_non_exhaustive()
    }
}

impl Worker for External {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let spec = self.spec(context.spec()).map_err(refused)?;
        let source = source_of(context.source(), &spec).map_err(refused)?;
        let source = source.apart_from(context.objects().state_directory());
        let format = (self.formats.get(&spec.format))
            .ok_or_else(|| Failure::Permanent(format!("no files of the format {:?} can be read", spec.format)))?;
        let wanted = context.version().and_then(|version| <[u8; 32]>::try_from(version.as_bytes()).ok());
        let wanted =
            wanted.ok_or_else(|| Failure::Permanent("a collection of files has to be versioned".to_owned()))?;
        let (name, objects) = (context.name(), context.objects());
        let known = self.known_set(name, objects, context.observed());
        let known = known.map_err(|error| Failure::Transient(error.to_string()))?;
        // As looks have it, also under a rebuild: what is data does not depend on who asks.
        let applied = context.committed().and_then(|applied| observed_of(&applied.inputs));
        let applied = self.known_set(name, objects, applied);
        let applied = applied.map_err(|error| Failure::Transient(error.to_string()))?;
        let learned = Mutex::new(Learned::new());
        let learn = |path: &SourcePath, stat: &Stat, content: ContentHash| {
            let mut learned = learned.lock().unwrap_or_else(PoisonError::into_inner);
            learned.insert(path.clone(), (*stat, content));
        };
        let mounts = self.cache.mounts(name, wanted);
        let result = build(&Build {
            collection: context.name(),
            store: &*self.store,
            format,
            objects: context.objects(),
            source: &source,
            spec: &spec,
            wanted,
            known: known.as_deref(),
            mounts: mounts.as_ref(),
            most_read: self.reading,
            applied: applied.as_deref(),
            previous: context.applied().and_then(|applied| applied.result.manifest),
            token: context.token(),
            builder: &*self.builder,
            parallel: self.parallel,
            leftovers: &leftovers(context),
            stop_check: &|| context.check_stop().map_err(|_| super::Interrupted),
            finished: &|segment| self.note(context, segment),
            progress: &|progress| report(context, progress),
            learned: &learn,
            now: &|| context.wall(),
        });
        self.cache.learn(name, learned.into_inner().unwrap_or_else(PoisonError::into_inner));
        match result {
            Ok(outcome) => {
                trace_built(context, &outcome);
                let BuildOutcome { manifest, kept, new, dropped, rows, is_behind, .. } = outcome;
                if is_behind {
                    context.hint();
                }
                let segments = Some(SegmentCounts { kept, new, dropped });
                Ok(Built { manifest: Some(manifest), segments, rows: Some(rows), output: None })
            }
            Err(BuildFailed { error, .. }) => Err(self.failure(context, known, error)),
        }
    }

    fn check(&self, source: &Source, spec: &Spec) -> Result<(), FieldError> {
        let spec = self.spec(spec)?;
        self.store.serves(&source_of(source, &spec)?)
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(self)
    }

    fn duties(&self) -> Duties {
        Duties { publish: self.builder.publishes(), discard: self.builder.discards() }
    }

    fn publish(&self, publication: &CommitView<'_>) -> Result<(), DeliveryError> {
        let root = publication.result.manifest.ok_or_else(|| DeliveryError("the commit has no manifest".to_owned()))?;
        let manifest = Manifest::read(publication.objects, root);
        let manifest =
            manifest.map_err(|error| DeliveryError(format!("the commit cannot be read: {}", said(&error))))?;
        self.builder.publish(publication, &manifest).map_err(DeliveryError)
    }

    fn discard(&self, discarding: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        let manifest = |built: Option<&Built>| built.and_then(|built| built.manifest);
        let DiscardRequest { collection, name, dropped, objects, tokens, before, after, newest, .. } = *discarding;
        let [before, after, newest] = [before, after, newest].map(manifest);
        External::discard(self, (collection, name, dropped), objects, tokens, before, after, newest)
            .map_err(DeliveryError)
    }

    fn verifies(&self) -> bool {
        true
    }

    fn verify(&self, verification: &CommitView<'_>) -> Result<VerifyOutcome, DeliveryError> {
        let Some(manifest) = verification.result.manifest else { return Ok(VerifyOutcome::Intact) };
        match External::verify(self, verification.objects, manifest) {
            Ok(()) => Ok(VerifyOutcome::Intact),
            Err(VerifyError::Drift(found)) => Ok(VerifyOutcome::Drifted(found)),
            Err(VerifyError::Unknown(why)) => Err(DeliveryError(why)),
        }
    }
}

impl External {
    /// Observes the source of a request, by the rules of `spec`.
    pub(super) fn observe_by(
        &self,
        request: &ObserveRequest<'_>,
        spec: &ExternalSpec,
    ) -> Result<Observation, ObserveError> {
        let source = source_of(request.source, spec).map_err(|error| ObserveError(error.to_string()))?;
        let source = source.apart_from(request.objects.state_directory());
        let unread = |error: TreeError| ObserveError(error.to_string());
        if let Some(directory) = source.directory() {
            self.mount_table.learn(directory);
        }
        let known = self.known_set(request.name, request.objects, request.known).map_err(unread)?;
        let applied = self.known_set(request.name, request.objects, request.applied).map_err(unread)?;
        let stop_check = || if request.signals.is_stopping() { Err(super::Interrupted) } else { Ok(()) };
        let scan_request = ScanRequest {
            store: &*self.store,
            source: &source,
            known: known.as_deref(),
            mounts: None,
            believes_unknown_mounts: true,
            own: None,
            applied: applied.as_deref(),
            format: self.formats.get(&spec.format),
            format_name: &spec.format,
            now: request.wall,
            most_read: self.reading,
            hash_budget: self.learning,
            traffic: request.signals.traffic().clone(),
            stop_check: &stop_check,
            list_check: Some(&|| {
                // A listing may be long, and so may a look at many files; what reads one without an end does not live by
                // that. A step that hangs gives no sign.
                request.signals.sign();
                stop_check()
            }),
        };
        let mut memory = self.cache.take_memory(request.name);
        if request.verify {
            memory.doubt(Reach::All);
        }
        let scan = scan_remembering(&scan_request, &mut memory);
        let has_advanced = memory.has_advanced;
        self.cache.put_memory(request.name, memory);
        let mut scan = scan.map_err(|error| {
            if let StoreError::Unfinished { .. } = error {
                request.signals.observe_again_after(SOON);
                if has_advanced {
                    request.signals.note_progress();
                }
            }
            ObserveError(error.to_string())
        })?;
        if applied.is_none() {
            measure_unread(request, &mut scan)?;
        }
        self.observation((request.name, request.objects), scan, request.known.map(|observed| (observed, known)))
    }

    /// Watches the directory of a source, by the rules of `spec`, in a store that has directories.
    #[cfg(all(feature = "notify", target_os = "linux"))]
    pub(super) fn watch_by(
        &self,
        source: &Source,
        spec: &ExternalSpec,
        hint: crate::worker::Hint,
    ) -> Option<Box<dyn crate::worker::SourceWatch>> {
        let source = source_of(source, spec).ok()?;
        let directory = self.store.directory(&source)?;
        super::watch::watch(directory, &source, &self.mount_table, hint)
    }

    /// Where the files lie.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }
}

impl Observer for External {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let spec = self.spec(request.spec).map_err(|error| ObserveError(error.to_string()))?;
        self.observe_by(request, &spec)
    }

    /// The mount that the source lies on, or its bucket: what lies on one mount hangs together.
    fn domain(&self, source: &Source) -> Option<String> {
        let location = super::SourceUri::parse(source.as_str()).ok()?.resolve("".as_ref()).ok()?;
        match location.bucket() {
            Some(prefix) => Some(prefix.bucket().to_string()),
            None => Some(self.mount_table.of(location.directory()?)?.display().to_string()),
        }
    }

    #[cfg(all(feature = "notify", target_os = "linux"))]
    fn watch(
        &self,
        source: &Source,
        spec: &Spec,
        hint: crate::worker::Hint,
    ) -> Option<Box<dyn crate::worker::SourceWatch>> {
        self.watch_by(source, &self.spec(spec).ok()?, hint)
    }
}

/// What is missing of what is applied if that cannot be read: nothing if the same version was found, which is the digest of
/// all its files. Otherwise nobody knows which of them are gone. Were it all of them, and what is there could stand for them,
/// then whatever happened is no loss. What cannot be told so is unknown.
fn measure_unread(request: &ObserveRequest<'_>, scan: &mut Scan) -> Result<(), ObserveError> {
    let Some((applied, set)) = request.applied.and_then(|applied| Some((applied, applied.set?))) else { return Ok(()) };
    if applied.version.as_bytes() == scan.version {
        scan.missing = Some(Missing::default());
        return Ok(());
    }
    match load_set(request.objects, set.root) {
        Ok(applied) => scan.missing = Some(scan.set.missing(&applied)),
        Err(error) => {
            let all = Missing { files: set.files, bytes: set.bytes, ..scan.set.missing(&PathSet::default()) };
            if !scan.set.is_empty() && all.is_replaced() {
                scan.missing = Some(all);
                return Ok(());
            }
            return Err(ObserveError(format!(
                "what is applied cannot be read, so what the source has lost of it cannot be told: {error}. Put the \
                 object back from a backup; or drop the collection and declare it anew"
            )));
        }
    }
    Ok(())
}

pub(super) fn source_of(source: &Source, spec: &ExternalSpec) -> Result<super::SourceLocation, FieldError> {
    // Relative paths belong to a configuration file, which knows where they start.
    let source = super::SourceUri::parse(source.as_str())?.resolve("".as_ref())?;
    Ok(source.read_by(spec))
}

fn refused(error: FieldError) -> Failure {
    Failure::Permanent(error.to_string())
}

/// What earlier attempts have left and this one may take over, the latest attempt's last.
fn leftovers(context: &Context) -> Vec<Segment> {
    context.leftovers().iter().flat_map(|token| noted(*token, &context.kept(*token))).collect()
}

/// First the files are counted, then the rows of new segments.
fn report(context: &Context, progress: BuildProgress) {
    match progress {
        BuildProgress::Files { done, of } => context.progress(done as u64, of as u64),
        BuildProgress::Rows { done, of } => context.progress(done, of),
    }
}

/// How much of the result was built for it: the share that a change has cost.
fn trace_built(context: &Context, outcome: &BuildOutcome) {
    let BuildOutcome { kept, new, taken_over, dropped, rows, .. } = *outcome;
    let rows_built = outcome.rows_built();
    // In percent, rounded up: a small change is not shown as none.
    let share = rows_built.saturating_mul(100).div_ceil(rows.max(1));
    unwind::tell(|| {
        tracing::info!(target: "lastword::external", collection = %context.name(), token = %context.token(), kept, new,
            taken_over, dropped, rows, rows_built, share, "built: {share} % of the rows are new");
    });
}
