//! What is owed to destinations: published in order, at least once, across failures, hangs and crashes.

use std::time::Duration;

use lastword::core::Lag;
use lastword::core::vocabulary::*;
use lastword::engine::Builder;
use lastword::log::Keep;
use lastword::testing::Gate;

use crate::press::*;
use crate::support::*;

/// The default of `Builder::delivery_timeout`.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn a_commit_is_published_with_its_token() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    lab.until_met("a");
    let applied = lab.view("a").applied.unwrap();
    let live = press.destination.live("a").unwrap();
    assert_eq!((live.token, live.output.as_deref()), (applied.token, applied.result.output.as_deref()));
    assert_eq!(lab.owes("a").published, Some(applied.seq));
    let stats = lab.stats();
    assert_eq!((stats.counters.published, stats.undelivered, stats.deliveries), (1, 0, 0));
    lab.verify();
}

#[test]
fn a_kind_without_duties_owes_nothing() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    assert_eq!(lab.view("a").outbox, None);
    assert!(!lab.status("a").undeliverable);
}

#[test]
fn case_45_commits_are_published_one_after_the_other_in_their_order() {
    let press = Press::new();
    let lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    for n in 1..=3 {
        lab.commit("a", &format!(r#"{{"n":{n}}}"#));
    }
    press.until_calls(Act::Publish, "a", 1);
    lab.advance(Duration::from_secs(10));
    // The destination is behind; the collection is not.
    let view = lab.view("a");
    let owes = lab.owes("a");
    assert_eq!((view.lag, owes.lag), (Lag::Zero, Lag::Since(Duration::from_secs(10))));
    assert_eq!((owes.unpublished, owes.published), (3, None));
    assert_eq!(press.calls().len(), 1, "never two at a time for one collection");
    assert_eq!(press.destination.live("a"), None);
    // Nothing that readers may still be shown is discarded.
    assert_eq!(press.destination.outputs().len(), 6);

    gate.open();
    lab.until_met("a");
    assert_eq!(lab.published("a"), lab.commits("a"));
    let acts: Vec<Act> = press.calls().iter().map(|call| call.act).collect();
    assert_eq!(acts, [Act::Publish, Act::Publish, Act::Discard, Act::Publish, Act::Discard]);
    assert_eq!(press.destination.outputs(), press.destination.live_outputs("a"));
    assert_eq!(lab.owes("a").lag, Lag::Zero);
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn a_full_outbox_keeps_the_next_attempt_until_something_of_it_was_delivered() {
    let press = Press::new();
    let lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    // The first commit replaces nothing, every other one does: one and 64 times two.
    for n in 1..=65 {
        lab.commit("a", &format!(r#"{{"n":{n}}}"#));
    }
    let last = lab.print("a", r#"{"n":0}"#).generation;
    lab.until_condition("a", "undelivered");
    // Others are not kept by it.
    lab.commit("b", r#"{"n":1}"#);
    lab.until_met("b");
    let waited = lab.handle.wait_applied(name("a"), last, Duration::from_millis(1)).unwrap();
    assert_eq!((waited, lab.commits("a").len()), (lastword::engine::WaitOutcome::TimedOut, 65));
    gate.open();
    lab.applied("a", last.0);
    lab.until_met("a");
    assert_eq!((lab.published("a"), lab.published("a").len()), (lab.commits("a"), 66));
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn case_45_a_crash_between_commit_and_publish_publishes_after_the_restart() {
    let press = Press::new();
    let lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    lab.commit("a", r#"{"n":1}"#);
    lab.commit("a", r#"{"n":2}"#);
    press.until_calls(Act::Publish, "a", 1);
    let commits = lab.commits("a");
    let lab = lab.crash();
    lab.until_met("a");
    assert_eq!(lab.published("a"), commits);
    let newest = press.destination.live("a");
    // The first life's courier comes to its end now, and changes nothing.
    gate.open();
    press.until_served(press.calls().len());
    assert_eq!(press.destination.live("a"), newest);
    let times: Vec<Seq> = press.calls().iter().filter(|c| c.act == Act::Publish).map(|call| call.seq).collect();
    assert_eq!(times, [commits[0], commits[0], commits[1]]);
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn case_45_a_crash_after_the_publish_and_before_its_event_publishes_once_more() {
    let press = Press::new();
    let mut lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    lab.commit("a", r#"{"n":1}"#);
    press.until_calls(Act::Publish, "a", 1);
    lab.fail_next_append(Keep::None);
    gate.open();
    until("the engine's death", || lab.handle.stats().is_err());
    let first = press.destination.live("a").unwrap();
    assert_eq!(lab.published("a"), []);
    lab.harness.reopen();
    press.until_calls(Act::Publish, "a", 2);
    lab.until_met("a");
    assert_eq!((lab.published("a"), press.destination.live("a")), (lab.commits("a"), Some(first)));
    lab.verify();
}

#[test]
fn case_45_nothing_is_published_before_its_commit_is_durable() {
    let press = Press::new();
    let mut lab = lab(&press);
    lab.print("a", r#"{"do":"wait","gate":"work"}"#);
    press.gate("work").until_reached(&lab, 1);
    lab.fail_next_barrier(Keep::None);
    press.gate("work").open();
    until("the engine's death", || lab.handle.stats().is_err());
    assert_eq!(press.calls(), []);
    // The attempt is lost, and another one is made and published.
    lab.harness.reopen();
    lab.handle = lab.harness.handle().clone();
    lab.applied("a", 1);
    lab.until_met("a");
    assert_eq!(press.count(Act::Publish, "a"), 1);
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn case_45_a_publish_that_fails_is_retried_with_backoff_and_visible() {
    let press = Press::new();
    let lab = lab(&press);
    press.next(Act::Publish, "a", Reaction::Refuse("the disk is full"));
    press.next(Act::Publish, "a", Reaction::Panic("out of its mind"));
    press.next(Act::Publish, "a", Reaction::DoAndRefuse("no answer"));
    lab.commit("a", r#"{"n":1}"#);
    for (failures, cause) in [(1, "the disk is full"), (2, "it panicked: out of its mind"), (3, "no answer")] {
        lab.until_count("publish_failed", failures);
        let failure = lab.owes("a").failure.unwrap();
        assert_eq!((failure.delivery, &*failure.cause), (DeliveryKind::Publish, cause));
        assert_eq!(failure.failures as usize, failures);
        let wait = failure.retry_at.since(lab.stats().at);
        if !wait.is_zero() {
            // Not a microsecond too early.
            lab.advance(wait - Duration::from_micros(1));
            assert_eq!((press.count(Act::Publish, "a"), lab.stats().deliveries), (failures, 0));
        }
        // What comes later waits, also over the end of a process.
        lab.pass_backoff("a");
        press.until_calls(Act::Publish, "a", failures + 1);
    }
    lab.until_met("a");
    assert_eq!(lab.owes("a").failure, None);
    let counted = lab.stats().counters;
    assert_eq!((counted.published, counted.publish_failed), (1, 3));
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn case_45_failures_and_their_backoff_outlive_a_crash() {
    let press = Press::new();
    let lab = lab(&press);
    for _ in 0..6 {
        press.next(Act::Publish, "a", Reaction::Refuse("down"));
    }
    lab.commit("a", r#"{"n":1}"#);
    let mut lab = lab;
    for failures in 1..=6 {
        // As the engine answers: what the log alone shows may not be durable yet, and the crash would take it along.
        let failed = || lab.owes("a").failure.is_some_and(|failure| failure.failures as usize >= failures);
        until(&format!("failure {failures}"), failed);
        lab = lab.crash();
        // It may have been tried again by now.
        let counted = lab.owes("a").failure.map(|failure| failure.failures as usize);
        assert!(counted.is_none_or(|counted| counted >= failures), "{counted:?} after {failures}");
        // No delay is longer.
        lab.advance(Retry::default().cap);
    }
    lab.until_met("a");
    assert_eq!(lab.published("a"), lab.commits("a"));
    lab.verify();
}

#[test]
fn a_destination_that_is_down_does_not_hold_up_the_others_or_later_commits() {
    let press = Press::new();
    let lab = lab_with(&press, |builder| builder.delivery_threads(1));
    press.next(Act::Publish, "a", Reaction::Refuse("down"));
    lab.commit("a", r#"{"n":1}"#);
    lab.until_count("publish_failed", 1);
    lab.commit("a", r#"{"n":2}"#);
    lab.commit("b", r#"{"n":1}"#);
    lab.until_met("b");
    assert_eq!((lab.owes("a").unpublished, press.count(Act::Publish, "a")), (2, 1));
    lab.pass_backoff("a");
    lab.until_met("a");
    assert_eq!(lab.published("a"), lab.commits("a"));
}

#[test]
fn case_44_a_publication_that_hung_is_replaced_and_cannot_undo_what_came_later() {
    let press = Press::new();
    let lab = lab_with(&press, |builder| builder.delivery_threads(1));
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    lab.commit("a", r#"{"n":1}"#);
    press.until_calls(Act::Publish, "a", 1);
    lab.commit("b", r#"{"n":1}"#);
    lab.advance(PATIENCE - Duration::from_micros(1));
    assert_eq!((lab.owes("a").failure, lab.owes("b").unpublished), (None, 1));
    lab.advance(Duration::from_micros(1));
    let failure = lab.owes("a").failure.unwrap();
    assert_eq!((&*failure.cause, failure.failures), ("it has not returned for 300s", 1));
    assert_eq!(lab.stats().overdue_deliveries, 1);
    lab.until_met("b");

    // Retried while the first still hangs, and replaced by the next commit.
    lab.pass_backoff("a");
    lab.until_met("a");
    lab.commit("a", r#"{"n":2}"#);
    lab.until_met("a");
    let events = lab.events().len();
    gate.open();
    until("the end of the hung one", || lab.stats().overdue_deliveries == 0);
    // It was refused by the destination, and nobody minds.
    assert_eq!(lab.events().len(), events);
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn a_success_that_comes_late_counts_if_it_is_still_owed() {
    let press = Press::new();
    let lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    lab.commit("a", r#"{"n":1}"#);
    press.until_calls(Act::Publish, "a", 1);
    // The next try fails as well, so that it is owed for a while.
    press.next(Act::Publish, "a", Reaction::Refuse("down"));
    lab.advance(PATIENCE);
    lab.pass_backoff("a");
    lab.until_count("publish_failed", 2);
    gate.open();
    lab.until_met("a");
    assert_eq!((press.count(Act::Publish, "a"), lab.count("published")), (2, 1));
    lab.is_as_published(&press, "a");
    lab.verify();
}

#[test]
fn destinations_that_hang_do_not_eat_the_machine() {
    let press = Press::new();
    let lab = lab_with(&press, |builder| builder.delivery_threads(1));
    let gate = press.gate("door");
    for name in ["a", "b", "c"] {
        press.next(Act::Publish, name, Reaction::Wait(gate.clone()));
        lab.commit(name, r#"{"n":1}"#);
    }
    press.until_calls(Act::Publish, "a", 1);
    lab.advance(PATIENCE);
    press.until_calls(Act::Publish, "b", 1);
    lab.advance(PATIENCE);
    until("both given up", || lab.stats().overdue_deliveries == 2);
    // As many hang as there may be beside the couriers: nobody is sent off, and the engine sleeps.
    lab.advance(PATIENCE);
    assert_eq!((press.count(Act::Publish, "c"), lab.stats().deliveries), (0, 0));
    gate.open();
    for name in ["a", "b", "c"] {
        until(name, || {
            lab.advance(Duration::from_secs(60));
            lab.owes(name).unpublished == 0
        });
        lab.is_as_published(&press, name);
    }
    lab.verify();
}

#[test]
fn a_shutdown_waits_for_couriers_and_not_for_ever() {
    let press = Press::new();
    let mut lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    press.next(Act::Publish, "b", Reaction::Wait(Gate::new()));
    lab.commit("a", r#"{"n":1}"#);
    press.until_calls(Act::Publish, "a", 1);
    let reconciler = lab.release().unwrap();
    let ending = std::thread::spawn(move || reconciler.shutdown(LONG));
    until("the shutdown", || lab.handle.status(name("b")).is_err());
    gate.open();
    ending.within("the end of a thread").unwrap().unwrap();
    assert_eq!(lab.published("a"), lab.commits("a"));

    lab.harness.reopen();
    lab.handle = lab.harness.handle().clone();
    lab.commit("b", r#"{"n":1}"#);
    press.until_calls(Act::Publish, "b", 1);
    lab.shutdown(Duration::ZERO).unwrap();
    assert_eq!(lab.published("b"), []);
}

#[test]
fn what_nobody_here_can_deliver_is_left_and_visible() {
    let press = Press::new();
    let (is_there, worker) = (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)), press.clone());
    let asked = std::sync::Arc::clone(&is_there);
    let lab = Lab::with(move |builder: Builder| match asked.load(std::sync::atomic::Ordering::SeqCst) {
        true => builder.kind(kind("press"), worker.reborn()),
        false => builder,
    });
    press.next(Act::Publish, "a", Reaction::Refuse("down"));
    lab.commit("a", r#"{"n":1}"#);
    lab.until_count("publish_failed", 1);
    is_there.store(false, std::sync::atomic::Ordering::SeqCst);
    let lab = lab.restart();
    lab.advance(Duration::from_secs(3600));
    let status = lab.status("a");
    assert!(status.undeliverable);
    assert_eq!(status.view.outbox.unwrap().unpublished, 1);
    // Due for long, and nobody is kept awake by it.
    let before = lab.stats();
    assert!(before.due.is_none_or(|due| due > before.at), "{before:?}");
    assert!(lab.run_until_settled().is_fresh());

    is_there.store(true, std::sync::atomic::Ordering::SeqCst);
    let lab = lab.restart();
    lab.until_met("a");
    assert!(!lab.status("a").undeliverable);
    lab.is_as_published(&press, "a");
}

#[test]
fn a_worker_that_says_it_publishes_and_cannot_is_seen() {
    struct Boaster;
    impl lastword::Worker for Boaster {
        fn run(&self, _: &lastword::Context) -> Result<Built, lastword::Failure> {
            Ok(Built::default())
        }
        fn duties(&self) -> Duties {
            BOTH
        }
    }
    let lab = Lab::with(|builder| builder.kind(kind("press"), Boaster));
    lab.commit("a", "{}");
    lab.until_count("publish_failed", 1);
    let cause = lab.owes("a").failure.unwrap().cause;
    assert_eq!(&*cause, "the kind press says that it publishes, and cannot");
}

#[test]
fn settling_waits_for_destinations() {
    let press = Press::new();
    let lab = lab(&press);
    for _ in 0..3 {
        press.next(Act::Publish, "a", Reaction::Refuse("down"));
    }
    lab.print("a", r#"{"n":1}"#);
    assert!(lab.run_until_settled().is_fresh());
    assert_eq!((lab.owes("a").unpublished, lab.count("publish_failed")), (0, 3));
}
