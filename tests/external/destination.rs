//! Segments that are real files: built side by side, taken over from attempts that did not commit, discarded, verified.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{CollectionId, Epoch, Name, ObjectHash, Seq, Token};
use lastword::external::{
    Build, BuildError, BuildFailed, BuildOutcome, BuildProgress, Discard, ExternalSpec, LocalStore, Manifest, Parquet,
    ScanRequest, Segment, SegmentBuilder, SegmentJob, SourceLocation, SourceUri, VerifyError, build, discard,
    never_interrupted, scan, verify,
};
use lastword::objects::{MemoryObjects, ObjectError, Objects};
use test_support::parquet_files::write;

/// Long enough for any machine: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);

/// What a builder does beside building.
type Deed = dyn Fn(&SegmentJob<'_>) -> Result<(), BuildError> + Sync + Send;

/// Writes one file for each segment, named by its id. Its output is the content's hash.
struct Files {
    dir: PathBuf,
    built: Mutex<Vec<String>>,
    deed: Box<Deed>,
}

impl Files {
    fn new(dir: &Path, deed: impl Fn(&SegmentJob<'_>) -> Result<(), BuildError> + Sync + Send + 'static) -> Files {
        Files { dir: dir.to_owned(), built: Mutex::default(), deed: Box::new(deed) }
    }

    /// What was built since this was asked the last time.
    fn built(&self) -> Vec<String> {
        let mut built = std::mem::take(&mut *self.built.lock().unwrap());
        built.sort();
        built
    }
}

impl SegmentBuilder for Files {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        let path = self.dir.join(job.id.to_string());
        assert!(!path.exists(), "a name is never given out twice");
        fs::write(&path, "half").unwrap();
        (self.deed)(job)?;
        let mut content = format!("{} {} {}\n", job.token(), job.key, job.collection);
        for fragment in job.fragments {
            let file = job.open(fragment)?;
            content += &format!("{} {} {}\n", fragment.path, fragment.rows(), file.len());
        }
        fs::write(&path, &content).unwrap();
        self.built.lock().unwrap().push(job.id.to_string());
        Ok(Some(blake3::hash(content.as_bytes()).as_bytes().to_vec()))
    }

    fn discards(&self) -> bool {
        true
    }

    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        for entry in fs::read_dir(&self.dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let (token, n) = name.split_once('-').unwrap();
            let (epoch, seq) = token.split_once('.').unwrap();
            let token = Token { epoch: Epoch(epoch.parse().unwrap()), seq: Seq(seq.parse().unwrap()) };
            if what.covers(lastword::external::SegmentId { token, n: n.parse().unwrap() }) {
                fs::remove_file(path).unwrap();
            }
        }
        Ok(())
    }

    fn verify(&self, segment: &Segment) -> Result<(), String> {
        let content = fs::read(self.dir.join(segment.id.to_string())).map_err(|error| error.to_string())?;
        let is_whole = segment.output.as_deref() == Some(blake3::hash(&content).as_bytes());
        if is_whole { Ok(()) } else { Err("it is not what was written".to_owned()) }
    }
}

/// A source of files with a segment each, what is built of it, and where.
struct Lake {
    source_dir: tempfile::TempDir,
    out: tempfile::TempDir,
    source: SourceLocation,
    objects: MemoryObjects,
    previous: Option<ObjectHash>,
    attempts: u64,
}

