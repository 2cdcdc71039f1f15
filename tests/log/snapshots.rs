//! Snapshots: opening costs the last one and the tail, and whatever is wrong with one costs nothing but time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lastword::codec::state::{decode_state, encode_state};
use lastword::core::State;
use lastword::core::vocabulary::*;
use lastword::evlog::EvlogFile;
use lastword::log::{LogReader, Position, PrivateCopy};
use lastword::replay::{self, ReplayError};
use lastword::snapshot::{
    FOLD_VERSION, Limit, SNAPSHOT_HEADER_LENGTH, SnapshotError, SnapshotHeader, Snapshots, Unusable, fold_until, take,
    verify_with_snapshots,
};
use test_support::history::*;

const WHOLE: Limit = Limit { seq: Seq(u64::MAX), time: None };
const GO_ON: &dyn Fn() -> bool = &|| false;

/// A log with some two hundred events, closed in order, and without snapshots.
fn log_in(path: &Path) {
    let reconciler = builder(path).snapshot_every(0).start().unwrap();
    declare(&reconciler.handle(), 0..60);
    settle(&reconciler.handle());
    reconciler.shutdown(LONG).unwrap();
    assert!(!path.join("snapshots").exists());
}

/// Takes a snapshot at the last frame up to `seq`.
fn snapshot(path: &Path, seq: u64) -> SnapshotHeader {
    let copy = PrivateCopy::of(path).unwrap();
    let limit = Limit { seq: Seq(seq), time: None };
    take(&*copy.reader(), &Snapshots::of_log(path), limit, GO_ON).unwrap().unwrap()
}

fn file_of(path: &Path, header: &SnapshotHeader) -> PathBuf {
    path.join(format!("snapshots/{:020}.snap", header.position.seq.0))
}

#[test]
fn every_state_in_a_log_of_all_events_is_restored_from_its_bytes() {
    let story = EvlogFile::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2.evlog")).unwrap();
    let (mut state, mut most) = (State::new(), 0);
    for frame in story.frames(Seq::ZERO) {
        for event in replay::decode(&frame.unwrap().as_frame()).unwrap() {
            state.fold(&event).unwrap();
        }
        let mut encoded = Vec::new();
        encode_state(&state, &mut encoded).unwrap();
        let restored = decode_state(&encoded).unwrap();
        assert_eq!(restored, state);
        assert_eq!((restored.digest(), restored.check()), (state.digest(), state.check()));
        assert_eq!(restored.objects(), state.objects());
        most = most.max(encoded.len());
    }
    assert!(most > 500, "the story has collections: {most}");
}

#[test]
fn hostile_bytes_are_refused_and_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let mut encoded = Vec::new();
    encode_state(&replayed(dir.path()), &mut encoded).unwrap();
    for length in 0..encoded.len() {
        assert!(decode_state(&encoded[..length]).is_err(), "cut at {length}");
    }
    for at in 0..encoded.len() {
        let mut flipped = encoded.clone();
        flipped[at] ^= 0x41;
        // Another text, or another number, is another state; nobody asks for more than no panic.
        let _ = decode_state(&flipped).map(|state| state.check());
    }
    // The last bytes count what there is.
    *encoded.last_mut().unwrap() ^= 1;
    assert!(decode_state(&encoded).is_err(), "miscounted");
    *encoded.last_mut().unwrap() ^= 1;
    assert!(decode_state(&encoded).is_ok());
    encoded.push(7);
    assert!(decode_state(&encoded).is_err(), "something behind the end");
}

#[test]
fn the_snapshot_and_the_tail_are_the_whole_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let (whole, copy) = (replayed(dir.path()), PrivateCopy::of(dir.path()).unwrap());
    let last = whole.last().0;
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..12 {
        dice = dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ dice >> 29;
        let cut = 2 + dice % (last - 1);
        let _ = fs::remove_dir_all(dir.path().join("snapshots"));
        let header = snapshot(dir.path(), cut);
        assert!(header.position.seq.0 <= cut);
        // The next one is made of it and of what came since.
        let folded = fold_until(&*copy.reader(), Some(&Snapshots::of_log(dir.path())), WHOLE, GO_ON).unwrap();
        assert_eq!(folded.from, header.position.seq);
        assert_eq!((folded.position, folded.state.digest()), (copy.end(), whole.digest()));
        let opened = open_with_snapshots(dir.path());
        assert_eq!(opened.resumed, header.position.seq);
        assert_eq!(opened.state.digest(), whole.digest());
    }
}

