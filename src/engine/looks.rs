//! Looks at sources: when each is due, at most one at a time for each collection, in a bounded pool.
//!
//! The schedule is volatile: after opening everything is due. It decides nothing; what a look saw comes back as a
//! command like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::hints::Hints;
use super::message::Report;
use super::pool::{Shop, panic_text};
use crate::core::vocabulary::{CollectionId, Kind, Name, Seq, Source, SourceState, Spec, Timestamp, micros};
use crate::core::{Collection, State};
use crate::worker::{Hint, Observation, ObserveError, ObserveRequest, Observer, SourceWatch, observed_of};

/// One look, with everything it needs to know.
pub(super) struct LookJob {
    id: CollectionId,
    kind: Kind,
    name: Name,
    source: Source,
    spec: Spec,
    known: Option<SourceState>,
    applied: Option<SourceState>,
    began: Seq,
    started: Timestamp,
    hint: Hint,
    watched: Option<Watched>,
}

/// Who watches a source between looks. It goes with each look to the thread that looks, and comes back with what was
/// seen.
struct Watched {
    source: Source,
    spec: Spec,
    watching: Box<dyn SourceWatch>,
}

/// A finished look.
pub(super) struct Looked {
    pub(super) id: CollectionId,
    /// The position of the log when it began.
    pub(super) began: Seq,
    pub(super) started: Timestamp,
    pub(super) seen: Result<Observation, ObserveError>,
    watched: Option<Watched>,
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looked").field("id", &self.id).field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// How often a source is looked at, and how long a look may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rhythm {
    pub(super) interval: Duration,
    pub(super) patience: Duration,
}

/// The last look at a source whose word was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastObservation {
    /// When it began.
    pub started: Timestamp,
    /// Whether the source could be observed.
    pub succeeded: bool,
    /// In how many parts a change could have gone unseen; see [`Observation::racy`](crate::worker::Observation::racy).
    pub racy: u64,
}

#[derive(Default)]
struct Entry {
    /// When the next look is due; nothing while one is under way.
    due: Option<Timestamp>,
    /// Somebody asked for a look while one was under way.
    again: bool,
    last: Option<LastObservation>,
    /// The position of the log when the last look began whose word was accepted.
    began: Option<Seq>,
    count: u64,
    watched: Option<Watched>,
}

pub(super) struct Looks {
    rhythm: Rhythm,
    entries: BTreeMap<CollectionId, Entry>,
    due: BTreeSet<(Timestamp, CollectionId)>,
    /// Until when the looks under way may take.
    under_way: BTreeMap<CollectionId, Timestamp>,
    /// Looks that took longer. Each still holds its thread.
    overdue: BTreeSet<CollectionId>,
    /// How many looks may be under way at a time, and how many threads there are.
    size: usize,
    threads: usize,
    shop: Shop,
    jobs: Sender<LookJob>,
    taken: Receiver<LookJob>,
}

impl Looks {
    pub(super) fn start(shop: &Shop, size: usize, rhythm: Rhythm) -> io::Result<Looks> {
        let (jobs, taken) = bounded(size);
        let (entries, due) = (BTreeMap::new(), BTreeSet::new());
        let (under_way, overdue) = (BTreeMap::new(), BTreeSet::new());
        let shop = shop.clone();
        let mut looks = Looks { rhythm, entries, due, under_way, overdue, size, threads: 0, shop, jobs, taken };
        for _ in 0..size {
            looks.hire()?;
        }
        Ok(looks)
    }

    fn hire(&mut self) -> io::Result<()> {
        let (shop, taken) = (self.shop.clone(), self.taken.clone());
        let name = format!("lastword-look{}", self.threads + 1);
        thread::Builder::new().name(name).spawn(move || look(&shop, &taken))?;
        self.threads += 1;
        Ok(())
    }

    /// Gives up a look that takes too long, and says whose source it is. Its thread is replaced as long as there are
    /// not more such threads than the pool has: a dead file system must neither stop all looks nor eat the machine.
    pub(super) fn give_up(&mut self, now: Timestamp) -> Option<CollectionId> {
        let id = self.under_way.iter().find(|(_, until)| **until <= now).map(|(id, _)| *id)?;
        self.under_way.remove(&id);
        self.overdue.insert(id);
        if self.threads < 2 * self.size
            && let Err(error) = self.hire()
        {
            tracing::error!(target: "lastword::pool", %error, "no thread could be started");
        }
        Some(id)
    }

    /// How long a look may take.
    pub(super) fn patience(&self) -> Duration {
        self.rhythm.patience
    }

    /// The position of the log when the last look began that was accepted.
    pub(super) fn last_began(&self, id: CollectionId) -> Option<Seq> {
        self.entries.get(&id).and_then(|entry| entry.began)
    }

    /// The source is to be looked at now, or right after the look that is under way.
    pub(super) fn ask(&mut self, id: CollectionId, now: Timestamp) {
        let entry = self.entries.entry(id).or_default();
        if entry.due.is_none() && entry.count > 0 {
            entry.again = true;
        } else {
            Self::schedule(&mut self.due, entry, id, now);
        }
    }

    /// The collection is gone.
    pub(super) fn forget(&mut self, id: CollectionId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
        end(entry.watched);
    }

