//! What a run tells Prometheus: read by the parser of its Python client and by `promtool`, and held against the log and
//! `lastword status --json`.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lastword::core::vocabulary::{AbortReason, Event, FailReason, ParkCause, Recorded, Seq};
use lastword::log::PrivateCopy;
use lastword::replay;
use serde_json::Value;
use support::{Client, Place, Running, lastword, program, text, until};
use test_buckets::servers::python_with;

/// Pinned: what the test says of its parser is said of this version.
const CLIENT: &str = "prometheus_client==0.26.0";

fn told(place: &Place) -> String {
    lastword(&["metrics", text(&place.state())]).expect_code(0).stdout
}

/// Every series with its value, as it is written.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(key, value)| (key.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The same, as the Python client reads it: names, labels and values.
fn by_python(python: &Path, told: &str) -> Vec<Value> {
    let program = "import json, sys\n\
                   from prometheus_client.parser import text_string_to_metric_families as parse\n\
                   for family in parse(sys.stdin.read()):\n\
                   \x20   for s in family.samples:\n\
                   \x20       print(json.dumps([s.name, s.labels, s.value, family.type, family.documentation]))\n";
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs `promtool`, if it is there; a check that it refuses fails the test.
fn promtool(arguments: &[&str], stdin: &str, directory: &Path) {
    let child = Command::new("promtool")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let is_required = std::env::var_os("LASTWORD_REQUIRE_PROMTOOL").is_some_and(|value| value == "1");
            assert!(!is_required, "promtool cannot be run: {error}");
            eprintln!("skipped: promtool cannot be run: {error}");
            return;
        }
    };
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}\n{stdin}");
}

/// The events of the last writer up to this one.
fn events(place: &Place, until: u64) -> Vec<Recorded> {
    let copy = PrivateCopy::of(place.state()).unwrap();
    let reader = copy.reader();
    let all: Vec<Recorded> = replay::events(&*reader, Seq::ZERO).map(Result::unwrap).collect();
    let epoch = all.last().unwrap().epoch;
    all.into_iter().filter(|event| event.epoch == epoch && event.seq.0 <= until).collect()
}

