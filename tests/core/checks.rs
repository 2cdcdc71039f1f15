//! `State::check` finds what it is for: each invariant, broken by hand in a state that was sound.

use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Fingerprint, Generation, Inputs, Seq, Spec, Timestamp};
use lastword::core::{Collection, Outbox, OutboxItem, Pending, Restored, State, Status};

use super::world::{BOTH, World, at_once};

fn parts(world: &World) -> Restored {
    let parts = world.state.parts();
    Restored {
        last: parts.last,
        epoch: parts.epoch,
        at: parts.at,
        limits: parts.limits.clone(),
        collections: parts.collections.clone(),
        orphans: parts.orphans.clone(),
        draining: parts.draining.clone(),
    }
}

/// The invariant that does not hold after `break_it`, and what is said of it.
fn found(world: &World, break_it: impl FnOnce(&mut Restored, CollectionId)) -> (&'static str, &'static str) {
    let id = world.view().id;
    assert_eq!(State::restore(parts(world)).unwrap().check(), Ok(()), "it was sound before");
    let mut broken = parts(world);
    break_it(&mut broken, id);
    let violation = State::restore(broken).unwrap().check().unwrap_err();
    assert_eq!(violation.collection, id);
    (violation.invariant, violation.found)
}

/// The same after a change of the collection alone.
fn found_in(world: &World, break_it: impl FnOnce(&mut Collection)) -> (&'static str, &'static str) {
    found(world, |parts, id| break_it(parts.collections.get_mut(&id).unwrap()))
}

const OTHER: Fingerprint = Fingerprint([9; 32]);

#[test]
fn an_attempt_of_another_epoch_is_found() {
    let (mut world, attempt) = World::started(at_once());
    let fenced = ("EpochFenced", "an attempt of another epoch is running");
    assert_eq!(found(&world, |parts, _| parts.epoch.0 += 1), fenced);
    assert_eq!(found(&world, |parts, _| parts.last = Seq(attempt.token.seq.0 - 1)), fenced);
    // One that was lent outlives the epoch.
    world.stopped(attempt);
    world.lease = Some(Duration::from_secs(60));
    world.assign();
    let mut later = parts(&world);
    later.epoch.0 += 1;
    assert_eq!(State::restore(later).unwrap().check(), Ok(()));
}

#[test]
fn two_collections_of_one_name_are_no_state() {
    let (world, _) = World::started(at_once());
    let mut twice = parts(&world);
    let collection = twice.collections[&world.view().id].clone();
    twice.collections.insert(CollectionId(Seq(1_000)), collection);
    assert_eq!(State::restore(twice).unwrap_err(), "two collections have one name");
}

#[test]
fn what_was_miscounted_is_found() {
    let (world, _) = World::started(at_once());
    let miscounted = ("SameFold", "draining attempts are miscounted");
    assert_eq!(found_in(&world, |collection| collection.draining += 1), miscounted);
}

#[test]
fn a_task_for_something_else_is_found() {
    let (world, _) = World::started(at_once());
    let wrong = ("LastWord", "the live task builds something that is not wanted");
    let live = |collection: &mut Collection, change: &dyn Fn(&mut Fingerprint, &mut Generation)| {
        let Status::Running(running) = &mut collection.status else { panic!("nothing runs") };
        change(&mut running.task.fingerprint, &mut running.task.generation);
    };
    assert_eq!(found_in(&world, |collection| live(collection, &|fingerprint, _| *fingerprint = OTHER)), wrong);
    assert_eq!(found_in(&world, |collection| live(collection, &|_, generation| generation.0 += 1)), wrong);
}

#[test]
fn what_waits_silently_is_found() {
    let world = World::fresh(at_once());
    let no_task = ("NothingWaitsSilently", "what is wanted is not applied and has no task");
    assert_eq!(found_in(&world, |collection| collection.applied = None), no_task);
    assert_eq!(found_in(&world, |collection| collection.rebuild = true), no_task);
    let since = Timestamp(1);
    let no_end = ("NothingWaitsSilently", "the latest inputs wait for the end of a task that is none");
    assert_eq!(found_in(&world, |collection| collection.pending = Some(Pending::Waiting { since })), no_end);

    let (mut world, _) = World::started(at_once());
    world.cancel();
    let parked = ("NothingWaitsSilently", "something that is not wanted is parked");
    let park = |collection: &mut Collection| {
        let Status::Parked(parked) = &mut collection.status else { panic!("nothing is parked") };
        parked.fingerprint = OTHER;
    };
    assert_eq!(found_in(&world, park), parked);
}

#[test]
fn a_lost_word_is_found() {
    let world = World::fresh(at_once());
    let lose = |collection: &mut Collection| {
        let spec = Spec::parse(r#"{"a":1}"#).unwrap();
        collection.latest = Arc::new(Inputs { spec, ..(*collection.latest).clone() });
    };
    assert_eq!(found_in(&world, lose), ("LatestNotLost", "the latest inputs are neither wanted nor waiting"));
}

#[test]
fn what_is_owed_out_of_order_is_found() {
    let mut world = World::declared(at_once());
    world.duties = BOTH;
    world.commit(1);
    world.commit(2);
    // Publish, publish, discard.
    let found = |break_it: fn(&mut Outbox)| {
        let (invariant, found) = found_in(&world, |collection| break_it(collection.outbox.as_mut().unwrap()));
        assert_eq!(invariant, "PublishedInOrder");
        found
    };
    let named = "two entries have one name, or an earlier one comes later";
    assert_eq!(found(|all| all.entries.swap(0, 1)), named);
    assert_eq!(found(|all| all.entries.push_back(all.entries[2].clone())), named);
    let publish_as_another = |all: &mut Outbox| {
        let OutboxItem::Publish(commit) = &mut all.entries[0].item else { panic!("{all:?}") };
        commit.seq = commit.seq.next();
    };
    assert_eq!(found(publish_as_another), "it is to be published as another");
    assert_eq!(found(|all| all.published = Some(all.entries[0].id)), "commits are not published in their order");
    assert_eq!(found(|all| all.entries[2].item = OutboxItem::Discard(Box::default())), "nothing is to be discarded");
}
