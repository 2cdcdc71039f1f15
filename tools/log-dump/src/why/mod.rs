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

use lastword::core::vocabulary::{Name, TaskId};
use lastword::replay::Until;

use crate::args::LogArgs;
use crate::fail::Failure;
use crate::input::Input;
pub use fate::changes_inputs;
use form::Form;

pub(crate) fn run(log: &LogArgs, name: &Name, until: Until, task: Option<TaskId>, files: bool) -> Result<(), Failure> {
    let input = Input::open_tail(&log.state)?;
    let form = Form { json: log.json, files };
    match task {
        None => answer::run(&input, name, until, form),
        Some(task) => task::run(&input, name, until, task, form),
    }
}
