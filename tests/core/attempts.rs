//! How attempts end: failures, timeouts, panics, lost processes, zombies, confused workers.

use lastword::core::vocabulary::{
    AttemptTimeout, Built, Command, EndReason, EngineCommand, Event, FailReason, FailureClass, FailureReport, Grace,
    MaxLag, ParkCause, Policy, Rejection, Retry, Seq, TaskId, Token,
};
use lastword::core::{Condition, Parking, Status};

use super::world::{NAME, World, at_once, completion, declaration, secs};

fn retrying(max_attempts: u32, max_lost: u32) -> Policy {
    Policy { retry: Retry { max_attempts, max_lost, slow: None, ..Retry::default() }, ..at_once() }
}

fn parked(world: &World) -> Option<Parking> {
    match &world.collection().status {
        Status::Parked(parked) => Some(parked.cause),
        Status::Idle | Status::Waiting(_) | Status::Running(_) => None,
    }
}

#[test]
fn case_31_a_retrying_collection_shows_its_cause_and_when_it_is_tried_again() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.fail(attempt, FailureClass::Transient), ["attempt_failed", "attempt_ended"]);
    let Condition::BackingOff { until, failure } = world.view().condition else { panic!("{:?}", world.view()) };
    assert!(until > world.now && until <= world.now.after(secs(1)));
    assert_eq!(&*failure.unwrap().message, "no luck");
    assert!(matches!(world.try_assign(), Err(Rejection::NotReady(_))));
    assert_eq!(world.refresh(), ["refresh_requested"]);
    assert_eq!((world.condition(), world.view().failures), ("waiting_for_worker", 0));
    world.assign();
}

#[test]
fn case_31_a_change_wakes_a_retrying_collection_at_once() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, FailureClass::Transient);
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.condition(), "waiting_for_worker");
    assert_eq!(world.view().failures, 1, "the exponent is the collection's");
}

#[test]
fn case_31_a_change_or_a_refresh_wakes_a_parked_collection() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.fail(attempt, FailureClass::Permanent), ["attempt_failed", "attempt_ended", "task_parked"]);
    assert_eq!(parked(&world), Some(Parking::Failed(ParkCause::Permanent)));
    assert_eq!(world.refresh(), ["refresh_requested", "task_created"]);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!(world.observe(2), ["source_observed", "task_created"]);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!(world.observe(1), ["source_observed", "task_created"], "parked for 1 was given up when 2 came");
}

#[test]
fn case_06_there_and_back_before_it_settles_leaves_a_parked_collection_parked() {
    let (mut world, attempt) = World::started(Policy::default());
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.condition(), "parked");
    assert_eq!(world.observe(1), ["source_observed"]);
    assert_eq!(world.advance(secs(9)), Vec::<&str>::new());
    assert_eq!(world.condition(), "parked");
}

#[test]
fn case_32_the_exponent_is_reset_by_a_commit_and_by_nothing_less() {
    let (mut world, mut attempt) = World::started(at_once());
    for failures in 1..=5 {
        world.fail(attempt, FailureClass::Transient);
        assert_eq!(world.view().failures, failures);
        world.advance(secs(30));
        attempt = world.assign();
        assert_eq!(world.view().failures, failures, "a dispatch is no success");
    }
    world.complete(attempt);
    assert_eq!(world.view().failures, 0);
}

#[test]
fn case_33_ten_panics_in_a_row_park() {
    let mut world = World::observed(at_once());
    for panics in 1..=10 {
        let attempt = world.assign();
        let events = world.fail(attempt, FailureClass::Panicked);
        assert_eq!(events.contains(&"task_parked"), panics == 10);
        world.advance(secs(30));
    }
    assert_eq!(parked(&world), Some(Parking::Failed(ParkCause::OutOfAttempts)));
    assert_eq!(world.view().last_failure.unwrap().reason, FailReason::Panicked);
}

#[test]
fn a_timeout_is_charged_and_its_worker_has_a_grace() {
    let policy = Policy { attempt_timeout: AttemptTimeout(Some(secs(60))), ..retrying(2, 50) };
    let (mut world, first) = World::started(policy);
    assert_eq!(world.advance(secs(60)), ["attempt_failed"]);
    assert_eq!(world.condition(), "draining");
    assert_eq!(&*world.view().last_failure.unwrap().message, "still running after 60 s");
    assert_eq!(world.stopped(first), ["attempt_ended"]);
    assert_eq!(world.stopped(first), Vec::<&str>::new());
    world.advance(secs(2));
    let second = world.assign();
    assert_eq!(world.advance(secs(60)), ["attempt_failed", "task_parked"]);
    assert_eq!(world.fail(second, FailureClass::Panicked), ["attempt_ended"], "it has failed already");
    assert_eq!(parked(&world), Some(Parking::Failed(ParkCause::OutOfAttempts)));
}

#[test]
fn without_a_timeout_nothing_ends_an_attempt_and_without_a_grace_nothing_waits() {
    let policy =
        Policy { attempt_timeout: AttemptTimeout(None), grace: Grace(secs(0)), max_lag: MaxLag(None), ..at_once() };
    let (mut world, attempt) = World::started(policy);
    assert_eq!(world.advance(secs(1_000_000)), Vec::<&str>::new());
    world.observe(2);
    assert_eq!(world.advance(secs(0)), ["attempt_ended"]);
    assert!(
        matches!(world.last(), Event::AttemptEnded { token, reason: EndReason::Abandoned, .. } if *token == attempt.token)
    );
}

