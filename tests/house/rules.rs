//! The rules of the house that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `folder`, with its text.
pub(super) fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The code of a file: without comments, and without its tests.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Fails for every file that mentions one of `words` and is not below one of `homes`.
fn only_in(words: &[&str], homes: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in sources("src") {
        let local = path.strip_prefix(root).unwrap();
        if homes.iter().any(|home| local.starts_with(home)) {
            continue;
        }
        let code = code(&text);
        for word in words {
            assert!(!code.contains(word), "{} names {word}, which belongs into {homes:?}", local.display());
        }
    }
}

#[test]
fn the_core_imports_nothing_of_the_rest_and_cannot_see_the_world() {
    // The kinds of errors are the lowest layer, see `the_kinds_of_errors_know_nothing_of_the_library`.
    let allowed = ["crate::core", "crate::error"];
    for (path, text) in sources("src/core") {
        let code = code(&text);
        for (at, _) in code.match_indices("crate::") {
            let import: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
            assert!(allowed.iter().any(|a| import.starts_with(a)), "{} imports {import}", path.display());
        }
        for word in [
            "std::fs",
            "std::io",
            "std::thread",
            "std::sync::M",
            "std::net",
            "std::env",
            "SystemTime::now",
            "Instant",
            "HashMap",
            "HashSet",
            "rand",
        ] {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn each_dependency_has_one_home() {
    only_in(&["bincode::", "use bincode"], &["src/codec"]);
    only_in(&["use sled::", " ::sled::", "sled::Db", "sled::Tree", "sled::IVec", "sled::Config"], &["src/log/sled"]);
    only_in(&["crossbeam_channel"], &["src/engine"]);
    only_in(&["parquet::file", "use parquet", "parquet::basic", "parquet::schema"], &["src/external"]);
    only_in(&["fs::inotify"], &["src/external/inotify.rs"]);
    only_in(&["globset::"], &["src/external/patterns.rs"]);
    only_in(&["crc32c::"], &["src/log", "src/evlog", "src/snapshot"]);
}

#[test]
fn one_file_reads_a_clock() {
    only_in(&["Instant::now", "SystemTime::now", ".elapsed()"], &["src/clock.rs"]);
}

#[test]
fn the_kinds_of_errors_know_nothing_of_the_library() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("src/error.rs")).unwrap();
    let imports: Vec<&str> = text.lines().filter(|line| line.contains("use ") && !line.starts_with("//")).collect();
    assert_eq!(imports, ["use std::fmt;"]);
    assert!(!code(&text).contains("crate::") && !code(&text).contains("super::"));
}

/// The types that a file makes errors.
fn errors(code: &str) -> Vec<&str> {
    let lines = code.lines().filter_map(|line| line.split_once("Error for "));
    let errors = lines.filter(|(start, _)| start.starts_with("impl") && !start.contains('<'));
    errors.map(|(_, rest)| rest.split([' ', '{']).next().unwrap()).collect()
}

#[test]
fn every_error_keeps_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let umbrella = fs::read_to_string(root.join("src/umbrella.rs")).unwrap();
    let (umbrella, inner_tests) = umbrella.split_once("#[cfg(test)]").unwrap();
    let tests = fs::read_to_string(root.join("tests/errors.rs")).unwrap() + inner_tests;
    let mut found = 0;
    for (path, text) in sources("src") {
        let code = code(&text);
        for name in errors(&code).into_iter().filter(|name| *name != "Error") {
            let place = format!("{}: {name}", path.display());
            let mut own = code.split("\nimpl ").filter(|block| block.starts_with(&format!("{name} {{")));
            assert!(own.any(|block| block.contains("pub fn kind(&self) -> ErrorKind {")), "{place} has no kind");
            let is_open = code.contains(&format!("#[non_exhaustive]\npub enum {name} {{"));
            assert!(is_open || !code.contains(&format!("pub enum {name} {{")), "{place} is not non_exhaustive");
            assert!(umbrella.contains(&format!("::{name},")), "{place} does not become a lastword::Error");
            assert!(tests.contains(name), "{place} is in no test of its kind");
            found += 1;
        }
    }
    assert_eq!(found, umbrella.matches("    crate::").count() + umbrella.matches("] crate::").count());
}

#[test]
fn nothing_below_the_engine_assumes_a_local_log() {
    for folder in ["src/core", "src/codec", "src/replay", "src/snapshot"] {
        for (path, text) in sources(folder) {
            assert!(!code(&text).contains("SledLog"), "{}", path.display());
        }
    }
    let reducer = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reducer.rs")).unwrap();
    assert!(!code(&reducer).contains("SledLog"));
}

#[test]
fn the_engine_decides_nothing() {
    // What a policy, an admission or a loss means is the core's. The engine carries commands and answers.
    for (path, text) in sources("src/engine") {
        let code = code(&text);
        for word in ["policy.", "Admission", "OnChange", "EmptySource", "decide(", "AdmissionDecision", ".coalesce"] {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn every_file_of_the_engine_says_what_it_owns_and_what_it_must_not_know() {
    for (path, text) in sources("src/engine") {
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(head.contains("*Architecture invariant:*"), "{} does not say what it must not know", path.display());
    }
}

#[test]
fn files_stay_easy_to_read() {
    const MOST_LINES: usize = 500;
    for folder in ["src", "tools", "tests"] {
        for (path, text) in sources(folder) {
            assert!(text.lines().count() <= MOST_LINES, "{} has {} lines", path.display(), text.lines().count());
        }
    }
}

#[test]
fn there_are_no_rooms_for_odds_and_ends() {
    for (path, _) in sources("src") {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "types", "common", "prelude", "misc", "helpers"].contains(&stem),
            "{}",
            path.display()
        );
    }
}

/// The pages of `lastword::promises`: name and text.
fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/promises");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let named = |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path);
    let mut found: Vec<_> = pages.map(named).map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect();
    found.sort();
    found
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, text) in pages() {
        let (_, tests) = text.split_once("# The tests\n").unwrap_or_else(|| panic!("{page} has no tests"));
        let lines: Vec<&str> = tests.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines.len() >= 3, "{page} is shown by {lines:?}");
        for line in lines {
            let named = line.strip_prefix("* `").and_then(|line| line.strip_suffix('`'));
            let (file, test) =
                named.and_then(|named| named.split_once(": ")).unwrap_or_else(|| panic!("{page}: {line}"));
            let code = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{page}: {file}: {error}"));
            let is_there = code.contains(&format!("#[test]\nfn {test}() {{"));
            assert!(is_there, "{page} names {test}, which is no test of {file}");
        }
    }
}

#[test]
fn every_promise_has_its_page_and_its_line() {
    let module = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/promises/mod.rs")).unwrap();
    let pages = pages();
    assert!(pages.len() >= 9);
    for (page, text) in &pages {
        assert!(module.contains(&format!("#[doc = include_str!(\"{page}.md\")]\npub mod {page} {{}}")), "{page}");
        assert!(module.contains(&format!("]({page}) |")), "{page} is not in the table");
        for heading in ["# What happens", "# What you do", "# What is not promised"] {
            assert!(text.contains(&format!("\n{heading}\n")), "{page} does not say {heading:?}");
        }
        assert!(text.starts_with("What happens when "), "{page}");
        assert!(text.lines().all(|line| line.len() <= 130), "{page} has a line that is too long");
    }
    assert_eq!(module.matches("include_str!").count(), pages.len());
}
