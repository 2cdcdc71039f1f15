//! Sources that never answer: what ends all the same, and what it says.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;

use support::{DeadMount, Place, Running, lastword, rows, text, until};

/// A place with the collection `lineitem` that rests, and the collection `dead` on a mount that never answers. `None`
/// where no such mount can be made.
fn place() -> Option<(Place, DeadMount)> {
    let place = Place::new("[collections.dead]\nsource = \"dead/\"\nspec = { format = \"parquet\" }\n");
    place.set("look_timeout = \"1s\"\n");
    place.write("a.parquet", 2, 0);
    let mount = DeadMount::at(&place.dir.path().join("dead"))?;
    Some((place, mount))
}

#[test]
fn defect_03_once_ends_with_the_cause_and_the_others_are_built() {
    let Some((place, mount)) = place() else { return };
    // The second time the log knows it already, and no event says it again.
    for _ in 0..2 {
        let ended = place.once().expect_code(1);
        assert!(ended.stderr.contains("dead: unobservable: its source cannot be observed"), "{}", ended.stderr);
        assert!(ended.stderr.contains("1 of 2 collections are not fresh"), "{}", ended.stderr);
        assert_eq!(rows(&place.manifest()), 1000);
    }
    drop(mount);
    let found = place.dir.path().join("dead");
    fs::copy(place.lake().join("a.parquet"), found.join("a.parquet")).unwrap();
    place.once().expect_code(0);
}

#[test]
fn defect_03_plan_ends_and_names_the_source_that_does_not_answer() {
    let Some((place, _mount)) = place() else { return };
    let ended = lastword(&["plan", text(&place.config())]).expect_code(1);
    assert!(ended.stderr.contains("dead: its source has not answered for 1s"), "{}", ended.stderr);
    assert!(ended.stdout.contains("lineitem") && ended.stdout.contains("not declared yet"), "{}", ended.stdout);
    // Also when there is a log, of which no copy is to be left behind.
    place.once().expect_code(1);
    lastword(&["plan", text(&place.config())]).expect_code(1);
}

#[test]
fn defect_03_a_wait_ends_with_the_cause() {
    let Some((place, _mount)) = place() else { return };
    let run = Running::start(&place);
    let ended = lastword(&["wait", text(&place.state()), "dead", "--timeout", "60s"]).expect_code(1);
    assert!(ended.stderr.contains("dead: unobservable: "), "{}", ended.stderr);
    lastword(&["wait", text(&place.state()), "lineitem"]).expect_code(0);
    until("it is said of the dead one alone", || {
        let shown = lastword(&["status", text(&place.state()), "dead"]).stdout;
        shown.contains("unobservable")
    });
    run.stop();
}
