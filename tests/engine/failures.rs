//! Attempts that fail, panic, are parked, cancelled with their collection, and wake again.

use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::core::{Condition, Parking};
use lastword::engine::CommandError;

use crate::support::*;

#[test]
fn case_33_ten_panics_in_a_row_park_and_nothing_else_is_affected() {
    let lab = Lab::with(|builder| builder.workers(1));
    lab.declare("bad", r#"{"do":"panic","say":"of all things"}"#);
    for attempt in 1..=10 {
        lab.until_count("attempt_failed", attempt);
        lab.declare(&format!("good{attempt}"), "{}");
        lab.applied(&format!("good{attempt}"), 1);
        lab.clock.advance(Duration::from_secs(31));
    }
    lab.until_condition("bad", "parked");
    let Condition::Parked { cause, failure } = lab.view("bad").condition else { unreachable!() };
    assert_eq!(cause, Parking::Failed(ParkCause::OutOfAttempts));
    let failure = failure.unwrap();
    assert_eq!((failure.reason, &*failure.message), (FailReason::Panicked, "of all things"));
    lab.clock.advance(Duration::from_secs(3600));
    assert_eq!(lab.view("bad").failures, 10);
    let stats = lab.handle.stats().unwrap();
    assert_eq!((stats.counters.failed, stats.counters.committed, stats.idle_workers, stats.parked), (10, 10, 1, 1));
    lab.verify();
}

#[test]
fn case_33_a_check_that_panics_refuses_its_declaration_and_nothing_else() {
    let lab = Lab::start();
    let refused = lab.handle.declare(declaration("a", r#"{"check":"panic"}"#)).unwrap_err();
    let CommandError::Refused(Rejection::Field(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.field, "kind");
    assert!(error.problem.contains("a check that panics"), "{error}");
    lab.declare("a", "{}");
    lab.applied("a", 1);
}

#[test]
fn case_31_a_failing_collection_shows_its_cause_and_when_it_is_tried_again() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"fail","say":"the disk is full\nand more"}"#);
    lab.until_condition("a", "backing_off");
    let Condition::BackingOff { until: retry, failure } = lab.view("a").condition else { unreachable!() };
    assert!(retry > lab.view("a").last_failure.unwrap().at);
    assert_eq!(&*failure.unwrap().message, "the disk is full\nand more");
    assert!(lab.view("a").condition.to_string().ends_with("(the disk is full)"));

    // A refresh wakes it at once, without a moment passing.
    lab.handle.refresh(name("a")).unwrap();
    until("the second attempt", || lab.view("a").attempts == 2);
    lab.until_condition("a", "backing_off");
    // So does a change.
    lab.declare("a", "{}");
    lab.applied("a", 2);
    assert_eq!(lab.view("a").failures, 0);
    lab.verify();
}

#[test]
fn case_31_a_parked_collection_is_woken_by_a_refresh_or_a_change() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"permanent","say":"no such column"}"#);
    lab.until_condition("a", "parked");
    lab.clock.advance(Duration::from_secs(36_000));
    assert_eq!(lab.view("a").attempts, 0, "parked is parked");
    // Declaring the same again is no change.
    lab.declare("a", r#"{"do":"permanent","say":"no such column"}"#);
    assert_eq!(lab.count("task_created"), 1);

    lab.handle.refresh(name("a")).unwrap();
    lab.until_count("task_parked", 2);
    assert_eq!(lab.count("task_created"), 2);
    lab.declare("a", "{}");
    lab.applied("a", 2);
    lab.verify();
}

#[test]
fn case_34_dropping_leaves_no_task_and_no_timer_behind() {
    let lab = Lab::start();
    lab.declare("running", r#"{"do":"wait","gate":"never"}"#);
    lab.puppet.until_begun(1);
    lab.declare("failing", r#"{"do":"fail"}"#);
    lab.until_condition("failing", "backing_off");
    lab.declare("deaf", r#"{"do":"deaf","gate":"late"}"#);
    lab.puppet.until_begun(3);
    for of in ["running", "failing", "deaf"] {
        lab.handle.drop_collection(name(of)).unwrap();
    }
    assert!(lab.handle.list().unwrap().is_empty());
    let refused = lab.handle.refresh(name("running"));
    assert_eq!(refused, Err(CommandError::Refused(Rejection::UnknownCollection(name("running")))));

    // The same name is another collection, and the late result of the old one is not its own.
    let again = lab.declare("deaf", "{}");
    lab.applied("deaf", 1);
    lab.puppet.open("late");
    lab.until_count("completion_rejected", 1);
    let rejected = lab.events().into_iter().find_map(|recorded| match recorded.event {
        Event::CompletionRejected { reason, collection, .. } => Some((reason, Some(collection) == again.collection)),
        _ => None,
    });
    assert_eq!(rejected, Some((RejectReason::UnknownCollection, false)));
    until("all attempts' end", || lab.state().all_draining().count() == 0);
    let state = lab.state();
    assert_eq!((state.len(), state.next_deadline(), state.next_ready(&[kind("puppet")], state.at())), (1, None, None));
    lab.verify();
}

#[test]
fn case_34_a_deaf_worker_of_a_dropped_collection_is_abandoned_too() {
    let lab = Lab::with(|builder| builder.workers(1));
    lab.declare("a", r#"{"do":"deaf","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.handle.drop_collection(name("a")).unwrap();
    lab.declare("b", "{}");
    lab.clock.advance(Duration::from_secs(5));
    lab.applied("b", 1);
    assert_eq!(lab.handle.stats().unwrap().abandoned_workers, 1);
    lab.verify();
}

#[test]
fn a_source_that_moved_is_not_charged() {
    let lab = Lab::start();
    let mut declaration = versioned("a", "puppet", "there");
    declaration.spec = Some(spec(r#"{"do":"moved"}"#));
    lab.handle.declare(declaration).unwrap();
    lab.handle.observe(name("a"), observed("1")).unwrap();
    for moves in 1..=12 {
        lab.until_count("attempt_failed", moves);
        assert_eq!(lab.view("a").failures, 0);
        lab.clock.advance(Duration::from_secs(31));
    }
    assert_eq!(lab.count("task_parked"), 0);
    lab.verify();
}

#[test]
fn an_output_that_is_too_long_fails_for_good() {
    struct Talker;
    impl lastword::worker::Worker for Talker {
        fn run(&self, _: &lastword::worker::Context) -> Result<Built, lastword::worker::Failure> {
            Ok(Built { output: Some("x".repeat(Built::MOST_OUTPUT + 1).into()), ..Built::default() })
        }
    }
    let lab = Lab::with(|builder| builder.kind(kind("talker"), Talker));
    lab.handle.declare(Declaration { kind: Some(kind("talker")), ..declaration("a", "{}") }).unwrap();
    lab.until_condition("a", "parked");
    assert!(lab.view("a").last_failure.unwrap().message.contains("4096"));
}
