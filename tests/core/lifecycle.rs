//! What people ask for, and what time does.

use lastword::core::vocabulary::{
    Assign, AttemptTimeout, Coalesce, Command, Deadline, DeliveryKind, DeliveryRef, Duties, EngineCommand, Event,
    FailureClass, MaxLag, Policy, Rejection, Retry, Timestamp,
};
use lastword::core::{Condition, OutboxItem};

use super::world::{NAME, World, assign, at_once, declaration, name, secs};

#[test]
fn case_30_nothing_happens_before_a_writer_has_opened_the_log() {
    let mut world = World::unopened();
    let declare = Command::Declare(declaration(NAME, at_once()).into());
    let mut events = lastword::core::Events::new();
    lastword::core::decide(&world.state, &declare, world.now, &mut events).unwrap();
    let (seq, event) = events.drain().next().unwrap();
    let recorded =
        lastword::core::vocabulary::Recorded { seq, at: world.now, epoch: Default::default(), by: None, event };
    assert!(world.state.clone().fold(&recorded).is_err());
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!(world.say(declare), Ok(vec!["collection_declared"]));
}

#[test]
fn case_34_a_drop_leaves_no_task_and_no_timer_behind() {
    let mut world = World::fresh(Policy::default());
    world.observe(2);
    assert_eq!(world.drop_it(), ["collection_dropped"]);
    assert_eq!((world.state.len(), world.state.next_deadline()), (0, None));

    let (mut world, attempt) = World::started(Policy::default());
    assert_eq!(world.drop_it(), ["task_aborted", "collection_dropped"]);
    assert_eq!(world.advance(secs(5)), ["attempt_ended"], "its worker was told, and did not hear");
    assert_eq!((world.state.next_deadline(), world.state.draining(attempt.token)), (None, None));
    let kind = super::world::kind();
    assert_eq!(world.state.next_ready([&kind], world.now), None);
}

#[test]
fn case_34_declared_again_it_is_somebody_else() {
    let (mut world, old) = World::started(at_once());
    world.drop_it();
    world.say(Command::Declare(declaration(NAME, at_once()).into())).unwrap();
    let view = world.view();
    assert_eq!((view.generation.0, view.condition, view.applied), (1, Condition::AwaitingObservation, None));
    world.observe(1);
    let new = world.assign();
    assert!(new.collection > old.collection && new.token > old.token);
    assert_eq!(world.stopped(old), ["attempt_ended"]);
    assert_eq!(world.running(), new);
}

#[test]
fn a_pause_lets_a_running_attempt_commit_and_starts_none() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.pause(), ["collection_paused"]);
    assert_eq!((world.condition(), world.view().paused), ("running", true));
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.observe(2), ["source_observed", "task_created"]);
    assert_eq!(world.condition(), "paused");
    assert!(matches!(world.try_assign(), Err(Rejection::NotReady(_))));
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!(world.resume(), ["collection_resumed"]);
    world.assign();
}

#[test]
fn a_change_aborts_also_what_is_paused() {
    let (mut world, _) = World::started(at_once());
    world.pause();
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.condition(), "paused");
}

#[test]
fn a_resume_does_not_cut_a_backoff_short() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, FailureClass::Transient);
    world.pause();
    world.resume();
    assert_eq!(world.condition(), "backing_off");
}

#[test]
fn a_cancel_aborts_and_parks_until_somebody_wants_it() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.cancel(), ["task_aborted"]);
    assert_eq!(world.condition(), "parked");
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
    assert_eq!(world.advance(secs(1_000_000)), Vec::<&str>::new());
    assert_eq!(world.say(Command::Cancel { name: name(NAME), task: None }), Err(Rejection::NoSuchTask { live: None }));
    assert_eq!(world.refresh(), ["refresh_requested", "task_created"]);
    assert_eq!(world.cancel(), ["task_aborted"], "also before an attempt was started");
    assert_eq!(world.observe(2), ["source_observed", "task_created"]);
}

