//! Tickets, waits, watches and cancellation as plain futures: no runtime, no thread that waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use lastword::core::Parking;
use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, Response, SubmitError, WaitOutcome, WatchError, WatchItem};
use lastword::log::Keep;
use lastword::worker::{Context, Failure, Stopped, Worker};

use crate::executor::{Unpark, all, block_on, either, poll_pending};
use crate::support::*;

fn declare(of: &str, json: &str) -> Command {
    Command::Declare(Box::new(declaration(of, json)))
}

/// Queues a command without ever blocking.
async fn submit(lab: &Lab, command: Command) -> Response<Receipt> {
    loop {
        match lab.handle.try_submit(command.clone()) {
            Ok(ticket) => return ticket,
            Err(SubmitError::Full) => lab.handle.queue_capacity().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn many_tickets_and_waits_on_one_thread_through_a_short_queue() {
    const MANY: usize = 300;
    let lab = Lab::with(|builder| builder.queue(2));
    let names: Vec<String> = (0..MANY).map(|n| format!("c{n}")).collect();
    let tickets = names.iter().map(|of| Box::pin(async { submit(&lab, declare(of, "{}")).await.await }));
    let receipts = all(tickets);
    assert!(receipts.iter().all(|receipt| receipt.as_ref().is_ok_and(|r| r.generation == Generation(1))));
    let applied = all(names.iter().map(|of| lab.handle.applied(name(of), Generation(1))));
    assert_eq!(applied.len(), MANY);
    assert!(applied.iter().all(|waited| matches!(waited, Ok(WaitOutcome::Applied { .. }))));
    lab.verify();
}

#[test]
fn case_48_who_awaits_room_in_a_full_queue_is_woken_when_there_is_some() {
    let lab = Lab::with(|builder| builder.queue(1));
    let held = lab.handle.submit(declare("held", r#"{"check":"reducer"}"#)).unwrap();
    lab.puppet.until_checks(1);
    let queued = lab.handle.submit(declare("a", "{}")).unwrap();
    assert!(matches!(lab.handle.try_submit(declare("b", "{}")), Err(SubmitError::Full)));
    let (room, wait) = (lab.handle.queue_capacity(), lab.handle.applied(name("a"), Generation(1)));
    let room = std::thread::spawn(move || block_on(room));
    let wait = std::thread::spawn(move || block_on(wait));
    lab.puppet.open("reducer");
    until("room and an answer", || room.is_finished() && wait.is_finished());
    assert!(matches!(wait.within("the end of a thread").unwrap(), Ok(WaitOutcome::Applied { .. })));
    all([held, queued]).into_iter().for_each(|answer| assert!(answer.is_ok()));
}

#[test]
fn case_49_a_polled_ticket_ends_as_done_refused_not_accepted_or_unknown() {
    let mut lab = Lab::start();
    assert!(block_on(lab.handle.submit(declare("a", "{}")).unwrap()).is_ok());
    let refused = block_on(lab.handle.submit(Command::Drop { name: name("nobody") }).unwrap());
    assert_eq!(refused, Err(CommandError::Refused(Rejection::UnknownCollection(name("nobody")))));

    // The reducer is held in a check: what is asked now is still queued when it goes on, and its barrier fails.
    let held = lab.handle.submit(declare("held", r#"{"check":"reducer"}"#)).unwrap();
    lab.puppet.until_checks(1);
    lab.disk.fail_next_barrier(Keep::None);
    let queued: Vec<Response<Receipt>> = (0..4).map(|_| lab.handle.submit(declare("b", "{}")).unwrap()).collect();
    lab.puppet.open("reducer");
    for answer in all([held].into_iter().chain(queued)) {
        assert!(matches!(answer, Err(CommandError::Unknown(_) | CommandError::NotAccepted(_))), "{answer:?}");
    }
    assert!(block_on(lab.handle.applied(name("a"), Generation(9))).is_err());
    let _ = lab.shutdown(LONG);
    block_on(lab.handle.queue_capacity());
    assert!(matches!(lab.handle.try_submit(declare("c", "{}")), Err(SubmitError::Command(_))));
}

#[test]
fn a_ticket_may_be_polled_put_down_and_waited_for() {
    let lab = Lab::start();
    let mut ticket = lab.handle.submit(declare("held", r#"{"check":"reducer"}"#)).unwrap();
    lab.puppet.until_checks(1);
    poll_pending(&mut ticket, &Unpark::this());
    assert_eq!(ticket.wait_timeout(Duration::from_millis(1)), None);
    lab.puppet.open("reducer");
    assert!(ticket.within("an answer").is_ok());
}

#[test]
fn case_47_waits_that_are_polled_end_in_every_way() {
    let mut lab = Lab::start();
    for of in ["superseded", "cancelled", "dropped", "left"] {
        lab.declare(of, r#"{"do":"wait","gate":"g"}"#);
    }
    let wait = |of: &str| lab.handle.applied(name(of), Generation(1));
    let (wake, mut left) = (Unpark::this(), wait("left"));
    let mut waits = ["superseded", "cancelled", "dropped"].map(wait);
    waits.iter_mut().for_each(|wait| poll_pending(wait, &wake));
    poll_pending(&mut left, &wake);
    lab.declare("superseded", "{}");
    lab.handle.cancel(name("cancelled"), None).unwrap();
    lab.handle.drop_collection(name("dropped")).unwrap();
    let expected = [
        Ok(WaitOutcome::Superseded { generation: Generation(2) }),
        Ok(WaitOutcome::Parked { cause: Parking::Cancelled }),
        Ok(WaitOutcome::Dropped),
    ];
    assert_eq!(all(waits), expected);
    assert_eq!(left.wait_timeout(Duration::from_millis(1)), None);
    lab.shutdown(LONG).unwrap();
    assert!(matches!(block_on(left), Err(CommandError::NotAccepted(_))));
}

#[test]
fn what_is_dropped_while_it_is_pending_leaves_nothing_behind() {
    let lab = Lab::with(|builder| builder.queue(1));
    lab.declare("a", r#"{"do":"wait","gate":"never"}"#);
    let wake = Unpark::this();
    let mut waits: Vec<_> = (0..100).map(|_| lab.handle.applied(name("a"), Generation(1))).collect();
    waits.iter_mut().for_each(|wait| poll_pending(wait, &wake));
    // Those for which the queue had no room are sent by their next polls.
    until("the last question", || {
        waits.iter_mut().for_each(|wait| poll_pending(wait, &wake));
        lab.handle.stats().unwrap().waiters == 100
    });
    let mut watch = lab.handle.watch(lab.handle.stats().unwrap().durable.plus(1000));
    let waker = Waker::from(Arc::clone(&wake));
    assert!(watch.poll_next(&mut TaskContext::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&wake), 102, "one for each wait and the watch, beside our own");
    drop((waits, watch));
    assert_eq!(lab.handle.stats().unwrap().waiters, 0);

    // While the reducer is held in a check, a ticket, and with a full queue a wait and whoever wants room.
    let mut held = lab.handle.submit(declare("held", r#"{"check":"reducer"}"#)).unwrap();
    lab.puppet.until_checks(1);
    let queued = lab.handle.submit(declare("b", "{}")).unwrap();
    let mut wait = lab.handle.applied(name("a"), Generation(1));
    let mut room = lab.handle.queue_capacity();
    assert_eq!(wait.wait_timeout(Duration::from_millis(1)), None);
    poll_pending(&mut held, &wake);
    poll_pending(&mut wait, &wake);
    poll_pending(&mut room, &wake);
    assert_eq!(Arc::strong_count(&wake), 4);
    drop((held, wait, room));
    assert_eq!(Arc::strong_count(&wake), 1);
    lab.puppet.open("reducer");
    assert!(queued.within("an answer").is_ok());
    assert!(lab.handle.status(name("held")).unwrap().is_some(), "dropping a ticket takes nothing back");
}

#[test]
fn a_watch_is_followed_without_a_thread() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    let mut lab = lab.restart();
    let mut watch = lab.handle.watch(Seq(1));
    lab.declare("b", r#"{"do":"wait","gate":"g"}"#);
    let follow = async {
        let (mut seen, mut lagged) = (Vec::new(), 0);
        loop {
            match watch.next_event().await {
                Ok(WatchItem::Event(event)) => seen.push(event.seq.0),
                Ok(WatchItem::Lagged { .. }) => lagged += 1,
                Err(WatchError::Closed) => return (seen, lagged),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let reconciler = lab.release().unwrap();
    let shutdown = {
        let handle = lab.handle.clone();
        std::thread::spawn(move || {
            handle.declare(declaration("c", "{}")).unwrap();
            handle.wait_applied(name("c"), Generation(1), LONG).unwrap();
            reconciler.shutdown(LONG).unwrap();
        })
    };
    let (seen, lagged) = block_on(follow);
    shutdown.within("the end of a thread").unwrap();
    assert!(seen.iter().copied().eq(1..=lab.events().last().unwrap().seq.0), "{seen:?}");
    assert_eq!(lagged, 1, "what the first process wrote comes from the log");
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    let waker = Waker::from(Arc::new(Bad));
    let mut wait = lab.handle.applied(name("a"), Generation(1));
    assert!(Pin::new(&mut wait).poll(&mut TaskContext::from_waker(&waker)).is_pending());
    lab.puppet.open("g");
    lab.applied("a", 1);
    assert!(matches!(Pin::new(&mut wait).poll(&mut TaskContext::from_waker(&waker)), Poll::Ready(Ok(_))));
    lab.verify();
}

/// Runs a future until it is told to stop; the future it was last told of comes out of a channel.
struct Asynchronous(Mutex<Sender<Stopped>>);

impl Worker for Asynchronous {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let never = std::future::pending::<Result<Built, Failure>>();
        let stopped = context.stopped();
        self.0.lock().unwrap().send(context.stopped()).unwrap();
        block_on(either(never, async {
            stopped.await;
            Err(Failure::Stopped)
        }))
    }
}

#[test]
fn case_01_a_worker_that_is_a_future_stops_when_something_newer_is_wanted() {
    let (told, stopped): (_, Receiver<Stopped>) = channel();
    let lab = Lab::with(move |builder| builder.kind(kind("async"), Asynchronous(Mutex::new(told.clone()))));
    lab.handle.declare(Declaration { kind: Some(kind("async")), ..declaration("a", "{}") }).unwrap();
    let first = stopped.within("a message");
    assert!(format!("{first:?}").contains("false"));
    lab.handle.declare(Declaration { spec: Some(spec(r#"{"n":2}"#)), ..Declaration::new(name("a")) }).unwrap();
    block_on(first);
    let mut second = stopped.within("a message");
    poll_pending(&mut second, &Unpark::this());
    lab.handle.drop_collection(name("a")).unwrap();
    block_on(second);
    until("both having stopped", || lab.handle.stats().unwrap().idle_workers == 2);
    assert_eq!(lab.count("attempt_ended"), 2);
    lab.verify();
}

/// Looks at something outside every ten seconds, three times, and is never deaf.
struct Polling(Mutex<Sender<u32>>);

impl Worker for Polling {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        for round in 1..=3 {
            self.0.lock().unwrap().send(round).unwrap();
            if context.wait_stopped(Duration::from_secs(10)) {
                return Err(Failure::Stopped);
            }
        }
        Ok(Built::default())
    }
}

#[test]
fn a_worker_sleeps_by_the_engines_clock_and_hears_when_it_is_told_to_stop() {
    let (told, rounds) = channel();
    let lab = Lab::with(move |builder| builder.kind(kind("polling"), Polling(Mutex::new(told.clone()))));
    let polling = |of| Declaration { kind: Some(kind("polling")), ..declaration(of, "{}") };
    lab.handle.declare(polling("a")).unwrap();
    for round in 1..=3 {
        assert_eq!(rounds.within("a message"), round);
        lab.until_asleep(1);
        assert!(rounds.try_recv().is_err());
        lab.clock.advance(Duration::from_secs(10));
    }
    lab.applied("a", 1);

    lab.handle.declare(polling("b")).unwrap();
    assert_eq!(rounds.within("a message"), 1);
    lab.until_asleep(1);
    lab.handle.cancel(name("b"), None).unwrap();
    lab.until_count("attempt_ended", 2);
    assert_eq!(lab.handle.stats().unwrap().sleeping, 0);
    lab.verify();
}
