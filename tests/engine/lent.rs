//! Kinds that the caller drives: assignments, heartbeats, reports, leases and takeover.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lastword::core::Condition;
use lastword::core::vocabulary::*;
use lastword::engine::{
    AttemptState, CommandError, CompletionOutcome, Handle, HeartbeatReply, LeasedAssignment, Reconciler, WaitOutcome,
};
use lastword::log::{Keep, Log};
use lastword::objects::MemoryObjects;
use lastword::worker::{Failure, Observation};

use crate::executor::{Unpark, all, block_on, poll_pending};
use crate::gated::Gated;
use crate::support::*;

const LEASE: Duration = Duration::from_secs(30);

fn lent(of: &str, json: &str) -> Declaration {
    Declaration { kind: Some(kind("lent")), ..declaration(of, json) }
}

fn worker(text: &str) -> WorkerName {
    WorkerName::new(text).unwrap()
}

fn next(handle: &Handle, by: &str) -> LeasedAssignment {
    handle.next_assignment(&[kind("lent")], &worker(by), LEASE, LONG).unwrap().expect("nothing to do")
}

fn built(output: &str) -> Built {
    Built { output: Some(output.into()), ..Built::default() }
}

fn complete(handle: &Handle, job: &LeasedAssignment, output: &str) -> CompletionOutcome {
    handle.complete(job.attempt(), job.fingerprint(), built(output)).within("an answer").unwrap()
}

fn output(lab: &Lab, of: &str) -> Option<String> {
    lab.view(of).applied.and_then(|applied| applied.result.output.as_deref().map(String::from))
}

