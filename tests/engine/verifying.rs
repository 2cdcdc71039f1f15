//! What was committed is looked for after a refresh and a resync; what has drifted is built anew.

use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::LastVerification;
use lastword::testing::Gate;
use lastword::worker::{DeliveryError, VerifyOutcome};

use crate::press::*;
use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

/// The verification that ended last, once there is one of `commit`.
#[track_caller]
fn verified(lab: &Lab, of: &str, count: u64) -> LastVerification {
    until(&format!("{count} verifications"), || lab.stats().counters.verifications >= count);
    lab.status(of).verification.expect("it was verified")
}

/// A lab with a collection that is committed and published.
fn published(press: &Press) -> Lab {
    let lab = lab(press);
    lab.commit("a", r#"{"n":1}"#);
    lab.until_met("a");
    lab
}

#[test]
fn a_refresh_verifies_what_is_committed() {
    let press = Press::new();
    let lab = published(&press);
    assert_eq!(lab.status("a").verification, None);
    lab.handle.refresh(name("a")).unwrap();
    let found = verified(&lab, "a", 1);
    assert_eq!((found.found, found.commit), (Ok(VerifyOutcome::Intact), lab.commits("a")[0]));
    assert_eq!((lab.commits("a").len(), lab.stats().counters.drifts), (1, 0));
    lab.verify();
}

#[test]
fn what_has_drifted_is_built_anew() {
    let press = Press::new();
    let lab = published(&press);
    let lost = press.destination.live_outputs("a").into_iter().next().unwrap();
    press.destination.lose(&lost);
    lab.handle.refresh(name("a")).unwrap();
    until("the rebuild", || lab.commits("a").len() == 2);
    lab.until_met("a");
    let reasons = lab.of("a", |event| match event {
        Event::RefreshRequested { force, reason, .. } => Some((*force, reason.clone())),
        _ => None,
    });
    let drift = RefreshReason::Drift(format!("{lost} is lost").into());
    assert_eq!(reasons, [(false, RefreshReason::Asked), (true, drift)]);
    let found = lab.status("a").verification.unwrap();
    assert_eq!(found.found, Ok(VerifyOutcome::Drifted(format!("{lost} is lost"))));
    assert_eq!(found.commit, lab.commits("a")[0]);
    assert_eq!(lab.stats().counters.drifts, 1);
    assert_eq!(press.destination.live_outputs("a"), press.destination.outputs());

    // The engine says that it was it.
    let drifts: Vec<Option<String>> = lab
        .events()
        .iter()
        .filter(|r| matches!(r.event, Event::RefreshRequested { reason: RefreshReason::Drift(_), .. }))
        .map(|recorded| recorded.by.as_ref().and_then(|by| by.actor().map(str::to_owned)))
        .collect();
    assert_eq!(drifts, [Some("lastword".to_owned())]);
    // A rebuild is not verified by itself.
    assert_eq!(press.count(Act::Verify, "a"), 1);
    lab.verify();
}

#[test]
fn what_cannot_be_verified_is_visible_and_never_drift() {
    let press = Press::new();
    let lab = published(&press);
    press.next(Act::Verify, "a", Reaction::Refuse("no answer"));
    press.next(Act::Verify, "a", Reaction::Panic("out of its mind"));
    press.next(Act::Verify, "a", Reaction::Wait(Gate::new()));
    let failed = |why: &str| Err(DeliveryError(why.to_owned()));
    for (count, why) in [(1, "no answer"), (2, "it panicked: out of its mind")] {
        lab.handle.refresh(name("a")).unwrap();
        assert_eq!(verified(&lab, "a", count).found, failed(why));
    }
    lab.handle.refresh(name("a")).unwrap();
    press.until_calls(Act::Verify, "a", 3);
    lab.advance(Duration::from_secs(300));
    assert_eq!(verified(&lab, "a", 3).found, failed("it has not returned for 300s"));
    // Asked for again it is found.
    lab.handle.refresh(name("a")).unwrap();
    assert_eq!(verified(&lab, "a", 4).found, Ok(VerifyOutcome::Intact));
    assert_eq!((lab.commits("a").len(), lab.count("publish_failed")), (1, 0));
    assert_eq!(lab.owes("a").failure, None);
    lab.verify();
}

#[test]
fn a_resync_looks_at_the_source_and_verifies() {
    let press = Press::new();
    let lab = lab_with(&press, |builder| builder.observe_interval(100 * HOUR));
    press.sources.set("lake", [("x", "1")]);
    let mut declaration = versioned("a", "press", "lake");
    declaration.policy = Some(Policy { resync: Resync(Some(HOUR)), coalesce: Coalesce::NONE, ..Policy::default() });
    lab.harness.declare(declaration);
    lab.applied("a", 1);
    lab.until_met("a");
    let (looks, commits) = (press.sources.observations(), lab.commits("a").len());
    let due = lab.view("a").resync_at.unwrap();
    let early = Duration::from_micros(1);
    lab.advance(due.since(lab.stats().at) - early);
    assert_eq!((lab.count("refresh_requested"), press.sources.observations()), (0, looks));
    lab.advance(early);
    assert_eq!(verified(&lab, "a", 1).found, Ok(VerifyOutcome::Intact));
    until("the look", || press.sources.observations() == looks + 1);
    // Nothing has changed, and nothing is built; the next one comes.
    assert_eq!((lab.commits("a").len(), lab.count("refresh_requested")), (commits, 1));
    assert!(lab.view("a").resync_at.unwrap() > due);

    // What has changed unnoticed is built by the next.
    press.sources.set("lake", [("x", "2")]);
    lab.advance(HOUR + HOUR / 10);
    until("the change", || lab.commits("a").len() == commits + 1);
    lab.verify();
}

#[test]
fn a_resync_of_an_unversioned_collection_builds_anew_and_does_not_verify() {
    let press = Press::new();
    let lab = lab(&press);
    let mut declaration = printed("a", r#"{"n":1}"#);
    declaration.policy = Some(Policy { resync: Resync(Some(HOUR)), ..Policy::default() });
    lab.harness.declare(declaration);
    lab.applied("a", 1);
    lab.until_met("a");
    for builds in 2..=3 {
        lab.advance(HOUR + HOUR / 10);
        until("the rebuild", || lab.commits("a").len() == builds);
    }
    lab.until_met("a");
    assert_eq!(press.count(Act::Verify, "a"), 0);
    assert_eq!(press.destination.live_outputs("a"), press.destination.outputs());
    lab.verify();
}

#[test]
fn nothing_is_verified_before_it_is_published_and_never_twice_at_a_time() {
    let press = Press::new();
    let lab = lab_with(&press, |builder| builder.delivery_threads(4));
    press.next(Act::Publish, "a", Reaction::Refuse("down"));
    lab.commit("a", r#"{"n":1}"#);
    lab.until_count("publish_failed", 1);
    lab.handle.refresh(name("a")).unwrap();
    let _ = lab.stats();
    assert_eq!(press.count(Act::Verify, "a"), 0);
    let gate = press.gate("door");
    press.next(Act::Verify, "a", Reaction::Wait(gate.clone()));
    lab.pass_backoff("a");
    press.until_calls(Act::Verify, "a", 1);
    // Two more are one more, after this one; and a commit meanwhile waits as well.
    lab.handle.refresh(name("a")).unwrap();
    lab.handle.refresh(name("a")).unwrap();
    lab.commit("a", r#"{"n":2}"#);
    let _ = lab.stats();
    assert_eq!(press.calls().len(), 3, "{:?}", press.calls());
    gate.open();
    assert_eq!(verified(&lab, "a", 2).found, Ok(VerifyOutcome::Intact));
    let acts: Vec<Act> = press.calls().iter().map(|call| call.act).collect();
    assert_eq!(acts[..4], [Act::Publish, Act::Publish, Act::Verify, Act::Publish]);
    assert_eq!(press.count(Act::Verify, "a"), 2);
    assert_eq!(lab.count("refresh_requested"), 3, "what was replaced under the first one is no drift");
    lab.verify();
}

#[test]
fn what_was_replaced_while_it_was_verified_has_not_drifted() {
    let press = Press::new();
    let lab = published(&press);
    let gate = press.gate("door");
    press.next(Act::Verify, "a", Reaction::Wait(gate.clone()));
    lab.handle.refresh(name("a")).unwrap();
    press.until_calls(Act::Verify, "a", 1);
    press.destination.lose(&press.destination.live_outputs("a").into_iter().next().unwrap());
    lab.commit("a", r#"{"n":2}"#);
    gate.open();
    assert!(matches!(verified(&lab, "a", 1).found, Ok(VerifyOutcome::Drifted(_))));
    lab.until_met("a");
    assert_eq!((lab.count("refresh_requested"), lab.commits("a").len()), (1, 2));
    lab.verify();
}
