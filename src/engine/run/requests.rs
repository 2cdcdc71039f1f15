//! What handles ask, as commands and answers.
//!
//! *Architecture invariant:* it translates. What a request means for a collection is decided by the core.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::TryRecvError;

use super::EngineLoop;
use crate::core::vocabulary::{
    AttemptRef, By, CollectionId, Command, Completion, Declaration, EngineCommand, FieldError, Fingerprint, Kind, Name,
    ObservationOutcome, Receipt, Rejection, Source,
};
use crate::core::{Collection, DroppedView};
use crate::engine::error::CommandError;
use crate::engine::leases;
use crate::engine::message::{AssignmentWaiter, Message, RemoteRequest, ShutdownRequest};
use crate::engine::named_objects::{IN_THE_LOOP, check_built, check_set};
use crate::engine::remote::{AttemptState, CompletionOutcome};
use crate::engine::reply::Reply;
use crate::engine::report::AttemptEnd;
use crate::engine::sweep::Sweeps;
use crate::engine::waits::{SettleOutcome, WaitOutcome};
use crate::engine::workers;
use crate::reducer::ReducerError;
use crate::unwind;
use crate::worker::{Failure, files_applied};

/// Messages taken into one batch: enough to fill a frame when thousands wait, few enough that the first of them
/// does not wait long.
const MOST_MESSAGES: usize = 4096;

/// A frame is closed once it has this many bytes, or this many events, whatever still waits.
const MOST_FRAME_BYTES: usize = 1 << 20;
const MOST_FRAME_EVENTS: usize = 16 * 1024;

impl EngineLoop {
    /// Takes the messages that have arrived into one batch, as far as its frame has room.
    pub(super) fn take_messages(&mut self) -> Result<(), ReducerError> {
        let result = self.take_while_there_is_room();
        self.wakes.inbox.announce_room();
        result
    }

    /// What workers report comes first: no flood of commands keeps it from being heard. Then comes the end of the engine,
    /// before every command that still waits.
    fn take_while_there_is_room(&mut self) -> Result<(), ReducerError> {
        for _ in 0..MOST_MESSAGES {
            if !self.has_room_for_commands() {
                break;
            }
            match self.wakes.inbox.take_report() {
                Some(report) => self.message(report)?,
                None => break,
            }
        }
        for _ in 0..MOST_MESSAGES {
            self.take_shutdown();
            if !self.has_room_for_commands() {
                break;
            }
            match self.wakes.inbox.take_command() {
                Ok(message) => self.message(message)?,
                Err(TryRecvError::Empty) => break,
                // The reconciler and every handle are gone: nothing can be asked any more.
                Err(TryRecvError::Disconnected) => {
                    self.begin_shutdown(ShutdownRequest::new(Duration::ZERO));
                    break;
                }
            }
        }
        Ok(())
    }

    fn has_room_for_commands(&self) -> bool {
        self.reducer.frame_length() < MOST_FRAME_BYTES && self.reducer.frame_events() < MOST_FRAME_EVENTS
    }

