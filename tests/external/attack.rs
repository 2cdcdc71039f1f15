//! A source in which somebody hostile may write: nothing outside of it is ever listed, opened or built from.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lastword::external::{LocalStore, SourceLocation, SourcePath, SourceUri, Store, StoreError, never_interrupted};

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
    // The checkpoint is asked before each directory is read: the source, `d`, `d/e`.
    for (before, replaced, target) in [(2, "d", "elsewhere"), (3, "d", "elsewhere"), (3, "d/e", "elsewhere/e")] {
        let place = Place::new();
        let (source, asked) = (place.source(), AtomicUsize::new(0));
        let replace = || {
            if asked.fetch_add(1, Ordering::Relaxed) + 1 == before {
                fs::rename(place.path("lake").join(replaced), place.path("moved")).unwrap();
                symlink(place.path(target), place.path("lake").join(replaced)).unwrap();
            }
            Ok(())
        };
        let listing = LocalStore.list(&source, &replace).unwrap();
        assert_eq!(listing, [], "{replaced} was replaced before directory {before} was read");
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
            for (path, stat) in LocalStore.list(&source, &never_interrupted).unwrap_or_default() {
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
    let listing = LocalStore.list(&source, &never_interrupted).unwrap();
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
