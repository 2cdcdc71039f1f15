//! The reducer's thread: what woke it, one batch, one frame, and what follows from it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};

use super::batch::Batch;
use super::couriers::Couriers;
use super::error::CommandError;
use super::feed::{Closing, Feed};
use super::hints::Hints;
use super::history::History;
use super::leases::Leases;
use super::looks::Looks;
use super::message::{Message, Report};
use super::pool::{Kinds, Outcome, Pool, Slot, panic_text, report};
use super::stats::Counted;
use super::waits::{Waited, Waits};
use crate::bell::Bell;
use crate::clock::{Clock, EngineTime, SystemClock};
use crate::core::vocabulary::{
    AttemptRef, By, CollectionId, Command, Declaration, Duties, EndReason, Event, FieldError, Fingerprint, Inputs,
    Kind, Receipt, Recorded, Rejection, Source, Stopping, Timestamp, Token,
};
use crate::reducer::{Reducer, ReducerError};
use crate::worker::{Assignment, Failure, Signals};

/// Messages taken into one batch: enough to fill a frame when thousands wait, few enough that the first of them
/// does not wait long.
const MOST_MESSAGES: usize = 4096;

/// A frame is closed once it has this many bytes, or this many events, whatever still waits.
const MOST_FRAME_BYTES: usize = 1 << 20;
const MOST_FRAME_EVENTS: usize = 16 * 1024;

/// How often the log is told that time passes: the anchor is to be at most a second behind.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Engine {
    pub(super) reducer: Reducer,
    pub(super) time: EngineTime,
    pub(super) kinds: Arc<Kinds>,
    /// The kinds that have a worker here, and what each does beside building.
    pub(super) duties: BTreeMap<Kind, Duties>,
    /// The kinds that have an observer.
    pub(super) observed: BTreeSet<Kind>,
    pub(super) messages: Receiver<Message>,
    pub(super) reports: Receiver<Report>,
    pub(super) moved: Moved,
    pub(super) pool: Pool,
    pub(super) looks: Looks,
    pub(super) hints: Hints,
    pub(super) leases: Leases,
    pub(super) couriers: Couriers,
    pub(super) feed: Arc<Feed>,
    pub(super) room: Arc<Bell<()>>,
    pub(super) died: Arc<OnceLock<String>>,
    pub(super) batch: Batch,
    pub(super) waits: Waits,
    pub(super) counted: Counted,
    pub(super) ticked: Duration,
    pub(super) wakes: u64,
    pub(super) stopping: Option<Ending>,
    pub(super) history: History,
}

/// Has something in it after a manual clock was moved.
pub(super) struct Moved {
    pub(super) receiver: Receiver<()>,
    /// The machine's clock keeps no sender, and a channel without one is always ready: it would never let us sleep.
    pub(super) _open: Sender<()>,
}

/// A shutdown under way. Its bound is real time: a manual clock must not keep a process from ending.
pub(super) struct Ending {
    since: SystemClock,
    timeout: Duration,
}

impl Engine {
    /// Runs until it is told to shut down or the log fails.
    pub(super) fn run(mut self) -> Result<(), ReducerError> {
        let _closing = Closing(Arc::clone(&self.feed));
        let result = self.run_to_the_end();
        self.pool.stop_all();
        // First of all the feed lets go of its reader: the log can close in order only if nobody else holds it.
        self.feed.close();
        if result.is_ok() {
            self.snapshot_at_the_end();
        }
        // It reads the log as well.
        drop(self.history);
        let result = result.and_then(|()| self.reducer.close());
        if let Err(error) = &result {
            tracing::error!(target: "lastword::engine", %error, "the reconciler died");
            let _ = self.died.set(error.to_string());
        }
        // What is still queued is dropped by [`QueueGone`](super::queue::QueueGone), and answers for itself.
        result
    }

    fn run_to_the_end(&mut self) -> Result<(), ReducerError> {
        self.commit()?;
        self.resume_leases();
        let now = self.time.now();
        let ids: Vec<CollectionId> = self.reducer.state().collections().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.ask_for_look(id, now));
        while !self.is_over() {
            if self.stopping.is_none() {
                let (state, now) = (self.reducer.state(), self.time.now());
                self.looks.begin_due(state, &self.hints, now);
                self.couriers.begin_due(state, now);
            }
            self.sleep();
            self.wakes += 1;
            self.reducer.begin(self.time.now());
            self.take_messages()?;
            self.take_back()?;
            self.take_hints();
            self.give_up_looks()?;
            self.give_up_errands()?;
            self.reducer.deadlines()?;
            self.assign()?;
            self.write_base()?;
            self.commit()?;
            self.keep_history()?;
            self.tick()?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        self.pool.busy() + self.couriers.busy() == 0 || stopping.since.monotonic() >= stopping.timeout
    }

