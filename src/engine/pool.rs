//! The worker threads: each runs one attempt at a time and reports how it went. A thread whose attempt is
//! abandoned is replaced; it may come back, report, and end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::message::Report;
use crate::clock::EngineTime;
use crate::core::vocabulary::{
    AttemptObservation, AttemptRef, Built, Completion, EngineCommand, FailureClass, FailureReport, Fingerprint, Kind,
    ObservationOutcome, Seq, Timestamp, Token, WorkerName,
};
use crate::objects::Objects;
use crate::worker::{Assignment, Context, Failure, Observation, Progress, Signals, Worker};

/// The kinds that have a worker in this process.
pub(super) type Kinds = BTreeMap<Kind, Arc<dyn Worker>>;

/// How an attempt came back.
#[derive(Debug)]
pub(super) enum Outcome {
    Built(Built),
    Failed(Failure),
    Panicked(String),
}

/// What every thread of the engine shares.
#[derive(Clone)]
pub(super) struct Shop {
    pub(super) kinds: Arc<Kinds>,
    pub(super) objects: Arc<dyn Objects>,
    pub(super) time: EngineTime,
    pub(super) reports: Sender<Report>,
}

/// Number of a thread, never given out twice within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u64);

pub(super) struct Pool {
    shop: Shop,
    size: usize,
    next: u64,
    threads: BTreeMap<Slot, Sender<Assignment>>,
    idle: VecDeque<Slot>,
    running: BTreeMap<Token, Job>,
    abandoned: BTreeSet<Slot>,
}

struct Job {
    slot: Slot,
    attempt: AttemptRef,
    signals: Arc<Signals>,
    started: Timestamp,
}

impl Pool {
    pub(super) fn start(shop: Shop, size: usize) -> io::Result<Pool> {
        let mut pool = Pool {
            shop,
            size,
            next: 1,
            threads: BTreeMap::new(),
            idle: VecDeque::new(),
            running: BTreeMap::new(),
            abandoned: BTreeSet::new(),
        };
        for _ in 0..size {
            pool.hire()?;
        }
        Ok(pool)
    }

    /// The worker that has been idle longest, without taking it.
    pub(super) fn first_idle(&self) -> Option<(Slot, WorkerName)> {
        let slot = *self.idle.front()?;
        // `w` and at most 20 digits: a worker name whatever the number.
        Some((slot, WorkerName::new(&format!("w{}", slot.0)).ok()?))
    }

    /// Takes an idle worker for an attempt that is being decided.
    pub(super) fn take(&mut self, slot: Slot) {
        self.idle.retain(|idle| *idle != slot);
    }

    /// Hands an attempt, which is durable by now, to the worker that was taken for it.
    pub(super) fn dispatch(&mut self, slot: Slot, assignment: Assignment, now: Timestamp) {
        let (attempt, signals) = (assignment.attempt, Arc::clone(&assignment.signals));
        self.running.insert(attempt.token, Job { slot, attempt, signals, started: now });
        if let Some(thread) = self.threads.get(&slot) {
            // The thread waits for exactly this; it ends only when its sender is dropped.
            let _ = thread.send(assignment);
        }
    }

    /// Tells an attempt to stop.
    pub(super) fn stop(&self, token: Token) {
        if let Some(job) = self.running.get(&token) {
            job.signals.stop();
        }
    }

    /// Tells every attempt to stop.
    pub(super) fn stop_all(&self) {
        self.running.values().for_each(|job| job.signals.stop());
    }

    /// Has every attempt that sleeps look at the clock.
    pub(super) fn ring_all(&self) {
        self.running.values().for_each(|job| job.signals.ring());
    }

    /// Of every attempt that sleeps, when it wakes.
    pub(super) fn asleep(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.running.values().filter_map(|job| job.signals.asleep())
    }

    /// Whether an attempt was told to stop.
    pub(super) fn is_stopping(&self, token: Token) -> bool {
        self.running.get(&token).is_some_and(|job| job.signals.is_stopping())
    }

    /// How far an attempt has come.
    pub(super) fn progress(&self, token: Token) -> Option<Progress> {
        self.running.get(&token).and_then(|job| job.signals.progress())
    }

    /// A worker has returned. Its slot is free again, or gone if it was given up.
    pub(super) fn returned(&mut self, slot: Slot, token: Token) {
        self.running.remove(&token);
        if self.abandoned.remove(&slot) {
            // If the pool could not be filled up when this one was given up, it can be now.
            self.refill();
        } else {
            self.idle.push_back(slot);
        }
    }

