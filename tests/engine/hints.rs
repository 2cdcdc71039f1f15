//! Hints that a source may have changed: looks come sooner, and few of them for many hints.

use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::engine::CommandError;

use crate::support::*;

const QUIET: Duration = Duration::from_millis(50);

/// A lab with a collection whose source is watched, and was looked at once.
fn lab_with_watch() -> Lab {
    let lab = Lab::start();
    lab.puppet.sources.announce_changes();
    lab.puppet.show("s3", Ok(observed("1")));
    lab.handle.declare(versioned("a", "seen", "s3")).unwrap();
    lab.applied("a", 1);
    until_looks(&lab, 1);
    lab
}

/// Waits until so many looks have begun and come back.
#[track_caller]
fn until_looks(lab: &Lab, count: u64) {
    until(&format!("{count} looks"), || lab.puppet.looks() >= count && lab.stats().observations == 0);
    assert_eq!(lab.puppet.looks(), count);
}

#[test]
fn a_change_that_is_hinted_at_is_looked_at_long_before_the_next_look_is_due() {
    let lab = lab_with_watch();
    assert_eq!((lab.puppet.sources.watching(), lab.puppet.sources.watches()), (1, 1));
    lab.puppet.show("s3", Ok(observed("2")));
    lab.advance(QUIET - Duration::from_micros(1));
    until_looks(&lab, 1);
    lab.advance(Duration::from_micros(1));
    until_looks(&lab, 2);
    lab.clock.advance(Duration::from_millis(200));
    lab.applied("a", 2);
    assert_eq!(lab.puppet.sources.watches(), 1, "one that is alive is kept");
    lab.verify();
}

#[test]
fn a_flood_of_hints_makes_few_looks_and_no_events() {
    let lab = lab_with_watch();
    let before = lab.stats();
    // One every ten milliseconds, for three seconds: they never rest, so a look comes once in a second.
    for _ in 0..300 {
        for _ in 0..100 {
            lab.puppet.sources.hint("s3");
        }
        lab.advance(Duration::from_millis(10));
    }
    lab.advance(QUIET);
    until("three looks", || lab.stats().observations == 0 && lab.puppet.looks() >= 4);
    assert_eq!(lab.puppet.looks(), 4, "30,000 hints");
    let after = lab.stats();
    assert_eq!(after.durable, before.durable, "hints and unchanged looks are no events");
    assert!(after.wakes - before.wakes < 2000, "woke {} times", after.wakes - before.wakes);
    lab.verify();
}

#[test]
fn hints_during_a_look_make_one_more_look_after_it() {
    let lab = lab_with_watch();
    lab.puppet.hold_looks();
    lab.puppet.sources.hint("s3");
    lab.advance(QUIET);
    until("the held look", || lab.puppet.looks() == 2);
    lab.puppet.show("s3", Ok(observed("2")));
    for _ in 0..10 {
        lab.puppet.sources.hint("s3");
        lab.advance(QUIET);
    }
    assert_eq!(lab.puppet.looks(), 2, "at most one at a time");
    lab.puppet.release_looks();
    until_looks(&lab, 3);
    lab.clock.advance(Duration::from_millis(200));
    lab.applied("a", 2);
    assert_eq!(lab.puppet.looks(), 3);
}

#[test]
fn a_dead_watch_is_replaced_at_the_next_look_and_nothing_is_missed_meanwhile() {
    let lab = lab_with_watch();
    lab.puppet.sources.break_watches();
    lab.puppet.show("s3", Ok(observed("2")));
    lab.advance(Duration::from_secs(1));
    assert_eq!(lab.puppet.looks(), 1, "nobody heard of it");
    lab.advance(Duration::from_millis(4500));
    until_looks(&lab, 2);
    assert_eq!((lab.puppet.sources.watching(), lab.puppet.sources.watches()), (1, 2));
    lab.advance(Duration::from_millis(200));
    lab.applied("a", 2);
    lab.puppet.show("s3", Ok(observed("3")));
    lab.advance(QUIET);
    until_looks(&lab, 3);
}

