//! The pictures of the README, by the page itself.

use std::path::Path;

use serde_json::json;

use super::browser::Browser;
use super::support::{Place, lastword, text};
use super::{report, world};

/// Writes `docs/report-*.png`, light and dark.
#[test]
#[ignore = "writes into the repository"]
fn pictures() {
    let Some(mut browser) = Browser::start() else { return };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    std::fs::create_dir_all(&docs).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let stream = dir.path().join("fleet.evlog");
    world::fleet().export(&stream);
    lastword::evlog::import(&mut std::fs::File::open(&stream).unwrap(), &state).unwrap();
    let (_fleet_dir, fleet, _) = report(&state, &[]);
    let place = Place::new("");
    let day = place.dir.path().join("day");
    lastword(&["demo", "--dir", text(&day)]).expect_code(0);
    let (_day_dir, demo, _) = report(&day.join("state"), &[]);
    browser.ask(&json!({"do": "size", "width": 1280, "height": 680, "scale": 1.25}));
    for (dark, mode) in [(false, "light"), (true, "dark")] {
        browser.ask(&json!({"do": "dark", "dark": dark}));
        for (page, place, name) in [
            (&fleet, "#fleet", "fleet"),
            (&demo, "#collection?of=lineitem", "collection"),
            (&demo, "#why?event=22", "why"),
            (&fleet, "#waiting", "waiting"),
        ] {
            browser.open(page, place);
            // Where a log lies on this machine is nobody's matter.
            browser.run("document.getElementById('where').textContent = 'state'; const whole = /\\/tmp\\/\\S*\\/(state|lake)/g; \
                         const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); \
                         while (texts.nextNode()) if (!texts.currentNode.parentNode.closest('script')) texts.currentNode.data = texts.currentNode.data.replace(whole, '$1')");
            std::thread::sleep(std::time::Duration::from_millis(300));
            browser.ask(&json!({"do": "picture", "path": text(&docs.join(format!("report-{name}-{mode}.png")))}));
        }
    }
}

/// Writes the streams that the pages of the tests are made of, to be looked at by hand.
#[test]
#[ignore = "writes where REPORT_STREAMS says"]
fn streams() {
    let Some(dir) = std::env::var_os("REPORT_STREAMS").map(std::path::PathBuf::from) else { return };
    world::fleet().export(&dir.join("fleet.evlog"));
    world::large(2000, 100_000).export(&dir.join("large.evlog"));
}
