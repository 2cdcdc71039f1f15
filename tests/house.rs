//! The rules of the house that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
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
    let allowed = ["crate::core"];
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
    only_in(&["crc32c::"], &["src/log", "src/evlog", "src/snapshot"]);
}

#[test]
fn one_file_reads_a_clock() {
    only_in(&["Instant::now", "SystemTime::now", ".elapsed()"], &["src/clock.rs"]);
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
