//! What the engine counts for dashboards, held against the events of the log.

use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::Times;

use crate::press::*;
use crate::support::*;

/// How often each word comes in the events from `from` on, and as what it is counted.
fn compare(lab: &Lab, from: Seq) {
    let events: Vec<Recorded> = lab.events().into_iter().filter(|recorded| recorded.seq >= from).collect();
    let count = |is: &dyn Fn(&Event) -> bool| events.iter().filter(|recorded| is(&recorded.event)).count() as u64;
    let counted = lab.stats().counters;
    let failed = |of| count(&move |event| matches!(event, Event::AttemptFailed { reason, .. } if *reason == of));
    let aborted = |of| count(&move |event| matches!(event, Event::TaskAborted { reason, .. } if *reason == of));
    let parked = |of| count(&move |event| matches!(event, Event::TaskParked { cause, .. } if *cause == of));
    let rejected = |of| count(&move |event| matches!(event, Event::CompletionRejected { reason, .. } if *reason == of));
    for (what, is, of_log) in [
        ("events", counted.events, events.len() as u64),
        ("tasks", counted.tasks, count(&|event| matches!(event, Event::TaskCreated { .. }))),
        ("attempts", counted.attempts, count(&|event| matches!(event, Event::TaskStarted { .. }))),
        ("committed", counted.committed, count(&|event| matches!(event, Event::TaskCompleted { .. }))),
        ("failed", counted.failed, count(&|event| matches!(event, Event::AttemptFailed { .. }))),
        ("failed: reported", counted.failed_reported, failed(FailReason::Failed)),
        ("failed: timed out", counted.failed_timed_out, failed(FailReason::TimedOut)),
        ("failed: worker lost", counted.failed_worker_lost, failed(FailReason::WorkerLost)),
        ("failed: panicked", counted.failed_panicked, failed(FailReason::Panicked)),
        ("failed: source moved", counted.failed_source_moved, failed(FailReason::SourceMoved)),
        ("superseded", counted.superseded, aborted(AbortReason::Superseded)),
        ("cancelled", counted.cancelled, aborted(AbortReason::Cancelled)),
        ("dropped", counted.dropped, aborted(AbortReason::Dropped)),
        ("parked: permanent", counted.parked_permanent, parked(ParkCause::Permanent)),
        ("parked: out of attempts", counted.parked_out_of_attempts, parked(ParkCause::OutOfAttempts)),
        ("parked: lost too often", counted.parked_lost_too_often, parked(ParkCause::LostTooOften)),
        ("rejected: stale", counted.rejected_stale, rejected(RejectReason::Stale)),
        ("rejected: not live", counted.rejected_not_live, rejected(RejectReason::NotLive)),
    ] {
        assert_eq!(is, of_log, "{what}");
    }
}

