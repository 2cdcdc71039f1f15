//! Time. The only file that reads a clock; everything else is told.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::vocabulary::{Timestamp, micros};

/// Where the engine gets its time from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. It may jump; it is recorded for people and counts only when a log is opened.
    fn wall(&self) -> Timestamp;

    /// Time since some fixed moment. It never goes back.
    fn monotonic(&self) -> Duration;

    /// How long a thread may sleep until `monotonic` reaches `until`, or `None` if it will be woken instead.
    fn sleep(&self, until: Duration) -> Option<Duration>;

    /// Has `wake` called whenever time was moved by hand.
    fn on_moved(&self, wake: Box<dyn Fn() + Send + Sync>);
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        // A machine whose clock stands before 1970 has lost it.
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, until: Duration) -> Option<Duration> {
        Some(until.saturating_sub(self.monotonic()))
    }

    fn on_moved(&self, _wake: Box<dyn Fn() + Send + Sync>) {}
}

/// A clock that moves only by hand, for tests. Clones share their time.
#[derive(Clone, Default)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    time: Mutex<Time>,
    wakers: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

#[derive(Clone, Copy, Default)]
struct Time {
    wall: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// A clock that stands at `wall`.
    #[must_use]
    pub fn at(wall: Timestamp) -> ManualClock {
        let clock = ManualClock::default();
        clock.time().wall = wall;
        clock
    }

    /// Lets `span` pass, and wakes the threads that wait for it.
    pub fn advance(&self, span: Duration) {
        {
            let mut time = self.time();
            time.wall = time.wall.after(span);
            time.monotonic += span;
        }
        self.wake();
    }

    /// Sets the wall clock, forwards or backwards, without any time passing.
    pub fn set_wall(&self, wall: Timestamp) {
        self.time().wall = wall;
        self.wake();
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.shared.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|wake| wake());
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        self.time().wall
    }

    fn monotonic(&self) -> Duration {
        self.time().monotonic
    }

    fn sleep(&self, _until: Duration) -> Option<Duration> {
        None
    }

    fn on_moved(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.shared.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("wall", &self.wall()).finish_non_exhaustive()
    }
}

/// The engine's time: the later of the wall clock at open and the last logged time, plus what the monotonic clock
/// says has passed since. Wall clocks that jump move nothing.
#[derive(Clone)]
pub(crate) struct EngineTime {
    clock: Arc<dyn Clock>,
    base: Timestamp,
    opened: Duration,
}

impl EngineTime {
    /// Begins at open, after `last` was the last logged time.
    pub(crate) fn begin(clock: Arc<dyn Clock>, last: Timestamp) -> EngineTime {
        let (base, opened) = (clock.wall().max(last), clock.monotonic());
        EngineTime { clock, base, opened }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.base.after(self.clock.monotonic().saturating_sub(self.opened))
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// How long to sleep until `at`; `None` means until woken.
    pub(crate) fn sleep(&self, at: Timestamp) -> Option<Duration> {
        self.clock.sleep(self.opened + at.since(self.base))
    }
}
