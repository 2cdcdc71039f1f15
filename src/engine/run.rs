//! The reducer's thread: what woke it, one batch, one frame, and what follows from it.
//!
//! ```text
//!   sleep until a message, a report, a hint or a due time
//!     -> reports of the crews      (requests and reports become commands: `run/requests.rs`, `run/reports.rs`)
//!     -> messages of handles
//!     -> what came due: given-up jobs, leases, deadlines
//!     -> idle workers get tasks
//!     -> one frame: append, barrier
//!     -> each part hears of the durable events; answers and attempts are released
//! ```
//!
//! *Architecture invariant:* the loop alone owns the reducer. The parts ([`Observers`], [`Workers`], [`Leases`],
//! [`Deliveries`], [`History`], [`Waits`]) keep their fields to themselves, see the state and events, and return
//! commands; none of them knows the loop. Nothing is decided here: decisions are the core's.

mod reports;
mod requests;
mod show;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender};

use super::batch::Batch;
use super::deliveries::Deliveries;
use super::env::{Kinds, WorkerEnv};
use super::feed::{CloseOnDrop, Feed};
use super::history::History;
use super::leases::Leases;
use super::life::Life;
use super::message::ShutdownRequest;
use super::notebooks;
use super::observers::Observers;
use super::queue::Inbox;
use super::report::Report;
use super::stats::Counters;
use super::sweep::{self, Sweeps};
use super::tally::Tally;
use super::waits::{Settling, Waits};
use super::workers::Workers;
use crate::clock::{Clock, EngineTime};
use crate::core::vocabulary::{AttemptRef, CollectionId, Inputs, Recorded, Timestamp};
use crate::notes::Notes;
use crate::objects::Objects;
use crate::reducer::{Reducer, ReducerError};
use crate::unwind;
use crate::worker::Assignment;

/// How often the log is told that time passes: the anchor is to be at most a second behind.
const TICK: Duration = Duration::from_secs(1);

/// Attempts lent in one frame. Each is an event, and a frame has room for 65,536; the rest is lent in the next.
const MOST_LENT: usize = 4096;

/// The parts that the loop calls.
pub(super) struct Parts {
    pub(super) workers: Workers,
    pub(super) observers: Observers,
    pub(super) leases: Leases,
    pub(super) deliveries: Deliveries,
    pub(super) history: History,
    /// Whether a declaration may name a kind that nobody is known to build.
    pub(super) takes_any_kind: bool,
    pub(super) sweeps: Option<Sweeps>,
    pub(super) feed: Arc<Feed>,
}

/// What wakes the loop.
pub(super) struct Wakes {
    pub(super) inbox: Inbox,
    pub(super) reports: Receiver<Report>,
    pub(super) clock_moved: ClockMoved,
}

/// Has something in it after a manual clock was moved.
pub(super) struct ClockMoved {
    pub(super) receiver: Receiver<()>,
    /// The machine's clock keeps no sender, and a channel without one is always ready: it would never let us sleep.
    pub(super) _open: Sender<()>,
}

/// The owner of the reducer.
pub(super) struct EngineLoop {
    reducer: Reducer,
    kinds: Arc<Kinds>,
    takes_any_kind: bool,
    objects: Arc<dyn Objects>,
    time: EngineTime,
    wakes: Wakes,
    workers: Workers,
    observers: Observers,
    leases: Leases,
    deliveries: Deliveries,
    history: History,
    sweeps: Option<Sweeps>,
    waits: Waits,
    settling: Settling,
    tally: Tally,
    feed: Arc<Feed>,
    notes: Arc<Notes>,
    batch: Batch,
    counters: Counters,
    woken: u64,
    /// When the log was last told that time passes.
    ticked: Duration,
    shutdown: Option<ShutdownRequest>,
}

impl EngineLoop {
    pub(super) fn new(reducer: Reducer, env: &WorkerEnv, wakes: Wakes, parts: Parts) -> EngineLoop {
        let Parts { workers, observers, leases, deliveries, history, takes_any_kind, sweeps, feed } = parts;
        EngineLoop {
            tally: Tally::of(reducer.state()),
            settling: Settling::new(observers.timeout()),
            reducer,
            kinds: Arc::clone(&env.kinds),
            takes_any_kind,
            objects: Arc::clone(&env.objects),
            ticked: env.time.monotonic(),
            time: env.time.clone(),
            wakes,
            workers,
            observers,
            leases,
            deliveries,
            history,
            sweeps,
            waits: Waits::default(),
            feed,
            notes: Arc::clone(&env.notes),
            batch: Batch::default(),
            counters: Counters::default(),
            woken: 0,
            shutdown: None,
        }
    }

