//! `diff`: what changed between two points of a log, or where two logs part.

mod content;
mod logs;
mod points;
mod side;

use lastword::replay::Until;

use crate::args::{BetweenArgs, LogArgs};
use crate::fail::Failure;
use crate::input::Input;
use crate::output::Output;

pub(crate) fn run(log: &LogArgs, between: &BetweenArgs, output: Output) -> Result<(), Failure> {
    let input = Input::open(&log.state)?;
    match (&between.other, between.from) {
        (Some(path), _) => {
            let other = Input::open(path)?;
            logs::run((&input, &log.state), (&other, path), log.json, output)
        }
        // The parser of the arguments demands the one or the other.
        (None, from) => {
            let from = from.unwrap_or(Until::End);
            points::run(
                &input,
                from,
                between.to.unwrap_or(Until::End),
                between.collection.as_ref(),
                (log.json, between.files),
                output,
            )
        }
    }
}
