//! The observation of sources: when each is due, at most one at a time for each collection, on a crew of threads.
//!
//! Owns the schedule, which is volatile: after opening, everything is due. What an observation means is not decided
//! here; it becomes an [`EngineCommand`] like any other.
//!
//! *Architecture invariant:* this part sees the state and durable events, and returns commands. It knows neither the
//! loop nor the log.

mod agenda;
mod hints;
mod job;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use self::agenda::{Agenda, Due};
use self::hints::Hints;
use self::job::ObserveJob;
use super::crew::{Crew, Domain, Member};
use super::env::WorkerEnv;
use super::report::{ActiveWatch, ObserveReport, ObserverFacts};
use super::status::LastObservation;
use crate::core::State;
use crate::core::vocabulary::{
    CollectionId, EngineCommand, Event, FailReason, Kind, ObservationOutcome, ObservationReport, Recorded, Seq, Source,
    Timestamp,
};
use crate::unwind;
use crate::worker::{Observation, Worker};

/// How often a source is observed, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObserveConfig {
    pub(super) threads: usize,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

pub(super) struct Observers {
    config: ObserveConfig,
    /// The kinds that have an observer.
    kinds: BTreeMap<Kind, Arc<dyn Worker>>,
    crew: Crew<ObserveJob>,
    hints: Hints,
    entries: BTreeMap<CollectionId, Entry>,
    agenda: Agenda,
    /// Observations under way, those given up included.
    under_way: BTreeMap<Member, CollectionId>,
}

#[derive(Default)]
struct Entry {
    /// When the next observation is due; nothing while one is under way.
    due: Option<Due>,
    /// One more was asked for while one was under way.
    again: bool,
    last: Option<LastObservation>,
    /// The position of the log when the last accepted observation began.
    began: Option<Seq>,
    count: u64,
    watch: Option<ActiveWatch>,
}

impl Observers {
    /// Observes the sources of `kinds`.
    pub(super) fn start(env: &WorkerEnv, kinds: &BTreeSet<Kind>, config: ObserveConfig) -> io::Result<Observers> {
        let observes = |(kind, _): &(&Kind, &Arc<dyn Worker>)| kinds.contains(*kind);
        let kinds = env.kinds.iter().filter(observes).map(|(kind, worker)| (kind.clone(), Arc::clone(worker)));
        let (threads, hints) = (env.clone(), Hints::new(env.time.clone()));
        Ok(Observers {
            config,
            kinds: kinds.collect(),
            crew: Crew::start("look", config.threads, true, move |member, job: ObserveJob| job.run(&threads, member))?,
            hints,
            entries: BTreeMap::new(),
            agenda: Agenda::default(),
            under_way: BTreeMap::new(),
        })
    }

    /// Every source is due.
    pub(super) fn request_all(&mut self, state: &State, now: Timestamp) {
        for (id, _) in state.collections() {
            self.request(id, state, now);
        }
    }