#[test]
fn a_job_says_everything_and_its_result_commits() {
    let lab = Lab::start();
    let mut wanted = versioned("a", "lent", "s3");
    wanted.spec = Some(spec(r#"{"n":1}"#));
    lab.handle.declare(wanted).unwrap();
    lab.handle.observe(name("a"), observed("7")).unwrap();
    let job = next(&lab.handle, "host:1");
    let view = lab.view("a");
    assert_eq!((job.name(), job.kind(), job.collection()), (&view.name, &view.kind, view.id));
    assert_eq!((job.source(), job.spec(), job.generation()), (&view.source, &view.spec, view.generation));
    assert_eq!((Some(job.fingerprint()), job.version().map(Version::as_bytes)), (view.wanted, Some(&b"7"[..])));
    assert_eq!((job.lease(), job.applied(), job.is_stopping()), (LEASE, None, false));
    assert_eq!(job.deadline(), Some(lab.stats().at.after(Duration::from_secs(3600))));
    let Condition::Running { worker: by, .. } = view.condition else { panic!("{}", view.condition) };
    assert_eq!(by.as_str(), "host:1");
    job.progress(2, 5);
    assert_eq!(lab.status("a").progress.map(|progress| (progress.done, progress.total)), Some((2, 5)));
    assert_eq!((lab.stats().leased, lab.stats().assignment_waiters, lab.stats().attempts), (1, 0, 0));

    let verdict = complete(&lab.handle, &job, "done");
    let applied = lab.view("a").applied.unwrap();
    assert_eq!(verdict, CompletionOutcome::Committed { seq: applied.seq });
    assert_eq!((applied.token, output(&lab, "a").as_deref()), (job.token(), Some("done")));
    assert_eq!(lab.stats().leased, 0);
    lab.handle.observe(name("a"), observed("8")).unwrap();
    lab.clock.advance(Duration::from_secs(1));
    assert_eq!(next(&lab.handle, "host:1").applied(), Some(&applied));
    lab.verify();
}

#[test]
fn case_14_repeating_a_completion_is_answered_as_the_first_one_was() {
    for keep in [Keep::All, Keep::None] {
        let mut lab = Lab::start();
        lab.harness.declare(lent("a", "{}"));
        let job = next(&lab.handle, "w");
        lab.disk.fail_next_barrier(keep);
        let lost = lab.handle.complete(job.attempt(), job.fingerprint(), built("done")).within("an answer");
        assert!(matches!(lost, Err(CommandError::Unknown(_))), "{lost:?}");
        // Whatever became of it: asking again under the next process commits it, or says that it is committed.
        lab = lab.restart();
        let CompletionOutcome::Committed { seq } = complete(&lab.handle, &job, "done") else { panic!("rejected") };
        assert_eq!(lab.handle.query(job.attempt()).within("an answer"), Ok(AttemptState::Committed { seq }));
        assert_eq!(complete(&lab.handle, &job, "done"), CompletionOutcome::Committed { seq });
        assert_eq!(lab.count("task_completed"), 1);
        lab.verify();
    }
}

#[test]
fn case_04_an_earlier_attempt_of_the_same_task_commits_nothing() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let first = next(&lab.handle, "w1");
    lab.handle.fail(first.attempt(), Failure::Transient("no route to host".into())).within("an answer").unwrap();
    assert_eq!(&*lab.view("a").last_failure.unwrap().message, "no route to host");
    lab.advance(Duration::from_secs(31));
    let second = next(&lab.handle, "w2");
    assert!(second.token() > first.token());
    assert_eq!(complete(&lab.handle, &first, "late"), CompletionOutcome::Rejected { reason: RejectReason::NotLive });
    assert_eq!(lab.handle.query(first.attempt()).within("an answer"), Ok(AttemptState::Gone));
    assert!(matches!(complete(&lab.handle, &second, "good"), CompletionOutcome::Committed { .. }));
    assert_eq!(output(&lab, "a").unwrap(), "good");
    lab.verify();
}

#[test]
fn case_44_who_is_silent_for_longer_than_the_lease_is_taken_over_and_its_late_result_is_rejected() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let zombie = next(&lab.handle, "w1");
    // Heartbeats keep it for as long as they come.
    for _ in 0..10 {
        lab.advance(LEASE - Duration::from_secs(1));
        let until = lab.stats().at.after(LEASE);
        assert_eq!(lab.handle.heartbeat(zombie.attempt()).within("an answer"), Ok(HeartbeatReply::Go { until }));
    }
    let before = lab.events().len();
    lab.advance(LEASE - Duration::from_micros(1));
    assert_eq!(lab.events().len(), before, "heartbeats are no events");
    assert_eq!(lab.view("a").condition.name(), "running");
    lab.advance(Duration::from_micros(1));
    let failure = lab.view("a").last_failure.unwrap();
    assert_eq!((failure.reason, lab.view("a").failures), (FailReason::WorkerLost, 0), "not charged");
    assert!(zombie.is_stopping());
    block_on(zombie.stopped());

    let heir = next(&lab.handle, "w2");
    assert!(heir.token() > zombie.token());
    assert_eq!(lab.handle.heartbeat(zombie.attempt()).within("an answer"), Ok(HeartbeatReply::Gone));
    assert_eq!(complete(&lab.handle, &zombie, "late"), CompletionOutcome::Rejected { reason: RejectReason::NotLive });
    assert_eq!(
        lab.handle.heartbeat(heir.attempt()).within("an answer").map(|beat| matches!(beat, HeartbeatReply::Go { .. })),
        Ok(true)
    );
    assert!(matches!(complete(&lab.handle, &heir, "good"), CompletionOutcome::Committed { .. }));
    let ends: Vec<_> = lab
        .events()
        .into_iter()
        .filter_map(|recorded| match recorded.event {
            Event::AttemptEnded { attempt, reason, .. } => Some((attempt, reason)),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [(1, EndReason::Lost), (2, EndReason::Acknowledged)]);
    assert!(lab.stats().counters.wasted_work > LEASE * 9);
    lab.verify();
}

#[test]
fn case_30_a_lent_attempt_survives_the_end_of_the_engine_and_completes_afterwards() {
    for crash in [true, false] {
        let lab = Lab::start();
        lab.harness.declare(lent("a", "{}"));
        lab.harness.declare(lent("b", "{}"));
        let (job, silent) = (next(&lab.handle, "w"), next(&lab.handle, "w"));
        lab.advance(LEASE / 2);
        let lab = if crash { lab.crash() } else { lab.restart() };
        assert_eq!((lab.view("a").condition.name(), lab.view("a").attempts, lab.stats().leased), ("running", 1, 2));
        // A lease begins anew with the engine: nobody could have reported while there was none.
        lab.advance(LEASE - Duration::from_millis(10));
        let beat = lab.handle.heartbeat(job.attempt()).within("an answer").unwrap();
        assert_eq!(beat, HeartbeatReply::Go { until: lab.stats().at.after(LEASE) });
        lab.advance(Duration::from_millis(10));
        assert_eq!(lab.handle.heartbeat(silent.attempt()).within("an answer"), Ok(HeartbeatReply::Gone));
        assert!(matches!(complete(&lab.handle, &job, "done"), CompletionOutcome::Committed { .. }));
        assert_eq!(lab.count("task_started"), 2, "nothing was started twice");
        lab.verify();
    }
}

#[test]
fn case_01_a_change_during_a_lent_attempt_reaches_its_worker_by_heartbeat_and_in_process() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let old = next(&lab.handle, "w1");
    let mut stopped = old.stopped();
    poll_pending(&mut stopped, &Unpark::this());
    lab.harness.declare(lent("a", r#"{"n":2}"#));
    let grace_until = Some(lab.stats().at.after(Duration::from_secs(5)));
    assert_eq!(lab.handle.heartbeat(old.attempt()).within("an answer"), Ok(HeartbeatReply::Stop { grace_until }));
    assert_eq!(lab.handle.query(old.attempt()).within("an answer"), Ok(AttemptState::Stopping { grace_until }));
    block_on(stopped);
    assert_eq!(lab.view("a").condition.name(), "draining");
    // It lets go, and the next one starts without waiting for the grace.
    lab.handle.release(old.attempt()).within("an answer").unwrap();
    let new = next(&lab.handle, "w1");
    assert_eq!(new.generation(), Generation(2));
    assert_eq!(complete(&lab.handle, &old, "old"), CompletionOutcome::Rejected { reason: RejectReason::Stale });
    assert!(matches!(complete(&lab.handle, &new, "new"), CompletionOutcome::Committed { .. }));
    assert_eq!(output(&lab, "a").unwrap(), "new");
    assert_eq!(lab.stats().counters.superseded, 1);
    lab.verify();
}

#[test]
fn case_05_a_deaf_worker_outside_is_abandoned_after_its_grace() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let deaf = next(&lab.handle, "w1");
    lab.harness.declare(lent("a", r#"{"n":2}"#));
    assert_eq!(
        lab.handle.next_assignment(&[kind("lent")], &worker("w2"), LEASE, Duration::ZERO).map(|job| job.is_none()),
        Ok(true)
    );
    lab.advance(Duration::from_secs(5));
    let new = next(&lab.handle, "w2");
    assert_eq!(lab.handle.heartbeat(deaf.attempt()).within("an answer"), Ok(HeartbeatReply::Gone));
    assert_eq!(complete(&lab.handle, &deaf, "deaf"), CompletionOutcome::Rejected { reason: RejectReason::Stale });
    assert!(matches!(complete(&lab.handle, &new, "new"), CompletionOutcome::Committed { .. }));
    assert_eq!(lab.stats().leased, 0);
    lab.verify();
}

#[test]
fn case_34_a_lent_attempt_of_a_dropped_collection_is_told_to_stop() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let job = next(&lab.handle, "w");
    lab.handle.drop_collection(name("a")).unwrap();
    assert!(matches!(lab.handle.heartbeat(job.attempt()).within("an answer"), Ok(HeartbeatReply::Stop { .. })));
    assert_eq!(
        complete(&lab.handle, &job, "late"),
        CompletionOutcome::Rejected { reason: RejectReason::UnknownCollection }
    );
    assert_eq!(lab.handle.query(job.attempt()).within("an answer"), Ok(AttemptState::Gone));
    assert_eq!((lab.state().all_draining().count(), lab.stats().leased), (0, 0));
    lab.verify();
}

#[test]
fn a_timeout_ends_a_lent_attempt_however_often_it_reports() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let job = next(&lab.handle, "w");
    while lab.advance_and_beat(&job) {}
    assert_eq!(lab.view("a").last_failure.unwrap().reason, FailReason::TimedOut);
    assert!(matches!(lab.handle.heartbeat(job.attempt()).within("an answer"), Ok(HeartbeatReply::Stop { .. })));
    lab.handle.fail(job.attempt(), Failure::Stopped).within("an answer").unwrap();
    assert_eq!((lab.stats().leased, lab.view("a").failures), (0, 1));
    lab.verify();
}

impl Lab {
    /// Whether the job may go on after a while.
    fn advance_and_beat(&self, job: &LeasedAssignment) -> bool {
        self.advance(LEASE - Duration::from_secs(1));
        matches!(self.handle.heartbeat(job.attempt()).within("an answer").unwrap(), HeartbeatReply::Go { .. })
    }
}

#[test]
fn failures_of_every_kind_are_heard() {
    let lab = Lab::start();
    lab.handle.declare(versioned("a", "lent", "s3")).unwrap();
    lab.handle.observe(name("a"), observed("1")).unwrap();
    let job = next(&lab.handle, "w");
    let observation = Some(Box::new(Observation::new(observed("2"), None)));
    let moved = Failure::SourceMoved { what: Some("b.csv is gone".to_owned()), observation };
    lab.handle.fail(job.attempt(), moved).within("an answer").unwrap();
    lab.advance(Duration::from_secs(31));
    let job = next(&lab.handle, "w");
    assert_eq!(job.version().map(Version::as_bytes), Some(&b"2"[..]));
    lab.handle.fail(job.attempt(), Failure::Stopped).within("an answer").unwrap();
    assert!(lab.view("a").last_failure.unwrap().message.contains("without being told"));
    lab.advance(Duration::from_secs(31));
    let job = next(&lab.handle, "w");
    lab.handle.fail(job.attempt(), Failure::moved("b.csv is gone")).within("an answer").unwrap();
    let message = lab.view("a").last_failure.unwrap().message;
    assert_eq!(&*message, "the source changed while it was read: b.csv is gone");
    lab.advance(Duration::from_secs(31));
    let job = next(&lab.handle, "w");
    lab.handle.fail(job.attempt(), Failure::Permanent("no such column".into())).within("an answer").unwrap();
    lab.assert_condition("a", "parked");
    // It is over: nothing that is said again changes that.
    let again = lab.handle.fail(job.attempt(), Failure::Transient("?".into())).within("an answer").unwrap();
    assert_eq!((again.seq, lab.handle.heartbeat(job.attempt()).within("an answer")), (None, Ok(HeartbeatReply::Gone)));
    let long = lab
        .handle
        .complete(job.attempt(), job.fingerprint(), built(&"x".repeat(Built::MOST_OUTPUT + 1)))
        .within("an answer");
    assert!(matches!(long, Err(CommandError::Refused(Rejection::Field(ref error))) if error.field == "result.output"));
    lab.verify();
}

#[test]
fn a_report_is_recorded_as_given_by_its_actor() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let job = next(&lab.handle, "w");
    let by = By::new(Some("bridge"), Some("child 7")).unwrap();
    let handle = lab.handle.by(by.clone());
    assert!(matches!(complete(&handle, &job, "x"), CompletionOutcome::Committed { .. }));
    let completed = lab.events().into_iter().find(|recorded| recorded.event.type_name() == "task_completed").unwrap();
    assert_eq!(completed.by.as_deref(), Some(&by));
}

