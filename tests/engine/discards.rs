//! Outputs are discarded exactly when they can never be live again.

use std::collections::BTreeSet;
use std::time::Duration;

use lastword::core::vocabulary::*;

use crate::press::*;
use crate::support::*;
use test_support::file_destination::parts;

const GRACE: Duration = Duration::from_secs(1);

/// The outputs that the applied result of a collection names.
fn applied_outputs(lab: &Lab, of: &str) -> BTreeSet<String> {
    let applied = lab.view(of).applied;
    applied.and_then(|applied| applied.result.output.clone()).map(|output| parts(&output)).unwrap_or_default()
}

/// What is there is what is live.
#[track_caller]
fn only_live(lab: &Lab, press: &Press, names: &[&str]) {
    let live: BTreeSet<String> = names.iter().flat_map(|name| applied_outputs(lab, name)).collect();
    assert_eq!(press.destination.outputs(), live);
    for name in names {
        assert_eq!(press.destination.live_outputs(name), applied_outputs(lab, name), "{name}");
    }
}

#[test]
fn case_46_what_a_commit_replaced_is_discarded_once_it_is_published_and_not_what_was_kept() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    lab.until_met("a");
    let first = applied_outputs(&lab, "a");
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    lab.commit("a", r#"{"n":2,"keep":true}"#);
    press.until_calls(Act::Publish, "a", 2);
    // Readers are still shown the first.
    assert_eq!(press.destination.live_outputs("a"), first);
    assert!(first.is_subset(&press.destination.outputs()));
    gate.open();
    lab.until_met("a");
    let second = applied_outputs(&lab, "a");
    assert_eq!(first.intersection(&second).count(), 1, "one output is part of both");
    only_live(&lab, &press, &["a"]);
    assert_eq!(lab.stats().counters.discarded, 1);
    lab.verify();
}