    /// What a durable event means for the schedule.
    pub(super) fn on_event(&mut self, recorded: &Recorded, state: &State) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        match &recorded.event {
            Event::CollectionDeclared { .. }
            | Event::SourceChanged { .. }
            | Event::SpecChanged { .. }
            | Event::RefreshRequested { .. }
            // Whether what the attempt observed counted or not: its source is not at rest.
            | Event::AttemptFailed { reason: FailReason::SourceMoved, .. } => self.request(id, state, recorded.at),
            Event::CollectionDropped { .. } => self.remove(id),
            _ => {}
        }
    }

    /// Whether an observer of this engine observes the source of a collection.
    pub(super) fn observes(&self, id: CollectionId, state: &State) -> bool {
        let collection = state.collection(id);
        collection.is_some_and(|collection| collection.versioned && self.kinds.contains_key(&collection.kind))
    }

    /// What the core cannot know of the source of a collection: unchanged observations are no events.
    pub(super) fn facts(&self, id: CollectionId, state: &State) -> ObserverFacts {
        let last_observation = self.entries.get(&id).and_then(|entry| entry.began);
        ObserverFacts { last_observation, has_observer: self.observes(id, state) }
    }

    /// A hint for a collection that is observed.
    pub(super) fn hint(&mut self, id: CollectionId) {
        self.hints.add(id);
    }

    /// What the engine wakes by when a hint was given.
    pub(super) fn hinted(&self) -> &Receiver<()> {
        self.hints.woken()
    }

    /// Turns hints that have waited for long enough into observations that are due.
    pub(super) fn take_hints(&mut self, state: &State, now: Timestamp) {
        for id in self.hints.take_due(now) {
            self.request(id, state, now);
        }
    }

    /// When this part has something to do by itself.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let begins = self.next_begin().map(|due| due.at);
        begins.into_iter().chain(self.crew.next_due()).chain(self.hints.next_due()).min()
    }

    /// Begins every observation that is due, as far as there are threads.
    pub(super) fn begin_due(&mut self, state: &State, now: Timestamp) {
        while let Some(due) = self.next_begin().filter(|due| due.at <= now) {
            self.agenda.remove(&due);
            let id = due.id;
            let (Some(entry), Some(collection)) = (self.entries.get_mut(&id), state.collection(id)) else { continue };
            entry.due = None;
            entry.count += 1;
            let watch = (self.hints.hint(id), entry.watch.take());
            let job = ObserveJob::new(id, collection, (state.last(), now), watch);
            match self.crew.begin(&due.domain, now.after(self.config.timeout), job) {
                Ok(member) => drop(self.under_way.insert(member, id)),
                // No thread could be started.
                Err(job) => {
                    entry.watch = job.into_watch();
                    self.schedule(id, state, now.after(self.config.interval));
                }
            }
        }
    }

    /// Gives up an observation that takes too long: its source cannot be observed. It holds its thread until it returns.
    pub(super) fn give_up(&mut self, last: Seq, now: Timestamp) -> Option<EngineCommand> {
        let collection = *self.under_way.get(&self.crew.give_up(now)?)?;
        let cause = format!("the observation has not returned for {:?}", self.config.timeout).into();
        let outcome = ObservationOutcome::Failed { cause };
        Some(EngineCommand::Observe(ObservationReport { collection, began: last, outcome }))
    }

    /// What an observation that has ended tells the core.
    pub(super) fn command(report: &ObserveReport) -> EngineCommand {
        let outcome = match &report.result {
            Ok(Observation { state, delta, missing, .. }) => {
                ObservationOutcome::Content { state: state.clone(), delta: *delta, missing: *missing }
            }
            Err(error) => ObservationOutcome::Failed { cause: error.0.as_str().into() },
        };
        EngineCommand::Observe(ObservationReport { collection: report.collection, began: report.began, outcome })
    }

    /// An observation has ended; `accepted` says whether it counts.
    pub(super) fn returned(&mut self, report: ObserveReport, accepted: bool, state: &State, now: Timestamp) {
        let ObserveReport { member, collection: id, began, started, result, watch } = report;
        self.crew.returned(member);
        self.under_way.remove(&member);
        let Some(entry) = self.entries.get_mut(&id) else { return end(watch) };
        entry.watch = watch;
        if accepted {
            let racy = result.as_ref().map_or(0, |observation| observation.racy);
            let skipped = result.as_ref().map(|observation| observation.skipped).unwrap_or_default();
            entry.last = Some(LastObservation { started, succeeded: result.is_ok(), racy, skipped });
            entry.began = Some(began);
        }
        let again = std::mem::take(&mut entry.again) || !accepted;
        let observe_again = result.ok().and_then(|observation| observation.observe_again);
        let wait = observe_again.unwrap_or(Duration::MAX).min(jittered(self.config.interval, id, entry.count));
        let next = if again { now } else { now.after(wait) };
        self.schedule(id, state, next);
    }

    pub(super) fn last(&self, id: CollectionId) -> Option<LastObservation> {
        self.entries.get(&id).and_then(|entry| entry.last)
    }

    /// When the source is observed next; nothing while it is being observed, or if nothing observes it.
    pub(super) fn next(&self, id: CollectionId) -> Option<Timestamp> {
        self.entries.get(&id)?.due.as_ref().map(|due| due.at)
    }

    /// How many are under way, those given up included.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The source is to be observed now, or right after the observation that is under way.
    fn request(&mut self, id: CollectionId, state: &State, now: Timestamp) {
        if !self.observes(id, state) {
            return;
        }
        let entry = self.entries.entry(id).or_default();
        if entry.due.is_none() && entry.count > 0 {
            entry.again = true;
        } else {
            self.schedule(id, state, now);
        }
    }

    fn schedule(&mut self, id: CollectionId, state: &State, at: Timestamp) {
        let (Some(entry), Some(collection)) = (self.entries.get_mut(&id), state.collection(id)) else { return };
        let due = Due { at, id, domain: domain(&self.kinds, &collection.kind, &collection.latest.source) };
        // Removed first: both may be the same, when one frame asks twice.
        if let Some(before) = entry.due.take() {
            self.agenda.remove(&before);
        }
        self.agenda.insert(&due);
        entry.due = Some(due);
    }

    fn remove(&mut self, id: CollectionId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(due) = &entry.due {
            self.agenda.remove(due);
        }
        end(entry.watch);
    }

    /// The observation that is due first among those for whose domain there is a thread.
    fn next_begin(&self) -> Option<Due> {
        self.agenda.first(|domain| self.crew.has_room(domain))
    }
}

/// The domain of a source: what its observer says, within its kind.
fn domain(kinds: &BTreeMap<Kind, Arc<dyn Worker>>, kind: &Kind, source: &Source) -> Domain {
    let observer = kinds.get(kind);
    let named = unwind::catch(|| observer.and_then(|worker| worker.observer()?.domain(source))).unwrap_or(None);
    match named {
        Some(named) => format!("{kind}\n{named}").into(),
        None => kind.as_str().into(),
    }
}

/// Ends a watch. Its drop is foreign code.
fn end(watch: Option<ActiveWatch>) {
    let _ = unwind::catch(|| drop(watch));
}

/// The interval, give or take a tenth: collections that were declared together are not observed together for ever.
fn jittered(interval: Duration, id: CollectionId, count: u64) -> Duration {
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    let dice = (id.0.0 ^ count.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let fifth = u128::from(micros / 5);
    let offset = u64::try_from((fifth * u128::from(dice)) >> 24).unwrap_or(0);
    Duration::from_micros((micros - micros / 10).saturating_add(offset))
}
