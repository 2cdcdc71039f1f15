//! Looks, holds, coalescing, generations.

use lastword::core::vocabulary::{
    Coalesce, Command, EngineCommand, Fingerprint, Generation, ObservationOutcome, ObservationReport, OnChange, Policy,
    Rejection, Seq,
};
use lastword::core::{Condition, Lag, Pending};

use super::world::{NAME, World, at_once, content, declaration, look, millis, moved_to, name, observed, secs};

fn since_of(pending: Option<Pending>) -> Option<u64> {
    pending.map(|pending| pending.since().0)
}

#[test]
fn case_21_an_empty_source_is_held_and_the_old_result_stays() {
    let mut world = World::fresh(Policy::default());
    let applied = world.view().applied;
    assert_eq!(world.observe(0), ["collection_held"]);
    assert_eq!(world.condition(), "held");
    assert_eq!(world.advance(secs(100_000)), Vec::<&str>::new(), "it waits for a person, not for time");
    assert_eq!(world.view().applied, applied);
    // Back to what is applied: nothing was lost, nothing is rebuilt.
    assert_eq!(world.observe(1), ["source_observed"]);
    assert_eq!((world.condition(), world.view().lag), ("fresh", Lag::Zero));
}

#[test]
fn case_21_a_source_that_was_never_seen_with_files_is_held_too() {
    let mut world = World::declared(Policy::default());
    assert_eq!(world.observe(0), ["collection_held"]);
    let (_, held) = world.view().held().unwrap();
    assert_eq!(world.observe(1), ["source_observed", "task_created"]);
    assert_eq!(world.confirm(held), Err(Rejection::NotHeld { held: None }));
}

#[test]
fn case_21_a_task_goes_on_while_a_loss_is_held() {
    let (mut world, attempt) = World::started(at_once());
    let heard_first = world.now;
    world.now = world.now.after(secs(10));
    let heard_loss = world.now;
    assert_eq!(world.observe(0), ["collection_held"]);
    assert_eq!((world.condition(), world.view().held().is_some()), ("running", true));
    assert_eq!(world.collection().unapplied_since, Some(heard_first));
    world.now = world.now.after(secs(10));
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "held");
    assert_eq!(world.collection().unapplied_since, Some(heard_loss), "the first word is applied by now");
    assert_eq!(world.view().lag, Lag::Since(secs(10)));
}

#[test]
fn case_21_a_task_whose_source_is_gone_waits_with_the_loss_for_a_person() {
    let held_up = || {
        let (mut world, attempt) = World::started(Policy::default());
        assert_eq!(world.fail(attempt, moved_to(0)), ["attempt_failed", "attempt_ended", "collection_held"]);
        // However long it takes: an attempt could only fail, and nothing else says that somebody has to decide.
        for _ in 0..3 {
            assert_eq!(world.advance(secs(3600)), Vec::<&str>::new());
            assert_eq!(
                (world.condition(), world.state.first_ready([&crate::world::kind()], world.now)),
                ("held", None)
            );
        }
        world
    };
    let mut world = held_up();
    let (_, held) = world.view().held().unwrap();
    assert_eq!(world.confirm(held), Ok(vec!["hold_confirmed", "task_aborted", "task_created"]));
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "fresh");
    // Or what it was to build comes back.
    let mut world = held_up();
    assert_eq!(world.observe(1), ["source_observed"]);
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "fresh");
    // Or somebody asks for another try, which is one.
    let mut world = held_up();
    world.refresh();
    let attempt = world.assign();
    world.fail(attempt, moved_to(0));
    assert_eq!(world.condition(), "held");
}

#[test]
fn case_22_an_emptied_source_that_is_confirmed_converges() {
    let mut world = World::fresh(Policy::default());
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    assert_eq!(world.confirm(Fingerprint([9; 32])), Err(Rejection::NotHeld { held: Some(held) }));
    assert_eq!(world.confirm(held), Ok(vec!["hold_confirmed", "task_created"]));
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!((world.condition(), world.view().latest), ("fresh", Some(held)));
    // What was confirmed stays confirmed under a new spec.
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_created"]);
}

