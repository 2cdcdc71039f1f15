//! A real reconciler on a real directory, with a worker that builds nothing, and ways to look at what it left.

pub use crate::log_writer::copy_tree;
use std::path::Path;
use std::time::{Duration, Instant};

use lastword::core::State;
use lastword::core::vocabulary::*;
use lastword::engine::{Builder, Handle, Reconciler};
use lastword::log::{Durability, IfAbsent, Log, LogReader, PrivateCopy, SledLog};
use lastword::replay::{self, Until};
use lastword::snapshot::{Folding, Snapshots};
use lastword::worker::{Context, Failure, Worker};

/// How long a test waits for what has to come. Nothing takes nearly as long.
pub const LONG: Duration = Duration::from_secs(60);

/// Builds nothing, at once.
pub struct Echo;

impl Worker for Echo {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        Ok(Built { output: Some(context.spec().as_str().into()), ..Built::default() })
    }
}

pub fn builder(state: &Path) -> Builder {
    Reconciler::open(state).kind(Kind::new("echo").unwrap(), Echo).durability(Durability::Process)
}

pub fn declaration(name: &str, n: u64) -> Declaration {
    let mut declaration = Declaration::new(Name::new(name).unwrap());
    declaration.kind = Some(Kind::new("echo").unwrap());
    declaration.source = Some(Source::new("nowhere").unwrap());
    declaration.versioned = Some(false);
    declaration.spec = Some(Spec::parse(&format!(r#"{{"n":{n}}}"#)).unwrap());
    declaration
}

/// Declares the collections c0 to c6 anew, `rounds` times altogether, one command after the other.
pub fn declare(handle: &Handle, rounds: std::ops::Range<u64>) {
    for n in rounds {
        handle.declare(declaration(&format!("c{}", n % 7), n)).unwrap();
    }
}

/// Waits until everything is applied.
pub fn settle(handle: &Handle) {
    for status in handle.list().unwrap() {
        handle.wait_applied(status.view.name.clone(), status.view.generation, LONG).unwrap();
    }
}

#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a whole replay, from the first frame there is, adds up to.
pub fn replayed(state: &Path) -> State {
    replay::state_at(&*PrivateCopy::of(state).unwrap().reader(), Until::End).unwrap()
}

pub fn frames(reader: &dyn LogReader) -> usize {
    reader.frames(Seq::ZERO).map(Result::unwrap).count()
}

/// How a log was opened.
pub struct Opened {
    pub resumed: Seq,
    pub frames_read: u64,
    pub state: State,
}

/// Opens the log as the engine does, and closes it again.
pub fn open_with_snapshots(state: &Path) -> Opened {
    let mut folding = Folding::from_snapshots(Snapshots::of_log(state));
    let log = SledLog::open_visiting(state, IfAbsent::Refuse, Durability::Power, &mut folding).unwrap();
    let (resumed, frames_read) = (folding.resumed(), log.frames_read());
    (Box::new(log) as Box<dyn Log>).close().unwrap();
    Opened { resumed, frames_read, state: folding.finish().unwrap() }
}
