//! `why`: one answer for the person who was woken up, from the log alone: what is wanted and what is applied, what
//! stands between the two, and the events that led there.
//!
//! The events are folded twice: once to find out what the answer is and where its story begins, and once to tell it. So
//! memory is bounded by the state, however long the log. Before that the log was read to be checked when it was opened,
//! and before each of the two the checkpoint is read, if a prefix was deleted.

mod answer;
mod chain;
mod fate;
mod files;
mod form;
mod life;
mod mark;
mod show;
mod task;
mod work;

use lastword::core::vocabulary::{Seq, TaskId};
use lastword::replay::Until;

use crate::args::WhyArgs;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::Output;
pub use fate::changes_inputs;
use form::Form;

pub(crate) fn run(args: &WhyArgs, output: Output) -> Result<(), Failure> {
    let WhyArgs { log, name, at, task, files } = args;
    let input = Input::open_tail(log)?;
    let (until, form) = (at.unwrap_or(Until::End), Form { json: log.json, files: *files });
    match task {
        None => answer::run(&input, name, until, form, output),
        Some(task) => task::run(&input, name, until, TaskId(Seq(*task)), form, output),
    }
}
