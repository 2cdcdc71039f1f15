//! Decide, fold, append, barrier: one frame after the other. A plain struct without a thread or a clock, so that a
//! simulator drives the very code that runs in production.
//!
//! What a batch of commands decides is folded at once, and must not be shown before the barrier of its frame: the
//! caller releases replies, work and events only after [`Reducer::commit`] has returned. After a failure the reducer
//! is dead and stays dead; what its state says was never durable. Its owner opens the log again and replays.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::{self, CodecError};
use crate::core::vocabulary::{
    Assign, By, CollectionId, Duties, EngineCommand, Epoch, Event, Input, Kind, Receipt, Recorded, Rejection, Seq,
    Timestamp, WorkerName,
};
use crate::core::{Events, Illegal, RunsAt, State, Violation, decide};
use crate::error::ErrorKind;
use crate::log::{CheckpointCheck, FrameBuilder, FrameError, Log, LogError, Position, Start};
use crate::replay::{check_checkpoint, check_checkpoint_begins};

/// Deadlines decided in one batch. Each adds at most four events, and a frame has room for 65,536 beside what the
/// commands need; after a long sleep more of them may have come than that.
const MOST_DEADLINES: usize = 2048;

/// Folds commands into a state and a log.
pub struct Reducer {
    state: State,
    log: Box<dyn Log>,
    epoch: Epoch,
    at: Timestamp,
    events: Events,
    frame: FrameBuilder,
    payload: Vec<u8>,
    recorded: Vec<Recorded>,
    dead: bool,
}

/// Why a reducer died.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReducerError {
    /// It had died before.
    Dead,
    /// The log could not be written.
    Log(LogError),
    /// It decided on an event that cannot follow. A bug; nothing was written.
    Illegal(Illegal),
    /// What it decided breaks an invariant. A bug; nothing was written.
    Violation(Violation),
    /// An event does not fit the format. A bug; nothing was written.
    Codec(CodecError),
    /// The frame does not fit the format. A bug; nothing was written.
    Frame(FrameError),
}

impl ReducerError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ReducerError::Dead => ErrorKind::Closed,
            ReducerError::Log(error) => error.kind(),
            ReducerError::Illegal(_) | ReducerError::Violation(_) => ErrorKind::Bug,
            ReducerError::Codec(_) | ReducerError::Frame(_) => ErrorKind::Bug,
        }
    }
}

impl fmt::Display for ReducerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReducerError::Dead => f.write_str("the reducer died of an earlier error; open the log again"),
            ReducerError::Log(error) => write!(f, "the log could not be written: {error}"),
            ReducerError::Illegal(illegal) => write!(f, "a bug in lastword, nothing was written: {illegal}"),
            ReducerError::Violation(violation) => write!(f, "a bug in lastword, nothing was written: {violation}"),
            ReducerError::Codec(error) => write!(f, "a bug in lastword, nothing was written: {error}"),
            ReducerError::Frame(error) => write!(f, "a bug in lastword, nothing was written: {error}"),
        }
    }
}

impl std::error::Error for ReducerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReducerError::Dead => None,
            ReducerError::Log(error) => Some(error),
            ReducerError::Illegal(illegal) => Some(illegal),
            ReducerError::Violation(violation) => Some(violation),
            ReducerError::Codec(error) => Some(error),
            ReducerError::Frame(error) => Some(error),
        }
    }
}

/// What a commit has put into the log.
#[derive(Debug, Default)]
pub struct Committed {
    /// The events, in order. Empty if nothing changed.
    pub events: Vec<Recorded>,
    /// The length of their frame.
    pub bytes: usize,
}

impl Reducer {
    /// A reducer that goes on where `log` ends; `state` is what the log adds up to. It begins an epoch of its own:
    /// the later of the one after the last and the Unix time in milliseconds, which no earlier writer can have had
    /// even if this log is a restored backup. Nothing is written before the first [`commit`](Reducer::commit).
    ///
    /// # Errors
    /// When opening is not legal, which only a state that is not this log's can cause.
    pub fn open(
        log: Box<dyn Log>,
        state: State,
        software: &str,
        at: Timestamp,
        wall: Timestamp,
    ) -> Result<Reducer, ReducerError> {
        const MICROS_PER_MILLI: u64 = 1000;
        let epoch = Epoch(state.epoch().0.saturating_add(1).max(wall.0 / MICROS_PER_MILLI));
        let mut reducer = Reducer {
            state,
            log,
            epoch,
            at,
            events: Events::new(),
            frame: FrameBuilder::new(),
            payload: Vec::new(),
            recorded: Vec::new(),
            dead: false,
        };
        reducer.begin(at);
        // Opening is never refused.
        let _ = reducer.command(&EngineCommand::Open { software: software.into() })?;
        Ok(reducer)
    }

