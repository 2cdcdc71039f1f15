//! Events from the last one to the first. The log is read twice, and kept are the lines of one stretch of it.

use lastword::core::vocabulary::Seq;
use lastword::describe::Describer;
use lastword::replay;

use super::events::{Line, Stretch, each_of, remember};
use super::shape::Shape;
use crate::args::SelectionArgs;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::Output;

/// So many events of the log are one stretch.
const STRETCH: u64 = 1 << 16;

/// Writes at most `most` events; how many, and how many of them only a newer program knows.
pub(super) fn write(
    input: &Input,
    selection: &SelectionArgs,
    most: u64,
    shape: &Shape,
    output: &mut Output,
) -> Result<(u64, u64), Failure> {
    let (mut printed, mut unknown) = (0, 0);
    let stretches = stretches(input, selection)?;
    let mut end = Seq(u64::MAX);
    for (first, describer) in stretches.into_iter().rev() {
        if printed == most {
            break;
        }
        let mut lines = Vec::new();
        let mut describer = describer;
        each_of(input, Stretch { first, end, describer: &mut describer }, selection, |line| {
            lines.push((shape.text(line)?, matches!(line, Line::Unknown(_))));
            Ok(true)
        })?;
        for (text, is_unknown) in lines.into_iter().rev() {
            if printed == most {
                break;
            }
            printed += 1;
            unknown += u64::from(is_unknown);
            text.map_or(Ok(()), |text| output.line(&text))?;
        }
        end = first;
    }
    Ok((printed, unknown))
}

/// Where stretches begin, and what is known of names and tasks there.
fn stretches(input: &Input, selection: &SelectionArgs) -> Result<Vec<(Seq, Describer)>, Failure> {
    let mut describer = Describer::behind(&replay::begin(input.reader())?);
    let mut found: Vec<(Seq, Describer)> = Vec::new();
    for frame in input.reader().frames(input.start().first()) {
        let frame = frame?;
        let frame = frame.as_frame();
        if selection.is_over(frame.first(), frame.header().time) {
            break;
        }
        let (first, last) = (frame.first(), frame.last());
        let is_due = found.last().is_none_or(|(begun, _)| first.0 >= begun.0 + STRETCH);
        if is_due && last >= selection.first() {
            found.push((first, describer.clone()));
        }
        remember(&frame, &mut describer)?;
    }
    Ok(found)
}
