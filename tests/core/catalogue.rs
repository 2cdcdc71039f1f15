//! The numbered cases that are about superseding, staleness and commits.

use lastword::core::vocabulary::{
    Command, Deadline, Event, FailureClass, Generation, Name, RejectReason, Rejection, Spec,
};
use lastword::core::{Condition, Status};

use super::world::{NAME, World, at_once, content, declaration, millis, moved_to, name, secs};

fn rejected(event: &Event) -> RejectReason {
    let Event::CompletionRejected { reason, .. } = event else { panic!("{event:?} is no rejection") };
    *reason
}

fn task_of(event: &Event) -> (Generation, Option<u64>) {
    let Event::TaskCreated { generation, not_before, .. } = event else { panic!("{event:?} creates no task") };
    (*generation, Some(not_before.0))
}

#[test]
fn case_01_a_change_aborts_the_task_and_its_late_result_is_rejected() {
    let (mut world, old) = World::started(at_once());
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.complete(old), ["completion_rejected", "attempt_ended"]);
    assert_eq!(rejected(world.back(2)), RejectReason::Stale);
    let new = world.assign();
    assert_eq!(world.complete(new), ["task_completed", "attempt_ended"]);
    assert_eq!(world.condition(), "fresh");
}

#[test]
fn case_02_of_three_quick_changes_only_the_newest_is_built() {
    let mut world = World::observed(at_once());
    for version in [2, 3, 4] {
        assert_eq!(world.observe(version), ["source_observed", "task_aborted", "task_created"]);
    }
    let attempt = world.assign();
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    let built = world.record.iter().filter(|r| r.event.type_name() == "task_started").count();
    assert_eq!((built, world.collection().generation), (1, Generation(4)));
    assert_eq!(world.view().applied.map(|a| a.fingerprint), world.view().latest);
}

#[test]
fn case_03_a_completion_after_a_drop_is_rejected() {
    let (mut world, old) = World::started(at_once());
    assert_eq!(world.drop_it(), ["task_aborted", "collection_dropped"]);
    assert_eq!(world.complete(old), ["completion_rejected", "attempt_ended"]);
    assert_eq!(rejected(world.back(2)), RejectReason::UnknownCollection);
    assert_eq!(world.complete(old), ["completion_rejected"], "its attempt has ended already");
}

#[test]
fn case_03_a_completion_of_the_incarnation_before_is_rejected() {
    let (mut world, old) = World::started(at_once());
    world.drop_it();
    world.say(Command::Declare(declaration(NAME, at_once()).into())).unwrap();
    assert_eq!(world.observe(1), ["source_observed", "task_created"]);
    assert_eq!(world.complete(old), ["completion_rejected", "attempt_ended"]);
    assert_eq!(rejected(world.back(2)), RejectReason::UnknownCollection);
    assert_ne!(world.condition(), "fresh");
}

#[test]
fn case_04_the_same_completion_twice_is_one_commit() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    let commit = world.view().applied.unwrap();
    assert_eq!(world.complete(attempt), ["completion_rejected"]);
    assert_eq!(rejected(world.last()), RejectReason::Duplicate);
    assert_eq!(world.view().applied, Some(commit), "the commit's Seq is still the answer");
}

#[test]
fn case_04_the_token_of_a_commit_with_another_fingerprint_is_no_duplicate() {
    let mut world = World::fresh(at_once());
    let first = world.view().applied.unwrap();
    world.observe(2);
    let attempt = world.assign();
    world.complete(attempt);
    assert_eq!(world.complete_as(attempt, first.fingerprint), ["completion_rejected"]);
    assert_eq!(rejected(world.last()), RejectReason::Stale);
}

