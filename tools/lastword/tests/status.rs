//! What `lastword status` says: who has the log open, whether that answers, and what is believed of each collection.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::cell::RefCell;
use std::time::Duration;

use serde_json::Value;
use support::{Ended, Place, Running, lastword, program, text, until, wait};

const FAST: &str = "quiet = \"50ms\"\n";

fn running() -> (Place, Running) {
    let place = Place::new(FAST);
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    (place, run)
}

fn status(place: &Place, more: &[&str]) -> Ended {
    lastword(&[&["status", text(&place.state())], more].concat())
}

#[test]
fn defect_39_a_run_that_answers_is_named_and_what_it_says_is_believed() {
    let (place, run) = running();
    let shown = status(&place, &["--check"]).expect_code(0).stdout;
    let header = format!("run: pid {}, looked ", run.pid());
    assert!(shown.starts_with(&header) && shown.lines().next().unwrap().ends_with(" ago"), "{shown}");
    assert!(shown.contains(" fresh ") && shown.ends_with("1 collection: 1 fresh\n"), "{shown}");
    let row = place.status();
    assert_eq!((&row["observed"], &row["run"]["state"]), (&true.into(), &"answers".into()));
    assert_eq!(row["run"]["pid"], run.pid());
    assert!(row["live"]["last_look"].is_object());
    run.stop();
}

#[test]
fn defect_39_a_run_that_does_not_answer_is_named_and_nothing_is_fresh() {
    let (place, run) = running();
    run.signal("STOP");
    let ended = status(&place, &["--check"]).expect_code(1);
    // Who is stopped is told from who is stuck, and nothing is said twice.
    let header =
        format!("run: pid {0} does not answer: it is stopped; kill -CONT {0} lets it go on; last event ", run.pid());
    assert!(ended.stdout.starts_with(&header), "{}", ended.stdout);
    assert!(ended.stdout.contains(" fresh? ") && ended.stdout.contains(" unknown "), "{}", ended.stdout);
    let row = place.status();
    assert_eq!((&row["observed"], &row["run"]["state"]), (&false.into(), &"does_not_answer".into()));
    assert_eq!((&row["condition"], &row["live"]), (&"fresh".into(), &Value::Null), "what the log says stays");

    // Nor is it waited for longer than was asked for; a minute is what an answer may take otherwise.
    let waited = place.command(&["wait", "--timeout", "4s"]).expect_code(1);
    assert!(waited.stderr.contains("does not answer"), "{}", waited.stderr);
    assert!(waited.took < Duration::from_secs(30), "{:?}", waited.took);
    let waited = place.command(&["wait", "--timeout", "4s", "--json"]).expect_code(1);
    let waited: Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!(waited["waited"], "no_answer");

    run.signal("CONT");
    place.command(&["wait"]).expect_code(0);
    status(&place, &["--check"]).expect_code(0);
    run.stop();
}

#[test]
fn defect_39_that_nobody_runs_is_said_and_how_the_last_one_ended() {
    let (place, run) = running();
    run.kill();
    let ended = status(&place, &["--check"]).expect_code(1);
    let header = ended.stdout.lines().next().unwrap().to_owned();
    assert!(header.starts_with("run: none; the last one (pid ") && header.contains("not closed in order"), "{header}");
    assert!(ended.stdout.contains(" fresh? "), "{}", ended.stdout);
    let row = place.status();
    assert_eq!((&row["run"]["state"], &row["run"]["closed_in_order"]), (&"none".into(), &false.into()));
    status(&place, &[]).expect_code(0);

    place.once().expect_code(0);
    let shown = lastword(&["status", text(&place.config())]).expect_code(0).stdout;
    let header = shown.lines().next().unwrap();
    let start = format!(", closed in order; start it: lastword run {}", text(&place.config()));
    assert!(header.starts_with("run: none since 20") && header.ends_with(&start), "{header}");
}

#[test]
fn defect_07_a_run_that_answers_is_asked_and_no_log_is_copied() {
    let (place, run) = running();
    let nowhere = place.dir.path().join("nowhere");
    let show = || {
        let child = program().args(["status", text(&place.state()), "--json"]).env("TMPDIR", &nowhere).spawn();
        wait(child.unwrap(), Duration::from_secs(60))
    };
    let row: Value = serde_json::from_str(&show().expect_code(0).stdout).unwrap();
    assert_eq!(row["condition"], "fresh");
    run.stop();
    // Without a run there has to be a copy, and there is no place for it.
    show().expect_code(3);
}