#[test]
fn case_30_whatever_was_running_is_lost_with_its_process_and_started_again() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.crash(), ["writer_opened", "attempt_failed", "attempt_ended"]);
    assert_eq!(world.condition(), "waiting_for_worker");
    assert_eq!(world.view().failures, 0, "a lost process is not charged");
    assert_eq!(world.complete(attempt), ["completion_rejected"], "a worker of the process before");
    let again = world.assign();
    assert_eq!((again.task, again.attempt), (attempt.task, 2));
}

#[test]
fn case_30_backoff_and_parking_and_holds_survive_a_crash() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, FailureClass::Transient);
    let before = world.view();
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!(world.view(), before);
    world.advance(secs(9));
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    world.observe(0);
    let before = world.view();
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!((world.view(), world.condition()), (before, "parked"));
}

#[test]
fn lost_processes_have_a_bound_of_their_own() {
    let mut world = World::observed(retrying(1, 3));
    for lost in 1..=3 {
        world.assign();
        assert_eq!(world.crash().contains(&"task_parked"), lost == 3);
    }
    assert_eq!(parked(&world), Some(Parking::Failed(ParkCause::LostTooOften)));
}

#[test]
fn case_34_a_crash_ends_the_attempts_of_dropped_collections() {
    let (mut world, zombie) = World::started(at_once());
    world.drop_it();
    assert_eq!(world.state.all_draining().count(), 1);
    assert_eq!(world.crash(), ["writer_opened", "attempt_ended"]);
    assert_eq!((world.state.all_draining().count(), world.state.next_deadline()), (0, None));
    assert_eq!(world.complete(zombie), ["completion_rejected"]);
}

#[test]
fn a_crash_while_an_attempt_drains_frees_the_next() {
    let (mut world, _) = World::started(at_once());
    world.observe(2);
    assert_eq!(world.crash(), ["writer_opened", "attempt_ended"]);
    assert_eq!(world.condition(), "waiting_for_worker");
    world.assign();
}

#[test]
fn an_attempt_that_is_handed_back_is_not_charged() {
    let (mut world, attempt) = World::started(retrying(1, 1));
    assert_eq!(world.stopped(attempt), ["attempt_ended"]);
    assert_eq!(world.condition(), "waiting_for_worker");
    let again = world.assign();
    assert_eq!(again.attempt, 2);
}

#[test]
fn a_worker_that_built_something_else_is_charged_or_it_would_do_so_without_end() {
    let (mut world, attempt) = World::started(retrying(2, 50));
    let other = lastword::core::vocabulary::Fingerprint([7; 32]);
    assert_eq!(world.complete_as(attempt, other), ["completion_rejected", "attempt_failed", "attempt_ended"]);
    assert_eq!(world.condition(), "backing_off");
    world.advance(secs(30));
    let attempt = world.assign();
    let parked = ["completion_rejected", "attempt_failed", "attempt_ended", "task_parked"];
    assert_eq!(world.complete_as(attempt, other), parked);
}

#[test]
fn what_a_worker_says_is_clipped_at_a_character() {
    let (mut world, attempt) = World::started(at_once());
    // 2047 bytes, and a character of two bytes across the limit.
    let message = format!("{}{}", "x".repeat(2047), "ä".repeat(9)).into();
    world
        .say(EngineCommand::Fail { attempt, failure: FailureReport { class: FailureClass::Transient, message } })
        .unwrap();
    assert_eq!(&*world.view().last_failure.unwrap().message, "x".repeat(2047));
}

#[test]
fn an_output_beyond_its_bound_is_refused_by_field() {
    let (mut world, attempt) = World::started(at_once());
    let fingerprint = world.fingerprint_of(attempt);
    let output = |bytes| Built { output: Some("x".repeat(bytes).into()), ..Built::default() };
    let refused = world.say(completion(attempt, fingerprint, output(Built::MOST_OUTPUT + 1))).unwrap_err();
    assert_eq!(refused.to_string(), "result.output: must have at most 4096 bytes, found 4097");
    assert_eq!(
        world.say(completion(attempt, fingerprint, output(Built::MOST_OUTPUT))),
        Ok(vec!["task_completed", "attempt_ended"])
    );
}

#[test]
fn an_attempt_whose_parts_do_not_belong_together_ends_nobody() {
    let (mut world, old) = World::started(at_once());
    world.say(Command::Declare(declaration("b", at_once()).into())).unwrap();
    let other = world.state.id_of(&super::world::name("b")).unwrap();
    world.observe(2);
    let none = lastword::core::vocabulary::CollectionId(Seq(999));
    for attempt in [
        lastword::core::vocabulary::AttemptRef { collection: other, ..old },
        lastword::core::vocabulary::AttemptRef { collection: none, ..old },
        lastword::core::vocabulary::AttemptRef { task: TaskId(Seq(999)), ..old },
        lastword::core::vocabulary::AttemptRef { attempt: 9, ..old },
        lastword::core::vocabulary::AttemptRef { token: Token { seq: Seq(999), ..old.token }, ..old },
    ] {
        let fingerprint = world.fingerprint_of(old);
        assert_eq!(world.complete_as(attempt, fingerprint), ["completion_rejected"], "{attempt:?}");
        assert_eq!(world.stopped(attempt), Vec::<&str>::new(), "{attempt:?}");
        assert_eq!(world.fail(attempt, FailureClass::Permanent), Vec::<&str>::new(), "{attempt:?}");
    }
    assert_eq!(world.stopped(old), ["attempt_ended"]);
    assert_eq!(world.view().name.as_str(), NAME);
}
