//! The worker of the demo: the one for directories of files, made slow, and not to stop when it is told to, where the
//! story wants it so.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lastword::core::vocabulary::{Built, FieldError, Source, Spec};
use lastword::external::{BuildError, External, SegmentBuilder, SegmentJob};
use lastword::worker::{Context, Failure, Observer, Worker};

/// Longest stay at the gate: the demo is over by then, whatever happened.
const LONGEST: Duration = Duration::from_secs(25);

/// A gate that a finished attempt has to pass before it may hand in its result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    closed: bool,
    waiting: u32,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate::default()
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    pub(crate) fn open(&self) {
        self.lock().closed = false;
        self.shared.changed.notify_all();
    }

    /// Whether an attempt stands at the closed gate.
    pub(crate) fn is_waited_at(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Waits while the gate is closed, and does not stop for anything else.
    fn pass(&self) {
        let mut state = self.lock();
        state.waiting += 1;
        let waited = self.shared.changed.wait_timeout_while(state, LONGEST, |state| state.closed);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds as [`External`] does, and then waits at a gate with its result in hand: a stop that comes meanwhile is not
/// noticed, so the result is handed in late.
pub(crate) struct SlowWorker {
    external: External,
    gate: Gate,
}

impl SlowWorker {
    pub(crate) fn new(gate: Gate) -> SlowWorker {
        SlowWorker { external: External::with_builder(SlowBuilder), gate }
    }
}

impl Worker for SlowWorker {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let built = self.external.run(context)?;
        self.gate.pass();
        Ok(built)
    }

    fn check(&self, source: &Source, spec: &Spec) -> Result<(), FieldError> {
        self.external.check(source, spec)
    }

    fn observer(&self) -> Option<&dyn Observer> {
        self.external.observer()
    }
}

/// Takes a moment for each segment, as a real index would.
struct SlowBuilder;

impl SegmentBuilder for SlowBuilder {
    fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
        job.check_stop()?;
        std::thread::sleep(Duration::from_millis(20));
        Ok(None)
    }
}
