//! An attempt whose objects change under it: whatever the moment, nothing that was built of two contents is committed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use lastword::core::vocabulary::{Epoch, Name, ObjectHash, Seq, Timestamp, Token};
use lastword::external::{
    Build, BuildError, BuildFailed, BuildOutcome, ExternalSpec, FileAddress, Mounts, NoBuilder, PathSet, ScanRequest,
    SegmentBuilder, SegmentJob, SourceLocation, Store, build, format_of, never_interrupted, scan,
};
use lastword::objects::MemoryObjects;
use test_buckets::bucket::{self, Bucket};
use test_buckets::servers;
use test_buckets::stage::{Asked, Manners, Stage};

/// Long after all that was ever written: nothing is racy.
const LATER: Timestamp = Timestamp(40_000_000_000_000_000);

/// Reads every file in two pieces, and does something between them.
struct InTwoPieces<F> {
    between: F,
    read: Mutex<Vec<Vec<u8>>>,
}

impl<F: Fn() + Send + Sync> SegmentBuilder for InTwoPieces<F> {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        for fragment in job.fragments {
            let reader = job.open(fragment)?;
            let half = reader.len() as usize / 2;
            let mut bytes = reader.read(0, half)?;
            (self.between)();
            bytes.extend(reader.read(half as u64, reader.len() as usize - half)?);
            self.read.lock().unwrap().push(bytes);
        }
        Ok(None)
    }
}

fn attempt(
    store: &dyn Store,
    source: &SourceLocation,
    known: &PathSet,
    builder: &dyn SegmentBuilder,
) -> Result<BuildOutcome, BuildFailed> {
    let (objects, mounts) = (MemoryObjects::new(), Mounts::default());
    let before = Before { objects: &objects, mounts: Some(&mounts), applied: None };
    attempt_after(&before, (store, source), known, builder)
}

/// What an attempt can start from.
#[derive(Clone, Copy)]
struct Before<'a> {
    objects: &'a MemoryObjects,
    /// Those of the last look.
    mounts: Option<&'a Mounts>,
    applied: Option<(&'a PathSet, ObjectHash)>,
}

