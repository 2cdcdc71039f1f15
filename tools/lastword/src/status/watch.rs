//! `lastword status --watch`: the same again and again, until a signal, or until nobody reads it.
//!
//! On a terminal the lines are drawn over those before: each is overwritten and never erased first, so that nothing
//! flickers, and a picture is one write. Nothing of the terminal is changed that would have to be put back. Elsewhere it is
//! one block after the other. Nine tenths of the time are left to the run, however long it takes to ask.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthChar;

use crate::console::{draws, line, note, printable};
use crate::fail::{CANNOT_OPEN, Fail};

/// Without an interval: a person reads no faster.
pub(super) const USUAL: &str = "2s";

/// Nobody sees more than ten pictures in a second.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// A question that takes long is asked seldom.
const REST: u32 = 9;

/// What a terminal has that does not tell its size.
const LINES: usize = 24;
const COLUMNS: usize = 80;

/// What is shown at one moment.
pub(super) struct Picture {
    /// Of standard output.
    pub(super) lines: Vec<String>,
    /// Said beside it.
    pub(super) notes: Vec<String>,
    /// Nothing of it needs somebody.
    pub(super) is_well: bool,
}

/// An interval as a person writes it.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < SHORTEST { Err(format!("must be {SHORTEST:?} or more")) } else { Ok(interval) }
}

/// Shows what `look` sees, for ever. What goes wrong later than the first time is shown in its place: a run that ends is
/// followed by another.
pub(super) fn watch(
    interval: Duration,
    is_data: bool,
    mut look: impl FnMut() -> Result<Picture, Fail>,
) -> Result<ExitCode, Fail> {
    let mut terminal = (!is_data && draws(&io::stdout())).then(Terminal::default);
    let mut told = Vec::new();
    for number in 0_u64.. {
        let begun = Instant::now();
        let (lines, notes) = match look() {
            Ok(Picture { lines, notes, .. }) => (lines, notes),
            Err(fail) if number == 0 => return Err(fail),
            Err(fail) => (Vec::new(), vec![fail.to_string()]),
        };
        let head = || {
            let every = humantime::format_duration(interval);
            format!("{}, every {every}", humantime::format_rfc3339_seconds(SystemTime::now()))
        };
        let is_read = match &mut terminal {
            Some(terminal) => terminal.draw([vec![head()], lines, notes].concat())?,
            None => {
                // What stays as it is is said once.
                if notes != told {
                    notes.iter().for_each(|text| note(text));
                    told = notes;
                }
                let gap = (number > 0).then(String::new);
                let block = if is_data { lines } else { gap.into_iter().chain([head()]).chain(lines).collect() };
                print(&block)?
            }
        };
        if !is_read || is_closed_within(rest(interval, begun.elapsed())) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How long to wait after a picture that took so long.
fn rest(interval: Duration, took: Duration) -> Duration {
    interval.saturating_sub(took).max(took.saturating_mul(REST)).max(SHORTEST / 2)
}

/// Whether anybody reads it.
fn print(lines: &[String]) -> Result<bool, Fail> {
    for text in lines {
        if !line(text)? {
            return Ok(false);
        }
    }
    io::stdout().flush().map(|()| true).or_else(unread)
}

/// Nobody reads it any more, which is no failure.
fn unread(error: io::Error) -> Result<bool, Fail> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(false),
        _ => Err(Fail::new(CANNOT_OPEN, format!("standard output: {error}"))),
    }
}

/// Waits, and says whether the reader of standard output went meanwhile.
fn is_closed_within(timeout: Duration) -> bool {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let stdout = io::stdout();
        // Nothing is asked for but what is always told: that the other end is gone.
        let mut output = [PollFd::new(&stdout, PollFlags::empty())];
        let Ok(timeout) = Timespec::try_from(left) else { return false };
        match poll(&mut output, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                std::thread::sleep(left);
                return false;
            }
        }
    }
}

