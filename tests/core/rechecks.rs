//! What is applied is checked again and built anew: resync, drift, rebuilds, and refreshes that are repeated.

use lastword::core::vocabulary::{
    Command, Deadline, Declaration, EngineCommand, Event, FailureClass, OnChange, Policy, RefreshReason, Rejection,
    Resync, Seq, Spec,
};

use super::world::{NAME, Said, World, at_once, declaration, name, secs};

fn resyncing() -> Policy {
    Policy { resync: Resync(Some(secs(1000))), ..at_once() }
}

/// An unversioned collection that was committed.
fn unversioned(policy: Policy) -> World {
    let mut world = World::new();
    let declaration = Declaration { versioned: Some(false), ..declaration(NAME, policy) };
    world.say(Command::Declare(declaration.into())).unwrap();
    let attempt = world.assign();
    world.complete(attempt);
    world
}

fn rebuild(world: &mut World) -> Vec<&'static str> {
    world.say(Command::Refresh { name: name(NAME), force: true, seen: None }).unwrap()
}

fn drift(world: &mut World) -> Said {
    let (collection, commit) = (world.view().id, world.view().applied.unwrap().seq);
    world.say(EngineCommand::Drifted { collection, commit, message: "no such index".into() })
}

fn rebuilds(world: &World) -> bool {
    world.collection().status.live().is_some_and(|task| task.rebuild)
}

#[test]
fn a_resync_of_a_versioned_collection_asks_for_a_look_and_nothing_else() {
    let mut world = World::fresh(resyncing());
    let mut asked = Vec::new();
    let start = world.now;
    while asked.len() < 100 {
        let due = world.view().resync_at.unwrap();
        asked.push(due.since(world.now));
        world.now = due;
        let deadline = world.state.first_due(due).unwrap();
        assert_eq!(world.due(deadline), Ok(vec!["refresh_requested"]));
        assert!(matches!(world.last(), Event::RefreshRequested { reason: RefreshReason::Resync, force: false, .. }));
        assert_eq!(world.condition(), "fresh");
    }
    assert!(asked.iter().all(|span| (secs(900)..=secs(1100)).contains(span)), "{asked:?}");
    assert!(asked.iter().min() < Some(&secs(920)) && asked.iter().max() > Some(&secs(1080)), "jitter: {asked:?}");
    assert!(world.now.since(start) > secs(95_000));
    assert_eq!(world.collection().refreshed, Seq::ZERO, "nobody has asked");
}

#[test]
fn a_resync_of_an_unversioned_collection_builds_it_anew() {
    let mut world = unversioned(resyncing());
    assert_eq!(world.advance(secs(1100)), ["refresh_requested", "task_created"]);
    assert!(rebuilds(&world));
    // While that goes on, the next one changes nothing.
    assert_eq!(world.advance(secs(1100)), ["refresh_requested"]);
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn a_resync_leaves_alone_what_is_paused_parked_or_behind() {
    let mut world = unversioned(resyncing());
    world.pause();
    assert_eq!(world.advance(secs(1100)), ["refresh_requested"]);
    assert_eq!(world.condition(), "fresh");
    world.resume();
    world.advance(secs(1100));
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!((world.condition(), world.collection().is_fresh()), ("parked", true), "the rebuild was given up");
    assert_eq!(world.advance(secs(1100)), ["refresh_requested"], "and stays so");
    assert_eq!(world.condition(), "parked");
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_created"]);
    assert_eq!(world.advance(secs(1100)), ["refresh_requested"]);

    let mut world = World::fresh(resyncing());
    world.observe(0);
    assert_eq!(world.advance(secs(1100)), ["refresh_requested"]);
    assert_eq!(world.condition(), "held");
}

#[test]
fn a_resync_does_not_cut_a_backoff_short_nor_forgive_failures() {
    let mut world = World::fresh(Policy { resync: Resync(Some(secs(1))), ..at_once() });
    world.observe(2);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Transient);
    let before = world.view();
    let due = world.view().resync_at.unwrap();
    assert_eq!(world.due(Deadline::Resync(before.id)), Err(Rejection::NotDue));
    world.now = due;
    assert_eq!(world.due(Deadline::Resync(before.id)), Ok(vec!["refresh_requested"]));
    assert_eq!(world.view().failures, 1);
    assert_eq!(world.view().last_failure, before.last_failure);
    let lastword::core::Status::Waiting(waiting) = &world.collection().status else { panic!("no task waits") };
    assert!(waiting.not_before != world.now || due == world.now);
}

