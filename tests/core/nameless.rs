//! Results that name nothing of what was made: it is discarded all the same.

use lastword::core::vocabulary::{Built, Duties, Epoch, ObjectHash, Seq, Token};
use lastword::core::{DiscardSet, OutboxItem};

use super::world::{BOTH, World, at_once, completion};

const DISCARDING: Duties = Duties { publish: false, discard: true };

fn with(duties: Duties) -> World {
    let mut world = World::declared(at_once());
    world.duties = duties;
    world
}

#[test]
fn a_result_that_names_nothing_is_discarded_when_its_collection_is_dropped() {
    let mut world = with(DISCARDING);
    world.observe(1);
    let attempt = world.assign();
    let fingerprint = world.fingerprint_of(attempt);
    let nameless = Built { rows: Some(7), ..Built::default() };
    let events = world.say(completion(attempt, fingerprint, nameless.clone()));
    assert_eq!(events, Ok(vec!["task_completed", "attempt_ended"]));
    world.drop_it();
    let (_, _, first) = world.state.first_outbox_entry(attempt.collection).unwrap();
    let OutboxItem::Discard(leaving) = &first.item else { panic!("{first:?}") };
    let named = Built { output: Some(attempt.token.to_string().into()), ..nameless };
    assert_eq!((&leaving.before, &leaving.after), (&Some(named.into()), &None));
    assert_eq!(leaving.all_tokens(), [attempt.token]);
}

/// The discards that four commits of a kind lead to whose results say nothing of what they made.
fn discarded_tokens(duties: Duties) -> (Vec<Token>, Vec<Vec<Token>>) {
    let mut world = with(duties);
    let mut committed = Vec::new();
    for content in 1..=4 {
        world.observe(content);
        let attempt = world.assign();
        let fingerprint = world.fingerprint_of(attempt);
        let said = world.say(completion(attempt, fingerprint, Built { rows: Some(7), ..Built::default() }));
        assert_eq!(said, Ok(vec!["task_completed", "attempt_ended"]));
        committed.push(attempt.token);
    }
    let id = world.view().id;
    let outbox = world.state.collection(id).unwrap().outbox.as_deref();
    let discards = outbox.into_iter().flat_map(|outbox| &outbox.entries).filter_map(|entry| match &entry.item {
        OutboxItem::Discard(leaving) => Some(leaving.all_tokens()),
        OutboxItem::Publish(_) => None,
    });
    (committed, discards.collect())
}

#[test]
fn defect_14_what_a_result_does_not_name_is_discarded_by_the_token_of_its_attempt() {
    for duties in [DISCARDING, BOTH] {
        let (committed, discards) = discarded_tokens(duties);
        let replaced: Vec<Vec<Token>> = committed[..3].iter().map(|token| vec![*token]).collect();
        assert_eq!(discards, replaced);
    }
    assert_eq!(discarded_tokens(Duties::default()).1, Vec::<Vec<Token>>::new());
}

/// What a result names is discarded by its name: under its token there may be parts of what is live.
#[test]
fn defect_14_a_result_that_names_something_is_not_discarded_by_token() {
    let set = |output: &str, manifest| DiscardSet {
        tokens: vec![Token { epoch: Epoch(1), seq: Seq(9) }],
        before: Some(Built { output: Some(output.into()), manifest, ..Built::default() }.into()),
        after: None,
    };
    assert_eq!(set("1.5", None).all_tokens().len(), 2);
    for (output, manifest) in [("1.5", Some(ObjectHash([0; 32]))), ("1.5-0", None), ("a/1.5", None), ("01.5", None)] {
        assert_eq!(set(output, manifest).all_tokens().len(), 1, "{output}");
    }
}
