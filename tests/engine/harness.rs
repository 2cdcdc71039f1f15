//! A worker tested with what users have: the public harness, nothing else. It builds a list of the words of a source
//! and publishes it to a destination that compares tokens.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use lastword::core::Condition;
use lastword::core::vocabulary::{Built, Declaration, FieldError, Generation, HoldCause, Kind, Name, Source, Spec};
use lastword::engine::CommandError;
use lastword::log::Keep;
use lastword::testing::{Destination, Gate, Harness, Sources};
use lastword::worker::{Context, Failure, Observer, Worker};

/// The worker under test.
#[derive(Clone, Default)]
struct WordList {
    sources: Sources,
    lists: Destination,
    /// Between reading and writing.
    gate: Gate,
    /// Does not listen while it stands before the gate.
    deaf: bool,
}

impl Worker for WordList {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let files = self.sources.read(context.source())?;
        let mut words = BTreeSet::new();
        for (path, bytes) in &files {
            let text = std::str::from_utf8(bytes).map_err(|_| Failure::Permanent(format!("{path} is no text")))?;
            words.extend(text.split_whitespace());
        }
        let list = words.into_iter().collect::<Vec<_>>().join(" ");
        if self.deaf {
            self.gate.pass_deaf();
        } else {
            self.gate.pass(context)?;
        }
        self.sources.unmoved(context)?;
        self.lists.write(context.name().as_str(), context.token(), list.as_str())?;
        Ok(Built { output: Some(list.into()), ..Built::default() })
    }

    fn check(&self, _: &Source, spec: &Spec) -> Result<(), FieldError> {
        if spec.as_str() == "{}" { Ok(()) } else { Err(FieldError::new("spec", "must be empty")) }
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.sources)
    }
}

fn declaration(of: &str, source: &str) -> Declaration {
    let mut declaration = Declaration::new(Name::new(of).unwrap());
    declaration.kind = Some(Kind::new("words").unwrap());
    declaration.source = Some(Source::new(source).unwrap());
    declaration
}

/// A harness with the collection `notes`, whose source holds one file and which is not built yet.
fn harness(worker: &WordList) -> Harness {
    worker.sources.set("lake", [("a.txt", "to be or not")]);
    let worker = worker.clone();
    let harness = Harness::with(move |engine| engine.kind(Kind::new("words").unwrap(), worker.clone()).any_kind());
    harness.declare(declaration("notes", "lake"));
    harness
}

fn list(worker: &WordList) -> Option<String> {
    worker.lists.read("notes").map(|list| String::from_utf8(list).unwrap())
}

