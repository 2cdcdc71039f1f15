//! Threads, channels, shutdown: what carries commands to the reducer and its decisions to workers and watchers.
//!
//! *Architecture invariant:* nothing is decided here. The engine hands over, waits, wakes and releases.

mod batch;
mod couriers;
mod deliver;
mod driven;
mod error;
mod feed;
mod futures;
mod handle;
mod hints;
mod history;
mod job;
mod leases;
mod lend;
mod looking;
mod looks;
mod message;
mod pool;
mod promise;
mod queue;
mod run;
#[cfg(all(test, lastword_shuttle))]
mod schedules;
mod shown;
mod stats;
mod storage;
mod sweep;
mod waits;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::bell::Bell;
use crate::clock::{Clock, EngineTime, SystemClock};
use crate::core::State;
use crate::core::vocabulary::{FieldError, Kind, Limits, Seq};
use crate::log::{Durability, Log, LogReader};
use crate::objects::Objects;
use crate::reducer::{Reducer, ReducerError};
use crate::worker::Worker;

pub use couriers::LastVerification;
pub use driven::NextAssignment;
pub use error::{
    CommandError, CompactError, EngineError, MOST_BYTES_IN_BATCH, MOST_IN_BATCH, StartError, SubmitError, WatchError,
};
pub use feed::{Watch, Watched};
pub use futures::{Asking, Room, Ticket, Wait};
pub use handle::{CollectionStatus, Handle};
pub use history::Retention;
pub use job::{Decision, Heartbeat, Job, Standing};
pub use looks::LastObservation;
pub use stats::{Counted, Stats};
pub use waits::Waited;

use couriers::{Couriers, Terms};
use feed::Feed;
use hints::Hints;
use history::{EVENTS_PER_SNAPSHOT, History};
use looks::{Looks, Rhythm};
use message::Message;
use pool::{Kinds, Pool, Shop};
use queue::Queue;
use run::Engine;
use storage::{Opened, Storage};
use sweep::Sweepable;

/// Commands that may wait in the queue. One batch takes as many; more would only wait for longer.
const QUEUE: usize = 4096;

/// A running reconciler: one log, one reducer, its workers. Dropping it shuts it down without waiting for workers.
#[derive(Debug)]
pub struct Reconciler {
    handle: Handle,
    thread: Option<JoinHandle<Result<(), ReducerError>>>,
    sweep: Option<Sweep>,
}

/// The thread that collects orphaned objects after opening.
#[derive(Debug)]
struct Sweep {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reconciler {
    /// Prepares to open the log in the directory `path`, which is created if it is not there.
    pub fn open(path: impl Into<PathBuf>) -> Builder {
        Builder::new(Storage::Directory(path.into()))
    }

    /// Prepares to run on a log and a store of objects of the caller's, in memory for example.
    #[must_use]
    pub fn on(log: Box<dyn Log>, objects: Arc<dyn Objects>) -> Builder {
        Builder::new(Storage::Given(log, objects))
    }

    /// A handle to it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Shuts down: no new attempts, running ones are told to stop, and after `timeout` at the latest the log is
    /// closed. What is still running then is found as lost at the next start, and tried again.
    ///
    /// The log can be opened again afterwards, unless a [`Watch`] that has not seen its end is still held.
    ///
    /// # Errors
    /// When the log failed, now or earlier.
    pub fn shutdown(mut self, timeout: Duration) -> Result<(), EngineError> {
        self.end(timeout)
    }

    fn end(&mut self, timeout: Duration) -> Result<(), EngineError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if let Some(sweep) = &self.sweep {
            sweep.stop.store(true, Ordering::Release);
        }
        // If the engine is gone already, its result says why.
        let _ = self.handle.messages.send(Message::Shutdown { timeout });
        let result = thread.join();
        self.sweep = None;
        match result {
            Ok(result) => result.map_err(EngineError::Reducer),
            Err(panic) => Err(EngineError::Panicked(pool::panic_text(panic))),
        }
    }
}

