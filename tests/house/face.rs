//! What a user copies needs nothing of the inside: the README, the examples, and the examples in the documentation.
//! The tests themselves are built with the feature `internals`, so a compiler does not hold this.

use std::fs;
use std::path::Path;

use super::rules::sources;

/// The modules that are public only with the feature `internals`.
fn inside() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules = text.split("#[cfg(feature = \"internals\")]\npub mod ").skip(1);
    let modules: Vec<_> = modules.map(|rest| rest.split(';').next().unwrap().to_owned()).collect();
    assert!(modules.len() >= 10 && modules.contains(&"core".to_owned()), "{modules:?}");
    modules
}

/// The paths into the library that code names: what follows on `lastword::`, also in braces.
fn named(code: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for behind in code.split("lastword::").skip(1) {
        match behind.strip_prefix('{') {
            Some(list) => named.extend(list.split(';').next().unwrap().split([',', '{', '}']).map(str::trim)),
            None => named.push(behind),
        }
    }
    named
}

/// The modules of the inside that code needs.
fn needs(code: &str) -> Vec<String> {
    let starts = |path: &str, module: &str| path.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"));
    let is_named = |module: &String| named(code).iter().any(|path| starts(path, module));
    inside().into_iter().filter(is_named).collect()
}

/// The code blocks of a text whose lines begin with `mark`; those that are not Rust name nothing of the library.
fn blocks(text: &str, mark: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start().strip_prefix(mark).unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split("```").skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn what_users_copy_needs_nothing_of_the_inside() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for (path, text) in sources("tests/examples") {
        found += named(&text).len();
        assert_eq!(needs(&text), [""; 0], "{}", path.display());
    }
    for block in blocks(&fs::read_to_string(root.join("README.md")).unwrap(), "") {
        found += named(&block).len();
        assert_eq!(needs(&block), [""; 0], "README.md:\n{block}");
    }
    for (path, text) in sources("src") {
        for block in ["///", "//!"].iter().flat_map(|mark| blocks(&text, mark)) {
            found += named(&block).len();
            if !block.contains("#[cfg(feature = \"internals\")]") {
                assert_eq!(needs(&block), [""; 0], "{}:\n{block}", path.display());
            }
        }
    }
    assert!(found > 60, "{found} paths were found");
}

#[test]
fn every_example_is_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [readme, manifest] = ["README.md", "Cargo.toml"].map(|path| fs::read_to_string(root.join(path)).unwrap());
    for (path, _) in sources("tests/examples") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("\n| `{name}` | ")), "{name} is not in the README");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"tests/examples/{name}.rs\"")), "{name}");
    }
}

#[test]
fn every_feature_is_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [readme, manifest] = ["README.md", "Cargo.toml"].map(|path| fs::read_to_string(root.join(path)).unwrap());
    let (_, behind) = manifest.split_once("\n[features]\n").unwrap();
    let features = behind.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(" = "));
    for (name, _) in features.filter(|(name, _)| *name != "default") {
        assert!(readme.contains(&format!("\n| `{name}` | ")), "{name} is not in the README");
    }
}

/// The types in the public fields and variants of a file: what stands behind a colon or in the brackets of a variant.
fn types_in_fields(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = text.split("#[cfg(test)]").next().unwrap();
    let mut is_public = false;
    for line in code.lines().map(str::trim_end) {
        match line {
            _ if line.starts_with("pub ") && line.ends_with('{') => is_public = !line.contains("trait"),
            "}" => is_public = false,
            _ if !is_public || line.trim_start().starts_with("//") || !line.ends_with(',') => {}
            _ => {
                let behind = line.split_once(": ").or_else(|| line.split_once('(')).map_or("", |(_, behind)| behind);
                let words = behind.split(|c: char| !c.is_alphanumeric() && c != '_');
                found.extend(words.filter(|word| word.starts_with(char::is_uppercase)).map(str::to_owned));
            }
        }
    }
    found
}

#[test]
fn defect_35_whatever_an_event_a_status_or_a_policy_holds_can_be_named() {
    const STANDARD: [&str; 8] = ["Arc", "Box", "BTreeMap", "Duration", "Option", "Result", "String", "Vec"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let face = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let (_, face) = face.split_once("\npub use ").unwrap();
    let named: Vec<&str> = face.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let (mut found, mut lost) = (0, Vec::new());
    for file in [
        "core/vocabulary/event.rs",
        "core/vocabulary/facts.rs",
        "core/vocabulary/policy.rs",
        "core/vocabulary/command.rs",
        "core/vocabulary/inputs.rs",
        "core/view.rs",
        "core/commit.rs",
        "core/condition.rs",
        "engine/status.rs",
        "worker/observer.rs",
        "worker/destination.rs",
    ] {
        for name in types_in_fields(&fs::read_to_string(root.join("src").join(file)).unwrap()) {
            found += 1;
            if !STANDARD.contains(&&*name) && !named.contains(&&*name) {
                lost.push(format!("{name} of {file}"));
            }
        }
    }
    assert_eq!(lost, [""; 0], "cannot be named");
    assert!(found > 100, "{found} types were found");
}

/// The methods of a trait, by the text of the file that declares it.
fn methods(text: &str, of: &str) -> Vec<String> {
    let (_, body) = text.split_once(&format!("pub trait {of}")).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let names = body.lines().filter_map(|line| line.strip_prefix("    fn "));
    names.map(|rest| rest.split(['(', '<']).next().unwrap().to_owned()).collect()
}

/// A method with a default that a pointer does not pass on would be answered by the default.
#[test]
fn defect_35_pointers_to_what_users_write_pass_on_every_method() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut found = 0;
    for (of, declared, passed_on) in [
        ("Worker", "src/worker.rs", "src/worker/shared.rs"),
        ("Observer", "src/worker/observer.rs", "src/worker/shared.rs"),
        ("Store", "src/external/store.rs", "src/external/shared.rs"),
        ("Format", "src/external/format.rs", "src/external/shared.rs"),
        ("SegmentBuilder", "src/external/builder.rs", "src/external/shared.rs"),
    ] {
        let text = read(passed_on);
        let (_, body) = text.split_once(&format!(" {of} for $pointer<")).unwrap();
        let body = body.split("\n        }\n").next().unwrap();
        for method in methods(&read(declared), of) {
            found += 1;
            assert!(body.contains(&format!("(**self).{method}(")), "{passed_on} does not pass on {of}::{method}");
        }
    }
    assert!(found >= 20, "{found} methods were found");
}
