//! What a person does with a page: looks, slides, filters, follows links, types.

use serde_json::{Value, json};

use super::browser::Browser;
use super::support::{Place, lastword, text};
use super::{report, world};

fn demo() -> (Place, std::path::PathBuf) {
    let place = Place::new("");
    let dir = place.dir.path().join("day");
    lastword(&["demo", "--dir", text(&dir)]).expect_code(0);
    (place, dir.join("state"))
}

fn stream_of_a_fleet() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("fleet.evlog");
    world::fleet().export(&stream);
    (dir, stream)
}

/// Small steps come to the address a moment later.
#[track_caller]
fn assert_hash(browser: &mut Browser, hash: &str) {
    let script = format!("return location.hash === {}", json!(hash));
    browser.wait(&script, &format!("the address ends with {hash}"));
}

const CELL: &str = "#collections .rows .row:not([hidden]) > :nth-child";

#[test]
fn a_page_shows_the_numbers_that_status_shows_and_asks_nobody() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, state) = demo();
    let ended = lastword(&["status", text(&state), "--json"]).expect_code(0);
    let status: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    let (_dir, page, _) = report(&state, &[]);
    browser.open(&page, "");
    assert_eq!(browser.texts(&format!("{CELL}(1)")), ["lineitem"]);
    assert_eq!(browser.texts(&format!("{CELL}(2)")), ["fresh"]);
    assert_eq!(status["rows"], 22_000);
    assert_eq!(browser.texts(&format!("{CELL}(7)")), ["22,000"]);
    let row = browser.run("return lastword.rows('')[0]");
    for key in [
        "rows",
        "generation",
        "applied",
        "wanted",
        "applied_at",
        "segments_kept",
        "segments_new",
        "condition",
        "policy",
    ] {
        assert_eq!(row[key], status[key], "{key}");
    }
    // Every view, in turn, is there without a complaint and without a request.
    for (key, view) in [("1", "Fleet"), ("2", "Collection"), ("3", "Why"), ("4", "Time"), ("5", "Waiting for you")] {
        browser.keys(Some("body"), &[key]);
        let label = browser.run("return document.querySelector('main > section').getAttribute('aria-label')");
        assert_eq!(label, json!(view));
    }
    browser.assert_quiet();
    let policy = browser.run("return document.querySelector('meta[http-equiv]').content");
    let policy = policy.as_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_slider_puts_every_view_to_its_moment() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, state) = demo();
    let (_dir, page, _) = report(&state, &[]);
    browser.open(&page, "");
    let slide = "const slider = document.getElementById('slider'); slider.value = arguments[0]; \
                 slider.dispatchEvent(new Event('input', {bubbles: true})); return document.documentElement.dataset.shown";
    assert_eq!(browser.run_with(slide, &json!(2)), json!("fleet 2"));
    assert_eq!(browser.texts(&format!("{CELL}(1)")), ["lineitem"]);
    assert_eq!(browser.texts(&format!("{CELL}(7)")), ["–"], "nothing is committed yet");
    assert_eq!(browser.run_with(slide, &json!(1)), json!("fleet 1"));
    assert!(browser.texts(&format!("{CELL}(1)")).is_empty(), "it is not declared yet");
    // With the keyboard, event by event, and to the end.
    browser.keys(Some("body"), &["]"]);
    assert_hash(&mut browser, "#fleet?at=2");
    browser.keys(Some("#slider"), &["@ARROW_RIGHT", "@ARROW_RIGHT"]);
    assert_hash(&mut browser, "#fleet?at=4");
    browser.keys(Some("#slider"), &["@END"]);
    assert_hash(&mut browser, "#fleet");
    assert_eq!(browser.texts(&format!("{CELL}(7)")), ["22,000"]);
    // The lanes of the collection are those of the moment.
    browser.open(&page, "#collection?of=lineitem&at=20");
    let ends = browser.texts("#attempts .rows .row > :nth-child(2)");
    assert_eq!(ends, ["superseded", "committed", "committed"], "its result is rejected only later");
    browser.open(&page, "#collection?of=lineitem&at=22");
    assert_eq!(browser.texts("#attempts .rows .row > :nth-child(2)"), ["rejected", "committed", "committed"]);
    browser.open(&page, "#collection?of=lineitem&at=25");
    assert_eq!(
        browser.texts("#attempts .rows .row > :nth-child(2)"),
        ["committed", "rejected", "committed", "committed"]
    );
    browser.assert_quiet();
}

