//! What is owed to destinations: commits to publish, outputs to discard.

use lastword::core::vocabulary::{
    CollectionId, Command, Completion, DeliveryKind, DeliveryRef, Duties, EngineCommand, Event, FailureClass, Grace,
    OnChange, Policy, Rejection, Seq, Token,
};
use lastword::core::{Lag, OutboxItem};

use super::world::{BOTH, NAME, World, at_once, built, declaration, name, secs};

const DISCARDING: Duties = Duties { publish: false, discard: true };

fn with(duties: Duties) -> World {
    let mut world = World::declared(at_once());
    world.duties = duties;
    world
}

/// All that is owed, in order, in words.
fn owed_of(world: &World, id: CollectionId) -> Vec<String> {
    let outbox = match world.state.collection(id) {
        Some(collection) => collection.outbox.as_deref(),
        None => world.state.orphans().find(|(orphan, _)| *orphan == id).map(|(_, orphan)| &orphan.outbox),
    };
    let token = |token: &Token| token.to_string();
    let say = |item: &OutboxItem| match item {
        OutboxItem::Publish(commit) => format!("publish {}", commit.token),
        OutboxItem::Discard(leaving) => {
            let mut said = vec!["discard".to_owned()];
            said.extend(leaving.tokens.iter().map(token));
            said.extend(leaving.before.as_ref().map(|before| format!("before {}", before.output.as_ref().unwrap())));
            said.extend(leaving.after.as_ref().map(|after| format!("but not {}", after.output.as_ref().unwrap())));
            said.join(" ")
        }
    };
    outbox.map_or_else(Vec::new, |outbox| outbox.entries.iter().map(|entry| say(&entry.item)).collect())
}

fn entries(world: &World) -> Vec<String> {
    owed_of(world, world.view().id)
}

fn first_of(world: &World, collection: CollectionId) -> DeliveryRef {
    let (_, _, first) = world.state.first_outbox_entry(collection).unwrap();
    DeliveryRef { collection, obligation: first.id, delivery: first.delivery() }
}

/// Delivers the first entry.
fn deliver(world: &mut World, id: CollectionId) -> Vec<&'static str> {
    let first = first_of(world, id);
    world.say(EngineCommand::Delivered(first)).unwrap()
}

fn deliver_all(world: &mut World) {
    let id = world.view().id;
    while world.state.first_outbox_entry(id).is_some() {
        deliver(world, id);
    }
}

fn is_due(world: &World) -> bool {
    world.state.outboxes_due(world.now).next().is_some()
}

#[test]
fn case_45_two_commits_are_published_in_order_and_what_they_replace_is_discarded_behind_them() {
    let mut world = with(BOTH);
    let first = world.commit(1);
    let second = world.commit(2);
    let (one, two) = (first.token, second.token);
    let all = [format!("publish {one}"), format!("publish {two}"), format!("discard before {one} but not {two}")];
    assert_eq!(entries(&world), all);
    let id = first.collection;
    assert_eq!(deliver(&mut world, id), ["published"]);
    assert!(matches!(world.last(), Event::Published { token, .. } if *token == one));
    assert_eq!(deliver(&mut world, id), ["published"]);
    assert!(matches!(world.last(), Event::Published { token, .. } if *token == two));
    assert_eq!(deliver(&mut world, id), ["discarded"]);
    assert_eq!((entries(&world), world.state.next_outbox_due(world.now)), (vec![], None));
    let owes = world.view().outbox.unwrap();
    assert_eq!((owes.published, owes.unpublished, owes.lag), (world.view().applied.map(|a| a.seq), 0, Lag::Zero));
}

#[test]
fn case_45_a_commit_that_was_not_published_is_published_after_a_crash() {
    let mut world = with(BOTH);
    let attempt = world.commit(1);
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!(entries(&world), [format!("publish {}", attempt.token)]);
    assert!(is_due(&world));
    assert_eq!(deliver(&mut world, attempt.collection), ["published"]);
}