#[test]
fn tasks_attempts_and_failures_are_counted_as_the_log_has_them() {
    let lab = Lab::with(|builder| builder.workers(4));
    lab.declare("built", "{}");
    lab.applied("built", 1);
    // Superseded, with a result that comes too late.
    lab.declare("changed", r#"{"do":"deaf","gate":"old"}"#);
    lab.puppet.until_begun(2);
    lab.declare("changed", r#"{"n":1}"#);
    lab.puppet.open("old");
    lab.applied("changed", 2);
    lab.declare("bad", r#"{"do":"permanent","say":"no"}"#);
    lab.until_condition("bad", "parked");
    lab.declare("ill", r#"{"do":"fail","say":"later"}"#);
    lab.until_condition("ill", "backing_off");
    lab.declare("wild", r#"{"do":"panic","say":"of all things"}"#);
    lab.until_condition("wild", "backing_off");
    lab.declare("restless", r#"{"do":"moved"}"#);
    until("a source that moves", || lab.stats().counters.failed_source_moved > 0);
    // Two that run: a person cancels one and drops the other.
    for of in ["cancelled", "dropped"] {
        let begun = lab.puppet.begun().len();
        lab.declare(of, r#"{"do":"wait","gate":"never"}"#);
        lab.puppet.until_begun(begun + 1);
    }
    lab.handle.cancel(name("cancelled"), None).unwrap();
    lab.handle.drop_collection(name("dropped")).unwrap();
    until("both attempts' end", || lab.stats().attempts == 0);
    compare(&lab, Seq(1));
    let counted = lab.stats().counters;
    let all = [counted.committed, counted.superseded, counted.cancelled, counted.dropped, counted.rejected_stale];
    assert_eq!(all, [2, 1, 1, 1, 1], "each was made to happen");
    let failed = [counted.failed_reported, counted.failed_panicked, counted.parked_permanent];
    assert_eq!(failed, [2, 1, 1]);
    assert_eq!(counted.barrier_times.count, counted.frames);
    assert_eq!(counted.barrier_times.total, counted.barriers);
    lab.verify();
}

#[test]
fn a_run_counts_what_it_logs_itself_and_nothing_of_the_one_before() {
    let lab = Lab::start();
    lab.declare("built", "{}");
    lab.applied("built", 1);
    lab.declare("running", r#"{"do":"wait","gate":"never"}"#);
    lab.puppet.until_begun(2);
    let before = lab.events().len() as u64;
    let lab = lab.crash();
    until("the attempt's next start", || lab.stats().counters.attempts == 1);
    compare(&lab, Seq(before + 1));
    assert_eq!(lab.stats().counters.failed_worker_lost, 1, "it was lost with its process, which this one says");
    assert_eq!(lab.stats().counters.committed, 0);
}

#[test]
fn looks_are_counted_with_those_that_fail_and_each_in_one_bucket() {
    let lab = Lab::start();
    lab.puppet.show("there", Ok(observed("1")));
    lab.puppet.show("gone", Err("permission denied"));
    lab.handle.declare(versioned("a", "seen", "there")).unwrap();
    lab.handle.declare(versioned("b", "seen", "gone")).unwrap();
    lab.applied("a", 1);
    lab.until_condition("b", "unobservable");
    until("both looks", || lab.stats().observations == 0);
    let counted = lab.stats().counters;
    assert_eq!((counted.looks.count, counted.looks_failed), (2, 1));
    assert_eq!(counted.looks.within.iter().sum::<u64>(), 2);

    // One that takes two seconds lies within three, and within none of the bounds below.
    lab.puppet.hold_looks();
    lab.handle.refresh(name("a")).unwrap();
    until("a third look", || lab.stats().observations == 1);
    lab.clock.advance(Duration::from_secs(2));
    lab.puppet.release_looks();
    until("its end", || lab.stats().counters.looks.count >= 3);
    let place = Times::BOUNDS.iter().position(|bound| *bound == Duration::from_secs(3)).unwrap();
    assert_eq!(lab.stats().counters.looks.within[place], 1);
    assert!(lab.stats().counters.looks.total >= Duration::from_secs(2));
}

#[test]
fn the_publish_lag_is_that_of_the_oldest_commit_and_ends_with_it() {
    let press = Press::new();
    let lab = lab(&press);
    press.next(Act::Publish, "a", Reaction::Refuse("down"));
    lab.commit("a", "{}");
    lab.until_count("publish_failed", 1);
    assert_eq!(lab.stats().unpublished, 1);
    let before = lab.stats().publish_lag;
    lab.clock.advance(Duration::from_millis(10));
    assert_eq!(lab.stats().publish_lag, before + Duration::from_millis(10), "it grows while nothing happens");
    let seconds = |lag: lastword::core::Lag| lag.seconds().unwrap();
    let of_view = lab.view("a").outbox.unwrap().lag;
    assert!((seconds(of_view) - lab.stats().publish_lag.as_secs_f64()).abs() < 1e-6, "as its own row has it");
    lab.clock.advance(Duration::from_secs(60));
    lab.until_count("published", 1);
    assert_eq!((lab.stats().publish_lag, lab.stats().unpublished), (Duration::ZERO, 0));
}
