//! SIGINT and SIGTERM: the first asks for an end in order, the second ends at once. SIGHUP: read the file again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::fail::{CANNOT_OPEN, Fail};

pub(crate) struct Signals {
    asked: Arc<AtomicBool>,
    hung_up: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn register() -> Result<Signals, Fail> {
        let asked = Arc::new(AtomicBool::new(false));
        let hung_up = Arc::new(AtomicBool::new(false));
        let uncaught = |error| Fail::new(CANNOT_OPEN, format!("signals cannot be caught: {error}"));
        flag::register(SIGHUP, Arc::clone(&hung_up)).map_err(uncaught)?;
        for signal in [SIGINT, SIGTERM] {
            // The order matters: at the first signal the flag is not set yet when this reads it. At the second the
            // process ends as if by the signal; the log is then found as after a crash.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .map_err(uncaught)?;
        }
        Ok(Signals { asked, hung_up })
    }

    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether the file is to be read again; asking answers it.
    pub(crate) fn reload(&self) -> bool {
        self.hung_up.swap(false, Ordering::Relaxed)
    }
}
