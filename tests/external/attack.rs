//! A source in which somebody hostile may write: nothing outside of it is ever listed, opened or built from.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lastword::core::vocabulary::{Name, Source, Spec, Timestamp};
use lastword::external::{
    External, LocalStore, SourceLocation, SourcePath, SourceUri, Store, StoreError, TrafficCounter, never_interrupted,
};
use lastword::objects::FileObjects;
use lastword::worker::{ObserveRequest, ObserveSignals, Worker};

/// `lake/d/e/inside`, and in its place elsewhere a tree of the same shape with `secret` in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(place.path("lake/d/e")).unwrap();
        fs::create_dir_all(place.path("elsewhere/e")).unwrap();
        fs::write(place.path("lake/d/e/inside"), "data").unwrap();
        fs::write(place.path("elsewhere/secret"), "data").unwrap();
        fs::write(place.path("elsewhere/e/secret"), "data").unwrap();
        place
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    fn source(&self) -> SourceLocation {
        SourceUri::parse(self.path("lake").to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap()
    }
}

#[test]
fn case_24_a_directory_that_becomes_a_link_while_the_source_is_listed_is_not_walked() {
    // The checkpoint is asked before each directory is read and for each name: the source, its `d`, `d`, its `e`, `d/e`.
    for (before, replaced, target) in [(3, "d", "elsewhere"), (5, "d", "elsewhere"), (5, "d/e", "elsewhere/e")] {
        let place = Place::new();
        let (source, asked) = (place.source(), AtomicUsize::new(0));
        let replace = || {
            if asked.fetch_add(1, Ordering::Relaxed) + 1 == before {
                fs::rename(place.path("lake").join(replaced), place.path("moved")).unwrap();
                symlink(place.path(target), place.path("lake").join(replaced)).unwrap();
            }
            Ok(())
        };
        let listing = LocalStore.list(&source, &replace, &TrafficCounter::default()).unwrap().files;
        assert_eq!(listing, [], "{replaced} was replaced at checkpoint {before}");
        assert!(asked.load(Ordering::Relaxed) > before, "the listing began anew");
    }
}

#[test]
fn case_24_nothing_outside_is_listed_or_opened_while_links_come_and_go() {
    let place = Place::new();
    let (source, over, ready) = (place.source(), AtomicBool::new(false), Barrier::new(2));
    let (real, hidden, link) = (place.path("lake/d"), place.path("lake/_d"), place.path("lake/_link"));
    symlink(place.path("elsewhere"), &link).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ready.wait();
            while !over.load(Ordering::Acquire) {
                fs::rename(&real, &hidden).unwrap();
                fs::rename(&link, &real).unwrap();
                fs::rename(&real, &link).unwrap();
                fs::rename(&hidden, &real).unwrap();
            }
        });
        ready.wait();
        for _ in 0..2_000 {
            // A listing that cannot settle is an error, and that is right.
            for (path, stat) in
                LocalStore.list(&source, &never_interrupted, &TrafficCounter::default()).unwrap_or_default().files
            {
                assert_eq!(path.to_string(), "d/e/inside");
                if let Ok(file) = LocalStore.open(&source, &path, &stat) {
                    assert_eq!(file.len(), 4);
                }
            }
        }
        over.store(true, Ordering::Release);
    });
}

#[test]
fn case_24_a_file_whose_directory_became_a_link_is_not_opened() {
    let place = Place::new();
    let source = place.source();
    let listing = LocalStore.list(&source, &never_interrupted, &TrafficCounter::default()).unwrap().files;
    let (path, stat) = &listing[0];
    fs::write(place.path("elsewhere/e/inside"), "data").unwrap();
    fs::rename(place.path("lake/d"), place.path("moved")).unwrap();
    symlink(place.path("elsewhere"), place.path("lake/d")).unwrap();
    let opened = LocalStore.open(&source, path, stat).map(|_| "a file");
    assert!(matches!(opened, Err(StoreError::Moved { .. })), "{opened:?}");
}

