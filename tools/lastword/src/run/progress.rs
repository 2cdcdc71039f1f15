//! What is running, for a person who waits: lines that are updated in place on a terminal, and a line now and then
//! elsewhere.
//!
//! Which attempts run is heard from the events, and only of those it is asked how far they have come: how many collections
//! there are costs nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use lastword::Handle;
use lastword::core::vocabulary::{CollectionId, Event, Name, Recorded};
use lastword::worker::Progress as Done;

use crate::console::{draws, grouped, note, offer_note, printable};

/// Fast enough to be seen to move.
const ON_TERMINAL: Duration = Duration::from_millis(250);

/// Seldom enough for a log file.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Characters of a name that are shown: the rest of the line is to stay in view.
const NAME: usize = 30;

pub(crate) struct Progress {
    how: How,
    running: BTreeMap<CollectionId, Attempt>,
}

/// One that runs.
struct Attempt {
    name: Name,
    number: u32,
    since: Instant,
}

enum How {
    Off,
    InPlace { drawn: usize, last: Option<Instant> },
    NowAndThen { last: Instant },
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Progress {
        let how = match quiet {
            true => How::Off,
            false if draws(&io::stderr()) => How::InPlace { drawn: 0, last: None },
            false => How::NowAndThen { last: Instant::now() },
        };
        Progress { how, running: BTreeMap::new() }
    }

    /// Follows which attempts run.
    pub(crate) fn hear(&mut self, recorded: &Recorded, name: Option<Name>) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match (&recorded.event, name) {
            (Event::TaskStarted { attempt, .. }, Some(name)) => {
                self.running.insert(id, Attempt { name, number: *attempt, since: Instant::now() });
            }
            (Event::AttemptEnded { .. } | Event::CollectionDropped { .. }, _) => drop(self.running.remove(&id)),
            _ => {}
        }
    }

    /// Whether it is drawn where events may be printed too.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.how, How::InPlace { .. })
    }

    /// Shows what is running, if it is time to.
    pub(crate) fn show(&mut self, handle: &Handle) {
        match &mut self.how {
            How::Off => {}
            How::InPlace { last, .. } => {
                if last.is_some_and(|last| last.elapsed() < ON_TERMINAL) {
                    return;
                }
                *last = Some(Instant::now());
                let lines = self.lines(handle);
                self.clear();
                self.draw(&lines);
            }
            How::NowAndThen { last } => {
                if last.elapsed() >= ELSEWHERE {
                    *last = Instant::now();
                    self.lines(handle).iter().for_each(|line| note(line));
                }
            }
        }
    }

    /// Takes the lines away, so that something else can be printed.
    pub(crate) fn clear(&mut self) {
        if let How::InPlace { drawn, .. } = &mut self.how
            && *drawn > 0
        {
            // Up so many lines, and clear from there to the end of the screen. A terminal that takes nothing for now shows
            // what it showed.
            offer_note(format!("\x1b[{drawn}A\x1b[J"));
            *drawn = 0;
        }
    }

    fn draw(&mut self, lines: &[String]) {
        let How::InPlace { drawn, .. } = &mut self.how else { return };
        if lines.is_empty() {
            return;
        }
        // Without wrapping a line is a line, however narrow the terminal is.
        let mut text = String::from("\x1b[?7l");
        lines.iter().for_each(|line| {
            let _ = writeln!(text, "{line}");
        });
        text.push_str("\x1b[?7h");
        *drawn = if offer_note(text) { lines.len() } else { 0 };
    }

    fn lines(&self, handle: &Handle) -> Vec<String> {
        let done = |attempt: &Attempt| handle.status(attempt.name.clone()).ok().flatten()?.progress;
        self.running.values().map(|attempt| attempt.line(done(attempt))).collect()
    }
}

impl Attempt {
    fn line(&self, done: Option<Done>) -> String {
        let name: String = printable(self.name.as_str()).chars().take(NAME).collect();
        let mut line = format!("{name}: attempt {} runs for {} s", self.number, self.since.elapsed().as_secs());
        if let Some(Done { done, total, .. }) = done {
            let _ = write!(line, ", {} of {} done", grouped(done), grouped(total));
        }
        line
    }
}