fn status(place: &Place) -> Vec<Value> {
    let shown = lastword(&["status", text(&place.state()), "--json"]).expect_code(0).stdout;
    shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A run that has committed, failed, superseded, parked, been cancelled and dropped, and has sources that are not there.
fn eventful() -> (Place, Running) {
    let place = Place::new("quiet = \"50ms\"\n");
    let mut config = fs::read_to_string(place.config()).unwrap();
    for name in ["bad", "young", "held", "paused", "dropped"] {
        fs::create_dir(place.dir.path().join(name)).unwrap();
        fs::write(place.dir.path().join(name).join("a.txt"), "a").unwrap();
        let format = if ["bad", "young"].contains(&name) { "parquet" } else { "files" };
        let _ = write!(
            config,
            "[collections.{name}]\nsource = \"{name}/\"\nquiet = \"50ms\"\nspec = {{ format = \"{format}\" }}\n"
        );
    }
    for number in 0..25 {
        let _ = write!(config, "[collections.gone-{number:02}]\nsource = \"none\"\nspec = {{ format = \"files\" }}\n");
    }
    // Quotes and backslashes, and what would be another series.
    let odd = serde_json::json!("a\"} 1 \\ lastword_events_total 99 {x=\"y");
    let _ = write!(config, "[collections.{odd}]\nsource = \"none\"\nspec = {{ format = \"files\" }}\n");
    place.configure(&config);
    place.look_often();
    let bad = place.dir.path().join("bad").join("b.parquet");
    let spoil = |path: &Path, age: Duration| {
        fs::write(path, "no Parquet").unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(std::time::SystemTime::now() - age).unwrap();
    };
    spoil(&bad, Duration::from_secs(3600));
    let young = place.dir.path().join("young").join("b.parquet");
    spoil(&young, Duration::ZERO);
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    let condition = |name: &str| {
        status(&place).iter().find(|row| row["name"] == name).map(|row| row["condition"].as_str().unwrap().to_owned())
    };
    let is = |name: &str, what: &str| condition(name).as_deref() == Some(what);
    place.command(&["wait"]).expect_code(0);
    place.write("b.parquet", 2, 1);
    place.command(&["wait"]).expect_code(0);
    until("a parked collection", || is("bad", "parked"));
    until("one that is tried again", || is("young", "backing_off") || is("young", "parked"));
    // What is wanted changes while the one before backs off.
    fs::write(young.with_file_name("c.txt"), "more").unwrap();
    place.write("../young/d.parquet", 1, 0);
    until("a task that was superseded", || place_has(&place, "task_aborted"));
    until("a commit", || is("held", "fresh"));
    fs::remove_file(place.dir.path().join("held/a.txt")).unwrap();
    until("one that is held", || is("held", "held"));
    let state = place.state();
    lastword(&["pause", text(&state), "paused"]).expect_code(0);
    lastword(&["drop", text(&state), "dropped"]).expect_code(0);
    until("sources that are not there", || is("gone-24", "unobservable"));
    (place, run)
}

fn place_has(place: &Place, event_type: &str) -> bool {
    let end = place.last_event();
    events(place, end).iter().any(|event| event.event.type_name() == event_type)
}

#[test]
fn what_a_run_tells_is_what_the_log_and_its_status_say() {
    let (place, run) = eventful();
    let told = told(&place);
    let samples = samples(&told);
    let value = |key: &str| *samples.get(key).unwrap_or_else(|| panic!("{key} is not told:\n{told}"));
    let last = value("lastword_log_last_event") as u64;
    let events = events(&place, last);
    let count = |is: &dyn Fn(&Event) -> bool| events.iter().filter(|event| is(&event.event)).count() as f64;
    let aborted = |of| count(&move |event| matches!(event, Event::TaskAborted { reason, .. } if *reason == of));
    let failed = |of| count(&move |event| matches!(event, Event::AttemptFailed { reason, .. } if *reason == of));
    let parked = |of| count(&move |event| matches!(event, Event::TaskParked { cause, .. } if *cause == of));
    for (key, of_log) in [
        ("lastword_events_total", events.len() as f64),
        ("lastword_tasks_created_total", count(&|event| matches!(event, Event::TaskCreated { .. }))),
        ("lastword_attempts_started_total", count(&|event| matches!(event, Event::TaskStarted { .. }))),
        (
            "lastword_tasks_ended_total{outcome=\"committed\"}",
            count(&|event| matches!(event, Event::TaskCompleted { .. })),
        ),
        ("lastword_tasks_ended_total{outcome=\"superseded\"}", aborted(AbortReason::Superseded)),
        ("lastword_tasks_ended_total{outcome=\"cancelled\"}", aborted(AbortReason::Cancelled)),
        ("lastword_tasks_ended_total{outcome=\"dropped\"}", aborted(AbortReason::Dropped)),
        ("lastword_tasks_ended_total{outcome=\"parked\"}", count(&|event| matches!(event, Event::TaskParked { .. }))),
        ("lastword_tasks_parked_total{cause=\"permanent\"}", parked(ParkCause::Permanent)),
        ("lastword_attempts_failed_total{reason=\"failed\"}", failed(FailReason::Failed)),
        ("lastword_attempts_failed_total{reason=\"source_moved\"}", failed(FailReason::SourceMoved)),
    ] {
        assert_eq!(value(key), of_log, "{key}");
    }
    assert!(value("lastword_tasks_ended_total{outcome=\"committed\"}") >= 3.0);
    assert!(value("lastword_tasks_ended_total{outcome=\"superseded\"}") >= 1.0);
    assert!(value("lastword_attempts_failed_total{reason=\"failed\"}") >= 2.0);

    // As of the status: the rows, counted.
    let rows = status(&place);
    let of_status = |what: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| what(row)).count() as f64;
    for condition in ["fresh", "parked", "held", "paused", "unobservable", "not_observed", "backing_off"] {
        let key = format!("lastword_collections{{condition=\"{condition}\"}}");
        assert_eq!(value(&key), of_status(&|row| row["condition"] == condition), "{condition}");
    }
    assert_eq!(value("lastword_collections_flagged{flag=\"paused\"}"), of_status(&|row| row["paused"] == true));
    assert_eq!(value("lastword_collections_flagged{flag=\"held\"}"), of_status(&|row| !row["held"].is_null()));
    assert_eq!(value("lastword_lag_unknown"), of_status(&|row| row["lag_seconds"].is_null()));
    assert_eq!(value("lastword_lag_seconds_count"), of_status(&|row| !row["lag_seconds"].is_null()));
    let behind = rows.iter().filter_map(|row| row["lag_seconds"].as_f64()).fold(0.0, f64::max);
    let most = value("lastword_lag_max_seconds");
    assert!(most > 0.0 && most <= behind + 1e-6, "{most} and a moment later {behind}");

    // Names are few, however many collections need somebody.
    let named = |metric: &str| samples.keys().filter(|key| key.starts_with(&format!("{metric}{{"))).count();
    assert_eq!(named("lastword_collection_needs_somebody"), 20);
    assert!((1..=20).contains(&named("lastword_collection_lag_seconds")));
    assert!(value("lastword_log_bytes") > 0.0 && value("lastword_barrier_seconds_count") > 0.0);
    assert_eq!(value("lastword_barrier_seconds_count"), value("lastword_frames_total"));
    assert!(value("lastword_look_seconds_count") >= value("lastword_looks_failed_total"));
    assert!(value("lastword_looks_failed_total") >= 26.0);
    for histogram in ["lastword_lag_seconds", "lastword_look_seconds", "lastword_barrier_seconds"] {
        let begins = format!("{histogram}_bucket{{le=\"");
        let buckets = told.lines().filter_map(|line| line.strip_prefix(&begins)?.split_once("\"} "));
        let buckets: Vec<(f64, f64)> =
            buckets.map(|(bound, count)| (bound.replace('+', "").parse().unwrap(), count.parse().unwrap())).collect();
        assert!(buckets.len() > 8 && buckets.is_sorted(), "{histogram}: {buckets:?}");
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{histogram}: each holds the one before: {buckets:?}");
        assert_eq!(*buckets.last().unwrap(), (f64::INFINITY, value(&format!("{histogram}_count"))), "{histogram}");
    }

    // What is told is of now, and not of the first time.
    let unobservable = value("lastword_collections{condition=\"unobservable\"}");
    lastword(&["drop", text(&place.state()), "gone-24"]).expect_code(0);
    let one_less = format!("\nlastword_collections{{condition=\"unobservable\"}} {:?}\n", unobservable - 1.0);
    until("one less", || crate::told(&place).contains(&one_less));
    run.stop();
}

