//! The state directory is moved away, removed, replaced, put back from a copy, or a part of it is, under a writer. What is
//! acknowledged is in the directory that the path leads to; else nothing is acknowledged, and the error says why.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, IfAbsent, Log, LogError, OpenError, SledLog};
use lastword::objects::{FileObjects, Objects};
use test_support::log_writer::{Writer, copy_tree};

/// A log of two frames, a copy of it from before, and what is done to it.
struct Scene {
    home: tempfile::TempDir,
    writer: Writer,
}

impl Scene {
    fn new() -> Scene {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        let mut writer = Writer::open(&state);
        writer.commit(&[100]);
        copy_tree(&state, &home.path().join("backup"));
        writer.commit(&[100, 5_000]);
        Scene { home, writer }
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    fn backup(&self) -> PathBuf {
        self.home.path().join("backup")
    }

    fn aside(&self) -> PathBuf {
        self.home.path().join("aside")
    }
}

type Way = (&'static str, fn(&Scene));

/// What may happen to it.
const WAYS: [Way; 9] = [
    ("moved away", |scene| fs::rename(scene.state(), scene.aside()).unwrap()),
    ("removed", |scene| fs::remove_dir_all(scene.state()).unwrap()),
    ("a backup in its place", |scene| {
        fs::rename(scene.state(), scene.aside()).unwrap();
        fs::rename(scene.backup(), scene.state()).unwrap();
    }),
    ("a link to a backup in its place", |scene| {
        fs::rename(scene.state(), scene.aside()).unwrap();
        symlink(scene.backup(), scene.state()).unwrap();
    }),
    ("the lock removed", |scene| fs::remove_file(scene.state().join("LOCK")).unwrap()),
    ("another lock", |scene| {
        fs::remove_file(scene.state().join("LOCK")).unwrap();
        fs::write(scene.state().join("LOCK"), "").unwrap();
    }),
    ("another HEAD", |scene| fs::rename(scene.backup().join("HEAD"), scene.state().join("HEAD")).unwrap()),
    ("another sled", |scene| {
        fs::rename(scene.state().join("sled"), scene.aside()).unwrap();
        fs::rename(scene.backup().join("sled"), scene.state().join("sled")).unwrap();
    }),
    ("a backup copied over it", |scene| {
        fs::copy(scene.backup().join("HEAD"), scene.state().join("HEAD")).unwrap();
    }),
];

#[test]
fn defect_10_a_directory_that_is_replaced_under_a_writer_acknowledges_nothing() {
    for (way, act) in WAYS {
        let mut scene = Scene::new();
        // So that an older HEAD is another one.
        scene.writer.log.tick(std::time::Duration::from_secs(5)).unwrap();
        act(&scene);
        let error = scene.writer.try_commit(&[100]).expect_err(way);
        assert!(matches!(error, LogError::Replaced(_)), "{way}: {error}");
        let text = error.to_string();
        assert!(text.contains(scene.state().to_str().unwrap()), "{way}: {text}");
        assert_eq!(scene.writer.log.durable().seq, Seq(3), "{way}");
        assert!(matches!(scene.writer.try_commit(&[1]), Err(LogError::Poisoned(_))), "{way}");
        assert!((scene.writer.log as Box<dyn Log>).close().is_err(), "{way}");
    }
}

#[test]
fn defect_10_an_idle_writer_notices_within_a_tick_and_one_that_closes_says_so() {
    for (way, act) in WAYS {
        let mut scene = Scene::new();
        scene.writer.log.tick(std::time::Duration::from_secs(5)).unwrap();
        act(&scene);
        let ticked = scene.writer.log.tick(std::time::Duration::from_secs(10));
        assert!(matches!(ticked, Err(LogError::Replaced(_))), "{way}: {ticked:?}");
    }
    for (way, act) in WAYS {
        let mut scene = Scene::new();
        scene.writer.log.tick(std::time::Duration::from_secs(5)).unwrap();
        act(&scene);
        let closed = (scene.writer.log as Box<dyn Log>).close();
        assert!(matches!(closed, Err(LogError::Replaced(_))), "{way}: {closed:?}");
    }
}

#[test]
fn defect_10_nothing_of_the_log_in_its_place_is_touched() {
    let mut scene = Scene::new();
    fs::rename(scene.state(), scene.aside()).unwrap();
    fs::rename(scene.backup(), scene.state()).unwrap();
    // A second writer lives for the path.
    let mut second = Writer::open(&scene.state());
    second.commit(&[7]);
    second.close();
    let before = contents(&scene.state());
    assert!(scene.writer.try_commit(&[100]).is_err());
    let _ = scene.writer.log.tick(std::time::Duration::from_secs(10));
    let (state, aside) = (scene.state(), scene.aside());
    let Scene { home: _home, writer } = scene;
    drop(writer);
    assert!(before == contents(&state), "the one that was replaced has written for the path");
    // What was acknowledged before is where it was moved to.
    let aside = SledLog::open(aside, IfAbsent::Refuse, Durability::Power).unwrap();
    assert!(aside.durable().seq >= Seq(3));
}

#[test]
fn defect_10_what_was_moved_and_is_back_before_the_barrier_goes_on() {
    let mut scene = Scene::new();
    fs::rename(scene.state(), scene.aside()).unwrap();
    fs::rename(scene.aside(), scene.state()).unwrap();
    scene.writer.commit(&[100]);
    scene.writer.close();
    assert!(SledLog::open(scene.home.path().join("state"), IfAbsent::Refuse, Durability::Power).unwrap().was_clean());
}

#[test]
fn defect_10_objects_that_would_not_be_found_by_the_path_are_not_stored() {
    let home = tempfile::tempdir().unwrap();
    let (path, aside) = (home.path().join("objects"), home.path().join("aside"));
    let objects = FileObjects::open(&path).unwrap();
    objects.put(&[b"one".to_vec()]).unwrap();
    fs::rename(&path, &aside).unwrap();
    let second = FileObjects::open(&path).unwrap();
    let before = contents(&path);
    let refused = objects.put(&[b"two".to_vec()]).unwrap_err().to_string();
    assert!(refused.contains(path.to_str().unwrap()), "{refused}");
    assert!(before == contents(&path), "the store that was replaced has written for the path");
    second.put(&[b"three".to_vec()]).unwrap();
    // Neither is one of another store removed.
    let [hash] = second.put(&[b"one".to_vec()]).unwrap().try_into().unwrap();
    let _ = objects.remove(hash);
    assert_eq!(second.get(hash).unwrap(), b"one");
}

fn contents(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Whoever removes the lock lets nobody in: the storage engine has one of its own, and it is looked at before anything is
/// written.
#[test]
fn a_second_writer_without_the_lock_changes_nothing() {
    let scene = Scene::new();
    fs::remove_file(scene.state().join("LOCK")).unwrap();
    let of_the_log = || {
        let mut names: Vec<_> = fs::read_dir(scene.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.retain(|name| name != "LOCK");
        (fs::read(scene.state().join("HEAD")).unwrap(), names)
    };
    let before = of_the_log();
    let refused = SledLog::open(scene.state(), IfAbsent::Refuse, Durability::Power).unwrap_err();
    let db = scene.state().join("sled/db");
    assert!(matches!(&refused, OpenError::Busy { path, .. } if *path == db), "{refused:?}");
    let refused = SledLog::accept_loss(scene.state(), Seq(1)).unwrap_err();
    assert!(matches!(&refused, OpenError::Busy { .. }), "{refused:?}");
    assert_eq!(of_the_log(), before);
}
