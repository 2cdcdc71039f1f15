//! Looking at real directories: what counts, what changed, and what must not pass for empty.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{Name, Spec, Timestamp};
use lastword::external::{
    Difference, External, FileVersion, Interrupted, Listing, LocalStore, ObservedFile, PathSet, ScanRequest,
    SourceLocation, SourcePath, SourceUri, Stat, Store, StoreError, TrafficCounter, format_of, load_set,
    never_interrupted, scan, store_set,
};
use lastword::objects::{MemoryObjects, Objects};
use lastword::worker::{ObserveRequest, ObserveSignals, Worker};

fn source(path: &Path) -> SourceLocation {
    SourceUri::parse(path.to_str().unwrap()).unwrap().resolve(Path::new("/")).unwrap()
}

fn list(path: &Path) -> Result<Listing, StoreError> {
    LocalStore.list(&source(path), &never_interrupted, &TrafficCounter::default()).map(|listed| listed.files)
}

fn names(listing: &Listing) -> Vec<String> {
    listing.iter().map(|(path, _)| path.to_string()).collect()
}

#[test]
fn case_24_a_rule_for_every_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("lake");
    for name in [
        &b"b.parquet"[..],
        b"a.parquet",
        b"with space",
        b"100%",
        b"line\nfeed",
        b"bad\xff",
        b"no-extension",
        b"x.csv",
        b"deep/er/file",
        b".hidden",
        b"_SUCCESS",
        b"part.parquet.tmp",
        b".git/config",
        b"_temporary/0/part",
        b"staging.tmp/part",
        b"a_b.parquet",
        b"key=1/part",
    ] {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"data").unwrap();
    }
    symlink(root.join("a.parquet"), root.join("link.parquet")).unwrap();
    symlink(&root, root.join("loop")).unwrap();
    symlink("/etc", root.join("escape")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(root.join("fifo.parquet")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket.parquet")).unwrap();

    let set = list(&root).unwrap();
    let expected = [
        "100%25",
        "a.parquet",
        "a_b.parquet",
        "b.parquet",
        "bad%FF",
        "deep/er/file",
        "key=1/part",
        "line%0Afeed",
        "no-extension",
        "with space",
        "x.csv",
    ];
    assert_eq!(names(&set), expected);
    // Each can be opened under the name it was listed by.
    for (path, version) in &set {
        let file = LocalStore.open(&source(&root), path, version).unwrap();
        assert_eq!(file.read(0, 4).unwrap(), b"data");
        assert!(file.read(1, 4).is_err());
    }
    // The source itself may be a link.
    symlink(&root, dir.path().join("current")).unwrap();
    assert_eq!(list(&dir.path().join("current")).unwrap(), set);
}

#[test]
fn case_24_a_link_or_a_fifo_in_the_place_of_a_listed_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.parquet");
    fs::write(&file, b"data").unwrap();
    let set = list(dir.path()).unwrap();
    let (path, version) = &set[0];
    let moved = |what: &str| match LocalStore.open(&source(dir.path()), path, version) {
        Err(StoreError::Moved { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was opened"),
    };
    fs::rename(&file, dir.path().join("b.parquet")).unwrap();
    moved("a missing file");
    symlink(dir.path().join("b.parquet"), &file).unwrap();
    moved("a link to the file itself");
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    moved("a FIFO");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    moved("a directory");
}

#[test]
fn case_24_links_are_followed_where_that_is_asked_for() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lake = dir.path().join("lake");
    fs::create_dir_all(lake.join("d/e")).unwrap();
    fs::create_dir(other.path().join("shared")).unwrap();
    fs::write(other.path().join("shared/x"), b"data").unwrap();
    fs::write(lake.join("a"), b"data").unwrap();
    for (to, link) in [
        (other.path().join("shared/x"), "x"),
        (other.path().join("shared"), "one"),
        (other.path().join("shared"), "d/two"),
        // Circles: to itself, to the source, and through another directory.
        (lake.clone(), "d/root"),
        (lake.join("d"), "d/e/up"),
        ("a".into(), "near"),
        (other.path().join("shared/x"), "_not-data"),
    ] {
        symlink(to, lake.join(link)).unwrap();
    }
    let following = source(&lake).following_links(true);
    let followed =
        || LocalStore.list(&following, &never_interrupted, &TrafficCounter::default()).map(|listed| listed.files);
    let set = followed().unwrap();
    assert_eq!(names(&set), ["a", "d/two/x", "near", "one/x", "x"]);
    for (path, stat) in &set {
        assert_eq!(LocalStore.open(&following, path, stat).unwrap().read(0, 4).unwrap(), b"data");
    }
    assert_eq!(names(&list(&lake).unwrap()), ["a"], "not asked for");
    // A link to another file is another file.
    fs::remove_file(lake.join("x")).unwrap();
    symlink(lake.join("a"), lake.join("x")).unwrap();
    assert_ne!(followed().unwrap(), set);
    // What leads nowhere is told apart, and devices are refused.
    let set = followed().unwrap();
    for to in ["nowhere", "z"] {
        symlink(to, lake.join("z")).unwrap();
        let listed = LocalStore.list(&following, &never_interrupted, &TrafficCounter::default()).unwrap();
        assert_eq!(listed.files, set);
        assert_eq!(listed.left_out.dead_links, [SourcePath(b"z".to_vec())]);
        fs::remove_file(lake.join("z")).unwrap();
    }
    symlink("/dev/null", lake.join("z")).unwrap();
    let error = followed().unwrap_err().to_string();
    assert!(error.contains("/dev/null is not"), "{error}");
    fs::remove_file(lake.join("z")).unwrap();
    followed().unwrap();
}

#[test]
fn case_24_depth_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let chain = |depth: usize| dir.path().join(vec!["d"; depth].join("/"));
    fs::create_dir_all(chain(64)).unwrap();
    fs::write(chain(64).join("file"), b"").unwrap();
    assert_eq!(list(dir.path()).unwrap().len(), 1);
    fs::create_dir_all(chain(65)).unwrap();
    let error = list(dir.path()).unwrap_err();
    assert!(error.to_string().ends_with("is beyond a limit: directories lie at most 64 deep in a source"), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn case_19_a_file_that_changes_after_it_was_listed_is_moved() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.parquet");
    fs::write(&file, b"0123456789").unwrap();
    let set = list(dir.path()).unwrap();
    let (path, version) = &set[0];
    let opened = LocalStore.open(&source(dir.path()), path, version).unwrap();
    assert_eq!(opened.read(2, 3).unwrap(), b"234");
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&file, b"abcdefghij").unwrap();
    assert!(matches!(opened.read(2, 3), Err(StoreError::Moved { .. })));
    File::options().write(true).open(&file).unwrap().set_len(1).unwrap();
    assert!(matches!(opened.read(2, 3), Err(StoreError::Moved { .. })));
    assert!(matches!(LocalStore.open(&source(dir.path()), path, version), Err(StoreError::Moved { .. })));
    assert!(matches!(
        LocalStore.stat(&source(dir.path()), &SourcePath(b"gone".to_vec())),
        Err(StoreError::Moved { .. })
    ));
}

