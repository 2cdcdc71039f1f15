//! Wakes calls that sled leaves asleep after an I/O error.
//!
//! A thread that waits in sled for bytes to reach the disk sleeps without a bound. sled 0.34.7 wakes it when a write
//! fails, but not on one path: `exit_reservation` (`pagecache/logger.rs`, near line 440) notes the error of a write
//! that another thread does for it and tells nobody. A call that is already waiting then waits for ever, and with it
//! whoever wants to hear from the log. It was seen in one of some two hundred runs with a failing `sync_file_range`.
//!
//! Any further `flush` finds the error at once and wakes everybody. So one is called when a call takes long. On a disk
//! that is only slow it finds nothing and waits with the others.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a call may take before it is nudged: a thousand times what a barrier takes on an idle disk.
const PATIENCE: Duration = Duration::from_millis(500);

/// Twice as long is waited after each nudge, up to this: a disk that hangs must not cost more and more threads.
const LONGEST: Duration = Duration::from_secs(600);

/// Watches the calls that go through it.
pub(super) struct Nudge {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// How many calls are under way.
    calls: AtomicU32,
    /// How many have ended; it may wrap around.
    ended: AtomicU32,
    /// The watcher sleeps until somebody wakes it.
    asleep: AtomicBool,
    closing: AtomicBool,
}

/// A call that is under way.
pub(super) struct Call<'a> {
    shared: &'a Shared,
}

impl Nudge {
    /// `nudge` is called on a thread of its own each time, since it may get stuck as well.
    pub(super) fn new(nudge: impl Fn() + Clone + Send + 'static) -> io::Result<Nudge> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let watch = move || watch(&watched, &nudge);
        let watcher = thread::Builder::new().name("lastword-nudge".to_owned()).spawn(watch)?;
        Ok(Nudge { shared, watcher: Some(watcher) })
    }

    pub(super) fn call(&self) -> Call<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst)
            && let Some(watcher) = &self.watcher
        {
            watcher.thread().unpark();
        }
        Call { shared: &self.shared }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.shared.ended.fetch_add(1, Ordering::SeqCst);
        self.shared.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns when the watcher has ended, and so has dropped what it was given.
impl Drop for Nudge {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            let _ = watcher.join();
        }
    }
}

/// While calls come and go it wakes up twice a second, else not at all.
fn watch(shared: &Shared, nudge: &(impl Fn() + Clone + Send + 'static)) {
    let mut patience = PATIENCE;
    while !shared.closing.load(Ordering::SeqCst) {
        if shared.calls.load(Ordering::SeqCst) == 0 {
            shared.asleep.store(true, Ordering::SeqCst);
            if shared.calls.load(Ordering::SeqCst) == 0 && !shared.closing.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
        }
        let ended = shared.ended.load(Ordering::SeqCst);
        thread::park_timeout(patience);
        if shared.ended.load(Ordering::SeqCst) != ended || shared.calls.load(Ordering::SeqCst) == 0 {
            patience = PATIENCE;
        } else if !shared.closing.load(Ordering::SeqCst) {
            // Without a thread there is no nudge now; there will be another one.
            let _ = thread::Builder::new().name("lastword-nudge".to_owned()).spawn(nudge.clone());
            patience = (2 * patience).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_takes_long_is_nudged_until_it_ends_and_nothing_is_nudged_then() {
        let (nudged, nudges) = crossbeam_channel::unbounded();
        let nudge = Nudge::new(move || nudged.send(()).unwrap_or(())).unwrap();
        drop(nudge.call());
        let call = nudge.call();
        nudges.recv().unwrap();
        nudges.recv().unwrap();
        drop(call);
        drop(nudge);
        // The sender is gone with the watcher and the last of its threads.
        while nudges.recv().is_ok() {}
    }
}
