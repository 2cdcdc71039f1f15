//! `lastword status`: what is wanted, what is applied, and what stands between the two.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use lastword::core::vocabulary::{CollectionId, Fingerprint};
use lastword::core::{CollectionView, Condition, Lag};
use lastword::describe;

use crate::console::{Table, grouped, line, note};
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
    let lines = if json {
        views.iter().map(|view| describe::view_json(view, inspected.now)).collect()
    } else {
        table(&views).lines()
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

fn table(views: &[CollectionView]) -> Table {
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
            view.held().map_or_else(
                || cause(view),
                |(_, fingerprint)| format!("{}{}", cause(view), how_to_confirm("CONFIG", fingerprint)),
            ),
        ]);
    }
    table
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

/// What follows the sentence of a collection that is held.
pub(crate) fn how_to_confirm(file: &str, fingerprint: Fingerprint) -> String {
    format!("; confirm it with: lastword run {file} --confirm {fingerprint}")
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
