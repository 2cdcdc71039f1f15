//! Showing collections costs nobody who does not look: pages, and counts that are kept.

use std::collections::BTreeSet;
use std::thread;

use lastword::core::vocabulary::*;
use lastword::engine::{MOST_IN_PAGE, Stats};

use crate::support::*;

fn declare_many(lab: &Lab, count: usize) {
    let declare = |n| Command::Declare(Box::new(declaration(&format!("c{n:05}"), "{}").kind(kind("nobody"))));
    let all: Vec<Command> = (0..count).map(declare).collect();
    for some in all.chunks(1000) {
        assert!(lab.handle.batch(some.to_vec()).unwrap().iter().all(Result::is_ok));
    }
}

#[test]
fn defect_07_a_list_is_made_of_pages_and_other_requests_come_between_them() {
    let lab = Lab::start();
    let many = 4 * MOST_IN_PAGE;
    declare_many(&lab, many);
    // While the reducer is in a check, both wait in the queue: the list first, a declaration behind it.
    let (held, listing, declaring) = (lab.handle.clone(), lab.handle.clone(), lab.handle.clone());
    let held = thread::spawn(move || held.declare(declaration("held", r#"{"check":"gate"}"#)).unwrap());
    lab.puppet.until_checks(1);
    let listed = thread::spawn(move || listing.list().unwrap());
    until("the list being asked for", || format!("{:?}", lab.handle).contains("queued: 1"));
    let declared = thread::spawn(move || declaring.declare(declaration("zz-last", "{}")).unwrap());
    until("the declaration being queued", || format!("{:?}", lab.handle).contains("queued: 2"));
    lab.puppet.open("gate");
    held.within("the end of a thread").unwrap();
    declared.within("the end of a thread").unwrap();
    let names: Vec<Name> =
        listed.within("the end of a thread").unwrap().into_iter().map(|status| status.view.name).collect();
    assert!(names.is_sorted() && names.len() == many + 2, "{}", names.len());
    assert_eq!(names.last().unwrap().as_str(), "zz-last", "it was declared while the list was made");
}

#[test]
fn defect_07_pages_show_each_collection_once_and_are_bounded() {
    let lab = Lab::start();
    declare_many(&lab, 2500);
    let (mut after, mut seen, mut pages) = (None, BTreeSet::new(), 0);
    loop {
        let page = lab.handle.list_page(after, usize::MAX).unwrap();
        assert!(page.len() <= MOST_IN_PAGE);
        let Some(last) = page.last() else { break };
        after = Some(last.view.id);
        pages += 1;
        assert!(page.iter().all(|status| seen.insert(status.view.id)));
        // What goes between two pages is not missed by the next.
        lab.handle.drop_collection(last.view.name.clone()).unwrap();
    }
    assert_eq!((seen.len(), pages), (2500, 3));
    assert_eq!(lab.handle.list_page(None, 10).unwrap().len(), 10);
}

#[test]
fn defect_07_what_runs_is_listed_without_the_rest() {
    let lab = Lab::start();
    declare_many(&lab, 10);
    lab.declare("b", r#"{"do":"wait","gate":"g"}"#);
    lab.declare("a", r#"{"do":"wait","gate":"g"}"#);
    lab.puppet.until_begun(2);
    let running: Vec<_> = lab.handle.list_running().unwrap().into_iter().map(|status| status.view.name).collect();
    assert_eq!(running, [name("b"), name("a")]);
    lab.puppet.open("g");
    lab.applied("a", 1);
    lab.applied("b", 1);
    until("nothing running", || lab.handle.list_running().unwrap().is_empty());
}

/// What is counted on from event to event is what counting all of them says.
#[test]
fn defect_07_the_counts_are_those_of_the_list() {
    let lab = Lab::start();
    lab.puppet.show("bad", Err("no such thing"));
    lab.handle.declare(versioned("unobservable", "seen", "bad")).unwrap();
    lab.declare("applied", "{}");
    lab.declare("parked", r#"{"do":"permanent"}"#);
    lab.declare("running", r#"{"do":"wait","gate":"g"}"#);
    declare_many(&lab, 5);
    lab.handle.pause(name("c00001")).unwrap();
    lab.handle.drop_collection(name("c00002")).unwrap();
    lab.applied("applied", 1);
    lab.until_condition("parked", "parked");
    lab.until_condition("running", "running");
    lab.until_condition("unobservable", "unobservable");
    let check = |lab: &Lab| {
        let (list, stats) = (lab.handle.list().unwrap(), lab.stats());
        let count = |is: fn(&lastword::core::CollectionView) -> bool| {
            list.iter().filter(|status| is(&status.view)).count() as u64
        };
        let Stats { collections, live, parked, paused, unobservable, held, .. } = stats;
        assert_eq!((collections, held), (list.len() as u64, 0));
        assert_eq!(live, count(|view| view.task.is_some()));
        assert_eq!(parked, count(|view| view.condition.name() == "parked"));
        assert_eq!(paused, count(|view| view.paused));
        assert_eq!(unobservable, count(|view| view.unobservable.is_some()));
        (collections, live, parked, paused, unobservable)
    };
    assert_eq!(check(&lab), (8, 5, 1, 1, 1));
    let lab = lab.crash();
    assert_eq!(check(&lab), (8, 5, 1, 1, 1), "also when they come from the log");
}
