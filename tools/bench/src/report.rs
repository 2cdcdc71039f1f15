//! What comes out: a table, or a line of JSON per row.

use serde::Serialize;
use serde_json::json;

use crate::args::Suite;
use crate::ratio::{Better, Spread, ratios};

/// What was measured of one contestant, one value per round.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>) -> Series {
        Series { name: name.into(), values: Vec::new() }
    }

    /// Measured once.
    pub(crate) fn once(name: impl Into<String>, value: f64) -> Series {
        Series { name: name.into(), values: vec![value] }
    }

    pub(crate) fn median(&self) -> f64 {
        Spread::of(&self.values).map_or(f64::NAN, |spread| spread.median)
    }
}

/// What two contestants are compared in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure<'a> {
    pub(crate) suite: Suite,
    pub(crate) case: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) better: Better,
}

/// The ratio that is wanted, and how the issue says it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) ratio: f64,
    pub(crate) text: &'static str,
}

/// Where rows go.
pub(crate) struct Report {
    json: bool,
    file_system: String,
    last: Option<Suite>,
}

#[derive(Serialize)]
struct Row<'a> {
    suite: String,
    case: &'a str,
    unit: &'a str,
    lastword: f64,
    peer: &'a str,
    value: f64,
    ratio: f64,
    ratio_least: f64,
    ratio_most: f64,
    rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    file_system: &'a str,
}

impl Report {
    pub(crate) fn new(json: bool, file_system: &str) -> Report {
        Report { json, file_system: file_system.to_owned(), last: None }
    }

    /// One row: lastword beside a peer. Says nothing if one of them was not measured.
    pub(crate) fn row(&mut self, measure: Measure<'_>, ours: &Series, theirs: &Series, target: Option<Target>) {
        let Some(ratio) = Spread::of(&ratios(measure.better, &ours.values, &theirs.values)) else { return };
        let row = Row {
            suite: measure.suite.to_string(),
            case: measure.case,
            unit: measure.unit,
            lastword: ours.median(),
            peer: &theirs.name,
            value: theirs.median(),
            ratio: ratio.median,
            ratio_least: ratio.least,
            ratio_most: ratio.most,
            rounds: ours.values.len().min(theirs.values.len()),
            target: target.map(|target| target.text),
            met: target.map(|target| ratio.median >= target.ratio),
            file_system: &self.file_system,
        };
        if self.json {
            println!("{}", json!(row));
        } else {
            print_heading(&mut self.last, measure.suite);
            print_row(&row);
        }
    }

    /// A peer that could not be measured, and why: never silently.
    pub(crate) fn skipped(&mut self, suite: Suite, peer: &str, why: &str) {
        if self.json {
            println!("{}", json!({ "suite": suite.to_string(), "skipped": peer, "why": why }));
        } else {
            print_heading(&mut self.last, suite);
            println!("  skipped: {peer}: {why}");
        }
    }
}

fn print_heading(last: &mut Option<Suite>, suite: Suite) {
    if *last != Some(suite) {
        *last = Some(suite);
        println!("\n{suite}");
        println!(
            "  {:<37} {:>11} {:<12} {:<24} {:>11} {:>9} {:<17}  target",
            "case", "lastword", "unit", "peer", "value", "ratio", " (spread)"
        );
    }
}

fn print_row(row: &Row<'_>) {
    let spread = format!(" ({}-{})", short(row.ratio_least), short(row.ratio_most));
    let verdict = match (row.target, row.met) {
        (Some(target), Some(true)) => format!("{target}: met"),
        (Some(target), _) => format!("{target}: NOT met"),
        (None, _) => String::new(),
    };
    println!(
        "  {:<37} {:>11} {:<12} {:<24} {:>11} {:>9} {spread:<17}  {verdict}",
        row.case,
        short(row.lastword),
        row.unit,
        row.peer,
        short(row.value),
        short(row.ratio),
    );
}

/// Three or four digits that count.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}
