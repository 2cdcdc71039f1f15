//! The observation of sources: when each is due, at most one at a time for each collection, on a crew of threads.
//!
//! Owns the schedule, which is volatile: after opening, everything is due. What an observation means is not decided
//! here; it becomes an [`EngineCommand`] like any other. A source that is due and not observed says so
//! (`observers/overdue.rs`).
//!
//! *Architecture invariant:* this part sees the state and durable events, and returns commands. It knows neither the
//! loop nor the log.

mod agenda;
mod hints;
mod job;
mod overdue;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use crossbeam_channel::Receiver;

use self::agenda::{Agenda, Due};
use self::hints::Hints;
use self::job::ObserveJob;
pub use self::pace::ObserveInterval;
pub(super) use self::pace::Pace;
use self::pace::SOONEST;
use super::crew::{Crew, Domain, Member, Sparing};
use super::env::{Kinds, Served, WorkerEnv};
use super::floor::Begun;
use super::report::{ActiveWatch, ObserveReport, ObserverFacts};
use super::status::{LastObservation, Observing};
use crate::core::State;
use crate::core::vocabulary::{
    CollectionId, EngineCommand, Event, FailReason, Kind, ObservationOutcome, ObservationReport, Recorded, Seq, Source,
    Timestamp,
};
use crate::unwind;
use crate::worker::ObserveSignals;

/// How often a source is observed, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObserveConfig {
    pub(super) threads: usize,
    pub(super) pace: Pace,
    pub(super) timeout: Duration,
}

pub(super) struct Observers {
    config: ObserveConfig,
    /// The kinds that have an observer.
    kinds: Kinds,
    crew: Crew<ObserveJob>,
    hints: Hints,
    entries: BTreeMap<CollectionId, Entry>,
    agenda: Agenda,
    /// Observations under way, those given up included.
    under_way: BTreeMap<Member, UnderWay>,
    /// When everything that was due and had a thread was begun last.
    checked: Timestamp,
}

/// An observation under way.
struct UnderWay {
    id: CollectionId,
    source: Source,
    domain: Domain,
    since: Timestamp,
    /// It was late when it began.
    late: bool,
    given_up: bool,
}

#[derive(Default)]
struct Entry {
    /// When the next observation is due; nothing while one is under way.
    due: Option<Due>,
    /// The observation of its source that is under way, also if it was given up.
    under_way: Option<Member>,
    /// Since when its source is to be observed: since it was declared, or the log was opened.
    since: Timestamp,
    /// How long the last observation took.
    took: Duration,
    /// One more was asked for while one was under way.
    again: bool,
    last: Option<LastObservation>,
    /// The position of the log when the last accepted observation began.
    began: Option<Seq>,
    /// Observations begun, and which of them was accepted last.
    count: u64,
    observed: u64,
    begun: Begun,
    watch: Option<ActiveWatch>,
    /// The next observation is to believe nothing.
    verify: bool,
    /// Of the observation that is under way.
    signals: ObserveSignals,
}

impl Observers {
    /// Observes the sources of `kinds`.
    pub(super) fn start(env: &WorkerEnv, kinds: &BTreeSet<Kind>, config: ObserveConfig) -> io::Result<Observers> {
        let observes = |(kind, _): &(&Kind, &Served)| kinds.contains(*kind);
        let kinds = env.kinds.iter().filter(observes).map(|(kind, worker)| (kind.clone(), worker.clone()));
        let (threads, hints) = (env.clone(), Hints::new(env.time.clone()));
        // What is not back after an interval is late anyway.
        let sparing = Sparing::Probing(config.pace.shortest().min(config.timeout / 8));
        let work = move |member, job: ObserveJob| job.run(&threads, member);
        Ok(Observers {
            config,
            kinds: kinds.collect(),
            crew: Crew::start("look", config.threads, sparing, work)?,
            hints,
            entries: BTreeMap::new(),
            agenda: Agenda::default(),
            under_way: BTreeMap::new(),
            checked: env.time.now(),
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
            Event::SourceChanged { .. } => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.since = recorded.at;
                    // What it finds says nothing of the new source.
                    entry.signals.stop();
                }
                self.forget_elsewhere(id, state);
                self.request(id, state, recorded.at);
            }
            Event::CollectionDeclared { .. }
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

    /// A caller waits for an observation that begins from now on, if the source is observed: one with a higher number than
    /// this. Time alone does not tell: it may stand still.
    pub(super) fn observe_afresh(&mut self, id: CollectionId, state: &State, now: Timestamp) -> u64 {
        self.request(id, state, now);
        self.entries.get(&id).map_or(0, |entry| entry.count)
    }

    /// The number of the last accepted observation, if the engine observes the source.
    pub(super) fn last_number(&self, id: CollectionId, state: &State) -> Option<u64> {
        self.observes(id, state).then(|| self.entries.get(&id).map_or(0, |entry| entry.observed))
    }

    /// How long an observation may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// A hint for a collection that is observed.
    pub(super) fn hint(&mut self, id: CollectionId) {
        self.hints.add(id);
    }

    /// Has the source observed now, by an observation that believes nothing.
    pub(super) fn verify(&mut self, id: CollectionId, state: &State, now: Timestamp) {
        self.request(id, state, now);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.verify = true;
        }
    }

