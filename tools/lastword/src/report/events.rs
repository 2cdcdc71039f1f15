//! The events as numbers, and the sentence of each.

use lastword::core::vocabulary::{Admission, Event, Fingerprint, Recorded};
use lastword::describe::Described;
use serde_json::{Value, json};

use super::columns::{Columns, Marks, Table, number, tail};

/// Stands for a collection that is not shown. Its events are there for their times alone.
pub(super) const HIDDEN: i64 = -2;

/// All of them, without a gap.
pub(super) struct Events {
    columns: Columns<7>,
    /// The types of events, by their names.
    pub(super) types: Table,
    /// Who asked, and why.
    pub(super) by: Table,
    /// One for each, with what stands before it in a line of `dump` taken away.
    sentences: String,
    last_at: i64,
    first: bool,
}

impl Events {
    pub(super) fn new() -> Events {
        let columns = Columns::new(["at", "type", "of", "task", "by", "because", "built"]);
        Events {
            columns,
            types: Table::default(),
            by: Table::default(),
            sentences: String::new(),
            last_at: 0,
            first: true,
        }
    }

    pub(super) fn add(&mut self, described: &Described<'_>, of: i64, because: Option<u64>, texts: &mut Table) {
        let Recorded { seq, at, by, event, .. } = described.recorded();
        let at = number(at.0);
        let by = by.as_deref().map_or(-1, |by| {
            let (actor, cause) = (texts.maybe(by.actor()), texts.maybe(by.cause()));
            self.by.place(&json!([actor, cause]))
        });
        let task = event.task(*seq).map_or(-1, |task| number(task.0.0));
        let built = named(event).map(|named| json!(named.map(|of| of.map_or(-1, |of| texts.text(&of.to_string())))));
        self.columns.push([
            Some(at - self.last_at),
            Some(self.types.text(event.type_name())),
            Some(of),
            Some(task),
            Some(by),
            Some(because.map_or(0, number)),
            Some(built.map_or(-1, |built| self.by.place(&built))),
        ]);
        self.last_at = at;
        if !self.first {
            self.sentences.push(',');
        }
        self.first = false;
        let sentence = if of == HIDDEN { String::new() } else { sentence(described) };
        self.sentences.push_str(&Value::String(sentence).to_string());
    }

    /// Columns, types, who asked, sentences.
    pub(super) fn mark(&self, marks: &mut Marks) {
        self.columns.mark(marks);
        self.types.mark(marks);
        self.by.mark(marks);
        marks.add(self.sentences.len());
    }

    pub(super) fn json(&self, lengths: &mut impl Iterator<Item = usize>) -> String {
        self.columns.json(lengths)
    }

    pub(super) fn sentences(&self, lengths: &mut impl Iterator<Item = usize>) -> String {
        format!("[{}]", tail(&self.sentences, lengths.next()))
    }
}

/// What an event says, without when, where and of what: these stand beside it.
fn sentence(described: &Described<'_>) -> String {
    let Recorded { seq, at, .. } = described.recorded();
    let line = described.to_string();
    let before = format!("{at} {:>6} ", seq.0);
    let name = described.name().map(|name| format!("{name}: ")).unwrap_or_default();
    let rest = line.strip_prefix(&before).unwrap_or(&line);
    rest.strip_prefix(&name).unwrap_or(rest).to_owned()
}

/// What it was built from, or would be, and what is wanted.
fn named(event: &Event) -> Option<[Option<Fingerprint>; 2]> {
    match event {
        Event::TaskCreated { fingerprint, .. }
        | Event::TaskCompleted { fingerprint, .. }
        | Event::Published { fingerprint, .. } => Some([Some(*fingerprint), None]),
        Event::CompletionRejected { fingerprint, wanted, .. } => Some([Some(*fingerprint), *wanted]),
        Event::CollectionHeld { fingerprint, .. } => Some([Some(*fingerprint), None]),
        Event::HoldConfirmed { fingerprint, .. } => Some([None, Some(*fingerprint)]),
        Event::CollectionDeclared { wanted, .. } => Some([None, *wanted]),
        Event::SourceChanged { admission: Admission::Admitted { wanted, .. }, .. }
        | Event::SpecChanged { admission: Admission::Admitted { wanted, .. }, .. }
        | Event::SourceObserved { admission: Admission::Admitted { wanted, .. }, .. } => Some([None, *wanted]),
        _ => None,
    }
}