fn attempt_after(
    before: &Before<'_>,
    (store, source): (&dyn Store, &SourceLocation),
    known: &PathSet,
    builder: &dyn SegmentBuilder,
) -> Result<BuildOutcome, BuildFailed> {
    let spec = ExternalSpec::parse(r#"{"format":"files"}"#).unwrap();
    build(&Build {
        collection: &Name::new("documents").unwrap(),
        store,
        format: format_of("files").unwrap(),
        objects: before.objects,
        source,
        spec: &spec,
        wanted: known.digest(),
        known: Some(known),
        mounts: before.mounts,
        most_read: u64::MAX,
        applied: before.applied.map(|(set, _)| set),
        previous: before.applied.map(|(_, manifest)| manifest),
        token: Token { epoch: Epoch(1), seq: Seq(if before.applied.is_some() { 2 } else { 1 }) },
        builder,
        parallel: 1,
        leftovers: &[],
        stop_check: &never_interrupted,
        finished: &|_| (),
        progress: &|_| (),
        learned: &|_, _, _| (),
        now: &|| LATER,
    })
}

fn observe(store: &dyn Store, source: &SourceLocation) -> PathSet {
    scan(&ScanRequest::new(store, source, LATER)).unwrap().set
}

fn is_moved(found: &Result<BuildOutcome, BuildFailed>) -> bool {
    matches!(found, Err(BuildFailed { error: BuildError::Moved { .. }, .. }))
}

/// Runs one attempt in which `change` happens between two reads of one fragment.
fn with(bucket: &Bucket, change: impl Fn() + Send + Sync) -> (Result<BuildOutcome, BuildFailed>, Vec<Vec<u8>>) {
    let (buckets, source) = (bucket.buckets(), bucket.source("docs/"));
    let known = observe(&buckets, &source);
    let builder = InTwoPieces { between: change, read: Mutex::default() };
    let found = attempt(&buckets, &source, &known, &builder);
    (found, builder.read.into_inner().unwrap())
}

#[test]
fn an_object_that_is_overwritten_between_two_reads_ends_the_attempt_as_moved() {
    for bucket in bucket::all() {
        bucket.put("docs/a", b"first content");
        let (found, read) = with(&bucket, || bucket.put("docs/a", b"other content"));
        assert!(is_moved(&found), "{}: {found:?}", bucket.name);
        assert_eq!(read.len(), 0, "{}: no content was whole", bucket.name);
    }
}

#[test]
fn an_object_that_is_deleted_between_two_reads_ends_the_attempt_as_moved() {
    for bucket in bucket::all() {
        bucket.put("docs/a", b"first content");
        let (found, read) = with(&bucket, || bucket.delete("docs/a"));
        assert!(is_moved(&found) && read.is_empty(), "{}: {found:?}", bucket.name);
    }
}

#[test]
fn what_changes_behind_the_last_read_is_found_by_the_last_observation() {
    for bucket in bucket::all() {
        for name in ["a", "b"] {
            bucket.put(&format!("docs/{name}"), b"first content");
        }
        // While the second one is read: the first was read whole.
        let calls = AtomicU32::new(0);
        let change = || {
            if calls.fetch_add(1, Ordering::Relaxed) == 1 {
                bucket.put("docs/a", b"other content");
            }
        };
        let (found, read) = with(&bucket, change);
        assert!(is_moved(&found), "{}: {found:?}", bucket.name);
        assert_eq!(read, [b"first content"; 2], "{}: what was read is what was observed", bucket.name);
    }
}

#[test]
fn what_does_not_change_is_built_of_what_was_observed() {
    for bucket in bucket::all() {
        bucket.put("docs/a", b"first content");
        // A new object is left to the next observation.
        let (found, read) = with(&bucket, || bucket.put("docs/b", b"later"));
        let outcome = found.unwrap();
        assert!(outcome.is_behind && outcome.new == 1, "{}: {outcome:?}", bucket.name);
        assert_eq!(read, [b"first content"], "{}", bucket.name);
    }
}

/// Reads every file, and does something behind the last read.
struct AndThen<F>(F);

impl<F: Fn() + Send + Sync> SegmentBuilder for AndThen<F> {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        for fragment in job.fragments {
            let reader = job.open(fragment)?;
            reader.read(0, reader.len() as usize)?;
        }
        (self.0)();
        Ok(None)
    }
}

/// Builds many objects, changes one of them, observes that, and attempts it: with what the last look found or without.
/// What was asked by that attempt.
fn one_of_many(
    is_told: bool,
    and_then: impl Fn(&Stage, &str) + Send + Sync,
) -> (Result<BuildOutcome, BuildFailed>, Vec<Asked>) {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let name = bucket.named().name().to_owned();
    (0..2_500).for_each(|n| stage.put(&name, &format!("docs/{n:04}"), b"first content"));
    let (buckets, source) = (bucket.buckets(), bucket.source("docs/"));
    let (objects, mounts) = (MemoryObjects::new(), Mounts::default());
    let first = observe(&buckets, &source);
    let before = Before { objects: &objects, mounts: Some(&mounts), applied: None };
    let built = attempt_after(&before, (&buckets, &source), &first, &NoBuilder).unwrap();
    stage.put(&name, "docs/0007", b"other content");
    let looking = ScanRequest { known: Some(&first), ..ScanRequest::new(&buckets, &source, LATER) };
    let second = scan(&looking).unwrap().set;
    stage.asked();
    let mounts = Some(&mounts).filter(|_| is_told);
    let before = Before { mounts, applied: Some((&first, built.manifest)), ..before };
    let builder = AndThen(|| and_then(&stage, &name));
    let found = attempt_after(&before, (&buckets, &source), &second, &builder);
    (found, stage.asked())
}