#[test]
fn two_workers_share_the_work_and_nothing_is_done_twice() {
    const MANY: usize = 40;
    let lab = Lab::start();
    let workers: Vec<_> = ["w1", "w2"]
        .map(|by| {
            let handle = lab.handle.clone();
            thread::spawn(move || {
                let mut done = 0;
                while let Some(job) = handle.next_assignment(&[kind("lent")], &worker(by), LEASE, LONG).unwrap_or(None)
                {
                    assert!(matches!(complete(&handle, &job, by), CompletionOutcome::Committed { .. }));
                    done += 1;
                }
                done
            })
        })
        .into();
    until("two that wait", || lab.stats().assignment_waiters == 2);
    for n in 0..MANY {
        lab.harness.declare(lent(&format!("c{n}"), "{}"));
    }
    for n in 0..MANY {
        lab.applied(&format!("c{n}"), 1);
    }
    lab.verify();
    let mut lab = lab;
    lab.shutdown(LONG).unwrap();
    assert_eq!(workers.into_iter().map(|worker| worker.within("the end of a thread").unwrap()).sum::<usize>(), MANY);
}

#[test]
fn many_assignments_are_awaited_on_one_thread() {
    let lab = Lab::start();
    let waiting: Vec<_> =
        (0..50).map(|n| lab.handle.assignment(&[kind("lent")], &worker(&format!("w{n}")), LEASE)).collect();
    until("all waiting", || lab.stats().assignment_waiters == 50);
    let declare = |n| Command::Declare(Box::new(lent(&format!("c{n}"), "{}")));
    lab.handle.batch((0..50).map(declare).collect()).unwrap();
    let jobs = all(waiting);
    let verdicts = all(jobs.iter().map(|job| {
        let job = job.as_ref().unwrap();
        lab.handle.complete(job.attempt(), job.fingerprint(), built("x"))
    }));
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Ok(CompletionOutcome::Committed { .. }))));
    lab.verify();
}

