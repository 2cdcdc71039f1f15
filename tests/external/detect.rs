//! What changes a version and what does not: real files that are rewritten, touched, replaced and put back.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::Missing;
use lastword::external::{External, SourcePath};

use super::lake::{Lake, Shelf, changed};

#[test]
fn case_17_same_path_same_length_new_content() {
    let mut lake = Lake::new();
    lake.write("a.parquet", "one");
    lake.aged();
    assert!(!changed(&lake.aged()));
    lake.write("a.tmp", "two");
    assert!(!changed(&lake.aged()), "a temporary file is not data");
    fs::rename(lake.path("a.tmp"), lake.path("a.parquet")).unwrap();
    assert_eq!(lake.aged().delta.unwrap().changed, 1);
}

#[test]
fn case_18_rewritten_within_the_tick_with_its_time_set_back() {
    let mut same_stat = 0;
    for round in 0..200 {
        let mut lake = Lake::new();
        lake.write("a.parquet", "one");
        let before = fs::metadata(lake.path("a.parquet")).unwrap();
        let first = lake.look();
        assert_eq!((first.racy, first.observe_again.is_some()), (1, true));
        let mut file = File::options().write(true).open(lake.path("a.parquet")).unwrap();
        file.write_all(b"two").unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        let after = fs::metadata(lake.path("a.parquet")).unwrap();
        assert_eq!((after.len(), after.mtime_nsec(), after.ino()), (3, before.mtime_nsec(), before.ino()));
        same_stat += u32::from((after.ctime(), after.ctime_nsec()) == (before.ctime(), before.ctime_nsec()));
        // At once, or when it has aged.
        let second = if round % 2 == 0 { lake.look() } else { lake.aged() };
        assert_eq!(second.delta.unwrap().changed, 1, "round {round}");
        assert!(!changed(&lake.aged()), "the same content, and now it is proven");
    }
    println!("{same_stat} of 200 rewrites left no trace in what stat says");
}

#[test]
fn case_18_a_racy_file_that_is_left_alone_is_proven_without_a_change() {
    let mut lake = Lake::new();
    lake.write("a.parquet", "one");
    let first = lake.look();
    let wait = first.observe_again.unwrap();
    assert!(wait <= Duration::from_secs(2) && wait >= Duration::from_millis(10), "{wait:?}");
    assert_eq!(lake.look().racy, 1);
    let held = lake.objects.len();
    let proven = lake.aged();
    assert_eq!((&proven.state, proven.delta), (&first.state, None));
    assert_eq!(lake.objects.len(), held);
    // The same after a restart, from what was stored.
    let mut lake = lake.restarted();
    assert_eq!(lake.aged().state, first.state);
}

#[test]
fn case_18_a_time_that_is_set_back_is_seen() {
    for learning in [0, 1 << 20] {
        let mut lake = Lake::new().learning(learning);
        lake.write("a.parquet", "one");
        lake.aged();
        let old = fs::metadata(lake.path("a.parquet")).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        lake.write("a.parquet", "two");
        File::options().write(true).open(lake.path("a.parquet")).unwrap().set_modified(old).unwrap();
        assert_eq!(fs::metadata(lake.path("a.parquet")).unwrap().modified().unwrap(), old);
        assert_eq!(lake.aged().delta.unwrap().changed, 1);
    }
}

#[test]
fn case_18_if_only_the_ctime_moved_a_learned_content_decides() {
    let mut lake = Lake::new();
    lake.write("a.parquet", "one");
    let first = lake.aged().state;
    let held = lake.objects.len();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(10));
        lake.chmod("a.parquet");
        assert_eq!(lake.aged().state, first);
        assert_eq!(lake.aged().state, first);
    }
    // Also a copy of the same bytes, with a new inode and new times.
    lake.replace("a.parquet", "one");
    assert_eq!(lake.look().state, first);
    assert_eq!(lake.aged().state, first);
    assert_eq!(lake.objects.len(), held, "an unchanged look writes nothing");
    lake.replace("a.parquet", "two");
    assert!(changed(&lake.look()));
}

