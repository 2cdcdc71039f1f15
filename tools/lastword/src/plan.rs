//! `lastword plan`: what a build would do now. It scans, cuts and plans as an attempt does, and changes nothing.
//!
//! A source that gives no sign of life for `look_timeout` is given up and named, and the others are planned. All that hang
//! are given up together, so a plan waits for them no longer than for a few.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{HoldCause, Name};
use lastword::core::{Collection, State};
use lastword::external::{
    Buckets, FragmentCache, Layout, LocalStore, Manifest, PathSet, Plan, ScanRequest, SegmentKey, format_of,
    fragments_of, plan as plan_segments, scan,
};

use crate::config::{Config, Entry};
use crate::console::{Table, grouped, line, note};
use crate::fail::{DEFECT, Fail};
use crate::foresee::held;
use crate::inspect::Inspected;
use crate::patience::{Life, Work, ask_each};

/// Sources that are read at the same time, as many as a run builds by itself. One that is silent does not count.
const PLACES: usize = 2;

pub(crate) fn plan(file: &Path) -> Result<ExitCode, Fail> {
    let config = Arc::new(Config::read(file)?);
    config.remarks.iter().for_each(|remark| note(remark));
    let inspected = Inspected::open_if_there(&config.state)?;
    config.check_names(|name| inspected.as_ref().is_some_and(|inspected| inspected.has(name)))?;
    let state = Arc::new(inspected.as_ref().map_or_else(State::new, |inspected| inspected.state.clone()));
    let buckets = Arc::new(config.buckets(LocalStore));
    let work = |number: usize| -> Work<Result<Planned, String>> {
        let known = config.collections.get(number).map(|entry| known(entry, inspected.as_ref()));
        let (config, state, buckets) = (Arc::clone(&config), Arc::clone(&state), Arc::clone(&buckets));
        Box::new(move |life| {
            let (entry, known) = config.collections.get(number).zip(known).ok_or("it is not in the file")?;
            plan_one(entry, known?, &buckets, (&state, &config.state), life)
        })
    };
    let patience = config.settings.observe_timeout;
    let planned = ask_each((0..config.collections.len()).map(work), PLACES, patience);
    let mut table = Table::new(&["NAME", ">FILES", ">ROWS", ">KEPT", ">NEW", ">DROPPED", ">ROWS TO BUILD", "NOTE"]);
    let mut failed = Vec::new();
    let silent = || format!("its source has not answered for {} (look_timeout)", humantime::format_duration(patience));
    for (entry, planned) in config.collections.iter().zip(planned) {
        match planned.unwrap_or_else(|| Err(silent())) {
            Ok(planned) => table.row(planned.cells(&entry.name)),
            Err(why) => failed.push(format!("{}: {why}", entry.name)),
        }
    }
    for text in table.lines() {
        if !line(&text)? {
            break;
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

/// What the log says of a collection. It is read before its source is asked: a thread that is left behind at a source that
/// hangs holds nothing of the log.
#[derive(Default)]
struct Known {
    is_declared: bool,
    manifest: Option<Manifest>,
    /// What the last observation found: what has not changed since has its versions only in comparison with it.
    before: Option<PathSet>,
    applied: Option<PathSet>,
}

fn known(entry: &Entry, inspected: Option<&Inspected>) -> Result<Known, String> {
    let found = inspected.and_then(|inspected| Some((inspected, collection(&inspected.state, &entry.name)?)));
    let Some((inspected, collection)) = found else { return Ok(Known::default()) };
    Ok(Known {
        is_declared: true,
        manifest: inspected.manifest(collection).map_err(|fail| fail.to_string())?,
        before: inspected.files(collection.observed().map(|observed| &**observed)),
        applied: inspected.files(collection.applied_observed().map(|observed| &**observed)),
    })
}

fn plan_one(
    entry: &Entry,
    known: Known,
    store: &Buckets,
    (state, directory): (&State, &Path),
    life: &Life,
) -> Result<Planned, String> {
    let Known { is_declared, manifest, before, applied } = known;
    let source = entry.source.clone().read_by(&entry.layout).apart_from(Some(directory));
    let now = SystemClock::new().wall();
    let request = ScanRequest {
        known: before.as_ref(),
        applied: applied.as_ref(),
        // What a run would read is not read for a plan.
        believes_unknown_mounts: true,
        stop_check: &|| life.sign(),
        format: format_of(&entry.layout.format),
        ..ScanRequest::new(store, &source, now)
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
    let (place, cutting) = ((store as _, &source), (format, columns));
    let fragments = fragments_of(place, cutting, &found.set, &cache, &|| life.sign(), &|_| ())
        .map_err(|error| error.to_string())?;
    drop(cache);
    let applied = collection(state, &entry.name).and_then(|collection| collection.applied.as_deref());
    let changes_format = applied.is_some_and(|applied| {
        let spec = applied.inputs.spec.to_value();
        spec.get("format").and_then(|format| format.as_str()) != Some(entry.layout.format.as_str())
    });
    let changes_layout = layout.is_some_and(|layout| layout != Layout::of(&entry.layout));
    let plan = plan_segments(layout, segments, &entry.layout, fragments);
    let note = match (held(state.clone(), entry, &found, now)?, is_declared) {
        (Some(HoldCause::Empty), _) => "its source is empty: held until a person confirms it".to_owned(),
        (Some(HoldCause::MostGone { gone, of }), _) => {
            format!("{gone} of {of} applied files are gone: held until a person confirms it")
        }
        (Some(_), _) => "held until a person confirms it".to_owned(),
        (None, false) => "not declared yet".to_owned(),
        (None, true) if is_first => "first build".to_owned(),
        (None, true) if changes_format => "another format: built anew".to_owned(),
        (None, true) if changes_layout => "another layout: packed anew".to_owned(),
        (None, true) if plan.new.is_empty() && plan.dropped.is_empty() => "nothing to build".to_owned(),
        (None, true) => String::new(),
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
