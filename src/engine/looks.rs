//! Looks at sources: when each is due, at most one at a time for each collection, in a bounded pool.
//!
//! The schedule is volatile: after opening everything is due. It decides nothing; what a look saw comes back as a
//! command like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::message::Report;
use super::pool::{Shop, panic_text};
use crate::core::vocabulary::{CollectionId, Kind, Name, Observed, Seq, Source, Spec, Timestamp, micros};
use crate::core::{Collection, State};
use crate::worker::{Look, LookError, Sight};

/// One look, with everything it needs to know.
pub(super) struct LookJob {
    id: CollectionId,
    kind: Kind,
    name: Name,
    source: Source,
    spec: Spec,
    known: Option<Observed>,
    began: Seq,
    started: Timestamp,
}

/// A finished look.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) id: CollectionId,
    /// The position of the log when it began.
    pub(super) began: Seq,
    pub(super) started: Timestamp,
    pub(super) seen: Result<Sight, LookError>,
}

/// The last look at a source whose word was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastLook {
    /// When it began.
    pub started: Timestamp,
    /// Whether the source could be observed.
    pub succeeded: bool,
}

struct Entry {
    /// When the next look is due; nothing while one is under way.
    due: Option<Timestamp>,
    /// Somebody asked for a look while one was under way.
    again: bool,
    last: Option<LastLook>,
    count: u64,
}

pub(super) struct Looks {
    interval: Duration,
    entries: BTreeMap<CollectionId, Entry>,
    due: BTreeSet<(Timestamp, CollectionId)>,
    under_way: usize,
    threads: usize,
    jobs: Sender<LookJob>,
}

impl Looks {
    pub(super) fn start(shop: &Shop, threads: usize, interval: Duration) -> io::Result<Looks> {
        let (jobs, taken) = bounded(threads.max(1));
        for number in 1..=threads {
            let (shop, taken) = (shop.clone(), taken.clone());
            thread::Builder::new().name(format!("lastword-look{number}")).spawn(move || look(&shop, &taken))?;
        }
        Ok(Looks { interval, entries: BTreeMap::new(), due: BTreeSet::new(), under_way: 0, threads, jobs })
    }

    /// The source is to be looked at now, or right after the look that is under way.
    pub(super) fn ask(&mut self, id: CollectionId, now: Timestamp) {
        let entry = self.entries.entry(id).or_insert(Entry { due: None, again: false, last: None, count: 0 });
        if entry.due.is_none() && entry.count > 0 {
            entry.again = true;
        } else {
            Self::schedule(&mut self.due, entry, id, now);
        }
    }

    /// The collection is gone.
    pub(super) fn forget(&mut self, id: CollectionId) {
        if let Some(due) = self.entries.remove(&id).and_then(|entry| entry.due) {
            self.due.remove(&(due, id));
        }
    }

    /// A look has come back; `accepted` says whether its word counts.
    pub(super) fn finished(&mut self, looked: &Looked, accepted: bool, now: Timestamp) {
        self.under_way = self.under_way.saturating_sub(1);
        let interval = self.interval;
        let Some(entry) = self.entries.get_mut(&looked.id) else { return };
        if accepted {
            entry.last = Some(LastLook { started: looked.started, succeeded: looked.seen.is_ok() });
        }
        let again = std::mem::take(&mut entry.again) || !accepted;
        let next = if again { now } else { now.after(jittered(interval, looked.id, entry.count)) };
        Self::schedule(&mut self.due, entry, looked.id, next);
    }

    pub(super) fn last(&self, id: CollectionId) -> Option<LastLook> {
        self.entries.get(&id).and_then(|entry| entry.last)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// When the next look is due, if there is a thread for it.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if self.under_way < self.threads { self.due.first().map(|(due, _)| *due) } else { None }
    }

    /// Begins every look that is due, as far as there are threads.
    pub(super) fn begin_due(&mut self, state: &State, now: Timestamp) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some((_, id)) = self.due.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.due = None;
            entry.count += 1;
            let Some(collection) = state.collection(id) else { continue };
            self.under_way += 1;
            // There is room: no more looks are under way than there are threads.
            let _ = self.jobs.send(job(id, collection, state.last(), now));
        }
    }

    fn schedule(due: &mut BTreeSet<(Timestamp, CollectionId)>, entry: &mut Entry, id: CollectionId, at: Timestamp) {
        if let Some(before) = entry.due.replace(at) {
            due.remove(&(before, id));
        }
        due.insert((at, id));
    }
}

fn job(id: CollectionId, collection: &Collection, began: Seq, started: Timestamp) -> LookJob {
    LookJob {
        id,
        kind: collection.kind.clone(),
        name: collection.name.clone(),
        source: collection.latest.source.clone(),
        spec: collection.latest.spec.clone(),
        known: collection.observed().cloned(),
        began,
        started,
    }
}

/// The interval, give or take a tenth: collections that were declared together are not looked at together for ever.
fn jittered(interval: Duration, id: CollectionId, count: u64) -> Duration {
    let micros = micros(interval);
    let dice = (id.0.0 ^ count.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let fifth = u128::from(micros / 5);
    let offset = u64::try_from((fifth * u128::from(dice)) >> 24).unwrap_or(0);
    Duration::from_micros((micros - micros / 10).saturating_add(offset))
}

/// The life of a thread that looks.
fn look(shop: &Shop, jobs: &Receiver<LookJob>) {
    for job in jobs {
        let seen = catch_unwind(AssertUnwindSafe(|| see(shop, &job)))
            .unwrap_or_else(|panic| Err(LookError(format!("the look panicked: {}", panic_text(&*panic)))));
        let looked = Looked { id: job.id, began: job.began, started: job.started, seen };
        if shop.reports.send(Report::Looked(looked)).is_err() {
            return;
        }
    }
}

fn see(shop: &Shop, job: &LookJob) -> Result<Sight, LookError> {
    let worker = shop.kinds.get(&job.kind).map(Arc::clone);
    let observer = worker.as_deref().and_then(|worker| worker.observer());
    let observer = observer.ok_or_else(|| LookError(format!("nobody looks at sources of the kind {:?}", job.kind)))?;
    observer.look(&Look {
        name: &job.name,
        source: &job.source,
        spec: &job.spec,
        known: job.known.as_ref(),
        objects: &*shop.objects,
        wall: shop.time.wall(),
    })
}
