//! What is planned and written of a change is what a plan of the whole gives, byte for byte, and costs what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use lastword::core::vocabulary::{Epoch, Name, ObjectHash, Seq, Timestamp, Token};
use lastword::external::{
    Build, BuildError, BuildOutcome, BuildProgress, ExternalSpec, FileReader, Format, FormatError, FragmentCache,
    Layout, LocalStore, Manifest, PathSet, Plan, RowRange, ScanRequest, Segment, SegmentBuilder, SegmentId, SegmentJob,
    SourceLocation, SourceUri, build, check, fragments_of, never_interrupted, plan, scan,
};
use lastword::objects::{MemoryObjects, ObjectError, Objects};
use proptest::prelude::*;

/// Each byte of a file is a fragment of so many rows; none of no rows.
struct Bytes;

impl Format for Bytes {
    fn fragments(&self, file: &dyn FileReader, _: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        let rows = file.read(0, usize::try_from(file.len()).unwrap()).map_err(FormatError::Store)?;
        let mut next = 0;
        let ranges = rows.iter().filter(|rows| **rows > 0).map(|rows| {
            let start = next;
            next += u64::from(*rows);
            RowRange { start, end: next }
        });
        Ok(ranges.collect())
    }
}

/// Outputs are names, so that a segment that was kept differs from one that was built again.
struct Named;

impl SegmentBuilder for Named {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        Ok(Some(job.id.to_string().into_bytes()))
    }
}

/// Counts objects that are stored, also those that are there already, and that are read.
#[derive(Default)]
struct Counted {
    objects: MemoryObjects,
    put: AtomicUsize,
    read: AtomicUsize,
}

impl Objects for Counted {
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        self.put.fetch_add(objects.len(), Ordering::Relaxed);
        self.objects.put(objects)
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.objects.get(hash)
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        self.objects.list()
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        self.objects.remove(hash)
    }
}

struct Collection {
    dir: tempfile::TempDir,
    source: SourceLocation,
    objects: Counted,
    known: Option<PathSet>,
    previous: Option<ObjectHash>,
    attempts: u64,
}

/// Long after all files were written: none of them is read to be sure of it.
const NOW: Timestamp = Timestamp(40_000_000_000_000_000);

impl Collection {
    fn new() -> Collection {
        let dir = tempfile::tempdir().unwrap();
        let source = SourceUri::parse(dir.path().to_str().unwrap()).unwrap().resolve("/".as_ref()).unwrap();
        Collection { dir, source, objects: Counted::default(), known: None, previous: None, attempts: 0 }
    }

    /// A file that is put in the place of what was there, or nothing.
    fn set(&self, name: &str, rows: Option<&[u8]>) {
        let path = self.dir.path().join(name);
        // Written before the other one is gone, it has another inode: its version is another one at once.
        let next = self.dir.path().join(".next");
        match rows {
            Some(rows) => fs::write(&next, rows).and_then(|()| fs::rename(&next, &path)).unwrap(),
            None => drop(fs::remove_file(&path)),
        }
    }

    fn build(&mut self, spec: &ExternalSpec, progress: &(dyn Fn(BuildProgress) + Sync)) -> BuildOutcome {
        self.attempts += 1;
        let before = self.known.take();
        let known = before.as_ref();
        let found = scan(&ScanRequest { known, applied: known, ..ScanRequest::new(&LocalStore, &self.source, NOW) });
        let found = found.unwrap();
        let attempt = Build {
            collection: &Name::new("lake").unwrap(),
            store: &LocalStore,
            format: &Bytes,
            objects: &self.objects,
            source: &self.source,
            spec,
            wanted: found.version,
            known: Some(&found.set),
            mounts: Some(&found.mounts),
            most_read: 1 << 29,
            applied: known,
            previous: self.previous,
            token: token(self.attempts),
            builder: &Named,
            parallel: 1,
            leftovers: &[],
            stop_check: &never_interrupted,
            finished: &|_| (),
            progress,
            learned: &|_, _, _| (),
            now: &|| NOW,
        };
        let outcome = build(&attempt).unwrap();
        self.known = Some(found.set);
        outcome
    }

    /// What a plan of the whole gives: the plan, and the segments after it.
    fn whole(&self, spec: &ExternalSpec, attempt: u64) -> (Plan, Vec<Segment>) {
        let previous = self.previous.map(|root| Manifest::read(&self.objects, root).unwrap());
        let (layout, segments) =
            previous.map_or((None, Vec::new()), |manifest| (Some(manifest.layout), manifest.segments));
        let (files, cache) = ((&LocalStore as _, &self.source), FragmentCache::default());
        let set = self.known.as_ref().unwrap();
        let fragments = fragments_of(files, (&Bytes, None), set, &cache, &never_interrupted, &|_| ()).unwrap();
        let plan = plan(layout, segments, spec, fragments);
        let new = plan.new.iter().zip(0..).map(|(new, n)| {
            let id = SegmentId { token: token(attempt), n };
            let output = Some(id.to_string().into_bytes());
            Segment { id, key: new.key, rows: new.rows, output, fragments: new.fragments.clone() }
        });
        let mut segments: Vec<_> = plan.kept.iter().cloned().chain(new).collect();
        segments.sort_by_key(|segment| segment.id);
        check(&segments).unwrap();
        (plan, segments)
    }

