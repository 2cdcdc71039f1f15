//! Writing an answer, mostly to stdout, whose reader may go at any time, and to stderr.

use std::io::{self, BufWriter, Write};
use std::sync::OnceLock;

use lastword::core::vocabulary::Seq;
use lastword::describe::{Summary, plain_json};
pub(crate) use lastword::describe::{printable, quoted};
use lastword::log::FrameHash;
use serde::Serialize;

use crate::fail::Failure;

/// Where an answer is written, line by line.
pub(crate) struct Output(BufWriter<Box<dyn Write>>);

impl Output {
    /// Stdout.
    pub(crate) fn new() -> Output {
        Output::of(Box::new(io::stdout()))
    }

    /// Whatever takes it.
    pub(crate) fn of(writer: Box<dyn Write>) -> Output {
        Output(BufWriter::new(writer))
    }

    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.0
            .write_all(line.as_bytes())
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(|error| Failure::output(&error))
    }

    /// A part of a line.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.0.write_all(text.as_bytes()).map_err(|error| Failure::output(&error))
    }

    /// Hands on what was written so far.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(|error| Failure::output(&error))
    }

    /// One JSON object as a line.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        // What is serialized here are structs of numbers and texts, which cannot fail.
        self.line(&plain_json(serde_json::to_string(object).unwrap_or_default()))
    }

    /// The last line of everything in JSON: `events` of those from `from` up to but without `to`, in a log whose last
    /// frame is `head`.
    pub(crate) fn summary(&mut self, events: u64, from: Seq, to: Seq, head: FrameHash) -> Result<(), Failure> {
        self.line(&Summary::new(events, from, to, head).json())
    }

    /// Says whether everything was written. To be called last: dropping would not tell.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.0.flush().map_err(|error| Failure::output(&error))
    }
}

/// Prints an answer that somebody else has written.
///
/// # Errors
/// When it cannot be written.
pub fn print(answer: &str) -> Result<(), Failure> {
    let mut output = Output::new();
    output.text(answer)?;
    output.finish()
}

/// A whole number with its thousands apart: `1,000,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let apart = |at: usize| at > 0 && at % 3 == first;
    digits.char_indices().map(|(at, digit)| if apart(at) { format!(",{digit}") } else { digit.to_string() }).collect()
}

/// Who says what is said on standard error, if not this program.
static SPEAKER: OnceLock<fn(&str)> = OnceLock::new();

/// From now on `speaker` is given what is to be said to a person, for a program that has its own way to say it. The first
/// one stays.
pub fn speak_as(speaker: fn(&str)) {
    let _ = SPEAKER.set(speaker);
}

/// One line on stderr. If stderr is gone too, there is nobody left to tell.
pub(crate) fn complain(problem: &str) {
    match SPEAKER.get() {
        Some(speaker) => speaker(problem),
        None => drop(writeln!(io::stderr(), "log-dump: {}", printable(problem))),
    }
}
