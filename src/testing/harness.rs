//! The engine as a test holds it: its disk, its clock, its ends and beginnings.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, ManualClock, SystemClock};
use crate::core::vocabulary::{Declaration, Name, Receipt, Recorded, Seq, Timestamp};
use crate::core::{Applied, CollectionView, State};
use crate::describe::Describer;
use crate::engine::{Builder, CollectionStatus, CommandError, EngineError, Handle, Reconciler, Stats};
use crate::log::{Keep, Log, LogReader, MemoryDisk};
use crate::objects::MemoryObjects;
use crate::replay::{self, Until};

/// When every harness begins: 2027-01-15T08:00:00Z.
const BEGINNING: Timestamp = Timestamp(1_800_000_000_000_000);

/// How long, in real time, a test waits for what has to come by itself. Nothing takes nearly as long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process is down between two lives.
const DOWN: Duration = Duration::from_millis(5);

type Settings = Box<dyn Fn(Builder) -> Builder + Send>;

/// The real engine on a disk in memory, under a clock that moves by hand. See the [module](super) for an example.
///
/// Methods panic when what they ask for does not come: that is what they are for in a test. They say what the log
/// says of the collection then.
pub struct Harness {
    settings: Settings,
    disk: MemoryDisk,
    objects: Arc<MemoryObjects>,
    clock: ManualClock,
    reader: Box<dyn LogReader>,
    handle: Handle,
    reconciler: Option<Reconciler>,
    timeout: Duration,
}

impl Harness {
    /// An engine with the default settings, and without workers.
    #[must_use]
    pub fn new() -> Harness {
        Harness::with(|engine| engine)
    }

    /// An engine with settings and kinds of the caller's: `Harness::with(|engine| engine.kind(..))`. They are asked
    /// for again by every opening.
    #[must_use]
    pub fn with(settings: impl Fn(Builder) -> Builder + Send + 'static) -> Harness {
        let (disk, objects) = (MemoryDisk::new(), Arc::default());
        let clock = ManualClock::at(BEGINNING);
        let settings: Settings = Box::new(settings);
        let (reader, reconciler) = start(&settings, &disk, &objects, &clock);
        let handle = reconciler.handle();
        let reconciler = Some(reconciler);
        Harness { settings, disk, objects, clock, reader, handle, reconciler, timeout: TIMEOUT }
    }

    /// How long, in real time, to wait for what has to come by itself. Default 60 s.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A handle to the engine that is running now.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The clock. Its wall clock may jump without any time passing.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The disk of the log.
    #[must_use]
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    /// The store of objects.
    #[must_use]
    pub fn objects(&self) -> &Arc<MemoryObjects> {
        &self.objects
    }

    /// Reads the log, for whatever [`replay`] can say of it.
    #[must_use]
    pub fn reader(&self) -> &dyn LogReader {
        &*self.reader
    }

    /// Declares a collection.
    #[track_caller]
    pub fn declare(&self, declaration: Declaration) -> Receipt {
        let name = declaration.name.clone();
        self.handle.declare(declaration).unwrap_or_else(|error| panic!("{name} was not declared: {error}"))
    }

    /// One collection, as [`Handle::status`] says it.
    #[track_caller]
    #[must_use]
    pub fn status(&self, name: &str) -> CollectionStatus {
        let found = Name::new(name).ok().and_then(|name| self.answered(self.handle.status(name)));
        found.unwrap_or_else(|| panic!("no collection is named {name:?}\n{}", self.history(name)))
    }

    /// One collection, as the log says it.
    #[track_caller]
    #[must_use]
    pub fn view(&self, name: &str) -> CollectionView {
        self.status(name).view
    }