#[test]
fn case_46_what_a_superseded_attempt_made_stays_until_nobody_can_take_it_over() {
    let press = Press::new();
    let lab = lab(&press);
    lab.print("a", r#"{"do":"wait","gate":"one"}"#);
    press.gate("one").until_reached(&lab, 1);
    let left = press.destination.outputs().into_iter().next().unwrap();
    lab.print("a", &format!(r#"{{"do":"wait","gate":"two","take":"{left}"}}"#));
    press.gate("two").until_reached(&lab, 1);
    assert!(press.destination.outputs().contains(&left));
    press.gate("two").open();
    lab.applied("a", 2);
    lab.until_met("a");
    // It was taken over: all else of both attempts is gone.
    assert!(applied_outputs(&lab, "a").contains(&left));
    only_live(&lab, &press, &["a"]);
    // And goes with the next.
    lab.commit("a", r#"{"n":3}"#);
    lab.until_met("a");
    assert!(!press.destination.outputs().contains(&left));
    only_live(&lab, &press, &["a"]);
    lab.verify();
}

#[test]
fn case_46_a_change_that_is_taken_back_leaves_nothing() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    lab.print("a", r#"{"do":"wait","gate":"one"}"#);
    press.gate("one").until_reached(&lab, 1);
    // What is applied is wanted again, so there will be no commit.
    lab.print("a", r#"{"n":1}"#);
    lab.until_count("discarded", 1);
    only_live(&lab, &press, &["a"]);
    assert_eq!(press.count(Act::Publish, "a"), 1);
    lab.verify();
}

#[test]
fn case_46_what_failed_attempts_made_is_discarded_by_the_next_commit() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    lab.until_met("a");
    // What fails for good is parked only where it is not retried slowly.
    let mut failing = printed("a", r#"{"do":"fail"}"#);
    let once = |policy: Policy| Policy { retry: Retry { slow: None, ..policy.retry }, ..policy };
    failing.policy = failing.policy.map(once);
    lab.harness.declare(failing);
    let lab = {
        for failures in 1..=3 {
            lab.until_count("attempt_failed", failures);
            lab.advance(Retry::default().cap);
        }
        lab.crash()
    };
    until("parked", || {
        lab.advance(Retry::default().cap);
        lab.view("a").condition.name() == "parked"
    });
    // A refresh could take anything of theirs over.
    assert!(press.destination.outputs().len() >= 2 + 10);
    lab.commit("a", r#"{"n":2}"#);
    lab.until_met("a");
    only_live(&lab, &press, &["a"]);
    lab.verify();
}

#[test]
fn case_46_leftovers_are_bounded() {
    let press = Press::new();
    let lab = lab(&press);
    let mut declaration = printed("a", r#"{"do":"fail"}"#);
    let retry = Retry { max_attempts: 1000, ..Retry::default() };
    declaration.policy = Some(Policy { retry, ..Policy::default() });
    lab.harness.declare(declaration);
    for failures in 1..=100 {
        lab.until_count("attempt_failed", failures);
        lab.advance(Retry::default().cap);
    }
    lab.until_count("discarded", 1);
    assert!(press.destination.outputs().len() <= 70, "{}", press.destination.outputs().len());
    lab.commit("a", r#"{"n":1}"#);
    lab.until_met("a");
    only_live(&lab, &press, &["a"]);
    lab.verify();
}

#[test]
fn case_46_what_an_abandoned_attempt_makes_late_is_discarded_when_it_comes_back() {
    let press = Press::new();
    let lab = lab(&press);
    lab.print("a", r#"{"do":"deaf","gate":"zombie"}"#);
    press.gate("zombie").until_reached(&lab, 1);
    let first = press.destination.outputs();
    lab.print("a", r#"{"n":2}"#);
    lab.advance(GRACE);
    lab.applied("a", 2);
    lab.until_met("a");
    assert!(first.is_disjoint(&press.destination.outputs()), "what it had made so far is gone");
    only_live(&lab, &press, &["a"]);
    press.gate("zombie").open();
    lab.until_count("completion_rejected", 1);
    lab.until_count("discarded", 2);
    only_live(&lab, &press, &["a"]);
    lab.verify();
}

#[test]
fn case_46_what_an_abandoned_attempt_made_is_discarded_after_a_crash() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    lab.print("a", r#"{"do":"deaf","gate":"zombie"}"#);
    press.gate("zombie").until_reached(&lab, 1);
    lab.print("a", r#"{"n":1}"#);
    lab.advance(GRACE);
    lab.until_count("attempt_ended", 2);
    // It may still be making more.
    assert_eq!(lab.owes("a").undiscarded, 0);
    assert_eq!(press.destination.outputs().len(), 3);
    let lab = lab.crash();
    lab.until_count("discarded", 1);
    only_live(&lab, &press, &["a"]);
    lab.verify();
}

#[test]
fn case_46_what_a_lost_attempt_made_is_discarded() {
    let press = Press::new();
    let lab = lab(&press);
    lab.print("a", r#"{"do":"wait","gate":"one"}"#);
    press.gate("one").until_reached(&lab, 1);
    let lost = press.destination.outputs();
    let lab = lab.crash();
    press.gate("one").until_reached(&lab, 2);
    assert!(lost.is_subset(&press.destination.outputs()));
    press.gate("one").open();
    lab.applied("a", 1);
    lab.until_met("a");
    only_live(&lab, &press, &["a"]);
    lab.verify();
}

#[test]
fn case_46_a_drop_discards_everything_also_over_crashes() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    lab.until_met("a");
    lab.print("a", r#"{"do":"deaf","gate":"zombie"}"#);
    press.gate("zombie").until_reached(&lab, 1);
    press.next(Act::Discard, "a", Reaction::Refuse("down"));
    lab.handle.drop_collection(name("a")).unwrap();
    lab.until_count("publish_failed", 1);
    assert_eq!(lab.stats().undelivered, 1);
    let lab = lab.crash();
    lab.settle_debts();
    assert_eq!((press.destination.outputs(), press.destination.live_outputs("a")), (BTreeSet::new(), BTreeSet::new()));
    assert_eq!(lab.state().orphans().count(), 0, "nothing is remembered of it");
    lab.verify();
}

#[test]
fn case_46_a_zombie_of_a_dropped_collection_leaves_nothing() {
    let press = Press::new();
    let lab = lab(&press);
    lab.print("a", r#"{"do":"deaf","gate":"zombie","write":true}"#);
    press.gate("zombie").until_reached(&lab, 1);
    lab.handle.drop_collection(name("a")).unwrap();
    lab.advance(GRACE);
    lab.until_count("discarded", 1);
    assert_eq!(press.destination.outputs(), BTreeSet::new());
    press.gate("zombie").open();
    lab.until_count("discarded", 2);
    assert_eq!((press.destination.outputs(), press.destination.live_outputs("a")), (BTreeSet::new(), BTreeSet::new()));
    assert_eq!(press.refused().len(), 1, "its incarnation is gone");
    lab.verify();
}

#[test]
fn case_46_a_drop_under_a_publication_and_a_new_incarnation_do_not_meet() {
    let press = Press::new();
    let lab = lab(&press);
    let gate = press.gate("door");
    press.next(Act::Publish, "a", Reaction::Wait(gate.clone()));
    press.next(Act::Discard, "a", Reaction::Refuse("down"));
    lab.commit("a", r#"{"n":1}"#);
    press.until_calls(Act::Publish, "a", 1);
    lab.handle.drop_collection(name("a")).unwrap();
    // Another collection, which needs not wait for the old one's debts.
    lab.commit("a", r#"{"n":2}"#);
    lab.until_met("a");
    let live = press.destination.live("a");
    assert_eq!(press.count(Act::Discard, "a"), 0, "the old one's courier is still out");
    gate.open();
    lab.until_count("publish_failed", 1);
    lab.settle_debts();
    assert_eq!(press.destination.live("a"), live);
    only_live(&lab, &press, &["a"]);
    assert_eq!(lab.published("a").len(), 1, "a publication of what is gone is no event");
    lab.verify();
}

/// xorshift64*: random enough to choose what happens next.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What is applied is there, and what readers are shown as well.
#[track_caller]
fn nothing_live_is_gone(lab: &Lab, press: &Press) {
    for of in NAMES {
        let Some(status) = lab.handle.status(name(of)).unwrap() else { continue };
        // Both may be replaced while this looks; what was asked first has to stand until it was.
        let applied =
            status.view.applied.map(|applied| (applied.seq, applied.result.output.clone().unwrap_or_default()));
        if let Some((seq, output)) = applied
            && !parts(&output).is_subset(&press.destination.outputs())
        {
            let now = lab.view(of).applied.map(|applied| applied.seq);
            assert_ne!(now, Some(seq), "{of}: {output} is applied and gone\n{}", lab.history(of));
        }
        let live = press.destination.live(of).filter(|live| live.collection == status.view.id);
        if let Some(output) = live.as_ref().and_then(|live| live.output.as_deref())
            && !parts(output).is_subset(&press.destination.outputs())
        {
            assert_ne!(press.destination.live(of), live, "{of}: {output} is live and gone\n{}", lab.history(of));
        }
    }
}

/// `DELIVERY_SEED=n` walks one walk.
#[test]
fn cases_44_45_46_random_walks_with_crashes_end_with_exactly_what_is_live() {
    let one = std::env::var("DELIVERY_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in one.map_or(1..=40, |seed| seed..=seed) {
        println!("DELIVERY_SEED={seed}");
        walk(&mut Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    }
}

fn walk(dice: &mut Dice) {
    let press = Press::new();
    let mut lab = lab(&press);
    for step in 0..60 {
        let of = dice.of(&NAMES);
        match dice.below(16) {
            0..=2 => drop(lab.print(of, &format!(r#"{{"n":{}}}"#, dice.below(3)))),
            3..=4 => drop(lab.print(of, &format!(r#"{{"n":{step},"keep":true}}"#))),
            5..=6 => drop(lab.print(of, &format!(r#"{{"do":"wait","gate":"g{}"}}"#, dice.below(2)))),
            7 => drop(lab.print(of, &format!(r#"{{"do":"deaf","gate":"g0","n":{step}}}"#))),
            8 => drop(lab.print(of, r#"{"do":"fail"}"#)),
            9 => drop(lab.handle.drop_collection(name(of))),
            10 => lab = if dice.below(2) == 0 { lab.crash() } else { lab.restart() },
            11..=12 => lab.advance(Duration::from_millis(dice.below(4000))),
            13 => {
                let gate = press.gate(dice.of(&["g0", "g1"]));
                gate.open();
                // Whoever waits at it has time to pass, or not.
                lab.advance(Duration::from_millis(1));
                gate.shut();
            }
            _ => {
                let reaction = dice.of(&["refuse", "lose", "panic"]);
                let reaction = match reaction {
                    "refuse" => Reaction::Refuse("down"),
                    "lose" => Reaction::DoAndRefuse("no answer"),
                    _ => Reaction::Panic("out of its mind"),
                };
                press.next(dice.of(&[Act::Publish, Act::Discard]), of, reaction);
            }
        }
        nothing_live_is_gone(&lab, &press);
    }
    ["g0", "g1"].into_iter().for_each(|gate| press.gate(gate).open());
    for (n, of) in NAMES.into_iter().enumerate() {
        lab.print(of, &format!(r#"{{"last":{n}}}"#));
    }
    lab.settle_debts();
    // What abandoned attempts made whose end was no completion goes with their process.
    let lab = lab.crash();
    lab.settle_debts();
    only_live(&lab, &press, &NAMES);
    NAMES.into_iter().for_each(|of| lab.is_as_published(&press, of));
    lab.verify();
}