impl Sweep {
    fn start(objects: Arc<Sweepable>, reader: Box<dyn LogReader>, durable: Seq) -> io::Result<Sweep> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sweep = move || match objects.sweep(&*reader, durable, &stopped) {
            Ok(removed) => tracing::debug!(target: "lastword::sweep", removed, "orphaned objects collected"),
            Err(error) => tracing::warn!(target: "lastword::sweep", %error, "orphaned objects were not collected"),
        };
        let thread = thread::Builder::new().name("lastword-sweep".to_owned()).spawn(sweep)?;
        Ok(Sweep { stop, thread: Some(thread) })
    }
}

/// Its reader keeps the log open, so nobody gets past this before it has ended.
impl Drop for Sweep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It reports its own errors; a panic in it has harmed nothing.
            let _ = thread.join();
        }
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        if let Err(error) = self.end(Duration::ZERO) {
            tracing::error!(target: "lastword::engine", %error, "the reconciler ended with an error");
        }
    }
}

/// Settings of a reconciler that is about to start. All of them, with their defaults and reasons, are in
/// [`settings`](crate::settings).
pub struct Builder {
    storage: Storage,
    kinds: Kinds,
    workers: usize,
    observer_threads: usize,
    observe_interval: Duration,
    observe_timeout: Duration,
    terms: Terms,
    limits: Option<Limits>,
    durability: Durability,
    clock: Arc<dyn Clock>,
    queue: usize,
    software: String,
    snapshot_every: Option<u64>,
    retention: Retention,
    replayed: Option<Replayed>,
}

type Replayed = Box<dyn FnOnce(&State) + Send>;

impl Builder {
    fn new(storage: Storage) -> Builder {
        Builder {
            storage,
            kinds: Kinds::new(),
            workers: 2,
            observer_threads: 2,
            observe_interval: Duration::from_secs(5),
            observe_timeout: Duration::from_secs(60),
            terms: Terms::default(),
            limits: None,
            durability: Durability::default(),
            clock: Arc::new(SystemClock::new()),
            queue: QUEUE,
            software: concat!("lastword ", env!("CARGO_PKG_VERSION")).to_owned(),
            snapshot_every: Some(EVENTS_PER_SNAPSHOT),
            retention: Retention::default(),
            replayed: None,
        }
    }

    /// Collections of `kind` are built by `worker`. A collection whose kind nobody builds waits.
    #[must_use]
    pub fn kind(mut self, kind: Kind, worker: impl Worker) -> Builder {
        self.kinds.insert(kind, Arc::new(worker));
        self
    }

    /// How many attempts run at the same time. Default 2: most wait for a disk or a network more than they compute, and
    /// two leave room on small machines.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// How many sources are looked at at the same time. Default 2: one that answers slowly leaves a thread for the
    /// others.
    #[must_use]
    pub fn observer_threads(mut self, observer_threads: usize) -> Builder {
        self.observer_threads = observer_threads;
        self
    }

    /// How often each source is looked at, give or take a tenth. Default 5 s: a listing is cheap, and nobody waits
    /// much longer for news.
    #[must_use]
    pub fn observe_interval(mut self, interval: Duration) -> Builder {
        self.observe_interval = interval;
        self
    }

    /// How long a look may take before its source counts as one that cannot be observed. Default 60 s: longer than
    /// listing a million files takes, short enough that a dead file system is noticed.
    #[must_use]
    pub fn observe_timeout(mut self, timeout: Duration) -> Builder {
        self.observe_timeout = timeout;
        self
    }