/// Rows and cards stay while what they say changes, and are written anew only where that is another.
#[test]
fn what_is_shown_after_sliding_is_what_a_page_that_is_opened_there_shows() {
    let Some(mut browser) = Browser::start() else { return };
    let (_dir, stream) = stream_of_a_fleet();
    let (_page_dir, page, _) = report(&stream, &[]);
    let slide = "const slider = document.getElementById('slider'); slider.value = arguments[0]; \
                 slider.dispatchEvent(new Event('input', {bubbles: true}))";
    let drawn = "return [...document.querySelectorAll('main .row, main .card, main h2')].filter((node) => !node.closest('[hidden]')) \
                 .map((node) => [node.className, node.textContent, [...node.querySelectorAll('[title]')].map(({title}) => title)])";
    for view in
        ["fleet?", "fleet?is=behind&", "collection?of=orders&", "why?of=lineitem&", "time?since=200&", "waiting?"]
    {
        let place = format!("#{view}").trim_end_matches(['?', '&']).to_owned();
        browser.open(&page, &place);
        let last: u64 = browser.run("return document.getElementById('slider').max").as_str().unwrap().parse().unwrap();
        let moments: Vec<u64> = [last - 1, 40, 300, 301, 302, last - 30, last - 29, 900, last - 3].to_vec();
        let slid: Vec<Value> = moments
            .iter()
            .map(|seq| {
                browser.run_with(slide, &json!(seq));
                browser.run(drawn)
            })
            .collect();
        for (seq, slid) in moments.iter().zip(slid).skip(2).step_by(2) {
            browser.open(&page, &format!("#{view}at={seq}"));
            assert_eq!(browser.run(drawn), slid, "{view} at {seq}");
        }
    }
    browser.assert_quiet();
}

#[test]
fn what_changed_since_another_moment_is_told() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, state) = demo();
    let (_dir, page, _) = report(&state, &[]);
    browser.open(&page, "#time?at=25&since=2");
    assert_eq!(browser.texts("#changes .rows .row > :nth-child(1)"), ["lineitem"]);
    assert_eq!(browser.texts("#changes .rows .row > :nth-child(2)"), ["awaiting observation"]);
    let rows = browser.texts("#changes .rows .row > :nth-child(5)").remove(0);
    assert!(rows.starts_with("– → "), "{rows}");
    browser.open(&page, "#time?at=25&since=25");
    assert!(browser.texts("#changes .rows .row").is_empty());
    browser.assert_quiet();
}

#[test]
fn why_names_the_event_that_made_it_necessary_both_fingerprints_the_files_and_the_cost() {
    let Some(mut browser) = Browser::start() else { return };
    let (_place, state) = demo();
    let (_dir, page, _) = report(&state, &[]);
    // Event 22 of the demo: the result that was built while a file was overwritten.
    browser.open(&page, "#why?event=22");
    let card = browser.text(".why .card");
    for expected in [
        "completion rejected",
        "stale",
        "because of",
        "event 20",
        "built from",
        "another",
        "thrown away",
        "lastword why",
    ] {
        assert!(card.contains(expected), "{expected}: {card}");
    }
    assert_eq!(browser.texts(".why .card .hex").len(), 2, "{card}");
    assert!(card.contains("~ 1 changed"), "{card}");
    browser.open(&page, "#why?event=18");
    let card = browser.text(".why .card");
    assert!(card.contains("~ 1 changed") && card.contains(".parquet"), "{card}");
    assert_eq!(browser.texts(".files tbody tr").len(), 1);
    // A bar of the lanes leads here, by mouse and by keyboard.
    browser.open(&page, "#collection?of=lineitem");
    browser.click("#attempts .rows .row[data-place='0']");
    assert!(browser.run("return location.hash").as_str().unwrap().starts_with("#why?"));
    browser.open(&page, "#collection?of=lineitem");
    browser.keys(Some("#lanes"), &["@ARROW_LEFT", "@ENTER"]);
    browser.wait("return location.hash.startsWith('#why?of=lineitem&event=')", "the event is shown");
    browser.run("history.back()");
    browser.wait("return location.hash.startsWith('#collection')", "the page before is shown");
    browser.assert_quiet();
}

/// Runs what a page says is to be typed, as a shell does to whom it is pasted.
#[track_caller]
fn paste(command: &str) -> String {
    assert!(command.starts_with("lastword "), "{command}");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_lastword")).parent().unwrap();
    let path = format!("{}:{}", text(program), std::env::var("PATH").unwrap());
    let mut shell = std::process::Command::new("sh");
    let ended = shell.args(["-c", command]).env("PATH", path).output().unwrap();
    assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn what_a_page_says_is_to_be_typed_can_be_pasted_and_tells_the_same() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new("");
    let (lake, names) = (place.dir.path().join("lake"), (10..40).map(|number| format!("part-{number}.parquet")));
    place.write("part-10.parquet", 1, 0);
    for name in names.clone().skip(1) {
        std::fs::copy(lake.join("part-10.parquet"), lake.join(name)).unwrap();
    }
    place.once().expect_code(0);
    // A shell would take its name apart.
    let state = place.dir.path().join("the state's");
    std::fs::rename(place.state(), &state).unwrap();
    let (_dir, page, _) = report(&state, &[]);
    browser.open(&page, "#why?of=lineitem");
    let told = paste(&browser.text(".why .command code"));
    assert!(told.contains("lineitem") && told.contains("committed"), "{told}");
    // The page names the first twenty files, and says what names the others.
    let observed = "return String(1 + [...Array(9).keys()].findIndex((seq) => \
                    (location.hash = `#why?event=${seq + 1}`, window.dispatchEvent(new HashChangeEvent('hashchange')), \
                    document.querySelector('.why .files tbody tr') !== null)))";
    browser.run(observed);
    assert_eq!(browser.texts(".why .files tbody tr").len(), 20);
    let commands = browser.texts(".why .command code");
    let all = commands.iter().find(|command| command.ends_with(" --files")).unwrap_or_else(|| panic!("{commands:?}"));
    let told = paste(all);
    let missing: Vec<String> = names.filter(|name| !told.contains(name)).collect();
    assert!(missing.is_empty(), "{all}: {missing:?} are not in {told}");
    browser.assert_quiet();
}

