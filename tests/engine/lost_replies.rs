//! The log fails: what was asked is unknown or not accepted, never silently lost, and opening again tells.

use std::sync::Arc;

use lastword::core::vocabulary::*;
use lastword::engine::{CommandError, EngineError, Handle, SubmitError, WatchError, WatchItem};
use lastword::log::Keep;
use lastword::objects::MemoryObjects;
use lastword::replay::{self, ReplayError};

use crate::support::*;

#[test]
fn case_14_a_lost_reply_is_unknown_and_asking_again_gives_the_same_answer() {
    for keep in [Keep::All, Keep::None] {
        let mut lab = Lab::start();
        lab.disk.fail_next_barrier(keep);
        let lost = lab.handle.declare(declaration("a", "{}")).unwrap_err();
        assert!(matches!(lost, CommandError::Unknown(_)), "{lost:?}");
        assert!(lost.to_string().contains("barrier"), "{lost}");
        assert!(lab.puppet.begun().is_empty(), "nothing leaves before it is durable");

        let ended = lab.shutdown(LONG).unwrap_err();
        assert!(matches!(ended, EngineError::Reducer(_)), "{ended}");
        let after = lab.handle.declare(declaration("a", "{}")).unwrap_err();
        assert!(matches!(after, CommandError::NotAccepted(ref why) if why.contains("barrier")), "{after:?}");

        lab.disk.crash(keep);
        let lab = lab.restart();
        let again = lab.handle.declare(declaration("a", "{}")).unwrap();
        assert_eq!((again.generation, again.seq.is_none()), (Generation(1), keep == Keep::All));
        lab.applied("a", 1);
        assert_eq!(lab.count("collection_declared"), 1);
        lab.verify();
    }
}

