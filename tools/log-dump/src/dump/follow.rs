//! Events as they come. The log is read as it lies on the disk: what writes it is not asked and not held up.
//!
//! `HEAD` is looked at, and where it has moved the log is copied once more; only what is new is checked and shown. What copies take
//! is at most a tenth of the time.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lastword::clock::{Clock, SystemClock};
use lastword::core::vocabulary::{Seq, Timestamp};
use lastword::describe::Describer;
use lastword::log::Position;
use lastword::replay;

use super::events::{Stretch, each_of};
use super::shape::Shape;
use crate::anchor::read_anchor;
use crate::args::SelectionArgs;
use crate::fail::{Exit, Failure};
use crate::input::Input;
use crate::output::{Output, complain};

/// How often `HEAD` is looked at.
const TURN: Duration = Duration::from_millis(250);

/// Between two copies lies so many times what the last one took.
const REST: u32 = 9;

/// How long an event of a moment may take to be read here, in microseconds.
const WRITTEN_WITHIN: u64 = 5_000_000;

pub(super) struct Following<'f> {
    path: &'f Path,
    selection: &'f SelectionArgs,
    describer: Describer,
    shown: Position,
    /// How far `HEAD` said that it reaches.
    anchor: Seq,
}

impl<'f> Following<'f> {
    /// Goes on behind the end of `input`; `describer` has seen all of it.
    pub(super) fn behind(
        path: &'f Path,
        input: &Input,
        selection: &'f SelectionArgs,
        describer: Describer,
    ) -> Result<Following<'f>, Failure> {
        if path.is_file() {
            return Err(Failure::new(Exit::USAGE, "--follow: an exported stream does not grow"));
        }
        let anchor = input.anchor().map_or(Seq::ZERO, |anchor| anchor.position.seq);
        Ok(Following { path, selection, describer, shown: input.end(), anchor })
    }

    /// Shows what comes, until `most` more events were shown, or none can be selected any more. How many, and where the log ends.
    pub(super) fn go_on(
        mut self,
        most: u64,
        shape: &mut Shape,
        output: &mut Output,
    ) -> Result<(u64, Position), Failure> {
        complain("what comes is read from the disk, about a second behind; a run is not asked");
        let (mut left, mut rest) = (most, Duration::ZERO);
        loop {
            if self.is_over() {
                return Ok((most - left, self.shown));
            }
            output.flush()?;
            thread::sleep(TURN + rest);
            let anchor = read_anchor(self.path)?;
            rest = Duration::ZERO;
            // Where it says less than was shown it is behind, as long as it goes on from where it was.
            if anchor.position.seq < self.anchor {
                return Err(another(self.anchor, anchor.position.seq));
            }
            self.anchor = anchor.position.seq;
            if self.anchor <= self.shown.seq {
                continue;
            }
            let began = Instant::now();
            let input = Input::open(self.path)?;
            self.show(&input, &mut left, shape, output)?;
            if left == 0 || self.selection.is_over(input.end().seq.next(), input.time()) {
                return Ok((most - left, self.shown));
            }
            rest = began.elapsed().saturating_mul(REST);
        }
    }

    /// Whether nothing that comes can be selected: it is written behind what was shown, at the time it is now.
    fn is_over(&self) -> bool {
        let now = SystemClock::new().wall();
        self.selection.is_over(self.shown.seq.next(), Timestamp(now.0.saturating_sub(WRITTEN_WITHIN)))
    }

    fn show(&mut self, input: &Input, left: &mut u64, shape: &mut Shape, output: &mut Output) -> Result<(), Failure> {
        let (shown, end) = (self.shown, input.end());
        let first = input.start().first();
        if end.seq < shown.seq {
            return Err(another(shown.seq, end.seq));
        }
        if first > shown.seq.next() {
            complain(&format!("history begins with event {first} now: what came before was let go and is not shown"));
            self.describer = Describer::behind(&replay::begin(input.reader())?);
        }
        let from = shown.seq.next().max(first);
        let stretch = Stretch { first: from, end: Seq(u64::MAX), describer: &mut self.describer };
        each_of(input, stretch, self.selection, |line| {
            shape.event(line, output)?;
            *left -= 1;
            Ok(*left > 0)
        })?;
        self.shown = end;
        Ok(())
    }
}

fn another(was: Seq, is: Seq) -> Failure {
    let what = format_args!("the log had reached event {was}, and has reached event {is} now: it is another one");
    Failure::new(Exit::DEFECT, what)
}
