//! `dump`: events, one line each, or as a table or a trace.

mod backwards;
mod events;
mod follow;
mod shape;
mod trace;

use lastword::core::vocabulary::Seq;
use lastword::describe::{Describer, counted};
use lastword::replay;

use crate::args::{DumpArgs, Format};
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, complain};
pub(crate) use events::{Line, count, each};
use events::{Stretch, each_of};
use follow::Following;
use shape::Shape;

pub(crate) fn run(args: &DumpArgs, mut output: Output) -> Result<(), Failure> {
    let DumpArgs { log, damage, selection, format, follow, reverse, limit } = args;
    let format = format.unwrap_or(if log.json { Format::Json } else { Format::Text });
    if *reverse && format == Format::Trace {
        return Err(Failure::new(Exit::USAGE, "--reverse: a trace has no order"));
    }
    let (input, end) = Input::open_up_to_damage(&log.state, *damage)?;
    let mut shape = Shape::begin(format, &mut output)?;
    let most = limit.unwrap_or(u64::MAX);
    let (mut printed, mut unknown) = (0, 0_u64);
    let mut last = input.end();
    if *reverse {
        let most = most.min(selection.last.unwrap_or(u64::MAX));
        (printed, unknown) = backwards::write(&input, selection, most, &shape, &mut output)?;
    } else {
        // The log is read twice rather than kept: `--last` may name any number.
        let mut skipped = match selection.last {
            Some(last) => count(&input, selection)?.saturating_sub(last),
            None => 0,
        };
        let mut describer = Describer::behind(&replay::begin(input.reader())?);
        let whole = Stretch { first: input.start().first(), end: Seq(u64::MAX), describer: &mut describer };
        each_of(&input, whole, selection, |line| {
            if skipped > 0 || most == 0 {
                skipped = skipped.saturating_sub(1);
                return Ok(most > 0);
            }
            printed += 1;
            unknown += u64::from(matches!(line, Line::Unknown(_)));
            shape.event(line, &mut output)?;
            Ok(printed < most)
        })?;
        if *follow && printed < most {
            let following = Following::behind(&log.state, &input, selection, describer)?;
            let (more, end) = following.go_on(most - printed, &mut shape, &mut output)?;
            (printed, last) = (printed + more, end);
        }
    }
    let is_json = shape.is_json();
    shape.end(&mut output)?;
    if is_json {
        let (from, to) = (selection.first().max(input.start().first()), selection.end(last.seq));
        output.summary(printed, from.min(to), to, last.hash)?;
    }
    output.finish()?;
    let begins = input.start().first();
    if selection.from.is_some_and(|from| from < begins.0) {
        complain(&format!("history begins with event {begins}: what came before was let go"));
    }
    if printed == 0 && most > 0 {
        complain(&selection.nothing(begins, input.last()));
    }
    if unknown > 0 {
        let records = counted(unknown, "record");
        let are = if unknown == 1 { "is of a type or version" } else { "are of types or versions" };
        complain(&format!("{records} {are} that only a newer program knows"));
    }
    end
}
