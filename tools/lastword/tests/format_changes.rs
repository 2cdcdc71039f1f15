//! Another format, other patterns, a rebuild: what is committed was read by the rules that hold now, and the looks and the
//! attempts go by the same ones.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs;

use support::{Place, lastword, paths, rows, text};

fn respec(place: &Place, from: &str, to: &str) {
    let config = fs::read_to_string(place.config()).unwrap();
    assert!(config.contains(from), "{config}");
    place.configure(&config.replace(from, to));
}

/// With documents that are real Parquet files, so that each format can read them: as documents each has one row.
#[test]
fn another_format_reads_every_file_anew() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.write("b.parquet", 2, 1);
    let formats = ["format = \"parquet\"", "format = \"files\""];
    place.once().expect_code(0);
    let mut built = vec![rows(&place.manifest())];
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        respec(&place, formats[from], formats[to]);
        let planned = lastword(&["plan", text(&place.config())]).expect_code(0);
        assert!(planned.stdout.contains("another format: built anew"), "{}", planned.stdout);
        place.once().expect_code(0);
        built.push(rows(&place.manifest()));
        let ended = lastword(&["plan", text(&place.config())]).expect_code(0);
        assert!(ended.stdout.contains("nothing to build"), "{}", ended.stdout);
    }
    assert_eq!(built, [1500, 2, 1500, 2]);
}

#[test]
fn a_file_that_the_new_format_cannot_read_is_the_cause_and_is_not_committed() {
    let place = Place::new("");
    respec(&place, "format = \"parquet\"", "format = \"files\"");
    fs::write(place.lake().join("1.parquet"), "a document").unwrap();
    place.once().expect_code(0);
    respec(&place, "format = \"files\"", "format = \"parquet\"");
    let ended = place.once().expect_code(1);
    assert!(ended.stderr.contains("1.parquet is not Parquet"), "{}", ended.stderr);
    assert_eq!(rows(&place.manifest()), 1, "what was committed last");
}

/// A look keeps a file of the last commit whatever its ending, and so does an attempt that takes nothing over.
#[test]
fn a_rebuild_goes_by_the_rules_of_the_looks() {
    let place = Place::new("");
    place.write("1.dat", 1, 0);
    place.write("2.parquet", 1, 1);
    respec(&place, "format = \"parquet\"", "format = \"parquet\", include = [\"*\"]");
    place.once().expect_code(0);
    respec(&place, ", include = [\"*\"]", "");
    place.once().expect_code(0);
    lastword(&["run", text(&place.config()), "--once", "--rebuild", "lineitem"]).expect_code(0);
    assert_eq!(paths(&place.manifest()), ["1.dat", "2.parquet"]);
}