#[test]
fn case_19_a_listing_under_change_is_whole_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..20 {
        fs::create_dir(dir.path().join(format!("d{n}"))).unwrap();
        fs::write(dir.path().join(format!("d{n}/stays")), b"x").unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for n in 0..20 {
                    let path = dir.path().join(format!("d{n}/comes-and-goes"));
                    fs::write(&path, b"y").unwrap();
                    fs::remove_file(&path).unwrap();
                }
            }
        });
        for _ in 0..200 {
            match list(dir.path()) {
                Ok(set) => assert_eq!(names(&set).iter().filter(|name| name.ends_with("/stays")).count(), 20),
                Err(error) => assert!(matches!(error, StoreError::Unsettled { tries: 5, .. }), "{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn case_20_what_cannot_be_listed_is_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let missing = list(&dir.path().join("missing")).unwrap_err();
    assert!(missing.to_string().ends_with("/missing does not exist"), "{missing}");
    fs::write(dir.path().join("file"), b"").unwrap();
    let file = list(&dir.path().join("file")).unwrap_err();
    assert!(file.to_string().ends_with("/file is not a directory"), "{file}");
    // Errors that root gets as well: a component that is a file, and links that lead nowhere but to each other.
    assert!(matches!(list(&dir.path().join("file/below")), Err(StoreError::Unreadable { .. })));
    symlink("b", dir.path().join("a")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    let looped = list(&dir.path().join("a")).unwrap_err();
    assert!(looped.to_string().contains("/a cannot be read: "), "{looped}");
    symlink("/proc/self", dir.path().join("kernel")).unwrap();
    assert!(matches!(list(&dir.path().join("kernel")), Err(StoreError::Device { .. })));
}

#[test]
fn case_20_a_directory_without_permission_is_an_error_that_names_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("file"), b"x").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(&closed).is_ok();
    let found = list(dir.path());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    if readable {
        println!("skipped: permissions do not stop this user (root); the test above covers other errors");
        return;
    }
    assert!(found.unwrap_err().to_string().contains("/closed cannot be read: "));
}

#[test]
fn case_22_an_empty_directory_is_a_set_without_files() {
    let dir = tempfile::tempdir().unwrap();
    let seen = scan(&ScanRequest::new(&LocalStore, &source(dir.path()), Timestamp(0))).unwrap();
    assert!(seen.set.is_empty());
    assert_eq!(seen.version, PathSet::default().digest());
}

#[test]
fn a_look_can_be_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(dir.path());
    let looking =
        ScanRequest { stop_check: &|| Err(Interrupted), ..ScanRequest::new(&LocalStore, &source, Timestamp(0)) };
    let error = scan(&looking).unwrap_err();
    assert!(matches!(error, StoreError::Interrupted));
}

