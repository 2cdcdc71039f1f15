//! `lastword status`: who has the log open, what is wanted, what is applied, and what stands between the two.
//!
//! A run that answers is asked; nothing is copied then, and what it says is of now. Otherwise the log is read, and what is
//! shown is what it said last: nobody looks at the sources, so that nothing is known to be fresh.

mod gather;
mod row;
mod select;
mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lastword::describe;

use crate::command::state_of;
use crate::console::{Table, line, note};
use crate::fail::{DEFECT, Fail};
use gather::gather;
use row::Row;
pub(crate) use select::{CONDITIONS, Order};
use select::{Selection, summary};
use writer::Writer;

/// `lastword status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the log, or the configuration that names it
    state: PathBuf,
    /// Only these collections: names, or patterns with *, ? and [a-z]
    names: Vec<String>,
    /// Only those in one of these conditions, such as parked,held
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(CONDITIONS))]
    condition: Vec<String>,
    /// Only those that need somebody: parked, held, paused, failing, not observed, or with nobody who builds them
    #[arg(long)]
    unhealthy: bool,
    /// In which order; a table has those first that need somebody, JSON is by name
    #[arg(long, value_enum, value_name = "ORDER")]
    sort: Option<Order>,
    /// For scripts: exit code 0 if a run answers and none of those shown needs somebody, else 1, also if there are no
    /// collections at all
    #[arg(long)]
    check: bool,
    /// One JSON object per collection and line
    #[arg(long)]
    json: bool,
}

pub(crate) fn status(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let state = state_of(&arguments.state)?;
    let selection = Selection::new(&arguments.names, &arguments.condition, arguments.unhealthy)?;
    let mut found = gather(&state, &selection)?;
    let all = found.rows.len();
    // Of all of them: a selection may be empty.
    let looked = found.rows.iter().filter_map(Row::looked_ago).min();
    found.rows.retain(|row| selection.holds(row));
    let order = arguments.sort.unwrap_or(if arguments.json { Order::Name } else { Order::Problems });
    order.sort(&mut found.rows);
    let writer = &found.writer;
    let lines = if arguments.json {
        found.rows.iter().map(|row| describe::plain_json(row.json(writer))).collect()
    } else {
        table(&found.rows, writer.line(looked, &arguments.state), &arguments.state, all)
    };
    for text in lines {
        if !line(&text)? {
            break;
        }
    }
    if found.rows.is_empty() {
        note(&selection.nothing(all));
    }
    if !arguments.json && matches!(writer, Writer::Nobody { .. }) && found.rows.iter().any(|row| row.facts.has_task) {
        note("no lastword has this log open: what is unfinished goes on when one does");
    }
    let is_well = writer.answers() && all > 0 && !found.rows.iter().any(Row::needs_somebody);
    Ok(if arguments.check && !is_well { ExitCode::from(DEFECT) } else { ExitCode::SUCCESS })
}

fn table(rows: &[Row], header: String, place: &Path, all: usize) -> Vec<String> {
    let mut lines = vec![header];
    if rows.is_empty() {
        return lines;
    }
    let mut table = Table::new(&[
        "NAME",
        "CONDITION",
        ">GENERATION",
        ">ROWS",
        ">SEGMENTS",
        ">LAG",
        ">LOOKED",
        ">NEXT",
        "SINCE",
        "CAUSE",
    ]);
    rows.iter().for_each(|row| table.row(row.cells(place)));
    lines.extend(table.lines());
    lines.push(summary(rows, all));
    lines
}