    /// Nobody waits for what is under way any more.
    pub(super) fn stop_all(&self) {
        self.entries.values().for_each(|entry| entry.signals.stop());
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
        let begins = self.next_begin().map(|(begins, _)| begins);
        begins.into_iter().chain(self.crew.next_due()).chain(self.hints.next_due()).min()
    }

    /// Begins every observation that is due, as far as there are threads.
    pub(super) fn begin_due(&mut self, state: &State, now: Timestamp) {
        while let Some((_, due)) = self.next_begin().filter(|(begins, _)| *begins <= now) {
            self.agenda.remove(&due);
            let id = due.id;
            let (Some(entry), Some(collection)) = (self.entries.get_mut(&id), state.collection(id)) else { continue };
            entry.count += 1;
            let watch = (self.hints.hint(id), entry.watch.take());
            entry.signals = ObserveSignals::default();
            let verify = std::mem::take(&mut entry.verify);
            let told = (verify, entry.signals.clone());
            let job = ObserveJob::new(id, collection, (state.last(), now), watch, told);
            match self.crew.begin(&due.domain, now, self.config.timeout, job) {
                Ok(member) => {
                    let (source, domain) = (collection.latest.source.clone(), due.domain);
                    let late = due.at.after(self.config.pace.shortest()) <= self.checked;
                    let under_way = UnderWay { id, source, domain, since: now, late, given_up: false };
                    self.under_way.insert(member, under_way);
                    (entry.due, entry.under_way) = (None, Some(member));
                    entry.begun.begin(now);
                }
                // No thread could be started. It stays due, and nothing has room until one comes back.
                Err(job) => {
                    entry.watch = job.into_watch();
                    entry.verify = verify;
                    self.agenda.insert(&due);
                    break;
                }
            }
        }
        self.checked = now;
    }

    /// Gives up observations that take too long without a sign of life: their sources cannot be observed. Each holds its
    /// thread until it returns.
    pub(super) fn give_up(&mut self, state: &State, now: Timestamp) -> Vec<EngineCommand> {
        let cause: Box<str> = format!("the observation has not returned for {:?}", self.config.timeout).into();
        let mut commands = Vec::new();
        while let Some(member) = self.crew.overdue(now) {
            if self.has_signed(member) {
                self.crew.wait_until(member, now.after(self.config.timeout));
                continue;
            }
            self.crew.abandon(member);
            let Some(under_way) = self.under_way.get_mut(&member) else { continue };
            under_way.given_up = true;
            let id = under_way.id;
            if let Some(entry) = self.entries.get(&id).filter(|entry| entry.under_way == Some(member)) {
                entry.signals.stop();
            }
            // It says nothing of another source.
            if !self.forget_elsewhere(id, state) {
                let outcome = ObservationOutcome::Failed { cause: cause.clone() };
                let report = ObservationReport { collection: id, began: state.last(), outcome };
                commands.push(EngineCommand::Observe(report));
            } else {
                self.schedule(id, state, now);
            }
        }
        commands
    }

    /// Whether an observation has given a sign of life since it was asked last.
    fn has_signed(&self, member: Member) -> bool {
        let entry = self.under_way.get(&member).and_then(|under_way| self.entries.get(&under_way.id));
        entry.is_some_and(|entry| entry.under_way == Some(member) && entry.signals.take_sign())
    }

    /// An observation that was given up is forgotten if its collection has another source by now: that one does not wait
    /// for it. Says whether it was.
    fn forget_elsewhere(&mut self, id: CollectionId, state: &State) -> bool {
        let (Some(entry), Some(collection)) = (self.entries.get_mut(&id), state.collection(id)) else { return false };
        let under_way = entry.under_way.and_then(|member| self.under_way.get(&member));
        let is_elsewhere = under_way.is_some_and(|u| u.given_up && u.source != collection.latest.source);
        if is_elsewhere {
            entry.under_way = None;
        }
        is_elsewhere
    }

    /// What an observation that has ended tells the core.
    pub(super) fn command(report: &ObserveReport) -> EngineCommand {
        let outcome = match &report.result {
            Ok(observation) => observation.outcome(),
            Err(error) => ObservationOutcome::Failed { cause: error.0.as_str().into() },
        };
        EngineCommand::Observe(ObservationReport { collection: report.collection, began: report.began, outcome })
    }

