//! A test of a worker: `cargo run --example test_of_a_worker --features testing`.
//!
//! The engine, its threads and its log format are the real ones. Sources, destination and disk are in memory, and the
//! clock moves by hand: hours of retries take no time, and a process can end in the middle of an attempt.

use lastword::testing::{Destination, Gate, Harness, Keep, Sources};
use lastword::{Built, Context, Declaration, Event, Failure, Kind, Name, Observer, Source, Worker};

/// The worker to test: writes the longest line of a source to its destination.
#[derive(Clone, Default)]
struct LongestLine {
    sources: Sources,
    lines: Destination,
    /// Where the test holds an attempt.
    gate: Gate,
}

impl Worker for LongestLine {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let files = self.sources.read(context.source())?;
        self.gate.pass(context)?;
        let lines = files.values().flat_map(|text| text.split(|byte| *byte == b'\n'));
        let longest = lines.max_by_key(|line| line.len()).unwrap_or_default();
        self.sources.unmoved(context)?;
        self.lines.write(context.name().as_str(), context.token(), longest)?;
        Ok(Built::default())
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.sources)
    }
}

/// An engine with the worker, and one collection whose source is `poem`.
fn begin(worker: &LongestLine) -> Harness {
    let kind = Kind::new("longest").expect("a kind");
    let harness = Harness::with({
        let (worker, kind) = (worker.clone(), kind.clone());
        move |engine| engine.kind(kind.clone(), worker.clone())
    });
    let source = Source::new("poem").expect("a source");
    harness.declare(Declaration::new(Name::new("line").expect("a name")).kind(kind).source(source));
    harness
}

fn a_crash_in_the_middle_of_an_attempt_costs_an_attempt_and_nothing_else() {
    let worker = LongestLine::default();
    worker.sources.set("poem", [("one.txt", "short\na longer one")]);
    let mut harness = begin(&worker);
    worker.gate.until_reached(&harness, 1);
    harness.crash_and_reopen(Keep::None);
    worker.gate.open();
    assert!(harness.run_until_settled().is_fresh());

    assert_eq!(worker.lines.read("line").as_deref(), Some(&b"a longer one"[..]));
    let committed = harness.assert_committed("line");
    assert_eq!(worker.lines.writer("line"), Some(committed.token));
    let commits = |event: &Event| matches!(event, Event::TaskCompleted { attempt: 2, .. });
    assert_eq!(harness.events().iter().filter(|recorded| commits(&recorded.event)).count(), 1);
    harness.verify();
    println!("a crash:\n{}", harness.history("line"));
}

fn a_change_in_the_middle_of_an_attempt_is_what_gets_built() {
    let worker = LongestLine::default();
    worker.sources.set("poem", [("one.txt", "the old line")]);
    let harness = begin(&worker);
    worker.gate.until_reached(&harness, 1);
    worker.sources.put("poem", "two.txt", "the line that came later");
    worker.gate.open();
    assert!(harness.run_until_settled().is_fresh());

    assert_eq!(worker.lines.read("line").as_deref(), Some(&b"the line that came later"[..]));
    assert_eq!(worker.lines.writes().len(), 1, "the old line was never written");
    harness.verify();
    println!("a change:\n{}", harness.history("line"));
}

fn a_source_that_cannot_be_read_is_not_empty() {
    let worker = LongestLine::default();
    worker.sources.set("poem", [("one.txt", "a line")]);
    worker.gate.open();
    let harness = begin(&worker);
    harness.run_until_settled();
    worker.sources.fail("poem", "permission denied");
    harness.run_until_settled();
    harness.assert_condition("line", "unobservable");
    assert_eq!(worker.lines.read("line").as_deref(), Some(&b"a line"[..]));
}

fn main() {
    a_crash_in_the_middle_of_an_attempt_costs_an_attempt_and_nothing_else();
    a_change_in_the_middle_of_an_attempt_is_what_gets_built();
    a_source_that_cannot_be_read_is_not_empty();
}
