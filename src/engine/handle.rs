//! What callers hold: a cheap, shareable [`Handle`].

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::TrySendError;

use super::couriers::LastVerification;
use super::error::{CommandError, CompactError, MOST_BYTES_IN_BATCH, MOST_IN_BATCH, SubmitError};
use super::feed::{Feed, Watch};
use super::futures::{Asking, Line, Room, Ticket, Wait};
use super::history::Retention;
use super::looks::LastObservation;
use super::message::{Message, Reply};
use super::promise::{Broken, Promise, promise};
use super::queue::Queue;
use super::stats::Stats;
use super::waits::Waited;
use crate::bell::Bell;
use crate::core::CollectionView;
use crate::core::vocabulary::{
    By, Command, Declaration, Fingerprint, Generation, Limits, Name, ObservationOutcome, ObservationReport, Receipt,
    Rejection, Seq, SourceState, Subject, TaskId, Timestamp,
};
use crate::worker::Progress;

/// Talks to a running [`Reconciler`](super::Reconciler). Clones share it; any thread may use it.
///
/// The blocking methods return when what they asked for is durable. They wait while the queue is full; `try_submit`
/// answers [`SubmitError::Full`] instead.
///
/// An async runtime uses [`try_submit`](Handle::try_submit), whose [`Ticket`] is a future, [`room`](Handle::room) when
/// the queue is full, [`applied`](Handle::applied), and [`Watch::next_event`]: none of them ever blocks its thread.
/// They are woken by the engine and ask for no runtime in particular.
#[derive(Clone)]
pub struct Handle {
    pub(super) messages: Queue,
    pub(super) feed: Arc<Feed>,
    pub(super) died: Arc<OnceLock<String>>,
    /// Rung when messages have left the queue.
    pub(super) room: Arc<Bell<()>>,
    /// Who gives the commands, and why.
    pub(super) by: Option<Arc<By>>,
}

/// One collection as it is now, with what only the running engine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectionStatus {
    /// What the log says of it.
    pub view: CollectionView,
    /// The last look at its source, since the engine was opened, whose word was accepted.
    pub last_observation: Option<LastObservation>,
    /// When its source is looked at next; nothing while a look is under way, or if nobody looks at it.
    pub next_observation: Option<Timestamp>,
    /// How far the running attempt has come.
    pub progress: Option<Progress>,
    /// The task waits, and every worker is held by an attempt that was abandoned.
    pub workers_exhausted: bool,
    /// It owes its destination something, and no worker here meets it.
    pub undeliverable: bool,
    /// The last verification of what it has applied, since the engine was opened.
    pub verification: Option<LastVerification>,
}

impl Handle {
    /// A handle whose commands are recorded as given by this actor, for this cause: with every event that they lead
    /// to at once. What the engine does later by itself, attempts and retries for example, is nobody's.
    #[must_use]
    pub fn by(&self, by: By) -> Handle {
        Handle { by: Some(Arc::new(by)), ..self.clone() }
    }

