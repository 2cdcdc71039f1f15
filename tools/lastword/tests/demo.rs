//! The demo does what it tells.

mod support;

use support::{Place, lastword, text};

#[test]
fn the_demo_happens_as_it_is_told() {
    let place = Place::new("");
    let dir = place.dir.path().join("day");
    let ended = lastword(&["demo", "--dir", text(&dir)]).expect_code(0);
    assert!(ended.took.as_secs() < 20, "{:?}", ended.took);
    let verdicts = ended.stdout.lines().filter(|line| line.ends_with("  ok")).count();
    assert_eq!(verdicts, 8, "{}", ended.stdout);
    for expected in [
        "rejected, stale",
        "worker_lost",
        "part-06.parquet is corrupt",
        "cargo run --release -q -p log-dump -- dump",
        "cargo run --release -q -p lastword-cli --bin lastword -- manifest",
    ] {
        assert!(ended.stdout.contains(expected), "{expected}: {}", ended.stdout);
    }
    let state = dir.join("state");
    let manifest = lastword(&["manifest", text(&state), "lineitem"]).expect_code(0);
    assert!(manifest.stdout.contains("22,000 rows"), "{}", manifest.stdout);
    // What is left behind is a configuration that goes on.
    lastword(&["run", text(&dir.join("lake.toml")), "--once"]).expect_code(0);
}

#[test]
fn the_demo_does_not_play_among_other_files() {
    let place = Place::new("");
    let ended = lastword(&["demo", "--dir", text(place.dir.path())]).expect_code(2);
    assert!(ended.stderr.contains("is not empty"), "{}", ended.stderr);
    assert!(!place.state().exists());
}
