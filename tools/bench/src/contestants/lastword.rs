//! lastword as a user has it: a directory, the default settings, handles.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::{Command, Declaration, Kind, Name, Source};
use lastword::engine::{Builder, Counters, MOST_IN_BATCH};
use lastword::{Handle, Reconciler};

use super::frames::Shape;
use crate::failure::Result;
use crate::load::{Client, Latencies, Measured, as_f64};
use crate::workload::{self, Change, Changes};

/// Collections of this kind have no worker: their task waits, alive, until the next change aborts it.
const WAITING: &str = "waiting";

/// Tickets that are out at the same time: twice what fits into the queue, so that the next batch always waits.
const WINDOW: usize = 8192;

/// A builder whose reconciler takes no snapshot on the way and one at its end, if it logs at least `events`.
pub(crate) fn one_snapshot_at_the_end(builder: Builder, events: u64) -> Builder {
    // A shutdown takes one if that spares the next start a hundredth of what one is taken for anyway.
    builder.snapshot_every(events * 100)
}

/// An open reconciler.
pub(crate) struct Lastword {
    reconciler: Reconciler,
}

impl Lastword {
    /// Opens with the default settings.
    pub(crate) fn open(path: &Path) -> Result<Lastword> {
        Lastword::start(Reconciler::open(path))
    }

    pub(crate) fn start(builder: Builder) -> Result<Lastword> {
        Ok(Lastword { reconciler: builder.start()? })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.reconciler.handle()
    }

    /// Declares so many collections that nobody builds: each has a live task.
    pub(crate) fn fill(&self, collections: u64) -> Result<()> {
        self.fill_kind(collections, &Kind::new(WAITING)?)
    }

    pub(crate) fn fill_kind(&self, collections: u64, kind: &Kind) -> Result<()> {
        let handle = self.handle();
        let mut batch = Vec::with_capacity(MOST_IN_BATCH);
        for key in 0..collections {
            let declaration = declaration(&workload::name(key), &workload::source(key, 0))?;
            batch.push(Command::Declare(Box::new(declaration.kind(kind.clone()).unversioned())));
            if batch.len() == MOST_IN_BATCH || key + 1 == collections {
                for verdict in handle.batch(std::mem::take(&mut batch))? {
                    verdict?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn clients(&self, count: usize) -> Vec<Box<dyn Client>> {
        (0..count).map(|_| Box::new(Blocking(self.handle())) as Box<dyn Client>).collect()
    }

    /// One thread that keeps many tickets out, and waits for the oldest.
    pub(crate) fn pipelined(&self, changes: &Changes, span: Duration) -> Result<Measured> {
        let handle = self.handle();
        let mut tickets = VecDeque::with_capacity(WINDOW);
        let (began, mut done) = (Instant::now(), 0);
        while began.elapsed() < span {
            while tickets.len() < WINDOW {
                tickets.push_back(handle.submit(command(&changes.next())?)?);
            }
            // Half of them, so that the engine always has a batch to take while this one is collected.
            for ticket in tickets.drain(..WINDOW / 2) {
                let _ = ticket.wait()?;
                done += 1;
            }
        }
        for ticket in tickets {
            let _ = ticket.wait()?;
            done += 1;
        }
        Ok(Measured { done: as_f64(done), elapsed: began.elapsed(), latencies: Latencies::new()? })
    }

    pub(crate) fn counters(&self) -> Result<Counters> {
        Ok(self.handle().stats()?.counters)
    }

    /// What the frames since `before` were like, if they acknowledged `done` declarations.
    pub(crate) fn shape_since(&self, before: Counters, done: f64) -> Result<Shape> {
        let now = self.counters()?;
        let frames = (now.frames - before.frames).max(1);
        let length = usize::try_from((now.frame_bytes - before.frame_bytes) / frames)?;
        Ok(Shape { length, declares: done / as_f64(frames) })
    }

    pub(crate) fn close(self) -> Result<()> {
        Ok(self.reconciler.shutdown(Duration::from_secs(60))?)
    }
}

struct Blocking(Handle);

impl Client for Blocking {
    fn declare(&mut self, change: Change) -> Result<()> {
        let receipt = self.0.declare(declaration(&change.name, &change.source)?)?;
        // What changed nothing would be fast, and no measurement.
        receipt.seq.map(drop).ok_or_else(|| format!("{} was declared to be what it was", change.name).into())
    }

    fn declare_together(&mut self, changes: Vec<Change>) -> Result<bool> {
        let commands = changes.iter().map(command).collect::<Result<Vec<_>>>()?;
        for verdict in self.0.batch(commands)? {
            verdict?.seq.ok_or("something was declared to be what it was")?;
        }
        Ok(true)
    }
}

fn command(change: &Change) -> Result<Command> {
    Ok(Command::Declare(Box::new(declaration(&change.name, &change.source)?)))
}

fn declaration(name: &str, source: &str) -> Result<Declaration> {
    Ok(Declaration::new(Name::new(name)?).source(Source::new(source)?))
}
