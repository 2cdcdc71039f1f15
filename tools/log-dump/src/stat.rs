//! `stat`: counts and sizes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lastword::core::vocabulary::Timestamp;
use serde::Serialize;

use crate::args::{LogArgs, SelectionArgs};
use crate::dump::{Line, each};
use crate::fail::Failure;
use crate::input::Input;
use crate::output::Output;

#[derive(Serialize)]
struct TypeLine<'t> {
    kind: &'static str,
    #[serde(rename = "type")]
    event_type: &'t str,
    events: u64,
}

/// Frames and objects are those of the whole log, events those that were selected.
#[derive(Default, Serialize)]
struct StatLine {
    kind: &'static str,
    events: u64,
    frames: u64,
    frame_bytes: u64,
    events_per_frame_min: u64,
    events_per_frame_avg: f64,
    events_per_frame_max: u64,
    objects: u64,
    object_bytes: u64,
    first_time: Option<String>,
    last_time: Option<String>,
}

pub(crate) fn run(log: &LogArgs, selection: &SelectionArgs) -> Result<(), Failure> {
    let input = Input::open(&log.state)?;
    let (types, span) = count_types(&input, selection)?;
    let mut stat = count_frames(&input)?;
    stat.kind = "stat";
    stat.events = types.values().sum();
    stat.first_time = span.map(|(first, _)| first.to_string());
    stat.last_time = span.map(|(_, last)| last.to_string());
    (stat.objects, stat.object_bytes) = match (input.stream_objects(), input.objects_path()) {
        (Some(totals), _) => totals,
        (None, Some(path)) => count_objects(path)?,
        (None, None) => (0, 0),
    };
    let mut output = Output::new();
    if log.json {
        for (event_type, events) in &types {
            output.object(&TypeLine { kind: "type", event_type, events: *events })?;
        }
        output.object(&stat)?;
        let to = selection.end(input.last());
        let from = selection.first().max(input.start().first());
        output.summary(stat.events, from.min(to), to, input.head())?;
        return output.finish();
    }
    for (event_type, events) in &types {
        output.line(&format!("{events:>10}  {event_type}"))?;
    }
    output.line(&format!("{:>10}  events", stat.events))?;
    let (min, avg, max) = (stat.events_per_frame_min, stat.events_per_frame_avg, stat.events_per_frame_max);
    output.line(&format!(
        "{:>10}  frames, {} bytes, events per frame: {min} at least, {avg:.2} on average, {max} at most",
        stat.frames, stat.frame_bytes
    ))?;
    output.line(&format!("{:>10}  objects, {} bytes", stat.objects, stat.object_bytes))?;
    if let (Some(first), Some(last)) = (&stat.first_time, &stat.last_time) {
        output.line(&format!("from {first} to {last}"))?;
    }
    output.finish()
}

/// Selected events by type, and the times of the first and the last.
#[allow(clippy::type_complexity, reason = "one use, taken apart at once")]
fn count_types(
    input: &Input,
    selection: &SelectionArgs,
) -> Result<(BTreeMap<String, u64>, Option<(Timestamp, Timestamp)>), Failure> {
    let skipped = match selection.last {
        Some(last) => crate::dump::count(input, selection)?.saturating_sub(last),
        None => 0,
    };
    let (mut types, mut span, mut selected) = (BTreeMap::new(), None, 0_u64);
    each(input, selection, |line| {
        selected += 1;
        if selected <= skipped {
            return Ok(());
        }
        let (name, at) = match line {
            Line::Known(described) => {
                let recorded = described.recorded();
                (recorded.event.type_name().to_owned(), recorded.at)
            }
            Line::Unknown(unknown) => {
                let (number, version) = (unknown.record.event_type, unknown.record.version);
                (format!("unknown ({number}, version {version})"), unknown.at)
            }
        };
        *types.entry(name).or_insert(0) += 1;
        span = Some((span.map_or(at, |(first, _)| first), at));
        Ok(())
    })?;
    Ok((types, span))
}

fn count_frames(input: &Input) -> Result<StatLine, Failure> {
    let mut stat = StatLine { events_per_frame_min: u64::MAX, ..StatLine::default() };
    let (first, mut events) = (input.start().first(), 0_u64);
    for frame in input.reader().frames(first) {
        let frame = frame?;
        let frame = frame.as_frame();
        let count = u64::from(frame.header().count);
        events += count;
        stat.frames += 1;
        stat.frame_bytes += frame.bytes().len() as u64;
        stat.events_per_frame_min = stat.events_per_frame_min.min(count);
        stat.events_per_frame_max = stat.events_per_frame_max.max(count);
    }
    if stat.frames == 0 {
        stat.events_per_frame_min = 0;
    } else {
        // Counts of one log are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let average = events as f64 / stat.frames as f64;
        stat.events_per_frame_avg = (average * 1000.0).round() / 1000.0;
    }
    Ok(stat)
}

/// Counts by names and lengths; whether they are whole is for `verify`.
fn count_objects(directory: &Path) -> Result<(u64, u64), Failure> {
    let (mut objects, mut bytes) = (0, 0);
    let failed = |path: &Path, error: &std::io::Error| Failure::io("listing", path, error);
    for entry in fs::read_dir(directory).map_err(|error| failed(directory, &error))? {
        let path = entry.map_err(|error| failed(directory, &error))?.path();
        if path.file_name().is_none_or(|name| name == "tmp") || !path.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&path).map_err(|error| failed(&path, &error))? {
            let entry = entry.map_err(|error| failed(&path, &error))?;
            bytes += entry.metadata().map_err(|error| failed(&path, &error))?.len();
            objects += 1;
        }
    }
    Ok((objects, bytes))
}
