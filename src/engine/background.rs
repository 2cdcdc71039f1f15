//! Threads whose work nobody waits for.
//!
//! *Architecture invariant:* it knows priorities, and not what a thread does.

#[cfg(target_os = "linux")]
use crate::unwind;

/// The nice value of the thread: beside a thread of the usual 0 it has about a tenth of a core, so that it comes to its
/// end however busy the machine is.
#[cfg(target_os = "linux")]
const STEPPED_BACK: i32 = 10;

/// Lets every other thread go first: no caller waits for what this one makes. On Linux a priority is a thread's own;
/// elsewhere it is the whole process's, and left alone.
pub(super) fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), STEPPED_BACK) {
        unwind::tell(|| {
            tracing::debug!(target: "lastword::engine", %error, "a background thread runs at the priority of the others");
        });
    }
}
