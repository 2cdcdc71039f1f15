//! The durable events in order, without gaps, for callers that watch.
//!
//! A watcher is a cursor. The newest events are kept in memory; one that falls behind is told so and reads on from
//! the log. So nothing that watches can slow the reducer down, and nothing that it missed is lost.
//!
//! *Architecture invariant:* it knows frames and readers of the log. It never waits for a watcher.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use super::error::WatchError;
use super::life::Life;
use crate::core::vocabulary::{Recorded, Seq};
use crate::log::LogReader;
use crate::replay;
use crate::sync::Mutex;
use crate::watch_cell::{WaiterId, WatchCell};

/// Events kept in memory, and what else is in the frame of the oldest: a few seconds of a busy engine, some megabytes.
/// Where schedules are explored, so few that a handful is too many.
const KEPT: usize = if cfg!(lastword_shuttle) { 2 } else { 16 * 1024 };

/// And so many bytes of them, whatever their number: what a small machine can spare, and a hundred times what a watch
/// that keeps up needs.
const KEPT_BYTES: usize = 32 << 20;

/// Events read from the log at a time by a watcher that fell behind.
const CHUNK: usize = 1024;

/// The engine's side.
pub(super) struct Feed {
    recent: WatchCell<Recent>,
    /// Gone once the feed is closed: a reader keeps the log open, and after a shutdown it is to be opened again.
    reader: Mutex<Option<Box<dyn LogReader>>>,
}

struct Recent {
    frames: VecDeque<Kept>,
    /// How many events that are.
    events: usize,
    /// And about how many bytes.
    bytes: usize,
    durable: Seq,
    closed: bool,
    /// The engine waits for its jobs to end, and they are not to wait for it.
    stopping: bool,
}

/// The events of a frame. They are shared as they are, and copied for those who watch.
struct Kept {
    events: Arc<Vec<Recorded>>,
    bytes: usize,
}

impl Feed {
    /// A feed of a log whose last durable event is `durable`.
    pub(super) fn new(reader: Box<dyn LogReader>, durable: Seq) -> Feed {
        let recent = Recent { frames: VecDeque::new(), events: 0, bytes: 0, durable, closed: false, stopping: false };
        Feed { recent: WatchCell::new(recent), reader: Mutex::new(Some(reader)) }
    }

    /// Another reader of its log.
    pub(super) fn reader(&self) -> Option<Box<dyn LogReader>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|reader| reader.another())
    }

    /// Shows events that have just become durable, in a frame of so many bytes.
    pub(super) fn publish(&self, frame: Vec<Recorded>, bytes: usize) {
        let Some(last) = frame.last().map(|recorded| recorded.seq) else { return };
        // In memory an event takes what it takes in the frame, beside its own size.
        let bytes = bytes + frame.len() * size_of::<Recorded>();
        let mut surplus = Vec::new();
        self.recent.notify(|recent| {
            recent.durable = last;
            recent.events += frame.len();
            recent.bytes += bytes;
            recent.frames.push_back(Kept { events: Arc::new(frame), bytes });
            // The last frame stays, however long it is: a watch that keeps up is not told that it lags.
            while recent.frames.len() > 1
                && recent
                    .frames
                    .front()
                    .is_some_and(|oldest| recent.events - oldest.events.len() >= KEPT || recent.bytes > KEPT_BYTES)
            {
                let Some(oldest) = recent.frames.pop_front() else { break };
                recent.events -= oldest.events.len();
                recent.bytes -= oldest.bytes;
                surplus.push(oldest);
            }
        });
        // Not while everybody who watches has to wait.
        drop(surplus);
    }

    /// How many events are kept in memory, and about how many bytes they take.
    pub(super) fn kept(&self) -> (u64, u64) {
        self.recent.with(|recent| (recent.events as u64, recent.bytes as u64))
    }

    /// A shutdown has begun: there will be no more for jobs of the engine itself, which it waits for.
    pub(super) fn stop(&self) {
        self.recent.notify(|recent| recent.stopping = true);
    }

    /// There will be no more.
    pub(super) fn close(&self) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.recent.notify(|recent| recent.closed = true);
    }
}

/// What there is for a watcher, apart from waiting.
enum Next {
    /// The events of its frame, and where in it.
    Events(Arc<Vec<Recorded>>, usize),
    /// Only the log still has it; this is the last durable event.
    InLog(Seq),
    Closed,
}

impl Recent {
    /// What comes at `next`; nothing if that has not happened yet. `is_crew`: it is a job of the engine that asks.
    fn next(&self, next: Seq, is_crew: bool) -> Option<Next> {
        if self.durable < next {
            return (self.closed || self.stopping && is_crew).then_some(Next::Closed);
        }
        let after = self.frames.partition_point(|frame| frame.events.first().is_some_and(|first| first.seq <= next));
        let frame = after.checked_sub(1).and_then(|at| self.frames.get(at)).map(|frame| &frame.events);
        let place = frame.and_then(|frame| Some((frame, frame.binary_search_by_key(&next, |event| event.seq).ok()?)));
        Some(place.map_or(Next::InLog(self.durable), |(frame, seen)| Next::Events(Arc::clone(frame), seen)))
    }
}

/// Closes a feed when it is dropped, so that no watcher waits for an engine that has panicked.
pub(super) struct CloseOnDrop(pub(super) Arc<Feed>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a watcher sees next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// An event. Every one is seen once, in order.
    Event(Arc<Recorded>),
    /// The watcher is so far behind that what follows comes from the log, which is slower.
    Lagged {
        /// How many events it is behind.
        behind: u64,
    },
}

