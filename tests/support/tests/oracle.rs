//! The oracle can fail: a log with every type of event holds, and one change of it breaks the invariant that it is about.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests report like tests")]

use std::sync::Arc;

use lastword::core::State;
use lastword::core::vocabulary::{
    Admission, CollectionId, Epoch, Event, Fingerprint, Generation, Limits, Recorded, RejectReason, Seq, Timestamp,
};
use lastword::log::{Log, MemoryDisk};
use lastword::objects::MemoryObjects;
use lastword::replay;
use test_support::oracle::{Oracle, Verdict};
use test_support::story;

const OTHER: Fingerprint = Fingerprint([7; 32]);

fn told() -> Vec<Recorded> {
    let (disk, objects) = (MemoryDisk::new(), MemoryObjects::new());
    story::tell(Box::new(disk.open()), &objects);
    replay::events(disk.open().reader().as_ref(), Seq(1)).map(Result::unwrap).collect()
}

fn see(events: &[Recorded]) -> (Oracle, Verdict) {
    let mut oracle = Oracle::default();
    let verdict = events.iter().try_for_each(|recorded| oracle.see(recorded));
    (oracle, verdict)
}

/// The invariant that the story breaks once it was changed, and what was found.
fn broken(change: impl FnOnce(&mut Vec<Recorded>)) -> (&'static str, String) {
    let mut events = told();
    change(&mut events);
    let broken = see(&events).1.expect_err("it is changed");
    (broken.invariant, broken.found.into_owned())
}

/// The first event like this.
fn first(events: &[Recorded], is_it: impl Fn(&Event) -> bool) -> usize {
    events.iter().position(|recorded| is_it(&recorded.event)).unwrap()
}

/// Puts something that means nothing into the place of an event.
fn silence(events: &mut [Recorded], at: usize) {
    events[at].event = Event::ObservationFailed { collection: CollectionId(Seq(4)), cause: "silence".into() };
}

fn breaks(invariant: &str, found: &str, change: impl FnOnce(&mut Vec<Recorded>)) {
    let broken = broken(change);
    assert!(broken.0 == invariant && broken.1.contains(found), "{broken:?} instead of {invariant}: {found}");
}

#[test]
fn a_log_with_every_type_of_event_holds() {
    let events = told();
    let (mut oracle, mut state) = (Oracle::default(), State::new());
    for recorded in &events {
        oracle.see(recorded).unwrap_or_else(|broken| panic!("{broken}, at {recorded:?}"));
        state.fold(recorded).unwrap();
        oracle
            .hold_commit_against(recorded.event.collection(recorded.seq).unwrap_or(CollectionId(Seq(1))), &state)
            .unwrap();
    }
    oracle.hold_against(&state).unwrap();
}

#[test]
fn an_event_that_is_missing_is_noticed() {
    breaks("Recorded", "missing", |events| drop(events.remove(9)));
}

#[test]
fn time_that_goes_back_is_noticed() {
    breaks("Recorded", "time", |events| events[9].at = Timestamp(1));
}

#[test]
fn a_second_task_is_noticed() {
    breaks("OneLive", "", |events| {
        let at = first(events, |event| matches!(event, Event::TaskAborted { .. }));
        silence(events, at);
    });
}

#[test]
fn an_attempt_that_never_ends_is_noticed() {
    breaks("OneLive", "an attempt beside another one", |events| {
        let at = first(events, |event| matches!(event, Event::AttemptEnded { .. }));
        silence(events, at);
    });
}

#[test]
fn an_attempt_with_the_number_of_another_is_noticed() {
    breaks("OneLive", "the number of another one", |events| {
        let at = first(events, |event| matches!(event, Event::TaskStarted { attempt: 2, .. }));
        let Event::TaskStarted { attempt, .. } = &mut events[at].event else { panic!() };
        *attempt = 1;
    });
}

#[test]
fn a_task_for_something_else_is_noticed() {
    breaks("LastWord", "a task for what is not wanted", |events| {
        let at = first(events, |event| matches!(event, Event::TaskCreated { .. }));
        let Event::TaskCreated { fingerprint, .. } = &mut events[at].event else { panic!() };
        *fingerprint = OTHER;
    });
}

#[test]
fn a_commit_of_something_else_is_noticed() {
    breaks("LastWord", "the commit of what is not wanted", |events| {
        let at = first(events, |event| matches!(event, Event::TaskCompleted { .. }));
        let Event::TaskCompleted { fingerprint, .. } = &mut events[at].event else { panic!() };
        *fingerprint = OTHER;
    });
}

#[test]
fn a_rejection_for_another_reason_is_noticed() {
    breaks("LastWord", "another reason", |events| {
        let at = first(events, |event| matches!(event, Event::CompletionRejected { .. }));
        let Event::CompletionRejected { reason, .. } = &mut events[at].event else { panic!() };
        *reason = RejectReason::Duplicate;
    });
}

#[test]
fn a_confirmation_of_something_else_is_noticed() {
    breaks("LastWord", "something else is confirmed", |events| {
        let at = first(events, |event| matches!(event, Event::HoldConfirmed { .. }));
        let Event::HoldConfirmed { fingerprint, .. } = &mut events[at].event else { panic!() };
        *fingerprint = OTHER;
    });
}

