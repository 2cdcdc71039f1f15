//! SIGINT and SIGTERM: the first asks for an end in order, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::fail::{CANNOT_OPEN, Fail};

pub(crate) struct Signals {
    asked: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn register() -> Result<Signals, Fail> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: at the first signal the flag is not set yet when this looks at it. At the second the
            // process ends as if by the signal; the log is then found as after a crash.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .map_err(|error| Fail::new(CANNOT_OPEN, format!("signals cannot be caught: {error}")))?;
        }
        Ok(Signals { asked })
    }

    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
