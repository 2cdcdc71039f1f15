//! A damaged log shows what is left of it, and goes on from there if a person says so. Nothing is destroyed.

use std::fs;
use std::path::{Path, PathBuf};

use lastword::core::vocabulary::{Event, Seq};
use lastword::engine::{Reconciler, StartError};
use lastword::log::{LossAccepted, OpenError, PrivateCopy, Salvage, SledLog};
use lastword::replay;
use test_support::history::{LONG, builder, copy_tree, declare, settle};
use test_support::log_writer::read_all;

/// A log of some hundred frames, closed in order, and all of its frames.
fn written(home: &Path, rounds: u64) -> (PathBuf, Vec<Vec<u8>>) {
    let state = home.join("state");
    let reconciler = builder(&state).snapshot_every(0).start().unwrap();
    declare(&reconciler.handle(), 0..rounds);
    settle(&reconciler.handle());
    reconciler.shutdown(LONG).unwrap();
    let frames = read_all(&*PrivateCopy::of(&state).unwrap().reader()).unwrap();
    (state, frames)
}

type Damage = (&'static str, fn(&Path));

fn flip(path: &Path, at: f64) {
    let mut bytes = fs::read(path).unwrap();
    // Where something was written: sled's file ends with room that nothing is in yet.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let at = (used as f64 * at) as usize;
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

const DAMAGES: [Damage; 7] = [
    ("a bit near the end", |state| flip(&state.join("sled/db"), 0.97)),
    ("a bit in the middle", |state| flip(&state.join("sled/db"), 0.5)),
    ("a bit near the beginning", |state| flip(&state.join("sled/db"), 0.1)),
    ("cut in half", |state| {
        let file = fs::File::options().write(true).open(state.join("sled/db")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }),
    ("HEAD is gone", |state| fs::remove_file(state.join("HEAD")).unwrap()),
    ("HEAD is zeros", |state| fs::write(state.join("HEAD"), [0; 8192]).unwrap()),
    ("HEAD and snapshots of sled", |state| {
        fs::remove_file(state.join("HEAD")).unwrap();
        for entry in fs::read_dir(state.join("sled")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
                fs::remove_file(path).unwrap();
            }
        }
    }),
];

#[test]
fn defect_43_what_is_left_of_a_damaged_log_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    let (whole, frames) = written(home.path(), 600);
    assert!(Salvage::of(&whole).unwrap().damage.is_none());
    let mut left = Vec::new();
    for (what, damage) in DAMAGES {
        let state = home.path().join(what);
        copy_tree(&whole, &state);
        damage(&state);
        assert!(PrivateCopy::of(&state).is_err(), "{what} is not noticed");
        let before = bytes(&state);
        let salvage = Salvage::of(&state).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(salvage.damage.is_some(), "{what}");
        let found = read_all(&*salvage.copy.reader()).unwrap();
        assert!(frames.starts_with(&found), "{what}: not a beginning of the log");
        assert!(before == bytes(&state), "{what}: the log was changed");
        left.push((what, found.len(), frames.len()));
    }
    println!("{left:?}");
    assert!(left.iter().filter(|(_, found, all)| found * 3 >= *all).count() >= 4, "next to nothing is left: {left:?}");
}

#[test]
fn defect_43_an_older_sled_beside_a_newer_head_shows_what_it_has() {
    let home = tempfile::tempdir().unwrap();
    let (state, frames) = written(home.path(), 50);
    copy_tree(&state.join("sled"), &home.path().join("older"));
    let reconciler = builder(&state).start().unwrap();
    declare(&reconciler.handle(), 50..90);
    reconciler.shutdown(LONG).unwrap();
    fs::remove_dir_all(state.join("sled")).unwrap();
    copy_tree(&home.path().join("older"), &state.join("sled"));
    let salvage = Salvage::of(&state).unwrap();
    assert!(salvage.damage.as_ref().is_some_and(OpenError::is_shorter_than_anchor), "{:?}", salvage.damage);
    assert_eq!(read_all(&*salvage.copy.reader()).unwrap(), frames);
}

#[test]
fn defect_43_a_loss_is_accepted_only_where_it_is_and_is_logged() {
    for (what, damage) in DAMAGES {
        let home = tempfile::tempdir().unwrap();
        let (state, frames) = written(home.path(), 300);
        damage(&state);
        let last = Salvage::of(&state).unwrap().last();
        let before = bytes(&state);
        assert!(builder(&state).start().is_err(), "{what}");
        for other in [Seq(last.0.wrapping_sub(1)), Seq(last.0 + 1)] {
            let refused = builder(&state).accept_loss(other).start();
            assert!(
                matches!(&refused, Err(StartError::Setting(error)) if error.field == "accept_loss"),
                "{what}: {other}: {refused:?}"
            );
        }
        let reconciler = builder(&state).accept_loss(last).start().unwrap_or_else(|error| panic!("{what}: {error}"));
        declare(&reconciler.handle(), 1_000..1_010);
        settle(&reconciler.handle());
        reconciler.shutdown(LONG).unwrap();

        let copy = PrivateCopy::of(&state).unwrap_or_else(|error| panic!("{what}: {error}"));
        let reader = copy.reader();
        assert!(replay::verify(&*reader, None).is_ok(), "{what}");
        let accepted: Vec<Seq> = replay::events(&*reader, Seq::ZERO)
            .map(Result::unwrap)
            .filter_map(|recorded| match recorded.event {
                Event::DataLossAccepted { last, .. } => Some(last),
                _ => None,
            })
            .collect();
        assert_eq!(accepted, [last], "{what}");
        let kept: Vec<Vec<u8>> = read_all(&*reader).unwrap();
        let same = kept.iter().zip(&frames).take_while(|(kept, frame)| kept == frame).count();
        assert!(frames.len() == same || lastword::log::Frame::parse(&frames[same]).unwrap().first() > last, "{what}");
        // Nothing is destroyed.
        let damaged = bytes(&state.join("damaged-1"));
        for (path, content) in before.iter().filter(|(path, _)| path.starts_with("sled/db")) {
            assert!(damaged.iter().any(|(kept, found)| kept == path && found == content), "{what}: {}", path.display());
        }
        // A log that is whole has no loss.
        assert!(matches!(builder(&state).accept_loss(copy.end().seq).start(), Err(StartError::Setting(_))), "{what}");
        Reconciler::open(&state).start().unwrap().shutdown(LONG).unwrap();
    }
}

#[test]
fn defect_43_a_loss_that_was_accepted_before_a_crash_is_logged_when_it_is_asked_for_again() {
    let home = tempfile::tempdir().unwrap();
    let (state, _) = written(home.path(), 300);
    flip(&state.join("sled/db"), 0.5);
    let last = Salvage::of(&state).unwrap().last();
    for _ in 0..2 {
        let accepted = SledLog::accept_loss(&state, last).unwrap();
        assert!(matches!(accepted, LossAccepted::Done(_)), "the process ends here: {accepted:?}");
    }
    builder(&state).accept_loss(last).start().unwrap().shutdown(LONG).unwrap();
    let copy = PrivateCopy::of(&state).unwrap();
    let events = replay::events(&*copy.reader(), Seq::ZERO).map(|recorded| recorded.unwrap().event).collect::<Vec<_>>();
    let logged = events.iter().filter(|event| matches!(event, Event::DataLossAccepted { .. })).count();
    assert_eq!((logged, state.join("damaged-2").exists()), (1, false));
}

/// What sled had written and never made durable stays in its file, beside what a later writer put in its place.
#[test]
fn defect_43_of_two_frames_that_go_on_from_the_same_one_that_of_the_later_writer_is_left() {
    let home = tempfile::tempdir().unwrap();
    let (state, _) = written(home.path(), 20);
    let other = home.path().join("other");
    copy_tree(&state, &other);
    // One dies with what it wrote; the next one never sees that.
    for (path, rounds) in [(&other, 100..108), (&state, 200..204)] {
        let reconciler = builder(path).snapshot_every(0).start().unwrap();
        declare(&reconciler.handle(), rounds);
        reconciler.shutdown(LONG).unwrap();
    }
    let frames = read_all(&*PrivateCopy::of(&state).unwrap().reader()).unwrap();
    let [dead, live] = [&other, &state].map(|path| fs::read(path.join("sled/db")).unwrap());
    for (what, parts, has_head) in [
        ("the dead one first", [&dead, &live], true),
        ("the dead one last", [&live, &dead], true),
        ("the dead one first, without HEAD", [&dead, &live], false),
        ("the dead one last, without HEAD", [&live, &dead], false),
    ] {
        let damaged = home.path().join(what);
        copy_tree(&state, &damaged);
        // Where sled does not look for it.
        let bytes: Vec<u8> = std::iter::repeat_n(&0xFF, 1_000).chain(parts[0]).chain(parts[1]).copied().collect();
        fs::write(damaged.join("sled/db"), bytes).unwrap();
        if !has_head {
            fs::remove_file(damaged.join("HEAD")).unwrap();
        }
        let salvage = Salvage::of(&damaged).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(read_all(&*salvage.copy.reader()).unwrap() == frames, "{what}: it ends at {}", salvage.last());
    }
}

/// An older log put in the place of a newer one is what `HEAD` says, whoever wrote later.
#[test]
fn defect_43_of_two_frames_that_go_on_from_the_same_one_that_which_head_names_is_left() {
    let home = tempfile::tempdir().unwrap();
    let (state, _) = written(home.path(), 20);
    let other = home.path().join("other");
    copy_tree(&state, &other);
    for (path, rounds) in [(&state, 200..204), (&other, 100..108)] {
        let reconciler = builder(path).snapshot_every(0).start().unwrap();
        declare(&reconciler.handle(), rounds);
        reconciler.shutdown(LONG).unwrap();
    }
    let frames = read_all(&*PrivateCopy::of(&state).unwrap().reader()).unwrap();
    let [later, live] = [&other, &state].map(|path| fs::read(path.join("sled/db")).unwrap());
    let bytes: Vec<u8> = std::iter::repeat_n(&0xFF, 1_000).chain(&later).chain(&live).copied().collect();
    fs::write(state.join("sled/db"), bytes).unwrap();
    let salvage = Salvage::of(&state).unwrap();
    assert!(read_all(&*salvage.copy.reader()).unwrap() == frames, "it ends at {}", salvage.last());
}

/// Every file below a directory, with its path in it, but for what every opening makes anew.
fn bytes(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut pending) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
