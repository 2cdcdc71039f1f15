//! Hints that a source may have changed. A hint decides nothing and leaves no event: it makes an observation come sooner.
//!
//! Hints come in floods: a program that writes a thousand files gives a thousand. They are gathered on the thread that
//! gives them, and the engine hears of the first alone.
//!
//! *Architecture invariant:* it gathers. It knows neither the sources nor when they were last observed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clock::EngineTime;
use crate::core::vocabulary::{CollectionId, Timestamp};
use crate::worker::Hint;

/// An observation begins this long after the last hint: most programs that write several files leave no longer gaps, and
/// no caller notices so short a wait.
const QUIET: Duration = Duration::from_millis(50);

/// And at the latest this long after the first: a source that never rests is observed once in a second.
const LONGEST: Duration = Duration::from_secs(1);

/// Hints that have not led to an observation yet.
pub(super) struct Hints {
    inbox: Arc<Inbox>,
    /// Has something in it after the first hint of a collection.
    woken: Receiver<()>,
}

struct Inbox {
    hints: Mutex<BTreeMap<CollectionId, Span>>,
    wake: Sender<()>,
    time: EngineTime,
}

/// The first and the last hint of a collection.
#[derive(Clone, Copy)]
struct Span {
    first: Timestamp,
    last: Timestamp,
}

impl Span {
    fn due(self) -> Timestamp {
        self.last.after(QUIET).min(self.first.after(LONGEST))
    }
}

impl Hints {
    pub(super) fn new(time: EngineTime) -> Hints {
        let (wake, woken) = bounded(1);
        Hints { inbox: Arc::new(Inbox { hints: Mutex::default(), wake, time }), woken }
    }

    /// What the engine wakes by.
    pub(super) fn woken(&self) -> &Receiver<()> {
        &self.woken
    }

    /// What gives hints for this collection.
    pub(super) fn hint(&self, id: CollectionId) -> Hint {
        let inbox = Arc::downgrade(&self.inbox);
        // A watch may outlive the engine for a moment.
        Hint::new(move || {
            if let Some(inbox) = inbox.upgrade() {
                inbox.add(id);
            }
        })
    }

    pub(super) fn add(&self, id: CollectionId) {
        self.inbox.add(id);
    }

    /// When the first of them has waited for long enough.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.inbox.lock().values().map(|span| span.due()).min()
    }

    /// The collections whose hints have waited for long enough.
    pub(super) fn take_due(&self, now: Timestamp) -> Vec<CollectionId> {
        // The engine is awake: what is given from here on wakes it again.
        let _ = self.woken.try_recv();
        let (mut due, mut hints) = (Vec::new(), self.inbox.lock());
        hints.retain(|id, span| {
            let waits = span.due() > now;
            if !waits {
                due.push(*id);
            }
            waits
        });
        due
    }
}

impl Inbox {
    fn add(&self, id: CollectionId) {
        let now = self.time.now();
        let mut hints = self.lock();
        let is_first = !hints.contains_key(&id);
        hints.entry(id).or_insert(Span { first: now, last: now }).last = now;
        drop(hints);
        if is_first {
            // One wake is enough for the hints of all collections.
            let _ = self.wake.try_send(());
        }
    }

    /// Every change is one insert.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CollectionId, Span>> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
