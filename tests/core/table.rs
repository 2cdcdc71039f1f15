//! Every event against every status: which may follow is pinned here, by name.

use lastword::core::State;
use lastword::core::vocabulary::{
    AbortReason, Admission, AttemptRef, Built, Coalesce, CollectionId, Content, Duties, EndReason, Event, FailReason,
    FailureClass, Generation, HoldCause, Inputs, Kind, ParkCause, Policy, Recorded, RefreshReason, RejectReason,
    Source, Spec, Stopping, Token, WorkerName,
};

use super::world::{World, at_once, name, observed};

const STATUSES: [&str; 5] = ["idle", "waiting", "running", "parked", "gone"];

/// Which of [`STATUSES`] an event may follow, in that order.
const LEGAL: [(&str, &str); 25] = [
    ("writer_opened", "yyyyy"),
    ("data_loss_accepted", "yyyyy"),
    ("collection_declared", "yyyyy"),
    ("source_changed", "yyyy-"),
    ("spec_changed", "yyyy-"),
    ("policy_changed", "yyyy-"),
    ("source_observed settling", "yyyy-"),
    ("source_observed admitted", "yyyy-"),
    ("observation_failed", "yyyy-"),
    ("collection_held", "yyyy-"),
    ("hold_confirmed", "-----"),
    ("collection_dropped", "y--y-"),
    ("collection_paused", "yyyy-"),
    ("collection_resumed", "yyyy-"),
    ("refresh_requested", "yyyy-"),
    ("task_created", "y----"),
    ("task_started", "-y---"),
    ("task_aborted", "-y---"),
    ("task_aborted stopping", "--y--"),
    ("task_completed", "--y--"),
    ("attempt_failed", "--y--"),
    ("attempt_ended", "--y--"),
    ("task_woken", "-y---"),
    ("task_parked", "-y---"),
    ("completion_rejected", "yyyyy"),
];

/// A world whose collection has this status, with version 1 wanted.
fn world(status: &str) -> (World, AttemptRef) {
    let (mut world, attempt) = World::started(Policy { coalesce: Coalesce::NONE, ..Policy::default() });
    match status {
        "idle" => drop(world.complete(attempt)),
        "waiting" => drop(world.stopped(attempt)),
        "running" => {}
        "parked" => drop(world.fail(attempt, FailureClass::Permanent)),
        "gone" => {
            world.drop_it();
            world.stopped(attempt);
        }
        other => panic!("{other} is no status"),
    }
    (world, attempt)
}

