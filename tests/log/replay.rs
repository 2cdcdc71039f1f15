//! Replay alone, on logs in memory: up to an event, up to a time, and of logs whose beginning was deleted.

use std::error::Error as _;

use lastword::codec::state::encode_state;
use lastword::core::State;
use lastword::core::vocabulary::{Command, Declaration, Event, Kind, Name, Recorded, Seq, Source, Timestamp};
use lastword::log::{Log as _, LogError, LogReader, MemoryDisk, Start};
use lastword::reducer::Reducer;
use lastword::replay::{self, ReplayError, Until};

/// 2026-11-23T10:00:00Z, in microseconds.
const NOW: u64 = 1_795_428_000_000_000;

/// A log that says something every ten microseconds: frames of the events 1 to 3, 4 to 6, 7 to 8, ...
struct Log {
    disk: MemoryDisk,
    reader: Box<dyn LogReader>,
    reducer: Reducer,
    at: u64,
}

impl Log {
    fn begin() -> Log {
        let (disk, at) = (MemoryDisk::new(), NOW);
        let log = Box::new(disk.open());
        let reader = log.reader();
        let reducer = Reducer::open(log, State::new(), "test", Timestamp(at), Timestamp(at)).unwrap();
        let mut log = Log { disk, reader, reducer, at };
        log.declare("a", "1");
        log.declare("a", "2");
        log.declare("b", "1");
        log
    }

    fn declare(&mut self, name: &str, source: &str) {
        let declaration = Declaration::new(Name::new(name).unwrap()).kind(Kind::new("k").unwrap());
        let declaration = declaration.source(Source::new(source).unwrap()).unversioned();
        self.reducer.begin(Timestamp(self.at));
        let _ = self.reducer.command(&Command::Declare(Box::new(declaration))).unwrap().unwrap();
        self.commit();
    }

    fn commit(&mut self) {
        self.reducer.commit(Timestamp(self.at)).unwrap();
        self.at += 10;
    }

    fn reader(&self) -> Box<dyn LogReader> {
        self.reader.another()
    }

    /// The whole log, one event after the other.
    fn events(&self) -> Vec<Recorded> {
        replay::events(&*self.reader(), Seq::ZERO).collect::<Result<_, _>>().unwrap()
    }

    /// Deletes everything up to the end of the frame that is there now, behind a base.
    fn truncate_prefix(&mut self) -> Start {
        let position = self.reducer.durable_position();
        let mut bytes = Vec::new();
        encode_state(self.reducer.state(), &mut bytes).unwrap();
        let base =
            Event::CheckpointPart { at: position.seq, hash: position.hash.0, part: 0, parts: 1, bytes: bytes.into() };
        self.reducer.begin(Timestamp(self.at));
        let base = self.reducer.append(base).unwrap();
        self.commit();
        let start = Start { seq: position.seq, hash: position.hash, checkpoint: base };
        self.reducer.truncate_prefix(start).unwrap().unwrap();
        start
    }
}

fn folded(events: &[Recorded]) -> State {
    let mut state = State::new();
    events.iter().for_each(|event| state.fold(event).unwrap());
    state
}

#[test]
fn a_state_is_the_one_after_just_these_events() {
    let log = Log::begin();
    let (events, reader) = (log.events(), log.reader());
    assert_eq!(events.len(), 8);
    for last in 0..=events.len() {
        let found = replay::state_at(&*reader, Until::Seq(Seq(last as u64))).unwrap();
        assert_eq!(found, folded(&events[..last]), "up to event {last}");
    }
    for at in NOW - 1..log.at + 1 {
        let until = events.iter().filter(|event| event.at <= Timestamp(at)).count();
        let found = replay::state_at(&*reader, Until::Time(Timestamp(at))).unwrap();
        assert_eq!(found, folded(&events[..until]), "at {}", at - NOW);
    }
    assert_eq!(replay::state_at(&*reader, Until::End).unwrap(), *log.reducer.state());
    assert_eq!(replay::state_at(&*reader, Until::Seq(Seq(99))).unwrap(), *log.reducer.state());
}

#[test]
fn a_history_is_what_is_about_one_collection() {
    let log = Log::begin();
    let b = log.reducer.state().id_of(&Name::new("b").unwrap()).unwrap();
    let history: Vec<_> = replay::history(&*log.reader(), b).map(|event| event.unwrap().event.type_name()).collect();
    assert_eq!(history, ["collection_declared", "task_created"]);
}

#[test]
fn what_was_deleted_cannot_be_asked_for_and_the_rest_is_what_it_was() {
    let mut log = Log::begin();
    let before = log.events();
    let start = log.truncate_prefix();
    log.declare("a", "3");
    let (reader, live) = (log.reader(), log.reducer.state().clone());
    assert_eq!(replay::state_at(&*reader, Until::End).unwrap(), live);
    // The base is the state after the last event that is gone, also asked for by its time.
    let (last, at) = (start.seq, before.last().unwrap().at);
    let base = folded(&before);
    assert_eq!(replay::state_at(&*reader, Until::Seq(last)).unwrap(), base);
    assert_eq!(replay::state_at(&*reader, Until::Time(at)).unwrap(), base);
    let forgotten = |until| match replay::state_at(&*reader, until) {
        Err(ReplayError::Log(LogError::PrefixGone { begins })) => begins == start.first(),
        _ => false,
    };
    assert!(forgotten(Until::Seq(Seq(last.0 - 1))) && forgotten(Until::Time(Timestamp(at.0 - 1))));
    // A collection that was declared in what is gone has the rest of its history.
    let a = live.id_of(&Name::new("a").unwrap()).unwrap();
    let history: Vec<_> = replay::history(&*reader, a).map(|event| event.unwrap().event.type_name()).collect();
    assert_eq!(history, ["source_changed", "task_aborted", "task_created"]);
    // A whole log has a state before everything.
    assert_eq!(replay::state_at(&*Log::begin().reader(), Until::Time(Timestamp(1))).unwrap(), State::new());
}

#[test]
fn a_verification_counts_what_it_has_gone_through() {
    let log = Log::begin();
    let reader = log.reader();
    let bytes: u64 = reader.frames(Seq::ZERO).map(|frame| frame.unwrap().into_bytes().len() as u64).sum();
    let verified = replay::verify(&*reader, None).unwrap();
    assert_eq!((verified.frames, verified.events, verified.bytes), (3, 8, bytes));
    assert_eq!((verified.last, verified.head), (Seq(8), log.reducer.durable_position().hash));
    assert_eq!(verified.digest, log.reducer.state().digest());
    assert!(verified.start.is_whole());
}

#[test]
fn an_error_names_what_is_behind_it() {
    let log = Log::begin();
    log.disk.damage(1, |bytes| bytes[100] ^= 1);
    let error = replay::state_at(&*log.reader(), Until::End).unwrap_err();
    assert!(matches!(error, ReplayError::Log(LogError::Damaged { at: Seq(4), .. })), "{error}");
    assert_eq!(error.source().map(ToString::to_string), Some(error.to_string()));
}