#[test]
fn who_has_left_is_handed_nothing() {
    let lab = Lab::start();
    let none = lab.handle.next_assignment(&[kind("lent")], &worker("w"), LEASE, Duration::from_millis(5)).unwrap();
    assert!(none.is_none());
    let mut left = lab.handle.assignment(&[kind("lent")], &worker("left"), LEASE);
    poll_pending(&mut left, &Unpark::this());
    until("one that waits", || lab.stats().assignment_waiters == 1);
    drop(left);
    assert_eq!(lab.stats().assignment_waiters, 0);
    lab.harness.declare(lent("a", "{}"));
    assert_eq!(lab.view("a").condition, Condition::WaitingForWorker);
    assert_eq!(lab.count("task_started"), 0);

    // One that leaves while its job is on the way hands it back, uncharged and at once.
    let late = lab.handle.assignment(&[kind("lent")], &worker("late"), LEASE);
    lab.until_count("task_started", 1);
    drop(late);
    let job = next(&lab.handle, "w");
    assert_eq!((job.attempt().attempt, lab.view("a").failures), (2, 0));
    assert!(matches!(complete(&lab.handle, &job, "x"), CompletionOutcome::Committed { .. }));
    assert_eq!(lab.stats().leased, 0);
    lab.verify();
}

#[test]
fn who_leaves_before_the_attempt_is_durable_has_it_handed_back() {
    let (log, gate) = Gated::new();
    let reader = log.reader();
    let reconciler = Reconciler::on(Box::new(log), Arc::new(MemoryObjects::new())).start().unwrap();
    let handle = reconciler.handle();
    let left = handle.assignment(&[kind("lent")], &worker("left"), LEASE);
    until("one that waits", || handle.stats().unwrap().assignment_waiters == 1);
    gate.shut();
    let ticket = handle.submit(Command::Declare(Box::new(lent("a", "{}")))).unwrap();
    until("the frame being appended", || reader.frames(Seq::ZERO).count() == 2);
    drop(left);
    gate.open();
    ticket.within("an answer").unwrap();
    let job = next(&handle, "w");
    assert_eq!(job.attempt().attempt, 2);
    assert!(matches!(complete(&handle, &job, "x"), CompletionOutcome::Committed { .. }));
    assert_eq!(handle.stats().unwrap().leased, 0);
}

