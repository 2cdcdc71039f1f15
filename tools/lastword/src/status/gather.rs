//! Where the rows come from: the run, if one answers, and else the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lastword::core::CollectionView;
use lastword::core::vocabulary::{CollectionId, Name, Seq};
use lastword::describe;
use lastword::log::lock_holder;
use serde_json::Value;

use super::row::Row;
use super::select::Selection;
use super::writer::Writer;
use crate::control::{Connection, Found, RunFile, Unmanaged, WithoutSocket};
use crate::door::{Listed, MOST_ROWS, Page, Request, ShownRow, rows_of};
use crate::dropped::{Dropped, all_waiting};
use crate::facts::Facts;
use crate::fail::{DEFECT, Fail, USAGE};
use crate::inspect::Inspected;
use crate::readable::{Depth, problem};
use crate::record::LastRun;
use crate::told::Told;

/// A run that is well answers at once; one that does not is not waited for by who wants to see how things are.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// What there is to show.
pub(super) struct Gathered {
    pub(super) writer: Writer,
    pub(super) rows: Vec<Row>,
    /// What is left of dropped collections and waits.
    pub(super) dropped: Vec<Dropped>,
    /// What is known of the top of the file that the run has read.
    pub(super) told: Option<Told>,
}

/// `depth`: how much of each applied manifest is read.
pub(super) fn gather(state: &Path, selection: &Selection, depth: Depth) -> Result<Gathered, Fail> {
    let mut gathered = ask_or_read(state, selection)?;
    // The run has looked at the roots itself.
    if depth == Depth::Root && gathered.writer.answers() {
        return Ok(gathered);
    }
    let find = |row: &Row| problem(state, &row.facts, depth);
    let doubtful: Vec<usize> =
        (0..gathered.rows.len()).filter(|row| gathered.rows.get(*row).is_some_and(|row| find(row).is_some())).collect();
    if doubtful.is_empty() {
        return Ok(gathered);
    }
    // A commit in between takes away what the one before had: what is as it was is damaged.
    let again = ask_or_read(state, selection)?;
    let manifests: BTreeMap<&str, Option<&str>> =
        again.rows.iter().map(|row| (row.facts.name.as_str(), row.facts.manifest.as_deref())).collect();
    for row in doubtful {
        let Some(row) = gathered.rows.get_mut(row) else { continue };
        if manifests.get(row.facts.name.as_str()) == Some(&row.facts.manifest.as_deref()) {
            row.manifest_problem = problem(state, &row.facts, depth);
        }
    }
    Ok(gathered)
}

fn ask_or_read(state: &Path, selection: &Selection) -> Result<Gathered, Fail> {
    let silent = match Connection::find(state, ANSWERED_WITHIN)? {
        Found::Nobody => None,
        Found::Silent => Some(None),
        Found::Run(mut run) => {
            run.be_patient_for(ANSWERED_WITHIN);
            match ask(&mut run, state, selection) {
                Ok(rows) => {
                    let dropped = ask_dropped(&mut run, selection);
                    let (told, file) = ask_told(&mut run);
                    return Ok(Gathered { writer: Writer::Run { pid: run.pid, file }, rows, dropped, told });
                }
                Err(_) if run.is_silent => Some(run.pid),
                // It ended meanwhile.
                Err(_) if run.is_lost => None,
                Err(fail) => return Err(fail),
            }
        }
    };
    read(state, selection, silent)
}

/// Asks a run for all that is selected by name, page by page.
fn ask(run: &mut Connection, state: &Path, selection: &Selection) -> Result<Vec<Row>, Fail> {
    let unmanaged = Unmanaged::read(state);
    let mut rows = Vec::new();
    if let Some(names) = selection.exact() {
        for name in names {
            let body = run.ask_body(&Request::Show(name))?;
            let shown = std::str::from_utf8(&body).ok().and_then(ShownRow::parse).ok_or_else(garbage)?;
            rows.push(taken(shown, &unmanaged)?);
        }
        return Ok(rows);
    }
    let mut after = None;
    loop {
        let (matches, conditions) = (Vec::new(), Vec::new());
        // All of them: how many there are is told, whatever is shown.
        let listed = Listed { after, most: MOST_ROWS, matches, conditions, unhealthy: false };
        let page = Page::parse(&run.ask_body(&Request::List(listed))?).ok_or_else(garbage)?;
        for shown in page.rows {
            let row = taken(shown, &unmanaged)?;
            selection.holds_name(&row.facts.name).then(|| rows.push(row));
        }
        let Some(next) = page.next else { break };
        after = Some(CollectionId(Seq(next.parse().map_err(|_| garbage())?)));
    }
    // A name that was dropped and declared again between two pages is the later one's.
    let by_name: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.facts.name.clone(), row)).collect();
    check(selection, by_name.keys().map(String::as_str))?;
    Ok(by_name.into_values().collect())
}

