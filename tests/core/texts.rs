//! What may be given: texts, numbers and their bounds; and what of it is read back.

use std::time::Duration;

use lastword::core::vocabulary::{
    By, Command, Declaration, EngineCommand, FailureClass, Fingerprint, Input, Kind, MaxLag, Name, ObjectHash, Policy,
    PolicyChange, Priority, Resync, Retry, Source, Spec, TaskId,
};
use serde_json::json;

use super::world::{World, at_once, secs};

#[test]
fn texts_have_1_byte_to_their_most() {
    for (most, is_fine) in [
        (Name::MOST_BYTES, (|text| Name::new(text).is_ok()) as fn(&str) -> bool),
        (Kind::MOST_BYTES, |text| Kind::new(text).is_ok()),
        (By::MOST_BYTES, |text| By::new(Some(text), None).is_ok()),
    ] {
        let lengths = [0, 1, most - 1, most, most + 1, 2 * most];
        assert_eq!(lengths.map(|length| is_fine(&"x".repeat(length))), [false, true, true, true, false, false]);
        assert!(!is_fine("a\u{7}b"), "control characters");
    }
}

#[test]
fn a_spec_is_what_was_given_in_canonical_form_and_not_too_long() {
    let given = r#"{ "z": [1.5, "x", -7, null], "a": {"b": true, "c": false} }"#;
    let spec = Spec::parse(given).unwrap();
    assert_eq!(spec.as_str(), r#"{"a":{"b":true,"c":false},"z":[1.5,"x",-7,null]}"#);
    assert_eq!(spec.to_value(), json!({"z": [1.5, "x", -7, null], "a": {"b": true, "c": false}}));
    assert_eq!(Spec::MOST_BYTES, 65_536);
    let of = |length: usize| Spec::parse(&format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8))).is_ok();
    assert_eq!(
        [Spec::MOST_BYTES - 1, Spec::MOST_BYTES, Spec::MOST_BYTES + 1, 70_000].map(of),
        [true, true, false, false]
    );
}

#[test]
fn hashes_are_read_as_they_are_shown() {
    let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 + 19).unwrap_or(0xfe));
    for shown in [Fingerprint(bytes).to_string(), Fingerprint(bytes).to_string().to_uppercase()] {
        assert_eq!(Fingerprint::from_hex(&shown), Some(Fingerprint(bytes)));
        assert_eq!(ObjectHash::from_hex(&shown), Some(ObjectHash(bytes)));
    }
    let shown = Fingerprint(bytes).to_string();
    for wrong in [&shown[1..], &format!("{shown}0"), &format!("{shown}00"), &shown.replace('1', "g"), ""] {
        assert_eq!(Fingerprint::from_hex(wrong), None, "{wrong}");
    }
}

#[test]
fn who_asked_and_why_are_kept_apart() {
    let by = By::new(Some("ops"), Some("ticket 7")).unwrap();
    assert_eq!((by.actor(), by.cause()), (Some("ops"), Some("ticket 7")));
    assert_eq!(By::new(Some("ops"), None).unwrap().cause(), None);
    assert_eq!(By::new(None, Some("ticket 7")).unwrap().actor(), None);
    assert!(By::new(None, None).is_err());
}