#[test]
fn defect_07_more_collections_than_fit_an_answer_are_all_shown() {
    use std::fmt::Write as _;
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    let mut config = "state = \"state\"\nlook_interval = \"1h\"\nwatch = false\ndurability = \"process\"\n".to_owned();
    for number in 0..1203 {
        let _ = write!(config, "[collections.c{number}]\nsource = \"none\"\nspec = {{ format = \"parquet\" }}\n");
    }
    place.configure(&config);
    let run = Running::start(&place);
    let shown = status(&place, &["--json"]).expect_code(0).stdout;
    let mut names: Vec<String> = (0..1203).map(|number| format!("c{number}")).collect();
    names.sort();
    let found =
        shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned());
    assert_eq!(found.collect::<Vec<_>>(), names);
    run.stop();
}

#[test]
fn defect_08_who_waits_takes_no_place_of_who_commands() {
    let (place, run) = running();
    let wait_long =
        || program().args(["wait", text(&place.state()), "lineitem", "--generation", "99"]).spawn().unwrap();
    let waiting: RefCell<Vec<_>> = RefCell::new((0..64).map(|_| wait_long()).collect());
    until("all places of those who wait are taken", || {
        // Of those that come at the same time the one more may be quicker, and another of them finds no place.
        for child in waiting.borrow_mut().iter_mut() {
            if child.try_wait().unwrap().is_some() {
                *child = wait_long();
            }
        }
        let mut more = wait_long();
        std::thread::sleep(Duration::from_millis(200));
        let refused = more.try_wait().unwrap().is_some();
        let _ = more.kill();
        let ended = wait(more, Duration::from_secs(30));
        assert!(!refused || ended.code == Some(3) && ended.stderr.contains("wait already"), "{ended:?}");
        refused
    });
    place.command(&["refresh"]).expect_code(0);
    status(&place, &[]).expect_code(0);
    for mut child in waiting.into_inner() {
        let _ = child.kill();
        let _ = child.wait();
    }
    run.stop();
}

