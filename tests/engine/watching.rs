//! Watches: every durable event once, in order, and nothing before it is durable.

use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{Reconciler, Watch, WatchError, WatchItem};
use lastword::log::Log;
use lastword::objects::MemoryObjects;

use crate::gated::Gated;
use crate::support::*;

/// Reads until nothing more comes; how often it was told to have lagged, and what it saw.
fn read(watch: &mut Watch) -> (usize, Vec<u64>) {
    let (mut lagged, mut seen) = (0, Vec::new());
    loop {
        match watch.next_within(Duration::ZERO) {
            Ok(WatchItem::Event(event)) => seen.push(event.seq.0),
            Ok(WatchItem::Lagged { behind }) => {
                assert!(behind > 0);
                lagged += 1;
            }
            Err(WatchError::TimedOut | WatchError::Closed) => return (lagged, seen),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_watch_begins_where_it_is_told() {
    let lab = Lab::start();
    for n in 0..20 {
        lab.declare(&format!("c{n}"), "{}");
        lab.applied(&format!("c{n}"), 1);
    }
    let lab = lab.restart();
    lab.declare("last", "{}");
    lab.applied("last", 1);
    let last = lab.handle.stats().unwrap().durable.0;
    for from in [0, 1, 2, 37, last - 1, last] {
        let (lagged, seen) = read(&mut lab.handle.watch(Seq(from)));
        assert!(seen.iter().copied().eq(from.max(1)..=last), "from {from}: {seen:?}");
        assert_eq!(lagged, usize::from(from < 40), "what an earlier process wrote comes from the log");
    }
    let mut future = lab.handle.watch(Seq(last + 3));
    assert!(read(&mut future).1.is_empty());
    lab.declare("new", "{}");
    lab.applied("new", 1);
    let after = lab.handle.stats().unwrap().durable.0;
    assert!(read(&mut future).1.into_iter().eq(last + 3..=after));
}

#[test]
fn a_watch_waits_for_what_comes() {
    let lab = Lab::start();
    let mut watch = lab.handle.watch(lab.handle.stats().unwrap().durable.next());
    let waiting = std::thread::spawn(move || watch.next_within(LONG).map_err(|error| error.to_string()));
    lab.declare("a", "{}");
    let Ok(WatchItem::Event(event)) = waiting.within("the end of a thread").unwrap() else { panic!("no event") };
    assert_eq!(event.event.type_name(), "collection_declared");
}

#[test]
fn a_slow_watcher_is_told_that_it_lagged_and_misses_nothing() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    let from = lab.handle.stats().unwrap().durable.0 + 1;
    let mut watch = lab.handle.watch(Seq(from));
    let (pause, resume) = (Command::Pause { name: name("a") }, Command::Resume { name: name("a") });
    let batch: Vec<Command> = [pause, resume].into_iter().cycle().take(4096).collect();
    // More than is kept in memory.
    for _ in 0..6 {
        lab.handle.batch(batch.clone()).unwrap();
    }
    let (lagged, seen) = read(&mut watch);
    assert_eq!(lagged, 1, "told once");
    assert!(seen.iter().copied().eq(from..from + 6 * 4096), "{} events", seen.len());
    lab.handle.batch(batch).unwrap();
    assert_eq!(read(&mut watch), (0, (from + 6 * 4096..from + 7 * 4096).collect()), "caught up, it is fast again");
}

#[test]
fn a_watch_closes_after_everything_was_seen() {
    let mut lab = Lab::start();
    let mut watch = lab.handle.watch(Seq(1));
    lab.declare("a", r#"{"do":"wait","gate":"never"}"#);
    lab.puppet.until_begun(1);
    lab.shutdown(LONG).unwrap();
    let last = lab.events().last().unwrap().seq.0;
    let (_, seen) = read(&mut watch);
    assert!(seen.into_iter().eq(1..=last));
    assert!(matches!(watch.next_within(LONG), Err(WatchError::Closed)));
    // One that begins now sees what is still in memory.
    assert!(read(&mut lab.handle.watch(Seq(1))).1.into_iter().eq(1..=last));
    assert!(matches!(lab.handle.watch(Seq(last + 1)).next_within(LONG), Err(WatchError::Closed)));
}

#[test]
fn nothing_is_shown_answered_or_run_before_it_is_durable() {
    let (log, gate) = Gated::new();
    let (reader, puppet) = (log.reader(), Puppet::new());
    let builder = Reconciler::on(Box::new(log), Arc::new(MemoryObjects::new()));
    let reconciler = builder.kind(kind("puppet"), puppet.clone()).start().unwrap();
    let handle = reconciler.handle();
    let mut watch = handle.watch(handle.stats().unwrap().durable.next());

    gate.shut();
    let mut ticket = handle.submit(Command::Declare(Box::new(declaration("a", "{}")))).unwrap();
    let frames = || reader.frames(Seq::ZERO).count();
    until("the frame being appended", || frames() == 2);
    let query = {
        let handle = handle.clone();
        std::thread::spawn(move || handle.status(name("a")).unwrap().is_some())
    };
    assert!(matches!(watch.next_within(Duration::from_millis(50)), Err(WatchError::TimedOut)));
    assert_eq!(ticket.wait_timeout(Duration::from_millis(50)), None);
    assert!(!query.is_finished());
    assert!(puppet.begun().is_empty());

    gate.open();
    assert!(ticket.within("an answer").is_ok());
    assert!(query.within("the end of a thread").unwrap());
    assert!(matches!(watch.next_within(LONG), Ok(WatchItem::Event(_))));
    puppet.until_begun(1);
}
