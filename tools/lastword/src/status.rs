//! `lastword status`: what is wanted, what is applied, and what stands between the two.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Fingerprint, Name};
use lastword::core::{CollectionView, Condition, Lag};
use lastword::describe;

use crate::console::{Table, grouped, line, note, quoted};
use crate::control::Unmanaged;
use crate::fail::Fail;
use crate::inspect::Inspected;

pub(crate) fn status(state: &Path, name: Option<&str>, json: bool) -> Result<ExitCode, Fail> {
    let inspected = Inspected::open(state)?;
    let ids: Vec<CollectionId> = match name {
        Some(name) => vec![inspected.find(name)?.0],
        None => inspected.state.by_name().map(|(id, _)| id).collect(),
    };
    let views: Vec<CollectionView> =
        ids.into_iter().filter_map(|id| CollectionView::of(&inspected.state, id, inspected.now)).collect();
    let unmanaged = Unmanaged::read(state);
    let gone = |view: &CollectionView| unmanaged.get(&view.name, view.id).map(|gone| gone.file.as_str());
    let lines = if json {
        views.iter().map(|view| with_unmanaged(describe::view_json(view, inspected.now), gone(view))).collect()
    } else {
        table(state, &views, gone).lines()
    };
    for text in lines {
        if !line(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if !json && !inspected.copy.writer_active() && views.iter().any(|view| view.task.is_some()) {
        note("no lastword has this log open: what is unfinished goes on when one does");
    }
    Ok(ExitCode::SUCCESS)
}

/// The row of the library, and what only this tool knows: the file that the collection is gone from, or null.
fn with_unmanaged(row: String, file: Option<&str>) -> String {
    let members = row.strip_suffix('}').unwrap_or(&row);
    format!("{members},\"unmanaged\":{}}}", serde_json::json!(file))
}

fn table<'v>(state: &Path, views: &'v [CollectionView], gone: impl Fn(&'v CollectionView) -> Option<&'v str>) -> Table {
    let mut table = Table::new(&["NAME", "CONDITION", ">GENERATION", ">ROWS", ">SEGMENTS", ">LAG", "CAUSE"]);
    for view in views {
        let result = view.applied.as_ref().map(|applied| &applied.result);
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
        table.row(vec![
            view.name.to_string(),
            view.condition.name().to_owned(),
            view.generation.to_string(),
            number(result.and_then(|result| result.rows)),
            number(result.and_then(|result| result.segments).map(|segments| segments.kept + segments.new)),
            lag(view.lag),
            [gone(view).map(|file| format!("unmanaged: gone from {file}")), Some(what_stands(state, view))]
                .into_iter()
                .flatten()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
        ]);
    }
    table
}

fn what_stands(state: &Path, view: &CollectionView) -> String {
    let confirm = view.held().map(|(_, fingerprint)| how_to_confirm(state, &view.name, fingerprint));
    cause(view) + &confirm.unwrap_or_default()
}

fn lag(lag: Lag) -> String {
    match lag {
        Lag::Zero => "0s".to_owned(),
        Lag::Unknown => "unknown".to_owned(),
        // Nobody reads more than tenths below a minute, or more than seconds above.
        Lag::Since(lag) if lag < Duration::from_secs(60) => format!("{:.1}s", lag.as_secs_f64()),
        Lag::Since(lag) => humantime::format_duration(Duration::from_secs(lag.as_secs())).to_string(),
    }
}

/// What follows the sentence of a collection that is held. `place`: the directory of the log, or the configuration.
pub(crate) fn how_to_confirm(place: &Path, name: &Name, fingerprint: Fingerprint) -> String {
    let (place, name) = (quoted(place), quoted(Path::new(name.as_str())));
    format!("; confirm it with: lastword confirm {place} {name} {fingerprint}")
}

/// Why a collection is not fresh, or may not be; empty for one that is.
pub(crate) fn cause(view: &CollectionView) -> String {
    let mut causes = Vec::new();
    if view.condition != Condition::Fresh {
        causes.push(view.condition.to_string());
    }
    if let Some(unobservable) = &view.unobservable
        && !matches!(view.condition, Condition::Unobservable { .. })
    {
        causes.push(format!("its source cannot be observed since {}: {}", unobservable.since, unobservable.cause));
    }
    if view.paused && view.condition != Condition::Paused {
        causes.push("paused by a person: no further attempt starts".to_owned());
    }
    causes.join("; ")
}
