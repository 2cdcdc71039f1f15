//! The same page beside a run: a frame that fetches its data, and the data of the last events or of those before an older one.
//!
//! Events come from the engine; what a piece begins with is folded from the log's own beginning once and goes on from there.
//! *It must not know* how a request travels.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lastword::Handle;
use lastword::core::State;
use lastword::core::vocabulary::{Recorded, Seq};
use lastword::engine::{Watch, WatchError, WatchItem};
use lastword::log::PrivateCopy;
use lastword::objects::{FileObjects, Objects};
use lastword::replay::{ReplayError, begin};

use super::besides::Besides;
use super::gather::{Log, fold};
use crate::fail::{CANNOT_OPEN, Fail, unopened};

/// As many events as a page fetches at once: it does so whenever something happens.
const MOST_EVENTS: u64 = 10_000;

/// What is durable is there; a log that is read again from the disk may take a moment.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Which events a page asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The page has all before this one, and asks whether there is more.
    pub(crate) from: Option<Seq>,
    /// Nothing after this event; the end if it is not said.
    pub(crate) to: Option<Seq>,
}

/// What answers a page of a run.
pub(crate) struct Live {
    handle: Handle,
    state: PathBuf,
    known: Mutex<Known>,
    besides: Mutex<Besides>,
}

/// States that were folded before.
#[derive(Default)]
struct Known {
    /// Where the log begins: the first event that is there, and what was before it.
    oldest: Option<(Seq, State)>,
    /// What the last piece began with.
    before: Option<State>,
}

impl Live {
    pub(crate) fn new(handle: Handle, state: &Path) -> Live {
        Live { handle, state: state.to_owned(), known: Mutex::default(), besides: Mutex::default() }
    }

    /// The data that is wanted, as JSON; one line that says so if a page has it all.
    pub(crate) fn data(&self, wanted: Wanted) -> Result<String, Fail> {
        let stats = self.handle.stats()?;
        let (end, begins) = (stats.durable, stats.begins.max(Seq(1)));
        let next = end.next().0;
        let now = stats.at.0;
        // What only the engine knows is so now, and not at an older event.
        let besides = match wanted.to {
            None => self.besides.lock().unwrap_or_else(PoisonError::into_inner).read(&self.handle)?,
            Some(_) => "[]".to_owned(),
        };
        if wanted.from == Some(end.next()) {
            return Ok(format!("{{\"v\":1,\"next\":{next},\"now\":{now},\"same\":true,\"besides\":{besides}}}"));
        }
        let last = wanted.to.map_or(end, |to| to.min(end));
        if last.next() < begins {
            let problem = format!("to: the log begins with event {begins}; what was before is forgotten (retain)");
            return Err(Fail::new(CANNOT_OPEN, problem));
        }
        let before = Seq(last.0.saturating_sub(MOST_EVENTS).max(begins.0 - 1));
        let state = self.state_at(before, begins)?;
        let objects: Result<Box<dyn Objects>, String> = match FileObjects::open_read_only(self.state.join("objects")) {
            Ok(objects) => Ok(Box::new(objects)),
            Err(error) => Err(format!("the files cannot be named: {error}")),
        };
        let left_out = (before.next() > begins).then(|| {
            format!("events {} to {last} are loaded; the number of an older one loads those around it", before.next())
        });
        let log = Log { place: &self.state, begins, end, end_at: stats.at, head: String::new(), objects, left_out };
        let watch = self.handle.watch(state.last().next());
        let piece = fold(state, Events(watch), last, log, &[])?;
        let (data, sentences, files) = (piece.data, piece.sentences, piece.files);
        Ok(format!(
            "{{\"v\":1,\"next\":{next},\"now\":{now},\"same\":false,\"besides\":{besides},\"data\":{data},\"sentences\":{sentences},\"files\":{files}}}"
        ))
    }

    /// The state after `before`, folded on from the nearest one that is known.
    fn state_at(&self, before: Seq, begins: Seq) -> Result<State, Fail> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.oldest.as_ref().is_none_or(|(of, _)| *of != begins) {
            known.oldest = Some((begins, self.oldest(begins)?));
        }
        let nearest = known.before.take().filter(|state| state.last() <= before);
        let oldest = known.oldest.as_ref().map(|(_, state)| state.clone()).unwrap_or_default();
        let mut state = nearest.unwrap_or(oldest);
        if state.last() < before {
            for event in Events(self.handle.watch(state.last().next())) {
                let event = event?;
                state.fold(&event).map_err(ReplayError::Illegal)?;
                if event.seq >= before {
                    break;
                }
            }
        }
        known.before = Some(state.clone());
        Ok(state)
    }

    /// What was before the first event that is there. Only a log whose beginning was forgotten has to be opened for that.
    fn oldest(&self, begins: Seq) -> Result<State, Fail> {
        if begins <= Seq(1) {
            return Ok(State::new());
        }
        let copy = PrivateCopy::of(&self.state).map_err(|error| unopened(error, &self.state))?;
        Ok(begin(copy.reader().as_ref())?)
    }
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
