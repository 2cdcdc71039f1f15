//! A task that takes its process with it: after the second time it runs alone, so that nothing beside it is blamed, and it
//! is given up soon.

use lastword::core::Condition;
use lastword::core::vocabulary::{AttemptRef, Command, EngineCommand, FailReason, ParkCause, Policy, Rejection, Retry};
use lastword::core::{CollectionView, Parking};

use super::world::{NAME, World, assign, at_once, completion, content, declaration, kind, name, secs};

/// A killer and some innocents, all of them observed.
fn world(innocents: &[&str]) -> World {
    let mut world = World::observed(at_once());
    innocents.iter().for_each(|innocent| add(&mut world, innocent));
    world
}

fn add(world: &mut World, text: &str) {
    world.say(Command::Declare(declaration(text, at_once()).into())).unwrap();
    world.say(Command::Observe { name: name(text), outcome: content(1) }).unwrap();
}

fn view(world: &World, text: &str) -> CollectionView {
    CollectionView::of(&world.state, world.state.id_of(&name(text)).unwrap(), world.now).unwrap()
}

fn start(world: &mut World, text: &str) -> Result<AttemptRef, Rejection> {
    let id = world.state.id_of(&name(text)).unwrap();
    world.say(assign("w", id))?;
    Ok(world.state.collection(id).unwrap().status.running().unwrap().attempt_of(id))
}

fn commit(world: &mut World, attempt: AttemptRef) {
    let fingerprint = world.fingerprint_of(attempt);
    world.say(completion(attempt, fingerprint, super::world::built(attempt))).unwrap();
}

fn next(world: &World) -> Option<String> {
    let id = world.state.first_ready([&kind()], world.now)?;
    Some(world.state.collection(id).unwrap().name.as_str().to_owned())
}

#[test]
fn defect_13_what_took_its_process_with_it_twice_runs_alone() {
    let mut world = world(&["b"]);
    for _ in 0..2 {
        assert_eq!(view(&world, NAME).condition.name(), "waiting_for_worker");
        start(&mut world, NAME).unwrap();
        start(&mut world, "b").unwrap();
        world.crash();
    }
    // Both were there, so both are suspected: one at a time.
    for text in [NAME, "b"] {
        assert!(matches!(view(&world, text).condition, Condition::Isolated { crashes: 2 }), "{text}");
    }
    let killer = start(&mut world, NAME).unwrap();
    assert!(matches!(start(&mut world, "b"), Err(Rejection::NotReady(_))));
    assert_eq!((next(&world), world.state.next_ready([&kind()], world.now)), (None, None), "nothing to wake up for");
    assert_eq!(view(&world, NAME).condition.name(), "running");
    world.crash();
    // The innocent is found innocent by running alone.
    let innocent = start(&mut world, "b").unwrap();
    assert!(matches!(start(&mut world, NAME), Err(Rejection::NotReady(_))));
    commit(&mut world, innocent);
    assert_eq!(view(&world, "b").condition.name(), "fresh");
    let _ = killer;
}

#[test]
fn defect_13_others_go_first_and_nothing_starts_beside_it() {
    let mut world = world(&["b", "c"]);
    for _ in 0..2 {
        start(&mut world, NAME).unwrap();
        world.crash();
    }
    // It has waited longest, and comes last.
    assert_eq!(next(&world).as_deref(), Some("b"));
    let b = start(&mut world, "b").unwrap();
    assert_eq!(next(&world).as_deref(), Some("c"));
    let c = start(&mut world, "c").unwrap();
    assert_eq!(next(&world), None);
    assert!(matches!(start(&mut world, NAME), Err(Rejection::NotReady(_))));
    commit(&mut world, b);
    assert_eq!(next(&world), None, "one still runs");
    commit(&mut world, c);
    assert_eq!(next(&world).as_deref(), Some(NAME));
    let alone = start(&mut world, NAME).unwrap();
    add(&mut world, "d");
    assert_eq!((next(&world), start(&mut world, "d").is_err()), (None, true), "nothing starts beside it");
    // Also while it is told to stop and has not: it holds the process as before.
    world.observe(2);
    assert_eq!((next(&world), start(&mut world, "d").is_err()), (None, true));
    world.stopped(alone);
    assert_eq!(next(&world).as_deref(), Some("d"), "others go first");
    // An attempt in a process of its own is nobody's neighbour.
    start(&mut world, "d").unwrap();
    add(&mut world, "e");
    let id = world.state.id_of(&name(NAME)).unwrap();
    let EngineCommand::Assign(elsewhere) = assign("far", id) else { panic!() };
    world
        .say(EngineCommand::Assign(lastword::core::vocabulary::Assign { lease: Some(secs(30)), ..elsewhere }))
        .unwrap();
    assert_eq!(next(&world).as_deref(), Some("e"));
}

