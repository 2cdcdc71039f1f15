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
    // Each in a mount of its own: who looks up what another one is looking up waits in the kernel, where no signal ends it.
    let scene = || {
        let place = Place::new("");
        place.write("a.parquet", 2, 0);
        place.once().expect_code(0);
        DeadMount::at(&place.state()).map(|mount| (place, mount))
    };
    // A run ends with the code of the signal, as a second signal ends it; what else there is ends by the signal itself.
    let commands: [(&[&str], Option<i32>); 7] = [
        (&["status", "STATE"], None),
        (&["status", "CONFIG"], None),
        (&["plan", "CONFIG"], None),
        (&["manifest", "STATE", "lineitem"], None),
        (&["wait", "STATE", "lineitem"], None),
        (&["run", "CONFIG", "--once"], Some(143)),
        (&["run", "CONFIG"], Some(143)),
    ];
    let mut scenes = Vec::new();
    for (arguments, code) in commands {
        let Some((place, mount)) = scene() else { return };
        // The mount goes first: nobody removes what never answers.
        scenes.push((mount, place, arguments, code));
    }
    let told_then_signalled = |place: &Place, arguments: &[&str]| {
        let (config, state) = (place.config(), place.state());
        let path = |argument: &&str| match *argument {
            "STATE" => text(&state).to_owned(),
            "CONFIG" => text(&config).to_owned(),
            other => other.to_owned(),
        };
        let stderr = File::create(place.dir.path().join("stderr")).unwrap();
        let arguments: Vec<String> = arguments.iter().map(path).collect();
        let mut child = program().args(&arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let said = || fs::read_to_string(place.dir.path().join("stderr")).unwrap();
        let expected = format!("{}: does not answer", text(&state));
        until(&format!("{arguments:?} says what it waits for"), || said().contains(&expected));
        // At once: what is to end by itself gives up after a while.
        signal(&child, "TERM");
        let ended = bounded(&mut child, Instant::now());
        assert_eq!(said().matches(&expected).count(), 1, "{}", said());
        ended
    };
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        let told_then_signalled = &told_then_signalled;
        let threads: Vec<_> = scenes
            .iter()
            .map(|(_, place, arguments, code)| {
                (scope.spawn(move || told_then_signalled(place, arguments)), *arguments, *code)
            })
            .collect();
        for (thread, arguments, code) in threads {
            let ended = thread.join().unwrap();
            if (ended.code(), ended.signal()) != (code, code.map_or(Some(15), |_| None)) {
                wrong.push((arguments, ended));
            }
        }
    });
    assert!(wrong.is_empty(), "did not end by the signal: {wrong:?}");
    // What is for a run is not waited for, and the run is not blamed.
    let Some((place, _mount)) = scene() else { return };
    let ended = lastword(&["pause", text(&place.config()), "lineitem"]).expect_code(3);
    assert!(ended.stderr.contains("the state directory does not answer"), "{}", ended.stderr);
}

/// What reads a log that does not answer, or a configuration, gives up, and so does a run that is to end by itself.
#[test]
fn defect_03_what_is_to_end_by_itself_ends_over_a_directory_that_never_answers() {
    // Each in a mount of its own, over the state directory or over that of the configuration.
    let scene = |is_state: bool| {
        let place = Place::new("");
        place.write("a.parquet", 2, 0);
        place.once().expect_code(0);
        let dead = if is_state { place.state() } else { place.dir.path().join("files") };
        DeadMount::at(&dead).map(|mount| (place, mount, dead))
    };
    let commands: [&[&str]; 13] = [
        &["status", "STATE"],
        &["status", "CONFIG"],
        &["plan", "CONFIG"],
        &["manifest", "STATE", "lineitem"],
        &["run", "CONFIG", "--once"],
        &["status", "DEAD"],
        &["wait", "DEAD", "lineitem"],
        &["refresh", "DEAD", "lineitem"],
        &["reload", "DEAD"],
        &["init", "DEAD"],
        &["report", "STATE LIVE", "-o", "DEAD"],
        &["run", "CONFIG LIVE", "--once", "--checkpoint", "note", "--checkpoint-key", "DEAD"],
        &["run", "CONFIG LIVE", "--http", "127.0.0.1:0", "--http-token", "file:DEAD"],
    ];
    let (mut scenes, mut running) = (Vec::new(), Vec::new());
    for arguments in commands {
        let is_state = arguments[1] == "STATE" || arguments[1] == "CONFIG";
        let Some((place, mount, dead)) = scene(is_state) else { return };
        scenes.push((place, mount, dead, arguments));
    }
    for (place, mount, dead, arguments) in scenes {
        let (config, state, file) = (place.config(), place.state(), dead.join("lake.toml"));
        let path = |argument: &&str| match *argument {
            "STATE" | "STATE LIVE" => text(&state).to_owned(),
            "CONFIG" | "CONFIG LIVE" => text(&config).to_owned(),
            other => other.replace("DEAD", text(&file)),
        };
        let stderr = File::create(place.dir.path().join("stderr")).unwrap();
        let arguments: Vec<String> = arguments.iter().map(path).collect();
        let child = program().args(&arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        running.push((place, mount, dead, arguments, child));
    }
    let (mut wrong, begun) = (Vec::new(), Instant::now());
    for (place, _mount, dead, arguments, mut child) in running {
        let ended = bounded(&mut child, begun);
        let said = fs::read_to_string(place.dir.path().join("stderr")).unwrap();
        // The last line is why it ended.
        let why = said.lines().last().unwrap_or_default().to_owned();
        if ended.code() != Some(3) || !why.starts_with(&format!("lastword: {}", text(&dead))) || !why.contains("answer")
        {
            wrong.push((arguments, ended, said));
        }
    }
    assert!(wrong.is_empty(), "did not end with the cause: {wrong:#?}");
}

/// How a process ends that is to end; one that does not within a minute and a half is killed, and its end shows that.
fn bounded(child: &mut Child, begun: Instant) -> ExitStatus {
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        if begun.elapsed() > Duration::from_secs(90) {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(50));
    }
}