#[test]
fn a_resync_begins_with_the_first_commit_and_follows_the_policy() {
    let mut world = World::observed(resyncing());
    assert_eq!(world.view().resync_at, None, "nothing is applied");
    let every = |world: &mut World, span: Option<u64>| {
        let policy = Policy { resync: Resync(span.map(secs)), ..at_once() };
        world.declare(|d| d.policy = Some(policy)).unwrap();
        world.view().resync_at
    };
    assert_eq!(every(&mut world, Some(50)), None);
    let attempt = world.assign();
    world.complete(attempt);
    let at = world.view().resync_at.unwrap();
    assert!((secs(45)..=secs(55)).contains(&at.since(world.now)));
    world.declare(|d| d.policy = Some(Policy { resync: Resync(Some(secs(50))), ..Policy::default() })).unwrap();
    assert_eq!(world.view().resync_at, Some(at), "another policy has changed");
    assert_eq!((every(&mut world, None), world.state.next_deadline()), (None, None));
    let at = every(&mut world, Some(500)).unwrap();
    assert!((secs(450)..=secs(550)).contains(&at.since(world.now)));
    // Whoever asks for the same has had it.
    world.now = world.now.after(secs(400));
    world.refresh();
    assert!(world.view().resync_at.unwrap().since(world.now) >= secs(450));
    world.drop_it();
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn a_resync_survives_a_crash() {
    let mut world = World::fresh(resyncing());
    let at = world.view().resync_at;
    world.crash();
    assert_eq!((world.view().resync_at, world.state.next_deadline()), (at, at));
}

#[test]
fn a_resync_of_less_than_a_second_is_refused_by_field() {
    let mut world = World::declared(at_once());
    let policy = Policy { resync: Resync(Some(super::world::millis(999))), ..at_once() };
    let refused = world.declare(|d| d.policy = Some(policy)).unwrap_err();
    assert_eq!(refused.to_string(), "policy.resync: must be at least 1 s, or none");
}

#[test]
fn what_has_drifted_is_built_anew() {
    let mut world = World::fresh(at_once());
    assert_eq!(drift(&mut world), Ok(vec!["refresh_requested", "task_created"]));
    let Event::RefreshRequested { reason: RefreshReason::Drift(message), force: true, .. } = world.back(2) else {
        panic!("{:?}", world.back(2))
    };
    assert_eq!((&**message, rebuilds(&world)), ("no such index", true));
    assert_eq!(drift(&mut world), Ok(vec![]), "that is known");
    let attempt = world.assign();
    assert_eq!(drift(&mut world), Ok(vec![]));
    let commit = world.view().applied.unwrap().seq;
    world.complete(attempt);
    let collection = world.view().id;
    let late = EngineCommand::Drifted { collection, commit, message: "no such index".into() };
    assert_eq!(world.say(late), Ok(vec![]), "it was replaced meanwhile");
    assert_eq!(world.condition(), "fresh");
    world.drop_it();
    let gone = EngineCommand::Drifted { collection, commit, message: "no such index".into() };
    assert_eq!(world.say(gone), Err(Rejection::UnknownIncarnation(collection)));
}

#[test]
fn a_drift_supersedes_a_task_that_builds_on_what_is_gone() {
    let mut world = World::fresh(at_once());
    world.observe(2);
    let attempt = world.assign();
    assert_eq!(drift(&mut world), Ok(vec!["refresh_requested", "task_aborted", "task_created"]));
    assert!(rebuilds(&world));
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
}

#[test]
fn there_and_back_during_a_rebuild_is_a_rebuild() {
    let mut world = World::fresh(at_once());
    drift(&mut world).unwrap();
    world.observe(2);
    assert_eq!(world.observe(1), ["source_observed", "task_aborted", "task_created"]);
    assert!(rebuilds(&world));
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn a_rebuild_that_was_given_up_is_taken_up_again_as_one() {
    let mut world = World::fresh(at_once());
    drift(&mut world).unwrap();
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!(world.refresh(), ["refresh_requested", "task_created"]);
    assert!(rebuilds(&world));
}

#[test]
fn a_rebuild_that_is_superseded_is_still_a_rebuild() {
    let mut world = World::fresh(at_once());
    drift(&mut world).unwrap();
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    assert!(rebuilds(&world), "what it would build on is gone");
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.observe(1), ["source_observed", "task_created"]);
    assert!(!rebuilds(&world), "it was built anew");
}

#[test]
fn a_drift_that_is_told_again_does_not_keep_a_failing_rebuild_from_backing_off() {
    let mut world = World::fresh(at_once());
    drift(&mut world).unwrap();
    for failures in 1..=9 {
        let attempt = world.assign();
        assert_eq!(world.fail(attempt, FailureClass::Transient), ["attempt_failed", "attempt_ended"]);
        assert_eq!(drift(&mut world), Ok(vec![]));
        assert_eq!(world.view().failures, failures);
        world.advance(secs(30));
    }
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Transient);
    assert_eq!((world.condition(), drift(&mut world)), ("failing", Ok(vec![])));
}