#[test]
fn opening_costs_the_last_snapshot_and_the_tail() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let all = frames(&*copy.reader());
    assert!(all > 30, "{all}");
    let header = snapshot(dir.path(), copy.end().seq.0 - 20);
    let tail = copy.reader().frames(header.position.seq.next()).count();
    let opened = open_with_snapshots(dir.path());
    // One frame to see that the snapshot is of this log, once more as the beginning of the chain, and the tail.
    assert_eq!(opened.frames_read, tail as u64 + 2);
    assert_eq!(opened.state, replayed(dir.path()));
}

#[test]
fn a_running_reconciler_takes_them_and_the_next_one_goes_on_from_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).snapshot_every(50).start().unwrap();
    let handle = reconciler.handle();
    for round in 0..4 {
        declare(&handle, round * 30..(round + 1) * 30);
        until("a snapshot", || handle.stats().unwrap().counters.snapshots > round);
    }
    settle(&handle);
    let (seq, digest) = handle.digest().unwrap();
    let stats = handle.stats().unwrap();
    assert!(stats.snapshot >= Seq(150) && stats.snapshot <= seq, "{stats:?}");
    assert_eq!((stats.counters.snapshots_failed, stats.begins), (0, Seq(1)));
    reconciler.shutdown(LONG).unwrap();

    let snapshots = Snapshots::of_log(dir.path()).list().unwrap();
    assert_eq!(snapshots.len(), 2, "the last two are kept");
    assert_eq!(snapshots[0], seq, "one at the end in order");
    for path in [dir.path().join("snapshots"), dir.path().join(format!("snapshots/{:020}.snap", seq.0))] {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    let (verified, verdicts) = verify(dir.path()).unwrap();
    assert_eq!(verified.digest, digest);
    assert!(verdicts.iter().all(|(_, usable)| *usable), "{verdicts:?}");

    let opened = open_with_snapshots(dir.path());
    assert_eq!((opened.resumed, opened.frames_read), (seq, 2));
    let reconciler = builder(dir.path()).start().unwrap();
    declare(&reconciler.handle(), 200..210);
    settle(&reconciler.handle());
    let live = reconciler.handle().digest().unwrap();
    reconciler.shutdown(LONG).unwrap();
    let state = replayed(dir.path());
    assert_eq!((state.last(), state.digest()), live, "what began with a snapshot is what the whole log adds up to");
}

type Verdicts = Vec<(Seq, bool)>;

fn verify(path: &Path) -> Result<(replay::Verified, Verdicts), ReplayError> {
    let copy = PrivateCopy::of(path).unwrap();
    let (verified, verdicts) = verify_with_snapshots(&*copy.reader(), None, &Snapshots::of_log(path))?;
    Ok((verified, verdicts.iter().map(|snapshot| (snapshot.seq, snapshot.verdict.is_ok())).collect()))
}

#[test]
fn a_damaged_snapshot_is_ignored_whichever_byte_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).snapshot_every(0).start().unwrap();
    declare(&reconciler.handle(), 0..2);
    settle(&reconciler.handle());
    reconciler.shutdown(LONG).unwrap();
    let header = snapshot(dir.path(), u64::MAX);
    let (file, snapshots) = (file_of(dir.path(), &header), Snapshots::of_log(dir.path()));
    let good = fs::read(&file).unwrap();
    let seq = header.position.seq;
    assert!(good.len() < 3000 && snapshots.load(seq).is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, bad).unwrap();
        assert!(snapshots.load(seq).is_err(), "byte {at}");
        if at % 97 == 0 {
            let opened = open_with_snapshots(dir.path());
            assert_eq!((opened.resumed, opened.state == replayed(dir.path())), (Seq(0), true), "byte {at}");
            assert_eq!(verify(dir.path()).unwrap().1, [(seq, false)]);
        }
    }
    for length in (0..good.len()).step_by(31) {
        fs::write(&file, &good[..length]).unwrap();
        assert!(snapshots.load(seq).is_err(), "cut at {length}");
    }
    fs::write(&file, [good.as_slice(), b"x"].concat()).unwrap();
    assert!(snapshots.load(seq).is_err(), "one byte more");
    fs::write(&file, &good).unwrap();
    assert_eq!(open_with_snapshots(dir.path()).resumed, seq);
}

