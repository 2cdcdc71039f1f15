//! A log in memory that can fail like the one on disk, for tests: ours and those of users.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::start::{check_behind, check_truncation};
use super::{Chain, CheckpointCheck, Frame, FrameBuf, Log, LogError, LogReader, Position, Start};
use crate::core::vocabulary::Seq;

/// What a failure leaves behind. It cannot be known which: a disk may have written what it reports as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything is there after all.
    All,
    /// Nothing of it is there.
    None,
}

/// The "disk" under [`MemoryLog`]s: it stays when a log goes, like a disk when a process ends. Clones are the same
/// disk.
///
/// ```
/// # #[cfg(feature = "internals")] {
/// use lastword::log::{Keep, Log, MemoryDisk};
///
/// let disk = MemoryDisk::new();
/// let log = disk.open();
/// disk.crash(Keep::None); // what no barrier made durable is gone, and `log` is dead
/// let log = disk.open();
/// assert_eq!(log.appended().seq.0, 0);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Stored>>);

#[derive(Debug, Default)]
struct Stored {
    frames: Vec<(Position, Seq, Vec<u8>)>,
    /// How many of the frames a barrier made durable.
    durable: usize,
    start: Option<Start>,
    /// The number of the writer that may write: the one opened last.
    writer: u64,
    fail_append: Option<Keep>,
    fail_barrier: Option<Keep>,
    barriers: u64,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the log on this disk. A log that was open before is poisoned.
    #[must_use]
    pub fn open(&self) -> MemoryLog {
        let mut stored = self.stored();
        stored.writer += 1;
        stored.durable = stored.frames.len();
        let chain = stored.chain();
        MemoryLog { disk: self.clone(), writer: stored.writer, chain, durable: chain.position(), poison: None }
    }

    /// Ends the process that has the log open: it is poisoned, failures that were ordered are dropped, and with
    /// [`Keep::None`] what no barrier made durable is gone.
    pub fn crash(&self, keep: Keep) {
        let mut stored = self.stored();
        stored.writer += 1;
        stored.fail_append = None;
        stored.fail_barrier = None;
        if keep == Keep::None {
            let durable = stored.durable;
            stored.frames.truncate(durable);
        }
    }

    /// Makes the next append fail, and keeps its frame nevertheless or not.
    pub fn fail_next_append(&self, keep: Keep) {
        self.stored().fail_append = Some(keep);
    }

    /// Makes the next barrier fail, and everything appended since the last one durable nevertheless or not.
    pub fn fail_next_barrier(&self, keep: Keep) {
        self.stored().fail_barrier = Some(keep);
    }

    /// How many barriers have succeeded, to show that commits are grouped.
    #[must_use]
    pub fn barriers(&self) -> u64 {
        self.stored().barriers
    }

    /// Changes the stored bytes of the frame at `index`, to see a damaged log being refused. Nothing happens if
    /// there is no such frame.
    pub fn damage(&self, index: usize, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some((_, _, bytes)) = self.stored().frames.get_mut(index) {
            change(bytes);
        }
    }

    /// A test that panics while it holds the lock leaves whole frames: no step between can fail.
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    fn start(&self) -> Start {
        self.start.unwrap_or(Start::WHOLE)
    }

    fn chain(&self) -> Chain {
        let mut chain = self.start().chain();
        // Frames were checked when they were appended; a damaged one ends the chain here and is reported by readers.
        let _ = self.frames.iter().try_for_each(|(_, _, bytes)| chain.check(&Frame::parse(bytes)?));
        chain
    }
}

/// A log in memory, on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryLog {
    disk: MemoryDisk,
    writer: u64,
    chain: Chain,
    durable: Position,
    poison: Option<String>,
}

impl MemoryLog {
    /// An empty log on a disk of its own.
    #[must_use]
    pub fn new() -> Self {
        MemoryDisk::new().open()
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    fn check_poison(&mut self, writer: u64) -> Result<(), LogError> {
        if self.poison.is_none() && writer != self.writer {
            self.poison = Some("its process has crashed, or another one has opened the log".to_owned());
        }
        self.poison.as_ref().map_or(Ok(()), |why| Err(LogError::Poisoned(why.clone())))
    }

    fn fail(&mut self, what: &str) -> LogError {
        self.poison = Some(what.to_owned());
        LogError::Storage(what.to_owned())
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Log for MemoryLog {
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        let disk = self.disk.clone();
        let mut stored = disk.stored();
        self.check_poison(stored.writer)?;
        let mut chain = self.chain;
        chain.check(frame).map_err(LogError::Refused)?;
        let failure = stored.fail_append.take();
        if failure != Some(Keep::None) {
            stored.frames.push((Position::of(frame), frame.first(), frame.bytes().to_vec()));
        }
        if failure.is_some() {
            return Err(self.fail("an append was made to fail"));
        }
        self.chain = chain;
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), LogError> {
        let disk = self.disk.clone();
        let mut stored = disk.stored();
        self.check_poison(stored.writer)?;
        let failure = stored.fail_barrier.take();
        if failure != Some(Keep::None) {
            stored.durable = stored.frames.len();
        }
        if failure.is_some() {
            return Err(self.fail("a barrier was made to fail"));
        }
        stored.barriers += 1;
        self.durable = self.chain.position();
        Ok(())
    }

    fn appended(&self) -> Position {
        self.chain.position()
    }

    fn durable(&self) -> Position {
        self.durable
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(MemoryReader(self.disk.clone()))
    }

    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError> {
        let writer = self.disk.stored().writer;
        self.check_poison(writer)?;
        let reader = MemoryReader(self.disk.clone());
        check_truncation(start, reader.start(), self.durable.seq)?;
        check_behind(start, reader.frames(start.first()))?;
        check(start, &mut reader.frames(start.checkpoint))?;
        let mut stored = self.disk.stored();
        let gone = stored.frames.partition_point(|(last, _, _)| last.seq <= start.seq);
        stored.frames.drain(..gone);
        stored.durable -= gone;
        stored.start = Some(start);
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.barrier()
    }
}

struct MemoryReader(MemoryDisk);

impl LogReader for MemoryReader {
    fn start(&self) -> Start {
        self.0.stored().start()
    }

    fn frames(&self, from: Seq) -> Box<dyn Iterator<Item = Result<FrameBuf, LogError>> + Send + '_> {
        let stored = self.0.stored();
        let start = stored.start();
        let from = if from == Seq::ZERO { start.first() } else { from };
        let end = stored.frames.last().map_or(Seq::ZERO, |(last, _, _)| last.seq);
        drop(stored);
        let mut chain = if from == start.first() { start.chain() } else { Chain::anywhere() };
        let (mut next, mut failed) = (from, false);
        Box::new(std::iter::from_fn(move || {
            if failed || next > end {
                return None;
            }
            let stored = self.0.stored();
            let begins = stored.start().first();
            if next < begins {
                failed = true;
                return Some(Err(LogError::PrefixGone { begins }));
            }
            let index = stored.frames.partition_point(|(last, _, _)| last.seq < next);
            let (last, base, bytes) =
                stored.frames.get(index).map(|(at, base, bytes)| (at.seq, *base, bytes.clone()))?;
            next = last.next();
            let read = FrameBuf::parse(bytes);
            let checked = read.and_then(|frame| chain.check(&frame.as_frame()).map(|()| frame));
            failed = checked.is_err();
            Some(checked.map_err(|found| LogError::Damaged { at: base, found }))
        }))
    }

    fn another(&self) -> Box<dyn LogReader> {
        Box::new(MemoryReader(self.0.clone()))
    }
}