#[test]
fn a_refresh_of_a_fresh_collection_rebuilds_nothing() {
    let mut world = World::fresh(at_once());
    assert_eq!(world.refresh(), ["refresh_requested"]);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn a_policy_is_changed_without_disturbing_anything() {
    let (mut world, attempt) = World::started(Policy::default());
    let deadline = world.collection().status.attempt().unwrap().deadline;
    let policy =
        Policy { attempt_timeout: AttemptTimeout(Some(secs(1))), coalesce: Coalesce::NONE, ..Policy::default() };
    assert_eq!(world.declare(|d| d.policy = Some(policy.clone())), Ok(vec!["policy_changed"]));
    assert_eq!(world.declare(|d| d.policy = Some(policy)), Ok(vec![]));
    assert_eq!(world.collection().status.attempt().unwrap().deadline, deadline, "what was decided stays decided");
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    world.stopped(attempt);
    world.assign();
    assert_eq!(world.advance(secs(1)), ["attempt_failed"]);
}

#[test]
fn case_38_bad_input_is_refused_when_declared_and_when_changed() {
    let mut world = World::new();
    let mut incomplete = declaration(NAME, at_once());
    incomplete.source = None;
    let refused = world.say(Command::Declare(incomplete.into())).unwrap_err();
    assert_eq!(refused.to_string(), "source: must be given for a new collection");
    world.say(Command::Declare(declaration(NAME, at_once()).into())).unwrap();
    let bad = Policy { retry: Retry { max_attempts: 0, ..Retry::default() }, ..Policy::default() };
    assert!(world.declare(|d| d.policy = Some(bad)).unwrap_err().to_string().starts_with("policy.retry: "));
    let refused = world.declare(|d| d.versioned = Some(false)).unwrap_err();
    assert!(refused.to_string().starts_with("versioned: is true and cannot be changed"), "{refused}");
}

#[test]
fn case_36_a_collection_that_fails_for_good_disturbs_no_other() {
    let (mut world, attempt) = World::started(at_once());
    world.say(Command::Declare(declaration("b", at_once()).into())).unwrap();
    world.fail(attempt, FailureClass::Permanent);
    let names: Vec<_> = world.state.by_name().map(|(_, collection)| collection.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn case_37_a_clock_that_jumps_far_ahead_loses_no_due_time() {
    let (mut world, attempt) = World::started(Policy { max_lag: MaxLag(None), ..Policy::default() });
    world.observe(2);
    world.now = Timestamp(u64::MAX / 2);
    let mut happened = Vec::new();
    while let Some(deadline) = world.state.first_due(world.now) {
        happened.extend(world.due(deadline).unwrap());
    }
    assert_eq!(happened, ["source_observed", "task_aborted", "task_created"]);
    assert!(world.state.draining(attempt.token).is_some(), "its grace begins when it was told");
    world.assert_replays();
}

#[test]
fn case_37_nothing_is_due_before_its_time() {
    let (mut world, attempt) = World::started(Policy::default());
    assert_eq!(world.due(Deadline::Attempt(attempt.collection)), Err(Rejection::NotDue));
    assert_eq!(world.due(Deadline::Settled(attempt.collection)), Err(Rejection::NotDue));
    assert_eq!(world.due(Deadline::Grace(attempt.token)), Err(Rejection::NotDue));
    world.observe(2);
    assert_eq!(world.state.first_due(world.now), None);
    let next = world.state.next_deadline().unwrap();
    let deadline = world.state.first_due(next).unwrap();
    assert_eq!(world.due(deadline), Err(Rejection::NotDue));
    assert!(matches!(world.last(), Event::SourceObserved { .. }));
}

#[test]
fn case_46_a_drop_is_told_to_the_destination_even_if_the_result_names_nothing() {
    let mut world = World::declared(at_once());
    world.observe(1);
    let id = world.view().id;
    let duties = Duties { publish: true, discard: true };
    let EngineCommand::Assign(assign) = assign("w1", id) else { unreachable!() };
    world.say(EngineCommand::Assign(Assign { duties, ..assign })).unwrap();
    let attempt = world.running();
    world.complete(attempt);
    let publish =
        DeliveryRef { collection: id, obligation: world.view().applied.unwrap().seq, delivery: DeliveryKind::Publish };
    world.say(EngineCommand::Delivered(publish)).unwrap();
    world.drop_it();
    let (_, orphan) = world.state.orphans().next().unwrap();
    let OutboxItem::Discard(leaving) = &orphan.outbox.first().unwrap().item else { panic!("it is to be discarded") };
    assert!(leaving.before.is_some() && leaving.after.is_none() && leaving.tokens.is_empty());
}
