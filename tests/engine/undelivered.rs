//! Collections whose outbox is full for another reason than a destination that takes nothing: the kind has lost a duty, or
//! nobody builds it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lastword::core::Condition;
use lastword::core::vocabulary::*;
use lastword::engine::{Builder, SettleOutcome};

use crate::press::*;
use crate::support::*;

const PUBLISHES: Duties = Duties { publish: true, discard: false };
const DISCARDS: Duties = Duties { publish: false, discard: true };
const NONE: Duties = Duties { publish: false, discard: false };

/// A press whose duties are others in each process; without any, it is not there.
struct Upgraded {
    press: Press,
    duties: Arc<Mutex<Option<Duties>>>,
}

impl Upgraded {
    /// The collection `a` has a full outbox, and one change more.
    fn full() -> (Upgraded, Lab) {
        let upgraded = Upgraded { press: Press::new(), duties: Arc::new(Mutex::new(Some(BOTH))) };
        let (press, duties) = (upgraded.press.clone(), Arc::clone(&upgraded.duties));
        let lab = Lab::with(move |builder: Builder| match *duties.lock().unwrap() {
            Some(duties) => builder.kind(kind("press"), press.reborn().with_duties(duties)),
            None => builder,
        });
        // Time stands still: it is not tried again.
        upgraded.press.next(Act::Publish, "a", Reaction::Refuse("down"));
        for n in 1..=65 {
            lab.commit("a", &format!(r#"{{"n":{n}}}"#));
        }
        lab.print("a", r#"{"n":0}"#);
        lab.until_condition("a", "undelivered");
        lab.until_count("publish_failed", 1);
        assert!(lab.view("a").condition.to_string().ends_with(": down"));
        (upgraded, lab)
    }

    fn restart(&self, lab: Lab, duties: Option<Duties>) -> Lab {
        *self.duties.lock().unwrap() = duties;
        lab.restart()
    }
}

#[test]
fn a_kind_that_lost_a_duty_says_so_and_goes_on_once_it_has_it_back() {
    let (upgraded, lab) = Upgraded::full();
    let lab = upgraded.restart(lab, Some(DISCARDS));
    let status = lab.status("a");
    assert!(status.undeliverable);
    let Condition::Undelivered { entries: 129, cause: Some(cause) } = &status.view.condition else {
        panic!("{:?}", status.view.condition)
    };
    assert_eq!(&**cause, "no worker of this process publishes what its kind commits");
    let said = status.view.condition.to_string();
    assert!(said.starts_with("129 deliveries to its destination wait") && said.ends_with(&**cause), "{said}");
    let settled = lab.handle.wait_settled(name("a"), LONG).unwrap();
    assert_eq!(settled, SettleOutcome::Stands { condition: status.view.condition });

    let lab = upgraded.restart(lab, Some(BOTH));
    lab.advance(Duration::from_secs(3600));
    lab.applied("a", 66);
    lab.until_met("a");
    assert_eq!((lab.published("a"), lab.published("a").len()), (lab.commits("a"), 66));
    lab.is_as_published(&upgraded.press, "a");
    lab.verify();
}

#[test]
fn what_is_dropped_and_declared_anew_does_not_wait_for_what_its_kind_owed_before() {
    let (upgraded, lab) = Upgraded::full();
    let lab = upgraded.restart(lab, Some(PUBLISHES));
    lab.handle.drop_collection(name("a")).unwrap();
    lab.commit("a", r#"{"n":70}"#);
    lab.until_met("a");
    lab.is_as_published(&upgraded.press, "a");
}

#[test]
fn a_kind_that_lost_all_duties_is_built_past_its_full_outbox() {
    let (upgraded, lab) = Upgraded::full();
    let owed = lab.owes("a");
    let lab = upgraded.restart(lab, Some(NONE));
    lab.applied("a", 66);
    lab.commit("a", r#"{"n":70}"#);
    let owes = lab.owes("a");
    assert_eq!((owes.unpublished, owes.undiscarded), (owed.unpublished, owed.undiscarded), "it is still owed");
    let status = lab.status("a");
    assert_eq!((status.view.condition, status.undeliverable), (Condition::Fresh, true));
    // While it waits for something else, that is what it says.
    lab.handle.pause(name("a")).unwrap();
    lab.print("a", r#"{"n":71,"do":"fail"}"#);
    lab.handle.resume(name("a")).unwrap();
    lab.until_condition("a", "backing_off");
    lab.verify();
}

#[test]
fn a_kind_that_callers_drive_now_is_lent_past_its_full_outbox() {
    let (upgraded, lab) = Upgraded::full();
    let lab = upgraded.restart(lab, None);
    let worker = WorkerName::new("far").unwrap();
    let lent = lab.handle.next_assignment(&[kind("press")], &worker, Duration::from_secs(60), LONG).unwrap();
    assert_eq!(lent.expect("it may start").name(), &name("a"));
}

#[test]
fn that_nobody_builds_a_kind_is_not_hidden_by_its_full_outbox() {
    let (upgraded, lab) = Upgraded::full();
    let lab = upgraded.restart(lab, None);
    let status = lab.status("a");
    assert_eq!((status.view.condition.name(), status.undeliverable), ("no_worker", true));
    let settled = lab.handle.wait_settled(name("a"), LONG).unwrap();
    assert_eq!(settled, SettleOutcome::Stands { condition: Condition::NoWorker });
}

/// What was committed meanwhile is at no destination, and no entry says so: it is built anew and published.
#[test]
fn what_was_committed_while_the_duty_was_lost_is_published_once_it_is_back() {
    for first in [Some(BOTH), Some(NONE)] {
        let upgraded = Upgraded { press: Press::new(), duties: Arc::new(Mutex::new(first)) };
        let (press, duties) = (upgraded.press.clone(), Arc::clone(&upgraded.duties));
        let lab = Lab::with(move |builder: Builder| match *duties.lock().unwrap() {
            Some(duties) => builder.kind(kind("press"), press.reborn().with_duties(duties)),
            None => builder,
        });
        lab.commit("a", r#"{"n":1}"#);
        lab.handle.wait_settled(name("a"), LONG).unwrap();
        let lab = upgraded.restart(lab, Some(NONE));
        lab.commit("a", r#"{"n":2}"#);

        let lab = upgraded.restart(lab, Some(BOTH));
        let settled = lab.handle.wait_settled(name("a"), LONG).unwrap();
        assert!(matches!(settled, SettleOutcome::Settled { .. }), "{settled:?}");
        lab.is_as_published(&upgraded.press, "a");
        assert_eq!(lab.published("a").last(), lab.commits("a").last(), "after {first:?}");
        let commits = lab.commits("a").len();
        // And once is enough.
        let lab = upgraded.restart(lab, Some(BOTH));
        lab.handle.wait_settled(name("a"), LONG).unwrap();
        assert_eq!(lab.commits("a").len(), commits);
        lab.verify();
    }
}
