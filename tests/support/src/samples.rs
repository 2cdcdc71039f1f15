//! Events for the golden bytes of `log-format.md`: every type, every variant, every optional field both ways. Numbers
//! are chosen so that every width of a number occurs.

use std::time::Duration;

use lastword::core::vocabulary::*;

const WANTED: Fingerprint = Fingerprint([0xf1; 32]);
const OTHER: Fingerprint = Fingerprint([0xf2; 32]);
const TOKEN: Token = Token { epoch: Epoch(1_795_428_000_000), seq: Seq(12) };

pub fn samples() -> Vec<Event> {
    let collection = CollectionId(Seq(4));
    let task = TaskId(Seq(251));
    let at = Timestamp(1_795_428_000_000_001);
    let set = PathSetRef { root: ObjectHash([0x0b; 32]), files: 3, bytes: 65_536 };
    let observed = SourceState { version: Version::new(&[0xee; 4]).unwrap(), set: Some(set) };
    let opaque = SourceState { version: Version::new(&[1]).unwrap(), set: None };
    let delta = Some(Delta { added: 1, removed: 250, changed: 251 });
    let policy = Policy::default();
    let unlimited = Policy { attempt_timeout: AttemptTimeout(None), grace: Grace(Duration::ZERO), ..policy.clone() };
    let finishing = Policy { on_change: OnChange::FinishThenLatest, ..unlimited.clone() };
    let empty_source = EmptySource::Apply;
    let resync = Resync(Some(Duration::from_secs(86_400)));
    let (priority, most) = (Priority(-1000), HoldCause::MostGone { gone: 11, of: 21 });
    let (max_lag, retry) = (MaxLag(None), Retry { slow: None, max_lost_alone: None, ..Retry::default() });
    let rejecting =
        Policy { on_change: OnChange::Reject, empty_source, priority, resync, max_lag, retry, ..unlimited.clone() };
    let built = Built {
        manifest: Some(ObjectHash([0x0c; 32])),
        segments: Some(SegmentCounts { kept: 1, new: 2, dropped: 3 }),
        rows: Some(4_294_967_296),
        output: Some("out".into()),
    };
    let mut events = vec![
        Event::WriterOpened { software: "lastword 0.1.0".into() },
        Event::DataLossAccepted { last: Seq(65_535), found: "grün".into() },
        Event::CollectionDeclared {
            name: Name::new("a").unwrap(),
            kind: Kind::new("files").unwrap(),
            source: Source::new("lake/").unwrap(),
            spec: Spec::parse(r#"{"format":"parquet"}"#).unwrap(),
            versioned: true,
            policy: policy.clone().into(),
            revision: Some(7),
            wanted: None,
        },
        Event::CollectionDeclared {
            name: Name::new("b").unwrap(),
            kind: Kind::new("k").unwrap(),
            source: Source::new("s").unwrap(),
            spec: Spec::default(),
            versioned: false,
            policy: unlimited.clone().into(),
            revision: None,
            wanted: Some(WANTED),
        },
        Event::SourceChanged {
            collection,
            source: Source::new("s2").unwrap(),
            admission: Admission::Admitted { wanted: None, generation: Generation(2) },
        },
        Event::SpecChanged {
            collection,
            spec: Spec::default(),
            admission: Admission::Admitted { wanted: Some(WANTED), generation: Generation(3) },
        },
        Event::SpecChanged { collection, spec: Spec::default(), admission: Admission::Waiting },
        Event::PolicyChanged { collection, policy: finishing.into(), revision: Some(251), resync_at: None },
        Event::PolicyChanged { collection, policy: rejecting.into(), revision: None, resync_at: Some(at) },
        Event::CollectionDropped { collection },
        Event::CollectionPaused { collection: CollectionId(Seq(250)) },
        Event::CollectionResumed { collection: CollectionId(Seq(251)) },
        refreshed(CollectionId(Seq(65_536)), false, RefreshReason::Asked, None),
        refreshed(collection, false, RefreshReason::Resync, Some(at)),
        refreshed(collection, true, RefreshReason::Drift("gone".into()), None),
        Event::SourceObserved {
            collection,
            observed: observed.clone().into(),
            delta,
            admission: Admission::Admitted { wanted: Some(WANTED), generation: Generation(2) },
        },
        Event::SourceObserved {
            collection,
            observed: opaque.into(),
            delta: None,
            admission: Admission::Settling { until: at },
        },
        Event::ObservationFailed { collection, cause: "gone".into() },
        Event::CollectionHeld {
            collection,
            observed: observed.clone().into(),
            delta,
            cause: HoldCause::Empty,
            fingerprint: OTHER,
        },
        Event::CollectionHeld { collection, observed: observed.into(), delta, cause: most, fingerprint: OTHER },
        Event::HoldConfirmed { collection, fingerprint: OTHER, generation: Generation(3) },
        created(collection, at, false),
        created(collection, at, true),
        started(collection, task, Some(at)),
        started(collection, task, None),
        completed(collection, task, built, Some(at)),
        completed(collection, task, Built::default(), None),
    ];
    for reason in [AbortReason::Superseded, AbortReason::Dropped, AbortReason::Cancelled] {
        let stopping = (reason == AbortReason::Superseded).then_some(Stopping { token: TOKEN, grace_until: at });
        events.push(Event::TaskAborted { collection, task, reason, stopping });
    }
    for reason in [
        FailReason::Failed,
        FailReason::TimedOut,
        FailReason::WorkerLost,
        FailReason::Panicked,
        FailReason::SourceMoved,
    ] {
        events.push(Event::AttemptFailed {
            collection,
            task,
            attempt: 1,
            token: TOKEN,
            reason,
            message: "m".into(),
            retry_at: at,
            failures: 2,
            grace_until: (reason == FailReason::TimedOut).then_some(at),
        });
    }
    for reason in [EndReason::Acknowledged, EndReason::Abandoned, EndReason::Lost] {
        events.push(Event::AttemptEnded { collection, task, attempt: 1, token: TOKEN, reason });
    }
    events.push(Event::TaskWoken { collection, task, not_before: at });
    for cause in [ParkCause::Permanent, ParkCause::OutOfAttempts, ParkCause::LostTooOften] {
        events.push(Event::TaskParked { collection, task, cause });
    }
    for reason in [RejectReason::Stale, RejectReason::NotLive, RejectReason::Duplicate, RejectReason::UnknownCollection]
    {
        let wanted = (reason == RejectReason::Stale).then_some(WANTED);
        let (attempt, token, fingerprint) = (65_536, TOKEN, OTHER);
        events.push(Event::CompletionRejected { collection, task, attempt, token, reason, fingerprint, wanted });
    }
    for delivery in [DeliveryKind::Publish, DeliveryKind::Discard] {
        let (obligation, message, retry_at) = (Seq(252), "down".into(), at);
        events.push(Event::PublishFailed { collection, obligation, delivery, message, failures: 3, retry_at });
    }
    events.push(Event::Published { collection, commit: Seq(252), token: TOKEN, fingerprint: WANTED });
    events.push(Event::Discarded { collection, obligation: Seq(252) });
    let bytes = [1, 2, 3].into();
    events.push(Event::CheckpointPart { at: Seq(251), hash: [0x0d; 32], part: 1, parts: 2, bytes });
    events.push(Event::LimitsChanged { limits: Limits::default() });
    let kinds = [("files", 2), ("k", 251)].map(|(kind, most)| (Kind::new(kind).unwrap(), most)).into();
    let prefixes = [(Name::new("eu-").unwrap(), 1)].into();
    events.push(Event::LimitsChanged { limits: Limits { total: Some(8), kinds, prefixes } });
    events
}

/// Who asks, and why, in every form.
pub fn askers() -> Vec<By> {
    let of = |actor, cause| By::new(actor, cause).unwrap();
    vec![of(Some("ann"), None), of(None, Some("the nightly run")), of(Some("grün"), Some("ticket 7"))]
}

fn refreshed(collection: CollectionId, force: bool, reason: RefreshReason, resync_at: Option<Timestamp>) -> Event {
    Event::RefreshRequested { collection, force, reason, resync_at }
}

fn created(collection: CollectionId, not_before: Timestamp, rebuild: bool) -> Event {
    Event::TaskCreated { collection, generation: Generation(2), fingerprint: WANTED, not_before, rebuild }
}

fn started(collection: CollectionId, task: TaskId, deadline: Option<Timestamp>) -> Event {
    let worker = WorkerName::new("w").unwrap();
    let lease = deadline.map(|_| Duration::from_secs(30));
    let duties = Duties { publish: deadline.is_some(), discard: deadline.is_none() };
    Event::TaskStarted { collection, task, attempt: 1, worker, deadline, lease, duties }
}

fn completed(collection: CollectionId, task: TaskId, result: Built, resync_at: Option<Timestamp>) -> Event {
    Event::TaskCompleted {
        collection,
        task,
        attempt: 1,
        token: TOKEN,
        fingerprint: WANTED,
        result: result.into(),
        resync_at,
    }
}