#[test]
fn what_cannot_be_lent_is_refused() {
    let lab = Lab::start();
    let ask = |kinds: &[&str], lease| {
        let kinds: Vec<Kind> = kinds.iter().map(|of| kind(of)).collect();
        match lab.handle.next_assignment(&kinds, &worker("w"), lease, LONG) {
            Err(CommandError::Refused(Rejection::Field(error))) => error.to_string(),
            answer => panic!("{answer:?}"),
        }
    };
    assert_eq!(
        ask(&["lent", "puppet"], LEASE),
        "kinds: must have no worker in the engine's own process, and puppet has one"
    );
    assert_eq!(ask(&[], LEASE), "kinds: must be 1 to 256, found 0");
    assert_eq!(ask(&["lent"], Duration::from_millis(1)), "lease: must be 10ms to 86400s, found 1ms");

    // Nobody reports for a worker of the engine's own.
    lab.declare("own", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(1);
    let own = lab.puppet.begun()[0].attempt;
    let refused = |answer: Result<(), CommandError>| {
        assert!(
            matches!(answer, Err(CommandError::Refused(Rejection::Field(ref e))) if e.field == "attempt"),
            "{answer:?}"
        )
    };
    refused(lab.handle.heartbeat(own).within("an answer").map(drop));
    refused(lab.handle.complete(own, lab.view("own").wanted.unwrap(), built("x")).within("an answer").map(drop));
    refused(lab.handle.fail(own, Failure::Permanent("x".into())).within("an answer").map(drop));
    refused(lab.handle.release(own).within("an answer").map(drop));
    assert_eq!(lab.handle.query(own).within("an answer"), Ok(AttemptState::Running { until: None }));
    lab.puppet.open("g");
    lab.applied("own", 1);
    lab.verify();
}

#[test]
fn case_47_waiting_for_a_lent_word_ends_when_it_is_committed_or_its_worker_was_lost_too_often() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    let wait = |generation| lab.handle.wait_applied(name("a"), Generation(generation), Duration::ZERO).unwrap();
    assert_eq!(wait(1), WaitOutcome::TimedOut);
    while lab.view("a").condition.name() != "parked" {
        let _ = next(&lab.handle, "w");
        lab.advance(LEASE);
        lab.advance(Duration::from_secs(31));
    }
    let parked = lab.handle.wait_applied(name("a"), Generation(1), LONG).unwrap();
    assert!(matches!(parked, WaitOutcome::Parked { .. }), "{parked:?}");
    lab.verify();
}