/// What takes long, one file after the other, is alive: an observation is given up by its signs.
#[test]
fn defect_01_a_look_gives_a_sign_for_each_file_of_a_flat_directory() {
    const FILES: usize = 300;
    // All of them are young then.
    let (dir, now) = (tempfile::tempdir().unwrap(), SystemClock::new().wall());
    (0..FILES).for_each(|n| fs::write(dir.path().join(format!("{n}")), "x").unwrap());
    let (source, signs) = (source(dir.path()), AtomicUsize::new(0));
    let sign = || {
        signs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    LocalStore.list(&source, &sign, &TrafficCounter::default()).unwrap();
    let listing = signs.swap(0, Ordering::Relaxed);
    assert!(listing >= FILES, "{listing} signs while {FILES} files were listed");
    // Beside the listing: while it is told what is finished, and while the content of each is read, which is young.
    let request = ScanRequest {
        list_check: Some(&sign),
        format: format_of("files"),
        ..ScanRequest::new(&LocalStore, &source, now)
    };
    assert_eq!(scan(&request).unwrap().racy, FILES as u64);
    let looking = signs.load(Ordering::Relaxed);
    assert!(looking >= 3 * FILES, "{looking} signs of a look at {FILES} files");
}

/// An aged look at the files of a directory, compared with what is known.
fn aged(path: &Path, known: Option<&PathSet>) -> PathSet {
    let now = SystemClock::new().wall().after(std::time::Duration::from_secs(3));
    let source = source(path);
    scan(&ScanRequest { known, applied: known, ..ScanRequest::new(&LocalStore, &source, now) }).unwrap().set
}

#[test]
fn defect_44_a_look_that_finds_no_change_copies_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |names: &[&str], content: &str| {
        names.iter().for_each(|name| fs::write(dir.path().join(name), content).unwrap());
    };
    write(&["b", "d", "f", "h"], "one");
    let first = aged(dir.path(), None);
    let second = aged(dir.path(), Some(&first));
    assert!(second.is_same(&first), "it is the same set, not one like it");
    // Before, between and behind what is known; changed; and gone.
    write(&["a", "e", "i"], "one");
    write(&["d"], "other");
    fs::remove_file(dir.path().join("f")).unwrap();
    let third = aged(dir.path(), Some(&second));
    let names: Vec<_> = third.files().map(|(path, _)| path.to_string()).collect();
    assert_eq!(names, ["a", "b", "d", "e", "h", "i"]);
    assert_eq!(third.difference(&first), Difference { added: 3, removed: 1, changed: 1 });
    assert_eq!(third.digest(), aged(dir.path(), None).digest());
    fs::remove_file(dir.path().join("i")).unwrap();
    let fourth = aged(dir.path(), Some(&third));
    assert_eq!(fourth.difference(&third), Difference { removed: 1, ..Difference::default() });
    assert_ne!(fourth.digest(), third.digest());
}