/// What a failed assertion of the harness says.
fn said(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("the assertion holds");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn case_01_a_change_during_a_run_is_what_gets_built() {
    let worker = WordList::default();
    let harness = harness(&worker);
    worker.gate.until_reached(&harness, 1);
    worker.sources.put("lake", "b.txt", "that is");
    worker.gate.open();
    // The attempt sees that its source has moved, and the next one builds what is there now.
    assert!(harness.run_until_settled().is_fresh());
    assert_eq!(list(&worker).unwrap(), "be is not or that to");
    assert_eq!(worker.lists.writes().len(), 1, "half of a source is never written");
    assert_eq!(harness.assert_committed("notes").generation, Generation(2));
    harness.verify();
}

#[test]
fn case_44_a_zombie_of_a_process_that_crashed_does_no_harm() {
    let zombie = WordList { deaf: true, ..WordList::default() };
    let mut harness = harness(&zombie);
    zombie.gate.until_reached(&harness, 1);
    for keep in [Keep::None, Keep::All] {
        harness.crash_and_reopen(keep);
    }
    // Three processes have an attempt before the gate; they write one after the other, in whatever order.
    zombie.gate.until_reached(&harness, 3);
    zombie.gate.open();
    harness.run_until_settled();
    harness.until("the zombies' writes", || zombie.lists.writes().len() == 3);
    assert_eq!(list(&zombie).unwrap(), "be not or to");
    assert_eq!(zombie.lists.writer("notes"), Some(harness.assert_committed("notes").token));
    harness.verify();
}

#[test]
fn case_14_a_failed_append_is_unknown_and_opening_again_tells() {
    for keep in [Keep::None, Keep::All] {
        let worker = WordList::default();
        worker.gate.open();
        let mut harness = harness(&worker);
        harness.run_until_settled();
        harness.fail_next_append(keep);
        let lost = harness.handle().declare(declaration("second", "lake"));
        assert!(matches!(lost, Err(CommandError::Unknown(_))), "{lost:?}");
        let text = said(|| drop(harness.run_until_settled()));
        assert!(text.contains("an append was made to fail") && text.contains("reopen"), "{text}");

        harness.reopen();
        assert_eq!(harness.handle().status(Name::new("second").unwrap()).unwrap().is_some(), keep == Keep::All);
        harness.declare(declaration("second", "lake"));
        assert!(harness.run_until_settled().is_fresh());
        harness.assert_committed("second");
        harness.verify();
    }
}

#[test]
fn settling_moves_the_clock_through_every_retry_and_says_which_cause_stands() {
    let worker = WordList::default();
    worker.gate.open();
    let harness = harness(&worker);
    let begun = harness.stats().at;
    worker.sources.set("lake", [("a.txt", vec![0xFF])]);
    worker.sources.set("gone", [("a.txt", "x")]);
    harness.declare(declaration("gone", "gone"));
    harness.declare(Declaration { kind: Some(Kind::new("nobody").unwrap()), ..declaration("alone", "lake") });
    harness.run_until_settled();
    worker.sources.fail("gone", "no route to host");
    let settled = harness.run_until_settled();
    assert!(!settled.is_fresh());
    let causes: Vec<_> = settled.causes().map(|(name, cause)| (name.as_str(), cause.name())).collect();
    assert_eq!(causes, [("alone", "no_worker"), ("gone", "unobservable"), ("notes", "parked")]);
    let Some(Condition::Parked { failure: Some(failure), .. }) = settled.condition("notes") else {
        panic!("{settled}")
    };
    assert_eq!(&*failure.message, "a.txt is no text");
    assert!(settled.to_string().contains("gone: its source cannot be observed: no route to host"), "{settled}");
    // By hours of its own clock, at most.
    assert!(harness.stats().at.since(begun) < Duration::from_secs(3600));

    worker.sources.set("lake", [("a.txt", "repaired")]);
    harness.run_until_settled();
    harness.assert_committed("notes");
    harness.verify();
}

#[test]
fn case_21_a_source_that_is_emptied_is_held_until_somebody_confirms_it() {
    let worker = WordList::default();
    worker.gate.open();
    let harness = harness(&worker);
    harness.run_until_settled();
    worker.sources.empty("lake");
    let settled = harness.run_until_settled();
    let Some(Condition::Held { cause: HoldCause::Empty, fingerprint }) = settled.condition("notes") else {
        panic!("{settled}")
    };
    assert_eq!(list(&worker).unwrap(), "be not or to");
    harness.handle().confirm(Name::new("notes").unwrap(), *fingerprint).unwrap();
    harness.run_until_settled();
    assert_eq!(list(&worker).unwrap(), "");
    harness.assert_committed("notes");
}

#[test]
fn an_assertion_that_fails_tells_the_story() {
    let worker = WordList::default();
    worker.gate.open();
    let harness = harness(&worker);
    harness.run_until_settled();
    let text = said(|| harness.assert_condition("notes", "parked"));
    for line in ["notes is not parked but fresh", "notes: declared as words from lake", "task 4 started, attempt 1"] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    worker.sources.set("lake", [("a.txt", vec![0xFF])]);
    harness.run_until_settled();
    let text = said(|| drop(harness.assert_committed("notes")));
    assert!(text.contains("the latest inputs are not committed; the collection is parked"), "{text}");
    let text = said(|| drop(harness.view("nobody")));
    assert_eq!(text, "no collection is named \"nobody\"\nnothing ever happened to \"nobody\"\n");
    let refused = Declaration { spec: Some(Spec::parse(r#"{"x":1}"#).unwrap()), ..declaration("b", "lake") };
    let text = said(|| {
        harness.declare(refused);
    });
    assert_eq!(text, "b was not declared: spec: must be empty");
}

#[test]
fn an_attempt_that_never_returns_does_not_keep_a_test_for_ever() {
    let worker = WordList { deaf: true, ..WordList::default() };
    let mut harness = harness(&worker);
    harness.set_timeout(Duration::from_millis(300));
    worker.gate.until_reached(&harness, 1);
    let text = said(|| drop(harness.run_until_settled()));
    assert!(text.contains("at work: 1 attempt (0 asleep, ") && text.contains("notes: attempt 1 runs on w"), "{text}");
    // Once it is abandoned it keeps nobody.
    harness.set_timeout(Duration::from_secs(60));
    harness.handle().cancel(Name::new("notes").unwrap(), None).unwrap();
    harness.advance(Duration::from_secs(3600));
    harness.run_until_settled();
    harness.assert_condition("notes", "parked");
    worker.gate.open();
}

#[test]
fn a_source_that_moves_for_ever_is_not_driven_for_ever() {
    #[derive(Clone)]
    struct Moving(Sources);
    impl Worker for Moving {
        fn run(&self, _: &Context) -> Result<Built, Failure> {
            Err(Failure::moved("it"))
        }
        fn observer(&self) -> Option<&dyn Observer> {
            Some(&self.0)
        }
    }
    let moving = Moving(Sources::new());
    moving.0.set("lake", [("a", "1")]);
    let mut harness = Harness::with(move |engine| engine.kind(Kind::new("words").unwrap(), moving.clone()));
    harness.set_timeout(Duration::from_secs(2));
    harness.declare(declaration("notes", "lake"));
    let text = said(|| drop(harness.run_until_settled()));
    assert!(text.contains("not settled after"), "{text}");
    // An attempt may just be running; time stands still again, and no other follows it.
    let condition = || harness.view("notes").condition;
    let moves = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        condition().name() == "moving"
    });
    assert!(moves, "{:?}", condition());
}

#[test]
fn a_destination_refuses_lower_tokens_and_remembers_every_write() {
    let worker = WordList::default();
    worker.gate.open();
    let harness = harness(&worker);
    harness.run_until_settled();
    let first = harness.assert_committed("notes").token;
    worker.sources.put("lake", "b.txt", "more");
    harness.run_until_settled();
    let second = harness.assert_committed("notes").token;
    assert!(second > first);
    let refused = worker.lists.write("notes", first, "late").unwrap_err();
    assert_eq!((refused.token, refused.newest), (first, second));
    assert!(worker.lists.remove("notes", first).is_err());
    assert_eq!(list(&worker).unwrap(), "be more not or to");
    let tried: Vec<bool> = worker.lists.writes().iter().map(|write| write.refused).collect();
    assert_eq!(tried, [false, false, true, true]);
    worker.lists.remove("notes", second).unwrap();
    assert!(worker.lists.keys().is_empty() && worker.lists.writer("notes") == Some(second));
}

#[test]
fn a_look_reports_what_differs_in_files() {
    let worker = WordList::default();
    worker.gate.open();
    let harness = harness(&worker);
    harness.run_until_settled();
    worker.sources.set("lake", [("a.txt", "changed"), ("b.txt", "new"), ("c.txt", "new")]);
    harness.run_until_settled();
    worker.sources.remove("lake", "c.txt");
    harness.run_until_settled();
    let history = harness.history("notes");
    assert!(history.contains("3 files, 13 bytes (+2 -0 ~1)"), "{history}");
    assert!(history.contains("2 files, 10 bytes (+0 -1 ~0)"), "{history}");
}
