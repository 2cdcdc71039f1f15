//! Hints from the kernel's own events, on real directories.
#![cfg(feature = "notify")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Source, Spec};
use lastword::external::External;
use lastword::worker::{Hint, SourceWatch, Worker};

/// Long enough for any machine: a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);

struct Watched {
    hints: Receiver<()>,
    watching: Box<dyn SourceWatch>,
}

fn watch(path: &Path, spec: &str) -> Option<Watched> {
    let (sender, hints) = channel();
    let source = Source::new(path.to_str().unwrap()).unwrap();
    let hint = Hint::new(move || {
        let _ = sender.send(());
    });
    let external = External::local();
    let watching = external.observer().unwrap().watch(&source, &Spec::parse(spec).unwrap(), hint)?;
    Some(Watched { hints, watching })
}

const SPEC: &str = r#"{"format":"parquet"}"#;

impl Watched {
    /// Does something, which has to be hinted at.
    fn hinted(&self, what: &str, deed: impl FnOnce()) {
        deed();
        assert_eq!(self.hints.recv_timeout(LONG), Ok(()), "{what}");
    }

    /// The system is still adding watches when the first hint of a new directory comes: tries until one does.
    fn hinted_again_and_again(&self, what: &str, deed: impl Fn(u32)) {
        while self.hints.try_recv().is_ok() {}
        let begun = Instant::now();
        for n in 0.. {
            deed(n);
            if self.hints.recv_timeout(Duration::from_millis(20)).is_ok() {
                return;
            }
            assert!(begun.elapsed() < LONG, "{what}");
        }
    }

    /// Does something that gives no hint, and then something that does: what comes first comes first.
    fn unhinted(&self, what: &str, mark: &Path, deed: impl FnOnce()) {
        deed();
        let silence = self.hints.recv_timeout(Duration::from_millis(100));
        assert_eq!(silence, Err(RecvTimeoutError::Timeout), "{what}");
        self.hinted("the watch is alive", || fs::write(mark, "x").unwrap());
    }
}

#[test]
fn whatever_moves_is_hinted_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // Each has a watch of its own: no hint can be one of the deed before.
    let hinted = |what: &str, deed: &dyn Fn()| watch(dir.path(), SPEC).unwrap().hinted(what, deed);
    hinted("a new file", &|| fs::write(path("a"), "one").unwrap());
    hinted("a rewritten file", &|| fs::write(path("a"), "two").unwrap());
    hinted("a renamed file", &|| fs::rename(path("a"), path("b")).unwrap());
    hinted("a file that gets its name", &|| {
        fs::write(path("c.tmp"), "three").unwrap();
        fs::rename(path("c.tmp"), path("c")).unwrap();
    });
    hinted("a chmod", &|| fs::set_permissions(path("b"), fs::Permissions::from_mode(0o600)).unwrap());
    hinted("a new directory", &|| fs::create_dir_all(path("d/e/f")).unwrap());
    hinted("a file in it", &|| fs::write(path("d/e/f/g"), "x").unwrap());
    hinted("a deleted file", &|| fs::remove_file(path("b")).unwrap());
    hinted("a deleted directory", &|| fs::remove_dir_all(path("d")).unwrap());
    // A directory that comes later is watched as well.
    let watched = watch(dir.path(), SPEC).unwrap();
    watched.hinted("a new directory", || fs::create_dir_all(path("new/below")).unwrap());
    watched.hinted_again_and_again("a file in it", |n| fs::write(path(&format!("new/below/{n}")), "x").unwrap());
    assert!(watched.watching.is_alive());
}

#[test]
fn reading_and_what_is_no_data_is_not_hinted_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a"), "one").unwrap();
    fs::create_dir(path("_temporary")).unwrap();
    watch(dir.path(), SPEC).unwrap().unhinted("reading", &path("mark1"), || {
        // As a look does: a hint would call for the next look, for ever.
        fs::read(path("a")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count() + fs::read_dir(path("_temporary")).unwrap().count(), 2);
    });
    watch(dir.path(), SPEC).unwrap().unhinted("files in the making", &path("mark2"), || {
        fs::write(path("b.tmp"), "half").unwrap();
        fs::write(path("_temporary/part"), "half").unwrap();
        fs::write(path(".hidden"), "half").unwrap();
    });
}

#[test]
fn a_deleted_and_recreated_source_is_watched_again() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    assert!(watch(&lake, SPEC).is_none(), "it is not there");
    for replace in [true, false] {
        fs::create_dir(&lake).unwrap();
        let watched = watch(&lake, SPEC).unwrap();
        watched.hinted("the source goes", || {
            if replace { fs::rename(&lake, dir.path().join("aside")).unwrap() } else { fs::remove_dir(&lake).unwrap() }
        });
        assert!(!watched.watching.is_alive());
        assert!(watch(&lake, SPEC).is_none());
        fs::create_dir(&lake).unwrap();
        assert!(!watched.watching.is_alive(), "it is another directory");
        let again = watch(&lake, SPEC).unwrap();
        again.hinted("a file in the new one", || fs::write(lake.join("a"), "x").unwrap());
        assert!(again.watching.is_alive());
        drop((watched, again));
        fs::remove_dir_all(&lake).unwrap();
    }
}

#[test]
fn a_link_that_is_turned_elsewhere_ends_the_watch() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    ["monday", "tuesday"].iter().for_each(|day| fs::create_dir(path(day)).unwrap());
    symlink(path("monday"), path("current")).unwrap();
    let watched = watch(&path("current"), SPEC).unwrap();
    watched.hinted("below the link", || fs::write(path("monday/a"), "x").unwrap());
    assert!(watched.watching.is_alive());
    symlink(path("tuesday"), path("next")).unwrap();
    fs::rename(path("next"), path("current")).unwrap();
    assert!(!watched.watching.is_alive());
    let again = watch(&path("current"), SPEC).unwrap();
    again.hinted("below the new link", || fs::write(path("tuesday/a"), "x").unwrap());
}

#[test]
fn directories_behind_links_are_watched_where_links_are_followed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(other.path(), dir.path().join("other")).unwrap();
    symlink(dir.path(), dir.path().join("circle")).unwrap();
    let following = watch(dir.path(), r#"{"format":"parquet","follow_symlinks":true}"#).unwrap();
    following.hinted("behind a link", || fs::write(other.path().join("a"), "x").unwrap());
    let plain = watch(dir.path(), SPEC).unwrap();
    plain.unhinted("behind a link", &dir.path().join("mark"), || fs::write(other.path().join("b"), "x").unwrap());
}

#[test]
fn what_is_no_longer_held_gives_no_hints() {
    let dir = tempfile::tempdir().unwrap();
    let Watched { hints, watching } = watch(dir.path(), SPEC).unwrap();
    drop(watching);
    // The callback is gone with the watcher's thread.
    while hints.recv_timeout(LONG) != Err(RecvTimeoutError::Disconnected) {}
}
