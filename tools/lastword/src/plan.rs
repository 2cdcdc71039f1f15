//! `lastword plan`: what a build would do now. It scans, cuts and plans as an attempt does, and changes nothing.

use std::path::Path;
use std::process::ExitCode;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{HoldCause, Name};
use lastword::core::{Collection, State};
use lastword::external::{
    FragmentCache, Layout, LocalStore, Manifest, Plan, ScanRequest, SegmentKey, format_of, fragments_of,
    never_interrupted, plan as plan_segments, scan,
};

use crate::config::{Config, Entry};
use crate::console::{Table, grouped, line, note};
use crate::fail::{DEFECT, Fail};
use crate::foresee::held;
use crate::inspect::Inspected;

pub(crate) fn plan(file: &Path) -> Result<ExitCode, Fail> {
    let config = Config::read(file)?;
    let inspected = Inspected::open_if_there(&config.state)?;
    let mut table = Table::new(&["NAME", ">FILES", ">ROWS", ">KEPT", ">NEW", ">DROPPED", ">ROWS TO BUILD", "NOTE"]);
    let mut failed = Vec::new();
    for entry in &config.collections {
        match plan_one(entry, inspected.as_ref()) {
            Ok(planned) => table.row(planned.cells(&entry.name)),
            Err(why) => failed.push(format!("{}: {why}", entry.name)),
        }
    }
    for text in table.lines() {
        if !line(&text)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    failed.iter().for_each(|why| note(why));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DEFECT) })
}

/// What a build of one collection would do.
struct Planned {
    files: u64,
    plan: Plan,
    note: String,
}

fn plan_one(entry: &Entry, inspected: Option<&Inspected>) -> Result<Planned, String> {
    let known = inspected.and_then(|inspected| Some((inspected, collection(&inspected.state, &entry.name)?)));
    let manifest = match known {
        Some((inspected, collection)) => inspected.manifest(collection).map_err(|fail| fail.to_string())?,
        None => None,
    };
    let source = entry.source.clone().read_by(&entry.layout);
    // As an observation does: what has not changed since the last one has its versions only in comparison with it.
    let before =
        known.and_then(|(inspected, collection)| inspected.files(collection.observed().map(|observed| &**observed)));
    let applied = known
        .and_then(|(inspected, collection)| inspected.files(collection.applied_observed().map(|observed| &**observed)));
    let now = SystemClock::new().wall();
    let request = ScanRequest {
        known: before.as_ref(),
        applied: applied.as_ref(),
        format: format_of(&entry.layout.format),
        ..ScanRequest::new(&LocalStore, &source, now)
    };
    let found = scan(&request).map_err(|error| error.to_string())?;
    let files = found.set.len() as u64;
    let is_first = manifest.is_none();
    let (layout, segments) =
        manifest.map_or((None, Vec::new()), |Manifest { layout, segments }| (Some(layout), segments));
    let format = format_of(&entry.layout.format).ok_or("no files of this format can be read")?;
    // As in an attempt: files that were cut under other read keys were not checked for these.
    let same = segments.iter().all(|segment| SegmentKey::of(&entry.layout, &segment.fragments) == segment.key);
    let cache = FragmentCache::new(if same { &segments } else { &[] });
    let columns = entry.layout.columns.as_deref();
    let (store, cutting) = ((&LocalStore as _, &source), (format, columns));
    let fragments = fragments_of(store, cutting, &found.set, &cache, &never_interrupted, &|_| ())
        .map_err(|error| error.to_string())?;
    drop(cache);
    let changes_layout = layout.is_some_and(|layout| layout != Layout::of(&entry.layout));
    let plan = plan_segments(layout, segments, &entry.layout, fragments);
    let state = inspected.map_or_else(State::new, |inspected| inspected.state.clone());
    let note = match (held(state, entry, &found, now)?, known) {
        (Some(HoldCause::Empty), _) => "its source is empty: held until a person confirms it".to_owned(),
        (Some(HoldCause::MostGone { gone, of }), _) => {
            format!("{gone} of {of} applied files are gone: held until a person confirms it")
        }
        (Some(_), _) => "held until a person confirms it".to_owned(),
        (None, None) => "not declared yet".to_owned(),
        (None, Some(_)) if is_first => "first build".to_owned(),
        (None, Some(_)) if changes_layout => "another layout: packed anew".to_owned(),
        (None, Some(_)) if plan.new.is_empty() && plan.dropped.is_empty() => "nothing to build".to_owned(),
        (None, Some(_)) => String::new(),
    };
    let left_out = (found.skipped.total() > 0).then(|| format!("left out: {}", found.skipped));
    let note =
        [Some(note).filter(|note| !note.is_empty()), left_out].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Ok(Planned { files, plan, note })
}

fn collection<'s>(state: &'s State, name: &Name) -> Option<&'s Collection> {
    state.collection(state.id_of(name)?)
}

impl Planned {
    fn cells(&self, name: &Name) -> Vec<String> {
        let Plan { kept, new, dropped } = &self.plan;
        let counts = [kept.len(), new.len(), dropped.len()].map(|count| grouped(count as u64));
        let to_build = new.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.rows));
        [name.to_string(), grouped(self.files), grouped(self.plan.rows())]
            .into_iter()
            .chain(counts)
            .chain([grouped(to_build), self.note.clone()])
            .collect()
    }
}
