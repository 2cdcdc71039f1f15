//! The queue of requests to the engine. Its end is an answer to every request in it.
//!
//! It has two lanes: one for what workers of callers report, one for everything else. A flood of declarations keeps no
//! heartbeat and no completion from being heard, and the engine knows when the oldest of them arrived: what came in time is
//! judged by that. Each lane is bounded by the number of its messages and by their bytes. That the engine is to end stands in
//! neither: it waits behind nothing and needs no room.
//!
//! A bounded channel of crossbeam keeps what is in it for as long as anybody could still send, even when no receiver is
//! left. A caller that asked while the engine came to its end would wait for ever. Here every sender checks afterwards
//! whether the engine is over, and then empties the queue in its place: either the engine has seen the message, or its
//! sender sees the end. A message that is dropped answers for itself.
//!
//! *Architecture invariant:* it carries messages and knows nothing of what they ask.

mod capacity;
mod inbox;
mod lane;
mod waiting;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, TrySendError, bounded};

pub use self::capacity::QueueCapacity;
pub(super) use self::inbox::Inbox;
pub(super) use self::lane::Room;
use self::lane::{Lane, Queued, lane};
use self::waiting::Waiting;
use super::life::Life;
use super::message::{Message, ShutdownRequest};
use super::reply::{Reply, Response, reply};
use crate::clock::{Clock, EngineTime, SystemClock};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::interrupt;
use crate::watch_cell::WatchCell;

/// The callers' side.
#[derive(Clone)]
pub(super) struct Queue {
    commands: Lane,
    reports: Lane,
    shutdown: Sender<ShutdownRequest>,
    is_over: Arc<AtomicBool>,
    /// Notified when messages have left the queue.
    capacity: Arc<WatchCell<()>>,
    time: EngineTime,
    life: Arc<Life>,
}

/// Ends the queue when it is dropped: what is in it is not accepted, nor anything later, and no caller waits for room any
/// more. It keeps no sender, so that the engine still notices when every handle is gone.
pub(super) struct QueueEnd {
    rests: [lane::Rest; 2],
    is_over: Arc<AtomicBool>,
    capacity: Arc<WatchCell<()>>,
}

/// A message that was not queued.
pub(super) enum Unqueued {
    Full(Message),
    /// The engine has ended. The message is dropped, and answers for itself.
    Over,
}

#[expect(clippy::result_large_err, reason = "the message comes back, as from a channel")]
impl Queue {
    /// A queue with so much room, and where the engine takes the messages out.
    pub(super) fn bounded(room: Room, time: EngineTime, life: Arc<Life>) -> (Queue, Inbox) {
        let ((commands, queued), (reports, reported)) = (lane(room), lane(room));
        let capacity = Arc::new(WatchCell::new(()));
        // One is enough: the engine ends once.
        let (shutdown, told) = bounded(1);
        let inbox = Inbox::new((queued, reported), told, Arc::clone(&capacity));
        let is_over = Arc::new(AtomicBool::new(false));
        (Queue { commands, reports, shutdown, is_over, capacity, time, life }, inbox)
    }

    /// What the engine drops last of all.
    pub(super) fn end(&self) -> QueueEnd {
        let rests = [self.commands.rest(), self.reports.rest()];
        QueueEnd { rests, is_over: Arc::clone(&self.is_over), capacity: Arc::clone(&self.capacity) }
    }

    /// Whether the engine lives, and which thread is its own.
    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Asks at once if there is room, and otherwise when the response is polled or waited for.
    pub(super) fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Message) -> Response<T> {
        let (reply, response) = reply(&self.life);
        match self.try_send(request(reply)) {
            Err(Unqueued::Full(message)) => response.unsent(Box::new(Waiting::new(self.clone(), message))),
            Ok(()) | Err(Unqueued::Over) => response,
        }
    }

    /// Tells the engine to end. Never waits.
    pub(super) fn shut_down(&self, timeout: Duration) {
        let _ = self.shutdown.try_send(ShutdownRequest::new(timeout));
    }

    /// Waits for room; not if the engine has ended, or this is its own thread.
    pub(super) fn send(&self, message: Message) {
        let _ = self.send_waiting(message);
    }

    /// The same, and says whether it was queued.
    pub(super) fn send_waiting(&self, message: Message) -> Result<(), Unqueued> {
        self.send_until(message, || None)
    }

    /// Waits for room for at most `timeout` of real time.
    pub(super) fn send_timeout(&self, message: Message, timeout: Duration) -> Result<(), Unqueued> {
        let waited = SystemClock::new();
        self.send_until(message, || Some(timeout.saturating_sub(waited.monotonic())))
    }

    pub(super) fn try_send(&self, message: Message) -> Result<(), Unqueued> {
        if self.is_over() {
            return Err(Unqueued::Over);
        }
        let (lane, queued) = (self.lane_of(&message), self.queued(message));
        self.sent(lane.try_send(queued).map_err(|error| match error {
            TrySendError::Full(queued) => Unqueued::Full(queued.message),
            TrySendError::Disconnected(_) => Unqueued::Over,
        }))
    }

    /// Messages that wait, and the end of the engine, if it was told and has not heard of it.
    pub(super) fn len(&self) -> usize {
        self.commands.len() + self.reports.len() + self.shutdown.len()
    }

    fn send_until(&self, message: Message, left: impl Fn() -> Option<Duration>) -> Result<(), Unqueued> {
        if self.is_over() {
            return Err(Unqueued::Over);
        }
        if self.life.is_this_thread() {
            // Nobody would make room.
            return self.try_send(message);
        }
        let (lane, queued) = (self.lane_of(&message), self.queued(message));
        let has_room = self.capacity.wait(|()| match left() {
            _ if self.is_over() => ControlFlow::Break(Some(false)),
            _ if lane.reserve(queued.bytes) => ControlFlow::Break(Some(true)),
            Some(Duration::ZERO) => ControlFlow::Break(None),
            left => ControlFlow::Continue(left),
        });
        match has_room {
            None => Err(Unqueued::Full(queued.message)),
            Some(false) => Err(Unqueued::Over),
            Some(true) => self.sent(lane.send_reserved(queued, left()).map_err(|error| match error {
                SendTimeoutError::Timeout(queued) => Unqueued::Full(queued.message),
                SendTimeoutError::Disconnected(_) => Unqueued::Over,
            })),
        }
    }

    fn lane_of(&self, message: &Message) -> &Lane {
        if message.is_report() { &self.reports } else { &self.commands }
    }

    fn queued(&self, message: Message) -> Queued {
        Queued { bytes: message.bytes(), arrived: self.time.now(), message }
    }

    fn has_room(&self) -> bool {
        self.is_over() || self.commands.has_room()
    }

    fn is_over(&self) -> bool {
        let is_over = self.is_over.load(Ordering::SeqCst);
        interrupt();
        is_over
    }

    fn sent<R>(&self, result: R) -> R {
        if self.is_over() {
            [&self.commands, &self.reports].into_iter().for_each(Lane::clear);
        }
        result
    }
}

impl Drop for QueueEnd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Each message that goes lets one in that waited for room, and its sender comes here as well.
        self.rests.iter().for_each(lane::Rest::clear);
        self.capacity.notify(|()| ());
    }
}
