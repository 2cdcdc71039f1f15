//! `lastword run --once`: it ends when everything is settled, and says what is not fresh and why.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::{Ended, Place, lastword, paths, rows, segments, text};

fn ids(manifest: &Value) -> Vec<String> {
    segments(manifest).iter().map(|segment| segment["id"].as_str().unwrap().to_owned()).collect()
}

/// How often an event of this type was printed.
fn count(ended: &Ended, event: &str) -> usize {
    ended.stdout.lines().filter(|line| line.contains(event)).count()
}

#[test]
fn what_is_there_is_built_and_what_changes_is_built_again() {
    let place = Place::new("");
    for (name, salt) in [("a.parquet", 1), ("b.parquet", 2), ("deep/er/c.parquet", 3)] {
        place.write(name, 4, salt);
    }
    let ended = place.once().expect_code(0);
    assert!(ended.took >= Duration::from_secs(1), "files that have just been written have to age: {:?}", ended.took);
    let first = place.manifest();
    assert_eq!((rows(&first), place.count()), (6000, 6000));
    assert_eq!(segments(&first).len(), 6);
    assert_eq!(first["applied"].as_str().unwrap().len(), 64);

    // Nothing changed: nothing but the opening is logged.
    let ended = place.once().expect_code(0);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    assert_eq!(place.manifest(), first);

    // Same path, same row count, new content: only the segments with its rows are new.
    place.write("b.parquet", 4, 77);
    place.once().expect_code(0);
    let second = place.manifest();
    assert_eq!((rows(&second), place.count()), (6000, 6000));
    let holds_b = |segment: &Value| {
        segment["fragments"].as_array().unwrap().iter().any(|fragment| fragment["path"] == "b.parquet")
    };
    for segment in segments(&first) {
        let id = segment["id"].as_str().unwrap().to_owned();
        assert_eq!(ids(&second).contains(&id), !holds_b(segment), "{segment}");
    }
    assert_ne!(first["applied"], second["applied"]);
}

#[test]
fn case_25_a_corrupt_file_parks_its_collection_until_it_is_repaired() {
    let place = Place::new("");
    place.write("good.parquet", 2, 0);
    // As young as a file that is just being written, and with the default policies.
    place.spoil("bad.parquet", Duration::ZERO);
    let ended = place.once().expect_code(1);
    assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
    assert!(ended.stderr.contains("lineitem: parked: ") && ended.stderr.contains("bad.parquet"), "{}", ended.stderr);
    let before = place.manifest();
    assert_eq!((&before["applied"], segments(&before).len()), (&Value::Null, 0));

    // It did not change: it is not tried again.
    let ended = place.once().expect_code(1);
    assert_eq!(count(&ended, "started, attempt"), 0, "{}", ended.stdout);
    assert!(ended.stderr.contains("bad.parquet"), "{}", ended.stderr);

    // Unless somebody asks for it.
    let ended = lastword(&["run", text(&place.config()), "--once", "--refresh", "lineitem"]).expect_code(1);
    assert_eq!(count(&ended, "started, attempt"), 1, "{}", ended.stdout);

    place.write("bad.parquet", 1, 0);
    place.once().expect_code(0);
    assert_eq!((rows(&place.manifest()), place.count()), (1500, 1500));
}

#[test]
fn an_aged_corrupt_file_parks_at_its_first_attempt() {
    let place = Place::new("");
    place.spoil("bad.parquet", Duration::from_secs(60));
    let ended = place.once().expect_code(1);
    assert_eq!(count(&ended, "started, attempt"), 1, "{}", ended.stdout);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    assert_eq!(place.status()["condition"], "parked");
}

#[test]
fn cases_21_and_22_an_emptied_directory_is_held_until_a_person_confirms_it() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let built = place.manifest();
    fs::remove_file(place.lake().join("a.parquet")).unwrap();
    let ended = place.once().expect_code(1);
    assert!(ended.stderr.contains("lineitem: held: "), "{}", ended.stderr);
    assert_eq!(place.manifest(), built);
    place.once().expect_code(1);

    let held = place.status()["held"].as_str().unwrap().to_owned();
    let confirm = format!("confirm it with: lastword confirm {} lineitem {held}", text(&place.config()));
    assert!(ended.stderr.contains(&confirm), "{}", ended.stderr);
    let shown = lastword(&["status", text(&place.state())]).expect_code(0).stdout;
    let confirm = format!("confirm it with: lastword confirm {} lineitem {held}", text(&place.state()));
    assert!(shown.contains(&confirm), "{shown}");
    let wrong = lastword(&["run", text(&place.config()), "--once", "--confirm", &"0".repeat(64)]).expect_code(2);
    assert!(wrong.stderr.contains("nothing is held"), "{}", wrong.stderr);
    lastword(&["run", text(&place.config()), "--once", "--confirm", &held]).expect_code(0);
    let emptied = place.manifest();
    assert_eq!(segments(&emptied).len(), 0);
    assert_eq!(emptied["applied"].as_str(), Some(held.as_str()));
}