#[test]
fn case_04_a_completion_of_an_earlier_attempt_of_the_task_is_rejected() {
    let (mut world, first) = World::started(at_once());
    assert_eq!(world.fail(first, FailureClass::Transient), ["attempt_failed", "attempt_ended"]);
    assert_eq!(world.advance(secs(2)), Vec::<&str>::new());
    let second = world.assign();
    assert_eq!((second.task, second.attempt), (first.task, 2));
    assert_eq!(world.complete(first), ["completion_rejected"]);
    assert_eq!(rejected(world.last()), RejectReason::NotLive);
    assert_eq!(world.complete(second), ["task_completed", "attempt_ended"]);
    assert_eq!(world.complete(first), ["completion_rejected"]);
}

#[test]
fn case_05_a_deaf_worker_is_abandoned_after_its_grace() {
    let (mut world, zombie) = World::started(at_once());
    world.observe(2);
    assert!(matches!(world.try_assign(), Err(Rejection::NotReady(_))), "the old attempt may still stop");
    assert_eq!(world.condition(), "draining");
    assert_eq!(world.advance(millis(4999)), Vec::<&str>::new());
    assert_eq!(world.advance(millis(1)), ["attempt_ended"]);
    let new = world.assign();
    assert!(new.token > zombie.token);
    assert_eq!(world.complete(zombie), ["completion_rejected"]);
    assert_eq!(world.complete(new), ["task_completed", "attempt_ended"]);
}

#[test]
fn case_06_a_source_that_goes_there_and_back_is_built_by_a_new_task() {
    let (mut world, first) = World::started(at_once());
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(world.observe(1), ["source_observed", "task_aborted", "task_created"]);
    // It was built from what is wanted again, by an attempt that was told to stop: it may have read both.
    assert_eq!(world.complete(first), ["completion_rejected", "attempt_ended"]);
    assert_eq!(rejected(world.back(2)), RejectReason::NotLive);
    let second = world.assign();
    assert_eq!(world.complete(second), ["task_completed", "attempt_ended"]);
    assert_eq!(world.collection().generation, Generation(3));
}

#[test]
fn case_06_there_and_back_before_it_settles_disturbs_nobody() {
    let (mut world, attempt) = World::started(Default::default());
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.observe(1), ["source_observed"]);
    assert_eq!(world.advance(secs(1)), Vec::<&str>::new());
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!((world.condition(), world.collection().generation), ("fresh", Generation(1)));
}

#[test]
fn case_07_a_source_that_moves_without_pause_backs_off_and_commits_when_it_rests() {
    let (mut world, mut attempt) = World::started(at_once());
    let mut delays = Vec::new();
    for version in 2..40 {
        let events = world.fail(attempt, moved_to(version));
        assert_eq!(events, ["attempt_failed", "attempt_ended", "source_observed", "task_aborted", "task_created"]);
        if let Condition::Moving { until } = world.view().condition {
            delays.push(until.since(world.now));
        }
        world.advance(secs(30));
        attempt = world.assign();
    }
    assert!(delays.len() >= 37, "the cause is visible: {}", delays.len());
    assert!(delays[..3].iter().all(|delay| *delay <= secs(4)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay > secs(15)), "{delays:?}");
    assert_eq!(world.view().failures, 0, "nobody is charged");
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!((world.condition(), world.collection().moves), ("fresh", 0));
}

#[test]
fn case_07_a_single_move_costs_no_rest() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, moved_to(2));
    assert_eq!(world.condition(), "waiting_for_worker");
    let Status::Waiting(waiting) = &world.collection().status else { panic!("no task waits") };
    assert_eq!(waiting.not_before, world.now);
}

#[test]
fn case_07_moves_of_which_nothing_is_known_back_off_too() {
    let (mut world, mut attempt) = World::started(at_once());
    for _ in 0..60 {
        assert_eq!(world.fail(attempt, FailureClass::SourceMoved(None)), ["attempt_failed", "attempt_ended"]);
        world.advance(secs(30));
        attempt = world.assign();
    }
    assert_eq!(world.view().attempts, 61, "never parked");
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
}