    /// Says what a collection is to be built from.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn declare(&self, declaration: Declaration) -> Result<Receipt, CommandError> {
        self.ask(Command::Declare(Box::new(declaration)))
    }

    /// Says what the source of a collection holds now, for kinds that nobody looks at.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn observe(&self, name: Name, observed: SourceState) -> Result<Receipt, CommandError> {
        let seen = ObservationOutcome::Content { state: observed, delta: None, missing: None };
        self.ask(Command::Observe(ObservationReport { subject: Subject::Name(name), began: None, outcome: seen }))
    }

    /// Has the source looked at again, and wakes a task that is parked or backing off.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn refresh(&self, name: Name) -> Result<Receipt, CommandError> {
        self.ask(Command::Refresh { name, force: false, seen: None })
    }

    /// Says that a source may have changed, for callers who hear of changes by other means than an
    /// [`Observer`](crate::worker::Observer). Leads to a look, soon and once for many hints; leaves no event.
    pub fn hint(&self, name: Name) -> Asking<()> {
        Asking::new(self.line(), |reply| Message::Hint { name, reply })
    }

    /// Has what is wanted built anew, on nothing that was committed before, even if it is applied.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn rebuild(&self, name: Name) -> Result<Receipt, CommandError> {
        self.ask(Command::Refresh { name, force: true, seen: None })
    }

    /// The same as [`refresh`](Handle::refresh) or, with `force`, [`rebuild`](Handle::rebuild), unless one was asked
    /// for after the event `seen`: so it is harmless to repeat it when its answer was lost.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn refresh_since(&self, name: Name, seen: Seq, force: bool) -> Result<Receipt, CommandError> {
        self.ask(Command::Refresh { name, force, seen: Some(seen) })
    }

    /// Aborts the live task and parks it; with `task`, only if that is the live one.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn cancel(&self, name: Name, task: Option<TaskId>) -> Result<Receipt, CommandError> {
        self.ask(Command::Cancel { name, task })
    }

    /// No new attempts from here on.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn pause(&self, name: Name) -> Result<Receipt, CommandError> {
        self.ask(Command::Pause { name })
    }

    /// New attempts again.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn resume(&self, name: Name) -> Result<Receipt, CommandError> {
        self.ask(Command::Resume { name })
    }

    /// Accepts what is held, named by its fingerprint so that nothing else is accepted by mistake.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn confirm(&self, name: Name, fingerprint: Fingerprint) -> Result<Receipt, CommandError> {
        self.ask(Command::Confirm { name, fingerprint })
    }

    /// Forgets a collection, its task and its timers.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn drop_collection(&self, name: Name) -> Result<Receipt, CommandError> {
        self.ask(Command::Drop { name })
    }

    /// Says how many attempts may hold a worker at the same time, in place of what was said before. What is running
    /// goes on.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn limit(&self, limits: Limits) -> Result<Receipt, CommandError> {
        self.ask(Command::Limit(limits))
    }

    /// Queues a command, waiting while the queue is full. Its answer comes with the ticket.
    ///
    /// # Errors
    /// When it will never be accepted.
    pub fn submit(&self, command: Command) -> Result<Ticket, CommandError> {
        let (message, ticket) = self.message(command)?;
        self.messages.send(message).map_err(|_| self.closed())?;
        Ok(ticket)
    }

    /// Queues a command if there is room for it.
    ///
    /// # Errors
    /// [`SubmitError::Full`] if there is none; or it will never be accepted.
    pub fn try_submit(&self, command: Command) -> Result<Ticket, SubmitError> {
        let (message, ticket) = self.message(command).map_err(SubmitError::Command)?;
        self.messages.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Full,
            TrySendError::Disconnected(_) => SubmitError::Command(self.closed()),
        })?;
        Ok(ticket)
    }

    /// Gives several commands in one frame: after a crash there are all of them or none. Each has a verdict of its
    /// own; one that is refused does not stop the others.
    ///
    /// # Errors
    /// When the batch as a whole was not accepted, or its outcome is unknown.
    pub fn batch(&self, commands: Vec<Command>) -> Result<Vec<Result<Receipt, Rejection>>, CommandError> {
        if commands.len() > MOST_IN_BATCH {
            return Err(CommandError::BatchTooLong { commands: commands.len() });
        }
        if !commands.iter().all(is_for_callers) {
            return Err(CommandError::NotForCallers);
        }
        let bytes = commands.iter().map(text_bytes).sum();
        if bytes > MOST_BYTES_IN_BATCH {
            return Err(CommandError::BatchTooLarge { bytes });
        }
        let (reply, answer) = Reply::new(&self.died);
        let by = self.by.clone();
        self.messages.send(Message::Batch { commands, by, reply }).map_err(|_| self.closed())?;
        answer.wait().unwrap_or_else(|Broken| Err(unknown(&self.died)))
    }

    /// One collection, or `None` if nothing has that name.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn status(&self, name: Name) -> Result<Option<CollectionStatus>, CommandError> {
        self.question(|reply| Message::Status { name, reply }).map(|status| status.map(|status| *status))
    }

    /// All collections, by name.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn list(&self) -> Result<Vec<CollectionStatus>, CommandError> {
        self.question(|reply| Message::List { reply })
    }

    /// Counters.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn stats(&self) -> Result<Stats, CommandError> {
        self.question(|reply| Message::Stats { reply }).map(|stats| *stats)
    }

    /// The last event, and the digest of the state there: equal to that of a replay of the log up to it.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn digest(&self) -> Result<(Seq, [u8; 32]), CommandError> {
        self.question(|reply| Message::Digest { reply })
    }

    /// Lets the log go but for what `keep` asks for, and waits until that is done: what the deleted events had led to
    /// stands in their place. Says with which event the log begins now.
    ///
    /// # Errors
    /// When the reconciler has shut down, or it did not succeed; nothing is lost then.
    pub fn compact(&self, keep: Retention) -> Result<Seq, CompactError> {
        let (reply, answer) = promise();
        self.messages.send(Message::Compact { keep, reply }).map_err(|_| CompactError::Closed)?;
        answer.wait().unwrap_or(Err(CompactError::Closed))
    }

    /// Waits until `generation` of a collection is applied, or it is clear that it will not be for now.
    ///
    /// # Errors
    /// When the reconciler has shut down or died. A name that nothing has counts as dropped.
    pub fn wait_applied(&self, name: Name, generation: Generation, timeout: Duration) -> Result<Waited, CommandError> {
        self.applied(name, generation).wait_timeout(timeout)
    }

    /// The same as a future, which never times out. Dropped, it waits no longer.
    pub fn applied(&self, name: Name, generation: Generation) -> Wait {
        Wait::new(self.line(), name, generation)
    }

    /// Resolves when the queue of commands has room: what to await after [`SubmitError::Full`] and before trying
    /// again. Others may be quicker, so there may be none left by then.
    pub fn room(&self) -> Room {
        Room::new(self.line())
    }

    /// The events from `from` on, past and future, each once and in order. Only durable ones are shown.
    #[must_use]
    pub fn watch(&self, from: Seq) -> Watch {
        Watch::new(Arc::clone(&self.feed), from)
    }

    pub(super) fn line(&self) -> Line {
        Line { messages: self.messages.clone(), room: Arc::clone(&self.room), died: Arc::clone(&self.died) }
    }

    fn ask(&self, command: Command) -> Result<Receipt, CommandError> {
        self.submit(command)?.wait()
    }

    fn message(&self, command: Command) -> Result<(Message, Ticket), CommandError> {
        if !is_for_callers(&command) {
            return Err(CommandError::NotForCallers);
        }
        let (reply, answer) = Reply::new(&self.died);
        let ticket = Ticket::new(answer, Arc::clone(&self.died));
        Ok((Message::Command { command, by: self.by.clone(), reply }, ticket))
    }

    fn question<T>(&self, message: impl FnOnce(Promise<T>) -> Message) -> Result<T, CommandError> {
        let (reply, answer) = promise();
        self.messages.send(message(reply)).map_err(|_| self.closed())?;
        answer.wait().map_err(|Broken| self.closed())
    }

    fn closed(&self) -> CommandError {
        CommandError::NotAccepted(end_of(&self.died))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("queued", &self.messages.len()).finish_non_exhaustive()
    }
}

