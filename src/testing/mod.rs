//! What workers are tested with (feature `testing`): the real engine, on a disk in memory, under a clock that moves by
//! hand.
//!
//! Nothing is simulated but the disk and the time: threads, queues, replay and every decision are the ones that run
//! in production. A [`Harness`] drives it from due time to due time until it [settles](Harness::run_until_settled),
//! ends its process in the middle of anything and [opens it again](Harness::crash_and_reopen), and has
//! [appends fail](Harness::fail_next_append). [`Sources`] and a [`Destination`] in memory stand for the world, and a
//! [`Gate`] holds an attempt where a test wants it.
//!
//! ```
//! use lastword::testing::{Destination, Harness, Keep, Sources};
//! use lastword::{Built, Context, Declaration, Failure, Kind, Name, Observer, Source, Worker};
//!
//! /// Counts the words of a source.
//! #[derive(Clone, Default)]
//! struct Counter {
//!     sources: Sources,
//!     counts: Destination,
//! }
//!
//! impl Worker for Counter {
//!     fn run(&self, context: &Context) -> Result<Built, Failure> {
//!         let files = self.sources.read(context.source())?;
//!         let words = files.values().map(|text| text.split(|byte| *byte == b' ').count()).sum::<usize>();
//!         context.check_stop()?;
//!         self.sources.unmoved(context)?;
//!         self.counts.write(context.name().as_str(), context.token(), words.to_string())?;
//!         Ok(Built::default())
//!     }
//!
//!     fn observer(&self) -> Option<&dyn Observer> {
//!         Some(&self.sources)
//!     }
//! }
//!
//! let counter = Counter::default();
//! counter.sources.set("notes", [("a.txt", "one two three")]);
//! let mut harness = Harness::with({
//!     let counter = counter.clone();
//!     move |engine| engine.kind(Kind::new("words").unwrap(), counter.clone())
//! });
//! let notes = Declaration::new(Name::new("notes").unwrap()).kind(Kind::new("words").unwrap());
//! harness.declare(notes.source(Source::new("notes").unwrap()));
//! assert!(harness.run_until_settled().is_fresh());
//! assert_eq!(counter.counts.read("notes").unwrap(), b"3");
//!
//! // The process ends; while it is down, the source changes.
//! counter.sources.put("notes", "b.txt", "four");
//! harness.crash_and_reopen(Keep::None);
//! harness.run_until_settled();
//! harness.assert_committed("notes");
//! assert_eq!(counter.counts.read("notes").unwrap(), b"4");
//!
//! // What cannot be read never counts as empty.
//! counter.sources.fail("notes", "permission denied");
//! harness.run_until_settled();
//! harness.assert_condition("notes", "unobservable");
//! assert_eq!(counter.counts.read("notes").unwrap(), b"4");
//! harness.verify();
//! ```
#![allow(clippy::panic, reason = "asserts that fail are what a test harness is for")]

mod destination;
mod gate;
mod harness;
mod settle;
mod sources;

pub use crate::log::Keep;
pub use destination::{Destination, Refused, Write};
pub use gate::Gate;
pub use harness::Harness;
pub use settle::Settled;
pub use sources::Sources;
