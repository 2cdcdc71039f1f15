//! What waits for the engine, under every kind of schedule: responses, room in the queue, watches, and attempts that are
//! told to stop. [shuttle] decides at each lock, each wake-up and each atomic which thread goes on.
//! It finds a lost wake-up as a deadlock, and says how to repeat it.
//!
//! ```sh
//! RUSTFLAGS="--cfg lastword_shuttle" cargo test -p lastword --target-dir target/shuttle --lib schedules::
//! ```
//!
//! `LASTWORD_SCHEDULES=N` explores N schedules of each scenario, half of them random, half with priorities that change at
//! three random points (PCT); `LASTWORD_SEED=N` begins elsewhere. `LASTWORD_SCHEDULE=text` repeats the one that a failure
//! has printed; name its test as well.
//!
//! The code under test is that of `watch_cell.rs`, `reply.rs`, `queue.rs`, `waits.rs`, `feed.rs` and `signals.rs`, as it
//! is. What this does not see: crossbeam's channel is real, so it is used as futures do, without
//! blocking, and the loop of `run.rs` that sleeps on it is played by [`reduce`]; and time-outs never come.
//!
//! *Architecture invariant:* it plays the loop and nothing else: what it explores is the code of the engine.
//!
//! [shuttle]: https://docs.rs/shuttle

use std::env;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use super::error::{CommandError, WatchError};
use super::feed::{CloseOnDrop, Feed, Watch, WatchItem};
use super::message::Message;
use super::queue::{Inbox, Queue, QueueCapacity, QueueEnd, Room};
use super::reply::{Response, reply};
use super::waits::{Goal, WaitOutcome, Waits};
use crate::clock::{EngineTime, SystemClock};
use crate::core::State;
use crate::core::vocabulary::{
    Assign, Built, CollectionId, Command, Completion, Declaration, Duties, EngineCommand, Generation, Kind, Name,
    Receipt, Recorded, Seq, Source, Timestamp, WorkerName,
};
use crate::log::{Log, LogReader, MemoryLog};
use crate::reducer::Reducer;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::worker::{Signals, Stopped};

/// Of each scenario: nine of them are more than 100,000.
const SCHEDULES: usize = 12_000;

/// No scenario waits for this long: nothing here ever times out.
const LONG: Duration = Duration::from_secs(24 * 3600);

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    if let Ok(schedule) = env::var("LASTWORD_SCHEDULE") {
        return shuttle::replay(scenario, &schedule);
    }
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("LASTWORD_SEED").unwrap_or(1);
    let each = number("LASTWORD_SCHEDULES").map_or(SCHEDULES, |n| usize::try_from(n).unwrap()).div_ceil(2);
    let scenario = Arc::new(scenario);
    let schedulers: [Box<dyn Scheduler + Send>; 2] =
        [Box::new(RandomScheduler::new_from_seed(seed, each)), Box::new(PctScheduler::new_from_seed(seed, 3, each))];
    for scheduler in schedulers {
        let scenario = Arc::clone(&scenario);
        let mut config = Config::new();
        // Reading a log back takes more than the 32 KiB that are usual here.
        config.stack_size = 256 * 1024;
        assert_eq!(Runner::new(scheduler, config).run(move || scenario()), each);
    }
}

/// A collection that is being built, and then applied: what the events are and what they add up to.
struct Story {
    name: Name,
    id: CollectionId,
    building: State,
    applied: State,
    /// One frame after the other.
    frames: Vec<Vec<Recorded>>,
    reader: std::sync::Mutex<Box<dyn LogReader>>,
}

impl Story {
    fn tell() -> Arc<Story> {
        let (name, kind) = (Name::new("a").unwrap(), Kind::new("k").unwrap());
        let source = Source::new("s").unwrap();
        let log = MemoryLog::new();
        let (reader, at) = (log.reader(), Timestamp(1_000_000));
        let mut reducer = Reducer::open(Box::new(log), State::new(), "schedules", at, at).unwrap();
        let mut frames = Vec::new();
        let mut commit = |reducer: &mut Reducer| {
            frames.push(reducer.commit(at).unwrap().events);
        };
        let declaration = Declaration::new(name.clone()).kind(kind).source(source).unversioned();
        reducer.command(&Command::Declare(Box::new(declaration))).unwrap().unwrap();
        commit(&mut reducer);
        let (id, worker) = (reducer.state().id_of(&name).unwrap(), WorkerName::new("w").unwrap());
        let assign = Assign { worker, collection: id, lease: None, duties: Duties::default() };
        reducer.command(&EngineCommand::Assign(assign)).unwrap().unwrap();
        commit(&mut reducer);
        let building = reducer.state().clone();
        let (_, attempt) = building.running().next().unwrap();
        let fingerprint = building.collection(id).unwrap().wanted_fingerprint().unwrap();
        let completion = Completion { attempt, fingerprint, result: Built::default() };
        reducer.command(&EngineCommand::Complete(Box::new(completion))).unwrap().unwrap();
        commit(&mut reducer);
        let applied = reducer.state().clone();
        Arc::new(Story { name, id, building, applied, frames, reader: std::sync::Mutex::new(reader) })
    }