#[test]
fn case_22_back_to_an_empty_source_that_is_applied_is_no_loss() {
    let mut world = World::fresh(at_once());
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    world.confirm(held).unwrap();
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.observe(2), ["source_observed", "task_created"]);
    assert_eq!(world.observe(0), ["source_observed", "task_aborted"]);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn case_22_a_source_that_is_declared_away_and_back_finds_its_applied_emptiness() {
    let mut world = World::fresh(at_once());
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    world.confirm(held).unwrap();
    let attempt = world.assign();
    world.complete(attempt);
    world.resource("s2");
    world.resource("s1");
    assert_eq!(world.observe(0), ["source_observed"]);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn case_22_a_spec_that_makes_what_is_held_the_applied_one_ends_the_hold() {
    let mut world = World::fresh(at_once());
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    world.confirm(held).unwrap();
    let attempt = world.assign();
    world.complete(attempt);
    world.observe(1);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_aborted", "task_created"]);
    assert_eq!(world.observe(0), ["collection_held"], "under this spec nothing of it is applied");
    assert_eq!(world.respecify("{}"), ["spec_changed", "task_aborted"]);
    assert_eq!((world.condition(), world.view().pending, world.view().latest), ("fresh", None, Some(held)));
}

#[test]
fn case_41_a_look_that_began_before_a_confirmation_is_refused() {
    let mut world = World::fresh(at_once());
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    let began = world.state.last();
    world.confirm(held).unwrap();
    let last_input = Seq(began.0 + 1);
    assert_eq!(world.report(began, content(2)), Err(Rejection::ObservationTooOld { began, last_input }));
}

#[test]
fn a_new_spec_goes_around_what_is_held() {
    let mut world = World::fresh(Policy::default());
    world.observe(0);
    let (_, before) = world.view().held().unwrap();
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_created"]);
    let (_, after) = world.view().held().unwrap();
    assert_ne!(before, after);
    assert_eq!(world.confirm(before), Err(Rejection::NotHeld { held: Some(after) }));
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "held");
    assert_eq!(world.confirm(after), Ok(vec!["hold_confirmed", "task_created"]));
}

#[test]
fn a_new_spec_before_anything_but_a_loss_was_seen_waits_for_the_person() {
    let mut world = World::declared(Policy::default());
    world.observe(0);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed"]);
    let (_, held) = world.view().held().unwrap();
    assert_eq!((world.condition(), world.view().wanted), ("held", None));
    assert_eq!(world.confirm(held), Ok(vec!["hold_confirmed", "task_created"]));
}

#[test]
fn a_new_source_ends_what_is_held_and_what_settles() {
    let mut world = World::fresh(Policy::default());
    world.observe(0);
    assert_eq!(world.resource("s2"), ["source_changed"]);
    assert_eq!((world.condition(), world.view().pending), ("awaiting_observation", None));
    world.observe(1);
    world.observe(2);
    assert_eq!(world.condition(), "waiting_for_worker");
    assert_eq!(world.resource("s3"), ["source_changed", "task_aborted"]);
    assert_eq!(world.advance(secs(1)), Vec::<&str>::new(), "no timer is left behind");
}

#[test]
fn what_is_held_is_held_since_it_was_held() {
    let mut world = World::fresh(Policy::default());
    world.observe(0);
    let since = since_of(world.view().pending);
    world.now = world.now.after(secs(10));
    world.cannot_observe("gone");
    assert_eq!(world.observe(0), ["collection_held"], "it can be observed again");
    assert_eq!((since_of(world.view().pending), world.view().unobservable), (since, None));
}

#[test]
fn a_change_is_admitted_after_a_quiet_period_with_its_last_value() {
    let mut world = World::fresh(Policy::default());
    for version in 2..6 {
        assert_eq!(world.observe(version), ["source_observed"]);
        assert_eq!(world.condition(), "settling");
        assert_eq!(world.advance(millis(199)), Vec::<&str>::new());
    }
    assert_eq!(world.advance(millis(1)), ["source_observed", "task_created"]);
    assert_eq!((world.view().wanted, world.collection().generation), (world.view().latest, Generation(2)));
    assert_eq!(world.collection().observed(), Some(&observed(5).into()));
}

#[test]
fn a_source_that_never_rests_is_admitted_after_the_maximum_delay() {
    let mut world = World::fresh(Policy::default());
    let mut admitted = Vec::new();
    for step in 0..100 {
        let mut events = world.observe(2 + step);
        events.extend(world.advance(millis(100)));
        if events.contains(&"task_created") {
            admitted.push(step);
        }
    }
    assert_eq!(admitted, [49, 99]);
}

#[test]
fn a_new_spec_admits_what_settles() {
    let mut world = World::fresh(Policy::default());
    world.observe(2);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_created"]);
    assert_eq!((world.view().wanted, world.view().pending), (world.view().latest, None));
    assert_eq!(world.advance(secs(9)), Vec::<&str>::new());
}

#[test]
fn a_loss_while_a_change_settles_is_held_instead_of_it() {
    let mut world = World::fresh(Policy::default());
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.observe(0), ["collection_held"]);
    assert_eq!(world.advance(secs(9)), Vec::<&str>::new());
    assert_eq!(world.observe(3), ["source_observed"]);
    assert_eq!(world.advance(secs(9)), ["source_observed", "task_created"]);
}

