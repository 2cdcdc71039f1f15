//! Hints from the kernel's own events, on real directories.
#![cfg(feature = "notify")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Source, Spec};
use lastword::external::External;
use lastword::worker::{Hint, SourceWatch, Worker};

use super::mounts::Mounted;

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

    /// What the engine does before it observes, because of a hint.
    fn goes_on(&self, what: &str) {
        assert!(self.watching.is_alive(), "{what}");
        while self.hints.try_recv().is_ok() {}
    }

    /// It may miss something from now on. The table of mounts is not read at every question.
    fn ends(&self, what: &str) {
        let begun = Instant::now();
        while self.watching.is_alive() {
            assert!(begun.elapsed() < LONG, "{what}");
            std::thread::sleep(Duration::from_millis(20));
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
    watched.goes_on("with what is new");
    watched.hinted("a file in it", || fs::write(path("new/below/a"), "x").unwrap());
    watched.hinted("a directory that is moved in", || {
        fs::create_dir_all(path("_aside/deep")).unwrap();
        fs::rename(path("_aside"), path("moved")).unwrap();
    });
    watched.goes_on("with what was moved in");
    watched.hinted("a file in it", || fs::write(path("moved/deep/a"), "x").unwrap());
    // What lies below a directory that moves has other paths from then on: it is gone through anew.
    watched.hinted("a directory that is moved", || fs::rename(path("moved"), path("elsewhere")).unwrap());
    watched.ends("with a directory that is moved");
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

/// How many inotify instances this process has, and how many threads read them.
fn objects() -> (usize, usize) {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let instances = links.filter(|to| to.to_string_lossy().contains("inotify")).count();
    let names = fs::read_dir("/proc/self/task").unwrap().filter_map(|entry| {
        let name = fs::read_to_string(entry.ok()?.path().join("comm")).ok()?;
        Some(name.trim().to_owned())
    });
    (instances, names.filter(|name| name == "lastword-watch" || name.contains("notify")).count())
}

#[test]
fn defect_24_three_hundred_sources_take_one_kernel_object_and_one_thread() {
    let dir = tempfile::tempdir().unwrap();
    let sources: Vec<PathBuf> = (0..300).map(|n| dir.path().join(format!("s{n}"))).collect();
    sources.iter().for_each(|source| fs::create_dir_all(source.join("d/e")).unwrap());
    let all: Vec<Watched> = sources.iter().map(|source| watch(source, SPEC).unwrap()).collect();
    // An object of before, of another test, may be on its way out.
    let begun = Instant::now();
    while objects() != (1, 1) {
        assert!(begun.elapsed() < LONG, "{:?} objects and threads", objects());
        std::thread::sleep(Duration::from_millis(10));
    }
    // Each hears of its own, and of nothing else.
    all[7].hinted("in the seventh", || fs::write(sources[7].join("d/e/a"), "x").unwrap());
    all[8].unhinted("in the eighth", &sources[8].join("mark"), || fs::write(sources[9].join("d/e/a"), "x").unwrap());
    // The trouble of one is not that of the others.
    all[10].hinted("the source goes", || fs::remove_dir_all(&sources[10]).unwrap());
    assert!(!all[10].watching.is_alive());
    assert!(all.iter().enumerate().all(|(n, watched)| n == 10 || watched.watching.is_alive()));
    fs::create_dir_all(sources[10].join("d")).unwrap();
    let again = watch(&sources[10], SPEC).unwrap();
    again.hinted("in the new one", || fs::write(sources[10].join("d/a"), "x").unwrap());
    drop(all);
    again.goes_on("without the others");
    again.hinted("without the others", || fs::write(sources[10].join("d/b"), "x").unwrap());
}

#[test]
fn defect_24_sources_that_lie_in_each_other_do_not_end_each_others_watches() {
    let dir = tempfile::tempdir().unwrap();
    let (outer, inner) = (dir.path().to_owned(), dir.path().join("a/b"));
    fs::create_dir_all(inner.join("c")).unwrap();
    for inner_goes_first in [true, false] {
        let both = (watch(&outer, SPEC).unwrap(), watch(&inner, SPEC).unwrap());
        let same = watch(&inner, SPEC).unwrap();
        both.0.hinted("in both, the outer one", || fs::write(inner.join("c/x"), "x").unwrap());
        both.1.hinted("in both, the inner one", || fs::write(inner.join("c/y"), "x").unwrap());
        let (left, gone) = if inner_goes_first { both } else { (both.1, both.0) };
        drop(gone);
        left.goes_on("the one that is left");
        left.hinted("without the other", || fs::write(inner.join("c/z"), "x").unwrap());
        same.hinted("the same source again", || fs::write(inner.join("c/w"), "x").unwrap());
        assert!(left.watching.is_alive() && same.watching.is_alive());
    }
}

#[test]
fn defect_24_what_is_excluded_gives_no_hints() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("old")).unwrap();
    let watched = watch(dir.path(), r#"{"format":"parquet","exclude":["tmp_*","old"]}"#).unwrap();
    watched.unhinted("what is excluded", &dir.path().join("mark"), || {
        fs::write(dir.path().join("tmp_a"), "x").unwrap();
        fs::write(dir.path().join("old/a"), "x").unwrap();
    });
    watched.goes_on("with a partition");
    watched.hinted("a partition", || fs::create_dir(dir.path().join("_year=2023")).unwrap());
}

/// The directory below which something is mounted hears nothing of it.
#[test]
fn defect_24_a_mount_below_a_source_that_comes_or_goes_ends_the_watch() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("d");
    fs::create_dir(&below).unwrap();
    let before = watch(dir.path(), SPEC).unwrap();
    let Some(mounted) = Mounted::tmpfs(&below) else { return println!("skipped: this user cannot mount") };
    before.ends("what lies on it would not be heard of");
    drop(before);

    let watched = watch(dir.path(), SPEC).unwrap();
    watched.hinted("a file on the mount", || fs::write(below.join("a"), "x").unwrap());
    watched.goes_on("nothing was missed");
    watched.hinted("the mount goes", || drop(mounted));
    watched.ends("what it covered would not be heard of");
    drop(watched);

    // Gone for its path alone: somebody holds a file on it, and the kernel says nothing.
    let mounted = Mounted::tmpfs(&below).unwrap();
    fs::write(below.join("a"), "x").unwrap();
    let held = fs::File::open(below.join("a")).unwrap();
    let watched = watch(dir.path(), SPEC).unwrap();
    watched.goes_on("nothing has happened");
    drop(mounted);
    let _other = Mounted::tmpfs(&below).unwrap();
    watched.ends("it watches what nobody sees any more");
    drop(held);
}
