//! What a row of the table is, and what most rows say in one word.
//!
//! *It must not know* which rows there are.

use std::time::Duration;

use lastword::engine::Times;

use super::super::seen::Seen;

/// How a metric changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::metrics) enum Kind {
    /// Only up, from zero at the start of the run.
    Counter,
    /// Up and down.
    Gauge,
    /// How many values lie within each of some bounds.
    Histogram,
}

/// One row.
#[derive(Debug)]
pub(in crate::metrics) struct Metric {
    /// As it stands in the text.
    pub(in crate::metrics) name: &'static str,
    pub(in crate::metrics) kind: Kind,
    /// What is counted or measured.
    pub(in crate::metrics) unit: &'static str,
    pub(in crate::metrics) labels: &'static [&'static str],
    pub(in crate::metrics) help: &'static str,
    pub(in crate::metrics) read: fn(&Seen<'_>) -> Vec<Sample>,
}

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::metrics) struct Sample {
    /// The values of the metric's labels, in their order.
    pub(in crate::metrics) labels: Vec<String>,
    pub(in crate::metrics) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::metrics) enum Value {
    Number(f64),
    Histogram {
        sum: f64,
        count: u64,
        /// Upper bounds, and how many values are within each and above the one before.
        buckets: Vec<(f64, u64)>,
    },
}

/// A metric without labels.
pub(super) fn one(number: f64) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: Value::Number(number) }]
}

/// The same of what may not be known; then it is left out.
pub(super) fn known(number: Option<f64>) -> Vec<Sample> {
    number.into_iter().flat_map(one).collect()
}

pub(super) fn count(number: u64) -> Vec<Sample> {
    one(float(number))
}

/// A metric with one label.
pub(super) fn by<const N: usize>(counts: [(&str, u64); N]) -> Vec<Sample> {
    counts.into_iter().map(|(label, number)| labelled([label], float(number))).collect()
}

pub(super) fn labelled<const N: usize>(labels: [&str; N], number: f64) -> Sample {
    Sample { labels: labels.map(str::to_owned).to_vec(), value: Value::Number(number) }
}

pub(super) fn times(times: &Times) -> Vec<Sample> {
    let buckets = Times::BOUNDS.iter().map(Duration::as_secs_f64).zip(times.within).collect();
    let value = Value::Histogram { sum: times.total.as_secs_f64(), count: times.count, buckets };
    vec![Sample { labels: Vec::new(), value }]
}

/// What is counted stays far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count loses nothing below 2^53")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