#[test]
fn a_loss_that_is_not_held_is_noticed() {
    breaks("LatestNotLost", "a loss", |events| {
        let at = first(events, |event| matches!(event, Event::CollectionHeld { .. }));
        let Event::CollectionHeld { collection, observed, delta, fingerprint, .. } = events[at].event.clone() else {
            panic!()
        };
        let admission = Admission::Admitted { wanted: Some(fingerprint), generation: Generation(9) };
        events[at].event = Event::SourceObserved { collection, observed: Arc::clone(&observed), delta, admission };
    });
}

#[test]
fn a_change_without_a_generation_is_noticed() {
    breaks("LatestNotLost", "generation", |events| {
        let at = first(events, |event| matches!(event, Event::HoldConfirmed { .. }));
        let Event::HoldConfirmed { generation, .. } = &mut events[at].event else { panic!() };
        *generation = Generation(1);
    });
}

#[test]
fn an_attempt_during_a_pause_is_noticed() {
    breaks("NothingWaitsSilently", "pause", |events| {
        let at = first(events, |event| matches!(event, Event::TaskStarted { .. }));
        let Event::TaskStarted { collection, .. } = events[at].event else { panic!() };
        let paused = Recorded { event: Event::CollectionPaused { collection }, ..events[at].clone() };
        events.insert(at, paused);
        renumber_last(events, at);
    });
}

/// What was put in takes the number of the event behind it, which takes the next one and is the last.
fn renumber_last(events: &mut Vec<Recorded>, at: usize) {
    events.truncate(at + 2);
    events[at + 1].seq = events[at].seq.next();
}

#[test]
fn more_attempts_than_the_limit_allows_are_noticed() {
    breaks("NothingWaitsSilently", "limits", |events| {
        let at = first(events, |event| matches!(event, Event::TaskStarted { .. }));
        let limits = Limits { total: Some(0), ..Limits::default() };
        let limited = Recorded { event: Event::LimitsChanged { limits }, ..events[at].clone() };
        events.insert(at, limited);
        renumber_last(events, at);
    });
}

#[test]
fn a_task_that_was_ready_before_it_was_there_is_noticed() {
    breaks("NothingWaitsSilently", "jumps the queue", |events| {
        let at = first(events, |event| matches!(event, Event::TaskCreated { .. }));
        let Event::TaskCreated { not_before, .. } = &mut events[at].event else { panic!() };
        *not_before = Timestamp(1);
    });
}

#[test]
fn a_token_or_an_epoch_that_is_given_out_twice_is_noticed() {
    breaks("EpochFenced", "token", |events| {
        let at = events.iter().rposition(|recorded| matches!(recorded.event, Event::TaskStarted { .. })).unwrap();
        events[at].epoch = Epoch(1);
    });
    breaks("EpochFenced", "epoch", |events| {
        let last = events.last().unwrap();
        let opened = Event::WriterOpened { software: "again".into() };
        events.push(Recorded { seq: last.seq.next(), event: opened, ..last.clone() });
    });
}

/// A backup gives out nothing new, and what the lost log gave out stays given out.
#[test]
fn a_backup_is_gone_through_again_and_what_comes_after_it_is_newer() {
    let events = told();
    let (mut oracle, verdict) = see(&events);
    verdict.unwrap();
    let highest = oracle.highest_token();
    oracle.forget_all();
    let (backup, _) = events.split_at(first(&events, |event| matches!(event, Event::TaskCompleted { .. })));
    backup.iter().try_for_each(|recorded| oracle.see_again(recorded)).unwrap();
    assert_eq!((oracle.last(), oracle.highest_token()), (backup.last().unwrap().seq, highest));
    let last = backup.last().unwrap();
    let opened = Event::WriterOpened { software: "after".into() };
    let opened = Recorded { seq: last.seq.next(), event: opened, ..last.clone() };
    assert_eq!(oracle.clone().see(&opened).unwrap_err().invariant, "EpochFenced");
    oracle.see(&Recorded { epoch: Epoch(u64::MAX), ..opened }).unwrap();
}

#[test]
fn a_publication_out_of_order_is_noticed() {
    breaks("PublishedInOrder", "", |events| {
        let at = first(events, |event| matches!(event, Event::Published { .. }));
        let Event::Published { commit, .. } = &mut events[at].event else { panic!() };
        *commit = Seq(commit.0 - 1);
    });
}

#[test]
fn a_state_without_the_last_commit_is_noticed() {
    let events = told();
    let at = first(&events, |event| matches!(event, Event::TaskCompleted { .. }));
    let (oracle, verdict) = see(&events[..=at]);
    verdict.unwrap();
    let mut state = State::new();
    events[..at].iter().for_each(|recorded| state.fold(recorded).unwrap());
    let id = events[at].event.collection(events[at].seq).unwrap();
    assert_eq!(oracle.hold_commit_against(id, &state).unwrap_err().invariant, "OneCommit");
}
