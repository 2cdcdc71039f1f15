//! Bounds in bytes, and what comes in time through any flood.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::{
    AttemptState, Builder, CommandError, CompletionOutcome, HeartbeatReply, LeasedAssignment, Reconciler, SubmitError,
    WatchItem,
};
use lastword::objects::MemoryObjects;

use crate::executor::{Unpark, poll_pending};
use crate::gated::{Gate, Gated};
use crate::support::*;

const LEASE: Duration = Duration::from_secs(30);
const KIB: usize = 1024;

fn lent(of: &str) -> Declaration {
    declaration(of, "{}").kind(kind("lent"))
}

fn next(lab: &Lab) -> LeasedAssignment {
    let by = WorkerName::new("w").unwrap();
    lab.handle.next_assignment(&[kind("lent")], &by, LEASE, LONG).unwrap().expect("nothing to do")
}

fn long(of: &str, bytes: usize) -> Command {
    Command::Declare(Box::new(declaration(of, &format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes)))))
}

/// The reducer stands in a check until this gate is opened.
fn stand(lab: &Lab) -> thread::JoinHandle<()> {
    let handle = lab.handle.clone();
    let held = thread::spawn(move || assert!(handle.declare(declaration("held", r#"{"check":"reducer"}"#)).is_ok()));
    lab.puppet.until_checks(1);
    held
}

#[test]
fn defect_25_the_queue_is_full_when_its_bytes_are() {
    let lab = Lab::with(|builder: Builder| builder.queue_bytes(200 * KIB));
    let held = stand(&lab);
    let mut queued = Vec::new();
    until("a full queue", || match lab.handle.try_submit(long("a", 50 * KIB)) {
        Ok(response) => {
            queued.push(response);
            false
        }
        Err(error) => error == SubmitError::Full,
    });
    assert_eq!(queued.len(), 3, "four of them are more than 200 KiB with what belongs to them");
    // What workers report has its own room.
    let unknown = AttemptRef {
        collection: CollectionId(Seq(1)),
        task: TaskId(Seq(1)),
        attempt: 1,
        token: Token { epoch: Epoch(1), seq: Seq(1) },
    };
    let heard = lab.handle.query(unknown);
    // Who may wait waits for room, and gets it.
    let handle = lab.handle.clone();
    let waits = thread::spawn(move || handle.submit(long("b", 50 * KIB)).unwrap().within("an answer").unwrap());
    let mut polled = Box::pin(lab.handle.request().command(long("c", 50 * KIB)));
    poll_pending(&mut polled, &Unpark::this());
    lab.puppet.open("reducer");
    held.within("the end of a thread").unwrap();
    for mut response in queued {
        response.wait_timeout(LONG).expect("what was queued was not answered").unwrap();
    }
    waits.within("the end of a thread").unwrap();
    crate::executor::block_on(polled).unwrap();
    assert_eq!(heard.within("an answer"), Ok(AttemptState::Gone));
    let all = lab.handle.batch((0..10).map(|n| long(&format!("d{n}"), 50 * KIB)).collect()).unwrap();
    assert!(all.iter().all(Result::is_ok), "one that is longer than the whole queue is taken alone");
    until("an empty queue", || lab.stats().queued_bytes == 0);
}

#[test]
fn defect_25_the_feed_keeps_so_many_bytes_and_no_event_is_missed() {
    const MOST: u64 = 32 << 20;
    let lab = Lab::start();
    let mut watch = lab.handle.watch(Seq(1));
    // More than 32 MiB in the specs of 600 events.
    for round in 0..600 {
        lab.handle
            .try_submit(long(&format!("c{:02}", round % 64), 60 * KIB + round))
            .unwrap()
            .within("an answer")
            .unwrap();
    }
    let stats = lab.stats();
    assert!(stats.feed_bytes <= MOST && stats.feed_bytes > MOST / 2, "{} bytes", stats.feed_bytes);
    assert!(stats.feed_events < stats.durable.0, "{} events", stats.feed_events);
    // What is not in memory any more comes from the log.
    assert!(matches!(watch.next_within(LONG).unwrap(), WatchItem::Lagged { .. }));
    for seq in 1..100 {
        let WatchItem::Event(recorded) = watch.next_within(LONG).unwrap() else { panic!("told twice") };
        assert_eq!(recorded.seq, Seq(seq));
    }
}

#[test]
fn defect_26_a_heartbeat_that_came_in_time_is_not_late_behind_a_flood() {
    let lab = Lab::start();
    lab.handle.declare(lent("a")).unwrap();
    lab.handle.declare(lent("b")).unwrap();
    let (beating, reporting) = (next(&lab), next(&lab));
    lab.clock.advance(LEASE - Duration::from_secs(1));
    let held = stand(&lab);
    // More than a frame takes, all of it before the heartbeat and the completion.
    let flood: Vec<_> = (0..100).map(|n| lab.handle.try_submit(long(&format!("f{n}"), 60 * KIB)).unwrap()).collect();
    let mut heartbeat = lab.handle.heartbeat(beating.attempt());
    let mut completed = lab.handle.complete(reporting.attempt(), reporting.fingerprint(), Built::default());
    lab.clock.advance(Duration::from_secs(5));
    lab.puppet.open("reducer");
    let heard = heartbeat.wait_timeout(LONG).expect("the heartbeat was not answered").unwrap();
    assert!(matches!(heard, HeartbeatReply::Go { .. }), "{heard:?}");
    let committed = completed.wait_timeout(LONG).expect("the completion was not answered").unwrap();
    assert!(matches!(committed, CompletionOutcome::Committed { .. }), "{committed:?}");
    held.within("the end of a thread").unwrap();
    for mut response in flood {
        response.wait_timeout(LONG).expect("the flood was not answered").unwrap();
    }
    assert_eq!(lab.count("attempt_failed"), 0);
    // Silence is late nevertheless.
    lab.clock.advance(LEASE + Duration::from_secs(1));
    until("the lease running out", || {
        lab.handle.query(beating.attempt()).within("an answer") == Ok(AttemptState::Gone)
    });
}

/// Two frames of completions come in one go, just in time. The second of them is judged by when it came.
#[test]
fn defect_26_reports_that_do_not_fit_into_one_frame_are_judged_by_when_they_came() {
    let lab = Lab::with(|builder: Builder| builder.queue(1 << 14));
    const MANY: usize = 600;
    let all: Vec<Command> = (0..MANY).map(|n| Command::Declare(Box::new(lent(&format!("c{n:03}"))))).collect();
    assert!(lab.handle.batch(all).unwrap().iter().all(Result::is_ok));
    let taken: Vec<LeasedAssignment> = (0..MANY).map(|_| next(&lab)).collect();
    lab.clock.advance(LEASE - Duration::from_secs(1));
    let held = stand(&lab);
    let output = "x".repeat(Built::MOST_OUTPUT);
    let complete = |taken: &LeasedAssignment| {
        let built = Built { output: Some(output.as_str().into()), ..Built::default() };
        lab.handle.complete(taken.attempt(), taken.fingerprint(), built)
    };
    let completed: Vec<_> = taken.iter().map(complete).collect();
    lab.clock.advance(Duration::from_secs(5));
    lab.puppet.open("reducer");
    held.within("the end of a thread").unwrap();
    for mut completed in completed {
        let outcome = completed.wait_timeout(LONG).expect("a completion was not answered").unwrap();
        assert!(matches!(outcome, CompletionOutcome::Committed { .. }), "{outcome:?}");
    }
    assert!(lab.stats().counters.frame_longest < 2 << 20, "they were more than one frame");
}

#[test]
fn defect_27_seventy_thousand_callers_get_their_attempts_and_no_frame_is_too_long() {
    const MANY: usize = 70_000;
    let (log, gate): (Gated, Gate) = Gated::new();
    let builder = Reconciler::on(Box::new(log), Arc::new(MemoryObjects::new()));
    let reconciler = builder.queue(1 << 17).limits(Limits { total: Some(1), ..Limits::default() }).start().unwrap();
    let handle = reconciler.handle();
    let by = WorkerName::new("w").unwrap();
    let names: Vec<String> = (0..MANY).map(|n| format!("c{n}")).collect();
    for some in names.chunks(4096) {
        let all = some.iter().map(|of| Command::Declare(Box::new(lent(of)))).collect();
        assert!(handle.batch(all).unwrap().iter().all(Result::is_ok));
    }
    let mut waiting: Vec<_> =
        (0..MANY).map(|_| Box::pin(handle.assignment(&[kind("lent")], &by, LEASE * 100))).collect();
    until("all of them waiting", || handle.stats().unwrap().assignment_waiters == MANY as u64 - 1);
    gate.open();
    handle.limit(Limits::default()).unwrap();
    until("all attempts being lent", || handle.stats().unwrap().leased == MANY as u64);
    // First come, first served.
    let first = crate::executor::block_on(waiting.remove(0)).unwrap();
    let last = crate::executor::block_on(waiting.pop().unwrap()).unwrap();
    assert!(first.token() < last.token());
    drop(waiting);
    reconciler.shutdown(LONG).unwrap();
}

#[test]
fn defect_50_waiting_callers_are_served_first_come_first_served_also_across_kinds() {
    let lab = Lab::start();
    let by = |text: &str| WorkerName::new(text).unwrap();
    let kinds = [vec![kind("lent")], vec![kind("lent"), kind("other")], vec![kind("lent")], vec![kind("other")]];
    let mut waiting = Vec::new();
    for (n, kinds) in kinds.iter().enumerate() {
        waiting.push(Box::pin(lab.handle.assignment(kinds, &by(&format!("w{n}")), LEASE)));
        until("a caller that waits", || lab.stats().assignment_waiters == n as u64 + 1);
    }
    let worker = |of: &str| {
        let mut by = String::new();
        until("an attempt", || match lab.view(of).condition {
            lastword::core::Condition::Running { worker, .. } => {
                by = worker.to_string();
                true
            }
            _ => false,
        });
        by
    };
    lab.handle.declare(lent("a")).unwrap();
    assert_eq!(worker("a"), "w0");
    lab.handle.declare(declaration("b", "{}").kind(kind("other"))).unwrap();
    assert_eq!(worker("b"), "w1", "it came before the one that waits for this kind alone");
    lab.handle.declare(lent("c")).unwrap();
    assert_eq!(worker("c"), "w2");
    lab.handle.declare(declaration("d", "{}").kind(kind("other"))).unwrap();
    assert_eq!(worker("d"), "w3");
    drop(waiting);
}

#[test]
fn defect_25_a_batch_that_is_too_long_is_refused_as_a_future_too() {
    let lab = Lab::start();
    let many = vec![Command::Pause { name: name("a") }; 4097];
    assert_eq!(
        lab.handle.request().batch(many).within("an answer"),
        Err(CommandError::BatchTooLong { commands: 4097 })
    );
}
