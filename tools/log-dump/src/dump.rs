//! `dump`: events, one line each.

use std::sync::Arc;

use lastword::codec::{self, CodecError, Tag};
use lastword::core::vocabulary::{Recorded, Timestamp};
use lastword::describe::{Describer, counted};
use lastword::log::{Frame, Record};
use lastword::replay::{self, ReplayError};
use serde::Serialize;

use crate::args::{DamageArgs, LogArgs, SelectionArgs};
use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, complain};

pub(crate) fn run(log: &LogArgs, damage: DamageArgs, selection: &SelectionArgs) -> Result<(), Failure> {
    let (input, end) = Input::open_up_to_damage(&log.state, damage)?;
    let mut output = Output::new();
    // The log is read twice rather than kept: `--last` may name any number.
    let skipped = match selection.last {
        Some(last) => count(&input, selection)?.saturating_sub(last),
        None => 0,
    };
    let (mut selected, mut printed, mut unknown) = (0_u64, 0, 0_u64);
    each(&input, selection, |line| {
        selected += 1;
        if selected <= skipped {
            return Ok(());
        }
        printed += 1;
        unknown += u64::from(matches!(line, Line::Unknown(_)));
        output.line(&if log.json { line.json() } else { line.text() })
    })?;
    if log.json {
        let (from, to) = (selection.first().max(input.start().first()), selection.end(input.last()));
        output.summary(printed, from.min(to), to, input.head())?;
    }
    output.finish()?;
    let begins = input.start().first();
    if selection.from.is_some_and(|from| from < begins.0) {
        complain(&format!("history begins with event {begins}: what came before was let go"));
    }
    if printed == 0 {
        complain(&selection.nothing(begins, input.last()));
    }
    if unknown > 0 {
        let records = counted(unknown, "record");
        let are = if unknown == 1 { "is of a type or version" } else { "are of types or versions" };
        complain(&format!("{records} {are} that only a newer program knows"));
    }
    end
}

/// How many events are selected, `--last` aside.
pub(crate) fn count(input: &Input, selection: &SelectionArgs) -> Result<u64, Failure> {
    let mut count = 0;
    each(input, selection, |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// One event to be shown.
pub(crate) enum Line<'l> {
    Known(lastword::describe::Described<'l>),
    Unknown(UnknownRecord<'l>),
}

/// A record that only a newer program can decode.
pub(crate) struct UnknownRecord<'l> {
    pub(crate) record: Record<'l>,
    pub(crate) at: Timestamp,
}

#[derive(Serialize)]
struct UnknownLine {
    v: u32,
    seq: u64,
    time: String,
    #[serde(rename = "type")]
    event_type: &'static str,
    type_number: u16,
    type_version: u16,
    payload: String,
}

impl Line<'_> {
    pub(crate) fn json(&self) -> String {
        match self {
            Line::Known(described) => described.json(),
            Line::Unknown(UnknownRecord { record, at }) => serde_json::to_string(&UnknownLine {
                v: 1,
                seq: record.seq.0,
                time: at.to_string(),
                event_type: "unknown",
                type_number: record.event_type,
                type_version: record.version,
                payload: hex(record.payload),
            })
            .unwrap_or_default(),
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Line::Known(described) => described.to_string(),
            Line::Unknown(UnknownRecord { record, at }) => {
                let Record { seq, event_type, version, payload } = record;
                format!("{at} {:>6} type {event_type} version {version}, not known: {}", seq.0, hex(payload))
            }
        }
    }
}

/// Shows every selected event to `show`, in order. All events are read from the first one on: the later ones refer
/// to them.
pub(crate) fn each(
    input: &Input,
    selection: &SelectionArgs,
    mut show: impl FnMut(&Line<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Names whose declarations were deleted are in the state that stands for them.
    let mut describer = Describer::behind(&replay::begin(input.reader())?);
    for frame in input.reader().frames(input.start().first()) {
        let frame = frame?;
        let frame = frame.as_frame();
        if selection.is_over(frame.first(), frame.header().time) {
            break;
        }
        for record in frame.records() {
            each_record(&frame, record, &mut describer, selection, &mut show)?;
        }
    }
    Ok(())
}

fn each_record(
    frame: &Frame<'_>,
    record: Record<'_>,
    describer: &mut Describer,
    selection: &SelectionArgs,
    show: &mut impl FnMut(&Line<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (seq, at, epoch) = (record.seq, frame.header().time, frame.header().epoch);
    let tag = Tag { event_type: record.event_type, version: record.version };
    match codec::decode(tag, record.payload) {
        Ok((event, by)) => {
            let recorded = Recorded { seq, at, epoch, by: by.map(Arc::new), event };
            let described = describer.describe(&recorded);
            let name = described.name().map(|name| name.as_str().to_owned());
            if selection.holds(seq, at, record.event_type, name.as_deref()) {
                show(&Line::Known(described))?;
            }
            Ok(())
        }
        Err(CodecError::Unknown(_)) => {
            if selection.holds(seq, at, record.event_type, None) {
                show(&Line::Unknown(UnknownRecord { record, at }))?;
            }
            Ok(())
        }
        Err(error) => Err(ReplayError::Codec { seq, error }.into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
