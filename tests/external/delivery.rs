//! External collections with a destination, in a running engine: a directory with one file for each segment, and one
//! file that says which of them are live.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Coalesce, Declaration, Event, Kind, Name, Policy, RefreshReason, Seq, Source, Spec};
use lastword::core::vocabulary::{Recorded, Token};
use lastword::engine::{CollectionStatus, Reconciler, WatchItem};
use lastword::external::{BuildError, Discard, External, Manifest, Segment, SegmentBuilder, SegmentJob};
use lastword::worker::CommitView;
use test_support::parquet_files::write;

const LONG: Duration = Duration::from_secs(60);

/// Writes a file for each segment; the file `live` holds the token of the last publication and the segments of it.
#[derive(Clone)]
struct Files {
    out: PathBuf,
    published: Arc<Mutex<Option<Token>>>,
    built: Arc<AtomicU64>,
    /// What each discard was about: the incarnation, its name, and whether it was dropped.
    discards: Arc<Mutex<Vec<(u64, String, bool)>>>,
    /// Segments of which more than one is built before this is let go wait after the first.
    gate: Arc<AtomicBool>,
}

impl Files {
    fn path(&self, id: impl std::fmt::Display) -> PathBuf {
        self.out.join(id.to_string())
    }
}

impl SegmentBuilder for Files {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        while self.gate.load(Ordering::Acquire) && job.id.n > 0 {
            job.check_stop()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        let path = self.path(job.id);
        fs::write(&path, job.key.to_string()).map_err(|error| BuildError::Transient(error.to_string()))?;
        self.built.fetch_add(1, Ordering::AcqRel);
        Ok(Some(path.to_str().unwrap().as_bytes().to_vec()))
    }

    fn publishes(&self) -> bool {
        true
    }

    fn publish(&self, publication: &CommitView<'_>, manifest: &Manifest) -> Result<(), String> {
        let mut last = self.published.lock().unwrap();
        if last.is_some_and(|last| last > publication.token) {
            return Err(format!("{} is older than what is published", publication.token));
        }
        let names: Vec<String> = manifest.segments.iter().map(|segment| segment.id.to_string()).collect();
        for name in &names {
            assert!(self.path(name).exists(), "segment {name} is published and not there");
        }
        fs::write(self.out.join("live.tmp"), names.join("\n")).map_err(|error| error.to_string())?;
        fs::rename(self.out.join("live.tmp"), self.out.join("live")).map_err(|error| error.to_string())?;
        *last = Some(publication.token);
        Ok(())
    }

    fn discards(&self) -> bool {
        true
    }

