//! Who is next: priorities that age, limits.

use lastword::core::Condition;
use lastword::core::vocabulary::{
    CollectionId, Command, Declaration, FailureClass, Kind, Limits, Name, Policy, Priority, Rejection, Scope, Source,
};

use super::world::{NAME, World, assign, at_once, content, kind, look, name, secs};

/// Declares a collection that has a task at once.
fn waiting(world: &mut World, text: &str, kind: &Kind, policy: Policy) -> CollectionId {
    let declaration = Declaration {
        kind: Some(kind.clone()),
        source: Some(Source::new("s1").unwrap()),
        versioned: Some(false),
        policy: Some(policy),
        ..Declaration::new(name(text))
    };
    assert_eq!(world.say(Command::Declare(declaration.into())), Ok(vec!["collection_declared", "task_created"]));
    world.state.id_of(&name(text)).unwrap()
}

fn with_priority(level: i16) -> Policy {
    Policy { priority: Priority(level), ..at_once() }
}

fn first(world: &World) -> Option<CollectionId> {
    world.state.first_ready([&kind()], world.now)
}

/// All that are ready, in their order.
fn order(world: &mut World) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(id) = first(world) {
        names.push(world.state.collection(id).unwrap().name.to_string());
        world.say(assign("w", id)).unwrap();
    }
    names
}

#[test]
fn of_equals_the_one_that_waits_longest_is_next() {
    let mut world = World::new();
    for text in ["c", "a", "b"] {
        waiting(&mut world, text, &kind(), at_once());
    }
    assert_eq!(order(&mut world), ["c", "a", "b"]);
}

#[test]
fn the_higher_priority_is_next() {
    let mut world = World::new();
    for (text, level) in [("low", -1000), ("none", 0), ("high", 1000), ("some", 1)] {
        waiting(&mut world, text, &kind(), with_priority(level));
    }
    assert_eq!(order(&mut world), ["high", "some", "none", "low"]);
}

#[test]
fn a_minute_of_waiting_is_worth_one_level() {
    for (waited, expected) in [(59, ["b", "a"]), (60, ["a", "b"]), (61, ["a", "b"])] {
        let mut world = World::new();
        waiting(&mut world, "a", &kind(), with_priority(0));
        world.now = world.now.after(secs(waited));
        waiting(&mut world, "b", &kind(), with_priority(1));
        assert_eq!(order(&mut world), expected, "after {waited} s");
    }
}

#[test]
fn nothing_waits_for_ever_behind_a_stream_of_what_is_more_important() {
    let mut world = World::new();
    let patient = waiting(&mut world, "patient", &kind(), with_priority(-10));
    let mut before = 0;
    for number in 0.. {
        waiting(&mut world, &format!("stream-{number}"), &kind(), with_priority(10));
        let next = first(&world).unwrap();
        if next == patient {
            break;
        }
        world.say(assign("w", next)).unwrap();
        world.now = world.now.after(secs(60));
        before += 1;
    }
    assert_eq!(before, 20, "twenty levels, twenty minutes");
}

#[test]
fn a_changed_priority_moves_what_waits() {
    let mut world = World::new();
    waiting(&mut world, "a", &kind(), at_once());
    waiting(&mut world, "b", &kind(), at_once());
    let policy = Some(with_priority(5));
    world.say(Command::Declare(Declaration { policy, ..Declaration::new(name("b")) }.into())).unwrap();
    assert_eq!(order(&mut world), ["b", "a"]);
}

#[test]
fn a_priority_does_not_cut_a_backoff_short() {
    let mut world = World::declared(with_priority(1000));
    world.observe(1);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Transient);
    let Condition::BackingOff { until, .. } = world.view().condition else { panic!("{:?}", world.view()) };
    assert_eq!((first(&world), world.state.next_ready([&kind()], world.now)), (None, Some(until)));
    world.now = until;
    assert_eq!(first(&world), Some(attempt.collection));
}