    fn message(&mut self, message: Message) -> Result<(), ReducerError> {
        if self.shutdown.is_some() {
            // Dropped, it answers for itself.
            return Ok(());
        }
        let state = self.reducer.state();
        match message {
            Message::Command { command, by, reply } => {
                let reply = reply.taken();
                let verdict = self.command(&command, by.as_ref())?.map_err(CommandError::Refused);
                self.batch.verdict(reply, verdict);
            }
            Message::Batch { commands, by, reply } => {
                let reply = reply.taken();
                let verdict = |command| self.command(command, by.as_ref());
                let verdicts = commands.iter().map(verdict).collect::<Result<_, _>>()?;
                self.batch.answer(reply, Ok(verdicts));
            }
            // A look is made only for somebody who waits for it. User code that asks on the engine's own thread cannot, and
            // would be asked by that look once more.
            Message::Settle { reply, .. } if !reply.is_awaited() => {}
            Message::Settle { name, reply } => match state.id_of(&name) {
                Some(id) => {
                    let now = self.time.now();
                    let number = self.observers.observe_afresh(id, state, now);
                    self.settling.add(id, (number, now), reply);
                }
                None => self.batch.answer(reply, Ok(SettleOutcome::Dropped)),
            },
            Message::Wait { name, generation, goal, reply } => match state.id_of(&name) {
                Some(id) => self.waits.add(id, generation, goal, reply),
                None => self.batch.answer(reply, Ok(WaitOutcome::Dropped)),
            },
            Message::Status { name, reply } => {
                let status = state.id_of(&name).and_then(|id| self.status(id));
                self.batch.answer(reply, Ok(status));
            }
            Message::Page { after, most, reply } => {
                let page = state.collections_after(after).take(most).filter_map(|(id, _)| self.status(id)).collect();
                self.batch.answer(reply, Ok(page));
            }
            Message::Dropped { after, most, reply } => {
                let now = self.time.now();
                let ids = state.orphans_after(after).take(most).map(|(id, _)| id);
                let page = ids.filter_map(|id| DroppedView::of(state, id, now)).collect();
                self.batch.answer(reply, Ok(page));
            }
            Message::Running { reply } => {
                let running = self.running();
                self.batch.answer(reply, Ok(running));
            }
            Message::Stats { reply } => {
                let stats = self.stats();
                self.batch.answer(reply, Ok(stats));
            }
            Message::Digest { reply } => self.batch.answer(reply, Ok((state.last(), state.digest()))),
            Message::Compact { keep, reply } => {
                self.sweeps.iter_mut().for_each(Sweeps::asked);
                self.history.compact(keep, reply);
            }
            Message::Remote(request) => self.remote(request)?,
            Message::Hint { name, reply } => self.hint(name, reply),
            Message::Verify { name, reply } => self.verify(name, reply),
        }
        Ok(())
    }

    fn command(&mut self, command: &Command, by: Option<&Arc<By>>) -> Result<Result<Receipt, Rejection>, ReducerError> {
        if let Command::Declare(declaration) = command
            && let Err(refused) = self.check(declaration)
        {
            return Ok(Err(refused));
        }
        use ObservationOutcome::{Content, Counted};
        if let Command::Observe { name, outcome } = command
            && let state = self.reducer.state()
            && let Some(collection) = state.id_of(name).and_then(|id| state.collection(id))
            && let Some(problem) = outcome.problem(files_applied(collection.applied.as_deref()))
        {
            return Ok(Err(Rejection::Field(FieldError::new("missing", problem))));
        }
        if let Command::Observe { outcome: Content { state, .. } | Counted { state, .. }, .. } = command
            && let Err(unfounded) = check_set(&*self.objects, state, IN_THE_LOOP)
        {
            return Ok(Err(Rejection::Field(unfounded.into())));
        }
        self.reducer.command_by(command, by)
    }

    /// What only the engine can check of a declaration: that somebody builds its kind, and what the kind's worker says.
    fn check(&self, declaration: &Declaration) -> Result<(), Rejection> {
        let state = self.reducer.state();
        let existing = state.id_of(&declaration.name).and_then(|id| state.collection(id));
        let declared = declaration.kind.as_ref().filter(|kind| existing.is_none_or(|existing| existing.kind != **kind));
        declared.map_or(Ok(()), |kind| self.check_kind(kind))?;
        Ok(self.check_inputs(declaration, existing)?)
    }

    /// A kind that nobody builds is more often a mistake in its name than a wish.
    fn check_kind(&self, kind: &Kind) -> Result<(), Rejection> {
        if self.takes_any_kind || self.workers.builds(kind) || self.leases.drives(kind) {
            return Ok(());
        }
        let known = self.kinds.keys().chain(self.leases.driven()).cloned().collect();
        Err(Rejection::UnknownKind { kind: kind.clone(), known })
    }

