//! What threads wait with: std's primitives, or shuttle's, which have the same interface and leave to a test which
//! thread goes on. Whatever sleeps on them is run through many schedules by `engine/schedules.rs`, unchanged.

#[cfg(not(all(test, lastword_shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(all(test, lastword_shuttle))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Where a thread may be interrupted and shuttle would not see it: between these primitives and a channel of crossbeam.
#[cfg(not(all(test, lastword_shuttle)))]
pub(crate) fn interrupt() {}

#[cfg(all(test, lastword_shuttle))]
pub(crate) fn interrupt() {
    atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
}
