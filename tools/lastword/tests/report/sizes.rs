//! Large logs: what a page leaves out it says, and how quick it is is measured.

use std::time::Instant;

use serde_json::json;

use super::browser::Browser;
use super::support::{lastword, text};
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

#[test]
fn a_page_is_its_owners_alone_and_is_written_as_a_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let (stream, page) = (dir.path().join("small.evlog"), dir.path().join("audit.html"));
    world::large(3, 40).export(&stream);
    lastword(&["report", text(&stream), "-o", text(&page)]).expect_code(0);
    assert_eq!(std::fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
    let whole = std::fs::read_to_string(&page).unwrap();
    assert!(whole.starts_with("<!doctype html>") && whole.ends_with("</html>\n"));
    // The same log is the same page, also on standard output.
    assert_eq!(lastword(&["report", text(&stream), "-o", "-"]).expect_code(0).stdout, whole);
    // What cannot be read or written leaves what was there.
    let (absent, torn) = (dir.path().join("absent"), dir.path().join("torn.evlog"));
    let bytes = std::fs::read(&stream).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    for (log, code) in [(&absent, 3), (&torn, 1), (&page, 2)] {
        let ended = lastword(&["report", text(log), "-o", text(&page)]);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(text(log)), "{}", ended.stderr);
    }
    lastword(&["report", text(&stream), "-o", text(dir.path())]).expect_code(2);
    lastword(&["report", text(&stream), "-o", text(&absent.join("audit.html"))]).expect_code(3);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), whole);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
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
