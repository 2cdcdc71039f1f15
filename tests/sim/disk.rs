//! The log's disk: the library's own in memory, and on top of it what that one does not do: half a frame, a copy
//! of yesterday, and a record of every byte that was ever offered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lastword::core::vocabulary::Seq;
use lastword::log::{
    CheckpointCheck, Frame, FrameError, Keep, Log, LogError, LogReader, MemoryDisk, MemoryLog, Position, Start,
};

/// How the next commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The append fails.
    Append(Keep),
    /// The append succeeds and its barrier fails.
    Barrier(Keep),
    /// The process ends while the frame is written: so many thousandths of it are there.
    Torn(u64),
}

/// The disk. It outlives every process.
pub(crate) struct Disk {
    memory: MemoryDisk,
    reader: Box<dyn LogReader>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    tear: Option<u64>,
    torn: Option<Vec<u8>>,
    /// Over every frame that was ever appended, also if that failed: two runs of a seed agree in it.
    trail: blake3::Hasher,
    frames: u64,
    bytes: u64,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        let memory = MemoryDisk::new();
        let reader = memory.open().reader();
        Disk { memory, reader, shared: Arc::default() }
    }

    /// Orders a failure of the next commit.
    pub(crate) fn order(&self, fault: Fault) {
        match fault {
            Fault::Append(keep) => self.memory.fail_next_append(keep),
            Fault::Barrier(keep) => self.memory.fail_next_barrier(keep),
            Fault::Torn(thousandths) => self.shared.lock().unwrap().tear = Some(thousandths),
        }
    }

    /// Ends the process; what was appended and not made durable is all there, or gone.
    pub(crate) fn crash(&self, keep: Keep) {
        self.memory.crash(keep);
        self.shared.lock().unwrap().tear = None;
    }

    /// Opens the log. Whoever has it open is fenced off. Half a frame is never taken for a frame: a storage engine
    /// finds it as a write that was not finished, and its bytes say so by themselves.
    pub(crate) fn open(&self) -> Box<dyn Log> {
        if let Some(torn) = self.shared.lock().unwrap().torn.take() {
            let found = Frame::parse(&torn).map(|frame| frame.last());
            assert!(found.is_err(), "half a frame was taken for a whole one: {found:?}");
        }
        Box::new(SimLog { inner: self.memory.open(), shared: Arc::clone(&self.shared), poison: false })
    }

    /// A reader of what is there.
    pub(crate) fn reader(&self) -> &dyn LogReader {
        &*self.reader
    }

    /// A copy of the log, as a backup has it.
    pub(crate) fn backup(&self) -> Vec<Vec<u8>> {
        self.reader.frames(Seq::ZERO).map(|frame| frame.unwrap().into_bytes()).collect()
    }

    /// Puts a backup in the place of the log.
    pub(crate) fn restore(&mut self, backup: &[Vec<u8>]) {
        self.memory = MemoryDisk::new();
        let mut log = self.memory.open();
        for bytes in backup {
            log.append(&Frame::parse(bytes).unwrap()).unwrap();
        }
        log.barrier().unwrap();
        self.reader = log.reader();
    }

    /// Flips one bit of the frame at `index`; the same again flips it back.
    pub(crate) fn flip(&self, index: usize, at: u64) {
        self.memory.damage(index, |bytes| {
            let bit = at % (bytes.len() as u64 * 8);
            bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        });
    }

    /// The hash over every frame that was ever offered, how many, and their bytes.
    pub(crate) fn trail(&self) -> ([u8; 32], u64, u64) {
        let shared = self.shared.lock().unwrap();
        (*shared.trail.finalize().as_bytes(), shared.frames, shared.bytes)
    }
}

struct SimLog {
    inner: MemoryLog,
    shared: Arc<Mutex<Shared>>,
    poison: bool,
}

impl Log for SimLog {
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        if self.poison {
            return Err(LogError::Poisoned("it was torn".to_owned()));
        }
        let mut shared = self.shared.lock().unwrap();
        shared.trail.update(frame.bytes());
        shared.frames += 1;
        shared.bytes += frame.bytes().len() as u64;
        if let Some(thousandths) = shared.tear.take() {
            let length = frame.bytes().len() * usize::try_from(thousandths).unwrap() / 1000;
            shared.torn = Some(frame.bytes()[..length].to_vec());
            self.poison = true;
            return Err(LogError::Damaged { at: frame.first(), found: FrameError::Missing });
        }
        drop(shared);
        self.inner.append(frame)
    }

    fn barrier(&mut self) -> Result<(), LogError> {
        self.inner.barrier()
    }

    fn tick(&mut self, monotonic: Duration) -> Result<(), LogError> {
        self.inner.tick(monotonic)
    }

    fn appended(&self) -> Position {
        self.inner.appended()
    }

    fn durable(&self) -> Position {
        self.inner.durable()
    }

    fn reader(&self) -> Box<dyn LogReader> {
        self.inner.reader()
    }

    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError> {
        self.inner.truncate_prefix(start, check)
    }

    fn close(self: Box<Self>) -> Result<(), LogError> {
        Box::new(self.inner).close()
    }
}
