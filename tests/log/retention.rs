//! Logs whose past is let go: a state stands for it, and everything that reads copes.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lastword::clock::ManualClock;
use lastword::core::vocabulary::*;
use lastword::engine::{CompactError, Handle, Reconciler, Retention, WatchError, WatchItem};
use lastword::evlog::{self, EvlogError, EvlogFile};
use lastword::log::{Keep, Log, LogError, MemoryDisk, PrivateCopy};
use lastword::objects::{FileObjects, MemoryObjects, Objects, tree};
use lastword::replay::{self, ReplayError, Until, checkpoint_of};
use lastword::snapshot::Snapshots;
use test_support::history::*;

const NOTHING: Retention = Retention { events: Some(0), age: None };

fn keep(events: u64) -> Retention {
    Retention { events: Some(events), age: None }
}

fn forgotten<T>(result: Result<T, ReplayError>) -> Seq {
    match result.err() {
        Some(ReplayError::Log(LogError::PrefixGone { begins })) => begins,
        other => panic!("{other:?}"),
    }
}

/// A log that was compacted once in the middle and goes on; the live digest at its end.
fn compacted(path: &Path) -> (Seq, (Seq, [u8; 32])) {
    let reconciler = builder(path).start().unwrap();
    let handle = reconciler.handle();
    declare(&handle, 0..40);
    handle.pause(Name::new("c3").unwrap()).unwrap();
    let begins = handle.compact(keep(30)).unwrap();
    declare(&handle, 40..50);
    settle_but(&handle, "c3");
    let live = handle.digest().unwrap();
    assert_eq!(handle.stats().unwrap().begins, begins);
    assert_eq!(handle.stats().unwrap().counters.compactions, 1);
    reconciler.shutdown(LONG).unwrap();
    (begins, live)
}

fn settle_but(handle: &Handle, paused: &str) {
    for status in handle.list().unwrap() {
        if status.view.name.as_str() != paused {
            handle.wait_applied(status.view.name.clone(), status.view.generation, LONG).unwrap();
        }
    }
}

/// The snapshotter waits for its parts to be taken, and what would take them may be in a report that is heard no more.
#[test]
fn defect_25_a_shutdown_while_a_checkpoint_is_begun_comes_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(4_000);
    for round in 0..12_u64 {
        let reconciler = builder(dir.path()).any_kind().start().unwrap();
        let declared = |n: u64| {
            let spec = Spec::parse(&format!(r#"{{"round":{round},"text":"{long}"}}"#)).unwrap();
            Command::Declare(Box::new(declaration(&format!("c{n}"), 0).kind(Kind::new("nobody").unwrap()).spec(spec)))
        };
        reconciler.handle().batch((0..600).map(declared).collect()).unwrap();
        // Two megabytes are more parts than wait to be taken.
        let asked = reconciler.handle().request().compact(NOTHING);
        std::thread::sleep(Duration::from_millis(round * 7));
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || ended.send(reconciler.shutdown(LONG)));
        end.recv_timeout(LONG).expect("the shutdown ends").unwrap();
        drop(asked);
    }
}

#[test]
fn a_compacted_log_adds_up_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (begins, live) = compacted(dir.path());
    assert!(begins > Seq(50), "{begins}");
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let reader = copy.reader();
    let state = replay::state_at(&*reader, Until::End).unwrap();
    assert_eq!((state.last(), state.digest()), live);
    assert_eq!(replay::events(&*reader, Seq::ZERO).next().unwrap().unwrap().seq, begins);
    let verified = replay::verify(&*reader, None).unwrap();
    assert_eq!((verified.digest, verified.start.first()), (live.1, begins));
    assert_eq!(verified.events, live.0.0 - verified.start.seq.0);

    // And once more, from the base of the first time.
    let reconciler = builder(dir.path()).start().unwrap();
    let handle = reconciler.handle();
    let again = handle.compact(NOTHING).unwrap();
    assert!(again > begins);
    declare(&handle, 60..70);
    settle_but(&handle, "c3");
    let live = handle.digest().unwrap();
    reconciler.shutdown(LONG).unwrap();
    let state = replayed(dir.path());
    assert_eq!((state.last(), state.digest()), live);
}

