//! What is running, for a person who waits: lines that are updated in place on a terminal, and a line now and then
//! elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use lastword::core::Condition;
use lastword::core::vocabulary::Timestamp;
use lastword::engine::CollectionStatus;

use crate::console::{grouped, note, printable};

/// Fast enough to be seen to move.
const ON_TERMINAL: Duration = Duration::from_millis(250);

/// Seldom enough for a log file.
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Characters of a name that are shown: the rest of the line is to stay in view.
const NAME: usize = 30;

pub(crate) struct Progress {
    how: How,
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
            false if io::stderr().is_terminal() => How::InPlace { drawn: 0, last: None },
            false => How::NowAndThen { last: Instant::now() },
        };
        Progress { how }
    }

    /// How often there is something new to show.
    pub(crate) fn interval(&self) -> Duration {
        match self.how {
            How::InPlace { .. } => ON_TERMINAL,
            How::Off | How::NowAndThen { .. } => ELSEWHERE,
        }
    }

    /// Shows what is running. `now`: the engine's time.
    pub(crate) fn show(&mut self, list: &[CollectionStatus], now: Timestamp) {
        match &mut self.how {
            How::Off => {}
            How::InPlace { last, .. } => {
                if last.is_some_and(|last| last.elapsed() < ON_TERMINAL) {
                    return;
                }
                *last = Some(Instant::now());
                self.clear();
                let lines: Vec<String> = list.iter().filter_map(|status| describe(status, now)).collect();
                self.draw(&lines);
            }
            How::NowAndThen { last } => {
                if last.elapsed() >= ELSEWHERE {
                    *last = Instant::now();
                    list.iter().filter_map(|status| describe(status, now)).for_each(|line| note(&line));
                }
            }
        }
    }

    /// Takes the lines away, so that something else can be printed.
    pub(crate) fn clear(&mut self) {
        if let How::InPlace { drawn, .. } = &mut self.how
            && *drawn > 0
        {
            // Up so many lines, and clear from there to the end of the screen.
            let _ = write!(io::stderr().lock(), "\x1b[{drawn}A\x1b[J");
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
        let _ = io::stderr().lock().write_all(text.as_bytes());
        *drawn = lines.len();
    }
}

fn describe(status: &CollectionStatus, now: Timestamp) -> Option<String> {
    let Condition::Running { attempt, since, .. } = &status.view.condition else { return None };
    let name: String = printable(status.view.name.as_str()).chars().take(NAME).collect();
    let mut line = format!("{name}: attempt {attempt} runs for {} s", now.since(*since).as_secs());
    if let Some(progress) = status.progress {
        let _ = write!(line, ", {} of {} done", grouped(progress.done), grouped(progress.total));
    }
    Some(line)
}