    /// Builds, and holds it against the plan of the whole.
    fn step(&mut self, spec: &ExternalSpec) -> Plan {
        let outcome = self.build(spec, &|_| ());
        let (plan, segments) = self.whole(spec, self.attempts);
        let manifest = Manifest { layout: Layout::of(spec), segments };
        let rows = manifest.rows();
        let counts = [plan.kept.len(), plan.new.len(), plan.dropped.len()].map(|count| count as u64);
        assert_eq!([outcome.kept, outcome.new, outcome.dropped], counts);
        assert_eq!(Manifest::read(&self.objects, outcome.manifest).unwrap(), manifest);
        assert_eq!(outcome.manifest, manifest.write(&MemoryObjects::new()).unwrap().hash);
        assert_eq!(outcome.rows, rows);
        self.previous = Some(outcome.manifest);
        plan
    }
}

fn token(attempt: u64) -> Token {
    Token { epoch: Epoch(1), seq: Seq(attempt) }
}

fn spec(rest: &str) -> ExternalSpec {
    ExternalSpec::parse(&format!(r#"{{"format":"parquet"{rest}}}"#)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Files come, change, come back to what they were and go; now and then all is planned by another spec.
    #[test]
    fn a_plan_of_what_has_changed_is_the_plan_of_the_whole(
        first in proptest::collection::btree_map(0_u8..40, proptest::collection::vec(0_u8..60, 1..5), 0..40),
        steps in proptest::collection::vec((
            proptest::collection::btree_map(0_u8..40, proptest::option::of(proptest::collection::vec(0_u8..60, 1..5)), 0..4),
            0_u8..12,
        ), 1..10),
    ) {
        let mut collection = Collection::new();
        let name = |n: &u8| format!("part-{n:02}");
        first.iter().for_each(|(n, rows)| collection.set(&name(n), Some(rows)));
        let mut by = spec(r#","target_rows":100"#);
        collection.step(&by);
        for (changes, other) in &steps {
            changes.iter().for_each(|(n, rows)| collection.set(&name(n), rows.as_deref()));
            match other {
                0 => by = spec(r#","target_rows":100,"recipe":"2""#),
                1 => by = spec(r#","target_rows":1"#),
                2 => by = spec(r#","target_rows":100"#),
                _ => {}
            }
            collection.step(&by);
        }
    }
}

#[test]
fn one_document_of_thousands_writes_a_handful_of_objects() {
    let (mut collection, by) = (Collection::new(), spec(r#","target_rows":1"#));
    (0..3_000).for_each(|n| collection.set(&format!("{n:04}"), Some(&[1])));
    collection.previous = Some(collection.build(&by, &|_| ()).manifest);
    let put = |collection: &Collection| collection.objects.put.swap(0, Ordering::Relaxed);
    assert!(put(&collection) > 40);
    for (at, rows) in [(0, Some(&[2][..])), (1_500, Some(&[2])), (2_999, Some(&[2])), (7, None), (3_000, Some(&[1]))] {
        collection.set(&format!("{at:04}"), rows);
        collection.objects.read.store(0, Ordering::Relaxed);
        let outcome = collection.build(&by, &|_| ());
        collection.previous = Some(outcome.manifest);
        let (put, read) = (put(&collection), collection.objects.read.load(Ordering::Relaxed));
        assert!(put <= 10, "document {at}: {put} objects were stored");
        // Once, and what differs of it once more.
        let held = of_tree(&collection, outcome.manifest);
        assert!(read <= held + 12, "document {at}: {read} objects were read of {held}");
    }
    collection.step(&by);
}

fn of_tree(collection: &Collection, root: ObjectHash) -> usize {
    let mut seen = BTreeSet::new();
    lastword::objects::tree::reachable(&collection.objects, root, &mut |hash| seen.insert(hash)).unwrap();
    seen.len()
}

/// Small segments are gathered when the tenth comes, and not before.
#[test]
fn small_additions_are_gathered_as_by_a_plan_of_the_whole() {
    let (mut collection, by) = (Collection::new(), spec(r#","target_rows":100"#));
    collection.set("large", Some(&[99]));
    collection.step(&by);
    let mut gathered = BTreeMap::new();
    for n in 0..25 {
        collection.set(&format!("small-{n:02}"), Some(&[3]));
        let plan = collection.step(&by);
        gathered.insert(n, plan.dropped.len());
    }
    assert_eq!(gathered.values().filter(|dropped| **dropped > 0).count(), 2, "{gathered:?}");
}

#[test]
fn a_manifest_that_lost_an_object_is_built_anew() {
    let (mut collection, by) = (Collection::new(), spec(r#","target_rows":1"#));
    (0..500).for_each(|n| collection.set(&format!("{n:04}"), Some(&[1])));
    collection.step(&by);
    let root = collection.previous.unwrap();
    let leaf = {
        let mut names = Vec::new();
        lastword::objects::tree::reachable(&collection.objects, root, &mut |hash| {
            names.push(hash);
            true
        })
        .unwrap();
        *names.last().unwrap()
    };
    assert_ne!(leaf, root);
    collection.objects.remove(leaf).unwrap();
    collection.set("0250", Some(&[2]));
    let outcome = collection.build(&by, &|_| ());
    assert_eq!((outcome.kept, outcome.new), (0, 500));
    Manifest::read(&collection.objects, outcome.manifest).unwrap();
}

#[test]
fn files_that_are_known_are_told_together() {
    let (mut collection, by) = (Collection::new(), spec(r#","target_rows":1"#));
    (0..20).for_each(|n| collection.set(&format!("{n:02}"), Some(&[1])));
    collection.step(&by);
    collection.set("03", Some(&[2]));
    collection.set("17", Some(&[2]));
    let seen = std::sync::Mutex::new(Vec::new());
    collection.build(&by, &|step| seen.lock().unwrap().push(step));
    let files = |done| BuildProgress::Files { done, of: 20 };
    assert_eq!(seen.lock().unwrap()[..3], [files(18), files(19), files(20)]);
}
