//! An outbox that is full: nothing more is built for a destination that takes nothing, and no commit is lost.

use std::time::Duration;

use lastword::core::OutboxItem;
use lastword::core::vocabulary::{
    Command, DeliveryRef, Duties, EngineCommand, Event, FailureClass, Grace, Kind, OnChange, Policy, Rejection, Seq,
    Spec,
};

use super::world::{BOTH, NAME, World, at_once, kind, name};

/// As in the settings.
const MOST: usize = 128;

fn entries(world: &World) -> usize {
    world.collection().outbox.as_deref().map_or(0, |outbox| outbox.entries.len())
}

/// Commits until nothing more may start; says how often.
fn fill(world: &mut World) -> u64 {
    for commits in 0..1_000 {
        world.observe(u8::try_from(commits % 200).unwrap() + 1);
        if world.try_assign().is_err() {
            return commits;
        }
        let attempt = world.running();
        assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    }
    panic!("{} entries, and more may come", entries(world));
}

fn first(world: &World) -> DeliveryRef {
    let collection = world.state.id_of(&name(NAME)).unwrap();
    let (_, _, first) = world.state.first_outbox_entry(collection).unwrap();
    DeliveryRef { collection, obligation: first.id, delivery: first.delivery() }
}

fn full(duties: Duties) -> World {
    full_under(at_once(), duties)
}

fn full_under(policy: Policy, duties: Duties) -> World {
    let mut world = World::declared(policy);
    world.duties = duties;
    let commits = fill(&mut world);
    assert!(commits >= 64, "{commits}");
    world
}

#[test]
fn the_outbox_of_a_publisher_that_fails_is_bounded_and_says_so() {
    for duties in [BOTH, Duties { publish: true, discard: false }, Duties { publish: false, discard: true }] {
        let mut world = full(duties);
        assert!((MOST..MOST + 2).contains(&entries(&world)), "{}", entries(&world));
        assert_eq!(world.condition(), "undelivered");
        let view = world.view();
        assert!(view.condition.to_string().contains(&entries(&world).to_string()), "{}", view.condition);
        assert!(view.applied.is_some() && !matches!(view.lag, lastword::core::Lag::Zero));
        let delivered = first(&world);
        world.say(EngineCommand::DeliveryFailed { delivered, message: "down".into() }).unwrap();
        let said = world.view().condition.to_string();
        assert!(said.contains("down"), "{said}");
        // Neither a change, a refresh nor a crash goes past it.
        world.observe(250);
        world.refresh();
        world.crash();
        assert_eq!(world.try_assign(), Err(Rejection::NotReady(delivered.collection)));
        assert_eq!(world.condition(), "undelivered");
        // Nobody asks for a worker that would be refused.
        let now = world.now.after(Duration::from_secs(3_600));
        assert_eq!(world.state.first_ready([&kind()], now), None);
    }
}

#[test]
fn what_a_full_outbox_holds_is_published_in_order_and_then_the_newest_is_built() {
    let mut world = full(BOTH);
    world.observe(250);
    let commits: Vec<Seq> = world
        .record
        .iter()
        .filter(|recorded| matches!(recorded.event, Event::TaskCompleted { .. }))
        .map(|recorded| recorded.seq)
        .collect();
    let delivered = first(&world);
    world.say(EngineCommand::Delivered(delivered)).unwrap();
    // One is as full as it was before the last commit, if that made two.
    while entries(&world) >= MOST {
        assert_eq!(world.condition(), "undelivered");
        let delivered = first(&world);
        world.say(EngineCommand::Delivered(delivered)).unwrap();
    }
    assert_eq!(world.condition(), "waiting_for_worker");
    let attempt = world.assign();
    world.complete(attempt);
    while world.state.first_outbox_entry(attempt.collection).is_some() {
        let delivered = first(&world);
        world.say(EngineCommand::Delivered(delivered)).unwrap();
    }
    let published: Vec<Seq> = world
        .record
        .iter()
        .filter_map(|recorded| match recorded.event {
            Event::Published { commit, .. } => Some(commit),
            _ => None,
        })
        .collect();
    assert_eq!(published[..commits.len()], commits, "all of them, in their order");
    assert_eq!((published.len(), world.condition()), (commits.len() + 1, "fresh"));
}

