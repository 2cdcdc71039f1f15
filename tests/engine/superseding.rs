//! Something newer is wanted while an attempt runs.

use std::time::Duration;

use lastword::core::vocabulary::*;

use crate::support::*;

#[test]
fn case_01_a_change_during_a_run_has_the_last_word() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"deaf","gate":"old"}"#);
    lab.puppet.until_begun(1);
    let second = lab.declare("a", "{}");
    assert_eq!(second.generation, Generation(2));
    lab.until_condition("a", "draining");
    lab.puppet.open("old");
    lab.applied("a", 2);

    let story = [
        "writer_opened",
        "collection_declared",
        "task_created",
        "task_started",
        "spec_changed",
        "task_aborted",
        "task_created",
        "completion_rejected",
        "attempt_ended",
        "task_started",
        "task_completed",
        "attempt_ended",
    ];
    assert_eq!(lab.types(), story);
    let old = lab.puppet.begun()[0].attempt.token;
    let rejected = lab.events().into_iter().find(|recorded| recorded.event.type_name() == "completion_rejected");
    let Event::CompletionRejected { token, reason, wanted, .. } = rejected.unwrap().event else { unreachable!() };
    assert_eq!((token, reason, wanted), (old, RejectReason::Stale, lab.view("a").wanted));
    let counted = lab.handle.stats().unwrap().counters;
    assert_eq!((counted.superseded, counted.rejected_stale, counted.committed), (1, 1, 1));
    lab.verify();
}

#[test]
fn case_01_a_worker_that_listens_stops_without_a_result() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"wait","gate":"never"}"#);
    lab.puppet.until_begun(1);
    lab.declare("a", "{}");
    lab.applied("a", 2);
    assert_eq!(lab.count("completion_rejected"), 0);
    assert_eq!(lab.count("attempt_ended"), 2);
    assert_eq!(lab.handle.stats().unwrap().counters.failed, 0);
    lab.verify();
}

#[test]
fn case_05_a_deaf_worker_is_abandoned_after_its_grace() {
    let lab = Lab::with(|builder| builder.workers(1));
    lab.declare("a", r#"{"do":"deaf","gate":"zombie"}"#);
    lab.puppet.until_begun(1);
    lab.declare("a", "{}");
    lab.until_condition("a", "draining");
    assert_eq!(lab.puppet.begun().len(), 1, "the grace is not over");

    lab.clock.advance(Duration::from_secs(5));
    lab.applied("a", 2);
    let stats = lab.handle.stats().unwrap();
    assert_eq!((stats.abandoned_workers, stats.attempts), (1, 1), "the zombie still has its thread");

    lab.puppet.open("zombie");
    lab.until_count("completion_rejected", 1);
    until("the zombie's end", || lab.handle.stats().unwrap().abandoned_workers == 0);
    let stats = lab.handle.stats().unwrap();
    assert_eq!((stats.idle_workers, stats.attempts), (1, 0), "its thread was replaced, not added");
    assert_eq!(lab.view("a").applied.unwrap().generation, Generation(2));
    lab.verify();
}

#[test]
fn case_05_more_deaf_workers_than_the_pool_can_replace_are_visible_and_may_come_back() {
    let lab = Lab::with(|builder| builder.workers(1));
    for of in ["a", "b"] {
        let begun = lab.puppet.begun().len();
        lab.declare(of, &format!(r#"{{"do":"deaf","gate":"{of}"}}"#));
        lab.puppet.until_begun(begun + 1);
        lab.declare(of, "{}");
        lab.clock.advance(Duration::from_secs(5));
        if of == "a" {
            lab.applied("a", 2);
        }
    }
    lab.declare("c", "{}");
    until("every worker being lost", || lab.status("c").workers_exhausted);
    assert!(lab.status("b").workers_exhausted);
    assert!(!lab.status("a").workers_exhausted, "it waits for nothing");
    assert_eq!(lab.view("c").condition.name(), "waiting_for_worker");
    assert_eq!(lab.handle.stats().unwrap().abandoned_workers, 2);

    lab.puppet.open("a");
    lab.applied("b", 2);
    lab.applied("c", 1);
    lab.puppet.open("b");
    until("all zombies' end", || lab.handle.stats().unwrap().abandoned_workers == 0);
    assert_eq!(lab.handle.stats().unwrap().idle_workers, 1);
    assert_eq!(lab.count("completion_rejected"), 2);
    lab.verify();
}

/// A check runs on the reducer's thread: while one waits, reports and deadlines pile up for the next batch.
fn hold_the_reducer(lab: &Lab) -> std::thread::JoinHandle<Receipt> {
    let handle = lab.handle.clone();
    // It begins at the time of its batch, which is over once the reducer goes on.
    let policy = Some(Policy { attempt_timeout: AttemptTimeout(None), ..Policy::default() });
    let declaration = Declaration { policy, ..declaration("held", r#"{"check":"reducer"}"#) };
    let held = std::thread::spawn(move || handle.declare(declaration).unwrap());
    lab.puppet.until_checks(1);
    held
}

#[test]
fn case_13_a_completion_in_the_batch_of_its_own_timeout_commits() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"deaf","gate":"g"}"#);
    lab.puppet.until_begun(1);
    let held = hold_the_reducer(&lab);
    lab.clock.advance(Duration::from_secs(3600));
    lab.puppet.open("g");
    lab.puppet.until_returned(1);
    // From its return to its report a thread needs a moment that nobody else can see.
    std::thread::sleep(Duration::from_millis(300));
    lab.puppet.open("reducer");
    held.within("the end of a thread").unwrap();
    lab.applied("a", 1);
    assert_eq!(lab.count("attempt_failed"), 0);
    lab.verify();
}

#[test]
fn case_13_a_completion_after_its_timeout_is_rejected() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"deaf","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.clock.advance(Duration::from_secs(3600));
    lab.until_count("attempt_failed", 1);
    lab.puppet.open("g");
    lab.until_count("completion_rejected", 1);
    lab.clock.advance(Duration::from_secs(30));
    lab.applied("a", 1);
    let counted = lab.handle.stats().unwrap().counters;
    assert_eq!((counted.rejected_not_live, counted.failed, counted.committed), (1, 1, 1));
    assert!(counted.wasted_work >= Duration::from_secs(3600));
    assert_eq!(lab.puppet.begun()[1].attempt.attempt, 2);
    lab.verify();
}

#[test]
fn case_44_a_zombie_has_a_lower_token_than_whatever_came_after_it() {
    let lab = Lab::start();
    lab.declare("a", r#"{"do":"deaf","gate":"g"}"#);
    lab.puppet.until_begun(1);
    lab.clock.advance(Duration::from_secs(3600));
    lab.until_count("attempt_failed", 1);
    lab.clock.advance(Duration::from_secs(35));
    // The second attempt begins while the first has not come back.
    lab.puppet.until_begun(2);
    let tokens: Vec<Token> = lab.puppet.begun().iter().map(|begun| begun.attempt.token).collect();
    assert!(tokens[0] < tokens[1]);
    lab.puppet.open("g");
    lab.applied("a", 1);
    assert_eq!(lab.view("a").applied.unwrap().token, tokens[1]);
    lab.until_count("completion_rejected", 1);
    lab.verify();
}
