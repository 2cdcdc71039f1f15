//! One error contract: every public error has a kind, which says what a caller does about it, and says what is inside.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use lastword::codec::state::{StateError, decode_state};
use lastword::codec::{CodecError, Tag};
use lastword::core::vocabulary::*;
use lastword::core::{Illegal, State};
use lastword::engine::{CommandError, CompactError, EngineError, StartError, SubmitError, WatchError};
use lastword::evlog::{EvlogError, ImportError};
use lastword::log::{AnchorError, FrameError, LogError, OpenError};
use lastword::objects::tree::TreeError;
use lastword::objects::{ObjectError, object_hash};
use lastword::reducer::ReducerError;
use lastword::replay::ReplayError;
use lastword::snapshot::Unusable;
use lastword::snapshot::{SnapshotError, TakeError};
use lastword::worker::{DeliveryError, Failure, ObserveError};
use lastword::{Error, ErrorKind};

fn disk() -> io::Error {
    io::Error::other("the disk")
}

fn text() -> String {
    "why".to_owned()
}

fn path() -> PathBuf {
    PathBuf::from("state")
}

/// Kind, and whether there is an error inside.
#[track_caller]
fn check<E: Into<Error> + std::error::Error>(error: E, kind: ErrorKind, is_around_another: bool) {
    let shown = format!("{error:?}");
    assert_eq!(error.source().is_some(), is_around_another, "{shown}");
    let said = error.to_string();
    let umbrella: Error = error.into();
    assert_eq!((umbrella.kind(), umbrella.to_string()), (kind, said), "{shown}");
    assert!(umbrella.source().is_some_and(|source| format!("{source:?}") == shown), "{shown}");
}

const ALONE: bool = false;
const AROUND: bool = true;

fn newer_event() -> CodecError {
    CodecError::Unknown(Tag { event_type: 79, version: 1 })
}

fn damaged_event() -> CodecError {
    CodecError::Payload { tag: Tag { event_type: 48, version: 1 }, problem: text() }
}

fn damaged_state() -> StateError {
    decode_state(b"x").unwrap_err()
}

/// An event that cannot be the first one.
fn out_of_order() -> Illegal {
    let event = Event::CollectionPaused { collection: CollectionId(Seq(7)) };
    let recorded = Recorded { seq: Seq(1), epoch: Epoch(1), at: Timestamp(1), by: None, event };
    State::new().fold(&recorded).unwrap_err()
}

#[test]
fn what_is_given_and_refused() {
    let field = || FieldError::new("name", "too long");
    check(field(), ErrorKind::InvalidInput, ALONE);
    check(Rejection::Field(field()), ErrorKind::InvalidInput, AROUND);
    check(Rejection::UnknownCollection(Name::new("a").unwrap()), ErrorKind::Refused, ALONE);
    check(CommandError::Refused(Rejection::NotDue), ErrorKind::Refused, AROUND);
    check(CommandError::Refused(Rejection::Field(field())), ErrorKind::InvalidInput, AROUND);
    check(CommandError::BatchTooLong { commands: 9999 }, ErrorKind::InvalidInput, ALONE);
    check(CommandError::NotAccepted(text()), ErrorKind::Closed, ALONE);
    check(CommandError::Unknown(text()), ErrorKind::Unknown, ALONE);
    check(SubmitError::Full, ErrorKind::Busy, ALONE);
    check(SubmitError::Command(CommandError::Unknown(text())), ErrorKind::Unknown, AROUND);
    check(WatchError::TimedOut, ErrorKind::TimedOut, ALONE);
    check(WatchError::Closed, ErrorKind::Closed, ALONE);
    check(WatchError::OwnThread, ErrorKind::InvalidInput, ALONE);
    check(WatchError::Replay(ReplayError::Snapshot { seq: Seq(1) }), ErrorKind::Diverged, AROUND);
    check(CompactError::Closed, ErrorKind::Closed, ALONE);
    check(CompactError::Failed(text()), ErrorKind::Io, ALONE);
}