#[test]
fn what_settles_beside_a_task_is_not_lost_and_its_lag_is_its_own() {
    let (mut world, attempt) = World::started(Policy::default());
    world.now = world.now.after(secs(60));
    let last_input = world.now;
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!((world.condition(), world.collection().unapplied_since), ("settling", Some(last_input)));
    assert_eq!(world.advance(millis(200)), ["source_observed", "task_created"]);
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.view().lag, Lag::Zero);
}

#[test]
fn case_20_a_source_that_cannot_be_observed_is_not_empty() {
    let mut world = World::fresh(at_once());
    assert_eq!(world.cannot_observe("permission denied"), ["observation_failed"]);
    assert_eq!((world.condition(), world.view().lag), ("unobservable", Lag::Unknown));
    assert_eq!(world.cannot_observe("I/O error"), ["observation_failed"]);
    assert_eq!(world.observe(1), ["source_observed"], "it can be observed again");
    assert_eq!(world.view().lag, Lag::Zero);
}

#[test]
fn causes_are_clipped_and_still_compared() {
    let mut world = World::declared(at_once());
    let endless = "ä".repeat(5000);
    assert_eq!(world.cannot_observe(&endless), ["observation_failed"]);
    assert_eq!(world.view().unobservable.unwrap().cause.len(), 2048);
    assert_eq!(world.cannot_observe(&endless), Vec::<&str>::new());
}

#[test]
fn case_41_a_look_that_began_before_the_last_word_is_refused() {
    let mut world = World::fresh(at_once());
    let began = world.state.last();
    assert_eq!(world.observe(2), ["source_observed", "task_created"]);
    let last_input = world.collection().last_input;
    let refused = Err(Rejection::ObservationTooOld { began, last_input });
    assert_eq!(world.report(began, content(1)), refused);
    assert_eq!(world.report(began, ObservationOutcome::Failed { cause: "late".into() }), refused);
    // Starting a task is no word.
    let began = world.state.last();
    world.assign();
    assert_eq!(world.report(began, content(3)), Ok(vec!["source_observed", "task_aborted", "task_created"]));
    let began = world.state.last();
    world.respecify(r#"{"a":1}"#);
    assert!(world.report(began, content(4)).is_err());
}

#[test]
fn case_41_a_look_of_an_incarnation_that_is_gone_is_refused() {
    let mut world = World::fresh(at_once());
    let id = world.view().id;
    world.drop_it();
    world.say(Command::Declare(declaration(NAME, at_once()).into())).unwrap();
    let late = ObservationReport { collection: id, began: world.state.last(), outcome: content(2) };
    assert_eq!(world.say(EngineCommand::Observe(late)), Err(Rejection::UnknownIncarnation(id)));
}

#[test]
fn case_41_a_worker_that_looked_too_early_is_failed_but_not_believed() {
    let policy = Policy { on_change: OnChange::FinishThenLatest, ..at_once() };
    let (mut world, attempt) = World::started(policy);
    assert_eq!(world.observe(3), ["source_observed"]);
    let events = ["attempt_failed", "attempt_ended", "source_observed", "task_aborted", "task_created"];
    assert_eq!(world.fail(attempt, moved_to(2)), events);
    assert_eq!(world.collection().observed(), Some(&observed(3).into()));
}

#[test]
fn case_42_nothing_is_built_from_the_old_observation_under_the_new_source() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.resource("s2"), ["source_changed", "task_aborted"]);
    assert_eq!((world.view().wanted, world.view().latest), (None, None));
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
    assert!(world.try_assign().is_err());
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed"], "a spec makes nothing of nothing");
    assert_eq!(world.observe(1), ["source_observed", "task_created"], "the same version is not the same word");
}

#[test]
fn case_07_a_source_that_moves_once_settles_and_is_built_at_once() {
    let (mut world, attempt) = World::started(Policy::default());
    assert_eq!(world.fail(attempt, moved_to(2)), ["attempt_failed", "attempt_ended", "source_observed"]);
    assert_eq!(world.condition(), "moving");
    // What it was to build is gone: it is not tried again while the new content settles.
    assert_eq!(world.advance(millis(199)), Vec::<&str>::new());
    assert_eq!(world.condition(), "moving");
    assert_eq!(world.advance(millis(1)), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.condition(), "waiting_for_worker");
}

