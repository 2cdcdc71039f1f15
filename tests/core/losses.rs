//! Looks that have lost most of what is applied.

use lastword::core::vocabulary::{
    Command, Content, EmptySource, HoldCause, Missing, ObjectHash, ObservationOutcome, OnChange, PathSetRef, Policy,
    Rejection, SourceState, Version,
};

use super::world::{NAME, World, at_once, name};

/// A version of a source with so many files.
fn files(version: u8, files: u64) -> SourceState {
    let set = PathSetRef { root: ObjectHash([version; 32]), files, bytes: files };
    SourceState { version: Version::new(&[version]).unwrap(), set: Some(set) }
}

fn see(world: &mut World, observed: SourceState, gone: Option<u64>) -> Vec<&'static str> {
    let outcome = ObservationOutcome::Content { state: observed, delta: None, missing: gone.map(Missing::from) };
    world.say(Command::Observe { name: name(NAME), outcome }).unwrap()
}

/// A world in which so many files are applied.
fn applied(of: u64, policy: Policy) -> World {
    let mut world = World::declared(policy);
    see(&mut world, files(1, of), Some(0));
    let attempt = world.assign();
    world.complete(attempt);
    world
}

#[test]
fn case_21_a_listing_that_has_lost_most_of_its_files_is_held() {
    for (of, gone, held) in [
        (100, 50, false),
        (100, 51, true),
        (101, 50, false),
        (101, 51, true),
        (20, 10, false),
        (20, 11, true),
        (21, 11, true),
        (22, 11, false),
        (12, 10, false),
        (11, 10, false),
        (12, 11, true),
        (3, 2, false),
    ] {
        let mut world = applied(of, at_once());
        let events = see(&mut world, files(2, of - gone), Some(gone));
        assert_eq!(events[0] == "collection_held", held, "{gone} of {of}");
        let cause = world.view().held().map(|(cause, _)| cause);
        assert_eq!(cause, held.then_some(HoldCause::MostGone { gone, of }), "{gone} of {of}");
    }
}

#[test]
fn case_21_what_is_held_says_so_and_a_person_confirms_it() {
    let mut world = applied(100, at_once());
    assert_eq!(see(&mut world, files(2, 10), Some(90)), ["collection_held"]);
    let (_, held) = world.view().held().unwrap();
    assert_eq!(
        world.view().condition.to_string(),
        format!(
            "90 of the 100 files that are applied are gone, which looks like a loss; a person has to confirm {held}"
        )
    );
    assert_eq!(world.confirm(held), Ok(vec!["hold_confirmed", "task_created"]));
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.condition(), "fresh");
    // The next loss is measured against what is applied now.
    assert_eq!(see(&mut world, files(3, 0), Some(10)), ["collection_held"]);
    assert_eq!(world.view().held().unwrap().0, HoldCause::Empty);
}

#[test]
fn case_21_additions_still_apply_and_what_is_applied_clears_the_hold() {
    let mut world = applied(100, at_once());
    see(&mut world, files(2, 10), Some(90));
    // More is added to what is left: still a loss, and another one.
    let (_, before) = world.view().held().unwrap();
    assert_eq!(see(&mut world, files(3, 15), Some(90)), ["collection_held"]);
    assert_ne!(world.view().held().unwrap().1, before);
    // The files are back, and more: a change like any other.
    assert_eq!(see(&mut world, files(4, 105), Some(0)), ["source_observed", "task_created"]);
    assert_eq!((world.view().held(), world.condition()), (None, "waiting_for_worker"));
    // And back to what is applied.
    see(&mut world, files(2, 10), Some(90));
    assert!(world.view().held().is_some());
    assert_eq!(see(&mut world, files(1, 100), Some(0)), ["source_observed", "task_aborted"]);
    assert_eq!((world.view().held(), world.condition()), (None, "fresh"));
}

#[test]
fn case_21_a_policy_may_apply_every_loss() {
    let mut world = applied(100, Policy { empty_source: EmptySource::Apply, ..at_once() });
    assert_eq!(see(&mut world, files(2, 1), Some(99)), ["source_observed", "task_created"]);
}

#[test]
fn case_21_nothing_is_lost_where_nothing_is_applied_or_counted() {
    let mut world = World::declared(at_once());
    see(&mut world, files(1, 100), None);
    assert_eq!(see(&mut world, files(2, 10), None), ["source_observed", "task_aborted", "task_created"]);
    let mut world = applied(100, at_once());
    assert_eq!(see(&mut world, files(2, 10), None), ["source_observed", "task_created"], "nobody has counted");
}

#[test]
fn case_21_another_source_has_lost_nothing_of_this_one() {
    let mut world = applied(100, at_once());
    world.resource("s2");
    // Declared by a person, and other files lie there: none of those that are applied.
    assert_eq!(see(&mut world, files(2, 50), Some(100)), ["source_observed", "task_created"]);
    // It is empty: that is more often a mistake than a wish, wherever it is.
    let mut world = applied(100, at_once());
    world.resource("s2");
    assert_eq!(see(&mut world, files(0, 0), Some(100)), ["collection_held"]);
}

