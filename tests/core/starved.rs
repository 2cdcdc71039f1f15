//! A source that never rests: however often it changes, something is committed again and again.

use lastword::core::vocabulary::{AttemptRef, EngineCommand, FailureClass, MaxLag, OnChange, Policy};
use lastword::core::{Condition, Pending};

use super::world::{World, at_once, secs};

fn within(lag: Option<u64>) -> Policy {
    Policy { max_lag: MaxLag(lag.map(secs)), ..at_once() }
}

/// A collection of which one attempt was superseded, and that is behind for long enough: its second one runs.
fn starved() -> (World, AttemptRef) {
    let (mut world, first) = World::started(within(Some(0)));
    assert_eq!(world.observe(9), ["source_observed", "task_aborted", "task_created"]);
    world.stopped(first);
    let second = world.assign();
    (world, second)
}

/// What a second is like under a source that changes once in each, where a build takes `takes` of them: `commits` in
/// `seconds`.
fn commits(policy: Policy, takes: u64, seconds: u64) -> usize {
    let mut world = World::observed(policy);
    let (mut attempt, mut begun) = (world.assign(), world.now);
    for second in 0..seconds {
        world.advance(secs(1));
        world.observe(u8::try_from(second % 200).unwrap() + 2);
        if world.state.running().all(|(_, running)| running != attempt) {
            world.stopped(attempt);
            (attempt, begun) = (world.assign(), world.now);
        } else if world.now.since(begun) >= secs(takes) {
            world.complete(attempt);
            (attempt, begun) = (world.assign(), world.now);
        }
    }
    world.record.iter().filter(|recorded| recorded.event.type_name() == "task_completed").count()
}

#[test]
fn defect_38_a_source_that_never_rests_is_committed_again_and_again() {
    assert_eq!(commits(within(None), 3, 120), 0, "without a bound every attempt is superseded");
    // Ten seconds behind, then what runs may finish: at the latest after another three.
    let found = commits(within(Some(10)), 3, 120);
    assert!((8..=12).contains(&found), "{found} commits");
    let finishing = Policy { on_change: OnChange::FinishThenLatest, ..at_once() };
    assert_eq!(commits(finishing, 3, 120), 40);
}

#[test]
fn defect_38_what_waits_for_a_starved_attempt_says_so_and_is_next() {
    let (mut world, first) = World::started(within(Some(10)));
    world.advance(secs(5));
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"], "it is not behind for so long");
    world.stopped(first);
    let second = world.assign();
    world.advance(secs(5));
    assert_eq!(world.observe(3), ["source_observed"]);
    assert!(matches!(world.view().pending, Some(Pending::Waiting { .. })), "{:?}", world.view());
    assert_eq!(world.observe(4), ["source_observed"]);
    assert!(matches!(world.view().condition, Condition::Running { .. }));
    let committed = ["task_completed", "attempt_ended", "source_observed", "task_created"];
    assert_eq!(world.complete(second), committed);
    // It is behind since the first change that waited, and no longer.
    world.advance(secs(9));
    let third = world.assign();
    assert_eq!(world.observe(5), ["source_observed", "task_aborted", "task_created"]);
    world.stopped(third);
}

#[test]
fn defect_38_a_first_attempt_that_hangs_is_superseded_by_an_observed_change() {
    let (mut world, first) = World::started(within(Some(10)));
    world.advance(secs(600));
    // Nothing was superseded: the collection is behind because its attempt takes so long.
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    world.stopped(first);
    // From here on it is: what is behind is behind since then.
    let second = world.assign();
    assert_eq!(world.observe(3), ["source_observed"]);
    // After a commit it begins anew.
    world.complete(second);
    let third = world.assign();
    world.advance(secs(600));
    assert_eq!(world.observe(4), ["source_observed", "task_aborted", "task_created"]);
    world.stopped(third);
}

#[test]
fn defect_38_a_declaration_supersedes_however_long_its_collection_is_behind() {
    let (mut world, attempt) = starved();
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.respecify(r#"{"a":1}"#), ["spec_changed", "task_aborted", "task_created"]);
    assert_eq!(world.view().pending, None, "what waited is admitted with it");
    world.stopped(attempt);
}

#[test]
fn defect_38_only_an_attempt_that_runs_is_worth_waiting_for() {
    let admitted = ["source_observed", "task_aborted", "task_created"];
    // Between two attempts.
    let (mut world, attempt) = starved();
    world.fail(attempt, FailureClass::Transient);
    assert_eq!(world.observe(2), admitted);
    // And what waits when it ends without a result, in whatever way.
    for end in ["failed", "stopped", "timed out", "lost"] {
        let (mut world, attempt) = starved();
        assert_eq!(world.observe(2), ["source_observed"], "{end}");
        let events = match end {
            "failed" => world.fail(attempt, FailureClass::Transient),
            "stopped" => world.stopped(attempt),
            "timed out" => world.advance(secs(3600)),
            _ => world.crash(),
        };
        assert!(events.ends_with(&admitted), "{end}: {events:?}");
        assert_eq!(world.view().pending, None, "{end}");
    }
    // What the source has gone back to waits for nothing.
    let (mut world, attempt) = starved();
    world.observe(2);
    assert_eq!(world.observe(9), ["source_observed"]);
    assert_eq!(world.view().pending, None);
    world.say(EngineCommand::Stopped { attempt }).unwrap();
    assert_eq!(world.condition(), "waiting_for_worker");
}