#[test]
fn a_change_waits_for_the_end_of_a_rebuild_and_then_builds_on_it() {
    let mut world = World::fresh(Policy { on_change: OnChange::FinishThenLatest, ..at_once() });
    rebuild(&mut world);
    let attempt = world.assign();
    assert_eq!(world.observe(2), ["source_observed"]);
    let events = world.complete(attempt);
    assert_eq!(events, ["task_completed", "attempt_ended", "source_observed", "task_created"]);
    assert!(!rebuilds(&world));
    // A rebuild does not wait, and what waits goes on waiting: for it.
    let attempt = world.assign();
    world.observe(3);
    assert_eq!(rebuild(&mut world), ["refresh_requested", "task_aborted", "task_created"]);
    world.stopped(attempt);
    let attempt = world.assign();
    assert_eq!(world.complete(attempt)[2..], ["source_observed", "task_created"]);
}

#[test]
fn a_rebuild_of_what_is_parked_starts_it_again() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!(rebuild(&mut world), ["refresh_requested", "task_created"]);
}

#[test]
fn a_refresh_that_is_repeated_with_what_its_caller_saw_is_done_once() {
    let mut world = World::fresh(at_once());
    let seen = Some(world.state.last());
    for force in [false, true] {
        let refresh = || Command::Refresh { name: name(NAME), force, seen };
        let expected = if force { Ok(vec![]) } else { Ok(vec!["refresh_requested"]) };
        assert_eq!(world.say(refresh()), expected);
        assert_eq!(world.say(refresh()), Ok(vec![]), "the reply was lost, not the refresh");
    }
    let seen = Some(world.state.last());
    assert_eq!(world.say(Command::Refresh { name: name(NAME), force: false, seen }), Ok(vec!["refresh_requested"]));
    // Neither a resync nor a drift is the answer to somebody's refresh.
    let seen = Some(world.state.last());
    drift(&mut world).unwrap();
    assert_eq!(world.say(Command::Refresh { name: name(NAME), force: false, seen }), Ok(vec!["refresh_requested"]));
}

#[test]
fn a_refresh_seen_before_a_drop_is_not_taken_for_one_of_the_new_incarnation() {
    let mut world = World::fresh(at_once());
    let seen = Some(world.state.last());
    world.refresh();
    world.drop_it();
    world.say(Command::Declare(declaration(NAME, at_once()).into())).unwrap();
    assert_eq!(world.say(Command::Refresh { name: name(NAME), force: false, seen }), Ok(vec!["refresh_requested"]));
    assert_eq!(world.view().spec, Spec::default());
}

#[test]
fn a_rebuild_survives_that_nothing_is_known_of_the_source() {
    let mut world = World::fresh(at_once());
    drift(&mut world).unwrap();
    assert_eq!(world.resource("s2"), ["source_changed", "task_aborted"]);
    assert_eq!(world.resource("s1"), ["source_changed"]);
    assert_eq!(world.observe(1), ["source_observed", "task_created"], "applied, and not there");
    assert!(rebuilds(&world));

    let mut world = World::fresh(at_once());
    world.resource("s2");
    assert_eq!(rebuild(&mut world), ["refresh_requested"], "of what, is not known yet");
    world.resource("s1");
    assert_eq!(world.observe(1), ["source_observed", "task_created"]);
    assert!(rebuilds(&world));
}
