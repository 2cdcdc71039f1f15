//! `lastword run` while it runs: others look at it, signals end it, kills do not harm it.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::time::{Duration, Instant};

use lastword::log::PrivateCopy;
use serde_json::Value;
use support::{Place, Running, program, rows, signal, text, until, wait};

const FAST: &str = "quiet = \"50ms\"\n";

#[test]
fn status_and_manifest_work_while_it_runs_and_after() {
    let place = Place::new(FAST);
    place.look_often();
    place.write("a.parquet", 2, 0);
    let child = program().args(["run", text(&place.config())]).spawn().unwrap();
    until("the first commit", || place.condition().as_deref() == Some("fresh"));
    assert_eq!(rows(&place.manifest()), 1000);
    place.write("b.parquet", 2, 1);
    until("the second commit", || rows(&place.manifest()) == 2000);
    assert_eq!(place.count(), 2000);

    // A second writer is refused, and harms nothing.
    let second = place.once().expect_code(3);
    assert!(second.stderr.contains("another writer"), "{}", second.stderr);

    let begun = Instant::now();
    signal(&child, "TERM");
    let ended = wait(child, Duration::from_secs(30));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(ended.stdout.contains("committed"), "{}", ended.stdout);
    let copy = PrivateCopy::of(place.state()).unwrap();
    assert!(copy.anchor().clean && !copy.writer_active());
    assert_eq!(rows(&place.manifest()), 2000);
    assert_eq!(place.status()["condition"], "fresh");
}

#[test]
fn what_is_watched_is_looked_at_long_before_its_interval() {
    let place = Place::new(FAST);
    place.set("look_interval = \"1h\"\n");
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    until("the first commit", || place.condition().as_deref() == Some("fresh"));
    // Right after the first look, and long after it was proven: nothing but the watch can tell.
    for round in 1..3 {
        place.write(format!("deep{round}/b.parquet"), 1, 0);
        until("the change is committed", || rows(&place.manifest()) == 500 * (round + 1));
        until("every file has aged", || place.status()["live"]["last_look"]["racy"] == 0);
    }
    run.stop();
}

#[test]
fn an_interrupt_ends_once_with_one() {
    let place = Place::new("");
    // Many attempts at a young corrupt file leave time to interrupt.
    place.spoil("bad.parquet", Duration::ZERO);
    let child = program().args(["run", text(&place.config()), "--once"]).spawn().unwrap();
    until("the log is there", || place.state().join("HEAD").exists());
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "INT");
    let ended = wait(child, Duration::from_secs(30));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    assert!(PrivateCopy::of(place.state()).unwrap().anchor().clean);
}

#[test]
fn case_30_killed_at_any_moment_it_goes_on() {
    let place = Place::new(FAST);
    place.look_often();
    place.write("a.parquet", 4, 0);
    for round in 0..4_u8 {
        let child = program().args(["run", text(&place.config())]).spawn().unwrap();
        place.write(format!("b{round}.parquet"), 1, i64::from(round));
        // Before, while and after the log is opened, looked at and built.
        std::thread::sleep(Duration::from_millis(20 + 90 * u64::from(round)));
        signal(&child, "KILL");
        assert_eq!(wait(child, Duration::from_secs(30)).code, None);
    }
    place.once().expect_code(0);
    assert_eq!((rows(&place.manifest()), place.count()), (4000, 4000));
}

#[test]
fn a_name_that_belongs_to_another_kind_is_refused() {
    use lastword::core::vocabulary::{Declaration, Kind, Name, Source};
    let place = Place::new("");
    let reconciler = lastword::engine::Reconciler::open(place.state()).start().unwrap();
    let mut declaration = Declaration::new(Name::new("lineitem").unwrap());
    declaration.kind = Some(Kind::new("echo").unwrap());
    declaration.source = Some(Source::new("s").unwrap());
    reconciler.handle().declare(declaration).unwrap();
    reconciler.shutdown(Duration::from_secs(5)).unwrap();
    let ended = place.once().expect_code(2);
    assert!(ended.stderr.contains("lake.toml:2: collections.lineitem: kind"), "{}", ended.stderr);
    let status: Value = place.status();
    assert_eq!(status["kind"], "echo");
}

#[test]
fn a_log_that_forgets_its_past_goes_on() {
    let place = Place::new(FAST);
    place.look_often();
    let config = std::fs::read_to_string(place.config()).unwrap();
    place.configure(&format!("durability = \"process\"\nsnapshot_every = 500\nretain = {{ events = 10 }}\n{config}"));
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let mut client = place.client();
    for turn in 0..2600 {
        let verb = if turn % 2 == 0 { "pause" } else { "resume" };
        let answered = client.post(&format!("/v1/collections/lineitem/{verb}"), "").unwrap();
        assert!(answered.body.contains("\"seq\":"), "{answered:?}");
    }
    until("the past is forgotten", || PrivateCopy::of(place.state()).unwrap().reader().start().seq.0 > 0);
    place.command(&["wait"]).expect_code(0);
    run.stop();
    place.write("b.parquet", 1, 0);
    let ended = place.once().expect_code(0);
    let named = ended.stdout.lines().skip(1).all(|line| line.contains(" lineitem: "));
    assert!(named && ended.stdout.contains("committed"), "names are known: {}", ended.stdout);
    assert_eq!((rows(&place.manifest()), place.count()), (1000, 1000));
    place.command(&["pause"]).expect_code(0);
}
