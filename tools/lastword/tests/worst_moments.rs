//! What people and machines do to a run at the worst moment: kills, half-written files, drops in the middle.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lastword::core::vocabulary::Seq;
use lastword::log::PrivateCopy;
use lastword::replay;
use support::{Client, Place, Running, lastword, program, rows, text, until};

const FAST: &str = "quiet = \"50ms\"\n";

/// Pauses and resumes in turn until nobody answers; the receipts that came.
fn bombard(place: &Place, actor: usize, answered: &AtomicBool) -> Vec<u64> {
    let Ok(mut client) = Client::connect(&place.socket()) else { return Vec::new() };
    let mut acknowledged = Vec::new();
    for turn in 0.. {
        let verb = if turn % 2 == 0 { "pause" } else { "resume" };
        let by = format!("{{\"actor\":\"a{actor}\"}}");
        let Ok(receipt) = client.post(&format!("/v1/collections/lineitem/{verb}"), &by) else { break };
        acknowledged.extend(receipt.json()["seq"].as_u64());
        answered.store(!acknowledged.is_empty(), Ordering::Release);
    }
    acknowledged
}

#[test]
fn case_30_what_was_acknowledged_is_there_after_a_kill() {
    let place = Place::new(FAST);
    place.set("look_interval = \"100ms\"\ndurability = \"process\"\n");
    place.write("a.parquet", 1, 0);
    for round in 0..4_u64 {
        let run = Running::start(&place);
        let answered = AtomicBool::new(false);
        let receipts: Vec<(usize, u64)> = thread::scope(|scope| {
            let (place, answered) = (&place, &answered);
            let people: Vec<_> = (0..6).map(|actor| scope.spawn(move || bombard(place, actor, answered))).collect();
            until("somebody is answered", || answered.load(Ordering::Acquire));
            thread::sleep(Duration::from_millis(50 + 70 * round));
            run.kill();
            let heard = people.into_iter().map(|person| person.join().unwrap()).enumerate();
            heard.flat_map(|(actor, seqs)| seqs.into_iter().map(move |seq| (actor, seq))).collect()
        });
        assert!(!receipts.is_empty());
        let copy = PrivateCopy::of(place.state()).unwrap();
        let reader = copy.reader();
        let found: BTreeMap<u64, String> = replay::events(&*reader, Seq::ZERO)
            .map(|event| event.unwrap())
            .filter_map(|event| Some((event.seq.0, event.by.as_ref()?.actor()?.to_owned())))
            .collect();
        for (actor, seq) in receipts {
            assert_eq!(found.get(&seq), Some(&format!("a{actor}")), "round {round}, event {seq}");
        }
    }
    place.command(&["resume"]).expect_code(0);
    place.once().expect_code(0);
    assert_eq!(rows(&place.manifest()), place.count());
}

#[test]
fn half_a_file_is_never_adopted() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let whole = "watch = false\nlook_interval = \"1h\"\nstate = \"state\"\n\
        [collections.lineitem]\nsource = \"lake/\"\nspec = { format = \"parquet\" }\ntarget_rows = 77\n\
        [collections.nation]\nsource = \"nation/\"\nspec = { format = \"parquet\" }\nquiet = \"51ms\"\n";
    place.configure(whole);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    for cut in (0..whole.len()).step_by(7) {
        let last = place.last_event();
        place.configure(&whole[..cut]);
        lastword(&["reload", text(&place.state())]).expect_code(2);
        assert_eq!(place.last_event(), last, "{}", &whole[..cut]);
    }
    place.configure(whole);
    lastword(&["reload", text(&place.state())]).expect_code(0);
    let ended = run.stop();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn a_drop_in_the_middle_of_a_build_is_the_end_of_it() {
    let place = Place::new(FAST);
    place.look_often();
    place.write("a.parquet", 1, 0);
    let copy = |copies: std::ops::Range<u64>| {
        for copy in copies {
            fs::copy(place.lake().join("a.parquet"), place.lake().join(format!("{copy}.parquet"))).unwrap();
        }
    };
    copy(0..1500);
    let run = Running::start(&place);
    // On a busy machine a build may be over before anybody asks; more files take longer.
    for files in [1500, 3000, 6000, 12_000, 24_000] {
        lastword(&["reload", text(&place.state())]).expect_code(0);
        until("it builds", || matches!(place.condition().as_deref(), Some("running" | "fresh")));
        let waiting = program().args(["wait", text(&place.state()), "lineitem", "--generation", "1"]).spawn().unwrap();
        place.command(&["drop"]).expect_code(0);
        let ended = support::wait(waiting, Duration::from_secs(30));
        if ended.code == Some(0) {
            copy(files..2 * files);
            continue;
        }
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        lastword(&["reload", text(&place.state())]).expect_code(0);
        place.command(&["wait"]).expect_code(0);
        assert_eq!(rows(&place.manifest()), 500 * (files + 1));
        run.stop();
        return;
    }
    panic!("no build was slow enough to be dropped");
}

#[test]
fn who_waits_hears_of_the_end_of_the_run() {
    // A task that failed stays live for as long as the test takes, so there is something to wait for.
    let place = Place::new("quiet = \"50ms\"\nbackoff_base = \"1h\"\nbackoff_cap = \"1h\"\n");
    place.look_often();
    place.spoil("bad.parquet", Duration::ZERO);
    for kill in [false, true] {
        let run = Running::start(&place);
        until("a task is live", || place.status()["task"].is_u64());
        let state = place.state();
        let wait = |more: &[&str]| program().args(["wait", text(&state), "lineitem"]).args(more).spawn().unwrap();
        let waits = [wait(&[]), wait(&["--generation", "1"])];
        // In the middle of their waiting, mostly; before it, the answer is the same.
        thread::sleep(Duration::from_millis(300));
        if kill {
            run.kill();
        } else {
            run.stop();
        }
        for wait in waits {
            let ended = support::wait(wait, Duration::from_secs(30)).expect_code(1);
            assert!(ended.stderr.contains("lineitem: no lastword runs here"), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_wait_on_whatever_there_is_ends() {
    let place = Place::new(FAST);
    place.look_often();
    fs::remove_dir(place.lake()).unwrap();
    let run = Running::start(&place);
    let expect = |code: i32, said: &str| {
        let ended = place.command(&["wait"]).expect_code(code);
        assert!([&ended.stdout, &ended.stderr].iter().any(|text| text.contains(said)), "{said}: {ended:?}");
    };
    expect(1, "unobservable: ");
    fs::write(place.lake(), "a file").unwrap();
    expect(1, "is not a directory");
    fs::remove_file(place.lake()).unwrap();
    fs::create_dir(place.lake()).unwrap();
    expect(1, "held: ");
    symlink("nowhere", place.lake().join("link.parquet")).unwrap();
    expect(1, "held: ");
    place.write("a.parquet", 1, 0);
    expect(0, "applied, generation 1");
    place.command(&["pause"]).expect_code(0);
    expect(0, "applied, generation 1");
    place.write("b.parquet", 1, 1);
    expect(1, "paused: ");
    place.command(&["drop"]).expect_code(0);
    expect(2, "there is no collection");
    run.stop();
}
