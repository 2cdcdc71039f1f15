//! A source that moves under an attempt: when what the attempt observed counts.

use lastword::core::vocabulary::{
    AttemptRef, Command, Event, FailReason, FailureClass, OnChange, Policy, Seq, SourceState,
};

use super::world::{NAME, World, at_once, content, moved, moved_to, name, observed};

/// Fails the attempt as moved, and says what else that led to.
fn fails(world: &mut World, attempt: AttemptRef, class: FailureClass) -> Vec<&'static str> {
    let names = world.fail(attempt, class);
    assert_eq!(&names[..2], ["attempt_failed", "attempt_ended"]);
    let Event::AttemptFailed { reason, .. } = world.back(names.len()) else { panic!("{names:?}") };
    assert_eq!(*reason, FailReason::SourceMoved);
    names[2..].to_vec()
}

fn known(world: &World) -> Option<&SourceState> {
    world.collection().observed().map(|known| &**known)
}

#[test]
fn an_observation_that_began_later_and_found_nothing_new_counts_more_than_what_the_attempt_observed() {
    let story = |last_observation: fn(AttemptRef) -> Option<Seq>| {
        let (mut world, attempt) = World::started(at_once());
        // Nothing new: it leaves no event, and only the engine knows of it.
        assert_eq!(world.report(attempt.token.seq, content(1)), Ok(vec![]));
        let names = fails(&mut world, attempt, moved(content(2), last_observation(attempt), true));
        (world, names)
    };
    let admitted = ["source_observed", "task_aborted", "task_created"];
    let (world, names) = story(|_| None);
    assert_eq!((names, known(&world)), (admitted.to_vec(), Some(&observed(2))));
    let (world, names) = story(|attempt| Some(Seq(attempt.token.seq.0 - 1)));
    assert_eq!((names, known(&world)), (admitted.to_vec(), Some(&observed(2))));
    for later in [0, 1] {
        let (mut world, attempt) = World::started(at_once());
        let last_observation = Some(Seq(attempt.token.seq.0 + later));
        assert_eq!(fails(&mut world, attempt, moved(content(2), last_observation, true)), Vec::<&str>::new());
        assert_eq!((known(&world), world.condition()), (Some(&observed(1)), "waiting_for_worker"));
    }
    let (world, names) = story(|attempt| Some(attempt.token.seq));
    assert_eq!((names, known(&world)), (vec![], Some(&observed(1))));
}

#[test]
fn what_waited_for_the_attempt_is_admitted_if_a_later_observation_counts_more() {
    let policy = Policy { on_change: OnChange::FinishThenLatest, ..at_once() };
    let (mut world, attempt) = World::started(policy);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed"]);
    let last_observation = Some(attempt.token.seq);
    let names = fails(&mut world, attempt, moved(content(2), last_observation, true));
    assert_eq!(names, ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(known(&world), Some(&observed(1)));
}

/// A rebuild is told nothing of what is applied: it cannot say what of it is missing, and an observer can.
#[test]
fn case_21_what_a_rebuild_could_not_measure_is_not_admitted_if_an_observer_can_measure_it() {
    let rebuilding = || {
        let mut world = World::fresh(at_once());
        let refreshed = world.say(Command::Refresh { name: name(NAME), force: true, seen: None });
        assert_eq!(refreshed, Ok(vec!["refresh_requested", "task_created"]));
        let attempt = world.assign();
        (world, attempt)
    };
    let (mut world, attempt) = rebuilding();
    assert_eq!(fails(&mut world, attempt, moved(content(2), None, true)), Vec::<&str>::new());
    assert_eq!((known(&world), world.condition()), (Some(&observed(1)), "waiting_for_worker"));
    // Nobody else could measure it.
    let admitted = ["source_observed", "task_aborted", "task_created"];
    let (mut world, attempt) = rebuilding();
    assert_eq!(fails(&mut world, attempt, moved(content(2), None, false)), admitted);
    // It is measured.
    let (mut world, attempt) = rebuilding();
    let mut measured = content(2);
    if let lastword::core::vocabulary::ObservationOutcome::Content { missing, .. } = &mut measured {
        *missing = Some(0.into());
    }
    assert_eq!(fails(&mut world, attempt, moved(measured, None, true)), admitted);
    // An attempt that is no rebuild was told what is applied.
    let mut world = World::fresh(at_once());
    world.observe(2);
    let attempt = world.assign();
    assert_eq!(fails(&mut world, attempt, moved_to(3)), admitted);
    // Nothing is applied that could be missing.
    let mut world = World::observed(at_once());
    world.say(Command::Refresh { name: name(NAME), force: true, seen: None }).unwrap();
    let attempt = world.assign();
    assert_eq!(fails(&mut world, attempt, moved_to(2)), admitted);
}
