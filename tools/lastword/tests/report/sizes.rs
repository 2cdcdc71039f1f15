//! Large logs: what a page leaves out it says, and how quick it is is measured.

use std::time::Instant;

use serde_json::json;

use super::browser::Browser;
use super::support::text;
use super::{report, world};

#[test]
fn what_a_page_leaves_out_it_says_with_how_to_narrow_it() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("large.evlog");
    let world = world::large(40, 900);
    world.export(&stream);
    let last = world.last();
    let (_page_dir, page, ended) = report(&stream, &["--events", "200"]);
    assert!(ended.stderr.contains("the last 200 events"), "{}", ended.stderr);
    browser.open(&page, "");
    let notice = browser.text("#notice");
    for expected in ["the last 200 events", "summed up", "--events", "--to", "--collection"] {
        assert!(notice.contains(expected), "{expected}: {notice}");
    }
    assert_eq!(browser.run("return lastword.rows('').length"), json!(40), "all collections are there all the same");
    assert_eq!(browser.run("return document.getElementById('slider').min"), json!((last - 200).to_string()));
    // Further back, and less of it.
    let (_page_dir, page, _) = report(&stream, &["--events", "200", "--to", "300", "--collection", "*1"]);
    browser.open(&page, "");
    let names = browser.run("return lastword.rows('').map((row) => row.name)");
    let names: Vec<String> = serde_json::from_value(names).unwrap();
    assert_eq!(names.len(), 4);
    assert!(names.iter().all(|name| name.ends_with('1')), "{names:?}");
    assert_eq!(browser.run("return document.getElementById('slider').max"), json!("300"));
    browser.assert_quiet();
    // A whole log has nothing to say.
    let (_page_dir, page, ended) = report(&stream, &[]);
    assert_eq!(ended.stderr, "");
    browser.open(&page, "");
    assert_eq!(browser.run("return document.getElementById('notice').hidden"), json!(true));
}

/// A bench: 100,000 events, 2,000 collections.
#[test]
#[ignore = "measures, and asserts nothing"]
fn speed() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("large.evlog");
    let world = world::large(2000, 100_000);
    world.export(&stream);
    let begun = Instant::now();
    let (_page_dir, page, _) = report(&stream, &[]);
    let bytes = std::fs::metadata(&page).unwrap().len();
    println!(
        "{} events, 2,000 collections: a page of {} MB in {:?} ({})",
        world.last(),
        bytes / 1_000_000,
        begun.elapsed(),
        text(&page)
    );
    for _ in 0..3 {
        browser.open(&page, "");
        let shown = browser.run("return performance.getEntriesByName('lastword-shown')[0].startTime");
        let painted =
            browser.run("return performance.getEntriesByType('paint').map((entry) => [entry.name, entry.startTime])");
        println!("first picture: drawn after {shown} ms, painted {painted}");
    }
    let step = "const slider = document.getElementById('slider'); const times = []; \
                for (let step = 1; step <= 200; step++) { const begun = performance.now(); \
                slider.value = String(Math.floor(step * slider.max / 200)); slider.dispatchEvent(new Event('input', {bubbles: true})); \
                document.body.offsetHeight; times.push(performance.now() - begun); } \
                times.sort((a, b) => a - b); return {median: times[100], p95: times[190], most: times[199]}";
    for place in [
        "#fleet",
        "#fleet?is=you",
        "#collection?of=tenant-001/table-0001",
        "#collection?of=tenant-001/table-0001&scale=events",
        "#why?of=tenant-001/table-0001",
        "#time",
        "#waiting",
    ] {
        browser.open(&page, place);
        println!("a step of the slider in {place}: {}", browser.run(step));
    }
}
