//! A collection that is declared with another kind, and a policy of which one thing is changed.

use lastword::core::OutboxItem;
use lastword::core::vocabulary::{
    CollectionId, Command, DeliveryKind, DeliveryRef, EngineCommand, Event, Generation, Kind, OnChange, Policy,
    PolicyChange, Priority, Rejection, Retry,
};

use super::world::{BOTH, NAME, World, at_once, kind, name, secs};

fn other() -> Kind {
    Kind::new("other").unwrap()
}

fn id(world: &World) -> CollectionId {
    world.state.id_of(&name(NAME)).unwrap()
}

#[test]
fn defect_16_a_kind_can_be_changed_and_what_is_wanted_is_built_anew() {
    let mut world = World::declared(at_once());
    world.duties = BOTH;
    world.commit(1);
    let old = id(&world);
    world.observe(2);
    let attempt = world.assign();
    world.pause();
    let events = world.declare(|d| (d.kind, d.revision) = (Some(other()), Some(3))).unwrap();
    assert_eq!(events, ["task_aborted", "collection_dropped", "collection_declared", "collection_paused"]);
    // Source, spec, policy and the pause are what they were; what was observed by the old kind is unknown to the new one.
    let view = world.view();
    assert_eq!((view.kind.clone(), view.generation, view.applied.clone()), (other(), Generation(1), None));
    assert_eq!((view.source.as_str(), view.paused, view.latest), ("s1", true, None));
    assert_eq!((world.collection().policy.as_ref(), world.collection().revision), (&at_once(), Some(3)));
    assert_ne!(id(&world), old);
    // The old kind's attempt commits nothing, also under the same fingerprint.
    world.observe(2);
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
    assert_eq!(world.view().applied, None);
    world.resume();
    assert_eq!(world.state.first_ready([&kind()], world.now), None);
    assert_eq!(world.state.first_ready([&other()], world.now), Some(id(&world)));
    // What the old kind has made is discarded by it, and by nobody else.
    let mut discards = 0;
    let due = |world: &World| world.state.outboxes_due(world.now).next();
    while let Some(id) = due(&world) {
        let (_, kind_of, first) = world.state.first_outbox_entry(id).unwrap();
        assert_eq!((id, kind_of), (old, &kind()));
        assert!(matches!(first.item, OutboxItem::Discard(_)), "{first:?}");
        let delivered = DeliveryRef { collection: id, obligation: first.id, delivery: DeliveryKind::Discard };
        world.say(EngineCommand::Delivered(delivered)).unwrap();
        discards += 1;
    }
    assert!(discards > 0, "the outputs of the commit and of the attempt");
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn defect_16_a_kind_that_was_never_there_is_put_right_with_everything_else() {
    let mut world = World::declared(at_once());
    let events = world.declare(|d| {
        (d.kind, d.versioned) = (Some(other()), Some(false));
        d.policy_change = Some(PolicyChange { priority: Some(Priority(7)), ..PolicyChange::default() });
    });
    assert_eq!(events.unwrap(), ["collection_dropped", "collection_declared", "task_created"]);
    assert_eq!(world.view().versioned, false);
    assert_eq!(*world.collection().policy, Policy { priority: Priority(7), ..at_once() });
    // Declared again it is no change.
    assert_eq!(world.declare(|d| d.kind = Some(other())), Ok(vec![]));
}

#[test]
fn defect_16_another_kind_is_held_to_revisions_and_to_a_live_task_like_any_change() {
    let mut world = World::declared(at_once());
    world.declare(|d| d.revision = Some(5)).unwrap();
    for revision in [4, 5] {
        let refused = world.declare(|d| (d.kind, d.revision) = (Some(other()), Some(revision))).unwrap_err();
        assert_eq!(refused, Rejection::RevisionTooLow { declared: revision, known: 5 });
    }
    let (mut world, attempt) = World::started(Policy { on_change: OnChange::Reject, ..at_once() });
    let refused = world.declare(|d| d.kind = Some(other())).unwrap_err();
    assert_eq!(refused, Rejection::TaskIsLive { task: Some(attempt.task) });
    let versioned = world.declare(|d| d.versioned = Some(false)).unwrap_err();
    assert!(versioned.to_string().starts_with("versioned: is true and cannot be changed"), "{versioned}");
}

#[test]
fn defect_35_one_thing_of_a_policy_is_changed_and_the_rest_stays() {
    let policy = Policy { retry: Retry { max_attempts: 3, ..Retry::default() }, priority: Priority(9), ..at_once() };
    let mut world = World::declared(policy.clone());
    let change = PolicyChange { cap: Some(secs(60)), slow: Some(None), ..PolicyChange::default() };
    assert_eq!(world.declare(|d| d.policy_change = Some(change)), Ok(vec!["policy_changed"]));
    let expected = Policy { retry: Retry { cap: secs(60), slow: None, ..policy.retry }, ..policy };
    assert_eq!(*world.collection().policy, expected);
    assert_eq!(world.declare(|d| d.policy_change = Some(change)), Ok(vec![]), "nothing new");
    // What does not fit to the rest is refused.
    let refused =
        world.declare(|d| d.policy_change = Some(PolicyChange { base: Some(secs(61)), ..change })).unwrap_err();
    assert!(refused.to_string().starts_with("policy.retry.base: "), "{refused}");
    // Of a policy that is declared with it, and of the defaults for a new collection.
    let declared = world.declare(|d| (d.policy, d.policy_change) = (Some(Policy::default()), Some(change)));
    assert_eq!(declared, Ok(vec!["policy_changed"]));
    let of_default = Policy { retry: Retry { cap: secs(60), slow: None, ..Retry::default() }, ..Policy::default() };
    assert_eq!(*world.collection().policy, of_default);
    world.drop_it();
    let anew = lastword::core::vocabulary::Declaration {
        policy: None,
        policy_change: Some(change),
        ..super::world::declaration(NAME, Policy::default())
    };
    world.say(Command::Declare(anew.into())).unwrap();
    let Event::CollectionDeclared { policy, .. } = world.last() else { panic!("{:?}", world.last()) };
    assert_eq!(**policy, of_default);
}

#[test]
fn every_part_of_a_policy_can_be_changed_alone() {
    use lastword::core::vocabulary::{AttemptTimeout, EmptySource, Grace, MaxLag, Resync};
    let all = PolicyChange {
        on_change: Some(OnChange::Reject),
        grace: Some(Grace(secs(1))),
        quiet: Some(secs(2)),
        max_delay: Some(secs(3)),
        empty_source: Some(EmptySource::Apply),
        max_attempts: Some(4),
        base: Some(secs(5)),
        cap: Some(secs(6)),
        slow: Some(Some(secs(7))),
        max_lost: Some(8),
        max_lost_alone: Some(Some(12)),
        attempt_timeout: Some(AttemptTimeout(None)),
        priority: Some(Priority(9)),
        resync: Some(Resync(Some(secs(10)))),
        max_lag: Some(MaxLag(Some(secs(11)))),
    };
    let made = all.of(&Policy::default());
    assert_eq!(made.check(), Ok(()));
    assert_eq!(PolicyChange::default().of(&made), made);
    let shown = format!("{made:?}");
    for n in [1, 2, 3, 5, 6, 7, 10, 11] {
        assert!(shown.contains(&format!("{n}s")), "{n}: {shown}");
    }
    assert_eq!(made.retry.max_lost_alone, Some(12));
    assert_eq!((made.retry.max_attempts, made.retry.max_lost, made.priority), (4, 8, Priority(9)));
    assert_eq!(
        (made.on_change, made.empty_source, made.attempt_timeout.0),
        (OnChange::Reject, EmptySource::Apply, None)
    );
}