/// A terminal with a picture on it.
#[derive(Default)]
struct Terminal {
    /// How many lines the last one took.
    drawn: usize,
}

impl Terminal {
    fn draw(&mut self, lines: Vec<String>) -> Result<bool, Fail> {
        let (rows, columns) = tcgetwinsize(io::stdout())
            .map(|size| (usize::from(size.ws_row), usize::from(size.ws_col)))
            .unwrap_or((LINES, COLUMNS));
        let (rows, columns) = (if rows == 0 { LINES } else { rows }, if columns == 0 { COLUMNS } else { columns });
        // Behind a character in the last column the rest of the line would begin with that character.
        let lines = fit(lines, rows, columns.saturating_sub(1));
        let text = over(self.drawn, &lines);
        self.drawn = lines.len();
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).map(|()| true).or_else(unread)
    }
}

/// As many lines as a terminal shows, with the cursor below them, and as much of each; what is left out is counted.
fn fit(lines: Vec<String>, rows: usize, columns: usize) -> Vec<String> {
    let most = rows.saturating_sub(1).max(2);
    let mut shown: Vec<String> = lines.iter().take(most).map(|line| cut(line, columns)).collect();
    if lines.len() > most {
        shown.truncate(most - 1);
        let more = lines.len() - shown.len();
        shown.push(cut(&format!("... and {more} lines more; --condition, --unhealthy and names show fewer"), columns));
    }
    shown
}

/// So much of a line as is shown in one: a terminal would go on in the next.
fn cut(line: &str, columns: usize) -> String {
    let line = printable(line);
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= columns
    };
    line.chars().take_while(fits).collect()
}

/// What draws lines over those of the picture before: up to its first line, then each line with the rest of the old one
/// behind it taken away, then what was below.
fn over(drawn: usize, lines: &[String]) -> String {
    let mut text = if drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() };
    lines.iter().for_each(|line| {
        let _ = write!(text, "{line}\x1b[K\r\n");
    });
    text.push_str("\x1b[J");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_over_the_one_before_and_erases_nothing_first() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(over(0, &lines(&["a"])), "a\x1b[K\r\n\x1b[J");
        let next = over(3, &lines(&["b", "c"]));
        assert_eq!(next, "\x1b[3A\rb\x1b[K\r\nc\x1b[K\r\n\x1b[J");
        // No line is taken away before what comes in its place, and the screen never.
        assert!(!next.contains("\x1b[2J") && next.find("\x1b[J") > next.find('c'));
    }

    #[test]
    fn what_does_not_fit_a_terminal_is_counted_and_no_line_goes_on_in_the_next() {
        let all: Vec<String> = (0..10).map(|number| format!("line {number} with more than fits")).collect();
        let shown = fit(all.clone(), 5, 12);
        assert_eq!(shown.len(), 4, "the cursor has a line of its own");
        assert_eq!(shown[0], "line 0 with ");
        assert!(shown[3].starts_with("... and 7 li"), "{shown:?}");
        assert_eq!(fit(all.clone(), 11, 80), all);
        // Two columns each; and what would drive the terminal is written out.
        assert_eq!(cut("\u{8868}\u{5355}x", 4), "\u{8868}\u{5355}");
        assert_eq!(cut("a\x1b[2J", 80), "a\\u{1b}[2J");
    }

    #[test]
    fn a_question_that_takes_long_is_asked_seldom() {
        let second = Duration::from_secs(1);
        assert_eq!(rest(2 * second, Duration::from_millis(10)), Duration::from_millis(1990));
        assert_eq!(rest(2 * second, second), 9 * second);
        assert_eq!(rest(SHORTEST, SHORTEST / 10), SHORTEST * 9 / 10);
    }

    #[test]
    fn an_interval_is_long_enough_to_be_seen() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert!(interval("1ms").is_err() && interval("often").is_err() && interval("0s").is_err());
    }
}
