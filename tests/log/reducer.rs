//! The reducer alone, on a log in memory: batches, times, epochs, and its end.

use std::time::Duration;

use lastword::core::State;
use lastword::core::vocabulary::{Command, Declaration, Epoch, Event, Generation, Kind, Name, Seq, Source, Timestamp};
use lastword::log::{Anchor, Durability, IfAbsent, Keep, Log, LogReader, MemoryDisk, SledLog};
use lastword::reducer::{Reducer, ReducerError};
use lastword::replay::{self, Until};

/// 2026-11-23T10:00:00Z, in microseconds.
const NOW: Timestamp = Timestamp(1_795_428_000_000_000);

fn reducer(disk: &MemoryDisk, state: State) -> Reducer {
    Reducer::open(Box::new(disk.open()), state, "test", NOW, NOW).unwrap()
}

fn reader(disk: &MemoryDisk) -> Box<dyn LogReader> {
    disk.open().reader()
}

fn declare(name: &str, source: &str) -> Command {
    let declaration = Declaration::new(Name::new(name).unwrap()).kind(Kind::new("k").unwrap());
    Command::Declare(Box::new(declaration.source(Source::new(source).unwrap()).unversioned()))
}

#[test]
fn a_batch_is_one_frame_and_says_how_long_it_will_be() {
    let disk = MemoryDisk::new();
    let mut reducer = reducer(&disk, State::new());
    assert_eq!((reducer.frame_events(), reducer.decided().len()), (1, 1), "it opens the log");
    let short = reducer.frame_length();
    let receipt = reducer.command(&declare("a", "s")).unwrap().unwrap();
    assert_eq!((receipt.seq, receipt.generation), (Some(Seq(3)), Generation(1)));
    assert_eq!((reducer.frame_events(), reducer.decided().len()), (3, 3));
    assert!(reducer.frame_length() > short);
    assert_eq!((reducer.durable(), disk.barriers()), (Seq::ZERO, 0), "nothing is there before the commit");

    let length = reducer.frame_length();
    let committed = reducer.commit(NOW).unwrap();
    assert_eq!((committed.events.len(), committed.bytes), (3, length));
    assert_eq!((reducer.durable(), reducer.durable_position().seq, disk.barriers()), (Seq(3), Seq(3), 1));
    assert_eq!((reducer.frame_events(), reducer.decided().len()), (0, 0));
    // What changes nothing is told all the same, and no frame is written for it.
    let again = reducer.command(&declare("a", "s")).unwrap().unwrap();
    assert_eq!((again.seq, again.collection), (None, receipt.collection));
    assert_eq!((reducer.commit(NOW).unwrap().bytes, disk.barriers()), (0, 1));
}

#[test]
fn all_events_of_a_batch_have_its_time_and_time_never_goes_back() {
    let disk = MemoryDisk::new();
    let mut reducer = reducer(&disk, State::new());
    for (stamped, expected) in [(5, 5), (3, 5), (9, 9)] {
        reducer.begin(Timestamp(NOW.0 + stamped));
        let _ = reducer.command(&declare(&format!("at {stamped}"), "s")).unwrap().unwrap();
        let committed = reducer.commit(NOW).unwrap();
        let times: Vec<u64> = committed.events.iter().map(|event| event.at.0 - NOW.0).collect();
        let opened = committed.events.iter().any(|event| matches!(event.event, Event::WriterOpened { .. }));
        assert!(times[usize::from(opened)..].iter().all(|at| *at == expected), "{times:?}");
    }
}

#[test]
fn an_epoch_is_later_than_the_one_before_and_than_every_other_writer_s() {
    let (disk, millis) = (MemoryDisk::new(), NOW.0 / 1000);
    let mut first = reducer(&disk, State::new());
    first.commit(NOW).unwrap();
    assert_eq!(first.state().epoch(), Epoch(millis), "the time in milliseconds");
    let state = replay::state_at(&*reader(&disk), Until::End).unwrap();
    let mut second = reducer(&disk, state);
    second.commit(NOW).unwrap();
    assert_eq!(second.state().epoch(), Epoch(millis + 1), "or at least the next");
}

#[test]
fn after_a_failure_it_is_dead_and_says_so() {
    for (fail, keep) in [(true, Keep::All), (true, Keep::None), (false, Keep::All), (false, Keep::None)] {
        let disk = MemoryDisk::new();
        let mut reducer = reducer(&disk, State::new());
        reducer.commit(NOW).unwrap();
        let _ = reducer.command(&declare("a", "s")).unwrap().unwrap();
        if fail {
            disk.fail_next_append(keep)
        } else {
            disk.fail_next_barrier(keep)
        }
        assert!(matches!(reducer.commit(NOW), Err(ReducerError::Log(_))));
        assert!(matches!(reducer.command(&declare("b", "s")), Err(ReducerError::Dead)));
        assert!(matches!(reducer.append(Event::WriterOpened { software: "x".into() }), Err(ReducerError::Dead)));
        assert!(matches!(reducer.commit(NOW), Err(ReducerError::Dead)));
        assert!(matches!(reducer.close(), Err(ReducerError::Dead)));
    }
}

#[test]
fn time_and_the_end_reach_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = SledLog::open(&path, IfAbsent::Create, Durability::Power).unwrap();
    let mut reducer = Reducer::open(Box::new(log), State::new(), "test", NOW, NOW).unwrap();
    reducer.commit(NOW).unwrap();
    let head = || Anchor::parse(&std::fs::read(path.join("HEAD")).unwrap()).unwrap();
    assert_eq!((head().position.seq, head().clean), (Seq::ZERO, false));
    reducer.tick(Duration::ZERO).unwrap();
    assert_eq!((head().position, head().clean), (reducer.durable_position(), false));
    reducer.close().unwrap();
    assert!(head().clean);
}
