//! The settings of a reconciler, and its start.
//!
//! *Architecture invariant:* it knows the names of all parts and what each of them is given, and nothing of what they
//! do.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};

use super::deliveries::{Deliveries, DeliveryConfig};
use super::env::{Abilities, Kinds, Served, WorkerEnv};
use super::error::StartError;
use super::feed::Feed;
use super::handle::Handle;
use super::history::{EVENTS_PER_SNAPSHOT, History, HistoryConfig};
use super::leases::Leases;
use super::life::Life;
use super::notebooks;
use super::observers::{ObserveConfig, ObserveInterval, Observers, Pace};
use super::queue::{Queue, Room};
use super::reconciler::{EngineThread, Reconciler};
use super::retention::Retention;
use super::run::{ClockMoved, EngineLoop, Parts, Wakes};
use super::storage::{Opened, Storage};
use super::sweep::{Sweepable, Sweeps};
use super::workers::Workers;
use crate::clock::{Clock, EngineTime, SystemClock};
use crate::core::State;
use crate::core::vocabulary::{Command, Event, FieldError, Kind, Limits, Seq};
use crate::log::{Durability, Log};
use crate::objects::Objects;
use crate::reducer::Reducer;
use crate::worker::Worker;

/// Commands that may wait in the queue. One batch takes as many; more would only wait for longer.
const QUEUE: usize = 4096;

/// Requests a day that the observations of a source may take: about ten cents.
const LIST_BUDGET: u64 = 20_000;

/// Bytes of commands that may wait: four batches of the longest sort.
const QUEUE_BYTES: usize = 64 << 20;
/// Bytes of all notes that attempts keep. A note of a segment has about a hundred for each of its fragments.
const NOTE_BYTES: u64 = 256 << 20;

/// Settings of a reconciler that is about to start. All of them, with their defaults and reasons, are in
/// [`settings`](crate::settings).
pub struct Builder {
    storage: Storage,
    kinds: Kinds,
    driven: BTreeSet<Kind>,
    /// A kind that was given to two workers.
    twice: Option<Kind>,
    any_kind: bool,
    workers: usize,
    observing: ObserveConfig,
    deliveries: DeliveryConfig,
    limits: Option<Limits>,
    durability: Durability,
    accept_loss: Option<Seq>,
    clock: Arc<dyn Clock>,
    queue: usize,
    queue_bytes: usize,
    note_bytes: u64,
    software: String,
    history: HistoryConfig,
    replayed: Option<Replayed>,
}

type Replayed = Box<dyn FnOnce(&State) + Send>;

impl Builder {
    /// On the log in the directory `path`.
    pub(super) fn in_directory(path: PathBuf) -> Builder {
        Builder::new(Storage::Directory(path))
    }

    /// On a log and a store of objects of the caller's.
    pub(super) fn on(log: Box<dyn Log>, objects: Arc<dyn Objects>) -> Builder {
        Builder::new(Storage::Given(log, objects))
    }

    fn new(storage: Storage) -> Builder {
        let (pace, timeout) = (Pace { interval: ObserveInterval::Auto, budget: LIST_BUDGET }, Duration::from_secs(60));
        Builder {
            storage,
            kinds: Kinds::new(),
            driven: BTreeSet::new(),
            twice: None,
            any_kind: false,
            workers: 2,
            observing: ObserveConfig { threads: 2, pace, timeout },
            deliveries: DeliveryConfig { threads: 2, timeout: Duration::from_secs(300) },
            limits: None,
            durability: Durability::default(),
            accept_loss: None,
            clock: Arc::new(SystemClock::new()),
            queue: QUEUE,
            queue_bytes: QUEUE_BYTES,
            note_bytes: NOTE_BYTES,
            software: concat!("lastword ", env!("CARGO_PKG_VERSION")).to_owned(),
            history: HistoryConfig { snapshot_every: Some(EVENTS_PER_SNAPSHOT), retention: Retention::default() },
            replayed: None,
        }
    }

    /// Collections of `kind` are built by `worker`. In an engine that has a kind a declaration has to name one that is
    /// known, see [`driven`](Builder::driven); a collection of another kind, which the log had before, waits and says so
    /// (`no_worker`). A kind has one worker: given to two, or [`driven`](Builder::driven) as well, it is refused by
    /// [`start`](Builder::start).
    #[must_use]
    pub fn kind(mut self, kind: Kind, worker: impl Worker) -> Builder {
        if self.kinds.insert(kind.clone(), Served::new(worker)).is_some() {
            self.twice.get_or_insert(kind);
        }
        self
    }

