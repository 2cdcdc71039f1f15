//! A gate in the way of attempts, so that a test can have something happen in the middle of one.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use crate::watch_cell::WatchCell;
use crate::worker::{Context, Failure};

/// How often a gate asks whether its attempt was told to stop.
const LISTEN: Duration = Duration::from_millis(2);

/// A gate that is shut until it is opened. Clones are the same gate: a worker passes it, a test opens it.
///
/// ```
/// use lastword::testing::{Gate, Harness};
/// use lastword::{Built, Context, Declaration, Failure, Kind, Name, Source, Spec, Worker};
///
/// struct Slow(Gate);
///
/// impl Worker for Slow {
///     fn run(&self, context: &Context) -> Result<Built, Failure> {
///         self.0.pass(context)?;
///         Ok(Built::default())
///     }
/// }
///
/// let gate = Gate::new();
/// let slow = gate.clone();
/// let harness = Harness::with(move |engine| engine.kind(Kind::new("slow").unwrap(), Slow(slow.clone())));
/// let a = Declaration::new(Name::new("a").unwrap()).kind(Kind::new("slow").unwrap());
/// harness.declare(a.source(Source::new("there").unwrap()).unversioned());
/// gate.until_reached(&harness, 1);
///
/// // A change in the middle of the attempt.
/// let spec = Spec::parse(r#"{"n":2}"#).unwrap();
/// let receipt = harness.declare(Declaration::new(Name::new("a").unwrap()).spec(spec));
/// gate.until_reached(&harness, 2);
/// gate.open();
/// harness.run_until_settled();
/// assert_eq!(harness.assert_committed("a").generation, receipt.generation);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gate {
    cell: Arc<WatchCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    reached: u64,
}

impl Gate {
    /// A gate that is shut.
    #[must_use]
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Waits until the gate is open.
    ///
    /// # Errors
    /// [`Failure::Stopped`] when the attempt is told to stop before.
    pub fn pass(&self, context: &Context) -> Result<(), Failure> {
        self.wait(|| context.is_stopping())
    }

    /// Waits until the gate is open and does not listen: an attempt that is told to stop and does not is abandoned
    /// after its grace. A test that ends has to open the gate.
    pub fn pass_deaf(&self) {
        // It is never told to stop.
        let _ = self.wait(|| false);
    }

    /// Opens the gate, for good or until [`shut`](Gate::shut).
    pub fn open(&self) {
        self.cell.notify(|state| state.open = true);
    }

    /// Shuts the gate again.
    pub fn shut(&self) {
        self.cell.notify(|state| state.open = false);
    }

    /// How often the gate was reached, open or shut.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.cell.with(|state| state.reached)
    }

    /// Waits until the gate was reached so often.
    ///
    /// # Panics
    /// When that does not happen within the harness's timeout.
    #[track_caller]
    pub fn until_reached(&self, harness: &Harness, times: u64) {
        harness.until(&format!("reaching a gate {times} times"), || self.reached() >= times);
    }

    fn wait(&self, stops: impl Fn() -> bool) -> Result<(), Failure> {
        self.cell.notify(|state| state.reached += 1);
        self.cell.wait(|state| match (state.open, stops()) {
            (true, _) => ControlFlow::Break(Ok(())),
            (false, true) => ControlFlow::Break(Err(Failure::Stopped)),
            (false, false) => ControlFlow::Continue(Some(LISTEN)),
        })
    }
}