#[test]
fn a_refresh_does_not_put_back_what_waits() {
    let mut world = World::new();
    let a = waiting(&mut world, NAME, &kind(), at_once());
    world.now = world.now.after(secs(10));
    waiting(&mut world, "b", &kind(), at_once());
    world.now = world.now.after(secs(10));
    assert_eq!(world.refresh(), ["refresh_requested"]);
    assert_eq!(first(&world), Some(a));
}

#[test]
fn a_policy_out_of_range_is_refused_by_field() {
    let mut world = World::new();
    for level in [-1001, 1001, i16::MIN, i16::MAX] {
        let policy = Some(with_priority(level));
        let refused = world.say(Command::Declare(Declaration { policy, ..Declaration::new(name("a")) }.into()));
        let refused = refused.unwrap_err().to_string();
        assert_eq!(refused, format!("policy.priority: must be -1000 to 1000, found {level}"));
    }
}

fn limits(total: Option<u32>, kinds: &[(&str, u32)], prefixes: &[(&str, u32)]) -> Limits {
    let kinds = kinds.iter().map(|(kind, most)| (Kind::new(kind).unwrap(), *most)).collect();
    let prefixes = prefixes.iter().map(|(prefix, most)| (Name::new(prefix).unwrap(), *most)).collect();
    Limits { total, kinds, prefixes }
}

fn limited(total: Option<u32>, kinds: &[(&str, u32)], prefixes: &[(&str, u32)]) -> World {
    let mut world = World::new();
    let limits = limits(total, kinds, prefixes);
    assert_eq!(world.say(Command::Limit(limits.clone())), Ok(vec!["limits_changed"]));
    assert_eq!(world.say(Command::Limit(limits)), Ok(vec![]), "saying it twice changes nothing");
    world
}

#[test]
fn no_more_attempts_run_than_the_total_allows() {
    let mut world = limited(Some(2), &[], &[]);
    let ids: Vec<_> = ["a", "b", "c"].iter().map(|text| waiting(&mut world, text, &kind(), at_once())).collect();
    assert_eq!(order(&mut world), ["a", "b"]);
    let reached = Rejection::LimitReached { scope: Scope::Total, most: 2 };
    assert_eq!(world.say(assign("w", ids[2])), Err(reached));
    assert_eq!(world.state.next_ready([&kind()], world.now), None, "nothing to wake up for");
    let view = lastword::core::CollectionView::of(&world.state, ids[2], world.now).unwrap();
    assert_eq!(view.condition, Condition::Limit { scope: Scope::Total, most: 2 });
    assert_eq!(view.condition.to_string(), "waits because at most 2 attempts may run for all collections");
    let one = Rejection::LimitReached { scope: Scope::Kind(kind()), most: 1 };
    assert_eq!(one.to_string(), "at most 1 attempt may run for collections of kind k");
    let (_, attempt) = world.state.running().next().unwrap();
    world.stopped(attempt);
    assert_eq!(world.state.next_ready([&kind()], world.now), Some(world.now));
}

#[test]
fn a_kind_that_is_full_does_not_keep_another_waiting() {
    let mut world = limited(None, &[("k", 1)], &[]);
    let other = Kind::new("other").unwrap();
    for text in ["a", "b"] {
        waiting(&mut world, text, &kind(), with_priority(9));
        waiting(&mut world, &format!("{text}-other"), &other, at_once());
    }
    assert_eq!(order(&mut world), ["a"]);
    let next = world.state.first_ready([&kind(), &other], world.now).unwrap();
    assert_eq!(world.state.collection(next).unwrap().name.as_str(), "a-other");
}