    /// Runs until it is told to shut down or the log fails. `life` is told why it failed, and `ended` how it has ended once the
    /// log is closed.
    pub(super) fn run(mut self, life: &Life, ended: &Sender<Result<(), ReducerError>>) {
        let _feed = CloseOnDrop(Arc::clone(&self.feed));
        let result = life.live(|| self.run_to_the_end());
        self.workers.stop_all();
        // First of all the feed gives up its reader: the log can close in order only if nothing else holds it.
        self.feed.close();
        self.notes.close();
        let EngineLoop { reducer, history, sweeps, batch, mut counters, wakes, .. } = self;
        // The snapshotter may be waiting for a part to be taken that a report on its way would have brought.
        drop(wakes.reports);
        let marker = sweeps.and_then(Sweeps::stop);
        match &result {
            Ok(()) => history.finish(reducer.state(), reducer.durable_position(), &mut counters),
            // It reads the log as well.
            Err(_) => drop(history),
        }
        let end = reducer.durable_position();
        let result = result.and_then(|()| reducer.close());
        if let (Ok(()), Some(marker)) = (&result, &marker) {
            sweep::leave(marker, end);
        }
        if let Err(error) = &result {
            unwind::tell(|| tracing::error!(target: "lastword::engine", %error, "the reconciler died"));
            life.die(error.to_string());
        }
        // From here on code of the program that does not come back, a waker or the drop of a watch, holds up nobody.
        let _ = ended.send(result);
        // Replies of a batch that never became durable say why nothing is known of them. What is still queued is
        // dropped by [`QueueEnd`](super::queue::QueueEnd).
        drop(batch);
    }