#[test]
fn case_07_a_look_does_not_cut_the_rest_of_a_moving_source_short() {
    let (mut world, attempt) = World::started(at_once());
    world.fail(attempt, moved_to(1));
    let attempt = world.assign();
    world.fail(attempt, moved_to(2));
    let Status::Waiting(waiting) = &world.collection().status else { panic!("no task waits") };
    let resting_until = waiting.not_before;
    assert!(resting_until > world.now);
    for version in 3..9 {
        world.observe(version);
        assert_eq!(task_of(world.last()).1, Some(resting_until.0));
    }
    assert_eq!(world.condition(), "moving");
    assert_eq!(world.refresh(), ["refresh_requested"]);
    assert_eq!(world.condition(), "waiting_for_worker");
}

#[test]
fn case_08_a_new_task_starts_with_a_full_set_of_attempts() {
    let (mut world, mut attempt) = World::started(at_once());
    for _ in 0..8 {
        world.fail(attempt, FailureClass::Transient);
        world.advance(secs(30));
        attempt = world.assign();
    }
    assert_eq!(world.observe(2), ["source_observed", "task_aborted", "task_created"]);
    world.stopped(attempt);
    let Status::Waiting(waiting) = &world.collection().status else { panic!("no task waits") };
    assert_eq!((waiting.task.attempts, waiting.task.charged, &waiting.task.last_failure), (0, 0, &None));
    assert_eq!(waiting.not_before, world.now, "a change starts one attempt at once");
    for _ in 0..9 {
        let attempt = world.assign();
        assert_eq!(world.fail(attempt, FailureClass::Transient), ["attempt_failed", "attempt_ended"]);
        world.advance(secs(30));
    }
    let attempt = world.assign();
    world.fail(attempt, FailureClass::Transient);
    assert_eq!(world.condition(), "failing");
}