    /// What an acknowledged command survives. Default [`Durability::Power`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.durability = durability;
        self
    }

    /// Where time comes from. Default the machine's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Builder {
        self.clock = Arc::new(clock);
        self
    }

    /// How many commands may wait. Default 4,096: as many as one batch may have.
    #[must_use]
    pub fn queue(mut self, commands: usize) -> Builder {
        self.queue = commands;
        self
    }

    /// The program that writes, as the log will name it. Default this crate and its version.
    #[must_use]
    pub fn software(mut self, software: &str) -> Builder {
        software.clone_into(&mut self.software);
        self
    }

    /// After how many events a snapshot is taken beside the log, so that the next start reads only what came since;
    /// 0 for never. Default 100,000: a tenth of a second of replay. Where there are many collections it is taken after
    /// four events for each of them, because that is what it costs. A log that was handed in has no snapshots.
    #[must_use]
    pub fn snapshot_every(mut self, events: u64) -> Builder {
        self.snapshot_every = Some(events).filter(|events| *events > 0);
        self
    }

    /// How much of the past is kept. Default all of it. What goes is replaced by the state that it had led to, when at
    /// least a thousand events and a quarter of what is kept can go. A [`Watch`] that is further behind is told so
    /// ([`LogError::Forgotten`](crate::log::LogError::Forgotten)).
    #[must_use]
    pub fn retain(mut self, retention: Retention) -> Builder {
        self.retention = retention;
        self
    }

    /// Shows what the log adds up to when it was opened, before anything new. Whoever watches from the event behind that
    /// sees all that is new, and needs nothing older: a [`Describer`](crate::describe::Describer) can begin there.
    #[must_use]
    pub fn replayed(mut self, show: impl FnOnce(&State) + Send + 'static) -> Builder {
        self.replayed = Some(Box::new(show));
        self
    }

    /// Opens the log, replays it, begins a new epoch and starts the threads.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing was started then.
    pub fn start(self) -> Result<Reconciler, StartError> {
        self.check().map_err(StartError::Setting)?;
        // A store that was handed in may hold objects of others, and ones that are to be named later.
        let is_ours = matches!(self.storage, Storage::Directory(_));
        let Opened { log, objects, state, snapshots } = self.storage.open(self.durability)?;
        if let Some(show) = self.replayed {
            show(&state);
        }
        let time = EngineTime::begin(Arc::clone(&self.clock), state.at());
        let (durable, reader) = (log.durable().seq, log.reader());
        let (objects, sweep) = if is_ours {
            // Before anything can be stored: what is stored from here on is safe from the sweep.
            let objects = Arc::new(Sweepable::new(objects));
            let sweep = Sweep::start(Arc::clone(&objects), log.reader(), durable).map_err(StartError::Thread)?;
            (objects as Arc<dyn Objects>, Some(sweep))
        } else {
            (objects, None)
        };
        let mut reducer =
            Reducer::open(log, state, &self.software, time.now(), time.wall()).map_err(StartError::Reducer)?;
        self.limits.map_or(Ok(()), |limits| deliver::limit(&mut reducer, limits))?;

        let (messages, queue) = Queue::bounded(self.queue);
        // Room for every thread of the three pools, the replaced ones included, and for the second reader of the log, so
        // that none ever waits to report.
        let (reports, returned) = bounded(2 * self.workers + 2 * self.observer_threads + 2 * self.terms.couriers + 1);
        let remember = (self.snapshot_every, self.retention);
        let history = History::new(reader.another(), durable, snapshots, remember, reports.clone());
        let moved = wake_on_moved(&*self.clock);
        let duties = couriers::duties(&self.kinds);
        let has_observer = |(_, worker): &(&Kind, &Arc<dyn Worker>)| worker.observer().is_some();
        let observed = self.kinds.iter().filter(has_observer).map(|(kind, _)| kind.clone()).collect();
        let shop = Shop { kinds: Arc::new(self.kinds), objects, time: time.clone(), reports };
        let pool = Pool::start(shop.clone(), self.workers).map_err(StartError::Thread)?;
        let rhythm = Rhythm { interval: self.observe_interval, patience: self.observe_timeout };
        let hints = Hints::new(time.clone());
        let looks = Looks::start(&shop, self.observer_threads, rhythm).map_err(StartError::Thread)?;
        let couriers = Couriers::start(&shop, self.terms).map_err(StartError::Thread)?;
        let feed = Arc::new(Feed::new(reader, durable));
        let (died, room) = (Arc::new(OnceLock::new()), Arc::new(Bell::new(())));
        let engine = Engine {
            reducer,
            ticked: time.monotonic(),
            time,
            kinds: shop.kinds,
            duties,
            observed,
            messages: queue,
            reports: returned,
            moved,
            pool,
            looks,
            hints,
            leases: leases::Leases::default(),
            couriers,
            feed: Arc::clone(&feed),
            room: Arc::clone(&room),
            died: Arc::clone(&died),
            batch: batch::Batch::default(),
            waits: waits::Waits::default(),
            counted: Counted::default(),
            wakes: 0,
            stopping: None,
            history,
        };
        let queue_gone = messages.gone(&room);
        let run = move || {
            // Dropped after the engine and its queue.
            let _queue_gone = queue_gone;
            engine.run()
        };
        let thread = Some(thread::Builder::new().name("lastword".to_owned()).spawn(run).map_err(StartError::Thread)?);
        Ok(Reconciler { handle: Handle { messages, feed, died, room, by: None }, thread, sweep })
    }

    fn check(&self) -> Result<(), FieldError> {
        // Threads beyond this are a mistake in a configuration, not a wish.
        const MOST_THREADS: usize = 1024;
        let pools = [
            ("workers", self.workers),
            ("observer_threads", self.observer_threads),
            ("delivery_threads", self.terms.couriers),
        ];
        for (field, threads) in pools {
            if threads == 0 || threads > MOST_THREADS {
                return Err(FieldError::new(field, format!("must be 1 to {MOST_THREADS}, found {threads}")));
            }
        }
        // The queue's room is taken at once, and a longer one would only hide for longer that too much is asked for.
        const MOST_QUEUED: usize = 1 << 20;
        if self.queue == 0 || self.queue > MOST_QUEUED {
            return Err(FieldError::new("queue", format!("must be 1 to {MOST_QUEUED}, found {}", self.queue)));
        }
        const MOST_SOFTWARE: usize = 256;
        if self.software.len() > MOST_SOFTWARE {
            let problem = format!("must have at most {MOST_SOFTWARE} bytes, found {}", self.software.len());
            return Err(FieldError::new("software", problem));
        }
        if self.observe_timeout < Duration::from_millis(10) {
            return Err(FieldError::new(
                "observe_timeout",
                format!("must be at least 10 ms, found {:?}", self.observe_timeout),
            ));
        }
        if self.observe_interval < Duration::from_millis(10) {
            return Err(FieldError::new(
                "observe_interval",
                format!("must be at least 10 ms, found {:?}", self.observe_interval),
            ));
        }
        self.check_delivery()
    }
}

