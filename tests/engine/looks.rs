//! Looks at sources: when, how often, and whose word counts.

use std::time::Duration;

use lastword::core::Lag;
use lastword::core::vocabulary::*;

use crate::support::*;

/// A lab with a collection whose source holds version 1.
fn lab_with_source() -> Lab {
    let lab = Lab::start();
    lab.puppet.show("s3", Ok(observed("1")));
    lab.handle.declare(versioned("a", "seen", "s3")).unwrap();
    lab.applied("a", 1);
    lab
}

/// Waits until so many looks have begun and come back.
#[track_caller]
fn until_looks(lab: &Lab, count: u64) {
    until(&format!("{count} looks"), || lab.puppet.looks() >= count && lab.handle.stats().unwrap().observations == 0);
}

#[test]
fn two_events_of_one_frame_that_ask_for_an_observation_lead_to_one() {
    let lab = Lab::start();
    lab.puppet.show("a", Ok(observed("1")));
    lab.puppet.show("b", Ok(observed("2")));
    lab.handle.declare(versioned("c", "seen", "a")).unwrap();
    lab.applied("c", 1);
    until("a quiet engine", || lab.stats().observations == 0);
    // Source and spec change in one declaration: two events, one frame, one time.
    lab.handle.declare(versioned("c", "seen", "b").spec(spec(r#"{"n":1}"#))).unwrap();
    until("the new source being observed", || lab.view("c").applied.is_some_and(|applied| applied.generation.0 > 1));

    // And a name that is declared and refreshed in one batch.
    let declare = Command::Declare(Box::new(versioned("d", "seen", "a")));
    let refresh = Command::Refresh { name: name("d"), force: false, seen: None };
    lab.handle
        .batch(vec![declare, refresh])
        .unwrap()
        .into_iter()
        .for_each(|verdict| assert!(verdict.is_ok(), "{verdict:?}"));
    lab.applied("d", 1);
}

#[test]
fn a_look_follows_a_declaration_and_then_the_interval_give_or_take_a_tenth() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    let mut gaps = Vec::new();
    for look in 2..=12 {
        let mut gap = 0;
        // Not before nine tenths of the interval, and at the latest after eleven.
        lab.clock.advance(Duration::from_millis(4499));
        lab.handle.stats().unwrap();
        assert_eq!(lab.puppet.looks(), look - 1, "a look came early");
        for _ in 0..=102 {
            if lab.puppet.looks() == look {
                break;
            }
            gap += 1;
            lab.clock.advance(Duration::from_millis(10));
            lab.handle.stats().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        until_looks(&lab, look);
        gaps.push(gap);
    }
    gaps.dedup();
    assert!(gaps.len() > 1, "the interval is jittered: {gaps:?}");
    assert_eq!(lab.status("a").last_observation.map(|look| look.succeeded), Some(true));
}

#[test]
fn case_50_a_thousand_unchanged_looks_add_nothing() {
    let lab = lab_with_source();
    let before = lab.handle.stats().unwrap();
    for look in 2..=1001 {
        lab.clock.advance(Duration::from_millis(5500));
        until_looks(&lab, look);
    }
    let after = lab.handle.stats().unwrap();
    assert_eq!((after.durable, after.counters.frames), (before.durable, before.counters.frames));
    assert_eq!(lab.view("a").lag, Lag::Zero);
}

#[test]
fn a_refresh_looks_at_once() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    lab.puppet.show("s3", Ok(observed("2")));
    lab.handle.refresh(name("a")).unwrap();
    until_looks(&lab, 2);
    lab.clock.advance(Duration::from_millis(200));
    lab.applied("a", 2);
}

#[test]
fn a_refresh_during_a_look_looks_again_right_after_it() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    lab.puppet.hold_looks();
    lab.handle.refresh(name("a")).unwrap();
    until("the held look", || lab.puppet.looks() == 2);
    lab.puppet.show("s3", Ok(observed("2")));
    lab.handle.refresh(name("a")).unwrap();
    lab.handle.refresh(name("a")).unwrap();
    assert_eq!(lab.puppet.looks(), 2, "at most one at a time");
    lab.puppet.release_looks();
    until_looks(&lab, 3);
    assert!(lab.view("a").pending.is_some(), "the second version is settling");
}

#[test]
fn a_failing_look_is_logged_once_for_each_cause() {
    let lab = lab_with_source();
    let mut looks = 1;
    let mut fail = |why: &str, times: u64| {
        lab.puppet.show("s3", Err(why));
        for _ in 0..times {
            looks += 1;
            lab.clock.advance(Duration::from_millis(5500));
            until_looks(&lab, looks);
        }
    };
    fail("timed out", 5);
    assert_eq!(lab.count("observation_failed"), 1);
    assert_eq!(lab.status("a").last_observation.map(|look| look.succeeded), Some(false));
    fail("forbidden", 5);
    assert_eq!(lab.count("observation_failed"), 2);
    let view = lab.view("a");
    assert_eq!((&*view.unobservable.unwrap().cause, view.lag), ("forbidden", Lag::Unknown));

    // Seen again, as it was: said once, and nothing is built anew.
    lab.puppet.show("s3", Ok(observed("1")));
    lab.clock.advance(Duration::from_millis(5500));
    until_looks(&lab, 12);
    assert_eq!((lab.view("a").condition.name(), lab.view("a").unobservable), ("fresh", None));
    assert_eq!(lab.puppet.begun().len(), 1);
    lab.verify();
}

#[test]
fn case_20_a_source_that_cannot_be_read_never_counts_as_empty() {
    let lab = lab_with_source();
    for (look, cause) in (2..).zip(["permission denied", "panic", ""]) {
        lab.puppet.show("s3", Err(cause));
        lab.clock.advance(Duration::from_millis(5500));
        until_looks(&lab, look);
        let view = lab.view("a");
        assert!(view.unobservable.is_some() && view.held().is_none());
        assert_eq!((view.latest, view.wanted), (view.wanted, view.applied.map(|applied| applied.fingerprint)));
    }
    // An empty one is seen and held.
    lab.puppet.show("s3", Ok(empty("0")));
    lab.clock.advance(Duration::from_millis(5500));
    until_looks(&lab, 5);
    assert_eq!(lab.view("a").held().map(|(cause, _)| cause), Some(HoldCause::Empty));
    assert_eq!(lab.puppet.begun().len(), 1);
    lab.verify();
}

#[test]
fn case_41_a_look_in_flight_while_the_source_is_declared_anew_is_refused_and_repeated() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    lab.puppet.show("s3", Ok(observed("old")));
    lab.puppet.show("gs", Ok(observed("new")));
    lab.puppet.hold_looks();
    lab.handle.refresh(name("a")).unwrap();
    until("the look at the old source", || lab.puppet.looks() == 2);
    let receipt = lab.handle.declare(versioned("a", "seen", "gs")).unwrap();
    assert_eq!(lab.view("a").wanted, None);
    lab.puppet.release_looks();
    // Not a moment passes on the clock until the new source was looked at.
    lab.applied("a", receipt.generation.0);
    assert_eq!(lab.view("a").applied.unwrap().result.output.as_deref(), Some("new"));
    let versions: Vec<String> = lab
        .events()
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::SourceObserved { observed, .. } => {
                Some(String::from_utf8_lossy(observed.version.as_bytes()).into_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(versions, ["1", "new"]);
    lab.verify();
}

#[test]
fn case_41_a_look_overtaken_by_a_callers_observation_is_refused() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    lab.puppet.show("s3", Ok(observed("2")));
    lab.puppet.hold_looks();
    lab.handle.refresh(name("a")).unwrap();
    until("the look", || lab.puppet.looks() == 2);
    lab.puppet.show("s3", Ok(observed("3")));
    lab.handle.observe(name("a"), observed("3")).unwrap();
    lab.puppet.release_looks();
    until_looks(&lab, 3);
    lab.clock.advance(Duration::from_millis(200));
    lab.applied("a", 2);
    assert_eq!(lab.view("a").applied.unwrap().result.output.as_deref(), Some("3"));
    lab.verify();
}

#[test]
fn a_collection_dropped_under_a_look_is_not_looked_at_again() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    lab.puppet.hold_looks();
    lab.handle.refresh(name("a")).unwrap();
    until("the look", || lab.puppet.looks() == 2);
    lab.handle.drop_collection(name("a")).unwrap();
    lab.puppet.release_looks();
    until_looks(&lab, 2);
    lab.clock.advance(Duration::from_secs(60));
    lab.handle.stats().unwrap();
    assert_eq!(lab.puppet.looks(), 2);
    lab.verify();
}

#[test]
fn after_a_restart_everything_is_looked_at() {
    let lab = lab_with_source();
    until_looks(&lab, 1);
    lab.puppet.show("s3", Ok(observed("2")));
    let lab = lab.crash();
    until_looks(&lab, 2);
    lab.clock.advance(Duration::from_millis(200));
    lab.applied("a", 2);
}

#[test]
fn more_collections_than_lookers_are_all_looked_at() {
    let lab = Lab::with(|builder| builder.observer_threads(1));
    for n in 0..20 {
        let source = format!("s{n}");
        lab.puppet.show(&source, Ok(observed("1")));
        lab.handle.declare(versioned(&format!("c{n}"), "seen", &source)).unwrap();
    }
    for n in 0..20 {
        lab.applied(&format!("c{n}"), 1);
    }
    until_looks(&lab, 20);
    assert_eq!(lab.puppet.looks(), 20);
}