#[test]
fn how_a_reconciler_does_not_start_and_ends() {
    check(StartError::Setting(FieldError::new("workers", "0")), ErrorKind::InvalidInput, AROUND);
    check(StartError::Log(OpenError::Busy { path: path(), holder: None }), ErrorKind::Busy, AROUND);
    check(StartError::Replay(ReplayError::Illegal(out_of_order())), ErrorKind::Diverged, AROUND);
    check(StartError::Objects(ObjectError::Io(text(), disk())), ErrorKind::Io, AROUND);
    check(StartError::Reducer(ReducerError::Illegal(out_of_order())), ErrorKind::Bug, AROUND);
    check(StartError::Thread(disk()), ErrorKind::Io, AROUND);
    check(EngineError::Panicked(text()), ErrorKind::Bug, ALONE);
    check(EngineError::OwnCrew, ErrorKind::InvalidInput, ALONE);
    check(EngineError::Held, ErrorKind::TimedOut, ALONE);
    let full = LogError::Io { doing: "writing", path: path(), source: disk() };
    check(EngineError::Reducer(ReducerError::Log(full)), ErrorKind::Io, AROUND);
    check(ReducerError::Dead, ErrorKind::Closed, ALONE);
    check(ReducerError::Codec(damaged_event()), ErrorKind::Bug, AROUND);
    check(ReducerError::Frame(FrameError::Count { count: 0 }), ErrorKind::Bug, AROUND);
}

#[test]
fn what_is_stored() {
    check(newer_event(), ErrorKind::TooNew, ALONE);
    check(damaged_event(), ErrorKind::Damaged, ALONE);
    check(damaged_state(), ErrorKind::Damaged, ALONE);
    check(out_of_order(), ErrorKind::Diverged, ALONE);
    check(ObjectError::Missing(object_hash(b"")), ErrorKind::Damaged, ALONE);
    check(ObjectError::NotRemoved(object_hash(b"")), ErrorKind::Refused, ALONE);
    check(ObjectError::Io(text(), disk()), ErrorKind::Io, AROUND);
    check(TreeError::Malformed { hash: object_hash(b""), problem: "level" }, ErrorKind::Damaged, ALONE);
    check(TreeError::Object(ObjectError::Io(text(), disk())), ErrorKind::Io, AROUND);
    check(TreeError::Unsorted, ErrorKind::InvalidInput, ALONE);
    check(SnapshotError::Damaged("its end"), ErrorKind::Damaged, ALONE);
    check(SnapshotError::TooNew { version: 9 }, ErrorKind::TooNew, ALONE);
    check(SnapshotError::OtherFold { fold_version: 9 }, ErrorKind::TooNew, ALONE);
    check(SnapshotError::Io(disk()), ErrorKind::Io, AROUND);
    check(TakeError::Stopped, ErrorKind::Stopped, ALONE);
    check(TakeError::Write(SnapshotError::Io(disk())), ErrorKind::Io, AROUND);
    check(TakeError::Replay(ReplayError::Snapshot { seq: Seq(1) }), ErrorKind::Diverged, AROUND);
    check(Unusable::OfAnotherLog, ErrorKind::Diverged, ALONE);
    check(Unusable::File(SnapshotError::Damaged("its end")), ErrorKind::Damaged, AROUND);
}

#[test]
fn what_a_log_says() {
    check(AnchorError::Missing, ErrorKind::Damaged, ALONE);
    check(AnchorError::TooNew { version: 9 }, ErrorKind::TooNew, ALONE);
    check(FrameError::Missing, ErrorKind::Damaged, ALONE);
    check(FrameError::UnknownCodec { codec: 2 }, ErrorKind::TooNew, ALONE);
    check(LogError::Poisoned(text()), ErrorKind::Closed, ALONE);
    check(LogError::Refused(FrameError::Missing), ErrorKind::Damaged, AROUND);
    check(LogError::PrefixGone { begins: Seq(9) }, ErrorKind::PrefixGone, ALONE);
    check(LogError::Damaged { at: Seq(1), found: FrameError::Missing }, ErrorKind::Damaged, AROUND);
    check(LogError::Damaged { at: Seq(1), found: FrameError::TooNew { version: 2 } }, ErrorKind::TooNew, AROUND);
    check(LogError::Storage(text()), ErrorKind::Damaged, ALONE);
    check(OpenError::Absent { path: path() }, ErrorKind::WrongPath, ALONE);
    check(OpenError::NotALog { path: path(), found: text() }, ErrorKind::WrongPath, ALONE);
    let last = Box::new(OpenError::ShorterThanAnchor { anchor: Seq(2), found: Seq(1) });
    check(OpenError::Moving { tries: 3, last }, ErrorKind::Busy, AROUND);
    check(OpenError::Anchor { path: path(), found: AnchorError::Damaged }, ErrorKind::Damaged, AROUND);
    check(OpenError::Anchor { path: path(), found: AnchorError::TooNew { version: 2 } }, ErrorKind::TooNew, AROUND);
    check(OpenError::FileShorterThanAnchor { path: path(), expected: 9, found: 0 }, ErrorKind::TailLost, ALONE);
    check(OpenError::ShorterThanAnchor { anchor: Seq(2), found: Seq(1) }, ErrorKind::TailLost, ALONE);
    check(OpenError::LongerThanAnchor { anchor: Seq(1), found: Seq(2) }, ErrorKind::Damaged, ALONE);
    check(OpenError::FileMissing { path: path() }, ErrorKind::TailLost, ALONE);
    check(OpenError::DanglingLink { path: path(), target: path() }, ErrorKind::WrongPath, ALONE);
    check(OpenError::ForeignOwner { path: path(), owner: 1000, user: 0 }, ErrorKind::WrongPath, ALONE);
    check(OpenError::Full { path: path(), text: text() }, ErrorKind::Io, ALONE);
    check(OpenError::Storage(text()), ErrorKind::Damaged, ALONE);
}