#[test]
fn the_older_one_stands_in_for_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let (older, last) = (snapshot(dir.path(), 50), snapshot(dir.path(), 120));
    let file = file_of(dir.path(), &last);
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&file, bytes).unwrap();
    let opened = open_with_snapshots(dir.path());
    assert_eq!(opened.resumed, older.position.seq);
    assert_eq!(opened.state, replayed(dir.path()));
}

/// Writes the snapshot `header` describes anew, with another header.
fn rewrite(path: &Path, header: &SnapshotHeader, change: impl FnOnce(&mut SnapshotHeader)) {
    let (_, body) = Snapshots::of_log(path).read(header.position.seq).unwrap();
    let mut changed = *header;
    change(&mut changed);
    fs::write(file_of(path, header), [changed.encode().as_slice(), &body].concat()).unwrap();
}

#[test]
fn one_of_another_version_another_log_or_another_event_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let (state, other) = (dir.path().join("state"), dir.path().join("other"));
    log_in(&state);
    log_in(&other);
    let header = snapshot(&state, 100);
    let snapshots = Snapshots::of_log(&state);
    let seq = header.position.seq;
    let refuse = |what: &str| {
        let opened = open_with_snapshots(&state);
        assert_eq!((opened.resumed, opened.state == replayed(&state)), (Seq(0), true), "{what}");
        assert_eq!(verify(&state).unwrap().1, [(seq, false)], "{what}");
        rewrite(&state, &header, |_| ());
        assert_eq!(open_with_snapshots(&state).resumed, seq);
    };

    rewrite(&state, &header, |header| header.fold_version = FOLD_VERSION + 1);
    assert!(matches!(snapshots.load(seq), Err(SnapshotError::OtherFold { .. })));
    refuse("another version of fold");
    rewrite(&state, &header, |header| header.digest[0] ^= 1);
    refuse("another digest");
    rewrite(&state, &header, |header| header.position.hash.0[0] ^= 1);
    refuse("another frame");
    rewrite(&state, &header, |header| header.time.0 += 1);
    refuse("another time");

    // Its state is whole, and its frame is not in this log.
    fs::remove_dir_all(state.join("snapshots")).unwrap();
    let foreign = snapshot(&other, 100);
    copy_tree(&other.join("snapshots"), &state.join("snapshots"));
    let opened = open_with_snapshots(&state);
    assert_eq!((opened.resumed, opened.state == replayed(&state)), (Seq(0), true), "of another log");
    let copy = PrivateCopy::of(&state).unwrap();
    let folded = fold_until(&*copy.reader(), Some(&snapshots), WHOLE, GO_ON).unwrap();
    assert_eq!((folded.from, folded.state == replayed(&state)), (Seq(0), true), "by the second reader either");
    let verdicts = verify_with_snapshots(&*copy.reader(), None, &snapshots).unwrap().1;
    assert!(matches!(&verdicts[..], [one] if one.seq == foreign.position.seq
        && matches!(one.verdict, Err(Unusable::OfAnotherLog))));
}

/// A cache that lies is worse than none: nothing tells from the outside, so `verify` replays and compares.
#[test]
fn a_whole_snapshot_of_another_state_is_a_divergence() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let limit = Limit { seq: Seq(100), time: None };
    let folded = fold_until(&*copy.reader(), None, limit, GO_ON).unwrap();
    let (seq, at, epoch) = (folded.position.seq, folded.state.at(), folded.state.epoch());
    // The same event and frame, and one collection is paused.
    let mut lying = fold_until(&*copy.reader(), None, Limit { seq: Seq(seq.0 - 1), time: None }, GO_ON).unwrap().state;
    while lying.last() < seq {
        let collection = lying.collections().next().unwrap().0;
        let event = Event::CollectionPaused { collection };
        lying.fold(&Recorded { seq: lying.last().next(), at, epoch, by: None, event }).unwrap();
    }
    let position = Position { seq, ..folded.position };
    Snapshots::of_log(dir.path()).store(&lying, position, Seq(1)).unwrap();
    let error = verify(dir.path()).unwrap_err();
    assert!(matches!(error, ReplayError::Snapshot { seq: at } if at == seq), "{error}");
}

#[test]
fn what_a_killed_writer_left_is_swept_and_never_read() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let header = snapshot(dir.path(), 50);
    let whole = fs::read(file_of(dir.path(), &header)).unwrap();
    let half = dir.path().join("snapshots/00000000000000000099.snap.new");
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(open_with_snapshots(dir.path()).resumed, header.position.seq);
    snapshot(dir.path(), 100);
    assert!(!half.exists());
    assert_eq!(Snapshots::of_log(dir.path()).list().unwrap().len(), 2);
}