#[test]
fn attempts_that_fail_and_are_abandoned_do_not_fill_an_outbox_without_an_end() {
    let policy = Policy { grace: Grace(Duration::from_secs(1)), ..at_once() };
    let mut world = World::declared(policy);
    world.duties = BOTH;
    world.commit(1);
    let mut most = 0;
    for round in 0..6_000_u32 {
        world.observe(u8::try_from(round % 200).unwrap() + 2);
        world.advance(Duration::from_secs(120));
        if world.try_assign().is_ok() {
            let attempt = world.running();
            if round % 2 == 0 {
                world.fail(attempt, FailureClass::Transient);
            }
        }
        most = most.max(entries(&world));
    }
    assert!(most < MOST + 20, "{most}");
    assert_eq!(world.condition(), "undelivered");
    let tokens = |item: &OutboxItem| matches!(item, OutboxItem::Discard(set) if set.tokens.len() > 200);
    assert!(!world.collection().outbox.as_deref().unwrap().entries.iter().any(|entry| tokens(&entry.item)));
    // Dropped, it owes what it has made, and no publication.
    world.say(Command::Drop { name: name(NAME) }).unwrap();
    assert!(world.state.orphans().all(|(_, orphan)| orphan.outbox.entries.len() < MOST + 20));
}

fn under(on_change: OnChange) -> World {
    full_under(Policy { on_change, ..at_once() }, BOTH)
}

#[test]
fn no_change_waits_for_a_task_that_a_full_outbox_keeps() {
    for on_change in [OnChange::FinishThenLatest, OnChange::Reject] {
        let mut world = under(on_change);
        assert_eq!(world.observe(250), ["source_observed", "task_aborted", "task_created"], "{on_change:?}");
        let respecified = world.declare(|declared| declared.spec = Some(Spec::parse(r#"{"n":1}"#).unwrap()));
        assert_eq!(respecified, Ok(vec!["spec_changed", "task_aborted", "task_created"]), "{on_change:?}");
        // Nor does another kind.
        let changed = world.declare(|declared| declared.kind = Some(Kind::new("other").unwrap()));
        assert!(changed.is_ok_and(|events| events.contains(&"collection_dropped")), "{on_change:?}");
    }
}

#[test]
fn changes_wait_for_an_attempt_that_runs_beside_a_full_outbox() {
    for on_change in [OnChange::FinishThenLatest, OnChange::Reject] {
        let mut world = under(on_change);
        // A kind that adds nothing goes on.
        world.duties = Duties::default();
        world.assign();
        assert_eq!(world.observe(250), ["source_observed"], "{on_change:?}");
        let changed = world.declare(|declared| declared.kind = Some(Kind::new("other").unwrap()));
        assert_eq!(changed.is_err(), on_change == OnChange::Reject, "{changed:?}");
    }
}

#[test]
fn what_a_kind_without_duties_builds_goes_past_a_full_outbox_and_adds_nothing_to_it() {
    let mut world = full(BOTH);
    let (owed, none, kind) = (entries(&world), Duties::default(), kind());
    assert_eq!(world.state.first_ready([(&kind, &BOTH)], world.now), None);
    assert_eq!(world.state.next_ready([(&kind, &BOTH)], world.now), None);
    let collection = world.state.id_of(&name(NAME));
    assert_eq!(world.state.first_ready([(&kind, &none)], world.now), collection);
    assert_eq!(world.state.next_ready([(&kind, &none)], world.now), Some(world.now));
    world.duties = none;
    for version in 240..250 {
        let attempt = world.assign();
        world.complete(attempt);
        assert_eq!((world.condition(), entries(&world)), ("fresh", owed));
        world.observe(version);
    }
    // One that has a duty again waits as before.
    world.duties = Duties { publish: false, discard: true };
    assert!(matches!(world.try_assign(), Err(Rejection::NotReady(_))));
    assert_eq!(world.condition(), "undelivered");
}