    /// Has the kind's worker check source and spec before they are declared or changed. A declaration that names none of
    /// them changes none of them, and is not held against what the worker of today would accept.
    fn check_inputs(&self, declaration: &Declaration, existing: Option<&Collection>) -> Result<(), FieldError> {
        if declaration.kind.is_none() && declaration.source.is_none() && declaration.spec.is_none() {
            return Ok(());
        }
        let kind = declaration.kind.as_ref().or(existing.map(|collection| &collection.kind));
        let source: Option<&Source> = declaration.source.as_ref().or(existing.map(|c| &c.latest.source));
        let (Some(worker), Some(source)) = (kind.and_then(|kind| self.kinds.get(kind)), source) else {
            return Ok(());
        };
        let spec = declaration.spec.clone().or_else(|| existing.map(|c| c.latest.spec.clone())).unwrap_or_default();
        let panicked = |text| FieldError::new("kind", format!("its worker panicked while it checked: {text}"));
        unwind::catch(|| worker.check(source, &spec)).unwrap_or_else(|text| Err(panicked(text)))
    }

    fn take_shutdown(&mut self) {
        if let Some(request) = self.wakes.inbox.take_shutdown()
            && self.shutdown.is_none()
        {
            self.begin_shutdown(request);
        }
    }

    fn begin_shutdown(&mut self, request: ShutdownRequest) {
        self.shutdown = Some(request);
        self.workers.stop_all();
        self.observers.stop_all();
        // Whoever waits may be a worker that the shutdown waits for; a reply that is dropped says that the engine shuts down.
        drop(self.leases.take_waiting());
        self.waits.forget_all();
        self.settling.forget_all();
        self.history.forget_all();
        self.feed.stop();
    }

    /// A caller says that a source may have changed.
    fn hint(&mut self, name: Name, reply: Reply<()>) {
        let verdict = self.observed_by_name(name).map(|id| self.observers.hint(id));
        self.batch.answer(reply.taken(), verdict.map_err(CommandError::Refused));
    }

    /// A caller doubts what is believed of a source.
    fn verify(&mut self, name: Name, reply: Reply<()>) {
        let now = self.time.now();
        let verdict = self.observed_by_name(name).map(|id| self.observers.verify(id, self.reducer.state(), now));
        self.batch.answer(reply.taken(), verdict.map_err(CommandError::Refused));
    }

    /// The collection of this name, if an observer of this engine observes its source.
    fn observed_by_name(&self, name: Name) -> Result<CollectionId, Rejection> {
        let state = self.reducer.state();
        let id = state.id_of(&name).ok_or(Rejection::UnknownCollection(name))?;
        if self.observers.observes(id, state) {
            return Ok(id);
        }
        let problem = "must be of a versioned collection whose kind has an observer";
        Err(Rejection::Field(FieldError::new("name", problem)))
    }

    fn remote(&mut self, request: RemoteRequest) -> Result<(), ReducerError> {
        let (state, now) = (self.reducer.state(), self.time.now());
        match request {
            RemoteRequest::Assignment(waiter) => self.wait_for_assignment(waiter),
            RemoteRequest::Heartbeat { attempt, reply } => {
                let answer = self.check_remote(attempt).map(|()| self.leases.heartbeat(attempt, state, now));
                self.batch.answer(reply.taken(), answer);
            }
            RemoteRequest::Query { attempt, reply } => {
                self.batch.answer(reply.taken(), Ok(self.leases.state_of(attempt, state)));
            }
            RemoteRequest::Complete { completion, by, reply } => {
                let reply = reply.taken();
                let outcome = self.complete(*completion, by.as_ref())?;
                self.batch.answer(reply, outcome);
            }
            RemoteRequest::Fail { attempt, failure, by, reply } => {
                let reply = reply.taken();
                let verdict = self.fail(attempt, failure, by.as_ref())?;
                self.batch.answer(reply, verdict);
            }
            RemoteRequest::Release { attempt, by, reply } => {
                let reply = reply.taken();
                let verdict = self.release(attempt, by.as_ref())?;
                self.batch.answer(reply, verdict);
            }
        }
        Ok(())
    }

    fn wait_for_assignment(&mut self, waiter: AssignmentWaiter) {
        let local = waiter.kinds.keys().find(|kind| self.workers.builds(kind));
        let is_remote = local.map_or(Ok(()), |kind| {
            let problem = format!("must have no worker in the engine's own process, and {kind} has one");
            Err(FieldError::new("kinds", problem))
        });
        match leases::check(&waiter).and(is_remote) {
            Ok(()) => self.leases.wait(waiter),
            Err(error) => {
                let refused = CommandError::Refused(Rejection::Field(error));
                self.batch.answer(waiter.reply.taken(), Err(refused));
            }
        }
    }