#[test]
fn case_45_a_publication_that_fails_is_retried_with_backoff_and_visible() {
    let mut world = with(BOTH);
    let attempt = world.commit(1);
    let mut longest = secs(0);
    for failures in 1..=40 {
        let delivered = first_of(&world, attempt.collection);
        assert!(is_due(&world));
        let said = world.say(EngineCommand::DeliveryFailed { delivered, message: "down".into() });
        assert_eq!(said, Ok(vec!["publish_failed"]));
        let owes = world.view().outbox.unwrap();
        let failure = owes.failure.unwrap();
        assert_eq!((failure.delivery, &*failure.cause, failure.failures), (DeliveryKind::Publish, "down", failures));
        let due = failure.retry_at;
        assert_eq!((owes.unpublished, world.condition()), (1, "fresh"), "it is applied, and not published");
        longest = longest.max(due.since(world.now));
        assert!(due.since(world.now) <= secs(30));
        if due > world.now {
            assert!(!is_due(&world), "not before its time");
            assert_eq!(world.state.next_outbox_due(world.now), Some(due));
        }
        world.now = due;
    }
    assert!(longest > secs(15), "{longest:?}");
    // What comes after it waits, and is not lost.
    world.commit(2);
    assert_eq!(world.view().outbox.unwrap().unpublished, 2);
    assert_eq!(world.view().outbox.unwrap().undiscarded, 1);
    assert!(matches!(world.view().outbox.unwrap().lag, Lag::Since(behind) if behind > secs(60)));
    deliver_all(&mut world);
    assert_eq!(world.view().outbox.unwrap().failure, None);
}

#[test]
fn case_45_what_is_not_owed_first_is_refused() {
    let mut world = with(BOTH);
    let attempt = world.commit(1);
    world.commit(2);
    let id = attempt.collection;
    world.say(Command::Declare(declaration("b", at_once()).into())).unwrap();
    let b = world.state.id_of(&name("b")).unwrap();
    let first = first_of(&world, id);
    let second = Seq(world.view().applied.unwrap().seq.0);
    let not_owed = [
        DeliveryRef { obligation: second, ..first },
        DeliveryRef { delivery: DeliveryKind::Discard, ..first },
        DeliveryRef { collection: b, ..first },
        DeliveryRef { collection: CollectionId(Seq(1)), ..first },
    ];
    let before = world.state.clone();
    for delivered in not_owed {
        let refused = Err(Rejection::NotOwed(delivered.collection));
        assert_eq!(world.say(EngineCommand::Delivered(delivered)), refused);
        assert_eq!(world.say(EngineCommand::DeliveryFailed { delivered, message: "no".into() }), refused);
    }
    assert_eq!(world.state, before);
    assert_eq!(deliver(&mut world, id), ["published"]);
    assert_eq!(world.say(EngineCommand::Delivered(first)), Err(Rejection::NotOwed(id)), "said twice, it is done once");
}

#[test]
fn case_46_an_attempt_that_failed_leaves_its_outputs_to_be_taken_over() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let first = world.assign();
    assert_eq!(world.collection().leftovers(), []);
    world.fail(first, FailureClass::Transient);
    assert_eq!((world.collection().leftovers(), entries(&world)), (&[first.token][..], vec![]));
    world.advance(secs(30));
    let second = world.assign();
    assert_eq!((world.collection().leftovers(), entries(&world)), (&[first.token][..], vec![]), "not while it runs");
    world.complete(second);
    assert_eq!(entries(&world), [format!("discard {} but not {}", first.token, second.token)]);
    assert_eq!(world.collection().leftovers(), []);
}

#[test]
fn case_46_a_superseded_attempt_leaves_its_outputs_when_it_has_stopped() {
    let mut world = with(DISCARDING);
    world.commit(1);
    world.observe(2);
    let old = world.assign();
    world.observe(3);
    assert_eq!(world.collection().leftovers(), [], "it may still be making some");
    world.stopped(old);
    assert_eq!((world.collection().leftovers(), entries(&world)), (&[old.token][..], vec![]));
}

#[test]
fn case_46_once_nothing_is_to_be_built_leftovers_are_discarded_at_once() {
    let mut world = with(DISCARDING);
    let applied = world.commit(1);
    world.observe(2);
    let old = world.assign();
    world.observe(1);
    assert_eq!((world.condition(), entries(&world)), ("fresh", vec![]), "it has not stopped yet");
    world.stopped(old);
    let discard = format!("discard {} but not {}", old.token, applied.token);
    assert_eq!(entries(&world), [discard.as_str()]);
    // What was left earlier goes when the reason to keep it does.
    world.observe(2);
    let next = world.assign();
    world.stopped(next);
    assert_eq!(entries(&world), [discard.as_str()]);
    world.observe(1);
    assert_eq!(entries(&world), [discard, format!("discard {} but not {}", next.token, applied.token)]);
}

#[test]
fn case_46_a_parked_collection_keeps_its_leftovers() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!((world.condition(), entries(&world)), ("parked", vec![]));
    assert_eq!(world.collection().leftovers(), [attempt.token], "a refresh may take them over");
}

#[test]
fn case_46_what_a_commit_has_in_common_with_the_one_before_is_not_discarded() {
    let mut world = with(DISCARDING);
    let first = world.commit(1);
    world.observe(2);
    let second = world.assign();
    let (fingerprint, result) = (world.fingerprint_of(second), built(first));
    world.say(EngineCommand::Complete(Box::new(Completion { attempt: second, fingerprint, result }))).unwrap();
    assert_eq!(entries(&world), Vec::<String>::new(), "one and the same output");
}