    fn feed(&self) -> Arc<Feed> {
        Arc::new(Feed::new(self.reader.lock().unwrap().another(), Seq::ZERO))
    }

    /// Shows the events as the engine does, frame by frame, and ends.
    fn show(&self, feed: Arc<Feed>) {
        let closing = CloseOnDrop(feed);
        self.frames.iter().for_each(|frame| closing.0.publish(frame.clone(), 0));
    }

    fn last(&self) -> u64 {
        self.applied.last().0
    }
}

/// The reducer's thread, as far as callers wait for it: takes what is queued, commits in the given round, and ends when
/// it is told to. Queue and waits are those of the engine.
fn reduce(story: &Story, side: EngineSide, commits_in: Option<u32>, over: &AtomicBool) {
    let EngineSide { mut inbox, end: _end } = side;
    let (mut waits, mut round) = (Waits::default(), 0);
    while !over.load(Ordering::SeqCst) {
        while let Some(message) = inbox.take_report().or_else(|| inbox.take_command().ok()) {
            if let Message::Wait { generation, goal, reply, .. } = message {
                waits.add(story.id, generation, goal, reply);
            }
        }
        inbox.announce_room();
        let is_applied = commits_in.is_some_and(|commit| commit <= round);
        if commits_in == Some(round) {
            story.frames.iter().flatten().for_each(|recorded| waits.on_event(recorded));
        }
        waits.settle(if is_applied { &story.applied } else { &story.building });
        round = round.saturating_add(1);
        thread::yield_now();
    }
}

struct EngineSide {
    inbox: Inbox,
    end: QueueEnd,
}

fn queue(capacity: usize) -> (Queue, EngineSide) {
    let room = Room { commands: capacity, bytes: usize::MAX };
    let time = EngineTime::begin(Arc::new(SystemClock::new()), Timestamp(0));
    let (queue, inbox) = Queue::bounded(room, time, Arc::default());
    let end = queue.end();
    (queue, EngineSide { inbox, end })
}

