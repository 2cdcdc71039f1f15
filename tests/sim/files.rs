//! Collections of files: the real look, plan, balance and build, over a lake in memory and a format that is nothing but
//! row groups.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use lastword::core::vocabulary::{
    Built, Completion, Content, Delta, EngineCommand, Event, FailureClass, ObservationOutcome, PathSetRef, Recorded,
    SegmentCounts, SourceState, Version,
};
use lastword::external::{
    self, Build, BuildError, BuildOutcome, ExternalSpec, Interrupted, Manifest, RowRange, Scan, Segment, SegmentId,
    SegmentKey, SourceUri, StoredSet, build, load_set, never_interrupted, note_of, noted, store_set,
};
use lastword::objects::Objects;
use test_support::oracle::Known;

use super::couriers::contents;
use super::lake::{Rows, ranges};
use super::sim::Sim;
use super::workers::Job;

impl Sim {
    /// Builds a collection of files, as the worker of external collections does.
    pub(crate) fn build(&mut self, job: &Job) -> EngineCommand {
        match self.build_segments(job, None) {
            Ok(outcome) => {
                let segments = Some(SegmentCounts { kept: outcome.kept, new: outcome.new, dropped: outcome.dropped });
                let result =
                    Built { manifest: Some(outcome.manifest), segments, rows: Some(outcome.rows), output: None };
                self.assert_taken_over(&result, job);
                if outcome.is_behind {
                    self.counts.add("a commit that its source is ahead of");
                    self.ask_for_look(job.attempt.collection);
                }
                let (attempt, fingerprint) = (job.attempt, job.fingerprint);
                EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result }))
            }
            Err(BuildError::Moved { scan, .. }) => {
                let Some(look) = scan else {
                    return self.fails(job, FailureClass::SourceMoved(None), "the source changed while it was read");
                };
                let Content::Observed(wanted) = &job.inputs.content else { panic!("it is built unobserved") };
                let known = load_set(&*self.objects, wanted.set.unwrap().root).unwrap();
                let seen = self.store(&look, Some(&known));
                self.moved(job, seen)
            }
            Err(BuildError::Interrupted) => EngineCommand::Stopped { attempt: job.attempt },
            Err(BuildError::Transient(text)) => self.fails(job, FailureClass::Transient, &text),
            Err(BuildError::Permanent(text)) => {
                assert!(!text.contains("a bug"), "{text}");
                self.fails(job, FailureClass::Permanent, &text)
            }
            Err(BuildError::Panicked(text)) => panic!("{text}"),
            Err(other) => panic!("the simulator does not know of {other:?}"),
        }
    }

    /// The real work; it is interrupted once `most` segments are finished.
    pub(crate) fn build_segments(&mut self, job: &Job, most: Option<usize>) -> Result<BuildOutcome, BuildError> {
        let (text, token) = (job.inputs.source.as_str().to_owned(), job.attempt.token);
        let source = SourceUri::parse(&text).unwrap().resolve("".as_ref()).unwrap();
        let spec = ExternalSpec::parse(job.inputs.spec.as_str()).unwrap();
        let Content::Observed(wanted) = &job.inputs.content else { panic!("{text} is built unobserved") };
        let set = |observed: &SourceState| load_set(&*self.objects, observed.set.unwrap().root).unwrap();
        let applied = job.applied.as_deref().and_then(|applied| match &applied.inputs.content {
            Content::Observed(observed) => Some(set(observed)),
            Content::Unversioned | Content::Unknown => None,
        });
        let known = set(wanted);
        let of_tokens = job.leftovers.iter().filter_map(|token| self.workers.notes.get_key_value(token));
        let leftovers: Vec<Segment> = of_tokens.flat_map(|(token, notes)| noted(*token, notes)).collect();
        if !self.is_calm && self.dice.chance(150) {
            self.lake.ambush(&text, self.clock.wall, self.clock.stretch, &mut self.dice);
        }
        let most = most.or_else(|| (!self.is_calm && self.dice.chance(20)).then_some(0)).unwrap_or(usize::MAX);
        let notes = Mutex::new(Vec::new());
        let is_over = || notes.lock().unwrap().len() >= most;
        let (lake, shelf, wall) = (self.lake.clone(), self.destination.shelf.clone(), self.clock.wall);
        let attempt = Build {
            collection: &job.name,
            store: &lake,
            format: &Rows,
            objects: &*self.objects,
            source: &source,
            spec: &spec,
            wanted: wanted.version.as_bytes().try_into().unwrap(),
            known: Some(&known),
            applied: applied.as_ref(),
            previous: job.applied.as_ref().and_then(|applied| applied.result.manifest),
            token,
            builder: &shelf,
            parallel: 1,
            leftovers: &leftovers,
            stop_check: &|| if is_over() { Err(Interrupted) } else { never_interrupted() },
            finished: &|segment| notes.lock().unwrap().push(note_of(segment)),
            progress: &|_| (),
            mounts: None,
            most_read: 1 << 29,
            learned: &|_, _, _| (),
            now: &|| wall,
        };
        let built = catch_unwind(AssertUnwindSafe(|| build(&attempt)));
        self.lake.end_ambush();
        self.workers.notes.insert(token, notes.into_inner().unwrap());
        built.unwrap_or_else(|_| panic!("a plan has panicked")).map_err(|failed| failed.error)
    }

    fn store(&self, look: &Scan, known: Option<&external::PathSet>) -> ObservationOutcome {
        let StoredSet { root, files, bytes, difference } = store_set(&*self.objects, &look.set, known).unwrap();
        let set = Some(PathSetRef { root, files, bytes });
        let observed = SourceState { version: Version::new(&look.version).unwrap(), set };
        let external::Difference { added, removed, changed } = difference;
        ObservationOutcome::Content {
            state: observed,
            delta: Some(Delta { added, removed, changed }),
            missing: look.missing,
        }
    }

    /// A segment is this attempt's own, or was committed before, or is a leftover that was offered.
    fn assert_taken_over(&mut self, result: &Built, job: &Job) {
        let manifest = Manifest::read(&*self.objects, result.manifest.unwrap()).unwrap();
        let before = job.applied.as_ref().and_then(|applied| applied.result.manifest);
        let before = before.map(|root| Manifest::read(&*self.objects, root).unwrap().segments).unwrap_or_default();
        for segment in &manifest.segments {
            let token = segment.id.token;
            let own = token == job.attempt.token || job.leftovers.contains(&token);
            assert!(own || before.contains(segment), "segment {} came from nowhere", segment.id);
            if token != job.attempt.token && !before.contains(segment) {
                let is_other = token.epoch != job.attempt.token.epoch;
                self.counts.add(if is_other { "taken over from a process before" } else { "taken over" });
            }
        }
    }

    /// Every segment of a commit was built from exactly its key: the columns, params and recipe that were wanted, and
    /// these fragments.
    pub(crate) fn follow_files(&self, recorded: &Recorded) {
        let Event::TaskCompleted { collection, result, .. } = &recorded.event else { return };
        let applied = self.collection(*collection).and_then(|collection| collection.applied.as_deref());
        let Some((applied, root)) = applied.filter(|applied| applied.seq == recorded.seq).zip(result.manifest) else {
            return;
        };
        let spec = ExternalSpec::parse(applied.inputs.spec.as_str()).unwrap();
        for segment in &Manifest::read(&*self.objects, root).unwrap().segments {
            let key = SegmentKey::of(&spec, &segment.fragments);
            let holds = self.destination.shelf.has_built(segment, key);
            assert!(holds || self.destination.is_muddled, "segment {} was built from something else", segment.id);
        }
    }

    /// The segments of every commit that stands.
    pub(crate) fn live_segments(&self) -> BTreeSet<SegmentId> {
        let roots = self.witness.known.values().filter_map(|seen| seen.applied.as_ref()?.result.manifest);
        let manifests = roots.map(|root| Manifest::read(&*self.objects, root).unwrap());
        manifests.flat_map(|manifest| manifest.segments).map(|segment| segment.id).collect()
    }

    /// What is applied are the files that are there now: every row once, and built from these very bytes.
    pub(crate) fn assert_built_from_files(&self, seen: &Known) {
        let files = self.lake.files(seen.latest.source());
        let root = seen.applied.as_ref().and_then(|applied| applied.result.manifest).unwrap();
        let manifest = Manifest::read(&*self.objects, root).unwrap();
        let spec = ExternalSpec::parse(seen.latest.spec()).unwrap();
        let mut built = BTreeSet::new();
        for segment in &manifest.segments {
            let parts = segment.fragments.iter().map(|fragment| {
                let bytes = files.get(&fragment.path).map_or(&[][..], Vec::as_slice);
                (fragment.path.encode(), fragment.start, fragment.end, bytes)
            });
            assert_eq!(segment.output, Some(contents(&spec, parts)), "a segment of {} was built of other", seen.name);
            for fragment in &segment.fragments {
                let range = RowRange { start: fragment.start, end: fragment.end };
                assert!(built.insert((fragment.path.clone(), range)), "a fragment is in two segments");
            }
        }
        let all = |(path, bytes): (&_, &Vec<u8>)| {
            let path: &external::SourcePath = path;
            let ranges = ranges(bytes).unwrap();
            ranges.into_iter().map(|range| (path.clone(), range)).collect::<Vec<_>>()
        };
        let there: BTreeSet<_> = files.iter().flat_map(all).collect();
        assert_eq!(built, there, "{} does not hold the rows of its files", seen.name);
        self.assert_balanced(seen, &manifest);
    }

    /// Nothing below the target is left alone for long: never more small segments than a plan tolerates.
    fn assert_balanced(&self, seen: &Known, manifest: &Manifest) {
        let spec = ExternalSpec::parse(seen.latest.spec()).unwrap();
        assert_eq!(manifest.layout.target_rows, spec.target_rows, "{} is laid out for another target", seen.name);
        for segment in manifest.segments.iter().filter(|segment| segment.fragments.len() > 1) {
            assert!(segment.rows < 2 * spec.target_rows, "segment {} reaches twice the target", segment.id);
        }
    }

    /// The objects that the log names are all there.
    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }
}
