//! External collections in a running engine: when the next look is due, what is shown of the last, and what neither
//! a moved ctime nor a rename back and forth sets in motion.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use lastword::clock::{Clock, ManualClock, SystemClock};
use lastword::core::vocabulary::{
    Coalesce, Content, Declaration, Event, HoldCause, Kind, Name, OnChange, Policy, Seq, Source, Spec,
};
use lastword::engine::{CollectionStatus, Handle, LastObservation, Reconciler, WatchItem};
use lastword::external::{BuildError, External, SegmentBuilder, SegmentJob};
use test_support::parquet_files::write;

const LONG: Duration = Duration::from_secs(30);

/// A source with one file and a collection that is built from it. An hour passes before a look is due by itself.
struct Lake {
    reconciler: Reconciler,
    handle: Handle,
    name: Name,
    clock: ManualClock,
    dir: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Lake {
    /// `ahead`: how far the clock stands before the files' times.
    fn new(external: External, ahead: Duration) -> Lake {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.parquet"), &[10], 0);
        Lake::of(external, ahead, dir, OnChange::Supersede)
    }

    fn of(external: External, ahead: Duration, dir: tempfile::TempDir, on_change: OnChange) -> Lake {
        let state = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(SystemClock::new().wall().after(ahead));
        let reconciler = Reconciler::open(state.path().join("state"))
            .kind(Kind::new("external").unwrap(), external)
            .observe_interval(Duration::from_secs(3_600))
            .clock(clock.clone())
            .start()
            .unwrap();
        let (handle, name) = (reconciler.handle(), Name::new("lake").unwrap());
        let mut declaration = Declaration::new(name.clone());
        declaration.kind = Some(Kind::new("external").unwrap());
        declaration.source = Some(Source::new(dir.path().to_str().unwrap()).unwrap());
        declaration.spec = Some(Spec::parse(r#"{"format":"parquet"}"#).unwrap());
        let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
        declaration.policy = Some(Policy { coalesce, on_change, ..Policy::default() });
        handle.declare(declaration).unwrap();
        let lake = Lake { reconciler, handle, name, clock, dir, state };
        lake.status_that(|status| status.view.applied.is_some());
        lake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The first status of which `what` holds.
    fn status_that(&self, what: impl Fn(&CollectionStatus) -> bool) -> CollectionStatus {
        let begun = Instant::now();
        loop {
            let status = self.handle.status(self.name.clone()).unwrap().unwrap();
            if what(&status) {
                return status;
            }
            assert!(begun.elapsed() < LONG, "{status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn look_that(&self, what: impl Fn(&LastObservation) -> bool) -> LastObservation {
        self.status_that(|status| status.last_observation.as_ref().is_some_and(&what)).last_observation.unwrap()
    }

    /// Has the source looked at. The clock moves, so that the look is told from the one before.
    fn look(&self) {
        self.clock.advance(Duration::from_secs(10));
        let before = self.look_that(|_| true).started;
        self.handle.refresh(self.name.clone()).unwrap();
        self.look_that(|look| look.started > before);
    }

    fn applied(&self) -> Seq {
        self.status_that(|status| status.view.condition.name() == "fresh").view.applied.unwrap().seq
    }

    fn end(self) {
        self.reconciler.shutdown(LONG).unwrap();
    }
}

#[test]
fn case_18_racy_files_are_shown_and_looked_at_again_when_they_have_aged() {
    let lake = Lake::new(External::local(), Duration::ZERO);
    let first = lake.look_that(|look| look.racy == 1);
    let (seq, _) = lake.handle.digest().unwrap();
    lake.clock.advance(Duration::from_millis(2_100));
    let second = lake.look_that(|look| look.started > first.started);
    assert!(second.succeeded);
    assert_eq!(second.racy, 0);
    assert_eq!(lake.handle.digest().unwrap().0, seq, "nothing changed: no event");
    lake.end();
}

#[test]
fn case_18_a_moved_ctime_rebuilds_nothing_and_disturbs_no_attempt() {
    let lake = Lake::new(External::local(), Duration::from_secs(10));
    let first = lake.applied();
    fs::set_permissions(lake.path("a.parquet"), Permissions::from_mode(0o600)).unwrap();
    lake.look();
    assert_eq!(lake.applied(), first);
    // The attempt sees the same version, though what stat says was moved since that was logged.
    lake.handle.rebuild(lake.name.clone()).unwrap();
    lake.status_that(|status| status.view.applied.as_ref().unwrap().seq > first);
    lake.end();
}

/// Builds as soon as it is open.
#[derive(Clone, Default)]
struct Door {
    closed: Arc<AtomicBool>,
    waiting: Arc<(Mutex<u32>, Condvar)>,
}

impl SegmentBuilder for Door {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        *self.waiting.0.lock().unwrap() += 1;
        self.waiting.1.notify_all();
        while self.closed.load(Ordering::Acquire) {
            job.check_stop()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }
}

impl Door {
    /// Waits until somebody stands there.
    fn is_waited_at(&self) {
        let waiting = self.waiting.0.lock().unwrap();
        let timeout = self.waiting.1.wait_timeout_while(waiting, LONG, |waiting| *waiting == 0).unwrap().1;
        assert!(!timeout.timed_out());
    }
}

#[test]
fn case_18_a_rename_back_and_forth_ends_the_work_and_rebuilds_nothing() {
    let door = Door::default();
    let lake = Lake::new(External::with_builder(door.clone()), Duration::from_secs(10));
    let first = lake.applied();
    *door.waiting.0.lock().unwrap() = 0;
    door.closed.store(true, Ordering::Release);
    fs::rename(lake.path("a.parquet"), lake.path("a.tmp")).unwrap();
    write(&lake.path("a.parquet"), &[10], 1);
    lake.look();
    door.is_waited_at();
    fs::remove_file(lake.path("a.parquet")).unwrap();
    write(&lake.path("b"), &[10], 0);
    // The same bytes in another file, under the old name.
    fs::rename(lake.path("b"), lake.path("a.parquet")).unwrap();
    lake.look();
    assert_eq!(lake.applied(), first);
    door.closed.store(false, Ordering::Release);
    lake.look();
    assert_eq!(lake.applied(), first);
    lake.end();
}

#[test]
fn defect_47_a_source_that_has_moved_is_told_by_the_name_of_a_file() {
    let door = Door::default();
    let lake = Lake::new(External::with_builder(door.clone()), Duration::from_secs(10));
    for (name, salt) in [("b.parquet", 1), ("c.parquet", 2)] {
        write(&lake.path(name), &[10], salt);
    }
    lake.look();
    lake.status_that(|status| status.view.condition.name() == "fresh" && files(status) == 3);
    *door.waiting.0.lock().unwrap() = 0;
    door.closed.store(true, Ordering::Release);
    lake.handle.rebuild(lake.name.clone()).unwrap();
    door.is_waited_at();
    // The look that a rebuild asks for is over; none comes by itself.
    let before = lake.look_that(|_| true).started;
    lake.clock.advance(Duration::from_secs(10));
    lake.handle.refresh(lake.name.clone()).unwrap();
    lake.look_that(|look| look.started > before);
    let from = Seq(lake.handle.stats().unwrap().durable.0 + 1);
    fs::remove_file(lake.path("b.parquet")).unwrap();
    write(&lake.path("c.parquet"), &[10], 9);
    door.closed.store(false, Ordering::Release);
    let mut watch = lake.handle.watch(from);
    let begun = Instant::now();
    let message = loop {
        assert!(begun.elapsed() < LONG, "waited for an attempt that fails");
        let Ok(WatchItem::Event(recorded)) = watch.next_within(LONG) else { continue };
        if let Event::AttemptFailed { message, .. } = &recorded.event {
            break message.to_string();
        }
    };
    let expected = "b.parquet is gone, and one more file has moved";
    assert_eq!(message, format!("the source changed while it was read: {expected}"));
    lake.end();
}

/// A rebuild is told nothing of what is applied, so that it builds on nothing of it; but what it finds to have changed is
/// held against that all the same.
#[test]
fn case_21_a_loss_that_a_rebuild_runs_into_is_held() {
    let door = Door::default();
    let lake = Lake::new(External::with_builder(door.clone()), Duration::from_secs(10));
    (0..20).for_each(|n| write(&lake.path(&format!("{n}.parquet")), &[10], n));
    lake.look();
    let first = lake.status_that(|status| status.view.condition.name() == "fresh" && files(status) == 21);
    let first = first.view.applied.unwrap().seq;
    *door.waiting.0.lock().unwrap() = 0;
    door.closed.store(true, Ordering::Release);
    lake.handle.rebuild(lake.name.clone()).unwrap();
    door.is_waited_at();
    // The look that a rebuild asks for is over; none comes by itself.
    let before = lake.look_that(|_| true).started;
    lake.clock.advance(Duration::from_secs(10));
    lake.handle.refresh(lake.name.clone()).unwrap();
    lake.look_that(|look| look.started > before);
    (0..18).for_each(|n| fs::remove_file(lake.path(&format!("{n}.parquet"))).unwrap());
    door.closed.store(false, Ordering::Release);
    let settled = lake.status_that(|status| {
        status.view.held().is_some() || status.view.applied.as_ref().is_some_and(|applied| applied.seq > first)
    });
    let (cause, _) = settled.view.held().expect("most of what is applied is gone");
    assert_eq!(cause, HoldCause::MostGone { gone: 18, of: 21 });
    lake.end();
}

/// The files of what is applied.
fn files(status: &CollectionStatus) -> u64 {
    let applied = status.view.applied.as_ref().unwrap();
    let Content::Observed(observed) = &applied.inputs.content else { panic!("unobserved") };
    observed.set.unwrap().files
}

/// A source that grows by a file during every attempt: what was observed is what is built, each time.
#[test]
fn defect_38_a_source_that_only_grows_is_committed_each_time() {
    #[derive(Clone)]
    struct Grows(PathBuf, Arc<Mutex<u8>>);

    impl SegmentBuilder for Grows {
        fn build(&self, _: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
            let mut built = self.1.lock().unwrap();
            *built += 1;
            if *built <= 8 {
                write(&self.0.join(format!("new-{built}.parquet")), &[10], *built);
            }
            Ok(None)
        }
    }

    for on_change in [OnChange::FinishThenLatest, OnChange::Supersede] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.parquet"), &[10], 0);
        let builder = Grows(dir.path().to_owned(), Arc::default());
        let lake = Lake::of(External::with_builder(builder), Duration::from_secs(10), dir, on_change);
        // No observation is due by itself for an hour: each commit has the next one made.
        let last = lake.status_that(|status| status.view.condition.name() == "fresh" && files(status) == 9);
        assert_eq!(last.view.failures, 0);
        let stats = lake.handle.stats().unwrap().counters;
        assert_eq!((stats.committed, stats.failed), (9, 0), "{on_change:?}");
        lake.end();
    }
}

/// Every file below a directory, with its length, what it holds and when it was written.
fn files_below(directory: &Path) -> BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, found) = (entry.path(), entry.metadata().unwrap());
        if found.is_dir() {
            files.extend(files_below(&path));
        } else if found.is_file() {
            files.insert(path.clone(), (found.len(), found.modified().unwrap(), fs::read(&path).unwrap()));
        }
    }
    files
}

#[test]
fn case_50_an_unchanged_look_appends_nothing_and_writes_no_file() {
    let lake = Lake::new(External::local(), Duration::from_secs(100));
    (0..50).for_each(|n| write(&lake.path(&format!("{n}.parquet")), &[10], n));
    lake.look();
    lake.status_that(|status| status.view.applied.as_ref().is_some_and(|applied| applied.result.rows == Some(510)));
    lake.applied();
    // What follows a commit, as its anchor does, has come to its end when nothing was written for longer than anything waits.
    lake.clock.advance(Duration::from_secs(10));
    let begun = Instant::now();
    let mut before = files_below(lake.state.path());
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = files_below(lake.state.path());
        if now == before {
            break;
        }
        assert!(begun.elapsed() < LONG, "something is written without an end");
        before = now;
    }
    let (seq, _) = lake.handle.digest().unwrap();
    for mode in [0o600, 0o640, 0o644, 0o600, 0o640] {
        let last = lake.look_that(|_| true).started;
        // What stat says of it is something else now, its content is not.
        fs::set_permissions(lake.path("a.parquet"), Permissions::from_mode(mode)).unwrap();
        lake.look_that(|look| {
            // The next one may be put off once more while the clock is moved.
            lake.clock.advance(Duration::from_secs(60));
            look.started > last && look.succeeded
        });
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(lake.handle.digest().unwrap().0, seq, "an event");
    let after = files_below(lake.state.path());
    let written: Vec<_> =
        after.iter().filter(|(path, found)| before.get(*path) != Some(found)).map(|(path, _)| path).collect();
    assert!(written.is_empty() && after.len() == before.len(), "{written:?}");
    lake.end();
}