    /// Gives up the thread that runs an attempt, and replaces it while there are not more abandoned threads than
    /// the pool has: a worker that is deaf for good would otherwise eat the machine.
    pub(super) fn abandon(&mut self, token: Token) {
        let Some(job) = self.running.get(&token) else { return };
        let slot = job.slot;
        self.abandoned.insert(slot);
        // Without its sender the thread ends as soon as it comes back.
        self.threads.remove(&slot);
        tracing::warn!(target: "lastword::pool", collection = %job.attempt.collection, task = %job.attempt.task,
            attempt = job.attempt.attempt, "attempt abandoned, its thread is replaced");
        self.refill();
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Attempts that may still come back.
    pub(super) fn busy(&self) -> usize {
        self.running.values().filter(|job| !self.abandoned.contains(&job.slot)).count()
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn abandoned(&self) -> usize {
        self.abandoned.len()
    }

    /// Whether every worker is lost to deaf attempts.
    pub(super) fn is_exhausted(&self) -> bool {
        self.threads.is_empty()
    }

    /// How long an attempt has run.
    pub(super) fn started(&self, token: Token) -> Option<Timestamp> {
        self.running.get(&token).map(|job| job.started)
    }

    fn refill(&mut self) {
        while self.threads.len() < self.size && self.threads.len() + self.abandoned.len() < 2 * self.size {
            if let Err(error) = self.hire() {
                tracing::error!(target: "lastword::pool", %error, "no thread could be started");
                return;
            }
        }
    }

    fn hire(&mut self) -> io::Result<()> {
        let slot = Slot(self.next);
        // One assignment at a time: the reducer knows who is idle.
        let (sender, assignments) = bounded(1);
        let shop = self.shop.clone();
        thread::Builder::new().name(format!("lastword-w{}", slot.0)).spawn(move || work(slot, &shop, &assignments))?;
        self.next += 1;
        self.threads.insert(slot, sender);
        self.idle.push_back(slot);
        Ok(())
    }
}

/// Nobody is left asleep by an engine that has ended, in whatever way.
impl Drop for Pool {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// The life of a worker thread.
fn work(slot: Slot, shop: &Shop, assignments: &Receiver<Assignment>) {
    for assignment in assignments {
        let (attempt, fingerprint) = (assignment.attempt, assignment.fingerprint);
        let outcome = run(shop, assignment);
        // The engine is gone if nobody takes the report; the next one will count the attempt as lost.
        if shop.reports.send(Report::Returned { slot, attempt, fingerprint, outcome }).is_err() {
            return;
        }
    }
}

fn run(shop: &Shop, assignment: Assignment) -> Outcome {
    let Some(worker) = shop.kinds.get(&assignment.kind).map(Arc::clone) else {
        return Outcome::Failed(Failure::Permanent(format!("no worker builds the kind {:?}", assignment.kind)));
    };
    let span = tracing::info_span!(target: "lastword::attempt", "attempt", collection = %assignment.name,
        task = %assignment.attempt.task, attempt = assignment.attempt.attempt);
    let context = Context::new(assignment, Arc::clone(&shop.objects), shop.time.clone());
    match catch_unwind(AssertUnwindSafe(|| span.in_scope(|| worker.run(&context)))) {
        Ok(Ok(built)) => Outcome::Built(built),
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(panic) => Outcome::Panicked(panic_text(panic)),
    }
}

/// What a worker's return means as a command. `was_told`: somebody had told it to stop.
/// `observer`: where the last accepted observation of the source began, and whether an observer observes it.
pub(super) fn report(
    attempt: AttemptRef,
    fingerprint: Fingerprint,
    outcome: Outcome,
    was_told: bool,
    (last_observation, has_observer): (Option<Seq>, bool),
) -> EngineCommand {
    let fail = |class, message: String| {
        let failure = FailureReport { class, message: message.into() };
        EngineCommand::Fail { attempt, failure }
    };
    match outcome {
        Outcome::Built(result) if result.output.as_ref().is_some_and(|output| output.len() > Built::MOST_OUTPUT) => {
            let message = format!("the worker's output is longer than {} bytes", Built::MOST_OUTPUT);
            fail(FailureClass::Permanent, message)
        }
        Outcome::Built(result) => EngineCommand::Complete(Box::new(Completion { attempt, fingerprint, result })),
        Outcome::Failed(Failure::Transient(message)) => fail(FailureClass::Transient, message),
        Outcome::Failed(Failure::Permanent(message)) => fail(FailureClass::Permanent, message),
        Outcome::Failed(Failure::SourceMoved(observation)) => {
            let observation = observation.map(|observation| {
                let Observation { state, delta, missing, .. } = *observation;
                let outcome = ObservationOutcome::Content { state, delta, missing };
                Box::new(AttemptObservation { outcome, last_observation, has_observer })
            });
            fail(FailureClass::SourceMoved(observation), "the source changed while it was read".to_owned())
        }
        Outcome::Failed(Failure::Stopped) if was_told => EngineCommand::Stopped { attempt },
        Outcome::Failed(Failure::Stopped) => {
            fail(FailureClass::Transient, "the worker stopped without being told to".to_owned())
        }
        Outcome::Panicked(message) => fail(FailureClass::Panicked, message),
    }
}

/// What a panic said. What it carries is left alone: dropping it could panic once more, and end the thread.
pub(super) fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a text").to_owned();
    std::mem::forget(panic);
    text
}