#[test]
fn worst_comes_first_and_search_filters_and_order_stay_in_the_address() {
    let Some(mut browser) = Browser::start() else { return };
    let (_dir, stream) = stream_of_a_fleet();
    let (_page_dir, page, _) = report(&stream, &[]);
    browser.open(&page, "");
    let names = browser.run("return lastword.shown()");
    let names: Vec<String> = serde_json::from_value(names).unwrap();
    assert_eq!(names.len(), 24);
    let mut worst = names[..3].to_vec();
    worst.sort();
    assert_eq!(worst, ["geo/tiles", "lineitem", "orders"]);
    browser.keys(Some("body"), &["/"]);
    browser.keys(None, &["e", "m", "b", "e", "d"]);
    assert_hash(&mut browser, "#fleet?q=embed");
    assert_eq!(browser.run("return lastword.shown().length"), json!(3));
    browser.run("document.getElementById('search').blur()");
    browser.open(&page, "#fleet?is=you");
    assert_eq!(browser.run("return lastword.shown().length"), json!(3));
    assert_eq!(browser.text("#count"), "3 of 24 collections");
    browser.click("[data-chip=behind]");
    assert_hash(&mut browser, "#fleet?is=you%2Cbehind");
    browser.open(&page, "#fleet?is=parked");
    assert_eq!(browser.run("return lastword.shown()"), json!(["lineitem"]));
    browser.open(&page, "#fleet?sort=name");
    let sorted = browser.run("return lastword.shown()");
    let mut by_name = names;
    by_name.sort();
    assert_eq!(sorted, json!(by_name));
    // The list is walked by keyboard, and what is chosen is opened.
    browser.keys(Some("#collections"), &["@ARROW_DOWN", "@ARROW_DOWN", "@ENTER"]);
    let hash = browser.run("return decodeURIComponent(location.hash)");
    assert_eq!(hash, json!(format!("#collection?sort=name&of={}", by_name[2])));
    browser.assert_quiet();
}

#[test]
fn what_waits_for_a_person_stands_with_what_would_be_dropped_and_what_to_type() {
    let Some(mut browser) = Browser::start() else { return };
    let (_dir, stream) = stream_of_a_fleet();
    let state = stream.with_file_name("state");
    lastword::evlog::import(&mut std::fs::File::open(&stream).unwrap(), &state).unwrap();
    let (_page_dir, page, _) = report(&state, &[]);
    browser.open(&page, "#waiting");
    assert_eq!(browser.texts(".cards h3 a"), ["orders", "lineitem", "invoices"]);
    assert_eq!(browser.texts("#views .waits"), ["2"], "held and parked");
    let commands = browser.texts(".cards .command code");
    // The very commands that `status` prints.
    let status = lastword(&["status", text(&state)]);
    for command in &commands[..2] {
        assert!(status.stdout.contains(command.as_str()), "{command}: {}", status.stdout);
    }
    assert!(commands[0].starts_with("lastword confirm "), "{commands:?}");
    assert_eq!(commands[2], format!("lastword resume {} invoices", text(&state)));
    let cards = browser.text(".waiting");
    assert!(cards.contains("Would be dropped") && cards.contains("40 of the 44 files"), "{cards}");
    // Before it was held nothing waited.
    browser.open(&page, "#waiting?at=30");
    assert_eq!(browser.text(".waiting .empty"), "Nothing waits for you at this moment.");
    browser.assert_quiet();
}

#[test]
fn every_control_has_a_name_and_printing_shows_all_of_a_list() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("large.evlog");
    world::large(300, 1500).export(&stream);
    let (_page_dir, page, _) = report(&stream, &[]);
    browser.open(&page, "");
    let rows = "return document.querySelectorAll('#collections .rows .row:not([hidden])').length";
    let seen = browser.run(rows).as_u64().unwrap();
    assert!(seen < 60, "only what is seen has nodes: {seen}");
    browser.run("dispatchEvent(new Event('beforeprint'))");
    assert_eq!(browser.run(rows), json!(300));
    browser.run("dispatchEvent(new Event('afterprint'))");
    assert!(browser.run(rows).as_u64().unwrap() < 60);
    let nameless = "return [...document.querySelectorAll('button, input, a, canvas, [tabindex]')].filter((node) => \
                    !node.closest('main[tabindex]')?.isSameNode(node) && !(node.textContent.trim() || node.ariaLabel || node.labels?.length)).map((node) => node.outerHTML)";
    for key in ["1", "2", "3", "4", "5"] {
        browser.keys(Some("body"), &[key]);
        assert_eq!(browser.run(nameless), json!([]), "view {key}");
    }
    browser.assert_quiet();
}