#[test]
fn a_stored_set_counts_what_changed_and_costs_little() {
    let file = |n: u64, inode: u64| {
        let version = FileVersion::of(Stat { size: n, inode, ..Stat::default() });
        (SourcePath(format!("part-{n:05}").into_bytes()), ObservedFile::of(version))
    };
    let objects = MemoryObjects::new();
    let files: BTreeMap<_, _> = (0..10_000).map(|n| file(n, n)).collect();
    let before = PathSet::new(files.clone());
    let first = store_set(&objects, &before, None).unwrap();
    assert_eq!((first.files, first.difference.added, first.bytes), (10_000, 10_000, 9_999 * 5_000));
    assert_eq!(load_set(&objects, first.root).unwrap(), before);

    let held = objects.len();
    let mut files = files;
    files.extend([file(5_000, 1)]);
    let after = PathSet::new(files.clone());
    let second = store_set(&objects, &after, Some(&before)).unwrap();
    assert_eq!(second.difference, Difference { changed: 1, ..Difference::default() });
    assert!(objects.len() - held <= 4, "{} objects were written", objects.len() - held);

    files.remove(&file(7, 7).0);
    files.extend([file(20_000, 1), file(20_001, 1)]);
    let third = store_set(&objects, &PathSet::new(files), Some(&after)).unwrap();
    assert_eq!(third.difference, Difference { added: 2, removed: 1, changed: 0 });
    assert_ne!(before.digest(), after.digest());
    objects.remove(first.root).unwrap();
    assert!(load_set(&objects, first.root).is_err());
}

#[test]
fn a_look_compares_with_nothing_if_what_was_seen_before_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.parquet"), b"a").unwrap();
    let objects = MemoryObjects::new();
    let name = Name::new("lake").unwrap();
    let source = lastword::core::vocabulary::Source::new(dir.path().to_str().unwrap()).unwrap();
    let spec = Spec::parse(r#"{"format":"parquet"}"#).unwrap();
    let observe = |known| {
        let (applied, wall, verify) = (None, Timestamp(0), false);
        let signals = &ObserveSignals::default();
        let asked = ObserveRequest {
            name: &name,
            source: &source,
            spec: &spec,
            known,
            applied,
            objects: &objects,
            wall,
            verify,
            signals,
        };
        // Another process, which remembers nothing.
        External::local().observer().unwrap().observe(&asked).unwrap()
    };
    let first = observe(None).state;
    fs::write(dir.path().join("b.parquet"), b"b").unwrap();
    assert_eq!(observe(Some(&first)).delta.unwrap().added, 1);
    let root = first.set.unwrap().root;
    objects.remove(root).unwrap();
    let second = observe(Some(&first));
    assert_eq!(second.delta, None);
    assert_eq!(load_set(&objects, second.state.set.unwrap().root).unwrap().len(), 2);
}