/// What is said of a command that was taken into a batch and never answered.
pub(super) fn unknown(died: &OnceLock<String>) -> CommandError {
    CommandError::Unknown(end_of(died))
}

/// Why the engine has ended.
pub(super) fn end_of(died: &OnceLock<String>) -> String {
    died.get().cloned().unwrap_or_else(|| "the reconciler has shut down".to_owned())
}

/// The part of a command that can be long.
fn text_bytes(command: &Command) -> usize {
    let Command::Declare(declaration) = command else { return 0 };
    let Declaration { source, spec, .. } = &**declaration;
    source.as_ref().map_or(0, |source| source.as_str().len()) + spec.as_ref().map_or(0, |spec| spec.as_str().len())
}

fn is_for_callers(command: &Command) -> bool {
    match command {
        Command::Declare(_)
        | Command::Observe(_)
        | Command::Refresh { .. }
        | Command::Cancel { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Confirm { .. }
        | Command::Drop { .. }
        | Command::Limit(_) => true,
        Command::Open { .. }
        | Command::Assign(_)
        | Command::Complete(_)
        | Command::Fail { .. }
        | Command::Stopped { .. }
        | Command::Lost { .. }
        | Command::Delivered(_)
        | Command::DeliveryFailed { .. }
        | Command::Drifted { .. }
        | Command::Due(_) => false,
    }
}
