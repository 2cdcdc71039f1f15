//! The events of a run on standard output, whose reader never keeps the run from its work.
//!
//! A reader that is slow, stuck or gone, and a disk that is full below it, cost lines and nothing else: they are counted,
//! and the count is said, here and on standard error. `log-dump dump` has them all.

use std::io;
use std::time::{Duration, Instant};

use lastword::describe::counted;

use super::events::Format;
use crate::console::note;
use crate::fail::{CANNOT_OPEN, Fail};
use crate::outlet::{self, Outlet, Target, Trouble};

/// What a run that was asked to end still waits for its reader.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `--once` waits at its end for a reader that somebody may be looking at.
const PATIENCE_ONCE: Duration = Duration::from_secs(60);

pub(super) struct Printer {
    /// Nothing with `--quiet`.
    outlet: Option<Outlet>,
}

impl Printer {
    pub(super) fn start(format: Format, quiet: bool) -> Result<Printer, Fail> {
        let instead = match format {
            Format::Text => |lost| format!("... {}\n", unprinted(lost, " here")),
            Format::Json => |lost| format!("{{\"v\":1,\"kind\":\"not_printed\",\"events\":{lost}}}\n"),
        };
        let start = || {
            let target = Target { write: outlet::to(io::stdout())?, instead, tell };
            Outlet::start("lastword-print", target)
        };
        let unstarted = |error| Fail::new(CANNOT_OPEN, format!("standard output: {error}"));
        Ok(Printer { outlet: if quiet { None } else { Some(start().map_err(unstarted)?) } })
    }

    /// Prints a line as soon as it is read.
    pub(super) fn print(&self, text: &str) {
        self.outlet.iter().for_each(|outlet| outlet.say(format!("{text}\n")));
    }

    /// Nobody reads it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.outlet.as_ref().is_some_and(Outlet::is_gone)
    }

    /// Waits a moment, so that what is drawn on the same terminal comes behind what was printed.
    pub(super) fn pause(&self) {
        const MOMENT: Duration = Duration::from_millis(20);
        if let Some(outlet) = &self.outlet {
            // Whether it was in time makes no difference.
            let _ = outlet.settle(MOMENT);
        }
    }

    /// Waits for the reader, and says what it has missed. `stop` ends that earlier. With `once` an output that could not be
    /// written is a failure: whoever asked for it does not have it.
    pub(super) fn finish(&self, once: bool, stop: impl Fn() -> bool) -> Result<(), Fail> {
        const TURN: Duration = Duration::from_millis(100);
        let Some(outlet) = &self.outlet else { return Ok(()) };
        let (begun, patience) = (Instant::now(), if once { PATIENCE_ONCE } else { PATIENCE });
        while !outlet.settle(TURN) && begun.elapsed() < patience && !(once && stop()) {}
        let (unprinted, failed) = outlet.unprinted();
        if unprinted > 0 && !self.is_gone() {
            note(&self::unprinted(unprinted, ""));
        }
        match failed.filter(|_| once) {
            Some(why) => Err(Fail::new(CANNOT_OPEN, format!("standard output: {why}"))),
            None => Ok(()),
        }
    }
}

fn unprinted(lost: u64, place: &str) -> String {
    let (events, were, them) = (counted(lost, "event"), was_or_were(lost), if lost == 1 { "it" } else { "them" });
    format!("{events} {were} not printed{place}; log-dump dump shows {them}")
}

fn was_or_were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

fn tell(trouble: &Trouble) {
    note(&match trouble {
        Trouble::Behind => {
            "standard output is not read as fast as events come: some are not printed; the run goes on".into()
        }
        Trouble::Failed(why) => {
            format!("standard output: {why}: events are not printed until it can be written again; the run goes on")
        }
        Trouble::Gone => "standard output is not read any more: no more events are printed; the run goes on".into(),
        Trouble::Back(lost) => unprinted(*lost, ""),
    });
}
