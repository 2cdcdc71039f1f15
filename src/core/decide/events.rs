//! The buffer that a decision writes its events into. It must not know which commands lead to which events.

use crate::core::vocabulary::{Event, Seq};

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

    pub(super) fn push(&mut self, event: Event) {
        self.list.push(event);
    }

    /// Takes back all of them: what led to them is refused.
    pub(super) fn clear(&mut self) {
        self.list.clear();
    }
}