#[test]
fn the_past_before_the_base_is_a_typed_error_that_says_where_history_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (begins, _) = compacted(dir.path());
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let reader = copy.reader();
    let (last, start) = (copy.end().seq, reader.start());
    assert_eq!(forgotten(replay::state_at(&*reader, Until::Seq(Seq(start.seq.0 - 1)))), begins);
    assert_eq!(forgotten(replay::state_at(&*reader, Until::Time(Timestamp(1)))), begins);
    assert_eq!(forgotten(replay::events(&*reader, Seq(1)).next().unwrap()), begins);
    // The base itself is the state right before the first event.
    let at_base = replay::state_at(&*reader, Until::Seq(start.seq)).unwrap();
    assert_eq!(at_base.last(), start.seq);
    assert_eq!(at_base, replay::begin(&*reader).unwrap());
    for seq in start.first().0..=last.0 {
        assert_eq!(replay::state_at(&*reader, Until::Seq(Seq(seq))).unwrap().last(), Seq(seq));
    }
    // A collection that was declared before: what is left of its history.
    let id = at_base.collections().next().unwrap().0;
    assert!(id.0 < begins);
    let history: Vec<_> = replay::history(&*reader, id).map(Result::unwrap).collect();
    assert!(!history.is_empty() && history.iter().all(|event| event.event.collection(event.seq) == Some(id)));
}

#[test]
fn whoever_watches_from_before_is_told_and_the_rest_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (begins, (last, _)) = compacted(dir.path());
    let reconciler = builder(dir.path()).start().unwrap();
    let mut watch = reconciler.handle().watch(Seq(1));
    assert!(matches!(watch.next_within(LONG), Ok(WatchItem::Lagged { .. })));
    match watch.next_within(LONG) {
        Err(WatchError::Replay(error)) => assert_eq!(forgotten::<()>(Err(error)), begins),
        other => panic!("{other:?}"),
    }
    let mut watch = reconciler.handle().watch(begins);
    assert!(matches!(watch.next_within(LONG), Ok(WatchItem::Lagged { .. })));
    for seq in begins.0..=last.0 {
        assert!(matches!(watch.next_within(LONG), Ok(WatchItem::Event(event)) if event.seq == Seq(seq)));
    }
}

#[test]
fn a_compacted_log_is_exported_and_imported_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (state, file, target) = (dir.path().join("state"), dir.path().join("log.evlog"), dir.path().join("target"));
    let (begins, live) = compacted(&state);
    let copy = PrivateCopy::of(&state).unwrap();
    let objects = FileObjects::open_read_only(copy.objects()).unwrap();
    let mut stream = Vec::new();
    let totals = evlog::write(&*copy.reader(), &objects, &mut stream).unwrap();
    assert_eq!((totals.start, totals.events()), (copy.reader().start(), live.0.0 + 1 - begins.0));
    fs::write(&file, &stream).unwrap();

    let read = EvlogFile::open(&file).unwrap();
    assert_eq!(read.totals(), totals);
    let replayed = replay::state_at(&read, Until::End).unwrap();
    assert_eq!((replayed.last(), replayed.digest()), live);
    assert_eq!(replay::verify(&read, None).unwrap().digest, live.1);
    assert_eq!(forgotten(replay::events(&read, Seq(3)).next().unwrap()), begins);

    assert_eq!(evlog::import(&mut stream.as_slice(), &target).unwrap(), totals);
    let imported = PrivateCopy::of(&target).unwrap();
    assert_eq!((imported.reader().start(), imported.end()), (totals.start, copy.end()));
    let mut again = Vec::new();
    let imported_objects = FileObjects::open_read_only(imported.objects()).unwrap();
    evlog::write(&*imported.reader(), &imported_objects, &mut again).unwrap();
    assert!(again == stream, "one log has one stream");
    // It goes on like any other.
    let reconciler = builder(&target).start().unwrap();
    declare(&reconciler.handle(), 50..60);
    reconciler.handle().compact(NOTHING).unwrap();
    reconciler.shutdown(LONG).unwrap();
    PrivateCopy::of(&target).unwrap();
}

