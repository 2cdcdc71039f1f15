//! The page `lastword::design` is complete: every case has tests that exist, every module has its place in the map, and
//! there is one dictionary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::rules::sources;

const PAGE: &str = include_str!("../../src/design.md");
const CASES: u32 = 50;

/// What stands below a heading of the first level.
fn section(heading: &str) -> &'static str {
    let (_, behind) = PAGE.split_once(&format!("\n# {heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    behind.split("\n# ").next().unwrap()
}

/// The number that a line of the section begins a case with.
fn number(line: &str) -> Option<u32> {
    let (number, _) = line.split_once(". ")?;
    number.parse().ok()
}

/// What stands between back ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cases in the order of the page: the number of each, and the tests that it names.
fn cases() -> Vec<(u32, Vec<&'static str>)> {
    let mut cases: Vec<(u32, Vec<&str>)> = Vec::new();
    for line in section("Cases").lines() {
        if let Some(number) = number(line) {
            cases.push((number, Vec::new()));
        }
        let tests = quoted(line).filter(|name| name.starts_with("case"));
        if let Some((_, named)) = cases.last_mut() {
            named.extend(tests);
        }
    }
    cases
}

/// The cases that a test says it shows: `case_07_..` one, `cases_44_45_46_..` and `cases_21_and_22_..` several.
fn shown_by(test: &str) -> BTreeSet<u32> {
    let words = test.split('_').skip(1).filter(|word| *word != "and");
    words.map_while(|word| (word.len() == 2).then(|| word.parse().ok())?).collect()
}

/// The names of the tests whose names give a case, below the folders where tests are.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (_, text) in ["src", "tests", "tools"].into_iter().flat_map(sources) {
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            match line.strip_prefix("fn ").and_then(|line| line.split_once('(')) {
                Some((name, _)) if is_test => drop(tests.insert(name.to_owned())),
                _ => {}
            }
            is_test = line == "#[test]" || is_test && line.starts_with("#[");
        }
    }
    tests
}

#[test]
fn every_case_stands_in_the_design_once_with_its_tests() {
    let (cases, tests) = (cases(), tests());
    let numbers: Vec<u32> = cases.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=CASES).collect::<Vec<_>>());
    for (case, named) in cases {
        assert!(!named.is_empty(), "case {case} has no test");
        for test in named {
            assert!(tests.contains(test), "case {case} names {test}, which is no test");
            assert!(shown_by(test).contains(&case), "case {case} names {test}, which says that it shows another");
        }
    }
}

#[test]
fn no_test_shows_a_case_that_there_is_not() {
    for test in tests().iter().filter(|test| test.starts_with("case_") || test.starts_with("cases_")) {
        let shown = shown_by(test);
        assert!(!shown.is_empty() && shown.iter().all(|case| (1..=CASES).contains(case)), "{test}");
    }
}

/// What the rows of the table with this head are about.
fn rows(head: &str) -> BTreeSet<String> {
    let (_, behind) = section("The modules").split_once(&format!("\n| {head} | what it owns |\n|---|---|\n")).unwrap();
    let mut rows = BTreeSet::new();
    for line in behind.lines().take_while(|line| !line.is_empty()) {
        let name = quoted(line).next().unwrap_or_else(|| panic!("{line}"));
        assert!(line.starts_with(&format!("| `{name}` | ")), "{line}");
        assert!(rows.insert(name.to_owned()), "{name} has two rows");
    }
    rows
}

/// The modules of a folder: its Rust files, and its folders.
fn modules(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let code = paths.filter(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "rs"));
    let names = code.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "mod").collect()
}

#[test]
fn every_module_has_its_place_in_the_map() {
    assert_eq!(rows("module"), modules("src"));
    assert_eq!(rows("file of `engine`"), modules("src/engine"));
}

#[test]
fn there_is_one_dictionary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(section("The words").contains("This is the only dictionary of the project."));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains("`src/design.md`"), "the README does not say where the words are");
    for path in ["README.md", "tests/README.md", "tools/bench/README.md", "log-format.md", "src/settings.md"] {
        let text = fs::read_to_string(root.join(path)).unwrap();
        for line in text.lines().filter(|line| line.starts_with('#') || line.starts_with("| word")) {
            let lower = line.to_lowercase();
            for word in ["glossary", "dictionary", "the words", "terms", "| word"] {
                assert!(!lower.contains(word), "{path} has a dictionary of its own: {line}");
            }
        }
    }
}

/// A page that readers of a terminal can read too.
#[test]
fn the_design_is_not_wider_than_a_screen() {
    for line in PAGE.lines().filter(|line| !line.starts_with('|')) {
        assert!(line.chars().count() <= 130, "{line}");
    }
}
