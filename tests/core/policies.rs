//! What a change does while a task is live, by policy.

use lastword::core::vocabulary::{Coalesce, Command, EmptySource, Generation, OnChange, Policy, Rejection};

use super::world::{NAME, World, at_once, declaration, moved_to, name, secs};

fn finish() -> Policy {
    Policy { on_change: OnChange::FinishThenLatest, ..at_once() }
}

#[test]
fn case_07_finish_then_latest_commits_the_old_version_and_then_the_newest() {
    let (mut world, attempt) = World::started(finish());
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.observe(3), ["source_observed"]);
    assert_eq!(world.condition(), "running");
    let events = world.complete(attempt);
    assert_eq!(events, ["task_completed", "attempt_ended", "source_observed", "task_created"]);
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "fresh");
    assert_eq!(world.collection().generation, Generation(2));
}

#[test]
fn a_declaration_that_waits_is_promised_the_next_generation() {
    let (mut world, attempt) = World::started(finish());
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed"]);
    assert_eq!(world.collection().generation, Generation(1));
    assert_eq!(world.collection().latest_generation(), Generation(2));
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended", "source_observed", "task_created"]);
    assert_eq!(world.collection().generation, Generation(2));
}

#[test]
fn what_waits_and_returns_to_what_is_being_built_needs_no_new_task() {
    let (mut world, attempt) = World::started(finish());
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.observe(2), Vec::<&str>::new(), "it waits already");
    let promised = world.collection().latest_generation();
    assert_eq!(world.observe(1), ["source_observed"]);
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "fresh");
    assert_eq!(
        (promised, world.collection().generation),
        (Generation(2), Generation(2)),
        "who waits for it is answered"
    );
}

#[test]
fn what_waits_goes_on_waiting_when_its_source_can_be_seen_again() {
    let (mut world, _) = World::started(finish());
    world.observe(2);
    world.cannot_observe("away");
    let pending = world.collection().pending;
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!((world.collection().pending, world.condition()), (pending, "running"));
    assert!(world.collection().unobservable.is_none());
}

#[test]
fn a_declaration_that_returns_to_what_is_being_built_does_not_wait() {
    let (mut world, _) = World::started(finish());
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed"]);
    assert!(world.collection().pending.is_some());
    assert_eq!(world.respecify("{}"), ["spec_changed"]);
    assert_eq!((world.collection().pending, world.condition()), (None, "running"));
}

#[test]
fn a_changed_source_waits_and_is_then_awaited() {
    let (mut world, attempt) = World::started(finish());
    assert_eq!(world.resource("s2"), ["source_changed"]);
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended", "source_changed"]);
    assert_eq!(world.condition(), "awaiting_observation");
    assert_eq!(world.observe(1), ["source_observed", "task_created"]);
}

#[test]
fn case_07_what_has_moved_away_is_not_waited_for() {
    let (mut world, attempt) = World::started(finish());
    assert_eq!(world.observe(2), ["source_observed"]);
    let events = world.fail(attempt, moved_to(2));
    assert_eq!(events, ["attempt_failed", "attempt_ended", "source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.condition(), "waiting_for_worker");
}

#[test]
fn a_cancelled_task_makes_way_for_what_waits() {
    let (mut world, attempt) = World::started(finish());
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.cancel(), ["task_aborted", "source_observed", "task_created"]);
    assert_eq!(world.stopped(attempt), ["attempt_ended"]);
    assert_eq!(world.condition(), "waiting_for_worker");
}

#[test]
fn coalescing_goes_on_when_nothing_is_live() {
    let coalesce = Coalesce { quiet: secs(1), max_delay: secs(5) };
    let mut world = World::fresh(Policy { coalesce, ..finish() });
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.condition(), "settling");
    assert_eq!(world.advance(secs(1)), ["source_observed", "task_created"]);
}

#[test]
fn reject_refuses_declarations_while_a_task_is_live() {
    let (mut world, attempt) = World::started(Policy { on_change: OnChange::Reject, ..at_once() });
    let spec = lastword::core::vocabulary::Spec::parse(r#"{"a":1}"#).unwrap();
    let refused = world.declare(|declaration| declaration.spec = Some(spec.clone()));
    assert!(matches!(refused, Err(Rejection::TaskIsLive { task: Some(_) })), "{refused:?}");
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended", "source_observed", "task_created"]);
}

#[test]
fn case_22_an_emptied_source_applies_by_policy() {
    let mut world = World::fresh(Policy { empty_source: EmptySource::Apply, ..at_once() });
    assert_eq!(world.observe(0), ["source_observed", "task_created"]);
}

#[test]
fn a_rebuild_builds_what_is_applied_once_more() {
    let mut world = World::fresh(at_once());
    let rebuild = || Command::Refresh { name: name(NAME), force: true, seen: None };
    assert_eq!(world.say(rebuild()), Ok(vec!["refresh_requested", "task_created"]));
    assert!(world.collection().status.live().is_some_and(|task| task.rebuild));
    assert_eq!(world.say(rebuild()), Ok(vec!["refresh_requested"]), "it is being rebuilt already");
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn a_rebuild_supersedes_a_task_that_builds_on_what_is_there() {
    let (mut world, attempt) = World::started(at_once());
    let events = world.say(Command::Refresh { name: name(NAME), force: true, seen: None });
    assert_eq!(events, Ok(vec!["refresh_requested", "task_aborted", "task_created"]));
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
}

#[test]
fn case_41_a_declaration_that_is_older_than_the_last_is_refused() {
    let mut world = World::new();
    let spec = |text: &str| Some(lastword::core::vocabulary::Spec::parse(text).unwrap());
    let declare = |world: &mut World, revision, text: &str| {
        let mut declaration = declaration(NAME, at_once());
        declaration.revision = revision;
        declaration.spec = spec(text);
        world.say(Command::Declare(declaration.into()))
    };
    assert_eq!(declare(&mut world, Some(3), "{}"), Ok(vec!["collection_declared"]));
    assert_eq!(declare(&mut world, Some(3), "{}"), Ok(vec![]));
    let refused = Err(Rejection::RevisionTooLow { declared: 3, known: 3 });
    assert_eq!(declare(&mut world, Some(3), r#"{"a":1}"#), refused);
    assert_eq!(declare(&mut world, Some(5), r#"{"a":1}"#), Ok(vec!["policy_changed", "spec_changed"]));
    let refused = Err(Rejection::RevisionTooLow { declared: 4, known: 5 });
    assert_eq!(declare(&mut world, Some(4), r#"{"a":2}"#), refused);
    // One without a number is the caller's own affair; the last number still stands.
    assert_eq!(declare(&mut world, None, r#"{"a":3}"#), Ok(vec!["spec_changed"]));
    let refused = Err(Rejection::RevisionTooLow { declared: 4, known: 5 });
    assert_eq!(declare(&mut world, Some(4), r#"{"a":4}"#), refused);
    // A higher number that says nothing new is remembered all the same.
    assert_eq!(declare(&mut world, Some(9), r#"{"a":3}"#), Ok(vec!["policy_changed"]));
    let refused = Err(Rejection::RevisionTooLow { declared: 8, known: 9 });
    assert_eq!(declare(&mut world, Some(8), r#"{"a":3}"#), refused);
}