    fn run_to_the_end(&mut self) -> Result<(), ReducerError> {
        self.commit()?;
        let now = self.time.now();
        self.reducer.begin(now);
        self.rebuild_unpublished()?;
        self.commit()?;
        self.leases.resume(self.reducer.state(), now);
        self.observers.request_all(self.reducer.state(), now);
        while !self.is_over() {
            self.begin_due();
            self.sleep();
            self.woken += 1;
            self.reducer.begin(self.time.now());
            self.take_reports()?;
            self.take_messages()?;
            self.take_due()?;
            self.take_deadlines()?;
            self.assign()?;
            self.write_checkpoint()?;
            self.commit()?;
            self.keep_history()?;
            self.tick()?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        self.workers.busy() + self.deliveries.busy() == 0 || shutdown.since.monotonic() >= shutdown.timeout
    }

    /// Begins what is due and needs nothing but the durable state.
    fn begin_due(&mut self) {
        if self.shutdown.is_none() {
            let (state, now) = (self.reducer.state(), self.time.now());
            self.observers.begin_due(state, now);
            self.deliveries.begin_due(state, now);
        }
    }

    /// Sleeps until there is a message or something is due.
    fn sleep(&self) {
        if self.wakes.inbox.has_report() {
            return;
        }
        let mut select = Select::new();
        self.wakes.inbox.wake(&mut select);
        select.recv(&self.wakes.reports);
        select.recv(&self.wakes.clock_moved.receiver);
        select.recv(self.observers.hinted());
        let (now, next) = (self.time.now(), self.next_due());
        let tick = now.after(TICK.saturating_sub(self.time.monotonic().saturating_sub(self.ticked)));
        let next = next.unwrap_or(tick).min(tick);
        let until_next = if next <= now { Some(Duration::ZERO) } else { self.time.sleep(next) };
        let until_end = self.shutdown.as_ref().map(|s| s.timeout.saturating_sub(s.since.monotonic()));
        match until_next.into_iter().chain(until_end).min() {
            Some(timeout) => drop(select.ready_timeout(timeout)),
            None => drop(select.ready()),
        }
    }

    /// When the engine has something to do even if nothing arrives.
    fn next_due(&self) -> Option<Timestamp> {
        let (state, now) = (self.reducer.state(), self.time.now());
        let (deadline, lease) = (state.next_deadline(), self.leases.next_due(now));
        if self.shutdown.is_some() {
            return deadline.into_iter().chain(lease).min();
        }
        let ready = self.workers.first_idle().and_then(|_| state.next_ready(&*self.workers.kinds(), now));
        let checkpoint = self.history.is_writing().then_some(now);
        let (observation, delivery) = (self.observers.next_due(), self.deliveries.next_due(state, now));
        let all = [deadline, lease, ready, self.leases.next_ready(state, now), checkpoint, observation, delivery];
        all.into_iter().flatten().min()
    }

    /// What came due in the parts: jobs that take too long, leases that have run out, hints that have waited.
    fn take_due(&mut self) -> Result<(), ReducerError> {
        let now = self.time.now();
        // A worker that has reported in time is not late because its report has not been taken yet.
        let heard = self.wakes.inbox.oldest_report().map_or(now, |arrived| arrived.min(now));
        for command in self.leases.take_due(heard) {
            // Never refused.
            let _ = self.reducer.command(&command)?;
        }
        self.observers.take_hints(self.reducer.state(), now);
        for command in self.observers.give_up(self.reducer.state(), now) {
            // Refused only if the collection is gone.
            let _ = self.reducer.command(&command)?;
        }
        while let Some(settled) = self.deliveries.give_up(now) {
            self.settle_delivery(settled)?;
            // Others of its kind may wait in vain from now on.
            self.settling.touch_all();
        }
        Ok(())
    }

    /// Deadlines of the core: time-outs, graces, retries. As with leases, what was reported in time counts.
    fn take_deadlines(&mut self) -> Result<(), ReducerError> {
        match self.wakes.inbox.oldest_report() {
            None => self.reducer.deadlines(),
            Some(arrived) => self.reducer.deadlines_until(arrived),
        }
    }

    /// Gives ready tasks to idle workers, in the same frame as what made them ready.
    fn assign(&mut self) -> Result<(), ReducerError> {
        if self.shutdown.is_some() {
            return Ok(());
        }
        while let Some((member, worker)) = self.workers.first_idle() {
            let Some(id) = self.reducer.assign(&worker, &self.workers.kinds(), None)? else { break };
            if let Some(collection) = self.reducer.state().collection(id) {
                self.workers.reserve(member, &collection.kind, self.time.now());
            }
            self.batch.assign(member, id);
        }
        self.lend()
    }

    /// Gives ready tasks to the workers of callers that wait, those first that came first, as far as the frame has room.
    fn lend(&mut self) -> Result<(), ReducerError> {
        let mut lent = 0;
        let mut in_vain = None;
        let now = self.time.now();
        for waiter in self.leases.take_waiting() {
            // Where the one before found nothing, the next of the same kinds need not look.
            if !self.leases.may_get(&waiter, now) {
                self.leases.put_back(waiter);
                continue;
            }
            let may_find = lent < MOST_LENT && in_vain.as_ref() != Some(&waiter.kinds);
            let found =
                if may_find { self.reducer.assign(&waiter.worker, &waiter.kinds, Some(waiter.lease))? } else { None };
            match found {
                Some(id) => {
                    lent += 1;
                    self.batch.lease(waiter, id);
                }
                None => {
                    if may_find {
                        in_vain = Some(waiter.kinds.clone());
                    }
                    self.leases.put_back(waiter);
                }
            }
        }
        Ok(())
    }

    /// Takes the next part of a checkpoint into the batch.
    fn write_checkpoint(&mut self) -> Result<(), ReducerError> {
        if self.shutdown.is_none()
            && let Some(part) = self.history.next_part()
        {
            let seq = self.reducer.append(part)?;
            self.history.part_written(seq);
        }
        Ok(())
    }

    /// Makes the batch durable, and only then lets anything leave.
    fn commit(&mut self) -> Result<(), ReducerError> {
        let begun = self.time.monotonic();
        if self.reducer.frame_events() == 0 && self.batch.has_answers() {
            // They say what is so without a frame whose barrier would ask.
            self.reducer.check_place()?;
        }
        let committed = self.reducer.commit(self.time.wall())?;
        if !committed.events.is_empty() {
            self.counters.frame(committed.bytes, self.time.monotonic().saturating_sub(begun));
        }
        committed.events.iter().for_each(|recorded| self.on_event(recorded));
        let now = self.time.now();
        for (member, id) in self.batch.take_assigned() {
            let assignment = self.assignment(id);
            self.workers.dispatch(member, assignment, now);
        }
        for (waiter, id) in self.batch.take_leased() {
            let assignment = self.assignment(id);
            self.leases.hand_over(waiter, assignment);
        }
        self.feed.publish(committed.events, committed.bytes);
        self.waits.settle(self.reducer.state());
        self.settle();
        self.batch.release();
        Ok(())
    }

    /// Tells every part of a durable event.
    fn on_event(&mut self, recorded: &Recorded) {
        let state = self.reducer.state();
        self.counters.event(&recorded.event);
        self.waits.on_event(recorded);
        self.settling.on_event(recorded);
        self.tally.on_event(recorded, state);
        self.sweeps.iter_mut().for_each(|sweeps| sweeps.on_event(&recorded.event));
        self.workers.on_event(&recorded.event);
        self.observers.on_event(recorded, state);
        self.deliveries.on_event(recorded, state);
        notebooks::on_event(&self.notes, recorded, state);
        if let Some((attempt, begun)) = self.leases.on_event(recorded)
            && !self.is_applied(attempt)
        {
            self.counters.wasted_work += recorded.at.since(begun);
        }
        // Whoever listens is foreign code.
        unwind::tell(|| trace(recorded));
    }

    /// What the running attempt of a collection has to know.
    fn assignment(&self, id: CollectionId) -> Option<Assignment> {
        let collection = self.reducer.state().collection(id)?;
        let (running, wanted) = (collection.status.running()?, collection.wanted.as_ref()?);
        let rebuild = running.task.rebuild;
        Some(Assignment {
            attempt: running.attempt_of(id),
            name: collection.name.clone(),
            kind: collection.kind.clone(),
            inputs: Arc::<Inputs>::clone(&wanted.inputs),
            fingerprint: wanted.fingerprint,
            generation: running.task.generation,
            committed: collection.applied.clone(),
            rebuild,
            // A rebuild that was asked for takes nothing over.
            leftovers: if rebuild { Box::default() } else { collection.leftovers().into() },
            deadline: running.attempt.deadline,
        })
    }

    fn is_applied(&self, attempt: AttemptRef) -> bool {
        let collection = self.reducer.state().collection(attempt.collection);
        collection.and_then(|c| c.applied.as_ref()).is_some_and(|applied| applied.token == attempt.token)
    }

    /// After a commit: deletes the prefix whose checkpoint is in the log now, and begins what is due.
    fn keep_history(&mut self) -> Result<(), ReducerError> {
        if let Some(start) = self.history.take_start() {
            let truncated =
                self.reducer.truncate_checked_prefix(start)?.map(|()| start).map_err(|error| error.to_string());
            if truncated.is_ok() {
                self.sweeps.iter_mut().for_each(Sweeps::truncated);
            }
            self.history.truncated(truncated, &mut self.counters);
        }
        if self.shutdown.is_none() {
            let collections = self.reducer.state().len();
            self.history.begin_due(self.reducer.durable(), self.time.now(), collections);
            let durable = self.reducer.durable();
            let now = self.time.monotonic();
            self.sweeps.iter_mut().for_each(|sweeps| sweeps.begin_due(durable, now));
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), ReducerError> {
        let now = self.time.monotonic();
        if now.saturating_sub(self.ticked) >= TICK {
            self.ticked = now;
            self.settling.touch_all();
            self.reducer.tick(now)?;
        }
        Ok(())
    }
}

/// Every event as a `tracing` event of its own.
fn trace(recorded: &Recorded) {
    if !tracing::enabled!(target: "lastword::event", tracing::Level::DEBUG) {
        return;
    }
    let collection = recorded.event.collection(recorded.seq).map(|id| id.0.0);
    let task = recorded.event.task(recorded.seq).map(|task| task.0.0);
    let attempt = recorded.event.attempt();
    tracing::debug!(target: "lastword::event", seq = recorded.seq.0, collection, task, attempt,
        "{}", recorded.event.type_name());
}
