//! What people see: text without control characters, tables, and lines that are updated in place.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) use lastword::describe::{printable, quoted, shell};
use unicode_width::UnicodeWidthStr;

use crate::fail::{CANNOT_OPEN, Fail};
use crate::outlet::{self, Outlet, Target};

/// Standard error, once nothing may wait for its reader any more.
static NOTES: OnceLock<Outlet> = OnceLock::new();

/// Prints one line of data.
///
/// # Errors
/// `Ok(false)` when the output is not read any more, which is no failure.
pub(crate) fn line(text: &str) -> Result<bool, Fail> {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Fail::new(CANNOT_OPEN, format!("standard output: {error}"))),
    }
}

/// Prints one line for people, apart from the data. If it cannot be written, that cannot be reported either.
pub(crate) fn note(text: &str) {
    let _ = Notes.write_all(format!("{}\n", printable(text)).as_bytes());
}

/// From now on nobody waits for the reader of standard error: what is said there is printed by a thread of its own, and
/// what does not fit is counted. A process that cannot start a thread goes on as before.
pub(crate) fn never_wait_for_notes() {
    let instead = |lost| format!("lastword: {lost} lines are missing here, because nobody read them in time\n");
    let start = || {
        let target = Target { write: outlet::to(io::stderr())?, instead, tell: |_| {} };
        Outlet::start("lastword-notes", target)
    };
    if let Ok(outlet) = start() {
        let _ = NOTES.set(outlet);
    }
}

/// Prints what is drawn over later, if its reader keeps up; whether it will be printed.
pub(crate) fn offer_note(text: String) -> bool {
    match NOTES.get() {
        Some(outlet) => outlet.offer(text),
        None => io::stderr().lock().write_all(text.as_bytes()).is_ok(),
    }
}

/// Waits for the reader of standard error, for so long at most.
pub(crate) fn settle_notes(timeout: Duration) {
    if let Some(outlet) = NOTES.get() {
        outlet.settle(timeout);
    }
}

/// Standard error, as what is written there does not have to wait. Each write is whole lines.
pub(crate) struct Notes;

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match NOTES.get() {
            Some(outlet) => outlet.say(String::from_utf8_lossy(bytes).into_owned()),
            None => io::stderr().lock().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says what is wrong with the arguments, which it repeats as they may be shown, and ends the program.
pub(crate) fn usage(error: &clap::Error) -> ! {
    if error.use_stderr() {
        // With all that is in the arguments: without, they could not be found in it.
        let given = error.render().ansi().to_string();
        let arguments: Vec<_> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let wild = arguments.iter().filter(|argument| argument.contains(char::is_control));
        let shown = wild.fold(given, |given, argument| given.replace(argument.as_str(), &printable(argument)));
        shown.lines().for_each(note);
        std::process::exit(error.exit_code());
    }
    let mut out = io::stdout().lock();
    let code = match write!(out, "{}", error.render()).and_then(|()| out.flush()) {
        Err(failed) if failed.kind() != io::ErrorKind::BrokenPipe => {
            note(&format!("lastword: standard output: {failed}"));
            i32::from(CANNOT_OPEN)
        }
        _ => error.exit_code(),
    };
    std::process::exit(code)
}

/// Whether what is written there may move and change how text is shown: a terminal, and not one that shows such sequences
/// as text.
pub(crate) fn draws(output: &impl IsTerminal) -> bool {
    output.is_terminal() && understands(std::env::var_os("TERM").as_deref())
}

fn understands(terminal: Option<&OsStr>) -> bool {
    terminal.is_some_and(|terminal| !terminal.is_empty() && terminal != "dumb")
}

/// `text` in bold if standard output is a terminal whose user does not object.
pub(crate) fn bold(text: &str) -> String {
    let plain = !draws(&io::stdout()) || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain { text.to_owned() } else { format!("\x1b[1m{text}\x1b[0m") }
}

/// A whole number with its thousands apart: `1,000,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    digits.char_indices().fold(String::new(), |mut text, (at, digit)| {
        if at > 0 && at % 3 == first % 3 {
            text.push(',');
        }
        text.push(digit);
        text
    })
}

/// A table whose columns are as wide as their widest cell. A heading that begins with `>` aligns its column right.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The lines, headings first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heads: Vec<String> = self.headings.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
        let all = || std::iter::once(&heads).chain(&self.rows);
        let widths: Vec<usize> = (0..heads.len())
            .map(|column| all().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0))
            .collect();
        all().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), heading) in row.iter().zip(widths).zip(&self.headings) {
            // As a terminal counts: a character may take no column, one or two.
            let room = " ".repeat(width.saturating_sub(cell.width()));
            // Writing into a `String` cannot fail.
            let _ =
                if heading.starts_with('>') { write!(line, "{room}{cell}  ") } else { write!(line, "{cell}{room}  ") };
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_47_a_terminal_that_understands_no_sequences_gets_none() {
        for (terminal, draws) in
            [(None, false), (Some(""), false), (Some("dumb"), false), (Some("xterm-256color"), true)]
        {
            assert_eq!(understands(terminal.map(OsStr::new)), draws, "{terminal:?}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678"), (100_000, "100,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn case_24_nothing_drives_the_terminal() {
        assert_eq!(printable("a\n\x1b[2J\u{9b}b"), "a\\n\\u{1b}[2J\\u{9b}b");
    }

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new(&["NAME", ">ROWS"]);
        table.row(vec!["a".to_owned(), "1,000".to_owned()]);
        table.row(vec!["longer".to_owned(), "1".to_owned()]);
        assert_eq!(table.lines(), ["NAME     ROWS", "a       1,000", "longer      1"]);
    }

    #[test]
    fn defect_47_wide_characters_keep_the_table_straight() {
        let mut table = Table::new(&["NAME", ">ROWS", "CAUSE"]);
        // Two columns each; one that takes none; and plain ones.
        for name in ["\u{8868}\u{5355}", "e\u{301}t\u{e9}", "abcd"] {
            table.row(vec![name.to_owned(), "1".to_owned(), "c".to_owned()]);
        }
        let columns: Vec<usize> = table.lines().iter().map(|line| line.trim_end_matches(['c']).width()).collect();
        assert_eq!(columns[1..], [columns[1]; 3], "{:?}", table.lines());
    }
}