/// A cursor over the durable events. Until it has said [`WatchError::Closed`] or is dropped it keeps the log open, so
/// that nothing is missed when the reconciler shuts down.
///
/// ```
/// use lastword::{Event, Seq, WatchItem};
/// # use lastword::{Declaration, Kind, Name, Reconciler, Source};
/// # use std::time::Duration;
///
/// # fn main() -> Result<(), lastword::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let reconciler = Reconciler::open(dir.path().join("state")).start()?;
/// # let handle = reconciler.handle();
/// # let page = Declaration::new(Name::new("home")?).kind(Kind::new("pages")?);
/// # handle.declare(page.source(Source::new("https://example.org/")?).unversioned())?;
/// // From the first event on; a program that was away goes on behind the last one that it has seen.
/// let mut watch = handle.watch(Seq(1));
/// let declared = loop {
///     match watch.next_within(Duration::from_secs(60))? {
///         WatchItem::Event(recorded) => {
///             if let Event::CollectionDeclared { name, .. } = &recorded.event {
///                 break (recorded.seq, name.clone());
///             }
///         }
///         WatchItem::Lagged { behind } => eprintln!("{behind} events behind: they come from the log"),
///     }
/// };
/// assert_eq!((declared.0, declared.1.as_str()), (Seq(2), "home"));
/// # Ok(())
/// # }
/// ```
pub struct Watch {
    feed: Arc<Feed>,
    reader: Option<Box<dyn LogReader>>,
    next: Seq,
    /// What it has: the events of a frame, or some that were read from the log. Those before `seen` were shown.
    events: Arc<Vec<Recorded>>,
    seen: usize,
    behind: bool,
    waiter: WaiterId,
    life: Arc<Life>,
}

impl Watch {
    pub(super) fn new(feed: Arc<Feed>, from: Seq, life: Arc<Life>) -> Watch {
        let reader = feed.reader();
        Watch {
            feed,
            reader,
            next: from.max(Seq(1)),
            events: Arc::default(),
            seen: 0,
            behind: false,
            waiter: WaiterId::default(),
            life,
        }
    }

    /// The next event, as soon as it is durable; waits for at most `timeout`, and on the engine's own thread not at all.
    ///
    /// # Errors
    /// When nothing came in time, nothing will come any more, or the log could not be read; [`WatchError::OwnThread`] on the
    /// engine's own thread, if something was to be waited for.
    pub fn next_within(&mut self, timeout: Duration) -> Result<WatchItem, WatchError> {
        if let Some(shown) = self.show() {
            return Ok(shown);
        }
        let is_own = self.life.is_this_thread() && !timeout.is_zero();
        let timeout = if is_own { Duration::ZERO } else { timeout };
        let is_crew = self.life.is_crew();
        match self.feed.recent.wait_timeout(timeout, |recent| recent.next(self.next, is_crew)) {
            Some(next) => self.take(next),
            None if is_own => Err(WatchError::OwnThread),
            None => Err(WatchError::TimedOut),
        }
    }

    /// The next event, as soon as it is durable, without a thread that waits. A future that
    /// is dropped loses no event. While the watcher is behind, as after [`WatchItem::Lagged`], it reads from the log
    /// where it is polled.
    ///
    /// # Errors
    /// When nothing will come any more, or the log could not be read; [`WatchError::OwnThread`] in a call that the engine's
    /// own thread has made, as of [`Worker::check`](crate::Worker::check): nothing comes before it returns.
    pub async fn next_event(&mut self) -> Result<WatchItem, WatchError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// [`next_event`](Watch::next_event) for an implementation of a stream. A pending one wakes the waker of the
    /// last call.
    ///
    /// # Errors
    /// Those of `next_event`.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<WatchItem, WatchError>> {
        if let Some(shown) = self.show() {
            return Poll::Ready(Ok(shown));
        }
        if self.life.is_called_out() {
            return Poll::Ready(self.next_within(Duration::MAX));
        }
        let (next, is_crew) = (self.next, self.life.is_crew());
        let polled = self.feed.recent.poll(&mut self.waiter, context, |recent| recent.next(next, is_crew));
        polled.map(|next| self.take(next))
    }

    fn take(&mut self, next: Next) -> Result<WatchItem, WatchError> {
        match next {
            Next::Events(events, seen) => {
                self.behind = false;
                (self.events, self.seen) = (events, seen);
                self.show().ok_or(WatchError::Closed)
            }
            Next::Closed => {
                self.reader = None;
                Err(WatchError::Closed)
            }
            Next::InLog(_) if self.reader.is_none() => Err(WatchError::Closed),
            Next::InLog(durable) if !std::mem::replace(&mut self.behind, true) => {
                Ok(WatchItem::Lagged { behind: durable.0 - self.next.0 + 1 })
            }
            Next::InLog(durable) => self.read_log(durable),
        }
    }

    fn read_log(&mut self, durable: Seq) -> Result<WatchItem, WatchError> {
        let Some(reader) = &self.reader else { return Err(WatchError::Closed) };
        let mut events = Vec::new();
        for event in replay::events(&**reader, self.next).take(CHUNK) {
            let event = event.map_err(WatchError::Replay)?;
            if event.seq > durable {
                break;
            }
            events.push(event);
        }
        (self.events, self.seen) = (Arc::new(events), 0);
        self.show().ok_or(WatchError::Closed)
    }

    /// The next of the events that it has.
    fn show(&mut self) -> Option<WatchItem> {
        let Some(recorded) = self.events.get(self.seen) else {
            // Other watches may not need the rest of them any more.
            self.events = Arc::default();
            return None;
        };
        let recorded = Arc::new(recorded.clone());
        self.seen += 1;
        self.next = recorded.seq.next();
        Some(WatchItem::Event(recorded))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.feed.recent.deregister(&mut self.waiter);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("next", &self.next).finish_non_exhaustive()
    }
}