#[test]
fn defect_48_what_is_asked_for_is_shown_and_problems_come_first() {
    let place = Place::new("[collections.aaa]\nsource = \"lake/\"\nspec = { format = \"parquet\" }\n");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    // One that sorts last by name is in trouble, and one is paused.
    place.configure(
        &std::fs::read_to_string(place.config())
            .unwrap()
            .replace("source = \"lake/\"\nspec", "source = \"lake\"\nspec"),
    );
    let bad = place.dir.path().join("bad");
    std::fs::create_dir(&bad).unwrap();
    std::fs::write(bad.join("x.parquet"), "nothing").unwrap();
    std::fs::File::options()
        .write(true)
        .open(bad.join("x.parquet"))
        .unwrap()
        .set_modified(std::time::SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    let config = std::fs::read_to_string(place.config()).unwrap();
    place.configure(&format!("{config}[collections.zzz]\nsource = \"bad\"\nspec = {{ format = \"parquet\" }}\n"));
    place.look_often();
    let run = Running::start(&place);
    until("the bad one is parked", || status(&place, &["zzz"]).stdout.contains(" parked "));
    until("the others are fresh", || !status(&place, &[]).stdout.contains("fresh?"));
    lastword(&["pause", text(&place.state()), "lineitem"]).expect_code(0);

    let names = |shown: &str| -> Vec<String> {
        let rows = shown.lines().skip(2).take_while(|line| !line.contains("collection"));
        rows.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    let shown = status(&place, &[]).expect_code(0).stdout;
    assert_eq!(shown.lines().nth(2).unwrap().split_whitespace().next(), Some("zzz"), "{shown}");
    assert!(shown.contains("to try it again: lastword refresh"), "{shown}");
    assert!(shown.trim_end().ends_with("3 collections: 1 parked, 2 fresh, of them 1 paused as well"), "{shown}");
    assert_eq!(names(&status(&place, &["--condition", "parked"]).expect_code(0).stdout)[..1], ["zzz"]);
    // Who has paused something wants to be reminded of it, also while its source rests.
    assert_eq!(names(&status(&place, &["--unhealthy"]).expect_code(0).stdout), ["zzz", "lineitem"]);
    let none = status(&place, &["--condition", "held"]).expect_code(0).stdout;
    assert!(none.contains(", looked "), "the run has looked, whatever is selected: {none}");
    status(&place, &["--unhealthy", "--check"]).expect_code(1);
    status(&place, &["aaa", "--check"]).expect_code(0);
    let json = status(&place, &["[al]*", "--json"]).expect_code(0).stdout;
    assert_eq!(json.lines().count(), 2, "{json}");
    assert!(status(&place, &["--sort", "lag"]).expect_code(0).stdout.contains("zzz"));
    let paused = status(&place, &["--condition", "paused"]).expect_code(0).stdout;
    assert!(paused.contains("lineitem") && !paused.contains("zzz"), "{paused}");

    // What finds nothing says so.
    let none = status(&place, &["--condition", "held,running"]).expect_code(0);
    assert!(none.stderr.contains("none of 3 collections is held or running"), "{}", none.stderr);
    let none = status(&place, &["x*"]).expect_code(2);
    assert!(none.stderr.contains("no collection whose name matches"), "{}", none.stderr);
    let typo = status(&place, &["--condition", "parkt"]).expect_code(2);
    assert!(typo.stderr.contains("parked"), "what is allowed is named: {}", typo.stderr);
    run.stop();
}

/// A program of somebody's whose destination refuses every discard.
struct Refuses;

impl lastword::Worker for Refuses {
    fn run(&self, _: &lastword::Context) -> Result<lastword::Built, lastword::Failure> {
        Ok(lastword::Built { output: Some("there".into()), ..lastword::Built::default() })
    }

    fn duties(&self) -> lastword::destination::Duties {
        lastword::destination::Duties { publish: false, discard: true }
    }

    fn discard(
        &self,
        _: &lastword::destination::DiscardRequest<'_>,
    ) -> Result<(), lastword::destination::DeliveryError> {
        Err(lastword::destination::DeliveryError("the bucket is read-only\nand more of it".to_owned()))
    }
}

#[test]
fn what_a_dropped_collection_has_left_and_nobody_can_discard_is_shown_with_its_name_time_and_error() {
    use lastword::core::vocabulary::{Declaration, Kind, Name, Source};
    let place = Place::new(FAST);
    place.look_often();
    place.write("a.parquet", 1, 0);
    {
        let kind = Kind::new("theirs").unwrap();
        let reconciler = lastword::Reconciler::open(place.state()).kind(kind.clone(), Refuses).start().unwrap();
        let (handle, name) = (reconciler.handle(), Name::new("gone").unwrap());
        let declaration = Declaration::new(name.clone()).kind(kind).source(Source::new("s").unwrap()).unversioned();
        let generation = handle.declare(declaration).unwrap().generation;
        handle.wait_applied(name.clone(), generation, Duration::from_secs(60)).unwrap();
        handle.drop_collection(name).unwrap();
        until("a discard that fails", || handle.stats().unwrap().counters.publish_failed > 0);
        reconciler.shutdown(Duration::from_secs(5)).unwrap();
    }
    let is_told = |place: &Place, others: u64| {
        let shown = status(place, &[]).expect_code(0).stdout;
        let line = shown.lines().find(|line| line.starts_with("gone ")).unwrap_or_else(|| panic!("{shown}"));
        assert!(
            line.contains(" dropped ") && line.contains(" 20") && line.contains("the bucket is read-only"),
            "{line}"
        );
        assert!(shown.contains("; 1 dropped and not discarded"), "{shown}");
        let json = status(place, &["--json"]).expect_code(0).stdout;
        assert_eq!(json.lines().count() as u64, others + 1, "{json}");
        let row: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&row["name"], &row["condition"], &row["undiscarded"]),
            (&"gone".into(), &"dropped".into(), &1.into())
        );
        assert!(row["since"].as_str().unwrap().starts_with("20"), "{row}");
        assert_eq!(row["delivery_failure"]["cause"], "the bucket is read-only\nand more of it", "{row}");
        assert_eq!(row["delivery_failure"]["delivery"], "discard", "{row}");
        status(place, &["--check"]).expect_code(1);
        // Who asks for something else is not told.
        assert!(!status(place, &["--condition", "fresh"]).expect_code(0).stdout.contains("gone"));
    };
    is_told(&place, 0);
    // A run that does not build the kind says so as well.
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    is_told(&place, 1);
    assert!(!place.command(&["status"]).expect_code(0).stdout.contains("gone"));
    run.stop();
}