    /// The state, with everything decided so far: not to be shown before the next commit.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The length that the frame of this batch has so far.
    #[must_use]
    pub fn frame_length(&self) -> usize {
        self.frame.length()
    }

    /// How many events this batch has so far.
    #[must_use]
    pub fn frame_events(&self) -> usize {
        self.recorded.len()
    }

    /// The events of this batch so far, which must not be shown before the next commit.
    #[must_use]
    pub fn decided(&self) -> &[Recorded] {
        &self.recorded
    }

    /// The last event that is durable.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.log.durable().seq
    }

    /// Stamps the time of a batch: all of its events have this time.
    pub fn begin(&mut self, at: Timestamp) {
        self.at = at.max(self.state.at());
    }

    /// Decides one command of the batch and folds what it leads to.
    ///
    /// # Errors
    /// The outer error is the reducer's end. The inner one is the refusal of this command alone.
    pub fn command<'a>(&mut self, command: impl Into<Input<'a>>) -> Result<Result<Receipt, Rejection>, ReducerError> {
        self.command_by(command, None)
    }

    /// The same, and records who gave the command, and why.
    ///
    /// # Errors
    /// As [`command`](Reducer::command).
    pub fn command_by<'a>(
        &mut self,
        command: impl Into<Input<'a>>,
        by: Option<&Arc<By>>,
    ) -> Result<Result<Receipt, Rejection>, ReducerError> {
        let input = command.into();
        if self.dead {
            return Err(ReducerError::Dead);
        }
        if let Err(rejection) = decide(&self.state, input, self.at, &mut self.events) {
            return Ok(Err(rejection));
        }
        let mut events = std::mem::take(&mut self.events);
        let mut receipt = Receipt::default();
        for (seq, event) in events.drain() {
            receipt.seq = Some(seq);
            receipt.collection = event.collection(seq).or(receipt.collection);
            let recorded = Recorded { seq, at: self.at, epoch: self.epoch, by: by.cloned(), event };
            if let Err(error) = self.take(recorded) {
                self.dead = true;
                return Err(error);
            }
        }
        self.events = events;
        receipt.collection = receipt.collection.or_else(|| self.about(input));
        let collection = receipt.collection.and_then(|id| self.state.collection(id));
        receipt.generation = collection.map(|collection| collection.latest_generation()).unwrap_or_default();
        Ok(Ok(receipt))
    }

    /// Decides the deadlines that have come, in order; if they are very many the rest is still due in the next batch.
    /// Called after the commands of a batch, so that a completion that was reported in time beats its own timeout.
    ///
    /// # Errors
    /// The reducer's end.
    pub fn deadlines(&mut self) -> Result<(), ReducerError> {
        self.deadlines_until(self.at)
    }

    /// The same for those that came at `until` or before.
    ///
    /// # Errors
    /// The reducer's end.
    pub fn deadlines_until(&mut self, until: Timestamp) -> Result<(), ReducerError> {
        for _ in 0..MOST_DEADLINES {
            let Some(deadline) = self.state.first_due(until.min(self.at)) else { return Ok(()) };
            if self.command(&EngineCommand::Due(deadline))?.is_err() {
                // It would be tried for ever.
                let why = "a deadline that is due decides nothing";
                let illegal = Illegal { seq: self.state.last().next(), event: "due", why };
                return Err(self.die(ReducerError::Illegal(illegal)));
            }
        }
        Ok(())
    }

    /// Gives the task that is next to an idle worker of one of `kinds`, whose duties go with the attempt. A worker in a
    /// process of its own has a `lease`: how long it may be silent.
    ///
    /// # Errors
    /// The reducer's end.
    pub fn assign(
        &mut self,
        worker: &WorkerName,
        kinds: &BTreeMap<Kind, Duties>,
        lease: Option<Duration>,
    ) -> Result<Option<CollectionId>, ReducerError> {
        let place = if lease.is_some() { RunsAt::Elsewhere } else { RunsAt::Here };
        let Some(collection) = self.state.first_ready_at(place, kinds, self.at) else { return Ok(None) };
        let kind = self.state.collection(collection).map(|collection| &collection.kind);
        let duties = kind.and_then(|kind| kinds.get(kind)).copied().unwrap_or_default();
        let assign = Assign { worker: worker.clone(), collection, lease, duties };
        let verdict = self.command(&EngineCommand::Assign(assign))?;
        Ok(verdict.is_ok().then_some(collection))
    }

    /// Writes the batch as one frame and waits until it is durable.
    ///
    /// # Errors
    /// The reducer's end: whether the frame is in the log is unknown until it was opened again.
    pub fn commit(&mut self, wall: Timestamp) -> Result<Committed, ReducerError> {
        if self.dead {
            return Err(ReducerError::Dead);
        }
        let Some(first) = self.recorded.first().map(|recorded| recorded.seq) else { return Ok(Committed::default()) };
        self.write(first, wall).map_err(|error| self.die(error))
    }

    /// Adds an event to the batch on which nothing is decided, because it changes nothing: a part of a checkpoint.
    ///
    /// # Errors
    /// The reducer's end.
    pub fn append(&mut self, event: Event) -> Result<Seq, ReducerError> {
        if self.dead {
            return Err(ReducerError::Dead);
        }
        let seq = self.state.last().next();
        let recorded = Recorded { seq, at: self.at, epoch: self.epoch, by: None, event };
        self.take(recorded).map_err(|error| self.die(error))?;
        Ok(seq)
    }

    /// Lets the log begin later; see [`Log::truncate_prefix`].
    ///
    /// # Errors
    /// The outer error is the reducer's end. The inner one says why the log still begins where it did.
    pub fn truncate_prefix(&mut self, start: Start) -> Result<Result<(), LogError>, ReducerError> {
        self.truncate(start, check_checkpoint)
    }

    /// The same with a checkpoint that was read through before, by somebody else: only its beginning is read.
    ///
    /// # Errors
    /// As [`truncate_prefix`](Reducer::truncate_prefix).
    pub fn truncate_checked_prefix(&mut self, start: Start) -> Result<Result<(), LogError>, ReducerError> {
        self.truncate(start, check_checkpoint_begins)
    }

    fn truncate(&mut self, start: Start, check: CheckpointCheck) -> Result<Result<(), LogError>, ReducerError> {
        match self.log.truncate_prefix(start, check) {
            Ok(()) => Ok(Ok(())),
            Err(error @ (LogError::Refused(_) | LogError::Damaged { .. } | LogError::PrefixGone { .. })) => {
                Ok(Err(error))
            }
            Err(error) => Err(self.die(ReducerError::Log(error))),
        }
    }

    /// The end of the last frame that is durable.
    #[must_use]
    pub fn durable_position(&self) -> Position {
        self.log.durable()
    }

    /// Passes time to the log; see [`Log::tick`].
    ///
    /// # Errors
    /// The reducer's end.
    pub fn tick(&mut self, monotonic: Duration) -> Result<(), ReducerError> {
        self.log.tick(monotonic).map_err(|error| self.die(ReducerError::Log(error)))
    }

    /// Whether answers that need no frame may be given; see [`Log::check_place`].
    ///
    /// # Errors
    /// The reducer's end.
    pub fn check_place(&mut self) -> Result<(), ReducerError> {
        self.log.check_place().map_err(|error| self.die(ReducerError::Log(error)))
    }

    /// Closes the log in order.
    ///
    /// # Errors
    /// When the log could not be closed; it counts as not cleanly closed then.
    pub fn close(self) -> Result<(), ReducerError> {
        if self.dead { Err(ReducerError::Dead) } else { self.log.close().map_err(ReducerError::Log) }
    }

    /// Folds and encodes one event.
    fn take(&mut self, recorded: Recorded) -> Result<(), ReducerError> {
        self.state.fold(&recorded).map_err(ReducerError::Illegal)?;
        self.payload.clear();
        let tag =
            codec::encode(&recorded.event, recorded.by.as_deref(), &mut self.payload).map_err(ReducerError::Codec)?;
        self.frame.push(tag.event_type, tag.version, &self.payload).map_err(ReducerError::Frame)?;
        self.recorded.push(recorded);
        Ok(())
    }

    fn write(&mut self, first: Seq, wall: Timestamp) -> Result<Committed, ReducerError> {
        if cfg!(debug_assertions) {
            for id in self.recorded.iter().filter_map(|recorded| recorded.event.collection(recorded.seq)) {
                self.state.check_settled(id).map_err(ReducerError::Violation)?;
            }
        }
        let previous = self.log.appended().hash;
        let frame = self.frame.seal(first, self.epoch, self.at, wall, previous).map_err(ReducerError::Frame)?;
        let bytes = frame.bytes().len();
        self.log.append(&frame).map_err(ReducerError::Log)?;
        self.log.barrier().map_err(ReducerError::Log)?;
        self.frame.begin();
        Ok(Committed { events: std::mem::take(&mut self.recorded), bytes })
    }

    fn die(&mut self, error: ReducerError) -> ReducerError {
        self.dead = true;
        error
    }

    /// The collection that a command is about, for receipts of commands that changed nothing.
    fn about(&self, input: Input<'_>) -> Option<CollectionId> {
        input.name().and_then(|name| self.state.id_of(name))
    }
}

impl fmt::Debug for Reducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reducer").field("epoch", &self.epoch).field("last", &self.state.last()).finish_non_exhaustive()
    }
}
