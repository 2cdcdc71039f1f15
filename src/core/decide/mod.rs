//! Command in, events out. Pure: nothing but the state, the command and the time decides.
//!
//! One file per command or family of commands; `context.rs` holds what they share: the collection that is named,
//! and what changed inputs do to its task.

mod attempt;
mod backoff;
mod context;
mod declare;
mod deliver;
mod due;
mod events;
mod observe;
mod open;
mod steer;

use super::state::State;
use super::vocabulary::{Command, EngineCommand, Input, Rejection, Timestamp};
pub(crate) use context::clip;
pub use events::Events;

/// Decides what `input` leads to at the time `at`. No event means that nothing changes.
///
/// # Errors
/// Why it is refused; `events` is then empty.
pub fn decide<'a>(
    state: &State,
    input: impl Into<Input<'a>>,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    events.begin(state.last().next());
    let decided = match input.into() {
        Input::Caller(command) => decide_command(state, command, at, events),
        Input::Engine(command) => decide_engine_command(state, command, at, events),
    };
    if decided.is_err() {
        events.clear();
    }
    decided
}

fn decide_command(state: &State, command: &Command, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    match command {
        Command::Declare(declaration) => declare::declare(state, declaration, at, events),
        Command::Observe { name, outcome } => observe::observe_by_name(state, name, outcome, at, events),
        Command::Refresh { name, force, seen } => steer::refresh(state, name, *force, *seen, at, events),
        Command::Cancel { name, task } => steer::cancel(state, name, *task, at, events),
        Command::Pause { name } => steer::pause(state, name, events),
        Command::Resume { name } => steer::resume(state, name, events),
        Command::Confirm { name, fingerprint } => steer::confirm(state, name, *fingerprint, at, events),
        Command::Drop { name } => steer::drop_collection(state, name, at, events),
        Command::Limit(limits) => steer::limit(state, limits, events),
    }
}

fn decide_engine_command(
    state: &State,
    command: &EngineCommand,
    at: Timestamp,
    events: &mut Events,
) -> Result<(), Rejection> {
    match command {
        EngineCommand::Open { software } => open::open(state, software, at, events),
        EngineCommand::Observe(report) => observe::observe(state, report, at, events),
        EngineCommand::Assign(assign) => attempt::assign(state, assign, at, events),
        EngineCommand::Complete(completion) => attempt::complete(state, completion, at, events),
        EngineCommand::Fail { attempt, failure } => attempt::fail(state, *attempt, failure, at, events),
        EngineCommand::Stopped { attempt } => attempt::stopped(state, *attempt, at, events),
        EngineCommand::Lost { attempt } => attempt::silent(state, *attempt, at, events),
        EngineCommand::Delivered(delivered) => deliver::delivered(state, *delivered, events),
        EngineCommand::DeliveryFailed { delivered, message } => deliver::failed(state, *delivered, message, at, events),
        EngineCommand::Drifted { collection, commit, message } => {
            deliver::drifted(state, *collection, *commit, message, at, events)
        }
        EngineCommand::Due(deadline) => due::due(state, *deadline, at, events),
    }
}
