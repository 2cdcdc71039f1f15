//! What people ask for, through the handle.

use lastword::core::vocabulary::*;
use lastword::core::{Condition, Lag, Parking};
use lastword::engine::CommandError;
use lastword::worker::Progress;

use crate::support::*;

fn refused(answer: Result<Receipt, CommandError>) -> FieldError {
    match answer {
        Err(CommandError::Refused(Rejection::Field(error))) => error,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn case_38_a_kind_refuses_what_it_cannot_build_when_it_is_declared_and_when_it_is_changed() {
    let lab = Lab::start();
    let bad = |of| declaration(of, r#"{"check":"refuse"}"#);
    assert_eq!(refused(lab.handle.declare(bad("a"))).field, "spec.check");
    assert!(lab.handle.status(name("a")).unwrap().is_none());

    lab.declare("a", "{}");
    lab.applied("a", 1);
    let error = refused(lab.handle.declare(bad("a")));
    assert_eq!(error.to_string(), "spec.check: must be anything else");
    assert_eq!(lab.view("a").spec.as_str(), "{}");

    assert_eq!(refused(lab.handle.declare(Declaration::new(name("b")))).field, "kind");
    assert_eq!(lab.handle.stats().unwrap().collections, 1);
}

#[test]
fn defect_16_another_kind_is_checked_and_builds_what_is_declared_anew() {
    let lab = Lab::start();
    lab.handle.declare(Declaration { kind: Some(kind("nobody")), ..declaration("a", "{}") }).unwrap();
    let typo = lab.view("a");
    let right = kind("puppet");
    assert_eq!(
        refused(
            lab.handle.declare(Declaration::new(name("a")).kind(right.clone()).spec(spec(r#"{"check":"refuse"}"#)))
        )
        .field,
        "spec.check"
    );
    let receipt = lab.handle.declare(Declaration::new(name("a")).kind(right)).unwrap();
    assert_ne!(receipt.collection, Some(typo.id));
    lab.applied("a", 1);
    assert_eq!((lab.view("a").source, lab.count("collection_dropped")), (typo.source, 1));
    lab.verify();
}

#[test]
fn a_kind_that_nobody_builds_waits_visibly() {
    let lab = Lab::start();
    lab.handle.declare(Declaration { kind: Some(kind("nobody")), ..declaration("a", "{}") }).unwrap();
    lab.declare("b", "{}");
    lab.applied("b", 1);
    let view = lab.view("a");
    assert_eq!((view.condition, view.attempts), (Condition::NoWorker, 0));
    assert!(!lab.status("a").workers_exhausted);
    assert!(matches!(view.lag, Lag::Since(_)));
}

#[test]
fn case_40_altering_only_the_spec_keeps_the_source_and_the_reverse() {
    let lab = Lab::start();
    lab.declare("a", r#"{"n":1}"#);
    let only_spec = Declaration { spec: Some(spec(r#"{"n":2}"#)), ..Declaration::new(name("a")) };
    lab.handle.declare(only_spec).unwrap();
    let only_source = Declaration { source: Some(Source::new("elsewhere").unwrap()), ..Declaration::new(name("a")) };
    let receipt = lab.handle.declare(only_source).unwrap();
    assert_eq!(receipt.generation, Generation(3));
    let view = lab.view("a");
    assert_eq!((view.source.as_str(), view.spec.as_str()), ("elsewhere", r#"{"n":2}"#));
    assert_eq!(lab.handle.declare(Declaration::new(name("a"))).unwrap().seq, None);
}

#[test]
fn a_pause_holds_the_next_attempt_and_a_resume_lets_it_go() {
    let lab = Lab::start();
    lab.handle
        .batch(vec![Command::Declare(Box::new(declaration("a", "{}"))), Command::Pause { name: name("a") }])
        .unwrap();
    assert_eq!((lab.view("a").condition, lab.view("a").paused), (Condition::Paused, true));
    assert_eq!(lab.handle.pause(name("a")).unwrap().seq, None, "asking twice is harmless");
    lab.handle.resume(name("a")).unwrap();
    lab.applied("a", 1);
    assert_eq!(lab.handle.resume(name("a")).unwrap().seq, None);
}

#[test]
fn a_cancel_names_its_task_and_a_refresh_starts_a_new_one() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    let task = lab.view("a").task.unwrap();
    let other = TaskId(Seq(999));
    let refused = lab.handle.cancel(name("a"), Some(other));
    assert_eq!(refused, Err(CommandError::Refused(Rejection::NoSuchTask { live: Some(task) })));
    lab.handle.cancel(name("a"), Some(task)).unwrap();
    assert_eq!(lab.view("a").condition, Condition::Parked { cause: Parking::Cancelled, failure: None });
    lab.puppet.until_returned(1);
    assert_eq!(lab.handle.cancel(name("a"), Some(task)).unwrap().seq, None, "asking twice is harmless");

    lab.handle.refresh(name("a")).unwrap();
    lab.puppet.until_begun(2);
    assert_ne!(lab.view("a").task, Some(task));
    lab.puppet.open("g");
    lab.applied("a", 1);
    lab.verify();
}

#[test]
fn case_21_an_emptied_source_waits_for_the_person_who_confirms_this_very_loss() {
    let lab = Lab::start();
    lab.handle.declare(versioned("a", "puppet", "there")).unwrap();
    lab.handle.observe(name("a"), observed("1")).unwrap();
    lab.applied("a", 1);
    lab.handle.observe(name("a"), empty("0")).unwrap();
    let (cause, fingerprint) = lab.view("a").held().unwrap();
    assert_eq!((cause, lab.handle.stats().unwrap().held), (HoldCause::Empty, 1));
    assert_eq!(lab.puppet.begun().len(), 1);

    let other = lab.view("a").wanted.unwrap();
    let other = Fingerprint([other.0[0] ^ 1; 32]);
    let refused = lab.handle.confirm(name("a"), other);
    assert_eq!(refused, Err(CommandError::Refused(Rejection::NotHeld { held: Some(fingerprint) })));
    let receipt = lab.handle.confirm(name("a"), fingerprint).unwrap();
    lab.applied("a", receipt.generation.0);
    assert_eq!(lab.view("a").applied.unwrap().fingerprint, fingerprint);
    assert_eq!(lab.handle.confirm(name("a"), fingerprint).unwrap().seq, None, "asking twice is harmless");
    lab.verify();
}

#[test]
fn progress_is_shown_while_an_attempt_runs_and_never_logged() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"progress","gate":"g"}"#);
    until("progress", || lab.status("a").progress == Some(Progress { done: 3, total: 10 }));
    let before = lab.handle.stats().unwrap().durable;
    lab.puppet.open("g");
    lab.applied("a", 1);
    assert_eq!(lab.status("a").progress, None);
    assert_eq!(lab.handle.stats().unwrap().durable, before.plus(2));
}

#[test]
fn counters_count() {
    let lab = Lab::with(|builder| builder.workers(3));
    lab.declare("a", "{}");
    lab.applied("a", 1);
    lab.declare("b", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(2);
    lab.declare("c", r#"{"do":"permanent"}"#);
    lab.until_condition("c", "parked");
    lab.handle.pause(name("a")).unwrap();
    lab.clock.advance(std::time::Duration::from_secs(9));
    let stats = lab.handle.stats().unwrap();
    assert_eq!((stats.collections, stats.live, stats.waiting, stats.parked, stats.paused), (3, 1, 0, 1, 1));
    assert_eq!((stats.attempts, stats.idle_workers, stats.observations, stats.queued), (1, 2, 0, 0));
    assert_eq!(stats.lag, std::time::Duration::from_secs(9));
    assert_eq!(stats.durable, lab.events().last().unwrap().seq);
    let frames = lab.reader.frames(Seq::ZERO).map(|frame| frame.unwrap().into_bytes().len() as u64);
    let lengths: Vec<u64> = frames.collect();
    let counted = stats.counters;
    assert_eq!((counted.events, counted.frames), (stats.durable.0, lengths.len() as u64));
    assert_eq!(
        (counted.frame_bytes, Some(counted.frame_longest)),
        (lengths.iter().sum(), lengths.iter().max().copied())
    );
    assert_eq!((counted.committed, counted.failed, counted.superseded), (1, 1, 0));
}

#[test]
fn one_frame_carries_a_declaration_to_its_dispatch() {
    let lab = Lab::start();
    let barriers = lab.disk.barriers();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    assert_eq!(lab.disk.barriers(), barriers + 1);
}
