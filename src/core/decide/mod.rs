//! Command in, events out. Pure: the state, the command and the time decide, and nothing else.
//!
//! One file per command or family of commands; `context.rs` holds what they share: what a changed word does to
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
use super::vocabulary::{CollectionId, Command, Event, Name, Rejection, Seq, Timestamp};

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

/// Decides what `command` leads to at the time `at`. No event means that nothing changes.
///
/// # Errors
/// Why the command is refused; `events` is then empty.
pub fn decide(state: &State, command: &Command, at: Timestamp, events: &mut Events) -> Result<(), Rejection> {
    events.begin(state.last().next());
    let verdict = match command {
        Command::Open { software } => open::open(state, software, at, events),
        Command::Declare(declaration) => declare::declare(state, declaration, at, events),
        Command::Observe(observation) => observe::observe(state, observation, at, events),
        Command::Refresh { name, force, seen } => steer::refresh(state, name, *force, *seen, at, events),
        Command::Cancel { name, task } => steer::cancel(state, name, *task, at, events),
        Command::Pause { name } => steer::pause(state, name, events),
        Command::Resume { name } => steer::resume(state, name, events),
        Command::Confirm { name, fingerprint } => steer::confirm(state, name, *fingerprint, at, events),
        Command::Drop { name } => steer::drop_collection(state, name, at, events),
        Command::Limit(limits) => steer::limit(state, limits, events),
        Command::Assign(assign) => attempt::assign(state, assign, at, events),
        Command::Complete(completion) => attempt::complete(state, completion, at, events),
        Command::Fail { attempt, failure } => attempt::fail(state, *attempt, failure, at, events),
        Command::Stopped { attempt } => attempt::stopped(state, *attempt, events),
        Command::Lost { attempt } => attempt::silent(state, *attempt, at, events),
        Command::Delivered(delivered) => deliver::delivered(state, *delivered, events),
        Command::DeliveryFailed { delivered, message } => deliver::failed(state, *delivered, message, at, events),
        Command::Drifted { collection, commit, message } => {
            deliver::drifted(state, *collection, *commit, message, at, events)
        }
        Command::Due(deadline) => due::due(state, *deadline, at, events),
    };
    if verdict.is_err() {
        events.list.clear();
    }
    verdict
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
