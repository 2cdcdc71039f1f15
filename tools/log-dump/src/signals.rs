//! Signals that end a program that reads logs: a private copy that it is making goes first, and so does a file that it has begun
//! to write. A copy that is open has no name any more. `lastword` has it from here.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use lastword::apart::within;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::whole::remove_unfinished;

/// How long a signal, or the end over something that does not answer, waits for that; a copy may be large and its disk slow. A
/// signal that comes later does not wait.
pub const REMOVED_WITHIN: Duration = Duration::from_secs(30);

/// What comes within this time of the first is the same request.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// The signal that has begun to end this process; 0 before one has.
static ENDS_BY: AtomicI32 = AtomicI32::new(0);

/// A command that failed because its copy was taken away by a signal has nothing to say: the signal ends the process.
#[must_use]
pub fn leave_to_signal() -> Option<ExitCode> {
    let signal = ENDS_BY.load(Ordering::SeqCst);
    if signal == 0 {
        return None;
    }
    thread::sleep(REMOVED_WITHIN + ONE_REQUEST);
    Some(ExitCode::from(u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX)))
}

/// Has the private copies of this process removed before a signal ends it, and then says what there is to `say`. Without a
/// thread for that they stay behind, until the next reader finds them.
pub fn remove_copies_on_signals(say: impl Fn() + Send + 'static) {
    let all = [SIGHUP, SIGINT, SIGTERM];
    let is_removing = Arc::new(AtomicBool::new(false));
    for signal in all {
        let _ = register_conditional_default(signal, Arc::clone(&is_removing));
    }
    let Ok(mut signals) = Signals::new(all) else { return };
    let wait = move || {
        for signal in signals.forever() {
            let insists = Arc::clone(&is_removing);
            // `timeout` and terminals signal a process and then its group: that is one request.
            thread::spawn(move || {
                thread::sleep(ONE_REQUEST);
                insists.store(true, Ordering::Relaxed);
            });
            // Before they are gone: a command that misses them is not to say so.
            ENDS_BY.store(signal, Ordering::SeqCst);
            // They may lie where nothing answers either.
            let _ = within(REMOVED_WITHIN, lastword::log::remove_private_copies);
            let _ = within(ONE_REQUEST, remove_unfinished);
            say();
            // Ends the process as the signal would have.
            let _ = emulate_default_handler(signal);
        }
    };
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(wait);
}
