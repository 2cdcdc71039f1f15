//! The same page beside a run: a frame that fetches its data, and the data of the last events or of those before an older one.
//!
//! Events come from the engine; what a piece begins with is folded from the log's last snapshot before it. The last events are
//! followed once for all pages: each is told what was added to tables and columns since it asked last.
//! *It must not know* how a request travels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lastword::Handle;
use lastword::core::State;
use lastword::core::vocabulary::{Recorded, Seq, Timestamp};
use lastword::engine::{Watch, WatchError, WatchItem};
use lastword::objects::{FileObjects, Objects};
use lastword::replay::{Until, begin};
use log_dump::state_of;

use super::besides::Besides;
use super::columns::Marks;
use super::gather::{Log, Piece, Recording};
use crate::fail::{CANNOT_OPEN, Fail};

/// As many events as a page fetches at once.
const MOST_EVENTS: u64 = 10_000;

/// As many as are followed for pages that show the end; then they begin anew with the last [`MOST_EVENTS`].
const MOST_FOLLOWED: u64 = 2 * MOST_EVENTS;

/// Of so many moments it is known what a page has that was told then. One that asks later gets all of it again.
const MOST_MARKS: usize = 256;

/// What is durable is there; a log that is read again from the disk may take a moment.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Which events a page asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The page has all before this one, and asks whether there is more.
    pub(crate) from: Option<Seq>,
    /// Behind which event the data of the page begins: then it may be told what has come since, and no more.
    pub(crate) before: Option<Seq>,
    /// Nothing after this event; the end if it is not said.
    pub(crate) to: Option<Seq>,
}

/// What answers a page of a run.
pub(crate) struct Live {
    handle: Handle,
    state: PathBuf,
    besides: Mutex<Besides>,
    followed: Mutex<Option<Followed>>,
}

/// What is followed for all pages that show the end, so that each is told only what is new to it.
struct Followed {
    recording: Recording,
    /// Where it was when a page was told to ask from an event next.
    marks: BTreeMap<Seq, Marks>,
}

/// What there is of a log.
#[derive(Clone, Copy)]
struct Span {
    begins: Seq,
    end: Seq,
    now: Timestamp,
}

impl Live {
    pub(crate) fn new(handle: Handle, state: &Path) -> Live {
        Live { handle, state: state.to_owned(), besides: Mutex::default(), followed: Mutex::default() }
    }

    /// The data that is wanted, as JSON; one line that says so if a page has it all.
    pub(crate) fn data(&self, wanted: Wanted) -> Result<String, Fail> {
        let stats = self.handle.stats()?;
        let span = Span { begins: stats.begins.max(Seq(1)), end: stats.durable, now: stats.at };
        match wanted.to {
            Some(to) => self.older(to, span),
            None => self.newest(wanted, span),
        }
    }

    /// The events up to one that is there for long.
    fn older(&self, to: Seq, span: Span) -> Result<String, Fail> {
        let (begins, last) = (span.begins, to.min(span.end));
        if last.next() < begins {
            let problem = format!("to: the log begins with event {begins}; what was before is forgotten (retain)");
            return Err(Fail::new(CANNOT_OPEN, problem));
        }
        let recording = self.recording(last, span)?;
        let piece = recording.piece(self.log(&recording, span), None);
        Ok(answer(span.end.next(), span.now, "[]", Some(("data", &piece))))
    }

