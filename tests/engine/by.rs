//! Who asked for something, and why, stands beside what it led to.

use lastword::core::vocabulary::*;
use lastword::engine::Handle;

use crate::press::*;
use crate::support::*;

fn ann(handle: &Handle) -> Handle {
    handle.by(By::new(Some("ann"), Some("ticket 12")).unwrap())
}

/// Who is said to have asked for the events of these types.
fn actors(lab: &Lab, type_name: &str) -> Vec<Option<String>> {
    let events = lab.events();
    let its = events.iter().filter(|recorded| recorded.event.type_name() == type_name);
    its.map(|recorded| recorded.by.as_ref().and_then(|by| by.actor().map(str::to_owned))).collect()
}

#[test]
fn every_event_of_a_command_has_its_actor_and_cause_and_what_follows_has_none() {
    let lab = Lab::start();
    let ann = ann(&lab.handle);
    ann.declare(declaration("a", r#"{"do":"wait","gate":"g"}"#)).unwrap();
    lab.puppet.until_begun(1);
    // One frame, two of its events by ann: the third is the engine's.
    let by = |recorded: &Recorded| {
        recorded.by.as_ref().map(|by| (by.actor().unwrap().to_owned(), by.cause().unwrap().to_owned()))
    };
    let said: Vec<_> = lab.events().iter().map(|recorded| (recorded.event.type_name(), by(recorded))).collect();
    let hers = Some(("ann".to_owned(), "ticket 12".to_owned()));
    assert_eq!(
        said,
        [
            ("writer_opened", None),
            ("collection_declared", hers.clone()),
            ("task_created", hers),
            ("task_started", None)
        ]
    );
    lab.puppet.open("g");
    lab.applied("a", 1);
    assert_eq!((actors(&lab, "task_completed"), actors(&lab, "attempt_ended")), (vec![None], vec![None]));
    lab.verify();
}

#[test]
fn every_way_to_give_a_command_says_who_gave_it() {
    let lab = Lab::start();
    let ann = ann(&lab.handle);
    ann.batch(vec![
        Command::Declare(declaration("a", r#"{"do":"permanent"}"#).into()),
        Command::Declare(declaration("b", "{}").into()),
    ])
    .unwrap();
    lab.until_condition("a", "parked");
    ann.submit(Command::Pause { name: name("a") }).unwrap().within("an answer").unwrap();
    ann.try_submit(Command::Resume { name: name("a") }).unwrap().within("an answer").unwrap();
    ann.refresh(name("b")).unwrap();
    ann.limit(Limits { total: Some(1), ..Limits::default() }).unwrap();
    ann.drop_collection(name("b")).unwrap();
    // The handle she was given is as it was.
    lab.handle.drop_collection(name("a")).unwrap();
    let hers = Some("ann".to_owned());
    for type_name in ["collection_paused", "collection_resumed", "refresh_requested", "limits_changed"] {
        assert_eq!(actors(&lab, type_name), std::slice::from_ref(&hers), "{type_name}");
    }
    assert_eq!(actors(&lab, "collection_declared"), [hers.clone(), hers.clone()]);
    assert_eq!(actors(&lab, "collection_dropped"), [hers, None]);
    // After a crash it is as it was.
    let lab = lab.crash();
    assert_eq!(actors(&lab, "limits_changed").len(), 1);
    lab.verify();
}

#[test]
fn a_refresh_that_is_repeated_is_one_refresh() {
    let press = Press::new();
    let lab = lab(&press);
    lab.commit("a", r#"{"n":1}"#);
    let seen = lab.stats().durable;
    let first = lab.handle.refresh_since(name("a"), seen, true).unwrap();
    assert!(first.seq.is_some());
    // Its answer was lost.
    assert_eq!(lab.handle.refresh_since(name("a"), seen, true).unwrap().seq, None);
    assert_eq!(lab.count("refresh_requested"), 1);
    let later = lab.handle.refresh_since(name("a"), first.seq.unwrap(), false).unwrap();
    assert!(later.seq.is_some());
    assert_eq!(lab.count("refresh_requested"), 2);
}
