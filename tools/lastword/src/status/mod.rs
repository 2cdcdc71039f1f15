//! `lastword status`: who has the log open, what is wanted, what is applied, and what stands between the two.
//!
//! A run that answers is asked; nothing is copied then, and what it says is of now. Otherwise the log is read, and what is
//! shown is what it said last: nobody looks at the sources, so that nothing is known to be fresh.

mod gather;
mod row;
mod select;
mod served;
mod watch;
mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lastword::core::vocabulary::Name;
use lastword::describe;

use crate::command::state_of;
use crate::console::{Table, line, note};
use crate::differences::{NamedFile, unknown_in_log};
use crate::fail::{DEFECT, Fail};
use crate::readable::{Depth, way_on};
use gather::{Gathered, gather};
use row::Row;
pub(crate) use row::rank;
pub(crate) use select::{CONDITIONS, Order};
use select::{Selection, summary};
pub(crate) use served::{Filter, Known, Serving};
use watch::Picture;
use writer::Writer;

/// `lastword status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the log, or the configuration that names it
    pub(crate) state: PathBuf,
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
    /// collections at all, if what is applied cannot be read, or if a configuration is named that the run has not read as it is
    #[arg(long)]
    check: bool,
    /// One JSON object per collection and line
    #[arg(long)]
    json: bool,
    /// Again and again, until a signal or until nobody reads it; drawn over what was before on a terminal
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = watch::USUAL,
        value_parser = watch::interval, conflicts_with = "check")]
    watch: Option<Duration>,
}

pub(crate) fn status(arguments: &Arguments) -> Result<ExitCode, Fail> {
    let state = state_of(&arguments.state)?;
    let selection = Selection::new(&arguments.names, &arguments.condition, arguments.unhealthy)?;
    if let Some(interval) = arguments.watch {
        return watch::watch(interval, arguments.json, || picture(arguments, &state, &selection));
    }
    let Picture { lines, notes, is_well } = picture(arguments, &state, &selection)?;
    for text in lines {
        if !line(&text)? {
            break;
        }
    }
    notes.iter().for_each(|text| note(text));
    Ok(if arguments.check && !is_well { ExitCode::from(DEFECT) } else { ExitCode::SUCCESS })
}

fn picture(arguments: &Arguments, state: &Path, selection: &Selection) -> Result<Picture, Fail> {
    let depth = if arguments.check { Depth::Whole } else { Depth::Root };
    let mut found = gather(state, selection, depth).map_err(|fail| {
        let names = selection.exact().unwrap_or_default();
        let named = names.into_iter().find(|name| fail.message.contains(&format!("{:?}", name.as_str())));
        named.map_or_else(
            || Fail::new(fail.code, fail.message.clone()),
            |name| unknown_in_log(fail.clone(), (state, &arguments.state), &name),
        )
    })?;
    let all = found.rows.len();
    let other = found.writer.file().and_then(|file| file.differs(&arguments.state));
    let differs = match other {
        // Of the log and a file that the run does not read nothing else is to be told.
        Some(other) => vec![other],
        None => NamedFile::of(&arguments.state).map(|file| differences(&file, &found, selection)).unwrap_or_default(),
    };
    // Of all of them: a selection may be empty.
    let looked = found.rows.iter().filter_map(Row::looked_ago).min();
    found.rows.retain(|row| selection.holds(row));
    let order = arguments.sort.unwrap_or(if arguments.json { Order::Name } else { Order::Problems });
    order.sort(&mut found.rows);
    let writer = &found.writer;
    let lines = if arguments.json {
        let dropped = found.dropped.iter().map(|dropped| dropped.text.clone());
        found.rows.iter().map(|row| describe::plain_json(row.json(writer))).chain(dropped).collect()
    } else {
        table(&found, writer.line(looked, &arguments.state), &arguments.state, all)
    };
    let mut notes = Vec::new();
    if found.rows.is_empty() && found.dropped.is_empty() {
        notes.push(selection.nothing(all));
    }
    if !arguments.json
        && matches!(writer, Writer::Nobody { .. })
        && found.rows.iter().any(|row| row.facts.task.is_some())
    {
        notes.push("no lastword has this log open: what is unfinished goes on when one does".to_owned());
    }
    let is_done = differs.is_empty() && found.dropped.is_empty();
    notes.extend(differs);
    let is_well = writer.answers() && is_done && all > 0 && !found.rows.iter().any(Row::needs_somebody);
    Ok(Picture { lines, notes, is_well })
}

