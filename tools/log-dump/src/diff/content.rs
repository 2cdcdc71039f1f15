//! By which files and segments a collection differs between two points. It must not know how the points were found.

use std::collections::BTreeMap;

use lastword::core::vocabulary::ObjectHash;
use lastword::describe::counted;
use lastword::external::{Manifest, Segment, SegmentId};
use serde::Serialize;

use super::side::At;
use crate::changed_files::{FilesLine, MOST_SHOWN, Named};
use crate::fail::Failure;
use crate::manifest::files;
use crate::output::{Output, grouped, printable};

/// What compares.
pub(super) struct Comparing {
    named: Named,
    shows_all: bool,
    json: bool,
}

/// How the files that were observed and the segments that were applied differ; nothing where they do not.
#[derive(Serialize)]
pub(super) struct Content {
    files: Option<FilesLine>,
    segments: Option<SegmentsLine>,
}

#[derive(Serialize)]
struct SegmentsLine {
    kept: u64,
    new: u64,
    dropped: u64,
    rows_new: u64,
    rows_dropped: u64,
    /// Named only if that was asked for.
    segments: Vec<ChangedSegment>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct ChangedSegment {
    change: &'static str,
    id: String,
    rows: u64,
    files: String,
}

impl Comparing {
    pub(super) fn new(named: Named, shows_all: bool, json: bool) -> Comparing {
        Comparing { named, shows_all, json }
    }

    /// As many as are named: scripts are given all of them, or none.
    fn most(&self) -> usize {
        match (self.shows_all, self.json) {
            (true, _) => usize::MAX,
            (false, true) => 0,
            (false, false) => MOST_SHOWN,
        }
    }

    pub(super) fn of(&self, from: Option<&At>, to: Option<&At>) -> Content {
        let sets = (from.and_then(|at| at.set), to.and_then(|at| at.set));
        let manifests = (from.and_then(|at| at.manifest), to.and_then(|at| at.manifest));
        let files = (sets.0 != sets.1).then(|| self.named.between(sets, self.most()));
        // What is known of files beside their content may be all that differs.
        let files = files.filter(|files| !files.is_nothing());
        Content { files, segments: (manifests.0 != manifests.1).then(|| self.segments(manifests)) }
    }

    fn segments(&self, (from, to): (Option<ObjectHash>, Option<ObjectHash>)) -> SegmentsLine {
        let mut line = SegmentsLine {
            kept: 0,
            new: 0,
            dropped: 0,
            rows_new: 0,
            rows_dropped: 0,
            segments: Vec::new(),
            problem: None,
        };
        let read = |root: Option<ObjectHash>| -> Result<BTreeMap<SegmentId, Segment>, String> {
            let Some(root) = root else { return Ok(BTreeMap::new()) };
            let manifest = Manifest::read(self.named.objects()?, root).map_err(|error| error.to_string())?;
            Ok(manifest.segments.into_iter().map(|segment| (segment.id, segment)).collect())
        };
        let (from, to) = match read(from).and_then(|from| Ok((from, read(to)?))) {
            Ok(sides) => sides,
            Err(problem) => {
                return SegmentsLine { problem: Some(format!("its segments cannot be named: {problem}")), ..line };
            }
        };
        let sides = [("dropped", &from, &to), ("new", &to, &from)];
        for (change, ours, others) in sides {
            for segment in ours.values().filter(|segment| !others.contains_key(&segment.id)) {
                let (count, rows) = match change {
                    "new" => (&mut line.new, &mut line.rows_new),
                    _ => (&mut line.dropped, &mut line.rows_dropped),
                };
                *count += 1;
                *rows = rows.saturating_add(segment.rows);
                if line.segments.len() < self.most() {
                    let (id, rows, files) = (segment.id.to_string(), segment.rows, files(segment));
                    line.segments.push(ChangedSegment { change, id, rows, files });
                }
            }
        }
        line.kept = to.len() as u64 - line.new;
        line
    }
}

impl Content {
    pub(super) fn is_none(&self) -> bool {
        self.files.is_none() && self.segments.is_none()
    }

    pub(super) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        if let Some(files) = &self.files {
            let FilesLine { added, changed, removed, .. } = files;
            output.line(&format!("    {:<16} {added} added, {changed} changed, {removed} removed", "files"))?;
            files.write(output, "        ")?;
        }
        let Some(segments) = &self.segments else { return Ok(()) };
        let SegmentsLine { kept, new, dropped, rows_new, rows_dropped, .. } = segments;
        if let Some(problem) = &segments.problem {
            return output.line(&printable(&format!("    {:<16} {problem}", "segments")));
        }
        let rows = |rows: &u64| format!("{} {}", grouped(*rows), if *rows == 1 { "row" } else { "rows" });
        output.line(&format!(
            "    {:<16} {kept} kept, {new} new ({}), {dropped} dropped ({})",
            "segments",
            rows(rows_new),
            rows(rows_dropped)
        ))?;
        for ChangedSegment { change, id, rows, files } in &segments.segments {
            let sign = if *change == "new" { '+' } else { '-' };
            let rows = counted(*rows, "row");
            output.line(&printable(&format!("        {sign} segment {id}, {rows}: {files}")))?;
        }
        let left = new + dropped - segments.segments.len() as u64;
        if left > 0 { output.line(&format!("        ... and {left} more; --files names them ...")) } else { Ok(()) }
    }
}
