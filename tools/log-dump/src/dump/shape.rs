//! The forms in which events are written, one after the other, in memory that does not grow with them.

use lastword::describe::printable;
use serde_json::Value;

use super::events::Line;
use super::trace::Trace;
use crate::args::Format;
use crate::fail::{Exit, Failure};
use crate::output::Output;

/// What a line of CSV has, by the keys of the JSON. The sentence for people is behind them.
const COLUMNS: [&str; 13] = [
    "seq",
    "time",
    "type",
    "collection",
    "incarnation",
    "task",
    "attempt",
    "generation",
    "fingerprint",
    "wanted",
    "reason",
    "worker",
    "rows",
];

/// What writes.
pub(super) enum Shape {
    Text,
    Json,
    Csv,
    Trace(Box<Trace>),
}

impl Shape {
    pub(super) fn begin(format: Format, output: &mut Output) -> Result<Shape, Failure> {
        Ok(match format {
            Format::Text => Shape::Text,
            Format::Json => Shape::Json,
            Format::Csv => {
                output.line(&record(COLUMNS.iter().copied().chain(["text"]))?)?;
                Shape::Csv
            }
            Format::Trace => Shape::Trace(Box::new(Trace::begin(output)?)),
        })
    }

    /// An event as one line; nothing for a form that has no lines.
    pub(super) fn text(&self, line: &Line<'_>) -> Result<Option<String>, Failure> {
        match self {
            Shape::Text => Ok(Some(line.text())),
            Shape::Json => Ok(Some(line.json())),
            Shape::Csv => csv(line).map(Some),
            Shape::Trace(_) => Ok(None),
        }
    }

    pub(super) fn event(&mut self, line: &Line<'_>, output: &mut Output) -> Result<(), Failure> {
        match self {
            Shape::Trace(trace) => trace.event(line, output),
            _ => self.text(line)?.map_or(Ok(()), |text| output.line(&text)),
        }
    }

    pub(super) fn end(self, output: &mut Output) -> Result<(), Failure> {
        match self {
            Shape::Trace(trace) => trace.end(output),
            Shape::Text | Shape::Json | Shape::Csv => Ok(()),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        matches!(self, Shape::Json)
    }
}

fn csv(line: &Line<'_>) -> Result<String, Failure> {
    let event: Value = serde_json::from_str(&line.json()).unwrap_or_default();
    let cell = |key: &str| match event.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let cells: Vec<String> = COLUMNS.iter().map(|key| printable(&cell(key))).chain([line.text()]).collect();
    record(cells.iter().map(String::as_str))
}

/// One line of CSV, without its end.
fn record<'c>(cells: impl Iterator<Item = &'c str>) -> Result<String, Failure> {
    let failed = |error: csv::Error| Failure::new(Exit::CANNOT_OPEN, error);
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(cells).map_err(failed)?;
    let bytes = writer.into_inner().map_err(|error| Failure::new(Exit::CANNOT_OPEN, error))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
}