#[test]
fn a_declaration_is_what_was_said_in_it() {
    let (name, kind, source) = (Name::new("a").unwrap(), Kind::new("k").unwrap(), Source::new("s").unwrap());
    let (spec, policy) = (Spec::parse(r#"{"a":1}"#).unwrap(), at_once());
    let said = Declaration::new(name.clone())
        .kind(kind.clone())
        .source(source.clone())
        .spec(spec.clone())
        .unversioned()
        .policy(policy.clone())
        .change_policy(PolicyChange::default())
        .revision(7);
    let (kind, source, spec) = (Some(kind), Some(source), Some(spec));
    let meant = Declaration {
        name: name.clone(),
        kind,
        source,
        spec,
        versioned: Some(false),
        policy: Some(policy),
        policy_change: Some(PolicyChange::default()),
        revision: Some(7),
    };
    assert_eq!(said, meant);
    assert_eq!(Command::Declare(Box::new(said)).name(), Some(&name));
    assert_eq!(Input::from(&EngineCommand::Open { software: "t".into() }).name(), None);
}

#[test]
fn a_policy_has_bounds_and_they_are_in_it() {
    assert_eq!(Policy::LONGEST.as_secs(), 3_153_600_000);
    let tick = Duration::from_micros(1);
    let with = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy.check().map_err(|error| error.field)
    };
    assert_eq!(with(|policy| policy.resync.0 = Some(Policy::LONGEST)), Ok(()));
    let longer = Policy { resync: Resync(Some(Policy::LONGEST + tick)), ..Policy::default() };
    assert_eq!(longer.check().unwrap_err().field, "policy.resync");
    assert_eq!(with(|policy| policy.priority = Priority(Priority::HIGHEST)), Ok(()));
    assert_eq!(with(|policy| policy.priority = Priority(-Priority::HIGHEST)), Ok(()));
    assert_eq!(with(|policy| policy.priority = Priority(Priority::HIGHEST + 1)), Err("policy.priority".into()));
    let retry = |max_attempts, max_lost, base, cap| {
        let retry =
            Retry { max_attempts, max_lost, base: secs(base), cap: secs(cap), slow: None, max_lost_alone: None };
        Policy { retry, ..Policy::default() }.check().map_err(|error| error.field.to_string())
    };
    assert_eq!(retry(1, 1, 1, 1), Ok(()));
    assert_eq!([retry(0, 1, 1, 1), retry(1, 0, 1, 1)], [Err("policy.retry".into()), Err("policy.retry".into())]);
    let base = Err("policy.retry.base".to_owned());
    assert_eq!([retry(1, 1, 0, 1), retry(1, 1, 2, 1)], [base.clone(), base]);
    assert_eq!(with(|policy| policy.retry.max_lost_alone = Some(0)), Err("policy.retry.max_lost_alone".into()));
    let longer = |policy: &mut Policy| policy.retry.slow = Some(Policy::LONGEST + Duration::from_micros(1));
    assert_eq!(with(longer), Err("policy.retry.slow".into()));
    assert_eq!(with(|policy| policy.max_lag.0 = Some(Policy::LONGEST)), Ok(()));
    let longer = Policy { max_lag: MaxLag(Some(Policy::LONGEST + tick)), ..Policy::default() };
    assert_eq!(longer.check().unwrap_err().field, "policy.max_lag");
}

#[test]
fn a_policy_is_kept_in_whole_microseconds() {
    let odd = Duration::from_nanos(2_000_000_999);
    let retry = Retry { base: odd, cap: odd, ..Retry::default() };
    let kept = Policy { retry, ..Policy::default() }.in_whole_micros().retry;
    assert_eq!((kept.base, kept.cap), (Duration::from_secs(2), Duration::from_secs(2)));
}

#[test]
fn case_39_credentials_are_refused_and_places_of_secrets_are_not() {
    let refused = |text: &str| Spec::parse(&json!({ "dsn": text }).to_string()).is_err();
    for text in ["password=x", "host=h password=x", "host=h;Pwd=x", "a=b&token=x", "h?sig=x", "a\u{1}password=x"] {
        assert!(refused(text), "{text}");
    }
    for text in ["password=", "password=env:PW", "password=file:/run/pw", "user=me", "the password is secret", "a,b"] {
        assert!(!refused(text), "{text}");
    }
    assert!(Source::new("s3://me:hunter2@host/lake").is_err());
    assert!(Source::new("s3://me:hunter2@[::1]/lake").is_err());
    assert!(Source::new("s3://me@host/lake").is_ok());
    // Not all that follows a URI is a part of it.
    assert!(By::new(Some("see https://host and ask me:now@once"), None).is_ok());
    assert!(By::new(Some("see https://me:now@once"), None).is_err());
}

#[test]
fn events_name_their_task_their_attempt_and_their_object() {
    let (mut world, attempt) = World::started(at_once());
    world.complete(attempt);
    world.observe(2);
    let failing = world.assign();
    world.fail(failing, FailureClass::Permanent);
    world.observe(3);
    world.assign();
    world.cancel();
    let (first, second) = (attempt.task, failing.task);
    let third =
        TaskId(world.record.iter().rev().find(|recorded| recorded.event.type_name() == "task_created").unwrap().seq);
    let said: Vec<_> = world
        .record
        .iter()
        .map(|recorded| {
            let event = &recorded.event;
            (event.type_name(), event.task(recorded.seq), event.attempt(), event.object().map(|root| root.0[0]))
        })
        .filter(|(_, task, attempt, object)| task.is_some() || attempt.is_some() || object.is_some())
        .collect();
    let expected = [
        ("source_observed", None, None, Some(1)),
        ("task_created", Some(first), None, None),
        ("task_started", Some(first), Some(1), None),
        ("task_completed", Some(first), Some(1), None),
        ("attempt_ended", Some(first), Some(1), None),
        ("source_observed", None, None, Some(2)),
        ("task_created", Some(second), None, None),
        ("task_started", Some(second), Some(1), None),
        ("attempt_failed", Some(second), Some(1), None),
        ("attempt_ended", Some(second), Some(1), None),
        ("task_parked", Some(second), None, None),
        ("source_observed", None, None, Some(3)),
        ("task_created", Some(third), None, None),
        ("task_started", Some(third), Some(1), None),
        ("task_aborted", Some(third), None, None),
    ];
    assert_eq!(said, expected);
}
