//! The planted bugs of `tests/planted` can be planted: each patch applies to this tree, and the test that is to catch it
//! exists. That it is caught, `tests/planted/run` shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The patches, with their text.
fn patches() -> Vec<(PathBuf, String)> {
    let paths = fs::read_dir(Path::new(ROOT).join("tests/planted")).unwrap().map(|entry| entry.unwrap().path());
    let mut patches: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "patch")).collect();
    patches.sort();
    assert!(patches.len() >= 20, "{} patches", patches.len());
    patches.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .take_while(|line| line.starts_with('#'))
        .find_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn every_bug_can_be_planted() {
    for (path, _) in patches() {
        // Outside a repository git takes the paths as they are, and the one around a copy of the sources is none.
        let ceiling = Path::new(ROOT).parent().unwrap();
        let check = Command::new("git")
            .args(["apply", "--check"])
            .arg(&path)
            .current_dir(ROOT)
            .env("GIT_CEILING_DIRECTORIES", ceiling)
            .output();
        let Ok(check) = check else { return eprintln!("skipped: there is no git") };
        let error = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.success(), "{} does not apply any more:\n{error}", path.display());
    }
}

#[test]
fn every_planted_bug_names_its_mistake_and_a_test_that_exists() {
    for (path, text) in patches() {
        let path = path.display();
        assert!(header(&text, "what").is_some_and(|what| !what.is_empty()), "{path} does not say what the mistake is");
        let proof = header(&text, "caught by").unwrap_or_else(|| panic!("{path} does not say what catches it"));
        let Proof { package, target, filter } = Proof::parse(proof);
        let folder = match package {
            "lastword" => PathBuf::from(ROOT),
            "lastword-cli" => Path::new(ROOT).join("tools/lastword"),
            "lastword-test-buckets" => Path::new(ROOT).join("tests/buckets"),
            "lastword-test-parsers" => Path::new(ROOT).join("tests/parsers"),
            tool => Path::new(ROOT).join("tools").join(tool),
        };
        let code: String = match target {
            Some(target) => code_of(&folder.join("tests").join(target)),
            None => code_of(&folder.join("src")),
        };
        assert!(!code.is_empty(), "{path}: there is no {target:?} in {}", folder.display());
        let is_there = code.lines().any(|line| {
            let line = line.trim_start();
            // The simulator is its own harness, and names its test in a constant.
            let told = line.strip_prefix("const NAME: &str = ").filter(|_| target == Some("sim"));
            let name = told.or_else(|| line.strip_prefix("fn ").and_then(|rest| rest.split('(').next()));
            name.is_some_and(|name| name.contains(filter))
        });
        assert!(is_there, "{path}: no test {filter:?} in {target:?}");
    }
}

/// What the arguments of `cargo test` select.
struct Proof<'a> {
    package: &'a str,
    /// The integration test; the unit tests without.
    target: Option<&'a str>,
    filter: &'a str,
}

impl Proof<'_> {
    fn parse(arguments: &str) -> Proof<'_> {
        let mut proof = Proof { package: "lastword", target: None, filter: "" };
        let mut words = arguments.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "-p" | "--package" => proof.package = words.next().unwrap(),
                "--test" => proof.target = words.next(),
                "--features" | "--config" | "--profile" | "--target-dir" => drop(words.next()),
                "--" => break,
                option if option.starts_with('-') => {}
                // Of a path of modules the last one that says something.
                filter => proof.filter = filter.split("::").filter(|part| !part.is_empty()).last().unwrap(),
            }
        }
        proof
    }
}

/// The code of `path.rs`, or of all files in the folder `path`.
fn code_of(path: &Path) -> String {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::read_to_string(path.with_extension("rs")).unwrap_or_default();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let rust = paths.filter(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "rs"));
    rust.map(|path| if path.is_dir() { code_of(&path) } else { fs::read_to_string(path).unwrap() }).collect()
}
