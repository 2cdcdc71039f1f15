//! NothingWaitsSilently, as people see it: every cause has a name and a sentence.

use lastword::core::vocabulary::{FailureClass, Policy, Timestamp};
use lastword::core::{CollectionView, Lag};

use super::world::{World, at_once, moved_to, secs};

#[track_caller]
fn assert_shown(world: &World, name: &str, sentence: &str) {
    let view = world.view();
    assert_eq!(view.condition.name(), name);
    assert_eq!(view.condition.to_string(), sentence);
    assert_eq!(view.lag == Lag::Zero, name == "fresh");
}

#[test]
fn awaiting_observation() {
    let mut world = World::declared(at_once());
    assert_shown(&world, "awaiting_observation", "waits for the first look at its source");
    world.cannot_observe("no such directory");
    assert_shown(&world, "unobservable", "its source cannot be observed: no such directory");
    let view = world.view();
    assert_eq!((&*view.unobservable.unwrap().cause, view.lag), ("no such directory", Lag::Unknown));
}

#[test]
fn waiting_for_worker_running_fresh() {
    let mut world = World::observed(at_once());
    assert_shown(&world, "waiting_for_worker", "waits for an idle worker of its kind");
    let attempt = world.assign();
    let sentence =
        "attempt 1 runs on w1 since 1970-01-01T00:16:40.000000Z and times out at 1970-01-01T01:16:40.000000Z";
    assert_shown(&world, "running", sentence);
    assert_eq!((world.view().task, world.view().attempts), (Some(attempt.task), 1));
    world.complete(attempt);
    assert_shown(&world, "fresh", "everything heard is applied");
    let view = world.view();
    let applied = view.applied.unwrap();
    assert_eq!((applied.result.rows, applied.at, Some(applied.fingerprint)), (Some(7), world.now, view.latest));
    assert_eq!((view.task, view.attempts, view.latest), (None, 0, view.wanted));
}

#[test]
fn settling_and_held() {
    let mut world = World::fresh(Policy::default());
    world.observe(2);
    let sentence = "its source changed; the change is admitted at 1970-01-01T00:16:40.200000Z if it stays quiet";
    assert_shown(&world, "settling", sentence);
    assert_ne!(world.view().latest, world.view().wanted);
    world.observe(0);
    let held = world.view().latest.unwrap();
    let sentence = format!("its source is empty, which looks like a loss; a person has to confirm {held}");
    assert_shown(&world, "held", &sentence);
}

#[test]
fn draining_and_backing_off() {
    let (mut world, attempt) = World::started(at_once());
    world.advance(secs(3600));
    let sentence = "waits for an earlier attempt to stop, which is abandoned at 1970-01-01T01:16:45.000000Z";
    assert_shown(&world, "draining", sentence);
    world.stopped(attempt);
    let view = world.view();
    assert_eq!(view.condition.name(), "backing_off");
    let sentence = view.condition.to_string();
    assert!(sentence.starts_with("tries again at 1970-01-01T01:16:4"), "{sentence}");
    assert!(sentence.ends_with("(still running after 3600 s)"), "{sentence}");
}

#[test]
fn of_two_obstacles_the_one_that_stands_longer_is_shown() {
    let (mut world, _) = World::started(at_once());
    let mut shown = std::collections::BTreeSet::new();
    for _ in 0..9 {
        world.advance(secs(3600));
        shown.insert(world.condition());
        world.advance(secs(30));
        world.assign();
    }
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), ["backing_off", "draining"]);
}

#[test]
fn moving() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, moved_to(2));
    let attempt = world.assign();
    world.fail(attempt, moved_to(3));
    let view = world.view();
    assert_eq!(view.condition.name(), "moving");
    let sentence = view.condition.to_string();
    assert!(sentence.starts_with("its source changed while it was read; tries again at 1970-"), "{sentence}");
    world.advance(secs(30));
    assert_shown(&world, "waiting_for_worker", "waits for an idle worker of its kind");
}

#[test]
fn parked() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, FailureClass::Permanent);
    let sentence = "no luck; trying again would not help; a change or a refresh starts it again";
    assert_shown(&world, "parked", sentence);
    world.refresh();
    world.cancel();
    assert_shown(&world, "parked", "cancelled by a person; a change or a refresh starts it again");
}

#[test]
fn paused() {
    let mut world = World::observed(at_once());
    world.pause();
    assert_shown(&world, "paused", "paused by a person");
}

#[test]
fn lag_is_counted_from_the_first_word_that_is_not_applied() {
    let mut world = World::fresh(Policy::default());
    world.observe(2);
    world.advance(secs(1));
    world.observe(3);
    world.advance(secs(1));
    assert_eq!(world.view().lag, Lag::Since(secs(2)));
}

#[test]
fn nothing_is_shown_of_what_is_gone() {
    let mut world = World::fresh(at_once());
    let id = world.view().id;
    world.drop_it();
    assert_eq!(CollectionView::of(&world.state, id, Timestamp(0)), None);
}