/// With the signal left out this fails, and does not hang.
#[test]
fn defect_51_a_stop_reaches_a_worker_of_the_same_process_in_every_way_in_which_it_is_told() {
    let lab = Lab::start();
    type Way = (&'static str, fn(&Lab));
    let ways: [Way; 3] = [
        ("superseded", |lab| assert!(lab.harness.declare(lent("superseded", r#"{"n":2}"#)).seq.is_some())),
        ("cancelled", |lab| assert!(lab.handle.cancel(name("cancelled"), None).is_ok())),
        ("dropped", |lab| assert!(lab.handle.drop_collection(name("dropped")).is_ok())),
    ];
    for (of, tell) in ways {
        lab.harness.declare(lent(of, "{}"));
        let job = next(&lab.handle, "w");
        let mut stopped = job.stopped();
        poll_pending(&mut stopped, &Unpark::this());
        assert!(!job.is_stopping(), "{of}");
        tell(&lab);
        block_on(stopped);
        assert!(job.is_stopping(), "{of}");
        lab.handle.release(job.attempt()).within("an answer").unwrap();
        // What is built in its place is another attempt's.
        if of == "superseded" {
            complete(&lab.handle, &next(&lab.handle, "w"), "new");
        }
    }
}

#[test]
fn who_hands_back_in_a_loop_gets_the_next_attempt_a_little_later_and_others_at_once() {
    let lab = Lab::start();
    lab.harness.declare(lent("a", "{}"));
    for _ in 0..101 {
        lab.handle.release(next(&lab.handle, "loops").attempt()).within("an answer").unwrap();
    }
    // It came first, and would be the first that is served.
    let waiting = lab.handle.assignment(&[kind("lent")], &worker("loops"), LONG);
    let of_another = next(&lab.handle, "another");
    lab.handle.release(of_another.attempt()).within("an answer").unwrap();
    lab.harness.advance(Duration::from_millis(10));
    let again = waiting.wait_timeout(LONG).unwrap().expect("an attempt once it has rested");
    assert!(matches!(complete(&lab.handle, &again, "there"), CompletionOutcome::Committed { .. }));
    lab.verify();
}
