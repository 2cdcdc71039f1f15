//! Attempts in processes of their own: they outlive ours.

use lastword::core::vocabulary::{
    AttemptRef, CollectionId, EndReason, EngineCommand, Event, FailReason, Policy, Retry, Seq, Token,
};

use super::world::{BOTH, World, at_once, secs};

const NOTHING: [&str; 0] = [];

/// A collection whose attempt runs elsewhere.
fn leased(policy: Policy) -> (World, AttemptRef) {
    let mut world = World::observed(policy);
    (world.lease, world.duties) = (Some(secs(30)), BOTH);
    let attempt = world.assign();
    (world, attempt)
}

fn lost(world: &mut World, attempt: AttemptRef) -> Vec<&'static str> {
    world.say(EngineCommand::Lost { attempt }).unwrap()
}

#[test]
fn case_30_a_leased_attempt_outlives_the_process_that_started_it() {
    let (mut world, attempt) = leased(at_once());
    assert_eq!((world.crash(), world.crash()), (vec!["writer_opened"], vec!["writer_opened"]));
    assert_eq!((world.condition(), world.running()), ("running", attempt));
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.view().applied.unwrap().token, attempt.token, "under the token it has");
}

#[test]
fn case_30_a_leased_attempt_that_was_told_to_stop_keeps_its_grace_over_a_crash() {
    let (mut world, attempt) = leased(at_once());
    world.observe(2);
    assert_eq!((world.crash(), world.condition()), (vec!["writer_opened"], "draining"));
    assert_eq!(world.advance(secs(5)), ["attempt_ended"]);
    let ended = |world: &World| matches!(world.last(), Event::AttemptEnded { reason: EndReason::Abandoned, .. });
    assert!(ended(&world));
    world.assign();
    assert_eq!(world.complete(attempt), ["completion_rejected"]);
}

#[test]
fn a_lease_that_ran_out_counts_like_a_lost_process() {
    let retry = Retry { max_lost: 2, ..Retry::default() };
    let (mut world, attempt) = leased(Policy { retry, ..at_once() });
    assert_eq!(lost(&mut world, attempt), ["attempt_failed", "attempt_ended"]);
    let failure = world.view().last_failure.unwrap();
    assert_eq!((failure.reason, world.view().failures), (FailReason::WorkerLost, 0));
    assert_eq!(lost(&mut world, attempt), NOTHING, "once");
    let again = world.assign();
    assert!(again.token > attempt.token);
    assert_eq!(lost(&mut world, again), ["attempt_failed", "attempt_ended", "task_parked"]);
}

#[test]
fn case_44_a_silent_worker_that_comes_back_after_its_task_was_taken_over_is_refused() {
    let (mut world, silent) = leased(at_once());
    lost(&mut world, silent);
    let taken_over = world.assign();
    assert!(silent.token < taken_over.token);
    assert_eq!(world.complete(silent), ["completion_rejected"]);
    assert_eq!(world.running(), taken_over);
    assert_eq!(world.complete(taken_over), ["task_completed", "attempt_ended"]);
    assert_eq!(world.complete(silent), ["completion_rejected"]);
    assert_eq!(world.view().applied.unwrap().token, taken_over.token);
}

#[test]
fn case_46_what_a_silent_worker_has_made_is_not_taken_over_because_it_may_be_writing_still() {
    let (mut world, silent) = leased(at_once());
    lost(&mut world, silent);
    assert_eq!(world.collection().leftovers(), []);
    let zombies = |world: &World| world.collection().outbox.as_deref().unwrap().zombies.clone();
    assert_eq!(zombies(&world), [silent.token]);
    world.assign();
    world.complete(silent);
    assert_eq!(zombies(&world), [], "it has come back");
    assert_eq!(world.view().outbox.unwrap().undiscarded, 1);
}

#[test]
fn nobody_loses_the_attempt_of_another() {
    let (mut world, attempt) = leased(at_once());
    let AttemptRef { collection, task, token, .. } = attempt;
    for wrong in [
        AttemptRef { attempt: 2, ..attempt },
        AttemptRef { collection: CollectionId(Seq(1)), ..attempt },
        AttemptRef { token: Token { seq: Seq(1), ..token }, ..attempt },
    ] {
        assert_eq!(lost(&mut world, wrong), NOTHING, "{wrong:?}");
    }
    assert_eq!(world.running(), AttemptRef { collection, task, attempt: 1, token });
}

#[test]
fn an_attempt_of_this_process_has_no_lease_that_could_run_out() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(lost(&mut world, attempt), NOTHING);
    world.observe(2);
    assert_eq!(lost(&mut world, attempt), NOTHING);
    assert_eq!(world.stopped(attempt), ["attempt_ended"]);
}

#[test]
fn a_lease_that_runs_out_ends_also_what_was_told_to_stop() {
    let (mut world, attempt) = leased(at_once());
    world.observe(2);
    assert_eq!(lost(&mut world, attempt), ["attempt_ended"]);
    let (mut world, attempt) = leased(at_once());
    world.drop_it();
    assert_eq!((world.crash(), lost(&mut world, attempt)), (vec!["writer_opened"], vec!["attempt_ended"]));
    assert_eq!(world.state.all_draining().count(), 0);
}

#[test]
fn case_13_a_leased_attempt_times_out_like_any_other() {
    let (mut world, attempt) = leased(at_once());
    world.crash();
    assert_eq!(world.advance(secs(3605)), ["attempt_failed", "attempt_ended"]);
    assert_eq!(world.complete(attempt), ["completion_rejected"]);
}
