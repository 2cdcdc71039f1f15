//! Command in, events out. Pure: nothing but the state, the command and the time decides.
//!
//! One file per command or family of commands; `context.rs` holds what they share: what changed inputs do to
//! the task.

mod attempt;
mod backoff;
mod context;
mod declare;
mod deliver;
mod due;
mod observe;
mod open;
mod steer;

use super::collection::Collection;
use super::state::State;
use super::vocabulary::{CollectionId, Command, EngineCommand, Event, Input, Name, Rejection, Seq, Timestamp};

/// The events that one command leads to, numbered as they will stand in the log. The buffer is reused.
#[derive(Debug, Default)]
pub struct Events {
    list: Vec<Event>,
    next: Seq,
}

impl Events {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Events {
        Events::default()
    }

    /// Empties the buffer; the next event will have the number `next`.
    pub fn begin(&mut self, next: Seq) {
        self.list.clear();
        self.next = next;
    }

    /// The number that the next event will have.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.next.plus(self.list.len() as u64)
    }

    /// The events, with their numbers.
    pub fn drain(&mut self) -> impl Iterator<Item = (Seq, Event)> + '_ {
        let first = self.next;
        self.list.drain(..).zip(0..).map(move |(event, offset)| (first.plus(offset), event))
    }

    /// The events so far.
    #[must_use]
    pub fn as_slice(&self) -> &[Event] {
        &self.list
    }

    fn push(&mut self, event: Event) {
        self.list.push(event);
    }
}

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
        events.list.clear();
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
        EngineCommand::Stopped { attempt } => attempt::stopped(state, *attempt, events),
        EngineCommand::Lost { attempt } => attempt::silent(state, *attempt, at, events),
        EngineCommand::Delivered(delivered) => deliver::delivered(state, *delivered, events),
        EngineCommand::DeliveryFailed { delivered, message } => deliver::failed(state, *delivered, message, at, events),
        EngineCommand::Drifted { collection, commit, message } => {
            deliver::drifted(state, *collection, *commit, message, at, events)
        }
        EngineCommand::Due(deadline) => due::due(state, *deadline, at, events),
    }
}

/// The collection that a command names.
fn named<'s>(state: &'s State, name: &Name) -> Result<(CollectionId, &'s Collection), Rejection> {
    let unknown = || Rejection::UnknownCollection(name.clone());
    let id = state.id_of(name).ok_or_else(unknown)?;
    state.collection(id).map(|collection| (id, collection)).ok_or_else(unknown)
}

/// The first `most` bytes of a text, or a few less so that no character is cut.
fn clip(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