#[test]
fn case_20_a_missing_directory_is_not_an_empty_one() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let built = place.manifest();
    fs::rename(place.lake(), place.dir.path().join("gone")).unwrap();
    let ended = place.once().expect_code(1);
    assert!(
        ended.stderr.contains("lineitem: unobservable: ") && ended.stderr.contains("does not exist"),
        "{}",
        ended.stderr
    );
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    assert_eq!(place.manifest(), built);
    let status = place.status();
    assert_eq!((&status["condition"], &status["cause"]), (&"unobservable".into(), &"unobservable".into()));
    assert!(status["because"].as_str().unwrap().starts_with("its source cannot be observed: "), "{status}");
    assert!(status["unobservable"]["cause"].as_str().unwrap().contains("does not exist"), "{status}");
    fs::rename(place.dir.path().join("gone"), place.lake()).unwrap();
    place.once().expect_code(0);
}

#[test]
fn a_source_that_was_never_there_ends_too() {
    let place = Place::new("");
    fs::remove_dir(place.lake()).unwrap();
    let ended = place.once().expect_code(1);
    assert!(ended.stderr.contains("does not exist"), "{}", ended.stderr);
    assert_eq!(place.manifest()["applied"], Value::Null);
    assert_eq!(place.status()["condition"], "unobservable");
}

#[test]
fn a_source_that_is_touched_all_the_time_ends_too() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let touched = fs::File::options().write(true).open(place.lake().join("a.parquet")).unwrap();
    let (done, asked) = std::sync::mpsc::channel::<()>();
    let touching = std::thread::spawn(move || {
        while asked.recv_timeout(Duration::from_millis(100)).is_err_and(|why| why == RecvTimeoutError::Timeout) {
            touched.set_modified(SystemTime::now()).unwrap();
        }
    });
    let ended = place.once();
    drop(done);
    touching.join().unwrap();
    ended.expect_code(0);
    assert_eq!(rows(&place.manifest()), place.count());
}