    fn discard(&self, what: &Discard<'_>) -> Result<(), String> {
        self.discards.lock().unwrap().push((what.collection.0.0, what.name.to_string(), what.is_drop));
        // What readers are shown is never taken from them.
        let shown = live(&self.out);
        for file in segments(&self.out) {
            let goes = what.tokens.iter().any(|token| file.starts_with(&format!("{token}-")))
                || what.dropped.iter().any(|segment| segment.id.to_string() == file);
            if goes && !what.live.iter().any(|id| id.to_string() == file) {
                assert!(!shown.contains(&file) || what.live.is_empty(), "segment {file} is shown and discarded");
                fs::remove_file(self.out.join(file)).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn verify(&self, segment: &Segment) -> Result<(), String> {
        if self.path(segment.id).exists() { Ok(()) } else { Err("its file is gone".to_owned()) }
    }
}

/// The segments that readers are shown.
fn live(out: &Path) -> BTreeSet<String> {
    fs::read_to_string(out.join("live")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The segments that have a file.
fn segments(out: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("live")).collect()
}

struct Shop {
    lake: tempfile::TempDir,
    state: tempfile::TempDir,
    files: Files,
    reconciler: Reconciler,
    name: Name,
}

impl Shop {
    /// A source of `count` files with ten rows each, in segments of ten rows.
    fn open(count: u8) -> Shop {
        let (lake, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let out = state.path().join("out");
        fs::create_dir(&out).unwrap();
        (0..count).for_each(|n| write(&lake.path().join(format!("{n}.parquet")), &[10], n));
        let files = Files {
            out,
            published: Arc::default(),
            built: Arc::default(),
            discards: Arc::default(),
            gate: Arc::default(),
        };
        let name = Name::new("lake").unwrap();
        let reconciler = start(&state, &files);
        let policy =
            Policy { coalesce: Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO }, ..Policy::default() };
        let declaration = Declaration::new(name.clone())
            .kind(Kind::new("external").unwrap())
            .source(Source::new(lake.path().to_str().unwrap()).unwrap())
            .spec(Spec::parse(r#"{"format":"parquet","target_rows":10}"#).unwrap())
            .policy(policy);
        reconciler.handle().declare(declaration).unwrap();
        Shop { lake, state, files, reconciler, name }
    }

    fn write(&self, file: u8, salt: u8) {
        write(&self.lake.path().join(format!("{file}.parquet")), &[10], salt);
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&CollectionStatus) -> bool) {
        let begun = Instant::now();
        loop {
            let status = self.reconciler.handle().status(self.name.clone()).unwrap().unwrap();
            if holds(&status) {
                return;
            }
            assert!(begun.elapsed() < LONG, "{what} did not happen: {status:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a commit after `seq` that is published and has nothing left to discard; returns its event.
    #[track_caller]
    fn delivered_after(&self, seq: Seq) -> Seq {
        let done = |status: &CollectionStatus| {
            let owes = status.view.outbox.as_ref();
            let applied = status.view.applied.as_ref().map_or(Seq::ZERO, |applied| applied.seq);
            applied > seq && owes.is_some_and(|owes| owes.published == Some(applied) && owes.undiscarded == 0)
        };
        self.until("a commit that is delivered", done);
        let status = self.reconciler.handle().status(self.name.clone()).unwrap().unwrap();
        assert_eq!(segments(&self.files.out), live(&self.files.out), "what is there is what is live");
        status.view.applied.unwrap().seq
    }

    fn built(&self) -> u64 {
        self.files.built.load(Ordering::Acquire)
    }

    fn events(&self) -> Vec<Arc<Recorded>> {
        let mut watch = self.reconciler.handle().watch(Seq(1));
        let last = self.reconciler.handle().digest().unwrap().0;
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &Arc<Recorded>| event.seq < last) {
            if let WatchItem::Event(event) = watch.next_within(LONG).unwrap() {
                events.push(event);
            }
        }
        events
    }
}

fn start(state: &tempfile::TempDir, files: &Files) -> Reconciler {
    Reconciler::open(state.path().join("state"))
        .kind(Kind::new("external").unwrap(), External::with_builder(files.clone()))
        .observe_interval(Duration::from_millis(20))
        .start()
        .unwrap()
}

#[test]
fn case_46_what_is_there_is_what_is_live_over_changes_restarts_and_a_drop() {
    let mut shop = Shop::open(4);
    let first = shop.delivered_after(Seq::ZERO);
    assert_eq!((live(&shop.files.out).len(), shop.built()), (4, 4));
    shop.write(2, 99);
    let second = shop.delivered_after(first);
    assert_eq!((live(&shop.files.out).len(), shop.built()), (4, 5), "one file of four: one segment is built");
    shop.reconciler.shutdown(LONG).unwrap();
    shop.reconciler = start(&shop.state, &shop.files);
    fs::remove_file(shop.lake.path().join("0.parquet")).unwrap();
    shop.delivered_after(second);
    assert_eq!(live(&shop.files.out).len(), 3);
    shop.reconciler.handle().drop_collection(shop.name.clone()).unwrap();
    let begun = Instant::now();
    while !segments(&shop.files.out).is_empty() {
        assert!(begun.elapsed() < LONG, "what a dropped collection had made is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    shop.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_35_a_discard_says_of_which_collection_and_whether_it_was_dropped() {
    let shop = Shop::open(2);
    let handle = shop.reconciler.handle();
    let id = handle.status(shop.name.clone()).unwrap().unwrap().view.id.0.0;
    let first = shop.delivered_after(Seq::ZERO);
    shop.write(1, 99);
    shop.delivered_after(first);
    let discards = || shop.files.discards.lock().unwrap().clone();
    let before = discards();
    assert!(!before.is_empty() && before.iter().all(|told| *told == (id, "lake".to_owned(), false)), "{before:?}");
    handle.drop_collection(shop.name.clone()).unwrap();
    let begun = Instant::now();
    while !segments(&shop.files.out).is_empty() {
        assert!(begun.elapsed() < LONG, "what a dropped collection had made is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(discards().last(), Some(&(id, "lake".to_owned(), true)));
    shop.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn a_segment_that_is_gone_is_found_by_a_refresh_and_built_anew() {
    let shop = Shop::open(3);
    let first = shop.delivered_after(Seq::ZERO);
    let lost = live(&shop.files.out).pop_first().unwrap();
    fs::remove_file(shop.files.out.join(&lost)).unwrap();
    shop.reconciler.handle().refresh(shop.name.clone()).unwrap();
    shop.delivered_after(first);
    assert!(!live(&shop.files.out).contains(&lost));
    let drifted = shop.events().into_iter().any(|recorded| {
        let by = recorded.by.as_ref().and_then(|by| by.actor());
        matches!(&recorded.event, Event::RefreshRequested { force: true, reason: RefreshReason::Drift(what), .. }
            if what.contains(&lost) && by == Some("lastword"))
    });
    assert!(drifted, "the log says what was found, and who found it");
    shop.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn what_a_superseded_attempt_has_built_is_taken_over_if_it_is_still_wanted() {
    let shop = Shop::open(3);
    let first = shop.delivered_after(Seq::ZERO);
    // Two files change; the attempt builds one segment of two and waits. Then a third one changes.
    shop.files.gate.store(true, Ordering::Release);
    fs::write(shop.lake.path().join("pair.tmp"), "").unwrap();
    for (file, salt) in [(0, 50), (1, 51)] {
        shop.write(file, salt);
    }
    let begun = Instant::now();
    while shop.built() < 4 {
        assert!(begun.elapsed() < LONG, "no segment was built");
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = shop.built();
    shop.write(2, 52);
    shop.until("the change being wanted", |status| {
        status.view.task.is_some() && status.view.attempts == 1 && status.view.generation.0 >= 3
    });
    shop.files.gate.store(false, Ordering::Release);
    shop.delivered_after(first);
    let tokens: BTreeSet<String> =
        live(&shop.files.out).iter().map(|id| id.split('-').next().unwrap().to_owned()).collect();
    assert!(tokens.len() > 1, "segments of two attempts are live: {:?}", live(&shop.files.out));
    assert!(shop.built() < before + 3, "not everything was built twice");
    shop.reconciler.shutdown(LONG).unwrap();
}
