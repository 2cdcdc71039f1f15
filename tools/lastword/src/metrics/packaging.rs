//! Dashboard and alerts name only what the table has: metrics, their labels, and the values of labels that are fixed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use lastword::engine::Stats;
use serde_json::Value;

use super::seen::{Fleet, Seen};
use super::table::{Kind, Metric, all};

const DASHBOARD: &str = include_str!("../../../packaging/grafana/lastword.json");
const ALERTS: &str = include_str!("../../../packaging/prometheus/alerts.yml");
const TESTS: &str = include_str!("../../../packaging/prometheus/alerts_test.yml");

/// What Prometheus and Grafana add to what is told.
const THEIRS: [&str; 5] = ["instance", "job", "le", "alertname", "alertstate"];

/// The row of a name, which may be that of a part of a histogram.
fn row(name: &str) -> Option<&'static Metric> {
    let parts = ["_bucket", "_sum", "_count"];
    let base = parts.iter().find_map(|part| name.strip_suffix(part));
    all()
        .find(|row| row.name == name && row.kind != Kind::Histogram)
        .or_else(|| all().find(|row| Some(row.name) == base && row.kind == Kind::Histogram))
}

/// The words of a text that are names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Every metric of an expression with what its selector asks for: labels and values.
fn selected(expression: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let begins = expression.match_indices("lastword_").map(|(at, _)| at);
    let one = |at: usize| {
        let rest = &expression[at..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let selector = behind.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or("", |(inner, _)| inner);
        let matchers = selector.split(',').filter_map(|matcher| {
            let (label, value) = matcher.split_once('=')?;
            Some((label.trim(), value.trim_start_matches('~').trim_matches('"')))
        });
        (name, matchers.collect())
    };
    begins.map(one).collect()
}

/// The values that each label of a metric may have; nothing for those that are names of collections.
fn fixed_values() -> BTreeMap<(&'static str, &'static str), BTreeSet<String>> {
    let seen = Seen { stats: Stats::default(), opened: SystemTime::now(), fleet: &Fleet::new(), log: None };
    let mut values: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for row in all() {
        for sample in (row.read)(&seen) {
            for (label, value) in row.labels.iter().zip(sample.labels) {
                values.entry((row.name, *label)).or_default().insert(value);
            }
        }
    }
    values
}

/// Why an expression asks for what there is not; nothing if it does not.
fn wrong(expression: &str, shown: &str) -> Option<String> {
    let values = fixed_values();
    let mut labels: BTreeSet<&str> = THEIRS.into();
    for (name, matchers) in selected(expression) {
        let Some(row) = row(name) else { return Some(format!("there is no metric {name}")) };
        labels.extend(row.labels);
        for (label, value) in matchers {
            if !row.labels.contains(&label) && !THEIRS.contains(&label) {
                return Some(format!("{name} has no label {label}"));
            }
            let Some(known) = values.get(&(row.name, label)) else { continue };
            if let Some(odd) = value.split('|').find(|value| !known.contains(*value)) {
                return Some(format!("{name} has no {label} {odd}"));
            }
        }
    }
    let grouped = ["by (", "without ("].iter().flat_map(|word| expression.split(word).skip(1));
    let grouped = grouped.filter_map(|behind| behind.split_once(')')).flat_map(|(inside, _)| words(inside));
    let named = shown.split("{{").skip(1).filter_map(|behind| behind.split_once("}}")).flat_map(|(inside, _)| {
        words(inside).filter(|word| !["labels", "value", "humanizeDuration", "humanize1024"].contains(word))
    });
    let odd = grouped.chain(named).find(|label| !labels.contains(label));
    odd.map(|label| format!("no metric of it has a label {label}"))
}

/// Every expression of the dashboard with its legend.
fn of_dashboard(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            let text = |key: &str| members.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            for key in ["expr", "query"] {
                if text(key).contains("lastword") {
                    found.push((text(key), text("legendFormat")));
                }
            }
            members.values().for_each(|value| of_dashboard(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| of_dashboard(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let mut found = Vec::new();
    of_dashboard(&serde_json::from_str(DASHBOARD).unwrap(), &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for (expression, legend) in &found {
        assert_eq!(wrong(expression, legend), None, "{expression}");
    }
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    let rules: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 8);
    for rule in rules {
        let expression = rule.lines().find_map(|line| line.trim().strip_prefix("expr: ")).unwrap();
        assert_eq!(wrong(expression, rule), None, "{rule}");
    }
    for line in TESTS.lines().filter(|line| line.contains("series: ")) {
        assert_eq!(wrong(line, ""), None, "{line}");
    }
}

#[test]
fn what_there_is_not_is_found() {
    for (expression, shown) in [
        ("lastword_collections_parked > 0", ""),
        ("lastword_lag_seconds > 0", ""),
        ("rate(lastword_barrier_seconds_total[5m])", ""),
        (r#"lastword_collections{flag="held"}"#, ""),
        (r#"lastword_collections_flagged{flag="lost"}"#, ""),
        (r#"sum by (reason) (lastword_tasks_ended_total)"#, ""),
        ("lastword_tasks_ended_total", "{{reason}}"),
    ] {
        assert!(wrong(expression, shown).is_some(), "{expression}");
    }
    assert_eq!(wrong(r#"sum by (flag) (lastword_collections_flagged{flag=~"held|paused",job="x"})"#, "{{flag}}"), None);
}
