//! Waiting for a word: every way in which it ends.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use lastword::core::Parking;
use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, WaitOutcome};

use crate::support::*;

/// Waits on a thread of its own; returns once the engine knows of it.
fn waiter(lab: &Lab, of: &str, generation: u64) -> JoinHandle<Result<WaitOutcome, CommandError>> {
    let (handle, of, before) = (lab.handle.clone(), name(of), lab.handle.stats().unwrap().waiters);
    let waiter = thread::spawn(move || handle.wait_applied(of, Generation(generation), LONG));
    until("a waiter", || lab.handle.stats().unwrap().waiters == before + 1);
    waiter
}

fn now(lab: &Lab, of: &str, generation: u64) -> WaitOutcome {
    lab.handle.wait_applied(name(of), Generation(generation), Duration::ZERO.max(LONG)).unwrap()
}

#[test]
fn case_47_a_word_is_applied_or_superseded() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    let first = waiter(&lab, "a", 1);
    lab.declare("a", r#"{"do":"wait","gate":"h"}"#);
    assert_eq!(first.within("the end of a thread").unwrap(), Ok(WaitOutcome::Superseded { generation: Generation(2) }));
    let second = waiter(&lab, "a", 2);
    lab.puppet.open("h");
    let WaitOutcome::Applied { seq, generation } = second.within("the end of a thread").unwrap().unwrap() else {
        panic!("not applied")
    };
    let completed = &lab.events()[seq.0 as usize - 1];
    assert_eq!((completed.event.type_name(), generation), ("task_completed", Generation(2)));
    // What is over is answered at once, and an older word counts as applied with a newer one.
    assert_eq!(now(&lab, "a", 2), WaitOutcome::Applied { seq, generation });
    assert_eq!(now(&lab, "a", 1), WaitOutcome::Applied { seq, generation });
}

#[test]
fn case_47_a_word_is_not_applied_by_the_one_before_it() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    let second = waiter(&lab, "a", 2);
    lab.declare("a", r#"{"n":2}"#);
    assert!(matches!(
        second.within("the end of a thread").unwrap(),
        Ok(WaitOutcome::Applied { generation: Generation(2), .. })
    ));
    let waited = lab.handle.wait_applied(name("a"), Generation(3), Duration::from_millis(20)).unwrap();
    assert_eq!(waited, WaitOutcome::TimedOut);
}

#[test]
fn case_47_returning_to_what_is_applied_applies_it_without_work() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.declare("a", "{}");
    lab.applied("a", 3);
    assert_eq!(lab.view("a").applied.unwrap().generation, Generation(3));
    lab.verify();
}

#[test]
fn case_47_a_word_is_parked() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    let waiting = waiter(&lab, "a", 1);
    lab.handle.cancel(name("a"), None).unwrap();
    let parked = WaitOutcome::Parked { cause: Parking::Cancelled };
    assert_eq!(waiting.within("the end of a thread").unwrap(), Ok(parked));
    assert_eq!(now(&lab, "a", 1), parked);

    lab.declare("b", r#"{"do":"permanent"}"#);
    assert_eq!(now(&lab, "b", 1), WaitOutcome::Parked { cause: Parking::Failed(ParkCause::Permanent) });
}

#[test]
fn case_47_a_word_is_retried_without_an_end() {
    let lab = Lab::start();
    let retry = Retry { max_attempts: 1, ..Retry::default() };
    let failing = declaration("a", r#"{"do":"fail"}"#).policy(Policy { retry, ..Policy::default() });
    lab.handle.declare(failing).unwrap();
    lab.until_condition("a", "failing");
    assert_eq!(now(&lab, "a", 1), WaitOutcome::Failing { attempts: 1 });
    lab.verify();
}

#[test]
fn case_47_a_word_is_held() {
    let lab = Lab::start();
    lab.handle.declare(versioned("a", "puppet", "there")).unwrap();
    let waiting = waiter(&lab, "a", 1);
    lab.handle.observe(name("a"), empty("0")).unwrap();
    let WaitOutcome::Held { cause: HoldCause::Empty, fingerprint } =
        waiting.within("the end of a thread").unwrap().unwrap()
    else {
        panic!("not held")
    };
    lab.handle.confirm(name("a"), fingerprint).unwrap();
    assert!(matches!(now(&lab, "a", 1), WaitOutcome::Applied { .. }));
}

#[test]
fn case_47_a_word_is_paused_and_goes_on_while_an_attempt_runs() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    let waiting = waiter(&lab, "a", 1);
    lab.handle.pause(name("a")).unwrap();
    lab.puppet.open("g");
    assert!(
        matches!(waiting.within("the end of a thread").unwrap(), Ok(WaitOutcome::Applied { .. })),
        "a running attempt may finish"
    );
    lab.declare("a", "{}");
    assert_eq!(now(&lab, "a", 2), WaitOutcome::Paused);
    lab.handle.resume(name("a")).unwrap();
    assert!(matches!(now(&lab, "a", 2), WaitOutcome::Applied { .. }));
}

#[test]
fn case_47_a_word_is_dropped() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    let waiting = waiter(&lab, "a", 1);
    // Dropped and declared again in one frame: the word of the one that is gone is gone with it.
    let declare = Command::Declare(Box::new(declaration("a", r#"{"n":1}"#)));
    lab.handle.batch(vec![Command::Drop { name: name("a") }, declare]).unwrap();
    assert_eq!(waiting.within("the end of a thread").unwrap(), Ok(WaitOutcome::Dropped));
    assert_eq!(now(&lab, "nobody", 1), WaitOutcome::Dropped);
}

#[test]
fn case_47_waiting_ends_with_the_reconciler() {
    let mut lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"never"}"#);
    let waiting = waiter(&lab, "a", 1);
    lab.shutdown(LONG).unwrap();
    assert!(matches!(waiting.within("the end of a thread").unwrap(), Err(CommandError::NotAccepted(_))));
}

#[test]
fn who_waits_in_vain_again_and_again_leaves_nothing_behind() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"never"}"#);
    for _ in 0..500 {
        let waited = lab.handle.wait_applied(name("a"), Generation(1), Duration::from_micros(50)).unwrap();
        assert_eq!(waited, WaitOutcome::TimedOut);
    }
    let waiters = lab.handle.stats().unwrap().waiters;
    assert!(waiters < 50, "{waiters} are still waiting");
}