/// Every event, as it would have to be after that to be true of the collection.
fn event(label: &str, attempt: AttemptRef, fingerprint: lastword::core::vocabulary::Fingerprint) -> Event {
    let AttemptRef { collection, task, attempt: number, token } = attempt;
    let number_next = number + 1;
    let (source, spec) = (Source::new("s1").unwrap(), Spec::default());
    let worker = WorkerName::new("w1").unwrap();
    let inputs = |spec: &Spec, version| {
        let content = Content::Observed(observed(version).into());
        Inputs { source: source.clone(), spec: spec.clone(), content }.fingerprint().unwrap()
    };
    let generation = Generation(2);
    let other = Spec::parse(r#"{"a":1}"#).unwrap();
    let at = super::world::World::unopened().now;
    match label {
        "writer_opened" => Event::WriterOpened { software: "t".into() },
        "data_loss_accepted" => Event::DataLossAccepted { last: collection.0, found: "nothing".into() },
        "collection_declared" => Event::CollectionDeclared {
            name: name("b"),
            kind: Kind::new("k").unwrap(),
            source,
            spec,
            versioned: true,
            policy: at_once().into(),
            revision: None,
            wanted: None,
        },
        "source_changed" => {
            let admission = Admission::Admitted { wanted: None, generation };
            Event::SourceChanged { collection, source: Source::new("s2").unwrap(), admission }
        }
        "spec_changed" => {
            let admission = Admission::Admitted { wanted: Some(inputs(&other, 1)), generation };
            Event::SpecChanged { collection, spec: other, admission }
        }
        "policy_changed" => {
            Event::PolicyChanged { collection, policy: Policy::default().into(), revision: None, resync_at: None }
        }
        "source_observed settling" => {
            let admission = Admission::Settling { until: at };
            Event::SourceObserved { collection, observed: observed(2).into(), delta: None, admission }
        }
        "source_observed admitted" => {
            let admission = Admission::Admitted { wanted: Some(inputs(&spec, 2)), generation };
            Event::SourceObserved { collection, observed: observed(2).into(), delta: None, admission }
        }
        "observation_failed" => Event::ObservationFailed { collection, cause: "gone".into() },
        "collection_held" => {
            let fingerprint = inputs(&spec, 0);
            let (observed, cause) = (observed(0), HoldCause::Empty);
            Event::CollectionHeld { collection, observed: observed.into(), delta: None, cause, fingerprint }
        }
        "hold_confirmed" => Event::HoldConfirmed { collection, fingerprint, generation },
        "collection_dropped" => Event::CollectionDropped { collection },
        "collection_paused" => Event::CollectionPaused { collection },
        "collection_resumed" => Event::CollectionResumed { collection },
        "refresh_requested" => {
            Event::RefreshRequested { collection, force: false, reason: RefreshReason::Asked, resync_at: None }
        }
        "task_created" => {
            let (generation, not_before, rebuild) = (Generation(1), at, false);
            Event::TaskCreated { collection, generation, fingerprint, not_before, rebuild }
        }
        "task_started" => Event::TaskStarted {
            collection,
            task,
            attempt: number_next,
            worker,
            deadline: None,
            lease: None,
            duties: Duties::default(),
        },
        "task_aborted" => Event::TaskAborted { collection, task, reason: AbortReason::Cancelled, stopping: None },
        "task_aborted stopping" => {
            let stopping = Some(Stopping { token, grace_until: at });
            Event::TaskAborted { collection, task, reason: AbortReason::Superseded, stopping }
        }
        "task_completed" => {
            let result = Built::default();
            Event::TaskCompleted {
                collection,
                task,
                attempt: number,
                token,
                fingerprint,
                result: result.into(),
                resync_at: None,
            }
        }
        "attempt_failed" => Event::AttemptFailed {
            collection,
            task,
            attempt: number,
            token,
            reason: FailReason::Failed,
            message: "no luck".into(),
            retry_at: at,
            failures: 1,
            grace_until: None,
        },
        "attempt_ended" => {
            Event::AttemptEnded { collection, task, attempt: number, token, reason: EndReason::Acknowledged }
        }
        "task_woken" => Event::TaskWoken { collection, task, not_before: at },
        "task_parked" => Event::TaskParked { collection, task, cause: ParkCause::OutOfAttempts },
        "completion_rejected" => Event::CompletionRejected {
            collection,
            task,
            attempt: number,
            token,
            reason: RejectReason::Stale,
            fingerprint,
            wanted: None,
        },
        other => panic!("{other} is no event"),
    }
}

/// Whether `event` may follow.
fn folds(world: &World, event: Event) -> bool {
    let mut state = world.state.clone();
    let epoch = match event {
        Event::WriterOpened { .. } => lastword::core::vocabulary::Epoch(state.epoch().0 + 1),
        _ => state.epoch(),
    };
    state.fold(&Recorded { seq: state.last().next(), at: world.now, epoch, by: None, event }).is_ok()
}

#[test]
fn every_event_after_every_status() {
    let mut pairs = (0, 0);
    for (label, expected) in LEGAL {
        let mut found = String::new();
        for status in STATUSES {
            let (world, attempt) = world(status);
            let event = event(label, attempt, world.fingerprint_of(attempt));
            assert_eq!(Some(event.type_name()), label.split(' ').next());
            // A second task of what is applied is what a forced refresh will be; the table allows it.
            found.push(if folds(&world, event) { 'y' } else { '-' });
        }
        assert_eq!(found, expected, "{label} after {STATUSES:?}");
        pairs.0 += expected.matches('y').count();
        pairs.1 += expected.matches('-').count();
    }
    assert_eq!(pairs, (71, 54), "legal and illegal");
}

#[test]
fn a_hold_can_only_be_confirmed_if_it_is_held() {
    let (mut world, attempt) = world("idle");
    world.observe(0);
    let (_, held) = world.view().held().unwrap();
    let generation = Generation(2);
    let confirmed = |fingerprint| Event::HoldConfirmed { collection: attempt.collection, fingerprint, generation };
    assert!(folds(&world, confirmed(held)));
    assert!(!folds(&world, confirmed(world.fingerprint_of(attempt))));
}

#[test]
fn an_event_that_says_something_else_than_it_carries_cannot_follow() {
    let (world, attempt) = world("running");
    let wrong = lastword::core::vocabulary::Fingerprint([1; 32]);
    for label in ["source_observed admitted", "spec_changed", "collection_held", "task_completed"] {
        let mut event = event(label, attempt, wrong);
        match &mut event {
            Event::CollectionHeld { fingerprint, .. } | Event::TaskCompleted { fingerprint, .. } => {
                *fingerprint = wrong
            }
            Event::SpecChanged { admission: Admission::Admitted { wanted, .. }, .. }
            | Event::SourceObserved { admission: Admission::Admitted { wanted, .. }, .. } => *wanted = Some(wrong),
            other => panic!("{other:?} carries no fingerprint"),
        }
        assert!(!folds(&world, event), "{label}");
    }
}

#[test]
fn the_envelope_of_an_event_is_checked() {
    let (world, attempt) = world("running");
    let fine = Recorded {
        seq: world.state.last().next(),
        at: world.now,
        epoch: world.state.epoch(),
        by: None,
        event: Event::CollectionPaused { collection: attempt.collection },
    };
    let folds = |recorded: &Recorded| world.state.clone().fold(recorded);
    assert_eq!(folds(&fine), Ok(()));
    let mut gap = fine.clone();
    gap.seq = gap.seq.next();
    assert_eq!(
        folds(&gap).unwrap_err().to_string(),
        format!("event {} (collection_paused) cannot follow: its sequence number is not the next", gap.seq)
    );
    let mut past = fine.clone();
    past.at.0 -= 1;
    let mut deposed = fine.clone();
    deposed.epoch.0 -= 1;
    let mut reopened = fine;
    reopened.event = Event::WriterOpened { software: "t".into() };
    for bad in [past, deposed, reopened] {
        assert!(folds(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_attempt_ends_under_its_own_name_only() {
    let (mut world, attempt) = world("running");
    world.observe(2);
    let collection = CollectionId(lastword::core::vocabulary::Seq(1));
    for wrong in [AttemptRef { collection, ..attempt }, AttemptRef { attempt: 9, ..attempt }] {
        assert!(!folds(&world, event("attempt_ended", wrong, world.fingerprint_of(attempt))), "{wrong:?}");
    }
    assert!(folds(&world, event("attempt_ended", attempt, world.fingerprint_of(attempt))));
}

#[test]
fn a_task_is_of_the_generation_that_is_wanted_and_starts_when_nothing_drains() {
    let (mut world, attempt) = world("idle");
    world.observe(2);
    let wanted = world.collection().wanted_fingerprint().unwrap();
    let (created, earlier) = world.record.split_last().unwrap();
    let mut before = State::new();
    earlier.iter().for_each(|recorded| before.fold(recorded).unwrap());
    let task = |fingerprint, generation| {
        let (collection, not_before, rebuild) = (attempt.collection, world.now, false);
        let event = Event::TaskCreated { collection, generation, fingerprint, not_before, rebuild };
        before.clone().fold(&Recorded { event, ..created.clone() })
    };
    assert_eq!(task(wanted, Generation(2)), Ok(()));
    assert!(task(wanted, Generation(1)).is_err());
    assert!(task(world.fingerprint_of(attempt), Generation(2)).is_err());

    let (mut world, old) = self::world("running");
    world.observe(2);
    let task = world.collection().status.live().unwrap().id;
    let start = || event("task_started", AttemptRef { task, attempt: 0, ..old }, world.fingerprint_of(old));
    assert!(!folds(&world, start()), "the old attempt drains");
    let start = start();
    world.stopped(old);
    assert!(folds(&world, start));
}

#[test]
fn nothing_waits_for_the_end_of_a_task_that_is_not_live() {
    for (status, may) in [("idle", false), ("waiting", true), ("running", true), ("parked", false)] {
        let (world, attempt) = world(status);
        let (collection, admission) = (attempt.collection, Admission::Waiting);
        let waits = Event::SourceObserved { collection, observed: observed(2).into(), delta: None, admission };
        assert_eq!(folds(&world, waits), may, "{status}");
    }
}

#[test]
fn what_is_said_of_a_running_attempt_names_it() {
    let (world, attempt) = world("running");
    let other = Token { seq: attempt.token.seq.next(), ..attempt.token };
    for label in ["task_aborted stopping", "task_completed", "attempt_failed", "attempt_ended"] {
        let event = |attempt| event(label, attempt, world.fingerprint_of(attempt));
        assert!(!folds(&world, event(AttemptRef { token: other, ..attempt })), "{label}");
        let says_which = label != "task_aborted stopping";
        assert_eq!(folds(&world, event(AttemptRef { attempt: 9, ..attempt })), !says_which, "{label}");
        assert!(folds(&world, event(attempt)), "{label}");
    }
}