#[test]
fn case_38_a_path_that_leads_out_of_its_source_is_no_file_of_it() {
    let place = Place::new();
    let source = place.source();
    let outside = place.path("elsewhere/secret");
    let absolute = outside.to_str().unwrap().as_bytes();
    // What `stat` says of the file outside, as a manifest of somebody else's log could say it.
    let elsewhere =
        SourceUri::parse(place.path("elsewhere").to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap();
    let stat = LocalStore.stat(&elsewhere, &SourcePath(b"secret".to_vec())).unwrap();
    let hidden =
        [absolute, b"../elsewhere/secret", b"d/../../elsewhere/secret", b"d/./e/inside", b"d//e/inside", b"", b"."];
    for path in hidden.map(|path| SourcePath(path.to_vec())) {
        let found = LocalStore.stat(&source, &path);
        assert!(matches!(found, Err(StoreError::Moved { .. })), "{path}: {found:?}");
        let opened = LocalStore.open(&source, &path, &stat).map(|_| "a file");
        assert!(matches!(opened, Err(StoreError::Moved { .. })), "{path}: {opened:?}");
    }
}

/// A state directory beside a source, and what an observer says of the source.
fn observed_with_state_at(place: &Place, state: &Path, spec: &str) -> Result<u64, String> {
    let objects = FileObjects::open(state.join("objects")).unwrap().of_log(state);
    let source = Source::new(place.path("lake").to_str().unwrap()).unwrap();
    let observed = External::local().observer().unwrap().observe(&ObserveRequest {
        name: &Name::new("lake").unwrap(),
        source: &source,
        spec: &Spec::parse(spec).unwrap(),
        known: None,
        applied: None,
        objects: &objects,
        wall: Timestamp(0),
        verify: false,
        signals: &ObserveSignals::default(),
    });
    observed.map(|observation| observation.state.set.unwrap().files).map_err(|error| error.to_string())
}

const FOLLOWING: &str = r#"{"format":"parquet","follow_symlinks":true}"#;
const PLAIN: &str = r#"{"format":"parquet"}"#;

#[test]
fn defect_40_a_state_directory_that_a_link_leads_to_is_met_and_both_are_named() {
    let place = Place::new();
    let state = place.path("state");
    fs::create_dir_all(state.join("sled")).unwrap();
    fs::write(state.join("HEAD"), "0").unwrap();
    let refused = |link: &str, spec: &str| {
        let error = observed_with_state_at(&place, &state, spec).unwrap_err();
        let (link, state) = (place.path(link), fs::canonicalize(&state).unwrap());
        let expected = format!("{} leads into the state directory {}", link.display(), state.display());
        assert!(error.starts_with(&expected), "{error}");
    };
    assert_eq!(observed_with_state_at(&place, &state, FOLLOWING), Ok(1));
    for target in ["state", "state/sled", "state/objects", "state/HEAD"] {
        symlink(place.path(target), place.path("lake/d/link")).unwrap();
        refused("lake/d/link", FOLLOWING);
        assert_eq!(observed_with_state_at(&place, &state, PLAIN), Ok(1), "links are not followed");
        fs::remove_file(place.path("lake/d/link")).unwrap();
    }
    // The state directory lies in the source, or is reached by a link itself.
    let (real, linked) = (place.path("lake/d/of-the-log"), place.path("elsewhere/link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &linked).unwrap();
    for state in [&real, &linked] {
        let error = observed_with_state_at(&place, state, PLAIN).unwrap_err();
        assert!(error.contains("/lake/d/of-the-log leads into the state directory "), "{error}");
    }
    fs::remove_dir_all(&real).unwrap();
    // The source lies in it.
    fs::rename(place.path("lake"), place.path("moved")).unwrap();
    symlink(state.join("sled"), place.path("lake")).unwrap();
    refused("lake", PLAIN);
}

/// Ends a mount, also when a test fails.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn defect_40_a_state_directory_that_is_mounted_into_the_source_is_met() {
    let place = Place::new();
    let (state, target) = (place.path("state"), place.path("lake/d/mounted"));
    fs::create_dir_all(&state).unwrap();
    fs::create_dir(&target).unwrap();
    let mount = Command::new("mount").arg("--bind").args([&state, &target]).output();
    if !mount.is_ok_and(|mount| mount.status.success()) {
        println!("skipped: this user cannot mount; the test above covers links");
        return;
    }
    let mounted = Mounted(target);
    let error = observed_with_state_at(&place, &state, PLAIN).unwrap_err();
    assert!(error.contains("/lake/d/mounted leads into the state directory "), "{error}");
    drop(mounted);
    assert_eq!(observed_with_state_at(&place, &state, PLAIN), Ok(1));
}
