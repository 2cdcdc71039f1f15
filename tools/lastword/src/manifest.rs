//! `lastword manifest`: which segments a collection consists of, and which rows of which files are in each.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use lastword::core::Collection;
use lastword::describe::plain_json;
use lastword::external::{Manifest, Segment, SourcePath, manifest_json};

use crate::console::{Table, grouped, line, printable};
use crate::fail::{Fail, USAGE};
use crate::inspect::Inspected;

pub(crate) fn manifest(state: &Path, name: &str, json: bool) -> Result<ExitCode, Fail> {
    let inspected = Inspected::open(state)?;
    let (_, collection) = inspected.find(name)?;
    let manifest = inspected.manifest(collection)?;
    if let (None, Some(_)) = (&manifest, &collection.applied) {
        let kind = &collection.kind;
        return Err(Fail::new(USAGE, format!("collections of the kind {kind:?} have no segments")));
    }
    if json {
        let segments = manifest.as_ref().map_or(&[][..], |manifest| &manifest.segments);
        let applied = collection.applied_fingerprint();
        line(&plain_json(manifest_json(collection.name.as_str(), applied, segments).to_string()))?;
    } else {
        for text in describe(collection, manifest.as_ref()) {
            if !line(&text)? {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(collection: &Collection, manifest: Option<&Manifest>) -> Vec<String> {
    let mut lines = vec![format!("{} from {}", printable(collection.name.as_str()), collection.latest.source)];
    let (Some(applied), Some(manifest)) = (&collection.applied, manifest) else {
        lines.push("nothing was committed yet".to_owned());
        return lines;
    };
    lines.push(format!("applied {} at {}, event {}", applied.fingerprint, applied.at, applied.seq));
    lines.push(format!(
        "{} {}, {} rows, about {} rows each",
        grouped(manifest.segments.len() as u64),
        if manifest.segments.len() == 1 { "segment" } else { "segments" },
        grouped(manifest.rows()),
        grouped(manifest.layout.target_rows)
    ));
    lines.push(String::new());
    let mut table = Table::new(&["SEGMENT", ">ROWS", "FILES"]);
    for segment in &manifest.segments {
        table.row(vec![segment.id.to_string(), grouped(segment.rows), files(segment)]);
    }
    lines.extend(table.lines());
    lines
}

/// The files of a segment and how many rows of each, as many as fit a line.
fn files(segment: &Segment) -> String {
    const SHOWN: usize = 3;
    let mut rows: BTreeMap<&SourcePath, u64> = BTreeMap::new();
    for fragment in &segment.fragments {
        *rows.entry(&fragment.path).or_default() += fragment.rows();
    }
    let mut shown: Vec<String> =
        rows.iter().take(SHOWN).map(|(path, rows)| format!("{path} ({})", grouped(*rows))).collect();
    if rows.len() > SHOWN {
        shown.push(format!("and {} more", rows.len() - SHOWN));
    }
    shown.join(", ")
}