    /// Collections of `kind` are built by callers, who ask for assignments ([`Handle::assignment`]): declarations may name
    /// it before one has asked. Without any kind, of either sort, every kind may be declared.
    ///
    /// [`Handle::assignment`]: super::Handle::assignment
    #[must_use]
    pub fn driven(mut self, kind: Kind) -> Builder {
        self.driven.insert(kind);
        self
    }

    /// Declarations may name any kind, also one that nobody builds yet. A collection of it says `no_worker` until a caller
    /// asks for an assignment of its kind, or an engine with a worker for it is started.
    #[must_use]
    pub fn any_kind(mut self) -> Builder {
        self.any_kind = true;
        self
    }

    /// How many attempts run at the same time. Default 2: most wait for a disk or a network more than they compute, and
    /// two leave room on small machines.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = workers;
        self
    }

    /// How many sources are observed at the same time. Default 2. A domain of sources (see
    /// [`Observer::domain`](crate::Observer::domain)) that has nothing under way gets a thread of its own beyond that,
    /// so that one that answers slowly does not hold up another.
    #[must_use]
    pub fn observer_threads(mut self, threads: usize) -> Builder {
        self.observing.threads = threads;
        self
    }

    /// How often each source is observed, give or take a tenth: a duration, or [`ObserveInterval::Auto`], the default. That
    /// is 5 s for an observation that took up to 250 ms, so that a change is seen within seconds; what takes longer is
    /// observed for a twentieth of the time, and what takes requests no more often than
    /// [`list_budget`](Builder::list_budget) allows.
    #[must_use]
    pub fn observe_interval(mut self, interval: impl Into<ObserveInterval>) -> Builder {
        self.observing.pace.interval = interval.into();
        self
    }

    /// How many requests a day the observations of one source may take, at least 1, where the interval is
    /// [`ObserveInterval::Auto`]. Default 20,000: about ten cents a day at the prices of the large clouds, and a prefix of a
    /// thousand objects is still observed every five seconds. Observations that somebody asks for come at once and are
    /// counted like others; those of attempts are not.
    #[must_use]
    pub fn list_budget(mut self, requests: u64) -> Builder {
        self.observing.pace.budget = requests;
        self
    }

    /// How long an observation may give no sign of life ([`ObserveSignals::sign`](crate::ObserveSignals::sign)) before its
    /// source counts as one that cannot be observed. Default 60 s: longer than a step of it takes, short enough that a dead
    /// file system is noticed.
    #[must_use]
    pub fn observe_timeout(mut self, timeout: Duration) -> Builder {
        self.observing.timeout = timeout;
        self
    }

    /// How many threads publish, discard and verify at the same time. Default 2. A kind that has nothing under way gets a
    /// thread of its own beyond that, so that a destination that hangs does not hold up another.
    #[must_use]
    pub fn delivery_threads(mut self, threads: usize) -> Builder {
        self.deliveries.threads = threads;
        self
    }

    /// How long a publication, a discard or a verification may take before it counts as failed. Default 5 minutes:
    /// longer than it takes to switch a pointer or to remove some ten thousand objects, short enough that a destination
    /// that hangs is noticed before long.
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Builder {
        self.deliveries.timeout = timeout;
        self
    }

    /// How many attempts may hold a worker at the same time, from the start on: the same as [`Handle::limit`] right
    /// after it. Without this the limits that the log has stay.
    ///
    /// [`Handle::limit`]: super::Handle::limit
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = Some(limits);
        self
    }

    /// What an acknowledged command survives. Default [`Durability::Power`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.durability = durability;
        self
    }

    /// Goes on with what is left of a damaged log: `last` has to be the last event that is left, and everything behind
    /// it is given up. The log notes it with an event, and what was there is kept beside it, in `damaged-N`; as long as
    /// that is there, objects that nothing names are kept too. A log that is whole, or ends at another event, is not
    /// opened and not changed. Only for a log in a directory. Default: the loss of events is never accepted.
    #[must_use]
    pub fn accept_loss(mut self, last: Seq) -> Builder {
        self.accept_loss = Some(last);
        self
    }

    /// Where time comes from (features `internals` and `testing`). Default the machine's clock.
    #[must_use]
    #[cfg(any(feature = "internals", feature = "testing"))]
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

    /// How many bytes of sources, specs and results may wait, whatever their number. Default 64 MiB: four batches of the
    /// longest sort. Beyond them the queue is full; one command that is longer than all of it is taken when nothing else
    /// waits.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Builder {
        self.queue_bytes = bytes;
        self
    }

    /// How many bytes the notes of all attempts may take beside the log ([`Context::keep`](crate::Context::keep)); the
    /// oldest go first, and one attempt has a quarter at most. Default 256 MiB: what is noted of a segment has about a
    /// hundred bytes for each of its row groups, and what has gone is only made again. With 0 none are kept: what an
    /// attempt without a commit had built is built again. In memory at most 32 MiB are kept.
    #[must_use]
    pub fn note_bytes(mut self, bytes: u64) -> Builder {
        self.note_bytes = bytes;
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
        self.history.snapshot_every = Some(events).filter(|events| *events > 0);
        self
    }

    /// How much of the past is kept. Default all of it. What goes is replaced by the state that it had led to, when at
    /// least a thousand events and a quarter of what is kept can go; objects that nothing names go also while nothing
    /// happens. A [`Watch`](crate::Watch) that is further behind is told so.
    #[must_use]
    pub fn retain(mut self, retention: Retention) -> Builder {
        self.history.retention = retention;
        self
    }

    /// Shows what the log adds up to when it was opened, before anything new (features `internals` and `testing`). A watch from the event behind that
    /// sees exactly what is new.
    #[must_use]
    #[cfg(any(feature = "internals", feature = "testing"))]
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
        let abilities = Abilities::of(&self.kinds).map_err(StartError::Setting)?;
        let opened = self.storage.open(self.durability, self.accept_loss, self.note_bytes)?;
        let Opened { log, objects, state, snapshots, notes, may_sweep, marker, was_clean, lost } = opened;
        let began_new_log = state.last() == Seq::ZERO;
        if let Some(show) = self.replayed {
            show(&state);
        }
        let time = EngineTime::begin(Arc::clone(&self.clock), state.at());
        let (durable, reader, history_reader) = (log.durable().seq, log.reader(), log.reader());
        let sweepable = may_sweep.then(|| Arc::new(Sweepable::new(Arc::clone(&objects))));
        let is_bounded = !self.history.retention.is_everything();
        let begin = |objects| Sweeps::new(objects, log.reader(), marker, (was_clean, log.durable()), is_bounded);
        let sweeps = sweepable.clone().map(begin);
        let mut reducer =
            Reducer::open(log, state, &self.software, time.now(), time.wall()).map_err(StartError::Reducer)?;
        if let Some(found) = lost {
            let accepted = Event::DataLossAccepted { last: durable, found: found.into() };
            reducer.append(accepted).map_err(StartError::Reducer)?;
        }
        self.limits.map_or(Ok(()), |limits| limit(&mut reducer, limits))?;
        notebooks::sweep(&notes, reducer.state());

        let life = Arc::<Life>::default();
        let room = Room { commands: self.queue, bytes: self.queue_bytes };
        let (queue, inbox) = Queue::bounded(room, time.clone(), Arc::clone(&life));
        let (reports, returned) = unbounded();
        let notes = Arc::new(notes);
        let env = WorkerEnv {
            kinds: Arc::new(self.kinds),
            objects,
            notes,
            sweepable,
            time,
            reports,
            life: Arc::clone(&life),
        };
        let feed = Arc::new(Feed::new(reader, durable));
        let history = History::new(history_reader, durable, snapshots, self.history, env.reports.clone());
        let takes_any_kind = self.any_kind || (env.kinds.is_empty() && self.driven.is_empty());
        let parts = Parts {
            workers: Workers::start(&env, abilities.duties.clone(), self.workers).map_err(StartError::Thread)?,
            observers: Observers::start(&env, &abilities.observing, self.observing).map_err(StartError::Thread)?,
            deliveries: Deliveries::start(&env, abilities, self.deliveries).map_err(StartError::Thread)?,
            history,
            leases: Leases::new(self.driven),
            takes_any_kind,
            sweeps,
            feed: Arc::clone(&feed),
        };
        let wakes = Wakes { inbox, reports: returned, clock_moved: wake_on_moved(&*self.clock) };
        let engine = EngineLoop::new(reducer, &env, wakes, parts);
        let queue_end = queue.end();
        let ((ended, told), (presence, gone)) = (bounded(1), bounded(0));
        let run = move || {
            // Before anything else that this thread has for itself.
            life.begin(presence);
            // Dropped after the engine and its inbox.
            let _queue_end = queue_end;
            life.live(|| engine.run(&life, &ended));
        };
        let thread = thread::Builder::new().name("lastword".to_owned()).spawn(run).map_err(StartError::Thread)?;
        Ok(Reconciler::new(Handle::new(queue, feed), began_new_log, EngineThread { thread, ended: told, gone }))
    }

    fn check(&self) -> Result<(), FieldError> {
        if let Some(kind) = &self.twice {
            return Err(FieldError::new("kind", format!("{kind} was given to two workers")));
        }
        if let Some(kind) = self.kinds.keys().find(|kind| self.driven.contains(*kind)) {
            let problem = format!("{kind} has a worker here and is driven from outside: it can be one of them only");
            return Err(FieldError::new("kind", problem));
        }
        // Threads beyond this are a mistake in a configuration, not a wish.
        const MOST_THREADS: usize = 1024;
        let crews = [
            ("workers", self.workers),
            ("observer_threads", self.observing.threads),
            ("delivery_threads", self.deliveries.threads),
        ];
        for (field, threads) in crews {
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
        if self.observing.pace.budget == 0 {
            return Err(FieldError::new("list_budget", "must be at least 1, found 0"));
        }
        const SHORTEST: Duration = Duration::from_millis(10);
        let spans = [("observe_timeout", self.observing.timeout), ("delivery_timeout", self.deliveries.timeout)];
        let interval = match self.observing.pace.interval {
            ObserveInterval::Fixed(interval) => Some(("observe_interval", interval)),
            ObserveInterval::Auto => None,
        };
        if let Some((field, span)) = spans.into_iter().chain(interval).find(|(_, span)| *span < SHORTEST) {
            return Err(FieldError::new(field, format!("must be at least {SHORTEST:?}, found {span:?}")));
        }
        self.limits.as_ref().map_or(Ok(()), Limits::check)
    }
}