/// The settings by the names of their methods.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new setting does not compile before it is shown.
        let Builder {
            storage: _,
            kinds,
            workers,
            observer_threads,
            observe_interval,
            observe_timeout,
            terms,
            limits,
            durability,
            clock: _,
            queue,
            software,
            snapshot_every,
            retention,
            replayed: _,
        } = self;
        f.debug_struct("Builder")
            .field("kind", &kinds.keys())
            .field("workers", workers)
            .field("observer_threads", observer_threads)
            .field("observe_interval", observe_interval)
            .field("observe_timeout", observe_timeout)
            .field("delivery_threads", &terms.couriers)
            .field("delivery_timeout", &terms.patience)
            .field("limits", limits)
            .field("durability", durability)
            .field("queue", queue)
            .field("software", software)
            .field("snapshot_every", &snapshot_every.unwrap_or(0))
            .field("retain", retention)
            .finish_non_exhaustive()
    }
}

/// A channel that has something in it after a manual clock was moved.
fn wake_on_moved(clock: &dyn Clock) -> run::Moved {
    let (moved, receiver) = bounded(1);
    let _open = moved.clone();
    // One wake is enough, however often the clock was moved.
    clock.on_moved(Box::new(move || {
        let _ = moved.try_send(());
    }));
    run::Moved { receiver, _open }
}
