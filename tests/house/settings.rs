//! The page `lastword::settings` is complete, and its defaults are those of the code. Those of the file are held against
//! what `lastword init` writes by the tests of the command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::path::Path;
use std::time::Duration;

use lastword::Reconciler;
use lastword::core::vocabulary::*;
use lastword::core::{Events, State, decide};

const PAGE: &str = include_str!("../../src/settings.md");

/// The rows of the tables under `heading`: what is set, and the default as it is written.
fn rows(heading: &str) -> BTreeMap<&'static str, &'static str> {
    let (_, behind) = PAGE.split_once(&format!("\n# {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = behind.split("\n# ").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let why = cells.pop().unwrap();
        assert!(why.len() > 12, "{line}: a reason is missing");
        let previous = rows.insert(cells[0].trim_matches('`'), *cells.last().unwrap());
        assert_eq!(previous, None, "{line} is there twice");
    }
    rows
}

/// Whether the page says what the code says.
fn agrees(shown: &str, real: &str) -> bool {
    let plain = |text: &str| text.trim_matches(['`', '"']).replace('_', "").to_lowercase();
    let (shown, real) = (plain(shown), plain(real));
    let spans = [&shown, &real].map(|text| humantime::parse_duration(text).ok());
    shown == real || spans[0].is_some() && spans[0] == spans[1]
}

fn hold(heading: &str, real: &[(&str, String)]) {
    let rows = rows(heading);
    for (setting, default) in real {
        let shown = rows.get(setting).unwrap_or_else(|| panic!("{setting} is not on the page"));
        assert!(agrees(shown, default), "{setting} is {default}, the page says {shown}");
    }
    let shown = rows.values().filter(|shown| shown.starts_with('`')).count();
    assert_eq!(shown, real.len(), "{rows:?} are not {real:?}");
}

fn span(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

fn or_none<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or("none".to_owned(), show)
}

/// What `value` shows of itself: its fields, each as it is shown.
fn fields(value: &impl Debug) -> Vec<(String, String)> {
    let shown = format!("{value:#?}");
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in shown.lines().skip(1) {
        match (line.strip_prefix("    ").filter(|line| !line.starts_with(' ')), fields.last_mut()) {
            (Some(line), _) if line.contains(": ") => {
                let (name, value) = line.split_once(": ").unwrap();
                fields.push((name.to_owned(), value.trim_end_matches(',').to_owned()));
            }
            (_, Some((_, value))) if line.starts_with("    ") && line != "    .." => value.push_str(line.trim()),
            _ => {}
        }
    }
    fields
}

/// The methods in `source` that set something: they take `self` and give `owner` back.
fn setters(source: &str, owner: &str) -> BTreeSet<String> {
    let ends = [format!(" -> {owner} {{"), format!(" -> Result<{owner}, FieldError> {{")];
    let ends = |line: &str| ends.iter().any(|end| line.ends_with(end));
    let sets = |line: &&str| ends(line) && (line.contains("(self") || line.contains("(mut self"));
    let name = |line: &str| line.trim().strip_prefix("pub fn ").unwrap().split(['(', '<']).next().unwrap().to_owned();
    source.lines().filter(sets).map(name).collect()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_policy_has_its_default_and_its_reason() {
    // Without `..`: a new field does not compile before it is here, and then on the page.
    let Policy { on_change, grace, coalesce, empty_source, retry, attempt_timeout, priority, resync, max_lag } =
        Policy::default();
    let Coalesce { quiet, max_delay } = coalesce;
    let Retry { max_attempts, base, cap, slow, max_lost, max_lost_alone } = retry;
    let real = [
        ("on_change", format!("{on_change:?}")),
        ("grace", span(grace.0)),
        ("coalesce.quiet", span(quiet)),
        ("coalesce.max_delay", span(max_delay)),
        ("empty_source", format!("{empty_source:?}")),
        ("retry.max_attempts", max_attempts.to_string()),
        ("retry.base", span(base)),
        ("retry.cap", span(cap)),
        ("retry.slow", or_none(slow, span)),
        ("retry.max_lost", max_lost.to_string()),
        ("retry.max_lost_alone", or_none(max_lost_alone, |most| most.to_string())),
        ("attempt_timeout", or_none(attempt_timeout.0, span)),
        ("priority", priority.0.to_string()),
        ("resync", or_none(resync.0, span)),
        ("max_lag", or_none(max_lag.0, span)),
    ];
    hold("Of a collection", &real);
}

#[test]
fn a_declaration_that_says_little_is_what_the_page_says() {
    let mut events = Events::default();
    let declaration = Declaration::new(Name::new("orders").unwrap())
        .kind(Kind::new("words").unwrap())
        .source(Source::new("lake").unwrap());
    let Declaration { name: _, kind: _, source: _, spec, versioned, policy, policy_change, revision } =
        declaration.clone();
    assert_eq!((spec, versioned, policy, policy_change, revision), (None, None, None, None, None));
    decide(&State::new(), &Command::Declare(Box::new(declaration)), Timestamp(1), &mut events).unwrap();
    let Some(Event::CollectionDeclared { spec, versioned, policy, revision, .. }) = events.as_slice().first() else {
        panic!("{events:?}");
    };
    assert_eq!(*policy, Policy::default().into());
    let real = [
        ("spec", spec.as_str().to_owned()),
        ("versioned", versioned.to_string()),
        ("revision", or_none(*revision, |revision| revision.to_string())),
    ];
    hold("Of a declaration", &real);
}

#[test]
fn every_setting_of_the_engine_has_its_default_and_its_reason() {
    let rows = rows("Of an engine");
    let Limits { total, kinds, prefixes } = Limits::default();
    let braces = |map: &dyn fmt::Debug| format!("{map:?}");
    let mut real = vec![
        ("total".to_owned(), or_none(total, |total| total.to_string())),
        ("kinds".to_owned(), braces(&kinds)),
        ("prefixes".to_owned(), braces(&prefixes)),
    ];
    for (setting, default) in fields(&Reconciler::open("state")) {
        let default = match default.trim_end_matches(',') {
            "None" => "none".to_owned(),
            "Retention {events: None,age: None,}" => "all".to_owned(),
            default => default.to_owned(),
        };
        // These have no value that could be written down.
        if !["kind", "software"].contains(&setting.as_str()) {
            real.push((setting, default));
        }
    }
    let real: Vec<(&str, String)> = real.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    hold("Of an engine", &real);

    let setters = setters(&text("src/engine/builder.rs"), "Builder");
    assert!(setters.len() > 10, "{setters:?}");
    let missing: Vec<_> = setters.iter().filter(|setter| !rows.contains_key(setter.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not on the page");
    assert_eq!(rows.len(), setters.len() + 3, "{rows:?} are more than {setters:?} and the limits");
}

#[cfg(feature = "external")]
#[test]
fn every_setting_of_external_collections_has_its_default_and_its_reason() {
    use lastword::external::{External, ExternalSpec};

    let mut real = fields(&External::local());
    let ExternalSpec { format: _, target_rows, columns, params, recipe, follow_symlinks, include, exclude } =
        ExternalSpec::parse(r#"{"format":"parquet"}"#).unwrap();
    real.extend([
        ("target_rows".to_owned(), target_rows.to_string()),
        ("columns".to_owned(), or_none(columns, |columns| format!("{columns:?}"))),
        ("params".to_owned(), or_none(params, |params| format!("{params:?}"))),
        ("recipe".to_owned(), or_none(recipe, |recipe| recipe)),
        ("follow_symlinks".to_owned(), follow_symlinks.to_string()),
        ("include".to_owned(), or_none(include, |patterns| format!("{patterns:?}"))),
        ("exclude".to_owned(), or_none(exclude, |patterns| format!("{patterns:?}"))),
    ]);
    let real: Vec<(&str, String)> = real.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    hold("Of external collections", &real);
    ExternalSpec::parse("{}").expect_err("the format is required");

    let rows = rows("Of external collections");
    let setters = setters(&text("src/external/worker.rs"), "External");
    assert_eq!(setters, ["format", "in_store", "learning", "parallel", "reading"].map(str::to_owned).into());
    assert!(setters.iter().all(|setter| rows.contains_key(setter.as_str())), "{rows:?}");
}

#[cfg(feature = "sources")]
#[test]
fn every_setting_of_directories_has_its_default_and_its_reason() {
    let most = lastword::sources::Directory::MOST_READ.to_string();
    let none = || "none".to_owned();
    let real = [("MOST_READ", most), ("follow_symlinks", "false".to_owned()), ("include", none()), ("exclude", none())];
    hold("Of directories", &real);
    let rows = rows("Of directories");
    let setters = setters(&text("src/external/directory.rs"), "Directory");
    assert_eq!(
        setters,
        ["exclude", "follow_symlinks", "in_store", "include", "learning", "reading"].map(str::to_owned).into()
    );
    assert!(setters.iter().all(|setter| rows.contains_key(setter.as_str())), "{rows:?}");
}