/// Gives the limits of a start; the log has an event of it only if it had others.
fn limit(reducer: &mut Reducer, limits: Limits) -> Result<(), StartError> {
    match reducer.command(&Command::Limit(limits)).map_err(StartError::Reducer)? {
        Ok(_) => Ok(()),
        Err(refused) => Err(StartError::Setting(FieldError::new("limits", refused.to_string()))),
    }
}

/// The settings by the names of their methods.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new setting does not compile before it is shown.
        let Builder {
            storage: _,
            kinds,
            driven,
            twice: _,
            any_kind,
            workers,
            observing,
            deliveries,
            limits,
            durability,
            accept_loss,
            clock: _,
            queue,
            queue_bytes,
            note_bytes,
            software,
            history: HistoryConfig { snapshot_every, retention },
            replayed: _,
        } = self;
        f.debug_struct("Builder")
            .field("kind", &kinds.keys())
            .field("driven", driven)
            .field("any_kind", any_kind)
            .field("workers", workers)
            .field("observer_threads", &observing.threads)
            .field("observe_interval", &observing.pace.interval)
            .field("list_budget", &observing.pace.budget)
            .field("observe_timeout", &observing.timeout)
            .field("delivery_threads", &deliveries.threads)
            .field("delivery_timeout", &deliveries.timeout)
            .field("limits", limits)
            .field("durability", durability)
            .field("accept_loss", accept_loss)
            .field("queue", queue)
            .field("queue_bytes", queue_bytes)
            .field("note_bytes", note_bytes)
            .field("software", software)
            .field("snapshot_every", &snapshot_every.unwrap_or(0))
            .field("retain", retention)
            .finish_non_exhaustive()
    }
}

/// A channel that has something in it after a manual clock was moved.
fn wake_on_moved(clock: &dyn Clock) -> ClockMoved {
    let (moved, receiver) = bounded(1);
    let _open = moved.clone();
    // One wake is enough, however often the clock was moved.
    clock.on_moved(Box::new(move || {
        let _ = moved.try_send(());
    }));
    ClockMoved { receiver, _open }
}