fn wait(queue: &Queue, story: &Story) -> Response<WaitOutcome> {
    let name = story.name.clone();
    queue.ask(|reply| Message::Wait { name, generation: Generation(1), goal: Goal::Applied, reply })
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_response_is_what_the_engine_makes_of_its_reply() {
    explore(|| {
        let (reply, mut response) = reply(&Arc::default());
        let ending = thread_rng().gen_range(0..4);
        let engine = thread::spawn(move || match ending {
            0 => drop(reply),
            1 => drop(reply.taken()),
            2 => reply.taken().answer(Ok(Receipt::default())),
            _ => drop(reply.offer(Receipt::default())),
        });
        let answer = match thread_rng().gen_range(0..3) {
            0 => response.wait(),
            1 => response.wait_timeout(LONG).unwrap(),
            _ => block_on(response),
        };
        match ending {
            0 => assert!(matches!(answer, Err(CommandError::NotAccepted(_))), "{answer:?}"),
            1 => assert!(matches!(answer, Err(CommandError::Unknown(_))), "{answer:?}"),
            _ => assert!(matches!(&answer, Ok(receipt) if *receipt == Receipt::default()), "{answer:?}"),
        }
        engine.join().unwrap();
    });
}

#[test]
fn an_answer_is_taken_or_comes_back() {
    explore(|| {
        let (reply, mut response) = reply(&Arc::default());
        let engine = thread::spawn(move || reply.offer(7));
        let taken = match poll_once(&mut response) {
            Poll::Ready(answer) => answer.ok(),
            Poll::Pending => response.close().and_then(Result::ok),
        };
        drop(response);
        let given_back = engine.join().unwrap().err();
        assert_eq!([taken, given_back].into_iter().flatten().collect::<Vec<_>>(), [7]);
    });
}

#[test]
fn an_answer_that_comes_while_it_is_polled_wakes() {
    explore(|| {
        let (reply, response) = reply(&Arc::default());
        let is_dropped = thread_rng().gen_bool(0.5);
        let engine = thread::spawn(move || if is_dropped { drop(reply) } else { reply.answer(Ok(7)) });
        let found = block_on(response);
        if is_dropped {
            assert!(matches!(found, Err(CommandError::NotAccepted(_))))
        } else {
            assert_eq!(found, Ok(7))
        }
        engine.join().unwrap();
    });
}

#[test]
fn a_response_that_changes_hands_wakes_the_last_that_polled_it() {
    explore(|| {
        let (reply, mut response) = reply(&Arc::default());
        let engine = thread::spawn(move || reply.taken().answer(Ok(Receipt::default())));
        if poll_once(&mut response).is_pending() {
            let other = thread::spawn(move || {
                if thread_rng().gen_bool(0.5) && poll_once(&mut response).is_ready() {
                    return;
                }
                block_on(response).unwrap();
            });
            other.join().unwrap();
        }
        engine.join().unwrap();
    });
}

#[test]
fn a_waiter_is_answered_whichever_other_gives_up() {
    let story = Story::tell();
    explore(move || {
        let (queue, side) = queue(1);
        let over = Arc::new(AtomicBool::new(false));
        let waiters: Vec<_> =
            (0..2).map(|_| wait(&queue, &story)).map(|wait| thread::spawn(move || block_on(wait))).collect();
        let mut gives_up = wait(&queue, &story);
        let leaves = thread::spawn(move || drop(poll_once(&mut gives_up)));
        let (story, ends, round) = (Arc::clone(&story), Arc::clone(&over), thread_rng().gen_range(0..4));
        let engine = thread::spawn(move || reduce(&story, side, Some(round), &ends));
        for waiter in waiters {
            let waited = waiter.join().unwrap().unwrap();
            assert!(matches!(waited, WaitOutcome::Applied { generation: Generation(1), .. }), "{waited:?}");
        }
        leaves.join().unwrap();
        over.store(true, Ordering::SeqCst);
        engine.join().unwrap();
    });
}

#[test]
fn a_shutdown_answers_every_waiter_and_whatever_waits_for_room() {
    let story = Story::tell();
    explore(move || {
        let (queue, side) = queue(1);
        let over = Arc::new(AtomicBool::new(false));
        // With room for one, the others are asked for while they are polled, or never.
        let waiters: Vec<_> =
            (0..2).map(|_| wait(&queue, &story)).map(|wait| thread::spawn(move || block_on(wait))).collect();
        let room = QueueCapacity::new(queue);
        let room = thread::spawn(move || block_on(room));
        let (story, ends) = (Arc::clone(&story), Arc::clone(&over));
        let engine = thread::spawn(move || reduce(&story, side, None, &ends));
        over.store(true, Ordering::SeqCst);
        for waiter in waiters {
            let waited = waiter.join().unwrap();
            assert!(matches!(waited, Err(CommandError::NotAccepted(_))), "{waited:?}");
        }
        room.join().unwrap();
        engine.join().unwrap();
    });
}

/// Everything that a watch shows until its end, by a thread or by a future.
fn read(mut watch: Watch, polls: bool) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        match if polls { block_on(watch.next_event()) } else { watch.next_within(LONG) } {
            Ok(WatchItem::Event(event)) => seen.push(event.seq.0),
            Ok(WatchItem::Lagged { behind }) => assert!(behind > 0),
            Err(WatchError::Closed) => return seen,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn watchers_see_everything_in_order_and_then_the_end() {
    let story = Story::tell();
    explore(move || {
        let feed = story.feed();
        let watches = [false, true].map(|polls| (Watch::new(Arc::clone(&feed), Seq(1), Arc::default()), polls));
        let readers = watches.map(|(watch, polls)| thread::spawn(move || read(watch, polls)));
        let teller = Arc::clone(&story);
        let engine = thread::spawn(move || teller.show(feed));
        for reader in readers {
            assert!(reader.join().unwrap().into_iter().eq(1..=story.last()));
        }
        engine.join().unwrap();
    });
}

#[test]
fn a_watch_that_begins_late_has_no_gap_and_ends() {
    let story = Story::tell();
    explore(move || {
        let feed = story.feed();
        let (teller, shown) = (Arc::clone(&story), Arc::clone(&feed));
        let engine = thread::spawn(move || teller.show(shown));
        let from = thread_rng().gen_range(1..=story.last() + 1);
        let late = Watch::new(feed, Seq(from), Arc::default());
        let seen = read(late, thread_rng().gen_bool(0.5));
        // Begun after the end, it may see nothing of what is only in the log.
        assert!(seen.is_empty() || seen.iter().copied().eq(from..=story.last()), "{from}: {seen:?}");
        engine.join().unwrap();
    });
}

#[test]
fn an_attempt_that_is_told_to_stop_hears_of_it() {
    explore(|| {
        let signals = Arc::new(Signals::default());
        let stopped = [(); 2].map(|()| Stopped::new(Arc::clone(&signals)));
        let waiters = stopped.map(|stopped| thread::spawn(move || block_on(stopped)));
        let leaves = Stopped::new(Arc::clone(&signals));
        let leaves = thread::spawn(move || assert!(matches!(poll_once(leaves), Poll::Ready(()) | Poll::Pending)));
        // A clock that was moved wakes it as well, and means nothing here.
        let moved = Arc::clone(&signals);
        let clock = thread::spawn(move || moved.wake());
        signals.stop();
        for thread in waiters.into_iter().chain([leaves, clock]) {
            thread.join().unwrap();
        }
    });
}