/// Opening says what the log said, and not that the storage engine failed.
#[test]
fn an_opening_keeps_what_the_log_said() {
    let said: [fn() -> LogError; 7] = [
        || LogError::Poisoned(text()),
        || LogError::Refused(FrameError::Missing),
        || LogError::PrefixGone { begins: Seq(9) },
        || LogError::Damaged { at: Seq(1), found: FrameError::Missing },
        || LogError::Damaged { at: Seq(1), found: FrameError::TooNew { version: 2 } },
        || LogError::Storage(text()),
        || LogError::Io { doing: "reading", path: path(), source: disk() },
    ];
    for error in said {
        let (of_log, of_opening) = (error(), OpenError::from(error()));
        assert_eq!((of_opening.kind(), of_opening.to_string()), (of_log.kind(), of_log.to_string()));
        assert_eq!(of_opening.source().is_some(), of_log.source().is_some(), "{of_opening:?}");
    }
    assert!(matches!(
        OpenError::from(LogError::PrefixGone { begins: Seq(9) }),
        OpenError::PrefixGone { begins: Seq(9) }
    ));
}

#[test]
fn what_a_replay_and_a_stream_say() {
    check(ReplayError::Log(LogError::PrefixGone { begins: Seq(9) }), ErrorKind::PrefixGone, AROUND);
    check(ReplayError::Codec { seq: Seq(1), error: newer_event() }, ErrorKind::TooNew, AROUND);
    check(ReplayError::Checkpoint { seq: Seq(1), error: damaged_state() }, ErrorKind::Damaged, AROUND);
    check(ReplayError::Illegal(out_of_order()), ErrorKind::Diverged, AROUND);
    check(ReplayError::Snapshot { seq: Seq(1) }, ErrorKind::Diverged, ALONE);
    let unread = || TreeError::Object(ObjectError::Io(text(), disk()));
    check(ReplayError::Object { seq: Seq(1), error: unread() }, ErrorKind::Io, AROUND);
    let first = vec![(Seq(1), unread()), (Seq(2), unread())];
    check(ReplayError::Objects { first, all: 3 }, ErrorKind::Io, AROUND);

    check(EvlogError::Magic { found: *b"LWFR" }, ErrorKind::WrongPath, ALONE);
    check(EvlogError::Truncated { offset: 0 }, ErrorKind::WrongPath, ALONE);
    check(EvlogError::Truncated { offset: 9 }, ErrorKind::Damaged, ALONE);
    check(EvlogError::TooNew { version: 2 }, ErrorKind::TooNew, ALONE);
    check(EvlogError::Input(disk()), ErrorKind::Io, AROUND);
    check(EvlogError::Tree(unread()), ErrorKind::Io, AROUND);
    check(EvlogError::Codec { seq: Seq(1), error: damaged_event() }, ErrorKind::Damaged, AROUND);
    check(EvlogError::Frame { at: Seq(1), found: FrameError::TooNew { version: 2 } }, ErrorKind::TooNew, AROUND);

    check(ImportError::Exists { path: path() }, ErrorKind::WrongPath, ALONE);
    check(ImportError::Stream(EvlogError::Header), ErrorKind::Damaged, AROUND);
    // In a log that is new nothing can be damaged yet.
    check(ImportError::Log(LogError::Storage(text())), ErrorKind::Io, AROUND);
    check(ImportError::Open(OpenError::Storage(text())), ErrorKind::Io, AROUND);
    check(ImportError::Open(OpenError::Busy { path: path(), holder: None }), ErrorKind::Busy, AROUND);
    check(ImportError::Objects(ObjectError::Io(text(), disk())), ErrorKind::Io, AROUND);
}

#[test]
fn what_workers_say() {
    check(DeliveryError(text()), ErrorKind::Io, ALONE);
    check(ObserveError(text()), ErrorKind::Io, ALONE);
    check(Failure::Transient(text()), ErrorKind::Io, ALONE);
    check(Failure::Permanent(text()), ErrorKind::InvalidInput, ALONE);
    check(Failure::moved("a.csv is gone"), ErrorKind::Busy, ALONE);
    check(Failure::Stopped, ErrorKind::Stopped, ALONE);
}