#[test]
fn a_watch_follows_its_source_and_goes_with_its_collection() {
    let lab = lab_with_watch();
    lab.puppet.show("gs", Ok(observed("7")));
    let receipt = lab.handle.declare(versioned("a", "seen", "gs")).unwrap();
    lab.applied("a", receipt.generation.0);
    until_looks(&lab, 2);
    assert_eq!((lab.puppet.sources.watching(), lab.puppet.sources.watches()), (1, 2));
    lab.puppet.show("s3", Ok(observed("9")));
    lab.advance(QUIET);
    assert_eq!(lab.puppet.looks(), 2, "the old source is nobody's");
    lab.puppet.show("gs", Ok(observed("8")));
    lab.advance(QUIET);
    until_looks(&lab, 3);
    lab.handle.drop_collection(name("a")).unwrap();
    until("nobody watching", || lab.puppet.sources.watching() == 0);

    // A collection that is dropped while its source is looked at leaves no watch behind either.
    lab.handle.declare(versioned("b", "seen", "gs")).unwrap();
    until_looks(&lab, 4);
    lab.puppet.hold_looks();
    lab.puppet.sources.hint("gs");
    lab.advance(QUIET);
    until("the held look", || lab.puppet.looks() == 5);
    lab.handle.drop_collection(name("b")).unwrap();
    lab.puppet.release_looks();
    until("nobody watching", || lab.puppet.sources.watching() == 0);
    lab.verify();
}

#[test]
fn after_a_restart_sources_are_watched_again_and_old_hints_lead_nowhere() {
    let lab = lab_with_watch();
    let lab = lab.crash();
    until_looks(&lab, 2);
    until("one watch", || lab.puppet.sources.watching() == 1);
    lab.puppet.show("s3", Ok(observed("2")));
    lab.advance(QUIET);
    until_looks(&lab, 3);
}

#[test]
fn a_watch_that_panics_or_cannot_be_had_leaves_looks_as_they_are_due() {
    let lab = Lab::start();
    lab.puppet.sources.announce_changes();
    lab.puppet.show("panics", Ok(observed("1")));
    lab.handle.declare(versioned("a", "seen", "panics")).unwrap();
    lab.applied("a", 1);
    assert_eq!(lab.puppet.sources.watching(), 0);
    lab.puppet.show("panics", Ok(observed("2")));
    lab.advance(Duration::from_secs(1));
    assert_eq!(lab.puppet.looks(), 1);
    lab.advance(Duration::from_millis(4500));
    until_looks(&lab, 2);
    assert!(lab.view("a").unobservable.is_none());
}

#[test]
fn callers_may_hint_too() {
    let lab = Lab::start();
    lab.puppet.show("s3", Ok(observed("1")));
    lab.handle.declare(versioned("a", "seen", "s3")).unwrap();
    lab.applied("a", 1);
    until_looks(&lab, 1);
    let before = lab.stats().durable;
    lab.puppet.show("s3", Ok(observed("2")));
    for _ in 0..10 {
        lab.handle.hint(name("a")).within("an answer").unwrap();
    }
    assert_eq!(lab.stats().durable, before, "a hint is no event");
    assert_eq!(lab.stats().due, Some(lab.stats().at.after(QUIET)));
    lab.advance(QUIET);
    until_looks(&lab, 2);

    let refused = lab.handle.hint(name("nobody")).within("an answer");
    assert_eq!(refused, Err(CommandError::Refused(Rejection::UnknownCollection(name("nobody")))));
    lab.declare("blind", "{}");
    let refused = lab.handle.hint(name("blind")).within("an answer");
    assert!(matches!(refused, Err(CommandError::Refused(Rejection::Field(ref error))) if error.field == "name"));
}

#[test]
fn the_harness_settles_by_hints_too() {
    let lab = lab_with_watch();
    lab.puppet.show("s3", Ok(observed("2")));
    let before = lab.stats().at;
    assert!(lab.run_until_settled().is_fresh());
    lab.assert_committed("a");
    assert!(lab.stats().at.since(before) < Duration::from_secs(1), "no look was waited for");
}
