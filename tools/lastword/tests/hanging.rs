//! Sources that never answer: what ends all the same, and what it says.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{DeadMount, Place, Running, lastword, program, rows, signal, text, until};

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

#[test]
fn defect_03_a_state_directory_that_never_answers_is_named_and_a_signal_ends_every_command() {
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    place.once().expect_code(0);
    let Some(_mount) = DeadMount::at(&place.state()) else { return };
    let (config, state) = (place.config(), place.state());
    let (config, state) = (text(&config), text(&state));
    // A run ends with the code of the signal, as a second signal ends it; what else there is ends by the signal itself.
    let commands: [(&[&str], _); 7] = [
        (&["status", state], None),
        (&["status", config], None),
        (&["plan", config], None),
        (&["manifest", state, "lineitem"], None),
        (&["wait", state, "lineitem"], None),
        (&["run", config, "--once"], Some(143)),
        (&["run", config], Some(143)),
    ];
    let stderr = |number: usize| place.dir.path().join(format!("stderr-{number}"));
    let mut running: Vec<Option<Child>> = Vec::new();
    for (number, (arguments, _)) in commands.iter().enumerate() {
        let stderr = File::create(stderr(number)).unwrap();
        running.push(Some(program().args(*arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap()));
    }
    let mut wrong = Vec::new();
    for (number, (arguments, code)) in commands.iter().enumerate() {
        let said = || fs::read_to_string(stderr(number)).unwrap();
        let expected = format!("{state}: does not answer");
        until(&format!("{arguments:?} says what it waits for"), || said().contains(&expected));
        let mut child = running[number].take().unwrap();
        signal(&child, "TERM");
        let ended = bounded(&mut child);
        let signal = ended.signal();
        if (ended.code(), signal) != (*code, code.map_or(Some(15), |_| None)) {
            wrong.push((arguments, ended));
        }
        assert_eq!(said().matches(&expected).count(), 1, "{}", said());
    }
    assert!(wrong.is_empty(), "did not end by the signal: {wrong:?}");
    // What is for a run is not waited for, and the run is not blamed.
    let ended = lastword(&["pause", config, "lineitem"]).expect_code(3);
    assert!(ended.stderr.contains("the state directory does not answer"), "{}", ended.stderr);
}

/// How a process ends that was asked to; one that does not within 30 s is killed, and its end shows that.
fn bounded(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(50));
    }
}