#[test]
fn case_22_what_the_old_source_held_is_not_built_under_a_new_one_that_is_held() {
    let mut world = applied(100, Policy { on_change: OnChange::FinishThenLatest, ..at_once() });
    see(&mut world, files(2, 100), Some(0));
    world.assign();
    assert_eq!(world.resource("s2"), ["source_changed"]);
    assert_eq!(see(&mut world, files(0, 0), Some(100)), ["collection_held"]);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_aborted"]);
    assert_eq!(world.collection().wanted_fingerprint(), None);
}

#[test]
fn case_21_a_loss_under_a_new_spec_is_still_the_persons_to_confirm() {
    let mut world = applied(100, at_once());
    see(&mut world, files(2, 10), Some(90));
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_created"]);
    assert_eq!(world.view().held().map(|(cause, _)| cause), Some(HoldCause::MostGone { gone: 90, of: 100 }));
    let attempt = world.assign();
    world.complete(attempt);
    let Content::Observed(applied) = &world.view().applied.unwrap().inputs.content.clone() else {
        panic!("unobserved")
    };
    assert_eq!(**applied, files(1, 100), "built from what was there before the loss");
    assert_eq!(world.condition(), "held");
}

#[test]
fn case_21_a_hold_survives_a_crash() {
    let mut world = applied(100, at_once());
    see(&mut world, files(2, 10), Some(90));
    let before = world.view();
    world.crash();
    assert_eq!(world.view(), before);
}

/// The look counted against what was applied when it began, and something else is by now: what it says is gone is of
/// another set.
#[test]
fn case_21_a_look_that_began_before_a_commit_does_not_say_what_of_it_is_gone() {
    // Five files are applied; a hundred were seen since, and are built while a look is on its way.
    let begun = || {
        let mut world = applied(5, at_once());
        see(&mut world, files(2, 100), Some(0));
        let attempt = world.assign();
        let began = world.state.last();
        world.complete(attempt);
        (world, began)
    };
    let say = |world: &mut World, began, gone: Option<u64>| {
        world.report(
            began,
            ObservationOutcome::Content { state: files(3, 5), delta: None, missing: gone.map(Missing::from) },
        )
    };
    let (mut world, began) = begun();
    assert!(matches!(say(&mut world, began, Some(0)), Err(Rejection::ObservationTooOld { .. })));
    // Looked at again, it is a loss of most of what is applied.
    let now = world.state.last();
    assert_eq!(say(&mut world, now, Some(95)), Ok(vec!["collection_held"]));
    // Who counts nothing is not asked against what.
    let (mut world, began) = begun();
    assert_eq!(say(&mut world, began, None), Ok(vec!["source_observed", "task_created"]));
}

/// What a full refresh, a compaction and a writer that fails leave in place of a hundred files of a hundred bytes.
#[test]
fn defect_18_what_came_in_place_of_what_went_decides_whether_it_is_a_loss() {
    let set = |files, bytes| {
        let set = PathSetRef { root: ObjectHash([9; 32]), files, bytes };
        SourceState { version: Version::new(&[9]).unwrap(), set: Some(set) }
    };
    // Gone of 100, bytes of those, files and bytes that came, and whether that looks like a loss.
    for (what, [gone, bytes, new_files, new_bytes], held) in [
        ("a full refresh under new names", [100, 10_000, 100, 10_000], false),
        ("a refresh by a writer that compresses better", [100, 10_000, 100, 5_000], false),
        ("a compaction into three files", [100, 10_000, 3, 9_500], false),
        ("a split into many", [60, 6_000, 600, 6_000], false),
        ("files without a row in place of all", [100, 10_000, 100, 1_200], true),
        ("a log file in place of 60 partitions", [60, 6_000, 1, 10], true),
        ("less than half came back", [100, 10_000, 49, 4_999], true),
        ("nothing came", [51, 5_100, 0, 0], true),
        ("empty files in place of empty files", [100, 0, 50, 0], false),
        ("few in place of empty files", [100, 0, 49, 0], true),
    ] {
        let missing = Missing { files: gone, bytes, new_files, new_bytes };
        let found = set(100 - gone + new_files, 10_000 - bytes.min(10_000) + new_bytes);
        let outcome = ObservationOutcome::Content { state: found, delta: None, missing: Some(missing) };
        let mut world = applied(100, at_once());
        let events = world.say(Command::Observe { name: name(NAME), outcome }).unwrap();
        assert_eq!(events[0] == "collection_held", held, "{what}: {events:?}");
    }
    // Empty is empty, whatever was counted.
    let missing = Missing { files: 100, new_files: 100, ..Missing::default() };
    let outcome = ObservationOutcome::Content { state: set(0, 0), delta: None, missing: Some(missing) };
    let mut world = applied(100, at_once());
    assert_eq!(world.say(Command::Observe { name: name(NAME), outcome }), Ok(vec!["collection_held"]));
}