    /// Only the engine itself reports what its own workers do.
    fn check_remote(&self, attempt: AttemptRef) -> Result<(), CommandError> {
        if self.workers.started(attempt.token).is_none() {
            return Ok(());
        }
        let problem = "must not be one of a worker in the engine's own process";
        Err(CommandError::Refused(Rejection::Field(FieldError::new("attempt", problem))))
    }

    fn complete(
        &mut self,
        completion: Completion,
        by: Option<&Arc<By>>,
    ) -> Result<Result<CompletionOutcome, CommandError>, ReducerError> {
        let (attempt, before) = (completion.attempt, self.reducer.decided().len());
        if let Err(unfounded) = check_built(&*self.objects, &completion.result, IN_THE_LOOP) {
            return Ok(Err(CommandError::Refused(Rejection::Field(unfounded.into()))));
        }
        let command = EngineCommand::Complete(Box::new(completion));
        if let Err(error) = self.end_remote(attempt, &command, by)? {
            return Ok(Err(error));
        }
        let decided = self.reducer.decided().get(before..).unwrap_or_default();
        let outcome = self.leases.outcome(attempt, decided, self.reducer.state());
        // A completion that is not refused is committed or rejected.
        Ok(outcome.ok_or_else(|| CommandError::Unknown("the completion left no event".to_owned())))
    }

    fn fail(
        &mut self,
        attempt: AttemptRef,
        failure: Failure,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Receipt, CommandError>, ReducerError> {
        // What one that may not commit any more has measured, it has measured of what was applied then.
        let state = self.reducer.state();
        let is_live = matches!(self.leases.state_of(attempt, state), AttemptState::Running { .. });
        let collection = state.collection(attempt.collection).filter(|_| is_live);
        if let Failure::SourceMoved { observation: Some(observation), .. } = &failure
            && let applied = collection.and_then(|collection| files_applied(collection.applied.as_deref()))
            && let Some(problem) = observation.problem(applied)
        {
            return Ok(Err(CommandError::Refused(Rejection::Field(FieldError::new("missing", problem)))));
        }
        if let Failure::SourceMoved { observation: Some(observation), .. } = &failure
            && let Err(unfounded) = check_set(&*self.objects, &observation.state, IN_THE_LOOP)
        {
            return Ok(Err(CommandError::Refused(Rejection::Field(unfounded.into()))));
        }
        let state = self.reducer.state();
        let was_told = matches!(self.leases.state_of(attempt, state), AttemptState::Stopping { .. });
        let facts = self.observers.facts(attempt.collection, state);
        // Only a result would need its fingerprint.
        let command = workers::command(attempt, Fingerprint([0; 32]), AttemptEnd::Failed(failure), was_told, facts);
        self.end_remote(attempt, &command, by)
    }

    /// An attempt that was told to stop has to be handed back; any other might have gone on.
    fn release(
        &mut self,
        attempt: AttemptRef,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Receipt, CommandError>, ReducerError> {
        let (id, state) = (attempt.collection, self.reducer.state());
        let running = state.collection(id).and_then(|collection| collection.status.running());
        let running = running.filter(|running| running.attempt_of(id) == attempt);
        let worker = running.map(|running| running.attempt.worker.clone());
        let verdict = self.end_remote(attempt, &EngineCommand::Stopped { attempt }, by)?;
        if let (Ok(_), Some(worker)) = (&verdict, worker) {
            self.leases.hand_back(&worker, self.time.now());
        }
        Ok(verdict)
    }

    fn end_remote(
        &mut self,
        attempt: AttemptRef,
        command: &EngineCommand,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Receipt, CommandError>, ReducerError> {
        if let Err(error) = self.check_remote(attempt) {
            return Ok(Err(error));
        }
        Ok(self.reducer.command_by(command, by)?.map_err(CommandError::Refused))
    }
}