    /// A look has come back; `accepted` says whether its word counts.
    pub(super) fn finished(&mut self, looked: Looked, accepted: bool, now: Timestamp) {
        if !self.overdue.remove(&looked.id) {
            self.under_way.remove(&looked.id);
        }
        let interval = self.rhythm.interval;
        let Some(entry) = self.entries.get_mut(&looked.id) else { return end(looked.watched) };
        entry.watched = looked.watched;
        if accepted {
            let racy = looked.seen.as_ref().map_or(0, |observation| observation.racy);
            entry.last = Some(LastObservation { started: looked.started, succeeded: looked.seen.is_ok(), racy });
            entry.began = Some(looked.began);
        }
        let again = std::mem::take(&mut entry.again) || !accepted;
        let observe_again = looked.seen.as_ref().ok().and_then(|observation| observation.observe_again);
        let wait = observe_again.unwrap_or(Duration::MAX).min(jittered(interval, looked.id, entry.count));
        let next = if again { now } else { now.after(wait) };
        Self::schedule(&mut self.due, entry, looked.id, next);
    }

    pub(super) fn last(&self, id: CollectionId) -> Option<LastObservation> {
        self.entries.get(&id).and_then(|entry| entry.last)
    }

    /// When the source is looked at next; nothing while a look is under way, or if nobody looks.
    pub(super) fn next(&self, id: CollectionId) -> Option<Timestamp> {
        self.entries.get(&id).and_then(|entry| entry.due)
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len() + self.overdue.len()
    }

    /// When the next look is to begin, or one that is under way has taken too long.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let given_up = self.under_way.values().min().copied();
        self.next_begin().into_iter().chain(given_up).min()
    }

    /// When the next look is due, if there is a thread for it.
    fn next_begin(&self) -> Option<Timestamp> {
        let threads = self.size.min(self.threads - self.overdue.len());
        if self.under_way.len() < threads { self.due.first().map(|(due, _)| *due) } else { None }
    }

    /// Begins every look that is due, as far as there are threads.
    pub(super) fn begin_due(&mut self, state: &State, hints: &Hints, now: Timestamp) {
        while self.next_begin().is_some_and(|due| due <= now) {
            let Some((_, id)) = self.due.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.due = None;
            entry.count += 1;
            let Some(collection) = state.collection(id) else { continue };
            self.under_way.insert(id, now.after(self.rhythm.patience));
            // There is room: no more looks are under way than there are threads.
            let watch = (hints.hint(id), entry.watched.take());
            let _ = self.jobs.send(job(id, collection, state.last(), now, watch));
        }
    }

    fn schedule(due: &mut BTreeSet<(Timestamp, CollectionId)>, entry: &mut Entry, id: CollectionId, at: Timestamp) {
        if let Some(before) = entry.due.replace(at) {
            due.remove(&(before, id));
        }
        due.insert((at, id));
    }
}

fn job(
    id: CollectionId,
    collection: &Collection,
    began: Seq,
    started: Timestamp,
    (hint, watched): (Hint, Option<Watched>),
) -> LookJob {
    LookJob {
        id,
        kind: collection.kind.clone(),
        name: collection.name.clone(),
        source: collection.latest.source.clone(),
        spec: collection.latest.spec.clone(),
        known: collection.observed().map(|observed| (**observed).clone()),
        applied: collection.applied.as_ref().and_then(|applied| observed_of(&applied.inputs)).cloned(),
        began,
        started,
        hint,
        watched,
    }
}

/// Ends a watch. What it does when it is dropped is code of others.
fn end(watched: Option<Watched>) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(watched))).map_err(panic_text);
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
    for mut job in jobs {
        let worker = shop.kinds.get(&job.kind).map(Arc::clone);
        let observer = worker.as_deref().and_then(|worker| worker.observer());
        // Whoever watches before looking misses nothing in between.
        let watched = job.watched.take();
        let watched = observer.and_then(|observer| watch(observer, &job, watched));
        let seen = catch_unwind(AssertUnwindSafe(|| see(shop, observer, &job)))
            .unwrap_or_else(|panic| Err(ObserveError(format!("the look panicked: {}", panic_text(panic)))));
        let looked = Looked { id: job.id, began: job.began, started: job.started, seen, watched };
        if shop.reports.send(Report::Looked(Box::new(looked))).is_err() {
            return;
        }
    }
}

/// Keeps the one who watches while it is alive and watches the right source, and replaces it otherwise.
fn watch(observer: &dyn Observer, job: &LookJob, watched: Option<Watched>) -> Option<Watched> {
    let again = || {
        let is_right = |watched: &Watched| (&watched.source, &watched.spec) == (&job.source, &job.spec);
        let kept = watched.filter(|watched| is_right(watched) && watched.watching.is_alive());
        kept.or_else(|| {
            let watching = observer.watch(&job.source, &job.spec, job.hint.clone())?;
            Some(Watched { source: job.source.clone(), spec: job.spec.clone(), watching })
        })
    };
    catch_unwind(AssertUnwindSafe(again)).unwrap_or_else(|panic| {
        let panic = panic_text(panic);
        tracing::warn!(target: "lastword::pool", collection = %job.name, panic, "its source is not watched");
        None
    })
}

fn see(shop: &Shop, observer: Option<&dyn Observer>, job: &LookJob) -> Result<Observation, ObserveError> {
    let observer =
        observer.ok_or_else(|| ObserveError(format!("nobody looks at sources of the kind {:?}", job.kind)))?;
    observer.observe(&ObserveRequest {
        name: &job.name,
        source: &job.source,
        spec: &job.spec,
        known: job.known.as_ref(),
        applied: job.applied.as_ref(),
        objects: &*shop.objects,
        wall: shop.time.wall(),
    })
}