    /// An observation has ended; `accepted` says whether it counts.
    pub(super) fn returned(&mut self, report: ObserveReport, accepted: bool, state: &State, now: Timestamp) {
        let ObserveReport { member, collection: id, began, started, result, again: asked, .. } = report;
        let ObserveReport { goes_on, traffic, watch, .. } = report;
        self.crew.returned(member);
        let given_up = self.under_way.remove(&member).is_some_and(|under_way| under_way.given_up);
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.under_way == Some(member)) else { return };
        entry.under_way = None;
        entry.took = now.since(started);
        entry.watch = watch;
        if accepted {
            let racy = result.as_ref().map_or(0, |observation| observation.racy);
            let weak = result.as_ref().map_or(0, |observation| observation.weak);
            let skipped = result.as_ref().map(|observation| observation.skipped).unwrap_or_default();
            let (succeeded, took) = (result.is_ok(), entry.took);
            entry.last = Some(LastObservation { started, took, succeeded, goes_on, racy, weak, skipped, traffic });
            entry.began = Some(began);
            entry.observed = entry.count;
        }
        // One that was given up and sent nothing has hung, and what it hung on is there again. One that was at work would
        // work for ever.
        let again = std::mem::take(&mut entry.again) || !(accepted || given_up && traffic.requests > 0);
        let observe_again = result.ok().and_then(|observation| observation.observe_again);
        let soonest = observe_again.into_iter().chain(asked).min().map(|again| again.max(SOONEST));
        // Nobody has waited for longer for one that was given up.
        let took = if given_up { entry.took.min(self.config.timeout) } else { entry.took };
        let next = if again { now } else { self.next_at(id, (soonest, took, traffic.requests), now, state) };
        self.schedule(id, state, next);
    }

    /// When the observation that follows one is due. `soonest`: when it asks for one by itself.
    fn next_at(
        &self,
        id: CollectionId,
        (soonest, took, requests): (Option<Duration>, Duration, u64),
        now: Timestamp,
        state: &State,
    ) -> Timestamp {
        let (pace, count) = (self.config.pace, self.entries.get(&id).map_or(0, |entry| entry.count));
        let (from, to) = pace.window(took, requests);
        // What costs requests is begun together with its neighbours: they may be served by the same ones.
        let beside = state.collection(id).filter(|_| requests > 0).and_then(|collection| {
            let domain = domain(&self.kinds, &collection.kind, &collection.latest.source);
            self.agenda.first_between(&domain, now.after(from), now.after(to))
        });
        let due = beside.unwrap_or_else(|| now.after(pace.pause(took, requests, (id, count))));
        soonest.map_or(due, |soonest| due.min(now.after(soonest.max(pace.earned(requests)))))
    }

    pub(super) fn last(&self, id: CollectionId) -> Option<LastObservation> {
        self.entries.get(&id).and_then(|entry| entry.last)
    }

    /// The observation that is under way.
    pub(super) fn current(&self, id: CollectionId) -> Option<Observing> {
        let entry = self.entries.get(&id)?;
        let under_way = self.under_way.get(&entry.under_way?)?;
        Some(Observing { started: under_way.since, traffic: entry.signals.traffic().counted() })
    }

    /// When the source is observed next; nothing while it is being observed, or if nothing observes it.
    pub(super) fn next(&self, id: CollectionId) -> Option<Timestamp> {
        self.entries.get(&id)?.due.as_ref().map(|due| due.at)
    }

    /// How many are under way, those given up included.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The source is to be observed now, or right after the observation that is under way; a little later, if that was
    /// asked for all the time.
    pub(super) fn request(&mut self, id: CollectionId, state: &State, now: Timestamp) {
        if !self.observes(id, state) {
            return;
        }
        let entry = self.entries.entry(id).or_insert_with(|| Entry { since: now, ..Entry::default() });
        if entry.under_way.is_some() {
            entry.again = true;
        } else {
            self.schedule(id, state, now);
        }
    }

    fn schedule(&mut self, id: CollectionId, state: &State, at: Timestamp) {
        let (Some(entry), Some(collection)) = (self.entries.get_mut(&id), state.collection(id)) else { return };
        let at = at.max(entry.begun.next());
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
        entry.signals.stop();
        if let Some(due) = &entry.due {
            self.agenda.remove(due);
        }
    }

    /// The observation that begins first, and when there is a thread for it.
    fn next_begin(&self) -> Option<(Timestamp, Due)> {
        self.agenda.first(|domain| self.crew.room_at(domain))
    }
}

/// What is kept of the text of a domain: it stands in a cause, and with every source that is due.
const MOST_OF_A_DOMAIN: usize = 256;

/// The text of a domain, within bounds: what is cut off is there as its hash, so that two domains stay two.
fn bounded(mut named: String) -> String {
    if named.len() > MOST_OF_A_DOMAIN {
        let end = (0..=MOST_OF_A_DOMAIN).rev().find(|end| named.is_char_boundary(*end)).unwrap_or(0);
        let rest = named.split_off(end);
        named.push_str("...");
        named.push_str(&blake3::hash(rest.as_bytes()).to_hex()[..16]);
    }
    named
}

/// The domain of a source: what its observer says, within its kind.
fn domain(kinds: &Kinds, kind: &Kind, source: &Source) -> Domain {
    let observer = kinds.get(kind);
    let named = unwind::catch(|| observer.and_then(|worker| worker.observer()?.domain(source))).unwrap_or(None);
    match named {
        Some(named) => format!("{kind}\n{}", bounded(named)).into(),
        None => kind.as_str().into(),
    }
}