/// Nothing of a run that does not know the question.
fn ask_dropped(run: &mut Connection, selection: &Selection) -> Vec<Dropped> {
    let Ok(body) = run.ask_body(&Request::Dropped) else { return Vec::new() };
    let texts = rows_of("dropped", &body).unwrap_or_default();
    texts
        .iter()
        .filter_map(|text| Dropped::parse(text))
        .filter(|dropped| selection.holds_dropped(&dropped.name))
        .collect()
}

/// What a run was told, and by which file.
fn ask_told(run: &mut Connection) -> (Option<Told>, Option<RunFile>) {
    let Ok(answer) = run.ask(&Request::Run) else { return (None, None) };
    let settings = answer.object("settings");
    let told = settings.and_then(|settings| Told::parse(answer.text("version"), settings));
    (told, RunFile::of(&answer, run.pid))
}

fn taken(shown: ShownRow, unmanaged: &Unmanaged) -> Result<Row, Fail> {
    let ShownRow { text, live, manifest_problem } = shown;
    let mut facts = Facts::parse(&text).ok_or_else(garbage)?;
    facts.since = facts.since.take().or_else(|| Some(live.get("since")?.as_str()?.to_owned()));
    Ok(Row { manifest_problem, ..row(text, facts, unmanaged, Some(live)) })
}

fn garbage() -> Fail {
    Fail::new(DEFECT, "the run answered what this program does not understand")
}

fn row(text: String, facts: Facts, unmanaged: &Unmanaged, live: Option<Value>) -> Row {
    let name = Name::new(&facts.name).ok();
    let gone = name.and_then(|name| unmanaged.get(&name, facts.id).cloned());
    Row { text, facts, gone, is_run: live.is_some(), manifest_problem: None, live }
}

/// Reads the log. `silent`: the run that does not answer.
fn read(state: &Path, selection: &Selection, silent: Option<Option<u32>>) -> Result<Gathered, Fail> {
    let inspected = Inspected::open(state)?;
    let (unmanaged, now) = (Unmanaged::inspected(state, &inspected), inspected.now);
    let view = |id| CollectionView::of(&inspected.state, id, now);
    let all = inspected.state.by_name();
    let views: Vec<CollectionView> = match selection.exact() {
        Some(names) => {
            let ids = names.iter().map(|name| Ok(inspected.find(name.as_str())?.0));
            ids.collect::<Result<Vec<_>, Fail>>()?.into_iter().filter_map(view).collect()
        }
        None => {
            all.map(|(id, _)| id).filter_map(view).filter(|view| selection.holds_name(view.name.as_str())).collect()
        }
    };
    check(selection, views.iter().map(|view| view.name.as_str()))?;
    let last = inspected.copy.time();
    let writer = match silent {
        Some(pid) => {
            let pid = pid.or_else(|| lock_holder(&state.join("LOCK")));
            Writer::Silent { pid, file: RunFile::recorded(state, pid), last, now }
        }
        None if inspected.copy.writer_active() => Writer::WithoutSocket(WithoutSocket::find(state)),
        None => {
            let (in_order, run) = (inspected.copy.anchor().clean, LastRun::read(state));
            Writer::Nobody { last, now, in_order, run }
        }
    };
    let nobody_runs = matches!(writer, Writer::Nobody { .. });
    let as_row = |view: &CollectionView| {
        let text = describe::view_json(view, now);
        let mut facts = Facts::parse(&text)?;
        if nobody_runs {
            facts.without_run();
        }
        let parked = view.parked_since.map(|since| since.to_string());
        facts.since = facts.since.take().or(parked).or_else(|| Some(inspected.time_of(Seq(facts.task?))?.to_string()));
        Some(row(text, facts, &unmanaged, None))
    };
    let rows = views.iter().filter_map(as_row).collect();
    let mut dropped = all_waiting(&inspected.state, now);
    dropped.retain(|dropped| selection.holds_dropped(&dropped.name));
    // What a run that does not answer was told is not known.
    let told = nobody_runs.then(|| Told::of_log(inspected.state.limits()));
    Ok(Gathered { writer, rows, dropped, told })
}

fn check<'n>(selection: &Selection, names: impl Iterator<Item = &'n str> + Clone) -> Result<(), Fail> {
    match selection.unknown(names) {
        Some(asked) if asked.contains(['*', '?', '[']) => {
            Err(Fail::new(USAGE, format!("there is no collection whose name matches {asked:?}")))
        }
        Some(asked) => Err(Fail::new(USAGE, format!("there is no collection {asked:?} in the log"))),
        None => Ok(()),
    }
}