#[cfg(feature = "sources")]
#[test]
fn what_sources_and_external_collections_say() {
    use lastword::external::{
        BuildError, FormatError, FragmentError, Interrupted, ManifestError, SourceError, SourcePath, StoreError,
        VerifyError,
    };
    check(SourceError::NoFiles, ErrorKind::InvalidInput, ALONE);
    check(SourceError::NotObserved { path: SourcePath(b"a".to_vec()) }, ErrorKind::InvalidInput, ALONE);
    check(SourceError::Set(TreeError::Object(ObjectError::Missing(object_hash(b"")))), ErrorKind::Damaged, AROUND);
    check(SourceError::Store(StoreError::Interrupted), ErrorKind::Stopped, AROUND);
    let absent = || StoreError::Missing { what: text() };
    check(Interrupted, ErrorKind::Stopped, ALONE);
    check(absent(), ErrorKind::WrongPath, ALONE);
    check(StoreError::HoldsState { what: text(), state: text() }, ErrorKind::WrongPath, ALONE);
    check(StoreError::Unreadable { what: text(), source: disk() }, ErrorKind::Io, AROUND);
    check(StoreError::Unsettled { what: text(), tries: 3 }, ErrorKind::Busy, ALONE);
    let path = lastword::external::SourcePath(b"a".to_vec());
    check(StoreError::Unfinished { path, others: 0 }, ErrorKind::Busy, ALONE);
    check(StoreError::Limit { what: text(), limit: text() }, ErrorKind::InvalidInput, ALONE);
    check(StoreError::Interrupted, ErrorKind::Stopped, ALONE);
    check(FormatError::Corrupt(text()), ErrorKind::InvalidInput, ALONE);
    check(FormatError::Cut(text()), ErrorKind::Bug, ALONE);
    check(FormatError::Panicked(text()), ErrorKind::Bug, ALONE);
    check(FormatError::Store(absent()), ErrorKind::WrongPath, AROUND);
    check(FragmentError::Interrupted, ErrorKind::Stopped, ALONE);
    check(ManifestError::Malformed { root: object_hash(b""), problem: text() }, ErrorKind::Damaged, ALONE);
    check(ManifestError::Tree(TreeError::Unsorted), ErrorKind::InvalidInput, AROUND);
    check(VerifyError::Drift(text()), ErrorKind::Damaged, ALONE);
    check(VerifyError::Unknown(text()), ErrorKind::Io, ALONE);
    check(BuildError::Interrupted, ErrorKind::Stopped, ALONE);
    check(BuildError::Transient(text()), ErrorKind::Io, ALONE);
    check(BuildError::Permanent(text()), ErrorKind::InvalidInput, ALONE);
    check(BuildError::Panicked(text()), ErrorKind::Bug, ALONE);
}

#[cfg(feature = "testing")]
#[test]
fn what_the_destination_of_tests_says() {
    let token = |n| Token { epoch: Epoch(1), seq: Seq(n) };
    check(lastword::testing::Refused { token: token(1), newest: token(2) }, ErrorKind::Refused, ALONE);
}

/// Compiles without `_`: the list of kinds is closed.
fn may_pass(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    match kind {
        Busy | Io | TimedOut => true,
        InvalidInput | Refused | WrongPath | Closed | Unknown | Stopped | Bug => false,
        Damaged | TooNew | TailLost | PrefixGone | Diverged => false,
    }
}

#[test]
fn a_caller_can_decide_by_the_kind_alone() {
    assert_eq!(ErrorKind::ALL.into_iter().filter(|kind| may_pass(*kind)).count(), 3);
}

#[test]
fn every_kind_has_a_name_a_code_and_words_of_its_own() {
    let rows = ErrorKind::ALL.map(|kind| (kind.as_str(), kind.exit_code()));
    assert_eq!(
        rows,
        [
            ("invalid_input", 2),
            ("refused", 2),
            ("wrong_path", 3),
            ("busy", 3),
            ("io", 3),
            ("closed", 3),
            ("unknown", 1),
            ("damaged", 1),
            ("too_new", 4),
            ("tail_lost", 5),
            ("prefix_gone", 3),
            ("diverged", 6),
            ("timed_out", 1),
            ("stopped", 1),
            ("bug", 1),
        ]
    );
    for (place, kind) in ErrorKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, place, "none is left out");
    }
    assert_eq!(ErrorKind::Bug as usize + 1, ErrorKind::ALL.len());
    let words = std::collections::BTreeSet::from(ErrorKind::ALL.map(|kind| kind.to_string()));
    assert_eq!(words.len(), ErrorKind::ALL.len());
}