impl Lake {
    fn new(files: usize) -> Lake {
        let (source_dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = SourceUri::parse(source_dir.path().to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
        let lake = Lake { source_dir, out, source, objects: MemoryObjects::new(), previous: None, attempts: 0 };
        (0..files).for_each(|n| lake.write(n, 0));
        lake
    }

    fn write(&self, n: usize, salt: u8) {
        write(&self.source_dir.path().join(format!("{n}.parquet")), &[1_000], salt);
    }

    fn builder(&self) -> Files {
        Files::new(self.out.path(), |_| Ok(()))
    }

    fn token(&self) -> Token {
        Token { epoch: Epoch(1), seq: Seq(self.attempts) }
    }

    fn attempt(
        &mut self,
        builder: &dyn SegmentBuilder,
        parallel: usize,
        leftovers: &[Segment],
        progress: &(dyn Fn(BuildProgress) + Sync),
    ) -> Result<BuildOutcome, BuildFailed> {
        self.attempts += 1;
        let clock = SystemClock::new();
        // Aged, so that versions do not depend on what was seen before.
        let now = move || clock.wall().after(Duration::from_secs(10));
        let seen = scan(&ScanRequest::new(&LocalStore, &self.source, now())).unwrap();
        build(&Build {
            collection: &Name::new("lake").unwrap(),
            store: &LocalStore,
            format: &Parquet,
            objects: &self.objects,
            source: &self.source,
            spec: &ExternalSpec::parse(r#"{"format":"parquet","target_rows":1000}"#).unwrap(),
            wanted: seen.version,
            known: Some(&seen.set),
            applied: None,
            previous: self.previous,
            token: self.token(),
            builder,
            parallel,
            leftovers,
            stop_check: &never_interrupted,
            finished: &|_| (),
            progress,
            mounts: None,
            most_read: 1 << 29,
            learned: &|_, _, _| (),
            now: &now,
        })
    }

    fn commit(&mut self, builder: &Files, leftovers: &[Segment]) -> BuildOutcome {
        let outcome = self.attempt(builder, 1, leftovers, &|_| ()).unwrap();
        self.previous = Some(outcome.manifest);
        outcome
    }

    fn segments(&self) -> Vec<Segment> {
        self.previous.map_or(Vec::new(), |root| Manifest::read(&self.objects, root).unwrap().segments)
    }

    fn live(&self) -> BTreeSet<String> {
        self.segments().iter().map(|segment| segment.id.to_string()).collect()
    }

    fn files(&self) -> BTreeSet<String> {
        let names = fs::read_dir(self.out.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

fn ids(segments: &[Segment]) -> Vec<String> {
    segments.iter().map(|segment| segment.id.to_string()).collect()
}

/// Counts up, and waits until others have.
#[derive(Default)]
struct Steps {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Steps {
    fn step(&self) {
        *self.count.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let waiting =
            self.changed.wait_timeout_while(self.count.lock().unwrap(), LONG, |found| *found < count).unwrap();
        assert!(!waiting.1.timed_out(), "it never came to {count}");
    }
}

#[test]
fn segments_are_built_side_by_side_and_their_names_do_not_depend_on_the_order() {
    let mut lake = Lake::new(4);
    // The last one ends first: each waits for those behind it.
    let ended = Steps::default();
    let backwards = Files::new(lake.out.path(), move |job| {
        ended.wait_for(3 - job.id.n as usize);
        job.progress(500);
        ended.step();
        Ok(())
    });
    let seen = Mutex::new(Vec::new());
    let outcome = lake.attempt(&backwards, 4, &[], &|step| seen.lock().unwrap().push(step)).unwrap();
    lake.previous = Some(outcome.manifest);
    assert_eq!(ids(&outcome.built), ["1.1-0", "1.1-1", "1.1-2", "1.1-3"]);
    let paths: Vec<_> = lake.segments().iter().map(|segment| segment.fragments[0].path.to_string()).collect();
    assert_eq!(paths, ["0.parquet", "1.parquet", "2.parquet", "3.parquet"]);
    let seen = seen.into_inner().unwrap();
    assert!(seen.contains(&BuildProgress::Rows { done: 4_000, of: 4_000 }), "{seen:?}");
    assert!(seen.contains(&BuildProgress::Rows { done: 500, of: 4_000 }), "{seen:?}");
    verify(&backwards, &lake.objects, outcome.manifest).unwrap();
}

#[test]
fn the_first_failure_stops_the_others_and_what_is_finished_is_handed_back() {
    let mut lake = Lake::new(20);
    let (begun, finished) = (Steps::default(), Steps::default());
    let builder = Files::new(lake.out.path(), move |job| match job.id.n {
        0 => {
            finished.wait_for(1);
            begun.wait_for(2);
            Err(BuildError::Transient("the destination is full".to_owned()))
        }
        1 => {
            finished.step();
            Ok(())
        }
        // Whoever runs beside it goes on until it is told to stop.
        _ => loop {
            begun.step();
            begun.wait_for(1);
            job.check_stop()?;
            std::thread::yield_now();
        },
    });
    let failed = lake.attempt(&builder, 3, &[], &|_| ()).unwrap_err();
    assert!(matches!(&failed.error, BuildError::Transient(text) if text == "the destination is full"));
    assert_eq!(ids(&failed.built), ["1.1-1"]);
    assert!(lake.files().len() <= 4, "nothing was begun afterwards: {:?}", lake.files());
}

#[test]
fn case_33_a_panic_in_one_segment_fails_the_attempt_with_its_message() {
    for parallel in [1, 3] {
        let mut lake = Lake::new(3);
        let builder = Files::new(lake.out.path(), |job| {
            if job.id.n == 1 { std::panic::panic_any(format!("no room for {}", job.id)) } else { Ok(()) }
        });
        let failed = lake.attempt(&builder, parallel, &[], &|_| ()).unwrap_err();
        assert!(matches!(&failed.error, BuildError::Panicked(text) if text == "no room for 1.1-1"), "{failed:?}");
        assert!(ids(&failed.built).contains(&"1.1-0".to_owned()));
    }
}

/// An attempt that fails at its segment number `n`, and what it has built by then.
fn fail_at(lake: &mut Lake, n: u32) -> Vec<Segment> {
    let builder = Files::new(lake.out.path(), move |job| {
        if job.id.n == n { Err(BuildError::Transient("not now".to_owned())) } else { Ok(()) }
    });
    lake.attempt(&builder, 1, &[], &|_| ()).unwrap_err().built
}

#[test]
fn what_a_failed_attempt_has_built_is_taken_over() {
    let mut lake = Lake::new(4);
    let leftovers = fail_at(&mut lake, 2);
    let builder = lake.builder();
    let outcome = lake.commit(&builder, &leftovers);
    assert_eq!((outcome.kept, outcome.new, outcome.taken_over, outcome.rows_built()), (0, 4, 2, 2_000));
    assert_eq!(ids(&lake.segments()), ["1.1-0", "1.1-1", "1.2-0", "1.2-1"]);
    assert_eq!(builder.built(), ["1.2-0", "1.2-1"]);
    verify(&builder, &lake.objects, outcome.manifest).unwrap();
}

#[test]
fn what_a_superseded_attempt_has_built_is_taken_over_where_it_is_still_wanted() {
    let mut lake = Lake::new(3);
    // The source changes while it is built: the whole attempt is for nothing, two of its segments are not.
    let source = lake.source_dir.path().join("1.parquet");
    let builder = Files::new(lake.out.path(), move |job| {
        if job.id.n == 2 {
            write(&source, &[1_000], 9);
        }
        Ok(())
    });
    let failed = lake.attempt(&builder, 1, &[], &|_| ()).unwrap_err();
    assert!(matches!(failed.error, BuildError::Moved { .. } | BuildError::Transient(_)), "{failed:?}");
    let mut leftovers = failed.built;
    assert_eq!(ids(&leftovers), ["1.1-0", "1.1-1", "1.1-2"]);
    let builder = lake.builder();
    let outcome = lake.commit(&builder, &leftovers);
    assert_eq!((outcome.new, outcome.taken_over), (3, 2));
    assert_eq!(ids(&lake.segments()), ["1.1-0", "1.1-2", "1.2-0"]);
    // One that is not there any more is built again.
    fs::remove_file(lake.out.path().join("1.1-0")).unwrap();
    leftovers.truncate(1);
    lake.previous = None;
    let outcome = lake.commit(&builder, &leftovers);
    assert_eq!((outcome.new, outcome.taken_over), (3, 0));
}

#[test]
fn case_46_discarding_leaves_exactly_the_live_files() {
    let mut lake = Lake::new(4);
    let leftovers = fail_at(&mut lake, 2);
    let failed = lake.token();
    lake.write(0, 7);
    let builder = lake.builder();
    lake.commit(&builder, &leftovers);
    let first = lake.previous;
    assert_eq!(lake.live(), ["1.1-1", "1.2-0", "1.2-1", "1.2-2"].map(String::from).into());
    // Of the failed attempt: one is live, one is not wanted any more, one was never finished.
    let made = ["1.1-0", "1.1-1", "1.1-2", "1.2-0", "1.2-1", "1.2-2"].map(String::from);
    assert_eq!(lake.files(), made.clone().into());
    let clear = |lake: &Lake, tokens: &[Token], before, after| {
        discard(
            &builder,
            (CollectionId(Seq(1)), &Name::new("lake").unwrap(), false),
            &lake.objects,
            tokens,
            before,
            after,
            None,
        )
    };
    // What is live cannot be read: nothing goes.
    let lost = Some(ObjectHash([9; 32]));
    let error = clear(&lake, &[failed], None, lost).unwrap_err();
    assert!(error.starts_with("what is live cannot be read, so nothing is discarded: object 0909"), "{error}");
    assert_eq!(lake.files(), made.into());
    clear(&lake, &[failed], None, first).unwrap();
    assert_eq!(lake.files(), lake.live());
    // Twice does no harm, and neither does a commit before that nobody can read.
    clear(&lake, &[failed], lost, first).unwrap();
    assert_eq!(lake.files(), lake.live());
    // The next commit drops a segment, also one that was taken over.
    lake.write(1, 8);
    lake.commit(&builder, &[]);
    clear(&lake, &[], first, lake.previous).unwrap();
    assert_eq!(lake.files(), lake.live());
    assert_eq!(lake.files().len(), 4);
    // Dropped: nothing is live.
    clear(&lake, &[], lake.previous, None).unwrap();
    assert_eq!(lake.files(), BTreeSet::new());
}

#[test]
fn what_is_live_by_now_stands_for_what_was_live_and_is_lost() {
    let mut lake = Lake::new(4);
    let leftovers = fail_at(&mut lake, 2);
    let failed = lake.token();
    lake.write(0, 7);
    let builder = lake.builder();
    lake.commit(&builder, &leftovers);
    let lost = lake.previous.unwrap();
    // One that was taken over and is not live any more: only the lost manifest names it.
    lake.write(1, 8);
    lake.commit(&builder, &[]);
    let newest = lake.previous;
    lake.objects.remove(lost).unwrap();
    let made = lake.files();
    assert!(made.is_superset(&["1.1-0", "1.1-1"].map(String::from).into()) && made.is_superset(&lake.live()));
    let clear = |objects: &dyn Objects, is_drop, newest| {
        let (id, name) = (CollectionId(Seq(1)), Name::new("lake").unwrap());
        discard(&builder, (id, &name, is_drop), objects, &[failed], None, Some(lost), newest)
    };
    // Readers may be shown what is lost, or what is live by now is lost as well: nothing goes, and there is a way out.
    for unknown in [None, Some(lost), Some(ObjectHash([9; 32]))] {
        let error = clear(&lake.objects, false, unknown).unwrap_err();
        assert!(error.starts_with("what is live cannot be read, so nothing is discarded: object "), "{error}");
        assert!(error.ends_with("or drop the collection and declare it anew"), "{error}");
    }
    // What the disk refuses may be there in a moment.
    for is_drop in [false, true] {
        let error = clear(&Refusing, is_drop, newest).unwrap_err();
        assert!(!error.contains("drop the collection"), "{error}");
    }
    assert_eq!(lake.files(), made);
    clear(&lake.objects, false, newest).unwrap();
    assert_eq!(lake.files(), lake.live());
    // That way out is one.
    clear(&lake.objects, true, None).unwrap();
    discard(
        &builder,
        (CollectionId(Seq(1)), &Name::new("lake").unwrap(), true),
        &lake.objects,
        &[],
        newest,
        None,
        None,
    )
    .unwrap();
    assert_eq!(lake.files(), BTreeSet::new());
}

#[test]
fn verifying_notices_what_is_missing_and_what_is_not_what_it_was() {
    let mut lake = Lake::new(3);
    let builder = lake.builder();
    let manifest = lake.commit(&builder, &[]).manifest;
    let drift = |lake: &Lake| match verify(&builder, &lake.objects, manifest) {
        Err(VerifyError::Drift(text)) => text,
        other => panic!("{other:?}"),
    };
    verify(&builder, &lake.objects, manifest).unwrap();
    fs::write(lake.out.path().join("1.1-2"), "altered").unwrap();
    assert_eq!(drift(&lake), "segment 1.1-2: it is not what was written");
    fs::remove_file(lake.out.path().join("1.1-1")).unwrap();
    let text = drift(&lake);
    assert!(text.starts_with("segment 1.1-1: ") && text.ends_with("; and 1 more"), "{text}");
    // What the disk refuses now may be fine.
    let verdict = verify(&builder, &Refusing, manifest);
    assert!(matches!(verdict, Err(VerifyError::Unknown(_))), "{verdict:?}");
    lake.objects.remove(manifest).unwrap();
    assert!(drift(&lake).contains("is missing"));
}

struct Refusing;

impl Objects for Refusing {
    fn put(&self, _: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        unreachable!("nothing is written")
    }
    fn get(&self, _: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        Err(ObjectError::Io("read".to_owned(), std::io::Error::other("refused")))
    }
    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        Ok(Vec::new())
    }
    fn remove(&self, _: ObjectHash) -> Result<(), ObjectError> {
        Ok(())
    }
}