/// The stream of a log that begins later, without the frames that hold its base.
#[test]
fn a_stream_without_its_base_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _) = compacted(dir.path());
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let base = checkpoint_of(&*copy.reader()).unwrap().unwrap();
    let mut stream = b"LWEV\x01\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let crc = crc32c::crc32c(&stream);
    stream.extend_from_slice(&crc.to_le_bytes());
    let (mut frames, mut head, mut last) = (0_u64, [0; 32], 0);
    for frame in copy.reader().frames(Seq::ZERO) {
        let frame = frame.unwrap();
        let frame = frame.as_frame();
        if frame.last() >= base.start.checkpoint {
            break;
        }
        (head, last, frames) = (frame.hash().0, frame.last().0, frames + 1);
        stream.extend_from_slice(b"FRM ");
        stream.extend_from_slice(&u32::try_from(frame.bytes().len()).unwrap().to_le_bytes());
        stream.extend_from_slice(frame.bytes());
    }
    stream.extend_from_slice(b"END \x38\x00\x00\x00");
    for count in [frames, last - base.start.seq.0, 0] {
        stream.extend_from_slice(&count.to_le_bytes());
    }
    stream.extend_from_slice(&head);
    let error = evlog::Reader::new(stream.as_slice()).unwrap().find_map(Result::err).unwrap();
    assert!(matches!(error, EvlogError::NoCheckpoint { seq } if seq == base.start.seq), "{error}");
}

#[test]
fn snapshots_before_the_base_go_and_later_ones_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).snapshot_every(40).start().unwrap();
    let handle = reconciler.handle();
    declare(&handle, 0..40);
    until("a snapshot", || handle.stats().unwrap().counters.snapshots > 0);
    settle(&handle);
    let begins = handle.compact(NOTHING).unwrap();
    let snapshots = Snapshots::of_log(dir.path());
    assert!(snapshots.list().unwrap().iter().all(|seq| *seq >= begins));
    declare(&handle, 40..80);
    settle(&handle);
    reconciler.shutdown(LONG).unwrap();
    let opened = open_with_snapshots(dir.path());
    assert!(opened.resumed > begins && opened.frames_read <= 3, "{} {}", opened.resumed, opened.frames_read);
    assert_eq!(opened.state, replayed(dir.path()));

    // Without them the base is where it begins; one from before the base is of no use.
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let opened = open_with_snapshots(dir.path());
    assert_eq!((opened.resumed, opened.state), (Seq(0), replayed(dir.path())));
}

#[test]
fn the_retention_is_kept_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).snapshot_every(500).retain(keep(300)).start().unwrap();
    let handle = reconciler.handle();
    let mut n = 0;
    until("a second compaction", || {
        declare(&handle, n..n + 50);
        n += 50;
        handle.stats().unwrap().counters.compactions >= 2
    });
    settle(&handle);
    let stats = handle.stats().unwrap();
    let live = handle.digest().unwrap();
    reconciler.shutdown(LONG).unwrap();
    assert!(stats.begins > Seq(1000), "{stats:?}");
    let copy = PrivateCopy::of(dir.path()).unwrap();
    assert!(live.0.0 - copy.reader().start().seq.0 >= 300, "what is to be kept is kept");
    assert_eq!(replayed(dir.path()).digest(), live.1);
    assert_eq!(open_with_snapshots(dir.path()).state.digest(), live.1);
}

/// On a log in memory, under a clock that moves by hand: nothing goes before it is old enough.
#[test]
fn what_is_young_enough_is_kept() {
    let (disk, clock) = (MemoryDisk::new(), ManualClock::at(Timestamp(1_800_000_000_000_000)));
    let retention = Retention { events: None, age: Some(Duration::from_secs(3600)) };
    let log = disk.open();
    let reader = log.reader();
    let reconciler = Reconciler::on(Box::new(log), Arc::new(MemoryObjects::new()))
        .kind(Kind::new("echo").unwrap(), Echo)
        .clock(clock.clone())
        .retain(retention)
        .start()
        .unwrap();
    let handle = reconciler.handle();
    declare(&handle, 0..400);
    settle(&handle);
    let old = handle.stats().unwrap().durable;
    assert!(old > Seq(1000));
    clock.advance(Duration::from_secs(3000));
    declare(&handle, 400..500);
    settle(&handle);
    assert_eq!(handle.stats().unwrap().counters.compactions, 0);
    clock.advance(Duration::from_secs(1600));
    // It is noticed with the next commit.
    until("the compaction", || {
        declare(&handle, 500..501);
        handle.stats().unwrap().counters.compactions == 1
    });
    assert_eq!(reader.start().seq, old, "the hour before is kept, and not a frame more");
    let live = handle.digest().unwrap();
    assert_eq!(replay::state_at(&*reader, Until::Seq(live.0)).unwrap().digest(), live.1);
    disk.crash(Keep::None);
    drop(reconciler);
    let again = disk.open();
    assert_eq!(replay::verify(&*again.reader(), None).unwrap().digest, live.1);
}