#[test]
fn what_a_run_tells_is_read_by_the_client_of_prometheus_and_by_promtool() {
    let (place, run) = eventful();
    let told = told(&place);
    promtool(&["check", "metrics"], &told, place.dir.path());
    if let Some(python) = python_with(CLIENT) {
        let read = by_python(&python, &told);
        let of_lines = samples(&told);
        assert_eq!(read.len(), of_lines.len());
        let values: f64 = read.iter().map(|sample| sample[2].as_f64().unwrap()).sum();
        assert!((values - of_lines.values().sum::<f64>()).abs() < 1e-3, "each is read as it was written");
        let untyped: Vec<&Value> = read.iter().filter(|sample| sample[3] == "unknown" || sample[4] == "").collect();
        assert!(untyped.is_empty(), "each has its type and help: {untyped:?}");
        let odd = "a\"} 1 \\ lastword_events_total 99 {x=\"y";
        let is_odd = |sample: &&Value| sample[1]["collection"] == odd;
        assert_eq!(read.iter().filter(is_odd).count(), 1, "a name comes back as it is");
        assert_eq!(read.iter().filter(|sample| sample[0] == "lastword_events_total").count(), 1);
    }
    run.stop();
}

#[test]
fn a_scrape_is_a_get_and_is_told_what_the_command_prints() {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let mut client = Client::connect(&place.socket()).unwrap();
    let answered = client.get("/metrics").unwrap();
    assert_eq!(answered.status, 200);
    assert!(answered.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{}", answered.head);
    assert!(answered.body.ends_with('\n') && answered.body.contains("\nlastword_tasks_created_total 1.0\n"));
    let names = |text: &str| samples(text).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&answered.body), names(&told(&place)));
    // The connection goes on, and only GET is a scrape.
    assert_eq!(client.post("/metrics", "").unwrap().status, 405);
    assert_eq!(client.get("/metrics?format=json").unwrap().status, 400);
    run.stop();
}

#[test]
fn the_rules_for_alerts_are_rules_and_fire_at_what_they_are_for() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/prometheus");
    promtool(&["check", "rules", "alerts.yml"], "", &rules);
    promtool(&["test", "rules", "alerts_test.yml"], "", &rules);
}

#[test]
fn without_a_run_there_are_no_metrics_and_that_is_said() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    lastword(&["metrics", text(&place.state())]).expect_code(3);
    place.once().expect_code(0);
    let ended = lastword(&["metrics", text(&place.state())]).expect_code(3);
    assert!(ended.stderr.contains("no lastword runs here, so there are no metrics"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let table = lastword(&["metrics", "--table"]).expect_code(0).stdout;
    assert!(table.contains("| `lastword_lag_max_seconds` | gauge | seconds |"), "{table}");
    lastword(&["metrics"]).expect_code(2);
}

#[test]
fn case_39_no_secret_is_told() {
    const SECRET: &str = "AKIAtopsecret9";
    let place = Place::new(
        "[collections.bucket]\nsource = \"s3://lake/a/\"\nspec = { format = \"files\" }\n\
         [stores.\"s3://lake\"]\nendpoint = \"http://127.0.0.1:9\"\nallow_http = true\n\
         access_key_id = \"env:LAKE_KEY\"\nsecret_access_key = \"env:LAKE_KEY\"\n",
    );
    place.look_often();
    place.write("a.parquet", 1, 0);
    let mut child = program().args(["run", text(&place.config())]).env("LAKE_KEY", SECRET).spawn().unwrap();
    until("the run takes commands", || std::os::unix::net::UnixStream::connect(place.socket()).is_ok());
    until("a look at the bucket", || told(&place).contains("{collection=\"bucket\""));
    assert!(!told(&place).contains(SECRET));
    support::signal(&child, "TERM");
    child.wait().unwrap();
}
