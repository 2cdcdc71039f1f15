//! Nothing in a name, a source, a spec, a message or a cause becomes script or markup, or hides.

use lastword::core::vocabulary::{By, FailureClass};

use super::browser::Browser;
use super::support::text;
use super::{report, world::World};

const HOSTILE: [&str; 9] = [
    "</script><img src=x onerror=window.owned=1>",
    "<!--<script>window.owned=1</script>",
    "\"><svg onload=window.owned=1>",
    "' onmouseover='window.owned=1",
    "line\u{2028}window.owned=1\u{2029}",
    "right\u{202e}gnp.exe\u{2066}",
    "javascript:window.owned=1",
    "${window.owned=1}`\\u003cscript>",
    "@data@ @script@ @nonce@ @later@",
];

/// A log that only an older version, or an enemy, writes: names that are refused today are read.
fn hostile() -> World {
    let mut world = World::new(3);
    for text in HOSTILE {
        let by = By::new(Some(text), Some(text)).unwrap();
        // What may be no name any more is a source, a message and a cause all the same.
        let name = text.replace(['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '/'], "_");
        world.declare(&name, &format!("/lake/{}", text.replace("..", "_")), Some(&by));
        world.pass(1.0);
        world.observe(&name, 3, 0);
        world.pass(40.0);
        world.assign(1);
        if let Some(attempt) = world.running().first().copied() {
            world.fail(attempt, FailureClass::Permanent, &format!("{text}\n{text}"));
        }
        world.unobservable(&name, text);
    }
    world
}

#[test]
fn nothing_in_a_log_becomes_script() {
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    // The place is hostile as well.
    let stream = dir.path().join("<img src=x onerror=window.owned=1>'\".evlog");
    let world = hostile();
    world.export(&stream);
    let state = dir.path().join("<b>state'\"&");
    lastword::evlog::import(&mut std::fs::File::open(&stream).unwrap(), &state).unwrap();
    for log in [&stream, &state] {
        let (_page_dir, page, _) = report(log, &[]);
        let source = std::fs::read_to_string(&page).unwrap();
        assert!(
            !source.contains("<img") && !source.contains("<svg") && !source.contains("<!--"),
            "markup in the source"
        );
        assert_eq!(source.matches("</script>").count(), 4, "three blocks of data and the script");
        assert!(!source.contains('\u{2028}') && !source.contains('\u{202e}') || source.contains("\\u202e"));
        let last = world.last();
        let places: Vec<String> = ["#fleet", "#waiting", "#time", "#time?since=1", "#why", "#collection"]
            .iter()
            .map(|place| (*place).to_owned())
            .chain((1..=last).step_by(3).map(|seq| format!("#why?event={seq}")))
            .chain(["#fleet?q=%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E&is=%3Cb%3E".to_owned()])
            .chain(["#collection?of=%3C%2Fscript%3E%3Cimg%3E&event=%3Cb%3E&at=%3Cb%3E".to_owned()])
            .collect();
        browser.open(&page, "");
        for place in places {
            let script = "location.hash = arguments[0]";
            browser.run_with(script, &serde_json::json!(place));
            browser.wait("return document.documentElement.dataset.complete === 'yes'", "it is shown");
            let made =
                browser.run("return document.querySelectorAll('img, svg, iframe, object, embed, b > script').length");
            assert_eq!(made, 0, "{place}");
        }
        // Each collection is opened, and its name is shown as text.
        let names = browser.run("location.hash = '#fleet'; return lastword.rows('').map((row) => row.name)");
        assert_eq!(names.as_array().unwrap().len(), HOSTILE.len());
        for name in names.as_array().unwrap() {
            browser.run_with("location.hash = '#collection?' + new URLSearchParams({of: arguments[0]})", name);
            browser.wait("return document.querySelector('main h2 bdi') !== null", "the collection is shown");
            assert_eq!(browser.text("main h2 bdi"), name.as_str().unwrap());
        }
        // What turns the order of characters around, or ends a line, is made visible.
        browser.run("location.hash = '#waiting'");
        browser.wait("return document.querySelector('.waiting') !== null", "what waits is shown");
        let shown = browser.text("main");
        assert!(!shown.contains('\u{202e}') && !shown.contains('\u{2028}') && !shown.contains('\u{2066}'), "{shown}");
        assert!(shown.contains("\\u{202e}"), "{shown}");
        assert_eq!(browser.run("return window.owned ?? null"), serde_json::Value::Null, "{}", text(log));
        // Not even a script that gets in by another way runs.
        browser.run("const s = document.createElement('div'); s.innerHTML = '<img src=x onerror=window.owned=1>'; document.body.append(s)");
        browser.run(
            "const s = document.createElement('script'); s.textContent = 'window.owned=2'; document.body.append(s)",
        );
        assert_eq!(browser.run("return window.owned ?? null"), serde_json::Value::Null);
        browser.ask(&serde_json::json!({"do": "complaints"}));
        browser.open(&page, "");
        browser.assert_quiet();
    }
}
