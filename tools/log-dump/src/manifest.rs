//! `manifest`: which segments a collection consisted of, and which rows of which files are in each.

use std::collections::BTreeMap;

use lastword::core::Collection;
use lastword::core::vocabulary::Name;
use lastword::describe::plain_json;
use lastword::external::{Manifest, Segment, SourcePath, manifest_json};
use lastword::replay::Until;

use crate::args::ManifestArgs;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, grouped, printable};

pub(crate) fn run(args: &ManifestArgs, mut output: Output) -> Result<(), Failure> {
    let ManifestArgs { log, name, at } = args;
    let (input, state) = Input::open_at(log, at.unwrap_or(Until::End))?;
    let when = at.map_or_else(String::new, |_| format!(" at event {}", state.last()));
    let unknown = || Failure::new(Exit::USAGE, format_args!("there is no collection {name:?} in the log{when}"));
    let id = Name::new(name).ok().and_then(|name| state.id_of(&name)).ok_or_else(unknown)?;
    let collection = state.collection(id).ok_or_else(unknown)?;
    let manifest = manifest(&input, collection)?;
    if log.json {
        let segments = manifest.as_ref().map_or(&[][..], |manifest| &manifest.segments);
        let applied = collection.applied_fingerprint();
        output.line(&plain_json(manifest_json(collection.name.as_str(), applied, segments).to_string()))?;
    } else {
        describe(collection, manifest.as_ref()).iter().try_for_each(|line| output.line(line))?;
    }
    output.finish()
}

fn manifest(input: &Input, collection: &Collection) -> Result<Option<Manifest>, Failure> {
    let Some(applied) = &collection.applied else { return Ok(None) };
    let Some(root) = applied.result.manifest else {
        let kind = &collection.kind;
        return Err(Failure::new(Exit::USAGE, format_args!("collections of the kind {kind:?} have no segments")));
    };
    let Some(objects) = input.objects()? else {
        return Err(Failure::new(Exit::CANNOT_OPEN, "an exported stream does not show its manifests: import it"));
    };
    Ok(Some(Manifest::read(&*objects, root)?))
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
    let rows = manifest.segments.iter().map(|segment| (segment.id.to_string(), grouped(segment.rows), files(segment)));
    let heading = ("SEGMENT".to_owned(), "ROWS".to_owned(), "FILES".to_owned());
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    let width = |of: fn(&(String, String, String)) -> &String| rows.iter().map(|row| of(row).len()).max().unwrap_or(0);
    let (ids, numbers) = (width(|row| &row.0), width(|row| &row.1));
    lines.extend(rows.iter().map(|(id, rows, files)| printable(&format!("{id:<ids$}  {rows:>numbers$}  {files}"))));
    lines
}

/// The files of a segment and how many rows of each, as many as fit a line.
pub(crate) fn files(segment: &Segment) -> String {
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
