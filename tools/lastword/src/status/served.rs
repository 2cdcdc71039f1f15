//! The same rows from within the run that knows them, for its door.

use std::path::{Path, PathBuf};

use lastword::core::vocabulary::Name;
use lastword::describe;
use lastword::engine::CollectionStatus;
use serde_json::Value;

use super::row::Row;
use super::select::{CONDITIONS, Selection};
use super::writer::Writer;
use crate::control::{Gone, RunFile};
use crate::facts::Facts;
use crate::fail::{Fail, USAGE};
use crate::readable::{Depth, problem};

/// What is asked of the rows of a run: names or patterns, conditions, and whether somebody is needed.
pub(crate) struct Filter(Selection);

impl Filter {
    /// Refuses what no row can be.
    pub(crate) fn new(matches: &[String], conditions: &[String], unhealthy: bool) -> Result<Filter, Fail> {
        if let Some(unknown) = conditions.iter().find(|word| !CONDITIONS.contains(&word.as_str())) {
            let known = CONDITIONS.join(", ");
            return Err(Fail::new(USAGE, format!("condition: there is no {unknown:?}; there are {known}")));
        }
        Selection::new(matches, conditions, unhealthy).map(Filter)
    }
}

/// A run, as its rows are to name it.
pub(crate) struct Serving<'a> {
    state: &'a Path,
    writer: Writer,
}

/// What is known of one collection.
pub(crate) struct Known {
    pub(crate) status: CollectionStatus,
    /// What only the running process knows.
    pub(crate) live: Value,
    pub(crate) gone: Option<Gone>,
}

impl Serving<'_> {
    /// This process, which reads `file`.
    pub(crate) fn new(state: &Path, file: Option<PathBuf>) -> Serving<'_> {
        let pid = Some(std::process::id());
        Serving { state, writer: Writer::Run { pid, file: file.map(|file| RunFile { pid, file }) } }
    }

    /// The row of a collection as JSON, if it is asked for. `again`: how it is by now; a commit in between takes away what the
    /// one before had.
    pub(crate) fn row(
        &self,
        known: Known,
        filter: Option<&Filter>,
        again: impl Fn(&Name) -> Option<CollectionStatus>,
    ) -> Option<String> {
        let Known { status, live, gone } = known;
        let text = describe::view_json(&status.view, status.at);
        let facts = Facts::parse(&text)?;
        if filter.is_some_and(|Filter(selection)| !selection.holds_name(&facts.name)) {
            return None;
        }
        let manifest_problem = problem(self.state, &facts, Depth::Root).filter(|_| {
            let applied = |status: &CollectionStatus| Some(status.view.applied.as_ref()?.result.manifest);
            again(&status.view.name).is_some_and(|found| applied(&found) == applied(&status))
        });
        let row = Row { text, facts, gone, live: Some(live), is_run: true, manifest_problem };
        let is_asked = filter.is_none_or(|Filter(selection)| selection.holds(&row));
        is_asked.then(|| describe::plain_json(row.json(&self.writer)))
    }
}