#[test]
fn case_46_a_kind_that_discards_nothing_owes_nothing() {
    let mut world = with(Duties::default());
    world.commit(1);
    world.observe(2);
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Permanent);
    assert_eq!((world.view().outbox, world.collection().leftovers()), (None, &[][..]));
    world.drop_it();
    assert_eq!(world.state.orphans().count(), 0);
}

/// Abandons the running attempt: its task goes on without it.
fn abandon(world: &mut World) -> Token {
    let zombie = world.running();
    assert_eq!(world.advance(secs(3605)), ["attempt_failed", "attempt_ended"]);
    world.advance(secs(30));
    zombie.token
}

#[test]
fn case_46_what_a_zombie_has_made_is_never_taken_over_and_discarded_at_every_commit() {
    let mut world = with(DISCARDING);
    world.observe(1);
    world.assign();
    let zombie = abandon(&mut world);
    assert_eq!(world.collection().leftovers(), [], "it may still be writing them");
    let first = world.assign();
    world.complete(first);
    let second = world.commit(2);
    assert_eq!(
        entries(&world),
        [
            format!("discard {zombie} but not {}", first.token),
            format!("discard {zombie} before {} but not {}", first.token, second.token)
        ]
    );
}

#[test]
fn case_46_zombies_that_never_come_back_are_bounded() {
    let policy = Policy { grace: Grace(secs(0)), ..at_once() };
    let mut world = World::declared(policy);
    world.duties = DISCARDING;
    world.observe(1);
    // Fewer than an outbox has room for.
    for version in 2..=100 {
        world.assign();
        world.observe(version);
        world.advance(secs(0));
    }
    let outbox = world.collection().outbox.as_deref().unwrap();
    let known = outbox.zombies.len() + outbox.leftovers.len();
    assert!(known <= 64, "{known} tokens are in memory, and in every commit to come");
    let named: usize = entries(&world).iter().map(|discard| discard.split(' ').count() - 1).sum();
    assert!(known + named >= 99, "each was discarded or is known");
}

#[test]
fn case_46_a_zombie_whose_process_is_gone_is_discarded_for_the_last_time() {
    let mut world = with(DISCARDING);
    world.observe(1);
    world.assign();
    let zombie = abandon(&mut world);
    let first = world.assign();
    world.complete(first);
    world.observe(2);
    let old = first.token;
    let discard = format!("discard {zombie} but not {old}");
    assert_eq!(entries(&world), [discard.as_str()]);
    world.crash();
    // It was owed before: were it left to be taken over, the next attempt's commit would be discarded with it.
    assert_eq!(world.collection().leftovers(), []);
    assert_eq!(entries(&world), [discard.clone(), discard.clone()]);
    let second = world.assign();
    world.complete(second);
    let last = format!("discard before {old} but not {}", second.token);
    assert_eq!(entries(&world), [discard.clone(), discard, last], "it is not known any more");
}

#[test]
fn case_46_each_discard_has_a_name_of_its_own_however_many_zombies_there_are() {
    let mut world = World::declared(Policy { grace: Grace(secs(0)), ..at_once() });
    world.duties = DISCARDING;
    world.observe(1);
    for version in 2..=17 {
        world.assign();
        world.observe(version);
        world.advance(secs(0));
    }
    let id = world.assign().collection;
    world.drop_it();
    world.advance(secs(0));
    let (_, orphan) = world.state.orphans().next().unwrap();
    let names: Vec<Seq> = orphan.outbox.entries.iter().map(|entry| entry.id).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    let last = owed_of(&world, id).pop().unwrap();
    assert_eq!(last.split(' ').count(), 18, "seventeen zombies: {last}");
    while world.state.first_outbox_entry(id).is_some() {
        deliver(&mut world, id);
    }
}

#[test]
fn case_46_leftovers_are_bounded_but_not_while_an_attempt_may_take_them_over() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let mut tokens = Vec::new();
    for _ in 0..65 {
        let attempt = world.assign();
        assert_eq!(entries(&world), Vec::<String>::new());
        world.stopped(attempt);
        tokens.push(attempt.token);
    }
    let oldest: Vec<String> = tokens[..32].iter().map(Token::to_string).collect();
    assert_eq!(entries(&world), [format!("discard {}", oldest.join(" "))]);
    assert_eq!(world.collection().leftovers(), &tokens[32..]);
}

