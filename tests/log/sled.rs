//! The log on disk: round trips, crashes, damage, and what it leaves in its directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use lastword::core::vocabulary::Seq;
use lastword::log::{Durability, Frame, FrameError, IfAbsent, Log, LogError, OpenError, PrivateCopy, SledLog};
use test_support::log_writer::*;

#[test]
fn what_was_committed_is_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut writer = Writer::open(&state);
    // Around the length of one part, and several megabytes in many parts.
    let sizes = [0, 1, 3_440, 3_447, 3_448, 3_449, 3_584, 7_032, 7_033, 60_000, 200_000, 900_000];
    for size in sizes {
        writer.commit(&[size]);
    }
    writer.commit(&[1_000_000; 5]);
    writer.commit(&[0; 4_096]);
    let written = writer.frames();
    assert_eq!(written.len(), sizes.len() + 2);
    writer.close();

    let log = SledLog::open(&state, IfAbsent::Refuse, Durability::Power).unwrap();
    assert!(log.was_clean());
    assert_eq!(read_all(log.reader().as_ref()).unwrap(), written);
}

#[test]
fn reading_from_the_middle_begins_with_the_frame_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(&dir.path().join("state"));
    for _ in 0..10 {
        writer.commit(&[10, 5_000, 20]);
    }
    let reader = writer.log.reader();
    let firsts =
        |from: u64| -> Vec<u64> { reader.frames(Seq(from)).map(|frame| frame.unwrap().as_frame().first().0).collect() };
    assert_eq!(firsts(0), (0..10).map(|n| n * 3 + 1).collect::<Vec<_>>());
    assert_eq!(firsts(1), firsts(0));
    assert_eq!(firsts(3), firsts(0));
    assert_eq!(firsts(4), firsts(0)[1..]);
    assert_eq!(firsts(30), [28]);
    assert!(firsts(31).is_empty());
    assert!(firsts(u64::MAX).is_empty());
}

#[test]
fn a_second_writer_is_told_that_the_log_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path());
    let error = SledLog::open(dir.path(), IfAbsent::Create, Durability::Power).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error}");
    drop(writer);
    SledLog::open(dir.path(), IfAbsent::Refuse, Durability::Power).unwrap();
}

#[test]
fn defect_37_a_log_that_this_process_has_open_itself_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    writer.commit(&[1]);
    // What a watch holds: the writer has ended, and the log is still open.
    let reader = writer.log.reader();
    writer.close();
    let error = SledLog::open(dir.path(), IfAbsent::Refuse, Durability::Power).unwrap_err();
    let OpenError::Busy { holder, .. } = &error else { panic!("{error}") };
    match holder {
        Some(pid) => {
            assert_eq!(*pid, std::process::id());
            assert!(error.to_string().contains("this process has the log open already"), "{error}");
        }
        None => eprintln!("who holds a lock cannot be seen here"),
    }
    drop(reader);
}

#[test]
fn what_is_appended_without_a_barrier_is_read_at_once_and_not_yet_durable() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    let reader = writer.log.reader();
    writer.append(&[10_000]).unwrap();
    assert_eq!(read_all(reader.as_ref()).unwrap().len(), 1);
    assert_eq!((writer.log.appended().seq, writer.log.durable().seq), (Seq(1), Seq(0)));
    writer.log.barrier().unwrap();
    assert_eq!(writer.log.durable(), writer.log.appended());
}

#[test]
fn readers_on_other_threads_never_see_half_a_frame() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = writer.log.reader();
            let done = &done;
            scope.spawn(move || {
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    let found = read_all(reader.as_ref()).unwrap().len();
                    assert!(found >= last);
                    last = found;
                }
            });
        }
        for _ in 0..60 {
            writer.commit(&[100, 40_000]);
        }
        done.store(true, std::sync::atomic::Ordering::Release);
    });
    assert_eq!(writer.frames().len(), 60);
}

#[test]
fn a_reader_outlives_its_writer_and_the_lock_goes_with_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    writer.commit(&[1, 2, 3]);
    let reader = writer.log.reader().another();
    writer.close();
    assert_eq!(read_all(reader.as_ref()).unwrap().len(), 1);
    let error = SledLog::open(dir.path(), IfAbsent::Refuse, Durability::Power).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error}");
    drop(reader);
    assert!(SledLog::open(dir.path(), IfAbsent::Refuse, Durability::Power).unwrap().was_clean());
}

#[test]
fn a_frame_that_does_not_continue_is_refused_and_nothing_is_poisoned() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    writer.commit(&[1]);
    let again = writer.frames().remove(0);
    let error = writer.log.append(&frame(&again)).unwrap_err();
    assert!(matches!(error, LogError::Refused(FrameError::Gap { .. })), "{error}");
    writer.commit(&[1]);
    assert_eq!(writer.frames().len(), 2);
}

