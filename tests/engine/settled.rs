//! Waiting until everything that a source holds now is applied and published.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::core::{Condition, Parking};
use lastword::engine::{CommandError, SettleOutcome, WaitOutcome};
use lastword::testing::Destination;
use lastword::worker::{CommitView, Context, DeliveryError, Failure, Worker};

use crate::support::*;

/// Waits on a thread of its own; returns once the engine knows of it.
fn settling(lab: &Lab, of: &str) -> JoinHandle<Result<SettleOutcome, CommandError>> {
    let (handle, of, before) = (lab.handle.clone(), name(of), lab.stats().waiters);
    let waiter = thread::spawn(move || handle.wait_settled(of, LONG));
    until("a waiter", || lab.stats().waiters == before + 1);
    waiter
}

#[test]
fn defect_20_what_the_source_holds_now_is_observed_and_applied_before_it_counts_as_settled() {
    let lab = Lab::start();
    lab.puppet.show("lake", Ok(observed("1")));
    lab.handle.declare(versioned("a", "seen", "lake")).unwrap();
    lab.run_until_settled();
    // It changes, and nothing but the question has it observed.
    lab.puppet.show("lake", Ok(observed("2")));
    let (looks, waiter) = (lab.puppet.looks(), settling(&lab, "a"));
    until("the change settling", || lab.view("a").condition.name() == "settling");
    assert!(lab.puppet.looks() > looks && !waiter.is_finished());
    lab.clock.advance(Duration::from_secs(1));
    let outcome = waiter.within("the end of a thread").unwrap().unwrap();
    let applied = lab.view("a").applied.unwrap();
    assert_eq!(outcome, SettleOutcome::Settled { seq: applied.seq, generation: Generation(2) });
    assert_eq!(applied.result.output.as_deref(), Some("2"));
    // Without a change another observation is enough, and an observation that began earlier is not.
    lab.puppet.hold_looks();
    let looks = lab.puppet.looks();
    lab.handle.refresh(name("a")).unwrap();
    until("a look that began before", || lab.puppet.looks() > looks);
    let waiter = settling(&lab, "a");
    lab.puppet.release_looks();
    assert!(matches!(waiter.within("the end of a thread").unwrap(), Ok(SettleOutcome::Settled { .. })));
    assert!(lab.puppet.looks() >= looks + 2);
}

