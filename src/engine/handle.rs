//! What callers hold: a cheap, shareable [`Handle`].
//!
//! *Architecture invariant:* a handle knows the queue and the feed. It sees neither the state nor a part of the
//! engine.

mod remote;
mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::remote::NextAssignment;
pub use self::request::{MOST_IN_PAGE, Requests};
use super::error::{CommandError, CompactError, SubmitError};
use super::feed::{Feed, Watch};
use super::message::Message;
use super::queue::{Queue, QueueCapacity, Unqueued};
use super::reply::Response;
use super::retention::Retention;
use super::stats::Stats;
use super::status::CollectionStatus;
use super::waits::{Goal, SettleOutcome, WaitOutcome};
use crate::core::DroppedView;
use crate::core::vocabulary::{
    By, CollectionId, Command, Declaration, Fingerprint, Generation, Limits, Name, ObservationOutcome, Receipt,
    Rejection, Seq, SourceState, TaskId,
};

/// Talks to a running [`Reconciler`](super::Reconciler). Clones share it; any thread may use it.
///
/// The blocking methods return when what they asked for is durable. They wait while the queue is full; `try_submit`
/// answers [`SubmitError::Full`] instead.
///
/// An async runtime uses [`request`](Handle::request), which has the same questions and commands with a [`Response`] for each,
/// a future; [`try_submit`](Handle::try_submit) and [`queue_capacity`](Handle::queue_capacity) where it is to know that the queue is
/// full; [`applied`](Handle::applied), [`published`](Handle::published) and [`settled`](Handle::settled); and [`Watch::next_event`].
/// None of them ever blocks its thread. They are woken by the engine and ask for no runtime in particular.
///
/// User code that runs on the engine's own thread, a [`Worker::check`](crate::Worker::check), a waker or the drop of a watch,
/// cannot wait for the engine: the blocking methods answer [`CommandError::OwnThread`] there, and ask nothing; so does what is
/// awaited there. A waker is to note that it was woken, and to return: one that polls its future at once, on the thread that
/// wakes it, gets that answer too.
///
/// ```
/// use lastword::{Declaration, Kind, Name, Reconciler, Source, Spec, WaitOutcome};
/// # use lastword::{Built, Context, Failure, Worker};
/// # use std::time::Duration;
/// #
/// # struct Pages;
/// #
/// # impl Worker for Pages {
/// #     fn run(&self, _context: &Context) -> Result<Built, Failure> {
/// #         Ok(Built::default())
/// #     }
/// # }
///
/// # fn main() -> Result<(), lastword::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let state = dir.path().join("state");
/// # let reconciler = Reconciler::open(&state).kind(Kind::new("pages")?, Pages).start()?;
/// let handle = reconciler.handle();
/// let home = Name::new("home")?;
/// let source = Source::new("https://example.org/")?;
/// handle.declare(Declaration::new(home.clone()).kind(Kind::new("pages")?).source(source).unversioned())?;
///
/// // The same collection with another spec. What a declaration does not name stays as it is.
/// let spec = Spec::parse(r#"{"language":"en"}"#)?;
/// let receipt = handle.declare(Declaration::new(home.clone()).spec(spec))?;
/// let waited = handle.wait_applied(home.clone(), receipt.generation, Duration::from_secs(60))?;
/// assert!(matches!(waited, WaitOutcome::Applied { .. }));
///
/// let status = handle.status(home.clone())?.expect("it was declared");
/// assert_eq!(status.view.condition.name(), "fresh");
/// handle.pause(home)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    queue: Queue,
    feed: Arc<Feed>,
    /// The actor that gives the commands, and their cause.
    by: Option<Arc<By>>,
}

impl Handle {
    pub(super) fn new(queue: Queue, feed: Arc<Feed>) -> Handle {
        Handle { queue, feed, by: None }
    }

    /// A handle whose commands are recorded as given by this actor, for this cause: with every event that they lead
    /// to at once. What the engine does later by itself, attempts and retries for example, has no actor.
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