#[test]
fn a_failing_directory_does_not_stop_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).snapshot_every(20).start().unwrap();
    let handle = reconciler.handle();
    // Nobody can write below a file.
    fs::write(dir.path().join("snapshots"), "in the way").unwrap();
    declare(&handle, 0..40);
    until("a failure", || handle.stats().unwrap().counters.snapshots_failed > 0);
    settle(&handle);
    assert_eq!(handle.stats().unwrap().counters.snapshots, 0);
    reconciler.shutdown(LONG).unwrap();
    fs::remove_file(dir.path().join("snapshots")).unwrap();
    assert_eq!(open_with_snapshots(dir.path()).resumed, Seq(0));
}

#[test]
fn a_reader_that_is_told_to_stop_does() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    let copy = PrivateCopy::of(dir.path()).unwrap();
    let error = take(&*copy.reader(), &Snapshots::of_log(dir.path()), WHOLE, &|| true).unwrap_err();
    assert_eq!(error.to_string(), "it was told to stop");
    assert!(!dir.path().join("snapshots").exists());
}

/// A reader of the whole log finds what opening by a snapshot does not look at.
#[test]
fn damage_before_the_snapshot_is_for_verify_to_find() {
    let dir = tempfile::tempdir().unwrap();
    log_in(dir.path());
    snapshot(dir.path(), u64::MAX);
    let db = sled::Config::new().path(dir.path().join("sled")).flush_every_ms(None).open().unwrap();
    let tree = db.open_tree("frames").unwrap();
    let (key, value) = tree.iter().nth(3).unwrap().unwrap();
    let mut bytes = value.to_vec();
    bytes[100] ^= 1;
    tree.insert(key, bytes).unwrap();
    drop((tree, db));
    assert!(open_with_snapshots(dir.path()).resumed > Seq(0));
    let error = PrivateCopy::of(dir.path()).err().unwrap();
    assert!(error.is_defect(), "{error}");
}

/// What the story of the fixtures adds up to, in the encoding of this version of fold. When this fails although the
/// story is the same, an old snapshot would be another state than a replay: raise `FOLD_VERSION`. Then, or when the story
/// was told anew: `LASTWORD_BLESS=1 cargo test -p lastword --all-features --test log snapshots::`.
#[test]
fn what_the_same_events_add_up_to_changes_only_with_the_version_of_fold() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    for version in ["v1", "v2"] {
        let stream = fixtures.join(version).with_extension("evlog");
        let story = hash(&fs::read(&stream).unwrap());
        let mut encoded = Vec::new();
        let state = replay::state_at(&EvlogFile::open(&stream).unwrap(), replay::Until::End).unwrap();
        encode_state(&state, &mut encoded).unwrap();
        let found = format!("fold {FOLD_VERSION}\nstory {story}\nstate {}\n", hash(&encoded));
        let pinned = fixtures.join(version).with_extension("fold");
        if std::env::var_os("LASTWORD_BLESS").is_some() {
            fs::write(&pinned, &found).unwrap();
        }
        assert_eq!(fs::read_to_string(&pinned).unwrap(), found);
    }
}

/// The example in `log-format.md`.
#[test]
fn the_documented_snapshot_is_what_is_written() {
    let at = |seq: u64, event: Event| Recorded {
        seq: Seq(seq),
        at: Timestamp(1_795_428_000_000_000),
        epoch: Epoch(1_795_428_000_000),
        by: None,
        event,
    };
    let (source, spec) = (Source::new("s").unwrap(), Spec::default());
    let inputs = Inputs { source: source.clone(), spec: spec.clone(), content: Content::Unversioned };
    let (name, kind) = (Name::new("n").unwrap(), Kind::new("k").unwrap());
    let (wanted, collection) = (inputs.fingerprint(), CollectionId(Seq(2)));
    let declared = Event::CollectionDeclared {
        name,
        kind,
        source,
        spec,
        versioned: false,
        policy: Policy::default().into(),
        revision: None,
        wanted,
    };
    let created = Event::TaskCreated {
        collection,
        generation: Generation(1),
        fingerprint: wanted.unwrap(),
        not_before: Timestamp(1_795_428_000_000_000),
        rebuild: false,
    };
    let mut state = State::new();
    for (seq, event) in (1..).zip([Event::WriterOpened { software: "t".into() }, declared, created]) {
        state.fold(&at(seq, event)).unwrap();
    }
    let mut body = Vec::new();
    encode_state(&state, &mut body).unwrap();
    let position =
        Position { seq: Seq(3), hash: lastword::log::FrameHash([0xab; 32]), epoch: Epoch(1_795_428_000_000) };
    let header = SnapshotHeader::of(&state, &body, position);
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("log-format.md")).unwrap();
    let written = bytes_of(&document);
    // The digest is that of one build, so it is not compared; nor is the CRC over it.
    let (mut expected, mut found) = ([header.encode().as_slice(), &body].concat(), written);
    let shown = listing(&expected);
    assert!(found.len() > SNAPSHOT_HEADER_LENGTH, "the document holds an example:\n{shown}");
    for bytes in [&mut expected, &mut found] {
        bytes[112..148].fill(0);
    }
    assert!(found == expected, "FOLD_VERSION is {FOLD_VERSION}; the document should say:\n{shown}");
    assert_eq!(decode_state(&body).unwrap(), state);
}