#[test]
fn case_18_unchanged_looks_learn_and_what_they_learned_is_written_with_the_next_set() {
    let mut lake = Lake::new().learning(0);
    lake.write("a.parquet", "one");
    lake.write("b.parquet", "one");
    lake.aged();
    assert!(lake.set().files().all(|(_, file)| file.content.is_none()));
    let held = lake.objects.len();
    let mut lake = Lake { external: External::local(), ..lake };
    assert!(!changed(&lake.aged()));
    assert_eq!(lake.objects.len(), held);
    lake.chmod("a.parquet");
    assert!(!changed(&lake.aged()), "it was learned");
    lake.write("c.parquet", "new");
    assert_eq!(lake.aged().delta.unwrap().changed, 0);
    assert!(lake.set().files().all(|(_, file)| file.content.is_some()));
    let mut lake = lake.restarted();
    lake.chmod("b.parquet");
    assert!(!changed(&lake.aged()), "it was written");
}

#[test]
fn case_18_an_unknown_content_counts_as_changed_once() {
    let mut lake = Lake::new().learning(0);
    lake.write("a.parquet", "one");
    lake.aged();
    let mut lake = lake.restarted();
    lake.chmod("a.parquet");
    assert!(changed(&lake.aged()));
    lake.chmod("a.parquet");
    assert!(!changed(&lake.aged()));
}

#[test]
fn case_18_a_rename_back_and_forth_is_the_applied_version_again() {
    let rename = |lake: &Lake, from: &str, to: &str| fs::rename(lake.path(from), lake.path(to)).unwrap();
    for restart in [false, true] {
        let mut lake = Lake::new();
        lake.write("a.parquet", "one");
        lake.write("b.parquet", "b");
        let applied = lake.aged().state;
        lake.apply();
        rename(&lake, "a.parquet", "a.tmp");
        lake.write("a.parquet", "two");
        let other = lake.aged();
        assert_eq!(other.delta.unwrap().changed, 1);
        rename(&lake, "a.tmp", "a.parquet");
        if restart {
            lake = lake.restarted();
        }
        let back = lake.aged();
        assert_eq!(back.state.version, applied.version);
        assert_ne!(other.state.version, applied.version);
        // Gone and back, while nobody knew it.
        rename(&lake, "a.parquet", "a.tmp");
        assert_eq!(lake.aged().delta.unwrap().removed, 1);
        rename(&lake, "a.tmp", "a.parquet");
        assert_eq!(lake.aged().state.version, applied.version);
    }
}

#[test]
fn case_18_a_large_file_is_learned_over_several_looks() {
    let mut lake = Lake::new().learning(1 << 20);
    lake.write("large.parquet", &"x".repeat((3 << 20) - 5));
    lake.write("small.parquet", "y");
    for _ in 0..2 {
        lake.aged();
    }
    lake.chmod("large.parquet");
    assert!(changed(&lake.aged()), "two thirds are read: unknown");
    for _ in 0..3 {
        assert!(!changed(&lake.aged()));
    }
    lake.chmod("large.parquet");
    lake.chmod("small.parquet");
    assert!(!changed(&lake.aged()));
}

#[test]
fn case_19_a_file_that_is_written_while_it_is_hashed_is_never_taken_for_proven() {
    let mut lake = Lake::new();
    let (stop, path) = (AtomicBool::new(false), lake.path("a.parquet"));
    fs::write(&path, "0").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                fs::write(&path, format!("{n:0>60000}")).unwrap();
            }
        });
        let racy: Vec<u64> = (0..100).map(|_| lake.look().racy).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(racy.iter().all(|racy| *racy == 1), "{racy:?}");
    });
    lake.look();
    lake.aged();
    let content = *blake3::hash(&fs::read(lake.path("a.parquet")).unwrap()).as_bytes();
    assert_eq!(lake.set().get(&SourcePath(b"a.parquet".to_vec())).unwrap().content, Some(content));
}

#[test]
fn case_20_a_failing_look_is_neither_empty_nor_unchanged() {
    let mut lake = Lake::new();
    fs::create_dir(lake.path("d")).unwrap();
    lake.write("d/a.parquet", "one");
    let first = lake.aged().state;
    let aside = lake.dir.path().with_extension("aside");
    fs::rename(lake.dir.path(), &aside).unwrap();
    let error = lake.look_at(SystemClock::new().wall()).unwrap_err();
    assert!(error.to_string().ends_with("does not exist"), "{error}");
    fs::rename(&aside, lake.dir.path()).unwrap();
    assert_eq!(lake.aged().state, first);
}

