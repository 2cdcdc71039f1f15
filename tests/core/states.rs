//! When two states are the same: in each of their parts, and nowhere else.

use lastword::core::State;
use lastword::core::vocabulary::{Built, Command, Event, Limits, ObjectHash, Recorded, Stopping, Timestamp};

use super::world::{BOTH, World, at_once, built, completion, name};

fn folded(record: &[Recorded]) -> State {
    let mut state = State::new();
    record.iter().for_each(|recorded| state.fold(recorded).unwrap());
    state
}

/// The state of a record in which one event is another.
fn but_for(record: &[Recorded], change: impl Fn(&mut Recorded)) -> State {
    let mut record = record.to_vec();
    record.iter_mut().for_each(change);
    folded(&record)
}

fn limits(total: u32) -> Command {
    Command::Limit(Limits { total: Some(total), ..Limits::default() })
}

#[test]
fn states_that_differ_in_one_part_are_not_the_same() {
    let empty = World::new();
    let mut limited = World::new();
    limited.say(limits(1)).unwrap();
    let (mut world, _) = World::started(at_once());
    world.observe(2);
    let draining = world.record.clone();
    world.drop_it();
    let orphaned = world.record.clone();

    let other_limits = |recorded: &mut Recorded| {
        if let Event::LimitsChanged { limits } = &mut recorded.event {
            limits.total = Some(2);
        }
    };
    let other_name = |recorded: &mut Recorded| {
        if let Event::CollectionDeclared { name: of, .. } = &mut recorded.event {
            *of = name("b");
        }
    };
    let other_grace = |recorded: &mut Recorded| {
        if let Event::TaskAborted { stopping: Some(Stopping { grace_until, .. }), .. } = &mut recorded.event {
            grace_until.0 += 1;
        }
    };
    let later = |recorded: &mut Recorded| recorded.at = Timestamp(recorded.at.0 + 1);
    let pairs = [
        ("last", folded(&limited.record), folded(&empty.record)),
        ("epoch", folded(&empty.record), but_for(&empty.record, |recorded| recorded.epoch.0 += 1)),
        ("at", folded(&empty.record), but_for(&empty.record, later)),
        ("limits", folded(&limited.record), but_for(&limited.record, other_limits)),
        ("collections", folded(&draining), but_for(&draining, other_name)),
        ("orphans", folded(&orphaned), but_for(&orphaned, other_name)),
        ("draining", folded(&draining), but_for(&draining, other_grace)),
    ];
    for (part, one, other) in &pairs {
        assert_ne!(one, other, "{part}");
        assert_ne!(one.digest(), other.digest(), "{part}");
        assert_eq!((one, one.digest()), (&one.clone(), one.clone().digest()), "{part}");
    }
    let (at, named) = (&pairs[2], &pairs[4].1);
    assert_eq!(at.2.at(), Timestamp(at.1.at().0 + 1));
    assert_eq!((at.1.len(), at.1.is_empty(), at.1.collections().count()), (0, true, 0));
    assert_eq!((named.len(), named.is_empty(), named.collections().count()), (1, false, 1));
}

#[test]
fn a_state_names_its_objects_each_as_often_as_it_does() {
    let mut world = World::declared(at_once());
    world.duties = BOTH;
    world.observe(1);
    let attempt = world.assign();
    let (one, two, manifest) = (ObjectHash([1; 32]), ObjectHash([2; 32]), ObjectHash([9; 32]));
    let result = Built { manifest: Some(manifest), ..built(attempt) };
    world.say(completion(attempt, world.fingerprint_of(attempt), result)).unwrap();
    world.observe(2);
    // Heard, wanted, applied, and to be published.
    assert_eq!(world.state.objects(), [two, two, one, manifest, one, manifest]);
    let named: Vec<ObjectHash> = world.record.iter().filter_map(|recorded| recorded.event.object()).collect();
    assert_eq!(named, [one, manifest, two]);
    world.drop_it();
    assert_eq!(world.state.objects(), [manifest], "to be discarded");
}