#[test]
fn case_46_a_drop_discards_everything_and_publishes_nothing_more() {
    let mut world = with(BOTH);
    let first = world.commit(1);
    let second = world.commit(2);
    world.observe(3);
    let failed = world.assign();
    world.fail(failed, FailureClass::Permanent);
    let id = first.collection;
    assert_eq!(world.drop_it(), ["collection_dropped"]);
    let (one, two, three) = (first.token, second.token, failed.token);
    assert_eq!(
        owed_of(&world, id),
        [format!("discard before {one} but not {two}"), format!("discard {three} before {two}")]
    );
    assert!(is_due(&world));
    // A crash forgets none of it, a failure is retried, and then nothing is left.
    world.crash();
    let delivered = first_of(&world, id);
    world.say(EngineCommand::DeliveryFailed { delivered, message: "down".into() }).unwrap();
    assert_eq!(world.state.outboxes_due(world.now).count(), 0);
    world.now = world.now.after(secs(30));
    assert_eq!(deliver(&mut world, id), ["discarded"]);
    assert_eq!(deliver(&mut world, id), ["discarded"]);
    assert_eq!((world.state.orphans().count(), world.state.next_outbox_due(world.now)), (0, None));
    assert_eq!(world.say(EngineCommand::Delivered(delivered)), Err(Rejection::NotOwed(id)));
}

#[test]
fn case_46_an_attempt_that_outlives_its_collection_is_discarded_when_it_stops() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let attempt = world.assign();
    let id = attempt.collection;
    world.drop_it();
    assert_eq!(owed_of(&world, id), Vec::<String>::new(), "it may still be making some");
    // The same name again is somebody else, and owes nothing of it.
    world.say(Command::Declare(declaration(NAME, at_once()).into())).unwrap();
    let new = world.commit(1);
    assert_eq!(world.stopped(attempt), ["attempt_ended"]);
    assert_eq!(owed_of(&world, id), [format!("discard {}", attempt.token)]);
    assert_eq!((entries(&world), world.state.first_outbox_entry(id).unwrap().0.as_str()), (vec![], NAME));
    deliver(&mut world, id);
    assert_eq!(world.state.orphans().count(), 0);
    assert_eq!(world.view().applied.unwrap().token, new.token);
}

#[test]
fn case_46_a_zombie_that_outlives_its_collection_is_discarded_until_it_is_gone() {
    for comes_back in [true, false] {
        let mut world = with(DISCARDING);
        world.observe(1);
        let zombie = world.assign();
        let id = zombie.collection;
        world.drop_it();
        assert_eq!(world.advance(secs(5)), ["attempt_ended"]);
        let discard = format!("discard {}", zombie.token);
        assert_eq!(owed_of(&world, id), [discard.as_str()]);
        deliver(&mut world, id);
        assert_eq!(world.state.orphans().count(), 1, "it may still be making some");
        let _ = if comes_back { world.complete(zombie) } else { world.crash() };
        assert_eq!(owed_of(&world, id), [discard]);
        deliver(&mut world, id);
        assert_eq!(world.state.orphans().count(), 0);
    }
}

#[test]
fn case_46_a_drop_discards_also_what_an_earlier_version_of_the_kind_has_left() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let old = world.assign();
    world.stopped(old);
    world.duties = Duties::default();
    let attempt = world.assign();
    world.stopped(attempt);
    world.drop_it();
    assert_eq!(owed_of(&world, attempt.collection), [format!("discard {}", old.token)]);
    deliver(&mut world, attempt.collection);
    assert_eq!(world.state.orphans().count(), 0, "nothing is kept for ever");
}

#[test]
fn case_46_nothing_live_is_discarded_when_the_old_version_comes_back() {
    let policy = Policy { on_change: OnChange::FinishThenLatest, ..at_once() };
    let mut world = World::declared(policy);
    world.duties = BOTH;
    let first = world.commit(1);
    world.observe(2);
    let second = world.assign();
    assert_eq!(world.observe(1), ["source_observed"]);
    let events = world.complete(second);
    assert_eq!(events, ["task_completed", "attempt_ended", "source_observed", "task_created"]);
    let third = world.assign();
    world.complete(third);
    let (one, two, three) = (first.token, second.token, third.token);
    assert_eq!(
        entries(&world),
        [
            format!("publish {one}"),
            format!("publish {two}"),
            format!("discard before {one} but not {two}"),
            format!("publish {three}"),
            format!("discard before {two} but not {three}"),
        ]
    );
}

#[test]
fn case_46_a_zombie_that_comes_back_is_discarded_also_while_another_attempt_runs() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let old = world.assign();
    let zombie = abandon(&mut world);
    let running = world.assign();
    assert_eq!(world.complete(old), ["completion_rejected"]);
    assert_eq!((world.collection().leftovers(), entries(&world)), (&[][..], vec![format!("discard {zombie}")]));
    world.complete(running);
    assert_eq!(entries(&world), [format!("discard {zombie}")], "and no more");
}