#[test]
fn case_36_one_bad_collection_does_not_stop_the_others() {
    let place = Place::new("[collections.bad]\nsource = \"nowhere\"\nspec = { format = \"parquet\" }\n");
    place.write("a.parquet", 2, 0);
    let ended = place.once().expect_code(1);
    assert!(ended.stderr.contains("bad: unobservable"), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 of 2 collections are not fresh"), "{}", ended.stderr);
    assert_eq!(rows(&place.manifest()), 1000);
}

#[test]
fn case_24_odd_names_appear_as_documented() {
    let place = Place::new("");
    let names: [(&[u8], &str); 6] = [
        (b"a b.parquet", "a b.parquet"),
        (b"100%.parquet", "100%25.parquet"),
        (b"%41.parquet", "%2541.parquet"),
        (b"line\nfeed.parquet", "line\nfeed.parquet"),
        ("gr\u{fc}n.parquet".as_bytes(), "gr\u{fc}n.parquet"),
        (b"bad\xff.parquet", "bad%FF.parquet"),
    ];
    for (salt, (name, _)) in names.iter().enumerate() {
        place.write(OsStr::from_bytes(name), 1, salt as i64);
    }
    for hidden in [".hidden.parquet", "_temporary.parquet", "unfinished.tmp"] {
        fs::write(place.lake().join(hidden), "no data").unwrap();
    }
    place.once().expect_code(0);
    let mut expected: Vec<String> = names.iter().map(|(_, json)| (*json).to_owned()).collect();
    expected.sort();
    let manifest = place.manifest();
    assert_eq!((paths(&manifest), rows(&manifest)), (expected, 3000));
    // For people nothing drives the terminal.
    let shown = lastword(&["manifest", text(&place.state()), "lineitem"]).expect_code(0).stdout;
    assert!(shown.contains("line%0Afeed.parquet"), "{shown}");
}

#[test]
fn a_damaged_manifest_is_reported_and_a_rebuild_mends_it() {
    let place = Place::new("");
    place.write("a.parquet", 4, 0);
    place.once().expect_code(0);
    let before = ids(&place.manifest());
    let root = place.status()["manifest"].as_str().unwrap().to_owned();
    let object = place.state().join("objects").join(&root[..2]).join(&root);
    let rebuild = format!("lastword run {} --rebuild lineitem builds it anew", text(&place.config()));
    fs::write(&object, "something else").unwrap();
    for problem in ["is damaged: its bytes", "is missing"] {
        let ended = place.once().expect_code(1);
        let expected = format!("lineitem: its manifest is damaged: object {root} {problem}");
        assert!(ended.stderr.contains(&expected) && ended.stderr.contains(&rebuild), "{}", ended.stderr);
        let _ = fs::remove_file(&object);
    }
    let ended = lastword(&["run", text(&place.config()), "--once", "--rebuild", "lineitem"]).expect_code(0);
    assert_eq!(count(&ended, "started, attempt"), 1, "{}", ended.stdout);
    let manifest = place.manifest();
    assert_eq!((rows(&manifest), segments(&manifest).len()), (2000, 2));
    assert!(ids(&manifest).iter().all(|id| !before.contains(id)));
    place.once().expect_code(0);
    let ended = lastword(&["run", text(&place.config()), "--once", "--rebuild", "nation"]).expect_code(2);
    assert!(ended.stderr.contains("nation"), "{}", ended.stderr);

    // A change of the source mends it too: what cannot be read does not stand in the way.
    let root = place.status()["manifest"].as_str().unwrap().to_owned();
    fs::remove_file(place.state().join("objects").join(&root[..2]).join(&root)).unwrap();
    place.write("b.parquet", 2, 1);
    let ended = place.once().expect_code(0);
    assert!(ended.stderr.contains(&root) && ended.stderr.contains("lineitem"), "{}", ended.stderr);
    assert_eq!(rows(&place.manifest()), 3000);
}

#[test]
fn case_29_another_target_is_another_layout() {
    let place = Place::new("");
    place.write("a.parquet", 8, 0);
    place.once().expect_code(0);
    assert_eq!(segments(&place.manifest()).len(), 4);
    let text = fs::read_to_string(place.config()).unwrap().replace("target_rows = 1000", "target_rows = 2000");
    place.configure(&text);
    place.once().expect_code(0);
    let manifest = place.manifest();
    assert_eq!((segments(&manifest).len(), rows(&manifest)), (2, 4000));
}

#[test]
fn events_are_lines_of_json_on_demand() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    let ended = lastword(&["run", text(&place.config()), "--once", "--log", "json"]).expect_code(0);
    let events: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "writer_opened",
        "collection_declared",
        "source_observed",
        "task_created",
        "task_started",
        "task_completed",
        "attempt_ended",
    ];
    assert_eq!(types, expected);
    assert!(events.iter().zip(1..).all(|(event, seq)| event["v"] == 1 && event["seq"] == seq));
    let ended = lastword(&["run", text(&place.config()), "--once", "--quiet"]).expect_code(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

/// A file that is larger than what one look may read, and so young that its times say nothing: it has to rest.
#[test]
fn defect_02_a_source_that_takes_several_looks_is_waited_for() {
    let place = Place::new("");
    place.write("small.parquet", 1, 0);
    place.write("_whole", 2, 1);
    let whole = fs::read(place.lake().join("_whole")).unwrap();
    // The same, with a gibibyte of nothing behind its first bytes: only its footer is read.
    let draft = File::create(place.lake().join("_large")).unwrap();
    draft.write_all_at(&whole[..4], 0).unwrap();
    draft.write_all_at(&whole, 1 << 30).unwrap();
    fs::rename(place.lake().join("_large"), place.lake().join("large.parquet")).unwrap();
    let ended = place.once().expect_code(0);
    assert_eq!(count(&ended, "cannot be observed"), 1, "it was not finished at first: {}", ended.stdout);
    assert_eq!(rows(&place.manifest()), 1500);
}

/// As long as it is written it never rests, and no look comes further than the one before.
#[test]
fn defect_02_a_large_file_that_is_written_all_the_time_is_given_up() {
    let place = Place::new("");
    let large = File::create(place.lake().join("large.parquet")).unwrap();
    large.set_len(1 << 30).unwrap();
    large.write_all_at(b"PAR1", 0).unwrap();
    large.write_all_at(b"PAR1", (1 << 30) - 4).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                large.write_all_at(b"PAR1", 0).unwrap();
                // Often enough that it stays racy, and seldom enough that it is hardly ever written between a listing and a read.
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let ended = place.once();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        ended
    });
    let ended = ended.expect_code(1);
    assert!(ended.stderr.contains("large.parquet is not read yet"), "{}", ended.stderr);
}