/// How many lines about the file are shown: who reads more of them edits the file.
const MOST_DIFFERENCES: usize = 10;

/// What the file and the log do not have in common, of what was asked for.
fn differences(file: &NamedFile<'_>, found: &Gathered, selection: &Selection) -> Vec<String> {
    let rows = &found.rows;
    let in_log = |name: &str| rows.iter().any(|row| row.facts.name == name);
    let missing = file.missing(in_log).filter(|name| selection.holds_name(name.as_str()));
    let missing = missing.map(|name| file.is_missing(name));
    let differ = rows.iter().filter_map(|row| {
        let (facts, gone) = (&row.facts, row.gone.as_ref());
        file.difference(facts, gone).or_else(|| file.other_policy(facts, gone))
    });
    let is_run = !matches!(found.writer, Writer::Nobody { .. });
    let top = found.told.as_ref().and_then(|told| file.other_top(told, is_run));
    let needs_start = is_run && top.as_ref().is_some_and(|(_, are_read_again)| !are_read_again);
    let top = top.map(|(said, _)| said);
    let mut all: Vec<String> = top.into_iter().chain(missing).chain(differ).collect();
    let more = all.len().saturating_sub(MOST_DIFFERENCES);
    all.truncate(MOST_DIFFERENCES);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    if !all.is_empty() {
        let pid = found.writer.pid().filter(|_| needs_start);
        all.push(pid.map_or_else(|| file.way_on(is_run), |pid| file.start_again(pid)));
    }
    file.refused().into_iter().chain(all).collect()
}

/// What keeps an applied collection from being in step.
pub(crate) enum Blemish {
    /// What is applied cannot be read.
    Unreadable(String),
    /// The file asks for something else.
    Differs(String),
}

/// What is wrong with a collection of which the log says that it is applied.
pub(crate) fn blemish(
    state: &Path,
    place: &Path,
    name: &Name,
    file: Option<&NamedFile<'_>>,
) -> Result<Option<Blemish>, Fail> {
    let selection = Selection::new(&[glob::Pattern::escape(name.as_str())], &[], false)?;
    let found = gather(state, &selection, Depth::Whole)?;
    let Some(row) = found.rows.first() else { return Ok(None) };
    let unreadable = row.manifest_problem.as_ref().map(|problem| format!("{problem}; {}", way_on(place, &row.facts)));
    let differs = || {
        if let Some(other) = found.writer.file().filter(|_| file.is_some()).and_then(|run| run.differs(place)) {
            return Some(Blemish::Differs(other));
        }
        let difference = file?.difference(&row.facts, row.gone.as_ref())?;
        let is_run = !matches!(found.writer, Writer::Nobody { .. });
        Some(Blemish::Differs(format!("{difference}; {}", file?.way_on(is_run))))
    };
    Ok(unreadable.map(Blemish::Unreadable).or_else(differs))
}

fn table(found: &Gathered, header: String, place: &Path, all: usize) -> Vec<String> {
    let Gathered { rows, dropped, writer, .. } = found;
    let mut lines = vec![header];
    if rows.is_empty() && dropped.is_empty() {
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
        ">COMMITTED",
        ">AGE",
        "SINCE",
        "CAUSE",
    ]);
    let pid = writer.pid();
    rows.iter().for_each(|row| table.row(row.cells(place, pid)));
    dropped.iter().for_each(|dropped| table.row(dropped.cells()));
    lines.extend(table.lines());
    let beside =
        if dropped.is_empty() { String::new() } else { format!("; {} dropped and not discarded", dropped.len()) };
    lines.push(summary(rows, all) + &beside);
    lines
}