    /// The last events, or what has come since a page was told of them.
    fn newest(&self, wanted: Wanted, span: Span) -> Result<String, Fail> {
        // What only the engine knows is so now, and not at an older event.
        let besides = self.besides.lock().unwrap_or_else(PoisonError::into_inner).read(&self.handle)?;
        if wanted.from == Some(span.end.next()) {
            return Ok(answer(span.end.next(), span.now, &besides, None));
        }
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |followed: &Followed| {
            let before = followed.recording.before();
            before.next() >= span.begins && span.end.0 - before.0 <= MOST_FOLLOWED
        };
        // What fails in the middle is not gone on with.
        let mut now = match followed.take().filter(fits) {
            Some(mut followed) => {
                let next = followed.recording.last().next();
                if next <= span.end {
                    followed.recording.go_on(Events(self.handle.watch(next)), span.end)?;
                }
                followed
            }
            None => Followed { recording: self.recording(span.end, span)?, marks: BTreeMap::new() },
        };
        let Followed { recording, marks } = &mut now;
        let holds = wanted.before == Some(recording.before());
        let since = wanted.from.filter(|_| holds).and_then(|from| Some((from, marks.get(&from)?)));
        let piece = recording.piece(self.log(recording, span), since);
        let next = recording.last().next();
        let answer = answer(next, span.now, &besides, Some((if since.is_some() { "more" } else { "data" }, &piece)));
        marks.insert(next, recording.marks());
        if marks.len() > MOST_MARKS {
            marks.pop_first();
        }
        *followed = Some(now);
        Ok(answer)
    }

    /// The last events up to one.
    fn recording(&self, last: Seq, span: Span) -> Result<Recording, Fail> {
        let before = Seq(last.0.saturating_sub(MOST_EVENTS).max(span.begins.0 - 1));
        let state = self.state_at(before, span)?;
        let next = state.last().next();
        let mut recording = Recording::begin(state, &self.state, &[]);
        if next <= last {
            recording.go_on(Events(self.handle.watch(next)), last)?;
        }
        Ok(recording)
    }

    fn log(&self, recording: &Recording, span: Span) -> Log<'_> {
        let Span { begins, end, now } = span;
        let objects: Result<Box<dyn Objects>, String> = match FileObjects::open_read_only(self.state.join("objects")) {
            Ok(objects) => Ok(Box::new(objects)),
            Err(error) => Err(format!("the files cannot be named: {error}")),
        };
        let (first, last) = (recording.before().next(), recording.last());
        let left_out = (first > begins).then(|| {
            format!(
                "events {first} to {last} are loaded; the slider, or the number of an older one, loads those around it"
            )
        });
        Log { place: &self.state, begins, end: end.max(last), end_at: now, head: String::new(), objects, left_out }
    }

    /// The state after `before`, from the last snapshot before it.
    fn state_at(&self, before: Seq, span: Span) -> Result<State, Fail> {
        let closed = || Fail::new(CANNOT_OPEN, "the run is ending, and its log is closed");
        let reader = self.handle.reader().ok_or_else(closed)?;
        if before < span.begins {
            return Ok(begin(&*reader)?);
        }
        let log = log_dump::Live::up_to(span.end, reader, &self.state);
        log.and_then(|log| state_of(log, Until::Seq(before))).map_err(Fail::of_log_dump)
    }
}

/// What goes to a page: all, or what has come since, or that there is nothing new.
fn answer(next: Seq, now: Timestamp, besides: &str, told: Option<(&str, &Piece)>) -> String {
    let (next, now, same) = (next.0, now.0, told.is_none());
    let told = told.map_or_else(String::new, |(name, piece)| {
        let Piece { data, sentences, files, .. } = piece;
        format!(",\"{name}\":{data},\"sentences\":{sentences},\"files\":{files}")
    });
    format!("{{\"v\":1,\"next\":{next},\"now\":{now},\"same\":{same},\"besides\":{besides}{told}}}")
}

/// The events of a watch, as long as some are there.
struct Events(Watch);

impl Iterator for Events {
    type Item = Result<Recorded, Fail>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            return match self.0.next_within(READ_WITHIN) {
                Ok(WatchItem::Event(event)) => Some(Ok(Arc::unwrap_or_clone(event))),
                // It reads from the log.
                Ok(WatchItem::Lagged { .. }) => continue,
                Err(WatchError::TimedOut | WatchError::Closed) => None,
                Err(error) => Some(Err(error.into())),
            };
        }
    }
}
