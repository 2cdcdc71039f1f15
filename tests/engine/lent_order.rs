//! Remote workers that wait: first come, first served, also across kinds.

use std::time::Duration;

use lastword::core::Condition;
use lastword::core::vocabulary::{Declaration, Kind, WorkerName};
use lastword::engine::LeasedAssignment;

use crate::support::*;

const LEASE: Duration = Duration::from_secs(30);

fn of(text: &str, of_kind: &str) -> Declaration {
    Declaration { kind: Some(kind(of_kind)), ..declaration(text, "{}") }
}

/// The worker that runs the attempt of a collection.
fn runs_on(lab: &Lab, of: &str) -> String {
    let Condition::Running { worker, .. } = lab.view(of).condition else { panic!("{:?}", lab.view(of)) };
    worker.as_str().to_owned()
}

#[test]
fn defect_50_waiting_callers_are_served_in_the_order_in_which_they_came() {
    let lab = Lab::start();
    let (x, y) = (|| kind("x"), || kind("y"));
    // Each asks once, so the order in which they came is that of their requests.
    let came: [(&str, Vec<Kind>); 7] = [
        ("1", vec![x(), y()]),
        ("2", vec![y()]),
        ("3", vec![x()]),
        ("4", vec![y()]),
        ("5", vec![x(), y()]),
        ("6", vec![x()]),
        ("7", vec![y()]),
    ];
    let handle = &lab.handle;
    let mut waiting = Vec::new();
    for (n, (by, kinds)) in (1..).zip(&came) {
        waiting.push(handle.assignment(kinds, &WorkerName::new(by).unwrap(), LEASE));
        until("the worker waits", || lab.stats().assignment_waiters == n);
    }
    // One after the other, and nothing in between: an order that turns round with each of them is seen in one of two.
    let tasks = [("a", "y", "1"), ("b", "x", "3"), ("c", "y", "2"), ("d", "x", "5"), ("e", "y", "4"), ("f", "y", "7")];
    for (text, of_kind, _) in tasks {
        handle.declare(of(text, of_kind)).unwrap();
    }
    handle.declare(of("g", "x")).unwrap();
    let served: Vec<(&str, String)> = tasks.iter().map(|(text, _, _)| (*text, runs_on(&lab, text))).collect();
    let expected: Vec<(&str, String)> = tasks.iter().map(|(text, _, by)| (*text, (*by).to_owned())).collect();
    assert_eq!(served, expected);
    assert_eq!(runs_on(&lab, "g"), "6");
    let jobs: Vec<LeasedAssignment> =
        waiting.into_iter().map(|next| next.wait_timeout(LONG).unwrap().expect("every one was served")).collect();
    assert_eq!(jobs.len(), came.len());
    lab.verify();
}