#[test]
fn case_07_a_source_that_moves_again_goes_on_resting_when_it_has_settled() {
    let (mut world, mut attempt) = World::started(Policy::default());
    for version in 2..9 {
        world.fail(attempt, moved_to(version));
        world.advance(secs(30));
        attempt = world.assign();
    }
    assert_eq!(world.fail(attempt, moved_to(9)), ["attempt_failed", "attempt_ended", "source_observed"]);
    let Condition::Moving { until } = world.view().condition else { panic!("not moving") };
    assert!(until > world.now.after(millis(200)), "seven moves in a row");
    assert_eq!(world.advance(millis(200)), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.view().condition, Condition::Moving { until });
}

#[test]
fn a_source_that_was_emptied_under_its_task_is_held() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.fail(attempt, moved_to(0)), ["attempt_failed", "attempt_ended", "collection_held"]);
    assert!(world.view().held().is_some());
}

#[test]
fn generations_count_declared_changes_and_observations_that_differ() {
    let mut world = World::declared(Policy { coalesce: Coalesce::NONE, ..Policy::default() });
    let mut generations = vec![world.collection().generation.0];
    let mut note = |world: &World| generations.push(world.collection().generation.0);
    world.observe(1); // fills in the first
    note(&world);
    world.observe(2);
    note(&world);
    world.respecify(r#"{"a":1}"#);
    note(&world);
    world.resource("s2"); // opens one that is unknown
    note(&world);
    world.respecify("{}"); // still unknown, and a change all the same
    note(&world);
    world.observe(2); // fills it in
    note(&world);
    world.observe(0); // held
    note(&world);
    let (_, held) = world.view().held().unwrap();
    world.confirm(held).unwrap();
    note(&world);
    assert_eq!(generations, [1, 1, 2, 3, 4, 5, 5, 5, 6]);
}

#[test]
fn a_commit_satisfies_the_generations_that_want_the_same() {
    let mut world = World::fresh(at_once());
    world.respecify(r#"{"a":1}"#);
    assert_eq!(world.respecify("{}"), ["spec_changed", "task_aborted"]);
    assert_eq!(world.view().applied.unwrap().generation, Generation(3));
    assert_eq!(world.condition(), "fresh");
    world.resource("s2");
    world.resource("s1");
    assert_eq!(world.condition(), "awaiting_observation");
    assert_eq!(world.observe(1), ["source_observed"]);
    assert_eq!(world.view().applied.unwrap().generation, Generation(5));
}

#[test]
fn an_unversioned_collection_follows_source_and_spec_only() {
    let mut world = World::new();
    let mut unversioned = declaration(NAME, at_once());
    unversioned.versioned = Some(false);
    assert_eq!(world.say(Command::Declare(unversioned.into())), Ok(vec!["collection_declared", "task_created"]));
    let attempt = world.assign();
    assert_eq!(world.fail(attempt, moved_to(2)), ["attempt_failed", "attempt_ended"], "a move says nothing of content");
    assert_eq!(world.say(look(content(1))), Err(Rejection::NotVersioned(name(NAME))));
    world.advance(secs(30));
    let attempt = world.assign();
    assert_eq!(world.resource("s2"), ["source_changed", "task_aborted", "task_created"]);
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_created"]);
    assert_eq!(world.resource("s1"), ["source_changed", "task_aborted", "task_created"]);
}

#[test]
fn case_42_what_moved_under_the_old_source_says_nothing_of_the_new_one() {
    let policy = Policy { on_change: OnChange::FinishThenLatest, ..at_once() };
    let (mut world, attempt) = World::started(policy.clone());
    assert_eq!(world.resource("s2"), ["source_changed"]);
    assert_eq!(world.observe(1), ["source_observed"]);
    world.fail(attempt, moved_to(0));
    assert_eq!(world.collection().observed(), Some(&observed(1).into()), "nobody has seen s2 empty");
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.condition(), "fresh");
    // Nor is it the first that is seen of the new one.
    let (mut world, attempt) = World::started(policy);
    world.resource("s2");
    world.fail(attempt, moved_to(2));
    assert_eq!((world.view().latest, world.condition()), (None, "awaiting_observation"));
}

#[test]
fn a_look_that_began_while_its_source_settled_speaks_of_what_came_after() {
    let coalesce = Coalesce { quiet: secs(1), ..Coalesce::default() };
    let mut world = World::fresh(Policy { coalesce, ..Policy::default() });
    assert_eq!(world.observe(2), ["source_observed"]);
    let began = world.state.last();
    assert_eq!(began, world.collection().last_input, "right after the last word, not before it");
    assert_eq!(world.advance(secs(1)), ["source_observed", "task_created"]);
    // That it was admitted is nothing that anybody has seen.
    assert_eq!(world.report(began, content(3)), Ok(vec!["source_observed"]));
}
