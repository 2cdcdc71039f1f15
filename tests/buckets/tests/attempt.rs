//! An attempt whose objects change under it: whatever the moment, nothing that was built of two contents is committed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use lastword::core::vocabulary::{Epoch, Name, Seq, Timestamp, Token};
use lastword::external::{
    Build, BuildError, BuildFailed, BuildOutcome, ExternalSpec, FileAddress, Mounts, PathSet, ScanRequest,
    SegmentBuilder, SegmentJob, SourceLocation, Store, build, format_of, never_interrupted, scan,
};
use lastword::objects::MemoryObjects;
use test_buckets::bucket::{self, Bucket};
use test_buckets::servers;
use test_buckets::stage::{Asked, Manners, Stage};

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
    let spec = ExternalSpec::parse(r#"{"format":"files"}"#).unwrap();
    build(&Build {
        collection: &Name::new("documents").unwrap(),
        store,
        format: format_of("files").unwrap(),
        objects: &MemoryObjects::new(),
        source,
        spec: &spec,
        wanted: known.digest(),
        known: Some(known),
        mounts: Some(&Mounts::default()),
        most_read: u64::MAX,
        applied: None,
        previous: None,
        token: Token { epoch: Epoch(1), seq: Seq(1) },
        builder,
        parallel: 1,
        leftovers: &[],
        stop_check: &never_interrupted,
        finished: &|_| (),
        progress: &|_| (),
        learned: &|_, _, _| (),
        now: &|| Timestamp(1),
    })
}

fn observe(store: &dyn Store, source: &SourceLocation) -> PathSet {
    scan(&ScanRequest::new(store, source, Timestamp(1))).unwrap().set
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

/// What a look may read is a bound on objects as well: what is left the next one reads, and until then the object is named.
#[test]
fn a_look_reads_no_more_of_objects_than_it_may() {
    const MIB: usize = 1 << 20;
    let stage = Stage::start();
    stage.behave(Manners { has_weak_tags: true, ..Manners::default() });
    let bucket = bucket::staged(&stage);
    let (buckets, source) = (bucket.buckets(), bucket.source(""));
    bucket.put("small", b"small");
    bucket.put("large", &vec![7; 3 * MIB]);
    stage.asked();
    let request = ScanRequest { most_read: MIB as u64, ..ScanRequest::new(&buckets, &source, Timestamp(1)) };
    let refused = scan(&request).unwrap_err().to_string();
    assert!(refused.contains("large"), "{refused}");
    let read = stage.asked().iter().filter(|asked| matches!(asked, Asked::Get { .. })).count();
    assert!(read <= 2, "{read} requests, of at most a mebibyte each");
    assert!(scan(&ScanRequest { most_read: 4 * MIB as u64, ..request }).is_ok());
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
