//! Every metric there is: one row each.
//!
//! Owns the names, and what each stands for. Names are as Prometheus asks for: a prefix, the unit as the last word (seconds,
//! bytes), `_total` for what is only counted up. *It must not know* how they are written.

mod fleet;
mod log;
mod work;

use std::time::Duration;

use lastword::engine::Times;

use super::seen::Seen;

/// How a metric changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only up, from zero at the start of the run.
    Counter,
    /// Up and down.
    Gauge,
    /// How many values lie within each of some bounds.
    Histogram,
}

/// One row.
#[derive(Debug)]
pub(super) struct Metric {
    /// As it stands in the text.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What is counted or measured.
    pub(super) unit: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: fn(&Seen<'_>) -> Vec<Sample>,
}

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// The values of the metric's labels, in their order.
    pub(super) labels: Vec<String>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Histogram {
        sum: f64,
        count: u64,
        /// Upper bounds, and how many values are within each and above the one before.
        buckets: Vec<(f64, u64)>,
    },
}

/// All rows, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|(_, rows)| rows.iter())
}

/// The rows by what they are about.
pub(super) const SECTIONS: [(&str, &[Metric]); 5] = [
    ("Of the fleet", fleet::FLEET),
    ("Of tasks and attempts", work::TASKS),
    ("Of looks at sources", work::LOOKS),
    ("Of deliveries", work::DELIVERIES),
    ("Of the log and the engine", log::LOG),
];

/// A metric without labels.
fn one(number: f64) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: Value::Number(number) }]
}

/// The same of what may not be known; then it is left out.
fn known(number: Option<f64>) -> Vec<Sample> {
    number.into_iter().flat_map(one).collect()
}

fn count(number: u64) -> Vec<Sample> {
    one(float(number))
}

/// A metric with one label.
fn by<const N: usize>(counts: [(&str, u64); N]) -> Vec<Sample> {
    counts.into_iter().map(|(label, number)| labelled([label], float(number))).collect()
}

fn labelled<const N: usize>(labels: [&str; N], number: f64) -> Sample {
    Sample { labels: labels.map(str::to_owned).to_vec(), value: Value::Number(number) }
}

fn times(times: &Times) -> Vec<Sample> {
    let buckets = Times::BOUNDS.iter().map(Duration::as_secs_f64).zip(times.within).collect();
    let value = Value::Histogram { sum: times.total.as_secs_f64(), count: times.count, buckets };
    vec![Sample { labels: Vec::new(), value }]
}

/// What is counted stays far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count loses nothing below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_none_comes_twice() {
        let mut names = BTreeSet::new();
        for Metric { name, kind, unit, labels, help, .. } in all() {
            assert!(names.insert(*name), "{name} comes twice");
            assert!(name.starts_with("lastword_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: what is counted up ends so");
            let base = name.trim_end_matches("_total");
            for word in ["seconds", "bytes"] {
                assert_eq!(*unit == word, base.ends_with(&format!("_{word}")), "{name} has the unit {unit}");
            }
            assert!(!["le", "quantile", "job", "instance"].iter().any(|taken| labels.contains(taken)), "{name}");
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains('\n'), "{name}: {help}");
        }
        assert!(names.len() > 40, "{names:?}");
    }
}
