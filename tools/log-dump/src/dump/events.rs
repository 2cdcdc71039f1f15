//! The events of a log, one after the other, as they are shown. It must not know how they are written.

use std::sync::Arc;

use lastword::codec::{self, CodecError, Tag};
use lastword::core::vocabulary::{Recorded, Seq, Timestamp};
use lastword::describe::Describer;
use lastword::log::{Frame, Record};
use lastword::replay::{self, ReplayError};
use serde::Serialize;

use crate::args::SelectionArgs;
use crate::fail::Failure;
use crate::input::Input;

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
    let whole = Stretch { first: input.start().first(), end: Seq(u64::MAX), describer: &mut describer };
    each_of(input, whole, selection, |line| show(line).map(|()| true))
}

/// A part of a log.
pub(crate) struct Stretch<'d> {
    pub(crate) first: Seq,
    /// The first event behind it.
    pub(crate) end: Seq,
    /// Has seen what comes before it.
    pub(crate) describer: &'d mut Describer,
}

/// The same of a part of a log, until `show` has seen enough.
pub(crate) fn each_of(
    input: &Input,
    stretch: Stretch<'_>,
    selection: &SelectionArgs,
    mut show: impl FnMut(&Line<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    for frame in input.reader().frames(stretch.first) {
        let frame = frame?;
        let frame = frame.as_frame();
        if selection.is_over(frame.first(), frame.header().time) || frame.first() >= stretch.end {
            break;
        }
        for record in frame.records() {
            if !each_record(&frame, record, stretch.describer, selection, &mut show)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Has `describer` see a frame.
pub(super) fn remember(frame: &Frame<'_>, describer: &mut Describer) -> Result<(), Failure> {
    let none = SelectionArgs::behind(Seq(u64::MAX - 1));
    frame
        .records()
        .try_for_each(|record| each_record(frame, record, describer, &none, &mut |_: &Line<'_>| Ok(true)).map(drop))
}

fn each_record(
    frame: &Frame<'_>,
    record: Record<'_>,
    describer: &mut Describer,
    selection: &SelectionArgs,
    show: &mut impl FnMut(&Line<'_>) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let (seq, at, epoch) = (record.seq, frame.header().time, frame.header().epoch);
    let tag = Tag { event_type: record.event_type, version: record.version };
    match codec::decode(tag, record.payload) {
        Ok((event, by)) => {
            let recorded = Recorded { seq, at, epoch, by: by.map(Arc::new), event };
            let described = describer.describe(&recorded);
            let name = described.name().map(|name| name.as_str().to_owned());
            match selection.holds(seq, at, record.event_type, name.as_deref()) {
                true => show(&Line::Known(described)),
                false => Ok(true),
            }
        }
        Err(CodecError::Unknown(_)) => match selection.holds(seq, at, record.event_type, None) {
            true => show(&Line::Unknown(UnknownRecord { record, at })),
            false => Ok(true),
        },
        Err(error) => Err(ReplayError::Codec { seq, error }.into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
