//! More is asked than can be done at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, MOST_BYTES_IN_BATCH, MOST_IN_BATCH, SubmitError};

use crate::support::*;

#[test]
fn case_48_completions_are_heard_through_a_flood_of_declarations() {
    let lab = Lab::with(|builder| builder.queue(64));
    let (stop, full, taken) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let flooders: Vec<_> = (0..4)
        .map(|number| {
            let (handle, stop, full, taken) = (lab.handle.clone(), stop.clone(), full.clone(), taken.clone());
            thread::spawn(move || {
                let mut last = None;
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut wanted = declaration(&format!("flood{number}"), &format!(r#"{{"n":{round}}}"#));
                    wanted.kind = Some(kind("nobody"));
                    match handle.try_submit(Command::Declare(Box::new(wanted))) {
                        Ok(ticket) => {
                            taken.fetch_add(1, Ordering::Relaxed);
                            last = Some(ticket);
                        }
                        Err(SubmitError::Full) => {
                            full.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                last.map(|ticket| ticket.within("an answer").unwrap())
            })
        })
        .collect();
    for round in 0..10 {
        let of = format!("c{round}");
        lab.declare(&of, "{}");
        lab.applied(&of, 1);
    }
    until("a full queue", || full.load(Ordering::Relaxed) > 0);
    stop.store(true, Ordering::Relaxed);
    for flooder in flooders {
        // One of them may never have found room: the queue is fair to nobody.
        flooder.within("the end of a thread").unwrap();
    }
    let declared = lab.count("spec_changed") + lab.handle.list().unwrap().len() - 10;
    assert_eq!(declared as u64, taken.load(Ordering::Relaxed), "every ticket that was given out is in the log");
    lab.verify();
}

#[test]
fn case_48_a_full_queue_answers_full_and_takes_more_later() {
    let lab = Lab::with(|builder| builder.queue(4));
    let handle = lab.handle.clone();
    let held = thread::spawn(move || handle.declare(declaration("held", r#"{"check":"reducer"}"#)).unwrap());
    lab.puppet.until_checks(1);
    let refresh = || lab.handle.try_submit(Command::Refresh { name: name("held"), force: false, seen: None });
    let mut tickets = Vec::new();
    until("a full queue", || match refresh() {
        Ok(ticket) => {
            tickets.push(ticket);
            false
        }
        Err(error) => error == SubmitError::Full,
    });
    // Even waiting for a word keeps to its time while the queue is full.
    let waited = lab.handle.wait_applied(name("held"), Generation(1), std::time::Duration::from_millis(1));
    assert_eq!(waited, Ok(lastword::engine::WaitOutcome::TimedOut));
    lab.puppet.open("reducer");
    held.within("the end of a thread").unwrap();
    for ticket in tickets {
        let answer = ticket.within("an answer");
        assert!(matches!(answer, Ok(_) | Err(CommandError::Refused(Rejection::UnknownCollection(_)))), "{answer:?}");
    }
    assert!(refresh().unwrap().within("an answer").is_ok());
}

#[test]
fn a_batch_that_no_frame_could_hold_is_refused_and_harms_nothing() {
    let lab = Lab::start();
    let long = |key: &str| spec(&format!(r#"{{"{key}":"{}"}}"#, "x".repeat(60_000)));
    let declare = |count: usize, spec: &Spec| -> Vec<Command> {
        let declare = |n| Declaration { spec: Some(spec.clone()), ..declaration(&format!("c{n}"), "{}") };
        (0..count).map(|n| Command::Declare(Box::new(declare(n)))).collect()
    };
    let one = "there".len() + long("one").as_str().len();
    // As a frame it would have more than the 64 MiB that a frame may have.
    assert_eq!(lab.handle.batch(declare(1200, &long("one"))), Err(CommandError::BatchTooLarge { bytes: 1200 * one }));

    let many = vec![Command::Refresh { name: name("a"), force: false, seen: None }; MOST_IN_BATCH + 1];
    assert_eq!(lab.handle.batch(many), Err(CommandError::BatchTooLong { commands: MOST_IN_BATCH + 1 }));

    // As much as is allowed fits.
    assert!(lab.handle.batch(declare(MOST_BYTES_IN_BATCH / one, &long("one"))).unwrap().iter().all(Result::is_ok));
    lab.applied("c0", 1);
}

#[test]
fn settings_that_would_take_the_machine_are_refused_by_name() {
    let refused = |settings: fn(lastword::engine::Builder) -> lastword::engine::Builder| {
        let log = Box::new(lastword::log::MemoryLog::new());
        let builder = lastword::engine::Reconciler::on(log, Arc::new(lastword::objects::MemoryObjects::new()));
        settings(builder).start().map(drop).unwrap_err().to_string()
    };
    assert!(refused(|builder| builder.workers(0)).starts_with("workers: must be 1 to 1024"));
    assert!(refused(|builder| builder.observer_threads(5000)).starts_with("observer_threads: must be 1 to 1024"));
    assert!(refused(|builder| builder.queue(usize::MAX)).starts_with("queue: must be 1 to "));
    assert!(refused(|builder| builder.queue(0)).starts_with("queue: must be 1 to "));
    assert!(refused(|builder| builder.software(&"x".repeat(1 << 21))).starts_with("software: must have at most"));
    assert!(refused(|builder| builder.observe_interval(std::time::Duration::ZERO)).starts_with("observe_interval: "));
}