    /// Counters.
    #[track_caller]
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.answered(self.handle.stats())
    }

    /// Lets time pass. What came due by that is decided and durable when this returns; what follows from it, an
    /// attempt for example, may still run.
    #[track_caller]
    pub fn advance(&self, span: Duration) {
        self.clock.advance(span);
        // The answer comes with a frame that knows the new time.
        let _ = self.stats();
    }

    /// Waits, in real time, until `holds` does. For what comes by itself; time of the engine does not pass.
    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let waited = SystemClock::new();
        while !holds() {
            assert!(waited.monotonic() < self.timeout, "{what} did not happen within {:?}", self.timeout);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The process ends without closing the log and another one opens it. `keep` says whether what was appended and not
    /// yet made durable is found there. Attempts of the first life are told to stop, and may still act.
    #[track_caller]
    pub fn crash_and_reopen(&mut self, keep: Keep) {
        self.disk.crash(keep);
        self.reopen();
    }

    /// The process ends in order, with no time for its workers, and another one opens the log. A log that has failed
    /// is opened again the same way.
    #[track_caller]
    pub fn reopen(&mut self) {
        // It reports its own error, and after a crash or a failed append there is one.
        drop(self.reconciler.take());
        self.clock.advance(DOWN);
        let (reader, reconciler) = start(&self.settings, &self.disk, &self.objects, &self.clock);
        self.reader = reader;
        self.handle = reconciler.handle();
        self.reconciler = Some(reconciler);
    }

    /// Ends the process in order and leaves it ended, giving workers `timeout` of real time to stop.
    ///
    /// # Errors
    /// When the log failed, now or earlier.
    pub fn shutdown(&mut self, timeout: Duration) -> Result<(), EngineError> {
        self.release().map_or(Ok(()), |reconciler| reconciler.shutdown(timeout))
    }

    /// Gives the reconciler away, to be ended somewhere else; there is none after an end.
    pub fn release(&mut self) -> Option<Reconciler> {
        self.reconciler.take()
    }

    /// Makes the next append to the log fail. What it would have written is there nevertheless or not, as on a disk
    /// that reports an error; a caller that waits is told that the outcome is unknown, and the engine ends. See
    /// [`reopen`](Harness::reopen).
    pub fn fail_next_append(&self, keep: Keep) {
        self.disk.fail_next_append(keep);
    }

    /// Makes the next barrier fail, with the same consequences.
    pub fn fail_next_barrier(&self, keep: Keep) {
        self.disk.fail_next_barrier(keep);
    }

    /// All events, in order.
    #[track_caller]
    #[must_use]
    pub fn events(&self) -> Vec<Recorded> {
        let events = replay::events(&*self.reader, Seq::ZERO).collect::<Result<_, _>>();
        events.unwrap_or_else(|error| panic!("the log cannot be read: {error}"))
    }

    /// What happened to the collections of that name, one line for each event, as `log-dump` prints it.
    #[track_caller]
    #[must_use]
    pub fn history(&self, name: &str) -> String {
        let (mut describer, mut lines) = (Describer::new(), String::new());
        for event in &self.events() {
            let described = describer.describe(event);
            if described.name().is_some_and(|of| of.as_str() == name) {
                let _ = writeln!(lines, "{described}");
            }
        }
        if lines.is_empty() { format!("nothing ever happened to {name:?}\n") } else { lines }
    }

    /// The latest inputs of a collection are committed; says as what.
    #[track_caller]
    pub fn assert_committed(&self, name: &str) -> Applied {
        let view = self.view(name);
        match view.applied {
            Some(applied) if Some(applied.fingerprint) == view.latest => applied,
            Some(_) | None => panic!(
                "{name}: the latest inputs are not committed; the collection is {}: {}\n{}",
                view.condition.name(),
                view.condition,
                self.history(name)
            ),
        }
    }

    /// The condition of a collection has this name, see [`Condition::name`](crate::core::Condition::name).
    #[track_caller]
    pub fn assert_condition(&self, name: &str, condition: &str) {
        let found = self.view(name).condition;
        assert!(
            found.name() == condition,
            "{name} is not {condition} but {}: {found}\n{}",
            found.name(),
            self.history(name)
        );
    }

    /// What the log adds up to now.
    #[track_caller]
    #[must_use]
    pub fn state(&self) -> State {
        self.state_at(Until::End)
    }

    /// Everything in the log keeps every invariant, and the state of the running engine is what it adds up to.
    #[track_caller]
    pub fn verify(&self) {
        if let Err(error) = replay::verify(&*self.reader, None) {
            panic!("the log does not hold: {error}");
        }
        let (seq, digest) = self.answered(self.handle.digest());
        assert!(self.state_at(Until::Seq(seq)).digest() == digest, "replay up to {seq} gives another state");
    }

    #[track_caller]
    fn state_at(&self, until: Until) -> State {
        let state = replay::state_at(&*self.reader, until);
        state.unwrap_or_else(|error| panic!("the log does not add up: {error}"))
    }

    #[track_caller]
    pub(super) fn answered<T>(&self, answer: Result<T, CommandError>) -> T {
        answer.unwrap_or_else(|error| panic!("the engine has ended ({error}); `reopen` starts another one"))
    }
}

impl Default for Harness {
    fn default() -> Harness {
        Harness::new()
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("clock", &self.clock).field("running", &self.reconciler).finish_non_exhaustive()
    }
}

#[track_caller]
fn start(
    settings: &Settings,
    disk: &MemoryDisk,
    objects: &Arc<MemoryObjects>,
    clock: &ManualClock,
) -> (Box<dyn LogReader>, Reconciler) {
    let log = disk.open();
    let reader = log.reader();
    let builder = Reconciler::on(Box::new(log), Arc::<MemoryObjects>::clone(objects) as _).clock(clock.clone());
    let reconciler = settings(builder).start().unwrap_or_else(|error| panic!("the engine did not start: {error}"));
    // From here on the epoch is durable.
    if let Err(error) = reconciler.handle().stats() {
        panic!("the engine ended at once: {error}");
    }
    (reader, reconciler)
}