/// The bytes in the block of the document: offset, hexadecimal digits, what they are.
fn bytes_of(document: &str) -> Vec<u8> {
    let block =
        document.split("<!-- begin snapshot -->").nth(1).unwrap().split("<!-- end snapshot -->").next().unwrap();
    let mut bytes: Vec<u8> = Vec::new();
    for line in block.lines().filter(|line| line.starts_with(' ')) {
        let mut columns = line.split_whitespace();
        assert_eq!(columns.next().unwrap().parse(), Ok(bytes.len()), "{line}");
        let digits = columns.next().unwrap();
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    }
    bytes
}

fn listing(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(32).zip((0..).step_by(32)).map(|(line, at)| format!("{at:>5}  {}\n", hex(line))).collect()
}

#[test]
fn a_shutdown_without_time_closes_the_log_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).snapshot_every(1).start().unwrap();
    declare(&reconciler.handle(), 0..5);
    reconciler.shutdown(Duration::ZERO).unwrap();
    assert!(PrivateCopy::of(dir.path()).unwrap().anchor().clean);
    assert_eq!(open_with_snapshots(dir.path()).state, replayed(dir.path()));
}

#[test]
fn a_shutdown_that_stops_a_snapshot_takes_one_itself() {
    let dir = tempfile::tempdir().unwrap();
    let reconciler = builder(dir.path()).any_kind().snapshot_every(5_000).start().unwrap();
    let declared = |n| declaration(&format!("c{}", n % 500), n).kind(Kind::new("nobody").unwrap());
    for frame in 0..4 {
        let commands = (frame * 500..(frame + 1) * 500).map(|n| Command::Declare(Box::new(declared(n)))).collect();
        reconciler.handle().batch(commands).unwrap();
    }
    // The second reader has four frames of a thousand events or more before it, and is told to stop at the next one.
    reconciler.shutdown(LONG).unwrap();
    let opened = open_with_snapshots(dir.path());
    assert_eq!((opened.resumed, opened.state.last()), (Seq(5_501), Seq(5_501)));
}

/// Yesterday's backup of the log is put back, and the snapshots of today stay beside it: they are of another log, and
/// neither end the engine nor push the good ones out.
#[test]
fn case_43_snapshots_from_behind_the_end_of_a_restored_log_harm_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (state, backup) = (dir.path().join("state"), dir.path().join("backup"));
    let round = |rounds| {
        let reconciler = builder(&state).snapshot_every(20).start().unwrap();
        declare(&reconciler.handle(), rounds);
        settle(&reconciler.handle());
        let digest = reconciler.handle().digest();
        reconciler.shutdown(LONG).unwrap();
        digest.unwrap()
    };
    round(0..2);
    copy_tree(&state, &backup);
    round(2..30);
    let (today, _) = round(30..60);
    for part in ["sled", "objects"] {
        fs::remove_dir_all(state.join(part)).unwrap();
        copy_tree(&backup.join(part), &state.join(part));
    }
    fs::copy(backup.join("HEAD"), state.join("HEAD")).unwrap();

    let live = round(60..63);
    assert!(live.0 < today);
    assert_eq!((replayed(&state).last(), replayed(&state).digest()), live);
    assert_eq!(Snapshots::of_log(&state).list().unwrap()[0], live.0, "the last one is of this log");
    assert_eq!(open_with_snapshots(&state).resumed, live.0);
}
