//! What a handle asks, with a response for each: a future, or something to wait for.
//!
//! *Architecture invariant:* like the handle, it knows the queue alone.

use super::Handle;
use crate::core::DroppedView;
use crate::core::vocabulary::{
    CollectionId, Command, Declaration, Limits, Name, ObservationOutcome, Receipt, Rejection, Seq, SourceState,
};
use crate::engine::error::{CommandError, CompactError, MOST_BYTES_IN_BATCH, MOST_IN_BATCH};
use crate::engine::message::{Message, text_bytes};
use crate::engine::reply::{Response, reply};
use crate::engine::retention::Retention;
use crate::engine::stats::Stats;
use crate::engine::status::CollectionStatus;

/// The most collections in one page: a few milliseconds of the engine's thread, which nobody who waits for it notices.
pub const MOST_IN_PAGE: usize = 1024;

/// The questions and commands of a [`Handle`], none of which blocks: each gives a [`Response`], to be awaited by any executor,
/// polled, or waited for. A request that finds no room in the queue is sent when its response is polled or waited for; one
/// whose response is dropped before that is not asked.
///
/// ```
/// # use lastword::{Declaration, Kind, Name, Reconciler, Source};
/// # fn block_on<F: std::future::Future>(future: F) -> F::Output {
/// #     let (mut future, mut context) = (std::pin::pin!(future), std::task::Context::from_waker(std::task::Waker::noop()));
/// #     loop {
/// #         if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) { return output }
/// #         std::thread::yield_now();
/// #     }
/// # }
/// # fn main() -> Result<(), lastword::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let reconciler = Reconciler::open(dir.path().join("state")).start()?;
/// # let handle = reconciler.handle();
/// # block_on(async {
/// let page = Declaration::new(Name::new("home")?).kind(Kind::new("pages")?);
/// let receipt = handle.request().declare(page.source(Source::new("https://example.org/")?)).await?;
/// assert_eq!(handle.request().stats().await?.collections, 1);
/// # assert!(receipt.seq.is_some());
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    handle: &'a Handle,
}

impl<'a> Requests<'a> {
    pub(super) fn new(handle: &'a Handle) -> Requests<'a> {
        Requests { handle }
    }

    /// See [`Handle::declare`].
    pub fn declare(self, declaration: Declaration) -> Response<Receipt> {
        self.command(Command::Declare(Box::new(declaration)))
    }

    /// See [`Handle::observe`].
    pub fn observe(self, name: Name, observed: SourceState) -> Response<Receipt> {
        let outcome = ObservationOutcome::Content { state: observed, delta: None, missing: None };
        self.command(Command::Observe { name, outcome })
    }

    /// See [`Handle::refresh`].
    pub fn refresh(self, name: Name) -> Response<Receipt> {
        self.command(Command::Refresh { name, force: false, seen: None })
    }

    /// See [`Handle::limit`].
    pub fn limit(self, limits: Limits) -> Response<Receipt> {
        self.command(Command::Limit(limits))
    }

    /// Any command.
    pub fn command(self, command: Command) -> Response<Receipt> {
        let by = self.handle.by.clone();
        self.handle.queue.ask(|reply| Message::Command { command, by, reply })
    }

    /// See [`Handle::batch`].
    pub fn batch(self, commands: Vec<Command>) -> Response<Vec<Result<Receipt, Rejection>>> {
        if commands.len() > MOST_IN_BATCH {
            return self.refused(CommandError::BatchTooLong { commands: commands.len() });
        }
        let bytes = commands.iter().map(text_bytes).sum();
        if bytes > MOST_BYTES_IN_BATCH {
            return self.refused(CommandError::BatchTooLarge { bytes });
        }
        let by = self.handle.by.clone();
        self.handle.queue.ask(|reply| Message::Batch { commands, by, reply })
    }

    /// See [`Handle::status`].
    pub fn status(self, name: Name) -> Response<Option<CollectionStatus>> {
        self.handle.queue.ask(|reply| Message::Status { name, reply })
    }

    /// The collections that were declared after the incarnation `after`, or from the first on: `most` of them, 1,024 at the
    /// most. In the order of their declaration; the page after the last is empty. What is declared between two pages is in
    /// a later one.
    pub fn list_page(self, after: Option<CollectionId>, most: usize) -> Response<Vec<CollectionStatus>> {
        let most = most.clamp(1, MOST_IN_PAGE);
        self.handle.queue.ask(|reply| Message::Page { after, most, reply })
    }

    /// What is left of the dropped collections that were declared after the incarnation `after`, or of all: of `most` of
    /// them, 1,024 at the most.
    pub fn list_dropped(self, after: Option<CollectionId>, most: usize) -> Response<Vec<DroppedView>> {
        let most = most.clamp(1, MOST_IN_PAGE);
        self.handle.queue.ask(|reply| Message::Dropped { after, most, reply })
    }

    /// The collections with an attempt that holds a worker, in the order of their declaration; 1,024 at the most. It
    /// costs what these cost, however many others there are.
    pub fn list_running(self) -> Response<Vec<CollectionStatus>> {
        self.handle.queue.ask(|reply| Message::Running { reply })
    }

    /// See [`Handle::stats`].
    pub fn stats(self) -> Response<Stats> {
        self.handle.queue.ask(|reply| Message::Stats { reply })
    }

    /// See [`Handle::digest`].
    pub fn digest(self) -> Response<(Seq, [u8; 32])> {
        self.handle.queue.ask(|reply| Message::Digest { reply })
    }

    /// See [`Handle::compact`].
    pub fn compact(self, keep: Retention) -> Response<Result<Seq, CompactError>> {
        self.handle.queue.ask(|reply| Message::Compact { keep, reply })
    }

    /// A command as a message, and the response to it.
    pub(super) fn message(self, command: Command) -> (Message, Response<Receipt>) {
        let (reply, response) = reply(self.handle.queue.life());
        (Message::Command { command, by: self.handle.by.clone(), reply }, response)
    }

    fn refused<T>(self, error: CommandError) -> Response<T> {
        let (reply, response) = reply(self.handle.queue.life());
        reply.answer(Err(error));
        response
    }
}
