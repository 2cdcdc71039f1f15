//! Time: moved by hand, jumping, standing still.

use std::sync::Arc;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::core::{Condition, State};
use lastword::engine::Reconciler;
use lastword::log::MemoryLog;
use lastword::objects::MemoryObjects;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn case_37_a_wall_clock_that_jumps_fails_nothing_and_loses_nothing() {
    let lab = Lab::start();
    lab.declare("running", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.declare("failing", r#"{"do":"fail"}"#);
    lab.until_condition("failing", "backing_off");
    let Condition::BackingOff { until: retry, .. } = lab.view("failing").condition else { unreachable!() };

    for wall in [0, 4_000_000_000_000_000, 1_000_000_000_000_000] {
        lab.clock.set_wall(Timestamp(wall));
        lab.declare("running", r#"{"do":"wait","gate":"g"}"#);
    }
    assert_eq!(lab.view("running").condition.name(), "running");
    assert_eq!(lab.view("failing").attempts, 1, "its time has not come");

    // The next writer finds the clock years back.
    let lab = lab.crash();
    let Condition::BackingOff { until: found, .. } = lab.view("failing").condition else {
        panic!("{:?}", lab.view("failing"))
    };
    assert_eq!(found, retry);
    lab.clock.advance(Duration::from_secs(2));
    until("the second attempt", || lab.view("failing").attempts == 2);
    lab.puppet.open("g");
    lab.applied("running", 1);
    let times: Vec<Timestamp> = lab.events().iter().map(|recorded| recorded.at).collect();
    assert!(times.is_sorted());
    lab.verify();
}

/// A machine that boots with a clock years ahead, and later with the right one.
#[test]
fn case_37_a_clock_that_was_far_ahead_at_one_opening_delays_nothing_afterwards() {
    const TODAY: Timestamp = Timestamp(1_800_000_000_000_000);
    let lab = Lab::start();
    lab.declare("failing", r#"{"do":"fail"}"#);
    lab.until_condition("failing", "backing_off");

    lab.clock.set_wall(TODAY.after(3650 * DAY));
    let lab = lab.crash();
    until("what was due long ago", || lab.view("failing").attempts == 2);
    // It has ended too: otherwise the crash takes it, and there is one more.
    lab.until_condition("failing", "backing_off");
    let ahead = lab.events().last().unwrap().at;
    assert!(ahead > TODAY.after(3649 * DAY));

    lab.clock.set_wall(TODAY);
    let lab = lab.crash();
    lab.until_condition("failing", "backing_off");
    // Its time never goes back, and a delay is as long as it would have been: nobody waits for ten years.
    lab.clock.advance(Duration::from_secs(31));
    until("the third attempt", || lab.view("failing").attempts == 3);
    let times: Vec<Timestamp> = lab.events().iter().map(|recorded| recorded.at).collect();
    assert!(times.is_sorted() && *times.last().unwrap() >= ahead);
    lab.verify();
}

#[test]
fn an_hour_passes_by_hand_and_the_attempt_has_timed_out() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.clock.advance(Duration::from_secs(3599));
    assert_eq!(lab.view("a").condition.name(), "running");
    lab.clock.advance(Duration::from_secs(1));
    lab.until_condition("a", "backing_off");
    let failure = lab.view("a").last_failure.unwrap();
    assert_eq!((failure.reason, &*failure.message), (FailReason::TimedOut, "still running after 3600 s"));
    lab.puppet.open("g");
    lab.clock.advance(Duration::from_secs(1));
    lab.applied("a", 1);
}

#[test]
fn observations_settle_by_hand_and_the_last_one_wins() {
    let lab = Lab::start();
    let mut declaration = versioned("a", "puppet", "there");
    declaration.spec = Some(spec("{}"));
    lab.handle.declare(declaration).unwrap();
    assert_eq!(lab.view("a").condition.name(), "awaiting_caller");
    lab.handle.observe(name("a"), observed("1")).unwrap();
    lab.applied("a", 1);

    for version in ["2", "3", "4"] {
        lab.handle.observe(name("a"), observed(version)).unwrap();
        lab.clock.advance(Duration::from_millis(150));
        assert_eq!(lab.view("a").condition.name(), "settling");
    }
    lab.clock.advance(Duration::from_millis(50));
    lab.applied("a", 2);
    assert_eq!(lab.view("a").applied.unwrap().result.output.as_deref(), Some("4"));
    assert_eq!(lab.puppet.begun().len(), 2, "what was replaced in time was never built");
    lab.verify();
}

#[test]
fn deadlines_that_come_all_at_once_are_decided_in_portions() {
    const MANY: usize = 3000;
    let lab = Lab::start();
    let names: Vec<Name> = (0..MANY).map(|n| name(&format!("c{n}"))).collect();
    let declare = |name: &Name| Command::Declare(Box::new(versioned(name.as_str(), "nobody", "there")));
    let observe = |name: &Name, version: &str| {
        let seen = ObservationOutcome::Content { state: observed(version), delta: None, missing: None };
        Command::Observe { name: name.clone(), outcome: seen }
    };
    lab.handle.batch(names.iter().map(declare).collect()).unwrap();
    lab.handle.batch(names.iter().map(|name| observe(name, "1")).collect()).unwrap();
    lab.handle.batch(names.iter().map(|name| observe(name, "2")).collect()).unwrap();
    let before = lab.handle.stats().unwrap();
    lab.clock.advance(DAY);
    // Each admits its observation, aborts the task of the one before and creates a new one.
    until("all being admitted", || lab.handle.stats().unwrap().durable.0 >= before.durable.0 + 3 * MANY as u64);
    let frames = lab.reader.frames(before.durable.next());
    let longest = frames.map(|frame| frame.unwrap().as_frame().header().count);
    assert!(longest.max().unwrap() < 3 * MANY as u32, "a frame has room for 65,536 events, deadlines have no limit");
    assert!(lab.state().next_deadline().is_none());
    assert!(lab.state().collections().all(|(_, c)| c.pending.is_none() && c.generation == Generation(2)));
}

#[test]
fn an_idle_reconciler_on_the_clock_of_the_machine_sleeps() {
    let reconciler = Reconciler::on(Box::new(MemoryLog::new()), Arc::new(MemoryObjects::new()))
        .kind(kind("puppet"), Puppet::new())
        .start()
        .unwrap();
    let handle = reconciler.handle();
    handle.declare(declaration("a", "{}")).unwrap();
    handle.wait_applied(name("a"), Generation(1), LONG).unwrap();
    let before = handle.stats().unwrap().wakes;
    std::thread::sleep(Duration::from_millis(500));
    let woken = handle.stats().unwrap().wakes - before;
    assert!(woken < 20, "woke {woken} times with nothing to do");
}

#[test]
fn an_idle_reconciler_under_a_manual_clock_sleeps() {
    let lab = Lab::start();
    lab.declare("waits", r#"{"do":"wait","gate":"g"}"#);
    lab.declare("fails", r#"{"do":"fail"}"#);
    lab.declare("alone", "{}");
    lab.until_condition("fails", "backing_off");
    lab.applied("alone", 1);
    let before = lab.handle.stats().unwrap().wakes;
    std::thread::sleep(Duration::from_millis(100));
    assert!(lab.handle.stats().unwrap().wakes - before < 5);
    assert_ne!(lab.state(), State::new());
}