#[test]
fn defect_20_a_cause_that_stands_ends_the_wait() {
    let lab = Lab::start();
    let outcome = |of: &str| match lab.handle.wait_settled(name(of), LONG).unwrap() {
        SettleOutcome::Stands { condition } => condition,
        other => panic!("{other:?}"),
    };
    lab.declare("parked", r#"{"do":"permanent"}"#);
    assert!(matches!(outcome("parked"), Condition::Parked { cause: Parking::Failed(ParkCause::Permanent), .. }));
    lab.puppet.show("bad", Err("no such thing"));
    lab.handle.declare(versioned("unobservable", "seen", "bad")).unwrap();
    assert!(matches!(outcome("unobservable"), Condition::Unobservable { .. }));
    lab.handle.declare(versioned("typo", "nobody", "x")).unwrap();
    assert_eq!(outcome("typo"), Condition::NoWorker);
    lab.handle.declare(versioned("owed", "puppet", "x")).unwrap();
    assert_eq!(outcome("owed"), Condition::AwaitingCaller);
    lab.handle
        .batch(vec![Command::Declare(Box::new(declaration("paused", "{}"))), Command::Pause { name: name("paused") }])
        .unwrap();
    assert_eq!(outcome("paused"), Condition::Paused);
    assert_eq!(lab.handle.wait_settled(name("nothing"), LONG), Ok(SettleOutcome::Dropped));

    lab.declare("running", r#"{"do":"wait","gate":"g"}"#);
    assert_eq!(lab.handle.wait_settled(name("running"), Duration::from_millis(1)), Ok(SettleOutcome::TimedOut));
    let waiter = settling(&lab, "running");
    lab.handle.drop_collection(name("running")).unwrap();
    assert_eq!(waiter.within("the end of a thread").unwrap(), Ok(SettleOutcome::Dropped));
    until("no waiter left", || lab.stats().waiters == 0);
}

/// A listing of millions of keys takes long, and is no source that hangs.
#[test]
fn defect_20_a_look_that_is_long_and_gives_signs_of_life_is_waited_for() {
    let lab = Lab::with(|builder| builder.observe_timeout(Duration::from_secs(20)));
    lab.puppet.show("lake", Ok(observed("1")));
    lab.puppet.hold_looks();
    lab.handle.declare(versioned("a", "seen", "lake")).unwrap();
    until("a look", || lab.puppet.looks() == 1);
    for _ in 0..5 {
        lab.puppet.sign();
        lab.clock.advance(Duration::from_secs(21));
        // The engine has turned once since the clock moved.
        (0..2).for_each(|_| drop(lab.stats()));
        assert_ne!(lab.view("a").condition.name(), "unobservable");
    }
    // The last sign was taken: without another one it counts as one that hangs.
    lab.clock.advance(Duration::from_secs(21));
    lab.until_condition("a", "unobservable");
    lab.puppet.release_looks();
    lab.until_condition("a", "fresh");
}

#[test]
fn defect_20_a_source_that_does_not_answer_ends_the_wait_with_its_cause() {
    let lab = Lab::with(|builder| builder.observe_timeout(Duration::from_secs(20)));
    lab.puppet.show("lake", Ok(observed("1")));
    lab.handle.declare(versioned("a", "seen", "lake")).unwrap();
    lab.run_until_settled();
    lab.puppet.hold_looks();
    let waiter = settling(&lab, "a");
    lab.clock.advance(Duration::from_secs(21));
    let Ok(SettleOutcome::Stands { condition }) = waiter.within("the end of a thread").unwrap() else {
        panic!("it does not stand")
    };
    assert!(condition.to_string().contains("has not returned"), "{condition}");
    lab.puppet.release_looks();
    lab.until_condition("a", "fresh");
    assert!(matches!(lab.handle.wait_settled(name("a"), LONG), Ok(SettleOutcome::Settled { .. })));
}

/// Publishes once its gate is open.
#[derive(Clone)]
struct Publishes {
    puppet: Puppet,
    lists: Destination,
}

impl Worker for Publishes {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built { output: Some("x".into()), ..Built::default() })
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: false }
    }

    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        self.puppet.pass("publish");
        self.lists.write(commit.name.as_str(), commit.token, "x").map_err(|failure| DeliveryError(failure.to_string()))
    }
}

#[test]
fn defect_20_settled_and_published_wait_for_the_publication_and_applied_does_not() {
    let publishes = Publishes { puppet: Puppet::new(), lists: Destination::default() };
    let worker = publishes.clone();
    let lab = Lab::with(move |builder| builder.kind(kind("p"), worker.clone()));
    lab.handle.declare(declaration("a", "{}").kind(kind("p"))).unwrap();
    lab.applied("a", 1);
    let waiter = settling(&lab, "a");
    let mut published = lab.handle.published(name("a"), Generation(1));
    assert_eq!(published.try_wait(), None);
    assert!(!waiter.is_finished() && publishes.lists.read("a").is_none());
    publishes.puppet.open("publish");
    let seq = lab.view("a").applied.unwrap().seq;
    let applied = WaitOutcome::Applied { seq, generation: Generation(1) };
    assert_eq!(published.wait_timeout(LONG), Some(Ok(applied)), "until it was published");
    assert_eq!(
        waiter.within("the end of a thread").unwrap(),
        Ok(SettleOutcome::Settled { seq, generation: Generation(1) })
    );
    assert!(publishes.lists.read("a").is_some());
    assert!(lab.events().iter().any(|recorded| recorded.event.type_name() == "published"));
}