#[test]
fn defect_13_it_is_given_up_after_a_few_times_alone() {
    let mut world = world(&["b"]);
    for lost in 1..=5 {
        start(&mut world, NAME).unwrap();
        assert_eq!(world.crash().contains(&"task_parked"), lost == 5, "{lost}");
    }
    let Condition::Parked { cause, failure } = world.view().condition else { panic!("{:?}", world.view()) };
    assert_eq!(cause, Parking::Failed(ParkCause::LostTooOften));
    assert_eq!(failure.unwrap().reason, FailReason::WorkerLost);
    // A refresh is one try more, alone: it is not forgotten what it did.
    world.refresh();
    assert_eq!(world.condition(), "isolated");
    start(&mut world, NAME).unwrap();
    assert!(world.crash().contains(&"task_parked"));
    // And so is a change, until something is committed.
    world.observe(2);
    assert_eq!(world.condition(), "isolated");
    let attempt = world.assign();
    world.complete(attempt);
    world.observe(3);
    assert_eq!(world.condition(), "waiting_for_worker");
}

/// Two workers, and others that are ready whenever one of them is idle and take `takes` seconds each. Of so many attempts
/// of theirs the killer's was the next; nothing if it never came.
fn others_before_it(takes: u64, hangs: bool, seconds: u64) -> (Option<usize>, usize) {
    const OTHERS: [&str; 4] = ["b", "c", "d", "e"];
    let mut world = world(&OTHERS);
    for _ in 0..2 {
        start(&mut world, NAME).unwrap();
        world.crash();
    }
    let (mut running, mut started, mut alone) = (Vec::new(), 0, None);
    for second in 0..seconds {
        // They never end at the same time.
        let ends = running.iter().position(|(begun, _)| {
            second >= begun + takes && !(hangs && *begun == 0) && second % takes == begun % takes
        });
        if let Some(at) = ends {
            let (_, attempt): (u64, AttemptRef) = running.remove(at);
            commit(&mut world, attempt);
        }
        for text in OTHERS {
            if view(&world, text).condition.name() == "fresh" {
                let version = content(u8::try_from(second % 200).unwrap() + 2);
                world.say(Command::Observe { name: name(text), outcome: version }).unwrap();
            }
        }
        if running.len() < 2 && (running.is_empty() || second % takes != running[0].0 % takes) {
            let Some(found) = next(&world) else {
                assert_ne!(world.state.next_ready([&kind()], world.now), Some(world.now), "nothing to wake up for yet");
                world.advance(secs(1));
                continue;
            };
            let attempt = start(&mut world, &found).unwrap();
            if found == NAME {
                assert!(running.is_empty(), "beside something");
                alone.get_or_insert(started);
                commit(&mut world, attempt);
            } else {
                started += 1;
                running.push((second, attempt));
            }
        }
        world.advance(secs(1));
    }
    (alone, started)
}

#[test]
fn defect_13_an_isolated_task_does_not_wait_for_ever_for_others() {
    // Two at a time, each five seconds: after ten minutes the process is drained for it.
    let (alone, _) = others_before_it(5, false, 1_000);
    assert!(alone.is_some_and(|others| (230..=241).contains(&others)), "{alone:?}");
    // However long the others take, there comes a time that is longer.
    let (alone, _) = others_before_it(200, false, 6_000);
    assert!(alone.is_some_and(|others| others <= 50), "{alone:?}");
}

#[test]
fn defect_13_one_that_hangs_beside_an_isolated_task_does_not_stop_the_others() {
    let (alone, others) = others_before_it(5, true, 3_000);
    assert_eq!(alone, None, "it runs alone or not at all");
    // One worker, of which they lose a tenth at most.
    assert!((480..600).contains(&others), "{others}");
}

#[test]
fn defect_13_leases_that_run_out_isolate_nothing() {
    let mut world = World::observed(at_once());
    world.lease = Some(secs(30));
    for _ in 0..4 {
        let attempt = world.assign();
        world.say(EngineCommand::Lost { attempt }).unwrap();
    }
    assert_eq!((world.condition(), world.collection().crashes), ("waiting_for_worker", 0));
    assert_eq!(Policy::default().retry.max_lost, 50);
    assert_eq!((Retry::ISOLATED_AFTER, Retry::default().max_lost_alone), (2, Some(3)));
}