#[test]
fn a_poisoned_log_releases_nothing_and_ends_the_engine() {
    for keep in [Keep::All, Keep::None] {
        let mut lab = Lab::start();
        lab.declare("slow", r#"{"do":"wait","gate":"g"}"#);
        lab.puppet.until_begun(1);
        let mut watch = lab.handle.watch(lab.handle.stats().unwrap().durable.next());
        let waiter = lab.handle.clone();
        let waiter = std::thread::spawn(move || waiter.wait_applied(name("slow"), Generation(1), LONG));
        until("a waiter", || lab.handle.stats().unwrap().waiters == 1);

        lab.disk.fail_next_append(keep);
        assert!(matches!(lab.handle.declare(declaration("a", "{}")), Err(CommandError::Unknown(_))));
        // Whatever is asked from here on is answered, and nothing that was asked before waits for ever.
        assert!(matches!(waiter.within("the end of a thread").unwrap(), Err(CommandError::NotAccepted(_))));
        assert!(matches!(lab.handle.status(name("slow")), Err(CommandError::NotAccepted(_))));
        assert!(matches!(lab.handle.list(), Err(CommandError::NotAccepted(_))));
        assert!(matches!(lab.handle.batch(Vec::new()), Err(CommandError::NotAccepted(_))));
        let refused =
            lab.handle.try_submit(Command::Refresh { name: name("slow"), force: false, seen: None }).unwrap_err();
        assert!(matches!(refused, SubmitError::Command(CommandError::NotAccepted(_))), "{refused:?}");
        assert!(matches!(watch.next_within(LONG), Err(WatchError::Closed)), "nothing of the lost frame is shown");
        assert_eq!(lab.puppet.begun().len(), 1, "nothing of the lost frame runs");
        lab.puppet.until_returned(1);
        assert!(lab.shutdown(LONG).is_err());

        let lab = lab.restart();
        assert_eq!(lab.handle.status(name("a")).unwrap().is_some(), keep == Keep::All);
        lab.puppet.open("*");
        lab.applied("slow", 1);
        lab.verify();
    }
}

#[test]
fn a_log_that_does_not_add_up_is_not_opened() {
    let lab = Lab::start();
    lab.declare("a", "{}");
    lab.applied("a", 1);
    lab.disk.damage(1, |bytes| bytes[100] ^= 1);
    assert!(matches!(replay::verify(&*lab.reader, None), Err(ReplayError::Log(_))));
    let objects = Arc::<MemoryObjects>::clone(lab.objects());
    assert!(lastword::engine::Reconciler::on(Box::new(lab.disk.open()), objects).start().is_err());
}

#[test]
fn case_49_a_batch_is_one_frame_with_a_verdict_for_each_command() {
    let lab = Lab::start();
    let frames = || lab.reader.frames(Seq::ZERO).count();
    let before = frames();
    let verdicts = lab
        .handle
        .batch(vec![
            Command::Declare(Box::new(declaration("a", r#"{"do":"wait","gate":"g"}"#))),
            Command::Drop { name: name("nobody") },
            Command::Declare(Box::new(declaration("b", r#"{"do":"wait","gate":"g"}"#))),
            Command::Declare(Box::new(declaration("c", r#"{"check":"refuse"}"#))),
            Command::Pause { name: name("a") },
        ])
        .unwrap();
    assert_eq!(frames(), before + 1);
    assert_eq!(verdicts[0].as_ref().unwrap().generation, Generation(1));
    assert_eq!(verdicts[1], Err(Rejection::UnknownCollection(name("nobody"))));
    assert!(verdicts[2].is_ok());
    assert!(matches!(&verdicts[3], Err(Rejection::Field(error)) if error.field == "spec.check"));
    assert!(verdicts[4].is_ok());
    lab.puppet.until_begun(1);
    assert_eq!(lab.puppet.begun()[0].name, "b", "the task of the batch started in its frame, the paused one did not");
    assert_eq!(lab.handle.batch(Vec::new()), Ok(Vec::new()));
}

#[test]
fn case_49_a_ticket_ends_as_done_refused_not_accepted_or_unknown() {
    let mut lab = Lab::start();
    let declare = |of| Command::Declare(Box::new(declaration(of, r#"{"do":"wait","gate":"g"}"#)));
    let done = lab.handle.submit(declare("a")).unwrap().wait_timeout(LONG).unwrap().unwrap();
    assert_eq!(done.generation, Generation(1));

    let refused = lab.handle.submit(Command::Drop { name: name("nobody") }).unwrap().within("an answer");
    assert_eq!(refused, Err(CommandError::Refused(Rejection::UnknownCollection(name("nobody")))));

    lab.disk.fail_next_barrier(Keep::None);
    let mut ticket = lab.handle.submit(declare("b")).unwrap();
    let unknown = loop {
        if let Some(answer) = ticket.try_wait() {
            break answer;
        }
    };
    assert!(matches!(unknown, Err(CommandError::Unknown(_))), "{unknown:?}");
    let _ = lab.shutdown(LONG);

    let mut lab = lab.restart();
    lab.shutdown(LONG).unwrap();
    assert!(matches!(lab.handle.submit(declare("c")), Err(CommandError::NotAccepted(_))));
}

#[test]
fn case_49_what_is_still_queued_at_the_end_was_not_accepted() {
    let mut lab = Lab::start();
    let held = {
        let handle = lab.handle.clone();
        std::thread::spawn(move || handle.declare(declaration("held", r#"{"check":"reducer"}"#)))
    };
    lab.puppet.until_checks(1);
    let handle = lab.handle.clone();
    let queued = || format!("{handle:?}");
    let shutdown = {
        let reconciler = lab.release().unwrap();
        std::thread::spawn(move || reconciler.shutdown(LONG))
    };
    until("the shutdown being queued", || queued().contains("queued: 1"));
    let tickets: Vec<_> = (0..50).map(|_| lab.handle.submit(Command::Pause { name: name("held") }).unwrap()).collect();
    lab.puppet.open("reducer");
    held.within("the end of a thread").unwrap().unwrap();
    for ticket in tickets {
        let answer = ticket.within("an answer");
        assert!(matches!(answer, Err(CommandError::NotAccepted(_))), "{answer:?}");
    }
    shutdown.within("the end of a thread").unwrap().unwrap();
}

#[test]
fn case_49_who_asks_while_the_engine_comes_to_its_end_is_answered() {
    for _ in 0..30 {
        let mut lab = Lab::start();
        let ask = |handle: Handle| {
            let end = std::iter::repeat_with(|| handle.status(name("a"))).find_map(Result::err);
            assert!(matches!(end, Some(CommandError::NotAccepted(_))), "{end:?}");
        };
        let asking: Vec<_> = (0..8).map(|_| lab.handle.clone()).map(|h| std::thread::spawn(move || ask(h))).collect();
        lab.shutdown(LONG).unwrap();
        until("an answer for everybody", || asking.iter().all(|thread| thread.is_finished()));
        asking.into_iter().for_each(|thread| thread.within("the end of a thread").unwrap());
    }
}

#[test]
fn a_watch_shows_nothing_of_a_frame_whose_barrier_failed_and_all_of_it_after_reopening() {
    let lab = Lab::start();
    let mut watch = lab.handle.watch(Seq(2));
    lab.disk.fail_next_barrier(Keep::All);
    assert!(lab.handle.declare(declaration("a", "{}")).is_err());
    assert!(matches!(watch.next_within(LONG), Err(WatchError::Closed)));
    let lab = lab.restart();
    let mut watch = lab.handle.watch(Seq(2));
    assert!(matches!(watch.next_within(LONG), Ok(WatchItem::Lagged { .. })));
    let Ok(WatchItem::Event(event)) = watch.next_within(LONG) else { panic!("no event") };
    assert_eq!((event.seq, event.event.type_name()), (Seq(2), "collection_declared"));
}

/// A channel keeps what is in it for as long as it has a sender, and every handle is one.
#[test]
fn case_49_what_is_still_queued_when_the_engine_ends_is_answered() {
    for _ in 0..20 {
        let mut lab = Lab::start();
        let handle = lab.handle.clone();
        let (begun, flowing) = std::sync::mpsc::channel();
        let flood = std::thread::spawn(move || {
            let mut tickets = Vec::new();
            while let Ok(ticket) = handle.submit(Command::Pause { name: name("a") }) {
                tickets.push(ticket);
                if tickets.len() == 5_000 {
                    begun.send(()).unwrap();
                }
            }
            // The handle lives on while they are waited for.
            for (n, mut ticket) in tickets.into_iter().enumerate() {
                let answer = ticket.wait_timeout(LONG).unwrap_or_else(|| panic!("response {n} waits for ever"));
                let refused = matches!(answer, Err(CommandError::Refused(_) | CommandError::NotAccepted(_)));
                assert!(refused, "{answer:?}");
            }
            drop(handle);
        });
        flowing.within("a message");
        lab.shutdown(LONG).unwrap();
        flood.within("the end of a thread").unwrap();
    }
}
