//! All that a page says of a moment is what `state --at` says of it.

use std::path::Path;

use lastword::core::CollectionView;
use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::describe::view_json;
use lastword::evlog::EvlogFile;
use lastword::log::{LogReader, PrivateCopy};
use lastword::replay::{Until, state_at};
use serde_json::{Value, json};

use super::browser::Browser;
use super::support::{Place, lastword, text};
use super::{report, world};

/// Logs of the simulator, one seed each, with crashes, leases, limits, holds and destinations that fail. They were made by
/// `cargo test -p lastword --all-features --test sim -- --seed 71 --export tools/lastword/tests/report/seed-71.evlog`.
const SIMULATED: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/seed-17.evlog"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/seed-71.evlog"),
];

/// What `log-dump state --at` prints, as it makes it.
fn told(reader: &dyn LogReader, until: Until) -> Value {
    let state = state_at(reader, until).unwrap();
    let now = match until {
        Until::Time(at) => at.max(state.at()),
        Until::Seq(_) | Until::End => state.at(),
    };
    let views = state.by_name().filter_map(|(id, _)| CollectionView::of(&state, id, now));
    views.map(|view| serde_json::from_str::<Value>(&view_json(&view, now)).unwrap()).collect()
}

/// A browser writes 0 where Rust writes 0.0: both are the same number.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(all) => all.iter().map(plain).collect(),
        Value::Object(all) => all.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

/// Compares a page with the log at these moments, each after its event and at times before the next.
#[track_caller]
fn compare(browser: &mut Browser, reader: &dyn LogReader, page: &Path, moments: impl Iterator<Item = u64>) -> usize {
    browser.open(page, "");
    let mut untils = Vec::new();
    for seq in moments {
        untils.push((Until::Seq(Seq(seq)), json!(seq.to_string())));
        let at = state_at(reader, Until::Seq(Seq(seq))).unwrap().at();
        // What waits ends by itself at some of these.
        for later in [1, 900_000, 7_000_000, 45_000_000] {
            let at = Timestamp(at.0 + later);
            untils.push((Until::Time(at), json!(at.to_string())));
        }
    }
    for some in untils.chunks(100) {
        let asked: Vec<&Value> = some.iter().map(|(_, at)| at).collect();
        let shown = browser.run_with("return arguments[0].map((at) => lastword.rows(at))", &json!(asked));
        for ((until, at), shown) in some.iter().zip(shown.as_array().unwrap()) {
            let told = told(reader, *until);
            assert_eq!(told.as_array().unwrap().len(), shown.as_array().unwrap().len(), "collections at {at}");
            for (told, shown) in told.as_array().unwrap().iter().zip(shown.as_array().unwrap()) {
                for (key, told) in told.as_object().unwrap() {
                    let (told, seen) = (plain(told), plain(&shown[key]));
                    assert_eq!(told, seen, "{key} at {at} of {}", shown["name"]);
                }
                assert_eq!(told.as_object().unwrap().len(), shown.as_object().unwrap().len(), "keys");
            }
        }
    }
    untils.len()
}

#[test]
fn a_page_says_at_every_moment_of_the_demo_what_the_log_says() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new("");
    let dir = place.dir.path().join("day");
    lastword(&["demo", "--dir", text(&dir)]).expect_code(0);
    let (_dir, page, _) = report(&dir.join("state"), &[]);
    let copy = PrivateCopy::of(dir.join("state")).unwrap();
    let compared = compare(&mut browser, copy.reader().as_ref(), &page, 0..=copy.end().seq.0);
    assert!(compared > 200, "{compared}");
    browser.assert_quiet();
}

#[test]
fn a_page_says_at_many_moments_of_a_simulation_what_the_log_says() {
    let Some(mut browser) = Browser::start() else { return };
    for stream in SIMULATED {
        let (_dir, page, _) = report(Path::new(stream), &[]);
        let file = EvlogFile::open(stream).unwrap();
        let (first, last) = (file.totals().start.first().0, file.totals().end.seq.0);
        let compared = compare(&mut browser, &file, &page, first.saturating_sub(1)..=last);
        assert!(compared > 500, "{compared}");
    }
    browser.assert_quiet();
}

#[test]
fn a_page_of_a_fleet_under_limits_says_what_the_log_says() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("fleet.evlog");
    let fleet = world::fleet();
    fleet.export(&stream);
    let (_dir, page, _) = report(&stream, &[]);
    let file = EvlogFile::open(&stream).unwrap();
    compare(&mut browser, &file, &page, (0..=fleet.last()).step_by(29));
    // And of a part of it: the last of its events, and some of its collections.
    let (_dir, page, _) = report(&stream, &["--events", "100"]);
    compare(&mut browser, &file, &page, (fleet.last() - 100..=fleet.last()).step_by(9));
}