#[test]
fn an_attempt_at_one_change_of_many_asks_for_that_object_alone() {
    let (found, asked) = one_of_many(true, |_, _| ());
    let outcome = found.unwrap();
    assert_eq!((outcome.kept, outcome.new, outcome.dropped), (2_499, 1, 1));
    let is_its = |asked: &Asked| matches!(asked, Asked::Get { key, .. } | Asked::Head { key } if key == "docs/0007");
    assert!(asked.len() <= 3 && asked.iter().all(is_its), "{asked:?}");
    // Without the last look nobody knows by which rules it was made.
    let (found, asked) = one_of_many(false, |_, _| ());
    assert_eq!(found.unwrap().new, 1);
    assert!(asked.iter().any(|asked| matches!(asked, Asked::List { .. })));
}

#[test]
fn what_changes_behind_its_last_read_ends_the_attempt_also_among_many() {
    let (found, asked) = one_of_many(true, |stage, name| stage.put(name, "docs/0007", b"third content"));
    assert!(is_moved(&found), "{found:?}");
    assert!(asked.iter().any(|asked| matches!(asked, Asked::List { .. })), "what it holds by now is an observation");
    // What the attempt had no part in is left to the next observation, as what is new is.
    let (found, _) = one_of_many(true, |stage, name| stage.put(name, "docs/0008", b"third content"));
    assert_eq!(found.unwrap().new, 1);
}

/// A store whose tags prove nothing: content decides, and what is believed is counted.
#[test]
fn objects_with_weak_tags_are_named_by_their_content() {
    let stage = Stage::start();
    stage.behave(Manners { has_weak_tags: true, ..Manners::default() });
    let bucket = bucket::staged(&stage);
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    bucket.put("a", b"first");
    let first = scan(&ScanRequest::new(&buckets, &source, Timestamp(1))).unwrap();
    let file = first.set.get(&lastword::external::SourcePath(b"a".to_vec())).unwrap();
    assert_eq!(file.content, Some(*blake3::hash(b"first").as_bytes()));
    // Of the same size and within the same second.
    bucket.put("a", b"other");
    let request = ScanRequest { known: Some(&first.set), ..ScanRequest::new(&buckets, &source, Timestamp(1)) };
    let second = scan(&request).unwrap();
    assert_ne!(first.version, second.version);
    // And what is read is compared with what was listed: both have the same tag, and were modified at one time or not.
    assert!(second.set.racy() == 1, "until its time can be trusted it is read at every observation");
}

/// Keeps the addresses of what it is to build, and reads nothing.
#[derive(Default)]
struct Elsewhere(Mutex<Vec<FileAddress>>);

impl SegmentBuilder for Elsewhere {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        let addresses = job.fragments.iter().map(|fragment| job.address(fragment));
        self.0.lock().unwrap().extend(addresses.collect::<Result<Vec<_>, _>>()?);
        Ok(None)
    }
}

#[test]
fn another_process_fetches_under_the_same_fence() {
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    bucket.put("docs/a", b"first content");
    let (buckets, source) = (bucket.buckets(), bucket.source("docs/"));
    let builder = Elsewhere::default();
    attempt(&buckets, &source, &observe(&buckets, &source), &builder).unwrap();
    let address = builder.0.into_inner().unwrap().remove(0);
    assert_eq!((address.url, address.size), (format!("{}/docs/a", bucket.name), 13));
    let fetch = || {
        let path = format!("/{}/docs/a", bucket.named().name());
        let if_match = address.if_match.as_deref().unwrap();
        servers::request(&stage.endpoint, "GET", &path, &[("If-Match", if_match)], b"")
    };
    assert_eq!(fetch(), 200);
    bucket.put("docs/a", b"other content");
    assert_eq!(fetch(), 412);
}