#[test]
fn case_21_a_look_says_how_many_applied_files_are_gone() {
    let mut lake = Lake::new();
    ["a", "b", "c"].iter().for_each(|name| lake.write(name, name));
    assert_eq!(lake.aged().missing, None);
    lake.apply();
    assert_eq!(lake.aged().missing, Some(0.into()));
    fs::remove_file(lake.path("a")).unwrap();
    assert_eq!(lake.aged().missing, Some(Missing { files: 1, bytes: 1, ..Missing::default() }));
    fs::remove_file(lake.path("b")).unwrap();
    lake.write("d", "d");
    let observation = lake.aged();
    // Against what is applied, not against the last look.
    let (missing, removed) = (observation.missing.unwrap(), observation.delta.unwrap().removed);
    assert_eq!((missing.files, removed), (2, 1));
    // What came in their place: a new file, and what one that stayed has grown by.
    lake.write("c", "grown");
    let missing = Missing { files: 2, bytes: 2, new_files: 1, new_bytes: 1 + 4 };
    assert_eq!(lake.aged().missing, Some(missing));
}

#[test]
fn case_18_a_rewrite_that_leaves_no_trace_at_all_is_seen() {
    let (mut lake, shelf) = (Lake::new(), Shelf::default());
    lake.external = External::local().in_store(shelf.clone());
    shelf.put("a", 0, "one");
    assert_eq!(lake.look().racy, 1);
    let stat = shelf.files.lock().unwrap().values().next().unwrap().0;
    let rewrite = |content: &[u8]| {
        shelf.files.lock().unwrap().insert(SourcePath(b"a".to_vec()), (stat, content.to_vec()));
    };
    rewrite(b"two");
    assert_eq!(lake.look().delta.unwrap().changed, 1);
    rewrite(b"six");
    assert_eq!(lake.aged().delta.unwrap().changed, 1);
    assert!(!changed(&lake.aged()));
}

#[test]
fn case_18_a_file_from_the_future_ages_from_the_first_look_on() {
    let (mut lake, shelf) = (Lake::new(), Shelf::default());
    lake.external = External::local().in_store(shelf.clone());
    shelf.put("a", 100_000, "one");
    let first = lake.look();
    assert_eq!((first.racy, first.observe_again), (1, Some(Duration::from_secs(2))));
    assert!(!changed(&lake.aged()));
}

#[test]
fn case_19_a_hash_of_a_file_that_changes_meanwhile_proves_nothing() {
    let (mut lake, shelf) = (Lake::new(), Shelf::default());
    lake.external = External::local().in_store(shelf.clone());
    shelf.put("a", -100, "one");
    let first = lake.aged().state;
    // Touched, and unsteady while it is compared with what was learned.
    shelf.put("a", -50, "one");
    shelf.unsteady.store(true, Ordering::Relaxed);
    let unsteady = lake.look();
    assert_eq!((unsteady.racy, changed(&unsteady)), (1, true));
    shelf.unsteady.store(false, Ordering::Relaxed);
    lake.applied = Some(first.clone());
    let settled = lake.look();
    assert_eq!((settled.racy, settled.state.version), (0, first.version));
}

/// As many looks as fit in five seconds, at most a million. A million takes about a minute in a debug build.
#[test]
fn case_50_unchanged_looks_write_nothing() {
    let shelf = Shelf::default();
    "abcdefghij".chars().for_each(|name| shelf.put(&name.to_string(), -100, "one"));
    let mut lake = Lake::new();
    lake.external = External::local().in_store(shelf);
    let first = lake.aged().state;
    let held = lake.objects.len();
    let clock = SystemClock::new();
    let mut looks = 0;
    while looks < 1_000_000 && clock.monotonic() < Duration::from_secs(5) {
        let observation = lake.aged();
        assert_eq!((observation.state, observation.delta), (first.clone(), None));
        looks += 1;
    }
    assert_eq!(lake.objects.len(), held);
    assert!(looks > 0);
    println!("{looks} unchanged looks");
}
