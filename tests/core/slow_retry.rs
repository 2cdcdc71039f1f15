//! Causes that may pass: a task that has used up its attempts is tried again slowly, without an end, and at once when its
//! source can be observed again. Only what trying again does not help is given up.

use lastword::core::vocabulary::{
    AttemptTimeout, Event, FailReason, FailureClass, OnChange, ParkCause, Policy, Rejection, Retry,
};
use lastword::core::{Condition, Parking};

use super::world::{World, at_once, secs};

/// A collection whose attempts have failed until nothing but the slow retry is left.
fn failing(policy: Policy) -> World {
    let most = policy.retry.max_attempts;
    let mut world = World::observed(policy);
    for failed in 1..=most {
        let attempt = world.assign();
        let events = world.fail(attempt, FailureClass::Transient);
        assert_eq!(events, ["attempt_failed", "attempt_ended"]);
        if failed < most {
            world.advance(secs(30));
        }
    }
    world
}

#[test]
fn defect_17_what_may_pass_is_never_given_up() {
    let mut world = failing(at_once());
    for attempts in 10..15 {
        let Condition::Failing { until, attempts: failed, failure } = world.view().condition else {
            panic!("{:?}", world.view())
        };
        assert_eq!((failed, &*failure.unwrap().message), (attempts, "no luck"));
        // Ten minutes, give or take one.
        let wait = until.since(world.now);
        assert!(wait >= secs(540) && wait <= secs(660), "{wait:?}");
        assert_eq!(world.view().cause(), Some("out_of_attempts"));
        world.advance(wait);
        let attempt = world.assign();
        world.fail(attempt, FailureClass::Transient);
    }
    world.advance(secs(660));
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!((world.condition(), world.view().failures), ("fresh", 0));
}

#[test]
fn defect_17_an_observation_that_succeeds_after_one_that_failed_wakes_it_at_once() {
    let mut world = failing(at_once());
    world.advance(secs(10));
    assert_eq!(world.observe(1), Vec::<&str>::new(), "nothing new, and no cause has gone");
    assert_eq!(world.condition(), "failing");
    world.cannot_observe("EIO");
    assert_eq!(world.observe(1), ["source_observed", "task_woken"]);
    assert_eq!(world.condition(), "waiting_for_worker");
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    // So is one that merely backs off; but not one whose source moves.
    world.commit(2);
    world.observe(3);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Transient);
    world.cannot_observe("EIO");
    assert_eq!(world.observe(3), ["source_observed", "task_woken"]);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::SourceMoved(None));
    let attempt = {
        world.advance(secs(60));
        world.assign()
    };
    world.fail(attempt, FailureClass::SourceMoved(None));
    world.cannot_observe("EIO");
    assert_eq!(world.observe(3), ["source_observed"]);
    assert_eq!(world.condition(), "moving");
}

#[test]
fn defect_17_nothing_waits_for_a_task_that_is_failing() {
    for on_change in [OnChange::FinishThenLatest, OnChange::Reject] {
        // What waited is admitted when the task has used up its attempts.
        let retry = Retry { max_attempts: 1, ..Retry::default() };
        let (mut world, attempt) = World::started(Policy { on_change, retry, ..at_once() });
        assert_eq!(world.observe(2), ["source_observed"]);
        let failed = ["attempt_failed", "attempt_ended", "source_observed", "task_aborted", "task_created"];
        assert_eq!(world.fail(attempt, FailureClass::Transient), failed);
        // And what comes later does not wait.
        let attempt = world.assign();
        world.fail(attempt, FailureClass::Transient);
        assert_eq!(world.condition(), "failing");
        assert_eq!(world.observe(3), ["source_observed", "task_aborted", "task_created"]);
        let attempt = world.assign();
        world.fail(attempt, FailureClass::Transient);
        assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_aborted", "task_created"]);
    }
}

#[test]
fn defect_17_only_poison_parks() {
    // For good, also after many causes that might have passed.
    let mut world = failing(at_once());
    world.advance(secs(660));
    let attempt = world.assign();
    assert_eq!(world.fail(attempt, FailureClass::Permanent), ["attempt_failed", "attempt_ended", "task_parked"]);
    // A panic among them is none of ten.
    let mut world = failing(at_once());
    world.advance(secs(660));
    for panics in 1..=10 {
        let attempt = world.assign();
        let events = world.fail(attempt, FailureClass::Panicked);
        assert_eq!(events.contains(&"task_parked"), panics == 10, "{panics}");
        world.advance(secs(660));
    }
    let Condition::Parked { cause, failure } = world.view().condition else { panic!("{:?}", world.view()) };
    assert_eq!(cause, Parking::Failed(ParkCause::OutOfAttempts));
    assert_eq!(failure.unwrap().reason, FailReason::Panicked);
    // A new task has a full set of panics.
    world.observe(2);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Panicked);
    assert_eq!(world.condition(), "backing_off");
    // What takes too long is no poison either.
    let retry = Retry { max_attempts: 1, ..Retry::default() };
    let attempt_timeout = AttemptTimeout(Some(secs(60)));
    let (mut world, attempt) = World::started(Policy { retry, attempt_timeout, ..at_once() });
    assert_eq!(world.advance(secs(60)), ["attempt_failed"]);
    world.stopped(attempt);
    assert_eq!(world.condition(), "failing");
}

#[test]
fn a_slow_retry_is_no_faster_than_the_backoff() {
    let retry = Retry { max_attempts: 1, slow: Some(secs(1)), cap: secs(3600), ..Retry::default() };
    let world = failing(Policy { retry, ..at_once() });
    let Condition::Failing { until, .. } = world.view().condition else { panic!("{:?}", world.view()) };
    assert!(until.since(world.now) >= secs(3240), "{until}");
}

#[test]
fn defect_17_without_a_slow_retry_the_attempts_have_an_end() {
    let retry = Retry { slow: None, max_attempts: 3, ..Retry::default() };
    let mut world = World::observed(Policy { retry, ..at_once() });
    for failed in 1..=3 {
        let attempt = world.assign();
        let events = world.fail(attempt, FailureClass::Transient);
        assert_eq!(events.contains(&"task_parked"), failed == 3);
        world.advance(secs(30));
    }
    assert_eq!(world.condition(), "parked");
}

#[test]
fn a_failing_collection_is_woken_by_a_refresh_and_found_again_after_a_crash() {
    let mut world = failing(at_once());
    let before = world.view();
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!(world.view(), before);
    assert!(matches!(world.try_assign(), Err(Rejection::NotReady(_))));
    assert_eq!(world.refresh(), ["refresh_requested"]);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Transient);
    let Event::AttemptFailed { retry_at, .. } = world.back(2) else { panic!("{:?}", world.last()) };
    assert!(retry_at.since(world.now) >= secs(540), "it has no new set of attempts");
}