#[test]
fn case_09_whichever_the_log_has_first_decides() {
    let (mut first, attempt) = World::started(at_once());
    assert_eq!(first.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(first.observe(2), ["source_observed", "task_created"]);
    first.assert_replays();

    let (mut second, attempt) = World::started(at_once());
    assert_eq!(second.observe(2), ["source_observed", "task_aborted", "task_created"]);
    assert_eq!(second.complete(attempt), ["completion_rejected", "attempt_ended"]);
    second.assert_replays();
}

#[test]
fn case_10_key_order_is_no_change() {
    let mut world = World::fresh(at_once());
    assert_eq!(world.respecify(r#"{"a":1,"b":2}"#), ["spec_changed", "task_created"]);
    let last_input = world.collection().last_input;
    assert_eq!(world.respecify("{ \"b\": 2.0,\n \"a\": 1 }"), Vec::<&str>::new());
    assert_eq!(world.collection().last_input, last_input, "and makes no look old");
}

#[test]
fn case_12_a_commit_does_not_bring_the_old_source_back() {
    let (mut world, attempt) = World::started(at_once());
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.resource("s2"), ["source_changed"]);
    assert_eq!(world.crash(), ["writer_opened"]);
    assert_eq!(world.complete(attempt), ["completion_rejected"]);
    assert_eq!((world.view().source.as_str(), world.condition()), ("s2", "awaiting_observation"));
}

#[test]
fn case_13_a_timeout_does_not_fail_a_committed_task() {
    let (mut world, attempt) = World::started(at_once());
    let id = attempt.collection;
    world.now = world.now.after(secs(3600));
    assert_eq!(world.complete(attempt), ["task_completed", "attempt_ended"]);
    assert_eq!(world.state.first_due(world.now), None);
    assert_eq!(world.due(Deadline::Attempt(id)), Err(Rejection::NotDue));
}

#[test]
fn case_13_a_completion_does_not_commit_a_timed_out_attempt() {
    let (mut world, attempt) = World::started(at_once());
    world.now = world.now.after(secs(3600));
    assert_eq!(world.due(Deadline::Attempt(attempt.collection)), Ok(vec!["attempt_failed"]));
    assert_eq!(world.complete(attempt), ["completion_rejected", "attempt_ended"]);
    assert_eq!(rejected(world.back(2)), RejectReason::NotLive);
}

#[test]
fn case_14_asking_again_gives_the_same_answer() {
    let mut world = World::observed(Default::default());
    assert_eq!(world.observe(1), Vec::<&str>::new());
    assert_eq!(world.say(Command::Declare(declaration(NAME, Default::default()).into())), Ok(vec![]));
    assert_eq!((world.pause(), world.pause()), (vec!["collection_paused"], vec![]));
    assert_eq!((world.resume(), world.resume()), (vec!["collection_resumed"], vec![]));
    let task = world.view().task;
    let cancel = || Command::Cancel { name: name(NAME), task };
    assert_eq!(world.say(cancel()), Ok(vec!["task_aborted"]));
    assert_eq!(world.say(cancel()), Ok(vec![]), "it is cancelled already");
    assert_eq!(world.refresh(), ["refresh_requested", "task_created"]);
    let live = world.view().task;
    assert_eq!(world.say(cancel()), Err(Rejection::NoSuchTask { live }), "another task is live by now");
}

#[test]
fn case_14_a_confirmation_that_is_repeated_is_harmless() {
    let mut world = World::fresh(at_once());
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    assert_eq!(world.confirm(held), Ok(vec!["hold_confirmed", "task_created"]));
    assert_eq!(world.confirm(held), Ok(vec![]));
}

#[test]
fn case_40_altering_the_spec_keeps_the_source_and_the_reverse() {
    let mut world = World::fresh(at_once());
    world.respecify(r#"{"a":1}"#);
    assert_eq!(world.view().source.as_str(), "s1");
    world.resource("s2");
    assert_eq!(world.view().spec, Spec::parse(r#"{"a":1}"#).unwrap());
    let both = world.declare(|d| {
        d.source = Some(lastword::core::vocabulary::Source::new("s3").unwrap());
        d.spec = Some(Spec::default());
    });
    assert_eq!(both, Ok(vec!["source_changed", "spec_changed"]));
    assert_eq!(world.collection().generation, Generation(4), "one declaration, one generation");
}

#[test]
fn case_43_no_token_is_given_out_twice_over_reopened_epochs() {
    let mut world = World::observed(at_once());
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(world.assign().token);
        assert_eq!(world.crash()[..3], ["writer_opened", "attempt_failed", "attempt_ended"]);
        if world.condition() == "parked" {
            world.refresh();
        }
    }
    assert!(tokens.is_sorted_by(|a, b| a < b && a.epoch < b.epoch));
}

#[test]
fn case_44_a_zombie_has_the_lower_token() {
    let (mut world, zombie) = World::started(at_once());
    assert_eq!(world.advance(secs(3605)), ["attempt_failed", "attempt_ended"]);
    world.advance(secs(30));
    let attempt = world.assign();
    assert_eq!((attempt.task, attempt.attempt), (zombie.task, 2));
    assert!(zombie.token < attempt.token);
}

#[test]
fn case_50_unchanged_looks_are_no_events() {
    let mut world = World::fresh(Default::default());
    let (record, digest) = (world.record.len(), world.state.digest());
    for _ in 0..1000 {
        world.now = world.now.after(secs(1));
        assert_eq!(world.report(world.state.last(), content(1)), Ok(vec![]));
    }
    assert_eq!((world.record.len(), world.state.digest()), (record, digest));
    // The same failure again is none either.
    assert_eq!(world.cannot_observe("no such directory"), ["observation_failed"]);
    assert_eq!(world.cannot_observe("no such directory"), Vec::<&str>::new());
    // And neither is what is seen again while it settles or is held.
    assert_eq!(world.observe(2), ["source_observed"]);
    assert_eq!(world.observe(2), Vec::<&str>::new());
    assert_eq!(world.observe(0), ["collection_held"]);
    assert_eq!(world.observe(0), Vec::<&str>::new());
}

#[test]
fn an_unknown_name_is_refused_by_name() {
    let mut world = World::new();
    let unknown: Name = name("b");
    assert_eq!(world.say(Command::Pause { name: unknown.clone() }), Err(Rejection::UnknownCollection(unknown)));
}