#[test]
fn nothing_to_let_go_is_no_error_and_a_closed_reconciler_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).start().unwrap();
    let handle = reconciler.handle();
    declare(&handle, 0..3);
    assert_eq!(handle.compact(keep(1_000_000)), Ok(Seq(1)));
    assert_eq!(handle.compact(Retention::default()), Ok(Seq(1)), "who asks for neither keeps all");
    assert_eq!(handle.compact(Retention { events: None, age: Some(Duration::from_secs(86_400)) }), Ok(Seq(1)));
    reconciler.shutdown(LONG).unwrap();
    assert_eq!(handle.compact(NOTHING), Err(CompactError::Closed));
}

#[test]
fn several_that_ask_at_once_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).start().unwrap();
    let handle = reconciler.handle();
    declare(&handle, 0..30);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|n| {
                scope.spawn({
                    let handle = &handle;
                    move || handle.compact(keep(n)).unwrap()
                })
            })
            .collect();
        declare(&handle, 30..60);
        let begins: Vec<_> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        assert!(begins.iter().all(|begins| *begins > Seq(10)), "{begins:?}");
    });
    reconciler.shutdown(LONG).unwrap();
    replayed(dir.path());
}

/// Objects that only deleted events named go with the next sweep; what the state names stays.
#[test]
fn objects_are_named_by_the_base() {
    let dir = tempfile::tempdir().unwrap();
    builder(dir.path()).start().unwrap().shutdown(LONG).unwrap();
    let objects = FileObjects::open(dir.path().join("objects")).unwrap();
    let orphan = objects.put(&[b"named by nobody".to_vec()]).unwrap()[0];
    // As after a crash.
    let _ = std::fs::remove_file(dir.path().join("objects/swept"));
    let reconciler = builder(dir.path()).start().unwrap();
    // Once it is gone, the sweep of this process has looked, and what is stored now is safe from it.
    until("the first sweep", || objects.get(orphan).is_err());
    let handle = reconciler.handle();
    let name = Name::new("files").unwrap();
    let mut declaration = declaration("files", 0);
    declaration.versioned = Some(true);
    handle.declare(declaration).unwrap();
    let sets: Vec<ObjectHash> = (0..3u8)
        .map(|n| {
            let entries = (0..200u32).map(|file| (format!("{n}-{file:05}").into_bytes(), vec![n; 41]));
            tree::build(&objects, entries).unwrap().hash
        })
        .collect();
    for (n, root) in sets.iter().enumerate() {
        let version = Version::new(&[u8::try_from(n).unwrap()]).unwrap();
        let set = Some(PathSetRef { root: *root, files: 200, bytes: 1 });
        handle.observe(name.clone(), SourceState { version, set }).unwrap();
    }
    until("the last one is applied", || {
        handle.status(name.clone()).unwrap().is_some_and(|status| status.view.condition.name() == "fresh")
    });
    handle.compact(NOTHING).unwrap();
    reconciler.shutdown(LONG).unwrap();

    let reconciler = builder(dir.path()).start().unwrap();
    until("the sweep", || objects.get(sets[0]).is_err() && objects.get(sets[1]).is_err());
    reconciler.shutdown(LONG).unwrap();
    assert_eq!(tree::verify(&objects, sets[2]).unwrap().entries, 200);
    let copy = PrivateCopy::of(dir.path()).unwrap();
    assert!(replay::verify(&*copy.reader(), Some(&objects)).unwrap().objects > 0);
    // They come with the base in a stream.
    let mut stream = Vec::new();
    let totals = evlog::write(&*copy.reader(), &objects, &mut stream).unwrap();
    assert!(totals.objects > 0);
    evlog::import(&mut stream.as_slice(), dir.path().join("again")).unwrap();
    let without: Box<dyn Objects> = Box::new(MemoryObjects::new());
    assert!(evlog::write(&*copy.reader(), &*without, &mut Vec::new()).is_err());
}
