//! Content in a running engine: what an attempt has read is known, a check is made when somebody asks for it, and reading
//! ends when nobody waits for it any more.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lastword::clock::{Clock, ManualClock, SystemClock};
use lastword::core::vocabulary::{Coalesce, Declaration, Kind, Name, Policy, Source, Spec};
use lastword::engine::{Builder, CollectionStatus, Handle, Reconciler, SettleOutcome};
use lastword::external::{
    BuildError, External, FileReader, Listed, Listing, LocalStore, SegmentBuilder, SegmentJob, SourceLocation,
    SourcePath, Stat, StopCheck, Store, StoreError, TrafficCounter,
};
use test_support::parquet_files::write;

use super::metered::Metered;

const LONG: Duration = Duration::from_secs(60);

/// Counts what it builds.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

impl SegmentBuilder for Counting {
    fn build(&self, _: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }
}

struct Scene {
    reconciler: Reconciler,
    handle: Handle,
    name: Name,
    dir: tempfile::TempDir,
    _state: tempfile::TempDir,
}

impl Scene {
    fn new(files: u8, external: External, set: impl FnOnce(Builder) -> Builder) -> Scene {
        let (state, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        (0..files).for_each(|n| write(&dir.path().join(format!("{n}.parquet")), &[10], n));
        let kind = Kind::new("external").unwrap();
        let builder = Reconciler::open(state.path().join("state")).kind(kind.clone(), external);
        let reconciler = set(builder.observe_interval(Duration::from_secs(3_600))).start().unwrap();
        let (handle, name) = (reconciler.handle(), Name::new("lake").unwrap());
        let coalesce = Coalesce { quiet: Duration::ZERO, max_delay: Duration::ZERO };
        let declaration = Declaration::new(name.clone())
            .kind(kind)
            .source(Source::new(dir.path().to_str().unwrap()).unwrap())
            .spec(Spec::parse(r#"{"format":"parquet","target_rows":10}"#).unwrap())
            .policy(Policy { coalesce, ..Policy::default() });
        handle.declare(declaration).unwrap();
        Scene { reconciler, handle, name, dir, _state: state }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn status_that(&self, what: &str, holds: impl Fn(&CollectionStatus) -> bool) -> CollectionStatus {
        let begun = Instant::now();
        loop {
            let status = self.handle.status(self.name.clone()).unwrap().unwrap();
            if holds(&status) {
                return status;
            }
            assert!(begun.elapsed() < LONG, "waited for {what}: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn defect_23_a_change_of_owner_or_mode_right_after_a_commit_builds_nothing_again() {
    let (builder, clock) = (Counting::default(), ManualClock::at(SystemClock::new().wall().after(LONG)));
    // No look learns anything by itself.
    let external = External::with_builder(builder.clone()).learning(0).parallel(2);
    let scene = Scene::new(20, external, |builder| builder.clock(clock.clone()));
    let committed = scene.status_that("a commit", |status| status.view.condition.name() == "fresh");
    assert_eq!(builder.0.load(Ordering::Relaxed), 20);
    for n in 0..20 {
        fs::set_permissions(scene.path(&format!("{n}.parquet")), Permissions::from_mode(0o600)).unwrap();
    }
    clock.advance(Duration::from_secs(10));
    scene.handle.refresh(scene.name.clone()).unwrap();
    let before = committed.last_observation.unwrap().started;
    let now = scene.status_that("another look", |s| s.last_observation.is_some_and(|last| last.started > before));
    assert_eq!(now.view.applied, committed.view.applied);
    // One that is written is one that is built.
    write(&scene.path("3.parquet"), &[10], 99);
    clock.advance(Duration::from_secs(10));
    scene.handle.refresh(scene.name.clone()).unwrap();
    scene.status_that("a commit of the change", |status| {
        status.view.condition.name() == "fresh" && status.view.applied != committed.view.applied
    });
    assert_eq!(builder.0.load(Ordering::Relaxed), 21);
    scene.reconciler.shutdown(LONG).unwrap();
}

/// The local file system, but of one time for ever.
struct Frozen;

fn frozen(stat: Stat) -> Stat {
    let time = lastword::external::Instant { seconds: 1_000_000_000, nanoseconds: 1 };
    Stat { mtime: time, ctime: time, inode: 1, ..stat }
}

impl Store for Frozen {
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        traffic: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        let files = LocalStore.list(source, stop_check, traffic)?.files;
        Ok(files.into_iter().map(|(path, stat)| (path, frozen(stat))).collect::<Listing>().into())
    }

    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        LocalStore.stat(source, path).map(frozen)
    }

    fn open(&self, source: &SourceLocation, path: &SourcePath, _: &Stat) -> Result<Box<dyn FileReader>, StoreError> {
        LocalStore.open(source, path, &LocalStore.stat(source, path)?)
    }
}

#[test]
fn defect_21_a_content_check_finds_what_left_no_trace() {
    let (builder, clock) = (Counting::default(), ManualClock::at(SystemClock::new().wall().after(LONG)));
    let external = External::with_builder(builder.clone()).in_store(Frozen);
    let scene = Scene::new(1, external, |builder| builder.clock(clock.clone()));
    let committed = scene.status_that("a commit", |status| status.view.condition.name() == "fresh");
    // Other bytes of the same length.
    let mut bytes = fs::read(scene.path("0.parquet")).unwrap();
    bytes[5] ^= 1;
    fs::write(scene.path("0.parquet"), bytes).unwrap();
    clock.advance(Duration::from_secs(10));
    scene.handle.refresh(scene.name.clone()).unwrap();
    let before = committed.last_observation.unwrap().started;
    let now = scene.status_that("another look", |s| s.last_observation.is_some_and(|last| last.started > before));
    assert_eq!(now.view.applied, committed.view.applied, "nothing tells of it");
    scene.handle.refresh_verify(scene.name.clone()).wait().unwrap();
    scene.status_that("a commit of what the check found", |status| {
        status.view.condition.name() == "fresh" && status.view.applied != committed.view.applied
    });
    assert_eq!(builder.0.load(Ordering::Relaxed), 2);
    let nobody = scene.handle.refresh_verify(Name::new("nobody").unwrap()).wait().unwrap_err();
    assert!(nobody.to_string().contains("nobody"), "{nobody}");
    scene.reconciler.shutdown(LONG).unwrap();
}

/// A file of four mebibytes, of which a look may read one, and which is so young that it has to rest first.
#[test]
fn defect_02_who_waits_for_a_source_waits_until_it_is_read() {
    let scene = Scene::new(1, External::local().reading(1 << 20), |builder| builder);
    scene.status_that("a commit", |status| status.view.condition.name() == "fresh");
    let whole = fs::read(scene.path("0.parquet")).unwrap();
    let draft = fs::File::create(scene.path("_draft")).unwrap();
    draft.write_all_at(&whole[..4], 0).unwrap();
    draft.write_all_at(&whole, 4 << 20).unwrap();
    fs::rename(scene.path("_draft"), scene.path("1.parquet")).unwrap();
    let outcome = scene.handle.wait_settled(scene.name.clone(), LONG).unwrap();
    assert!(matches!(outcome, SettleOutcome::Settled { .. }), "{outcome:?}");
    let status = scene.handle.status(scene.name.clone()).unwrap().unwrap();
    assert_eq!(status.view.applied.unwrap().result.rows, Some(20));
    scene.reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_02_reading_ends_when_a_look_is_given_up_and_at_shutdown() {
    for gives_up in [true, false] {
        let store = Metered::new(u64::MAX / 2);
        store.slow.store(true, Ordering::Release);
        let external = External::local().reading(u64::MAX).in_store(store.clone());
        let timeout = if gives_up { Duration::from_millis(300) } else { LONG * 10 };
        let scene = Scene::new(0, external, |builder| builder.observe_timeout(timeout));
        scene.status_that("a look at an empty source", |status| status.last_observation.is_some());
        // It is racy, and a look reads a millisecond for each of its million mebibytes.
        fs::File::create(scene.path("a.parquet")).unwrap().set_len(1 << 40).unwrap();
        scene.handle.refresh(scene.name.clone()).unwrap();
        let until = |what: &str, holds: &dyn Fn(u64) -> bool| {
            let begun = Instant::now();
            while !holds(store.open.load(Ordering::Acquire)) {
                assert!(begun.elapsed() < LONG, "waited until {what}");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        until("somebody reads", &|reading| reading == 1);
        if gives_up {
            let status = scene.status_that("the look to be given up", |s| s.view.unobservable.is_some());
            assert!(status.view.unobservable.unwrap().cause.contains("has not returned"));
            fs::remove_file(scene.path("a.parquet")).unwrap();
            until("nobody reads any more", &|reading| reading == 0);
        }
        let _ = scene.reconciler.shutdown(LONG);
        until("nobody reads any more", &|reading| reading == 0);
    }
}