    /// Sleeps until there is a message or something is due.
    fn sleep(&self) {
        let mut select = Select::new();
        select.recv(&self.messages);
        select.recv(&self.reports);
        select.recv(&self.moved.receiver);
        select.recv(&self.hints.woken);
        let (now, next) = (self.time.now(), self.due());
        let tick = now.after(TICK.saturating_sub(self.time.monotonic().saturating_sub(self.ticked)));
        let next = next.unwrap_or(tick).min(tick);
        let until_next = if next <= now { Some(Duration::ZERO) } else { self.time.sleep(next) };
        let until_end = self.stopping.as_ref().map(|s| s.timeout.saturating_sub(s.since.monotonic()));
        let timeout = until_next.into_iter().chain(until_end).min();
        match timeout {
            Some(timeout) => drop(select.ready_timeout(timeout)),
            None => drop(select.ready()),
        }
    }

    /// When the engine has something to do even if it hears of nothing.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let state = self.reducer.state();
        let lease = self.leases.next_due();
        if self.stopping.is_some() {
            let unclaimed = self.leases.has_unclaimed().then(|| self.time.now());
            return [state.next_deadline(), unclaimed, lease].into_iter().flatten().min();
        }
        let ready = self.pool.first_idle().and_then(|_| state.next_ready(self.duties.keys()));
        let (look, hint, lend) = (self.looks.next_due(), self.hints.next_due(), self.next_lend());
        let unclaimed = self.leases.has_unclaimed().then(|| self.time.now());
        let base = self.history.is_writing().then(|| self.time.now());
        let errand = self.couriers.next_due(state, self.time.now());
        let all = [state.next_deadline(), ready, look, hint, lend, unclaimed, lease, base, errand];
        all.into_iter().flatten().min()
    }

    /// Takes what has arrived into one batch: reports first, so that a flood of commands does not keep a completion
    /// from being heard.
    fn take_messages(&mut self) -> Result<(), ReducerError> {
        if self.moved.receiver.try_iter().count() > 0 {
            self.pool.ring_all();
        }
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Returned { slot, attempt, fingerprint, outcome } => {
                    self.returned(slot, attempt, fingerprint, outcome)?;
                }
                Report::Looked(looked) => self.looked(*looked)?,
                Report::Remembered(remembered) => self.remembered(remembered),
                Report::Served(returned) => self.served(returned)?,
            }
        }
        let result = self.take_commands();
        self.room.ring(|()| ());
        result
    }

    fn take_commands(&mut self) -> Result<(), ReducerError> {
        for _ in 0..MOST_MESSAGES {
            if self.reducer.frame_length() >= MOST_FRAME_BYTES || self.reducer.frame_events() >= MOST_FRAME_EVENTS {
                break;
            }
            match self.messages.try_recv() {
                Ok(message) => self.message(message)?,
                Err(TryRecvError::Empty) => break,
                // The reconciler and every handle are gone: nobody can ask for anything any more.
                Err(TryRecvError::Disconnected) => {
                    self.stop(Duration::ZERO);
                    break;
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), ReducerError> {
        if self.stopping.is_some() {
            // Dropped, it answers for itself.
            return Ok(());
        }
        match message {
            Message::Command { command, by, reply } => {
                let reply = reply.taken();
                let verdict = self.command(&command, by.as_ref())?.map_err(CommandError::Refused);
                self.batch.answer(reply, verdict);
            }
            Message::Batch { commands, by, reply } => {
                let reply = reply.taken();
                let verdict = |command| self.command(command, by.as_ref());
                let verdicts = commands.iter().map(verdict).collect::<Result<_, _>>()?;
                self.release(move || reply.answer(Ok(verdicts)));
            }
            Message::Wait { name, generation, reply } => match self.reducer.state().id_of(&name) {
                Some(id) => {
                    self.waits.add(id, generation, reply);
                    self.waits.touch(id);
                }
                None => self.release(move || reply.keep(Waited::Dropped)),
            },
            Message::Status { name, reply } => {
                let status = self.reducer.state().id_of(&name).and_then(|id| self.status(id)).map(Box::new);
                self.release(move || reply.keep(status));
            }
            Message::List { reply } => {
                let ids = self.reducer.state().by_name().map(|(id, _)| id);
                let list = ids.filter_map(|id| self.status(id)).collect();
                self.release(move || reply.keep(list));
            }
            Message::Stats { reply } => {
                let stats = Box::new(self.stats());
                self.release(move || reply.keep(stats));
            }
            Message::Digest { reply } => {
                let state = self.reducer.state();
                let digest = (state.last(), state.digest());
                self.release(move || reply.keep(digest));
            }
            Message::Compact { keep, reply } => self.history.compact(keep, reply),
            Message::Lending(lending) => self.lending(lending)?,
            Message::Hint { name, reply } => self.hint(name, reply),
            Message::Shutdown { timeout } => self.stop(timeout),
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, by: Option<&Arc<By>>) -> Result<Result<Receipt, Rejection>, ReducerError> {
        if let Command::Declare(declaration) = command
            && let Err(rejection) = self.check_kind(declaration)
        {
            return Ok(Err(rejection));
        }
        self.reducer.command_by(command, by)
    }

    /// Has the kind's worker check source and spec before they are declared or changed.
    fn check_kind(&self, declaration: &Declaration) -> Result<(), Rejection> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let state = self.reducer.state();
        let existing = state.id_of(&declaration.name).and_then(|id| state.collection(id));
        let kind = declaration.kind.as_ref().or(existing.map(|collection| &collection.kind));
        let source: Option<&Source> = declaration.source.as_ref().or(existing.map(|c| &c.latest.source));
        let (Some(worker), Some(source)) = (kind.and_then(|kind| self.kinds.get(kind)), source) else {
            return Ok(());
        };
        let spec = declaration.spec.clone().or_else(|| existing.map(|c| c.latest.spec.clone())).unwrap_or_default();
        let verdict = catch_unwind(AssertUnwindSafe(|| worker.check(source, &spec)));
        let panicked = |panic: Box<dyn Any + Send>| {
            FieldError::new("kind", format!("its worker panicked while it checked: {}", panic_text(panic)))
        };
        verdict.unwrap_or_else(|panic| Err(panicked(panic))).map_err(Rejection::Field)
    }

    fn stop(&mut self, timeout: Duration) {
        self.stopping = Some(Ending { since: SystemClock::new(), timeout });
        self.pool.stop_all();
        // Whoever waits for work waits in vain; dropped, it is told so.
        drop(self.leases.take_seekers());
    }

    /// A worker has come back.
    fn returned(
        &mut self,
        slot: Slot,
        attempt: AttemptRef,
        fingerprint: Fingerprint,
        outcome: Outcome,
    ) -> Result<(), ReducerError> {
        let outcome = self.newest_word(attempt, outcome);
        let was_told = self.pool.is_stopping(attempt.token);
        let command = report(attempt, fingerprint, outcome, was_told);
        // Neither is ever refused: a completion that may not commit is recorded as rejected.
        let _ = self.reducer.command(&command)?;
        if let Some(started) = self.pool.started(attempt.token)
            && !self.is_applied(attempt)
        {
            self.counted.wasted_work += self.time.now().since(started);
        }
        self.pool.returned(slot, attempt.token);
        Ok(())
    }

    /// A later look that has found what is wanted unchanged is no event; its word counts more all the same.
    pub(super) fn newest_word(&mut self, attempt: AttemptRef, outcome: Outcome) -> Outcome {
        let id = attempt.collection;
        match outcome {
            Outcome::Failed(Failure::SourceMoved(Some(_))) if self.looks.looked_since(id, attempt.token.seq) => {
                self.ask_for_look(id, self.time.now());
                Outcome::Failed(Failure::SourceMoved(None))
            }
            Outcome::Failed(Failure::SourceMoved(Some(observation)))
                if observation.missing.is_none() && self.is_unmeasured(attempt) =>
            {
                self.ask_for_look(id, self.time.now());
                Outcome::Failed(Failure::SourceMoved(None))
            }
            outcome => outcome,
        }
    }

    /// Whether the attempt was told nothing of what is applied, and so cannot say what of it is gone, while a look can:
    /// what may be a loss must not be admitted unmeasured.
    fn is_unmeasured(&self, attempt: AttemptRef) -> bool {
        let collection = self.reducer.state().collection(attempt.collection);
        let rebuilds = collection.filter(|collection| collection.applied.is_some()).and_then(|c| c.status.live());
        rebuilds.is_some_and(|task| task.rebuild) && self.is_looked_at(attempt.collection)
    }

    fn is_applied(&self, attempt: AttemptRef) -> bool {
        let collection = self.reducer.state().collection(attempt.collection);
        collection.and_then(|c| c.applied.as_ref()).is_some_and(|applied| applied.token == attempt.token)
    }

    /// Gives ready tasks to idle workers, in the same frame as what made them ready.
    fn assign(&mut self) -> Result<(), ReducerError> {
        if self.stopping.is_some() {
            return Ok(());
        }
        while let Some((slot, worker)) = self.pool.first_idle() {
            let Some(collection) = self.reducer.assign(&worker, &self.duties, None)? else { break };
            self.pool.take(slot);
            self.batch.assigned.push((slot, collection));
        }
        self.lend_out()
    }

    /// Makes the batch durable, and only then lets anybody see it.
    fn commit(&mut self) -> Result<(), ReducerError> {
        let begun = self.time.monotonic();
        let committed = self.reducer.commit(self.time.wall())?;
        if !committed.events.is_empty() {
            self.counted.frame(committed.bytes, self.time.monotonic().saturating_sub(begun));
        }
        for recorded in &committed.events {
            self.counted.event(&recorded.event);
            self.follow(recorded);
            trace(recorded);
        }
        for (slot, id) in std::mem::take(&mut self.batch.assigned) {
            self.dispatch(slot, id);
        }
        for (seeker, id) in std::mem::take(&mut self.batch.lent) {
            self.hand_over(seeker, id);
        }
        self.feed.publish(committed.events);
        self.waits.settle(self.reducer.state());
        self.batch.let_go();
        Ok(())
    }

    /// What a durable event means for threads and schedules.
    fn follow(&mut self, recorded: &Recorded) {
        let Some(id) = recorded.event.collection(recorded.seq) else { return };
        self.waits.touch(id);
        match &recorded.event {
            Event::CollectionDeclared { .. } | Event::SourceChanged { .. } | Event::SpecChanged { .. } => {
                self.ask_for_look(id, recorded.at);
            }
            Event::RefreshRequested { force, reason, .. } => {
                self.ask_for_look(id, recorded.at);
                self.verify_after(id, *force, reason);
            }
            Event::CollectionDropped { .. } => {
                self.looks.forget(id);
                self.couriers.forget(id);
            }
            Event::TaskStarted { task, attempt, lease: Some(lease), .. } => {
                let token = Token { epoch: recorded.epoch, seq: recorded.seq };
                let attempt = AttemptRef { collection: id, task: *task, attempt: *attempt, token };
                self.leases.begin(attempt, *lease, recorded.at);
            }
            Event::TaskAborted { stopping: Some(Stopping { token, .. }), .. }
            | Event::AttemptFailed { token, grace_until: Some(_), .. } => {
                self.pool.stop(*token);
                self.leases.stop(*token);
            }
            Event::AttemptEnded { task, attempt, token, reason, .. } => {
                if *reason == EndReason::Abandoned {
                    self.pool.abandon(*token);
                }
                let attempt = AttemptRef { collection: id, task: *task, attempt: *attempt, token: *token };
                if let Some(begun) = self.leases.end(*token)
                    && !self.is_applied(attempt)
                {
                    self.counted.wasted_work += recorded.at.since(begun);
                }
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, slot: Slot, id: CollectionId) {
        if let Some(assignment) = self.assignment(id) {
            self.pool.dispatch(slot, assignment, self.time.now());
        }
    }

    /// What the running attempt of a collection has to know.
    pub(super) fn assignment(&self, id: CollectionId) -> Option<Assignment> {
        let collection = self.reducer.state().collection(id)?;
        let (running, wanted) = (collection.status.running()?, collection.wanted.as_ref()?);
        Some(Assignment {
            attempt: running.attempt_of(id),
            name: collection.name.clone(),
            kind: collection.kind.clone(),
            inputs: Arc::<Inputs>::clone(&wanted.inputs),
            fingerprint: wanted.fingerprint,
            generation: running.task.generation,
            applied: collection.applied.clone().filter(|_| !running.task.rebuild),
            // A rebuild that was asked for takes nothing over.
            leftovers: if running.task.rebuild { Box::default() } else { collection.leftovers().into() },
            deadline: running.attempt.deadline,
            signals: self.leases.signals(running.attempt.token).map_or_else(Arc::<Signals>::default, Arc::clone),
        })
    }

    fn tick(&mut self) -> Result<(), ReducerError> {
        let now = self.time.monotonic();
        if now.saturating_sub(self.ticked) >= TICK {
            self.ticked = now;
            self.reducer.tick(now)?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, release: impl FnOnce() + Send + 'static) {
        self.batch.release(release);
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