    /// Says what the source of a collection holds now, for kinds without an [`Observer`](crate::Observer). By default a
    /// change settles first (see [`Coalesce`](crate::policy::Coalesce)); until then the generation of the receipt is
    /// the one before it.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn observe(&self, name: Name, observed: SourceState) -> Result<Receipt, CommandError> {
        let outcome = ObservationOutcome::Content { state: observed, delta: None, missing: None };
        self.ask(Command::Observe { name, outcome })
    }

    /// Has the source observed again, and wakes a task that is parked or backing off.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn refresh(&self, name: Name) -> Result<Receipt, CommandError> {
        self.ask(Command::Refresh { name, force: false, seen: None })
    }

    /// Says that a source may have changed, for callers who learn of changes by other means than an
    /// [`Observer`](crate::Observer). Leads to an observation, soon and once for many hints; leaves no event.
    pub fn hint(&self, name: Name) -> Response<()> {
        self.queue.ask(|reply| Message::Hint { name, reply })
    }

    /// Has the content of a source read and compared, whatever its times say: for file systems and writers that leave no
    /// trace in them. Leaves no event unless something else is found, and is forgotten when the engine stops. The
    /// answer says that it has begun; until it is done, which takes as many observations as it takes,
    /// [`weak`](crate::engine::LastObservation::weak) counts what was not read yet. What was never read before cannot
    /// be compared, and counts as changed.
    pub fn refresh_verify(&self, name: Name) -> Response<()> {
        self.queue.ask(|reply| Message::Verify { name, reply })
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

    /// Aborts the live task and parks it; with `task`, only if that is the live one. Its attempt is told to stop, and
    /// abandoned after its grace. A change or a refresh starts a task again.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn cancel(&self, name: Name, task: Option<TaskId>) -> Result<Receipt, CommandError> {
        self.ask(Command::Cancel { name, task })
    }

    /// No new attempts from here on. A running one goes on, and may commit.
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

    /// Queues a command, waiting while the queue is full. Its answer comes with the response.
    ///
    /// # Errors
    /// When it will never be accepted.
    pub fn submit(&self, command: Command) -> Result<Response<Receipt>, CommandError> {
        self.may_wait()?;
        let (message, response) = self.request().message(command);
        match self.queue.send_waiting(message) {
            Ok(()) => Ok(response),
            Err(_) => Err(self.closed()),
        }
    }

    /// Queues a command if there is room for it.
    ///
    /// # Errors
    /// [`SubmitError::Full`] if there is none; or it will never be accepted.
    pub fn try_submit(&self, command: Command) -> Result<Response<Receipt>, SubmitError> {
        let (message, response) = self.request().message(command);
        match self.queue.try_send(message) {
            Ok(()) => Ok(response),
            Err(Unqueued::Full(_)) => Err(SubmitError::Full),
            Err(Unqueued::Over) => Err(SubmitError::Command(self.closed())),
        }
    }

    /// Gives several commands in one frame: after a crash there are all of them or none. Each has a verdict of its
    /// own; one that is refused does not stop the others.
    ///
    /// # Errors
    /// When the batch as a whole was not accepted, or its outcome is unknown.
    pub fn batch(&self, commands: Vec<Command>) -> Result<Vec<Result<Receipt, Rejection>>, CommandError> {
        self.wait(|request| request.batch(commands))
    }

    /// One collection, or `None` if nothing has that name.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn status(&self, name: Name) -> Result<Option<CollectionStatus>, CommandError> {
        self.wait(|request| request.status(name))
    }

    /// All collections, by name. Each is as it was at some moment of this call: they are asked for in pages, so that no
    /// other caller waits for all of them ([`Requests::list_page`]).
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn list(&self) -> Result<Vec<CollectionStatus>, CommandError> {
        let (mut by_name, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self.list_page(after, MOST_IN_PAGE)?;
            let Some(last) = page.last().map(|status| status.view.id) else { break };
            after = Some(last);
            // A name that was dropped and declared again between two pages is the later one's.
            by_name.extend(page.into_iter().map(|status| (status.view.name.clone(), status)));
        }
        Ok(by_name.into_values().collect())
    }

    /// Some collections, see [`Requests::list_page`].
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn list_page(&self, after: Option<CollectionId>, most: usize) -> Result<Vec<CollectionStatus>, CommandError> {
        self.wait(|request| request.list_page(after, most))
    }

    /// What is left of dropped collections: attempts that have not stopped, and outputs that are to be discarded and, if that
    /// fails, why. See [`Requests::list_dropped`].
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn list_dropped(&self, after: Option<CollectionId>, most: usize) -> Result<Vec<DroppedView>, CommandError> {
        self.wait(|request| request.list_dropped(after, most))
    }

    /// The collections with an attempt that holds a worker, see [`Requests::list_running`].
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn list_running(&self) -> Result<Vec<CollectionStatus>, CommandError> {
        self.wait(|request| request.list_running())
    }

    /// Counters. They cost the same however many collections there are, so they may be asked for all the time.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn stats(&self) -> Result<Stats, CommandError> {
        self.wait(|request| request.stats())
    }

    /// The last event, and the digest of the state there: equal to that of a replay of the log up to it.
    ///
    /// # Errors
    /// When the reconciler has shut down or died.
    pub fn digest(&self) -> Result<(Seq, [u8; 32]), CommandError> {
        self.wait(|request| request.digest())
    }

    /// Lets the log go but for what `keep` asks for, and waits until that is done: what the deleted events had led to
    /// stands in their place. Says with which event the log begins now.
    ///
    /// # Errors
    /// When the reconciler has shut down, or it did not succeed; nothing is lost then.
    pub fn compact(&self, keep: Retention) -> Result<Seq, CompactError> {
        match self.wait(|request| request.compact(keep)) {
            Ok(compacted) => compacted,
            Err(CommandError::OwnThread) => Err(CompactError::Failed(CommandError::OwnThread.to_string())),
            Err(_) => Err(CompactError::Closed),
        }
    }

    /// Waits until `generation` of a collection is applied, or it is clear that it will not be for now. It goes on waiting
    /// while the source cannot be observed, no worker is free, or attempts fail and are tried again.
    ///
    /// Applied means committed, whatever the source holds by now. What a kind publishes becomes visible at its destination a
    /// little later: see [`published`](Handle::published), and [`wait_settled`](Handle::wait_settled) for both.
    ///
    /// # Errors
    /// When the reconciler has shut down or died. A name that nothing has counts as dropped.
    pub fn wait_applied(
        &self,
        name: Name,
        generation: Generation,
        timeout: Duration,
    ) -> Result<WaitOutcome, CommandError> {
        self.may_wait()?;
        self.applied(name, generation).wait_timeout(timeout).unwrap_or(Ok(WaitOutcome::TimedOut))
    }

    /// The same as a future, which never answers [`WaitOutcome::TimedOut`]. Dropped, it waits no longer.
    pub fn applied(&self, name: Name, generation: Generation) -> Response<WaitOutcome> {
        self.queue.ask(|reply| Message::Wait { name, generation, goal: Goal::Applied, reply })
    }

    /// The same until the commit is published as well, for kinds that publish. It goes on waiting while the destination
    /// fails.
    pub fn published(&self, name: Name, generation: Generation) -> Response<WaitOutcome> {
        self.queue.ask(|reply| Message::Wait { name, generation, goal: Goal::Published(None), reply })
    }

    /// Waits until everything that the source of a collection holds as of now is applied and published: its source is
    /// observed once more, and what is found comes all the way. Ends early when a cause stands that waiting alone does not
    /// remove; it goes on waiting while attempts or publications fail and are tried again.
    ///
    /// # Errors
    /// When the reconciler has shut down or died. A name that nothing has counts as dropped.
    pub fn wait_settled(&self, name: Name, timeout: Duration) -> Result<SettleOutcome, CommandError> {
        self.may_wait()?;
        self.settled(name).wait_timeout(timeout).unwrap_or(Ok(SettleOutcome::TimedOut))
    }

    /// The same as a future, which never answers [`SettleOutcome::TimedOut`]. Dropped, it waits no longer.
    pub fn settled(&self, name: Name) -> Response<SettleOutcome> {
        self.queue.ask(|reply| Message::Settle { name, reply })
    }

    /// Resolves when the queue of commands has room: what to await after [`SubmitError::Full`] and before trying
    /// again. Others may be quicker, so there may be none left by then.
    pub fn queue_capacity(&self) -> QueueCapacity {
        QueueCapacity::new(self.queue.clone())
    }

    /// The events from `from` on, past and future, each once and in order. Only durable ones are shown.
    #[must_use]
    pub fn watch(&self, from: Seq) -> Watch {
        Watch::new(Arc::clone(&self.feed), from, Arc::clone(self.queue.life()))
    }

    /// A reader of the log while it is open, which also reads what is not durable yet.
    #[cfg(feature = "internals")]
    #[must_use]
    pub fn reader(&self) -> Option<Box<dyn crate::log::LogReader>> {
        self.feed.reader()
    }

    /// The questions and commands of this handle, with a [`Response`] for each in place of a call that blocks.
    #[must_use]
    pub fn request(&self) -> Requests<'_> {
        Requests::new(self)
    }

    /// Tells the engine to shut down, and waits for nothing. If it is gone already, its result says why.
    pub(super) fn shutdown(&self, timeout: Duration) {
        self.queue.shut_down(timeout);
    }

    /// Whether the engine's thread is in code of the program at this moment.
    pub(super) fn is_held(&self) -> bool {
        self.queue.life().is_held()
    }

    fn ask(&self, command: Command) -> Result<Receipt, CommandError> {
        self.submit(command)?.wait()
    }

    fn wait<T>(&self, ask: impl FnOnce(Requests<'_>) -> Response<T>) -> Result<T, CommandError> {
        self.may_wait()?;
        ask(self.request()).wait()
    }

    /// The engine's own thread would wait for itself.
    fn may_wait(&self) -> Result<(), CommandError> {
        if self.queue.life().is_this_thread() { Err(CommandError::OwnThread) } else { Ok(()) }
    }

    /// Whether this thread does a job of the engine.
    pub(super) fn is_crew(&self) -> bool {
        self.queue.life().is_crew()
    }

    fn closed(&self) -> CommandError {
        CommandError::NotAccepted(self.queue.life().why())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