#[test]
fn head_follows_within_a_second_and_exactly_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    let anchored = |writer: &Writer| writer.log.anchor().position.seq.0;
    writer.commit(&[1]);
    writer.log.tick(Duration::from_millis(10)).unwrap();
    assert_eq!(anchored(&writer), 1, "the first tick counts");
    writer.commit(&[1]);
    writer.log.tick(Duration::from_millis(900)).unwrap();
    assert_eq!(anchored(&writer), 1);
    writer.append(&[1]).unwrap();
    writer.log.tick(Duration::from_millis(1_010)).unwrap();
    assert_eq!(anchored(&writer), 2, "never past what is durable");
    assert!(!writer.log.anchor().clean);
    writer.log.barrier().unwrap();
    let end = writer.log.durable();
    writer.close();
    let copy = PrivateCopy::of(dir.path()).unwrap();
    assert!(copy.anchor().clean && copy.anchor().position == end && copy.end() == end);
}

#[test]
fn process_durability_is_synced_and_anchored_by_the_tick() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open_with(dir.path(), Durability::Process);
    for second in 1..4 {
        writer.commit(&[1]);
        assert_eq!(writer.log.durable().seq, Seq(second));
        writer.log.tick(Duration::from_secs(second)).unwrap();
        assert_eq!(writer.log.anchor().position, writer.log.durable());
    }
    writer.close();
    assert_eq!(Writer::open(dir.path()).frames().len(), 3);
}

#[test]
fn opening_shows_every_frame_in_passing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    (0..5).for_each(|n| writer.commit(&[n, 4_000 * n]));
    let written = writer.frames();
    writer.close();
    let mut seen = Vec::new();
    let mut see = |frame: &Frame<'_>| seen.push(frame.bytes().to_vec());
    SledLog::open_visiting(dir.path(), IfAbsent::Refuse, Durability::Power, &mut see).unwrap();
    assert_eq!(seen, written);
}

#[test]
fn everything_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("not/yet/there");
    let mut writer = Writer::open(&state);
    writer.commit(&[1]);
    writer.close();
    drop(Writer::open(&state));
    let mut open = vec![dir.path().join("not")];
    while let Some(path) = open.pop() {
        let metadata = fs::metadata(&path).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(fs::metadata(state.join("ballast")).unwrap().len(), 1 << 20);
}

#[test]
fn links_in_place_of_its_own_files_are_refused() {
    for name in ["LOCK", "HEAD", "ballast", "sled", "objects", "sled/db", "sled/conf", "sled/blobs"] {
        let dir = tempfile::tempdir().unwrap();
        let (state, elsewhere) = (dir.path().join("state"), dir.path().join("elsewhere"));
        let mut writer = Writer::open(&state);
        writer.commit(&[1]);
        writer.close();
        fs::rename(state.join(name), &elsewhere).unwrap();
        symlink(&elsewhere, state.join(name)).unwrap();
        let error = SledLog::open(&state, IfAbsent::Create, Durability::Power).unwrap_err();
        assert!(matches!(error, OpenError::WrongKind { .. }), "{name}: {error}");
        let error = PrivateCopy::of(&state).err().unwrap();
        assert!(matches!(error, OpenError::WrongKind { .. }), "{name}: {error}");

        // Reaching the whole directory through a link is the user's own business.
        fs::remove_file(state.join(name)).unwrap();
        fs::rename(&elsewhere, state.join(name)).unwrap();
        symlink(&state, &elsewhere).unwrap();
        assert_eq!(Writer::open(&elsewhere).frames().len(), 1, "{name}");
    }
}

#[test]
fn what_is_not_a_log_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path, if_absent| SledLog::open(path, if_absent, Durability::Power).unwrap_err();
    let absent = dir.path().join("absent");
    assert!(matches!(open(&absent, IfAbsent::Refuse), OpenError::Absent { .. }));
    assert!(matches!(open(dir.path(), IfAbsent::Refuse), OpenError::Absent { .. }));
    assert!(matches!(PrivateCopy::of(&absent), Err(OpenError::Absent { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was created");

    fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
    assert!(matches!(open(dir.path(), IfAbsent::Create), OpenError::NotALog { .. }));
    assert!(matches!(PrivateCopy::of(dir.path()), Err(OpenError::NotALog { .. })));
    assert!(matches!(open(&dir.path().join("thesis.txt"), IfAbsent::Create), OpenError::NotALog { .. }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_snapshot_that_sled_did_not_finish_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path());
    writer.commit(&[1]);
    writer.close();
    fs::write(dir.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating"), "half").unwrap();
    assert_eq!(read_all(PrivateCopy::of(dir.path()).unwrap().reader().as_ref()).unwrap().len(), 1);
    assert_eq!(Writer::open(dir.path()).frames().len(), 1);
}