#[test]
fn every_prefix_that_a_name_begins_with_counts() {
    let mut world = limited(None, &[], &[("eu-", 3), ("eu-west-", 1), ("us-", 1)]);
    let mut ids = Vec::new();
    for text in ["eu-west-1", "eu-west-2", "eu-1", "eu-2", "eu-3", "us-1", "us-2", "eu", "ap-1"] {
        ids.push(waiting(&mut world, text, &kind(), at_once()));
    }
    assert_eq!(order(&mut world), ["eu-west-1", "eu-1", "eu-2", "us-1", "eu", "ap-1"]);
    let reached = |id| world.state.limit_reached(id).map(|(scope, most)| (scope.to_string(), most));
    let scope = |prefix: &str| format!("collections whose names begin with {prefix}");
    assert_eq!(reached(ids[4]), Some((scope("eu-"), 3)));
    assert_eq!(reached(ids[6]), Some((scope("us-"), 1)));
    assert_eq!(reached(ids[7]), None);
    // The wider one is full as well, and so the narrower one cannot go on when its own attempt has stopped.
    let running: Vec<_> = world.state.running().map(|(_, attempt)| attempt).collect();
    world.complete(running[0]);
    assert_eq!(order(&mut world), ["eu-west-2"], "the place is the longest waiting one's");
    world.complete(running[1]);
    assert_eq!(order(&mut world), ["eu-3"], "a narrower limit that is full does not close the wider one");
}

#[test]
fn an_attempt_that_was_told_to_stop_counts_until_it_has() {
    let mut world = limited(Some(1), &[("k", 1)], &[("a", 1)]);
    world.say(Command::Declare(super::world::declaration(NAME, at_once()).into())).unwrap();
    world.observe(1);
    let attempt = world.assign();
    waiting(&mut world, "b", &kind(), at_once());
    assert_eq!(world.say(look(content(2))), Ok(vec!["source_observed", "task_aborted", "task_created"]));
    assert_eq!(first(&world), None);
    world.stopped(attempt);
    assert_eq!(order(&mut world), ["b"]);
    // Also after its collection is gone.
    let (_, attempt) = world.state.running().next().unwrap();
    world.say(Command::Drop { name: name("b") }).unwrap();
    assert_eq!(first(&world), None);
    world.stopped(attempt);
    assert_eq!(order(&mut world), ["a"]);
}

#[test]
fn limits_that_change_while_attempts_run_count_them() {
    let mut world = World::new();
    for text in ["a-1", "a-2", "b-1", "b-2"] {
        waiting(&mut world, text, &kind(), at_once());
    }
    for _ in 0..2 {
        let next = first(&world).unwrap();
        world.say(assign("w", next)).unwrap();
    }
    world.say(Command::Limit(limits(None, &[], &[("a-", 1), ("b-", 1)]))).unwrap();
    assert_eq!(order(&mut world), ["b-1"]);
    let running: Vec<_> = world.state.running().map(|(_, attempt)| attempt).collect();
    world.stopped(running[0]);
    assert_eq!(first(&world), None, "two ran under a limit of one: one still does");
    world.stopped(running[1]);
    assert!(first(&world).is_some());
    world.say(Command::Limit(Limits::default())).unwrap();
    assert_eq!(order(&mut world).len(), 3);
}

#[test]
fn limits_survive_a_crash() {
    let mut world = limited(Some(1), &[], &[]);
    world.crash();
    assert_eq!(world.state.limits().total, Some(1));
}

#[test]
fn case_38_bad_limits_are_refused_by_field() {
    let mut world = World::new();
    let mut refused = |limits| world.say(Command::Limit(limits)).unwrap_err().to_string();
    let zero = "must be at least 1; a pause stops a collection";
    assert_eq!(refused(limits(Some(0), &[], &[])), format!("limits.total: {zero}"));
    assert_eq!(refused(limits(None, &[("k", 0)], &[])), format!("limits.kinds.k: {zero}"));
    assert_eq!(refused(limits(None, &[], &[("eu-", 0)])), format!("limits.prefixes.eu-: {zero}"));
    let many = |most| (0..most).map(|n| (Name::new(&format!("{n}")).unwrap(), 1)).collect();
    let refused_many = refused(Limits { prefixes: many(1025), ..Limits::default() });
    assert_eq!(refused_many, "limits: must name at most 1024 kinds and prefixes, found 1025");
    assert!(world.say(Command::Limit(Limits { prefixes: many(1024), ..Limits::default() })).is_ok());
}
