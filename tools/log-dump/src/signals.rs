//! Signals that end the program: the private copy that it has made goes first.

use std::thread;
use std::time::Duration;

use lastword::apart::within;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// How long a signal waits for that.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);

/// Has the private copies of this process removed before a signal ends it. Without a thread for that they stay behind.
pub(crate) fn remove_copies_on_signals() {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGTERM]) else { return };
    let wait = move || {
        for signal in signals.forever() {
            // They may lie where nothing answers either.
            let _ = within(REMOVED_WITHIN, lastword::log::remove_private_copies);
            // Ends the process as the signal would have.
            let _ = emulate_default_handler(signal);
        }
    };
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(wait);
}
