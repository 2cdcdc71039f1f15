//! SIGINT and SIGTERM: the first asks for an end in order, one that comes later ends at once, and so does the first if the
//! state directory does not answer. SIGHUP: read the file again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals as Arriving;
use signal_hook::low_level::exit;

use super::TURN;
use crate::answering::is_silent;
use crate::console::{note, settle_notes};
use crate::fail::{CANNOT_OPEN, Fail};

/// What comes within this time of the first is the same request, and not another: `timeout` signals its child and then the
/// group that the child is in, as a terminal and a supervisor do that end at the same time. A person who asks again has
/// waited for longer.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// How long a state directory does not answer before the run is not closed in order.
const STAYS_SILENT: Duration = Duration::from_secs(5);

/// How long such an end waits for the reader of standard error.
const LAST_NOTES: Duration = Duration::from_secs(1);

pub(crate) struct Signals {
    asked: Arc<AtomicBool>,
    hung_up: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn register() -> Result<Signals, Fail> {
        let (asked, insists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let hung_up = Arc::new(AtomicBool::new(false));
        let uncaught = |error| Fail::new(CANNOT_OPEN, format!("signals cannot be caught: {error}"));
        flag::register(SIGHUP, Arc::clone(&hung_up)).map_err(uncaught)?;
        for signal in [SIGINT, SIGTERM] {
            // Once the first is long past the process ends as if by the signal; the log is then found as after a crash.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&insists))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .map_err(uncaught)?;
        }
        let mut arriving = Arriving::new([SIGINT, SIGTERM]).map_err(uncaught)?;
        let wait = move || {
            let first = arriving.forever().next();
            thread::sleep(ONE_REQUEST);
            insists.store(true, Ordering::Relaxed);
            // What does not answer cannot be closed in order either. What is only slow can.
            let mut since = Instant::now();
            while since.elapsed() < STAYS_SILENT {
                thread::sleep(TURN);
                if !is_silent() {
                    since = Instant::now();
                }
            }
            note("what is waited for does not answer: this run ends at once, and its log is found as after a crash");
            settle_notes(LAST_NOTES);
            exit(128 + first.unwrap_or(SIGTERM));
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(uncaught)?;
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
