//! Limits: never more attempts than they allow, whatever else is going on.

use std::collections::BTreeMap;
use std::time::Duration;

use lastword::core::vocabulary::*;
use lastword::core::{Condition, State};

use crate::support::*;

fn limits(total: Option<u32>, kinds: &[(&str, u32)], prefixes: &[(&str, u32)]) -> Limits {
    Limits {
        total,
        kinds: kinds.iter().map(|(of, most)| (kind(of), *most)).collect(),
        prefixes: prefixes.iter().map(|(of, most)| (name(of), *most)).collect(),
    }
}

fn lab(limits: Limits) -> Lab {
    Lab::with(move |builder| builder.workers(8).limits(limits.clone()))
}

fn waits(of: &str) -> Declaration {
    declaration(of, &format!(r#"{{"do":"wait","gate":"{of}"}}"#))
}

/// The most attempts that held a worker at the same time, in all and by the first letter of their collection's name.
fn most_at_once(lab: &Lab) -> (usize, BTreeMap<char, usize>) {
    let (mut state, mut total, mut most) = (State::new(), 0, BTreeMap::<char, usize>::new());
    let mut names = BTreeMap::new();
    for recorded in &lab.events() {
        if let Event::CollectionDeclared { name, .. } = &recorded.event {
            names.insert(CollectionId(recorded.seq), name.as_str().chars().next().unwrap());
        }
        state.fold(recorded).unwrap();
        let running = state.running().map(|(id, _)| id);
        let holding: Vec<_> = running.chain(state.all_draining().map(|(_, d)| d.attempt.collection)).collect();
        total = total.max(holding.len());
        for letter in names.values() {
            let now = holding.iter().filter(|id| names[id] == *letter).count();
            let most = most.entry(*letter).or_default();
            *most = (*most).max(now);
        }
    }
    (total, most)
}

#[track_caller]
fn is_limited(lab: &Lab, of: &str, scope: Scope, most: u32) {
    assert_eq!(lab.view(of).condition, Condition::Limit { scope, most }, "{of}");
}

#[test]
fn no_more_attempts_run_than_a_total_allows() {
    let lab = lab(limits(Some(2), &[], &[]));
    for n in 0..6 {
        lab.harness.declare(waits(&format!("a{n}")));
    }
    lab.puppet.until_begun(2);
    is_limited(&lab, "a5", Scope::Total, 2);
    for n in 0..6 {
        lab.puppet.until_begun((n + 2).min(6));
        assert_eq!(lab.puppet.given_out()[n], format!("a{n}"));
        lab.puppet.open(&format!("a{n}"));
        lab.applied(&format!("a{n}"), 1);
    }
    assert_eq!(most_at_once(&lab).0, 2);
    lab.verify();
}

#[test]
fn limits_of_kinds_and_prefixes_hold_together_and_block_nobody_else() {
    let lab = lab(limits(None, &[("puppet", 3)], &[("a", 2), ("ab", 1)]));
    for of in ["ab1", "ab2", "ac1", "ac2", "b1", "b2"] {
        lab.harness.declare(waits(of));
    }
    // Behind the two prefixes that are full, b1 is next; then the kind is full.
    lab.puppet.until_begun(3);
    assert_eq!(lab.puppet.given_out(), ["ab1", "ac1", "b1"]);
    is_limited(&lab, "b2", Scope::Kind(kind("puppet")), 3);
    // Another kind is not concerned.
    lab.puppet.show("s3", Ok(observed("1")));
    lab.handle.declare(versioned("z", "seen", "s3")).unwrap();
    lab.applied("z", 1);
    lab.puppet.open("b1");
    lab.puppet.until_begun(5);
    assert_eq!(lab.puppet.given_out()[4], "b2");
    lab.puppet.open("b2");
    lab.applied("b2", 1);
    is_limited(&lab, "ac2", Scope::Prefix(name("a")), 2);
    // Of two limits that are reached, the wider is named.
    is_limited(&lab, "ab2", Scope::Prefix(name("a")), 2);
    lab.puppet.open("ac1");
    lab.puppet.until_begun(6);
    assert_eq!(lab.puppet.given_out()[5], "ac2", "ab is full still");
    lab.puppet.open("*");
    for of in ["ab1", "ab2", "ac1", "ac2"] {
        lab.applied(of, 1);
    }
    assert_eq!(most_at_once(&lab).1[&'a'], 2);
    lab.verify();
}

#[test]
fn an_attempt_that_does_not_stop_counts_until_it_is_abandoned() {
    let lab = lab(limits(Some(1), &[], &[]));
    lab.harness.declare(declaration("a", r#"{"do":"deaf","gate":"zombie"}"#));
    lab.puppet.until_begun(1);
    lab.harness.declare(declaration("b", "{}"));
    lab.handle.cancel(name("a"), None).unwrap();
    is_limited(&lab, "b", Scope::Total, 1);
    lab.advance(Grace::default().0 - Duration::from_micros(1));
    is_limited(&lab, "b", Scope::Total, 1);
    lab.advance(Duration::from_micros(1));
    lab.applied("b", 1);
    assert_eq!(most_at_once(&lab).0, 1);
    lab.verify();
}

#[test]
fn under_a_limit_the_higher_priority_goes_first_and_waiting_raises_it() {
    let lab = lab(limits(Some(1), &[], &[]));
    lab.harness.declare(waits("now"));
    lab.puppet.until_begun(1);
    let declare = |of: &str, priority: i16| {
        let mut declaration = declaration(of, "{}");
        declaration.policy = Some(Policy { priority: Priority(priority), ..Policy::default() });
        lab.harness.declare(declaration);
    };
    declare("patient", 0);
    // A minute for each level: by then it is before what is one level higher, and comes later.
    lab.advance(Priority::LEVEL + Duration::from_micros(1));
    declare("higher", 1);
    declare("highest", 2);
    declare("low", -1);
    lab.puppet.open("now");
    for of in ["patient", "higher", "highest", "low"] {
        lab.applied(of, 1);
    }
    assert_eq!(lab.puppet.given_out(), ["now", "highest", "patient", "higher", "low"]);
    lab.verify();
}

#[test]
fn limits_change_while_work_is_going_on() {
    let lab = lab(Limits::default());
    for n in 0..4 {
        lab.harness.declare(waits(&format!("a{n}")));
    }
    lab.puppet.until_begun(4);
    let before = lab.count("limits_changed");
    assert_eq!(before, 0, "there were none, and there are none");
    lab.handle.limit(limits(None, &[], &[("a", 1)])).unwrap();
    lab.harness.declare(waits("a4"));
    for n in 0..3 {
        // What runs goes on.
        is_limited(&lab, "a4", Scope::Prefix(name("a")), 1);
        lab.puppet.open(&format!("a{n}"));
        lab.applied(&format!("a{n}"), 1);
    }
    is_limited(&lab, "a4", Scope::Prefix(name("a")), 1);
    lab.handle.limit(limits(None, &[], &[("a", 2)])).unwrap();
    lab.puppet.until_begun(5);
    // Said twice it is one event.
    lab.handle.limit(limits(None, &[], &[("a", 2)])).unwrap();
    assert_eq!(lab.count("limits_changed"), 2);
    lab.verify();
}

#[test]
fn limits_outlive_the_process_and_the_next_start_may_say_others() {
    let given = std::sync::Arc::new(std::sync::Mutex::new(Some(limits(Some(1), &[], &[]))));
    let asked = std::sync::Arc::clone(&given);
    let lab = Lab::with(move |builder| match asked.lock().unwrap().clone() {
        Some(limits) => builder.limits(limits),
        None => builder,
    });
    assert_eq!(lab.state().limits().total, Some(1));
    let lab = lab.restart();
    assert_eq!(lab.count("limits_changed"), 1, "the same are no event");
    *given.lock().unwrap() = None;
    let lab = lab.crash();
    assert_eq!(lab.state().limits().total, Some(1));
    *given.lock().unwrap() = Some(Limits::default());
    let lab = lab.crash();
    assert_eq!((lab.state().limits(), lab.count("limits_changed")), (&Limits::default(), 2));
    lab.verify();
}

#[test]
fn limits_of_nothing_are_refused_where_they_are_given() {
    use lastword::engine::{CommandError, Reconciler, StartError};
    use lastword::log::MemoryLog;
    use lastword::objects::MemoryObjects;
    let nothing = limits(None, &[], &[("a", 0)]);
    let problem = "limits.prefixes.a: must be at least 1; a pause stops a collection";
    let refused = Lab::start().handle.limit(nothing.clone()).unwrap_err();
    assert!(matches!(&refused, CommandError::Refused(Rejection::Field(error)) if error.to_string() == problem));
    let builder = || Reconciler::on(Box::<MemoryLog>::default(), std::sync::Arc::new(MemoryObjects::new()));
    let refused = builder().limits(nothing).start().unwrap_err();
    assert!(matches!(&refused, StartError::Setting(error) if error.to_string() == problem), "{refused}");
    for (field, builder) in [
        ("delivery_threads", builder().delivery_threads(0)),
        ("delivery_threads", builder().delivery_threads(1025)),
        ("delivery_timeout", builder().delivery_timeout(Duration::ZERO)),
    ] {
        let refused = builder.start().unwrap_err();
        assert!(matches!(&refused, StartError::Setting(error) if error.field == field), "{refused}");
    }
}
