//! The log in a directory of its own, kept by sled inside an envelope that notices what sled does not.
//!
//! Only this folder names sled. What sled 0.34.7 does and does not promise was measured; the envelope is:
//!
//! * a commit is `insert` or `apply_batch`, `flush`, and then `sync_data` on a handle of our own: `flush` alone lost
//!   acknowledged data in 14 of 15 simulated power cuts, with the sync 110 of 110 images recovered;
//! * frames carry their own hashes and form a chain, and [`HEAD`](super::Anchor) says how far it reaches: sled opens
//!   a damaged file without its tail and says nothing, or panics;
//! * values stay small, so that sled never uses its `blobs/`, which it does not sync;
//! * before sled opens an existing `db`, a copy is put aside, and put back if the log turns out to be damaged: sled
//!   overwrites what it cannot read, and with it all that lay behind. It costs 0.85 ms for each MiB of the file, the
//!   only part of opening by a snapshot that grows with what lies before it;
//! * a prefix that is let go is removed entry by entry. sled gives the space to what comes after: with 2,000 frames kept
//!   and 20,000 written in each of ten rounds `db` stayed at 26 MB from the second round on, instead of 165 MB.

mod copy;
mod create;
mod nudge;
mod reader;
mod store;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::anchor::{Anchor, AnchorFile};
use super::directory::Directory;
use super::start::{check_behind, check_truncation};
use super::{
    Chain, CheckpointCheck, Frame, FrameError, FrameHash, Log, LogError, LogReader, OpenError, Position, Start, Visitor,
};
use crate::core::vocabulary::Seq;
use reader::{Frames, SledReader};
use store::{SledFailure, SledStore};

pub use copy::PrivateCopy;

/// How often `HEAD` follows the log, and in [`Durability::Process`] how much a power cut may take.
const TICK: Duration = Duration::from_secs(1);

/// Entries of forgotten frames removed in one go, once a tick: some 50 ms of the writer's time. Frames are written
/// more slowly than this over any longer time.
const REMOVED_AT_A_TIME: usize = 20_000;

/// What a barrier protects against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Power cuts and crashes of the machine.
    #[default]
    Power,
    /// The end of this process only. A power cut may take the last second before it. The first barrier after
    /// opening syncs all the same, so that no epoch is ever used twice.
    Process,
}

/// What to do where there is no log yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// Create one.
    Create,
    /// Refuse with [`OpenError::Absent`].
    Refuse,
}

/// A log in a directory, open for writing.
///
/// Dropped without [`close`](Log::close) it counts as not cleanly closed, like after a crash. Nothing is lost by
/// that; only, the loss of its very end could then go unnoticed.
pub struct SledLog {
    directory: Directory,
    durability: Durability,
    engine: Arc<SledStore>,
    /// `sled/db`, for the syncs that sled leaves out.
    db: File,
    head: AnchorFile,
    chain: Chain,
    /// Survives the end of the process.
    durable: Position,
    /// Survives a power cut; `HEAD` names nothing beyond it.
    synced: Position,
    synced_since_open: bool,
    last_tick: Option<Duration>,
    poison: Option<String>,
    was_clean: bool,
    frames_read: u64,
    /// There may be entries of forgotten frames left.
    forgets: bool,
    /// Also held by the engine, which may outlive this writer for the sake of readers.
    lock: Arc<File>,
}

impl SledLog {
    /// Opens the log in `path` for writing, checks all of it up to its end, and shows it to `visitor` in passing, so
    /// that opening and replaying are one pass. If the visitor goes on from a position of its own, only the log behind
    /// that is read and checked. [`open`](Self::open), which only checks, stands in `replay`: it has to read the
    /// checkpoint.
    ///
    /// # Errors
    /// Every variant of [`OpenError`] but `Moving`. A log that is damaged, shorter than `HEAD` or too new stays as
    /// it is.
    pub fn open_visiting(
        path: impl AsRef<Path>,
        if_absent: IfAbsent,
        durability: Durability,
        visitor: &mut dyn Visitor,
    ) -> Result<Self, OpenError> {
        create::open(Directory::at(path.as_ref()), if_absent, durability, visitor)
    }

    /// How many frames were read to open it.
    #[must_use]
    pub fn frames_read(&self) -> u64 {
        self.frames_read
    }

    /// Whether the writer before this one had closed the log in order.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// The time of the last frame; zero in an empty log.
    #[must_use]
    pub fn time(&self) -> crate::core::vocabulary::Timestamp {
        self.chain.time()
    }

    /// The directory in which objects belong to this log.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.directory.objects()
    }

    /// The directory of the snapshots of this log.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.directory.snapshots()
    }

    /// Lets an empty log begin behind event `seq`, at which a frame with `hash` ended: what is appended has to go on
    /// from there. The log counts as one that begins there only after [`truncate_prefix`](Log::truncate_prefix).
    ///
    /// # Errors
    /// [`LogError::Refused`] if something was appended already.
    pub fn begin_behind(&mut self, seq: Seq, hash: FrameHash) -> Result<(), LogError> {
        if self.chain.position() != Position::START {
            let found = FrameError::Gap { expected: self.chain.position().seq.next(), found: seq.next() };
            return Err(LogError::Refused(found));
        }
        let start = Start { seq, hash, checkpoint: Seq::ZERO };
        self.chain = start.chain();
        self.engine.set_start(start);
        self.engine.set_appended(seq);
        Ok(())
    }

    /// What `HEAD` says at this moment.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.head.current()
    }

    /// Writes down how far the log is synced.
    fn anchor_synced(&mut self) -> Result<(), LogError> {
        let db_length = self.db_length()?;
        self.write_head(Anchor { position: self.synced, db_length, ..self.head.current() }, false)
    }

    fn check_poison(&self) -> Result<(), LogError> {
        match &self.poison {
            None => Ok(()),
            Some(why) => Err(LogError::Poisoned(why.clone())),
        }
    }

    fn poison(&mut self, error: LogError) -> LogError {
        self.poison.get_or_insert_with(|| error.to_string());
        error
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.engine.flush().map_err(|failure| self.poison(failure.into()))?;
        // A file there would hold a value that nobody syncs. Looking costs about 5 µs of a commit's 230, and the
        // frame that caused it is not acknowledged.
        check_blobs(&self.directory).map_err(|error| self.poison(error))
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.db.sync_data().map_err(|source| {
            let path = self.directory.db();
            self.poison(LogError::Io { doing: "syncing", path, source })
        })
    }

    fn write_head(&mut self, next: Anchor, both: bool) -> Result<(), LogError> {
        let written = if both { self.head.write_both(next) } else { self.head.write(next) };
        written.map_err(|source| {
            let path = self.directory.head();
            self.poison(LogError::Io { doing: "writing", path, source })
        })
    }

    fn db_length(&mut self) -> Result<u64, LogError> {
        self.db.metadata().map(|metadata| metadata.len()).map_err(|source| {
            let path = self.directory.db();
            self.poison(LogError::Io { doing: "looking at", path, source })
        })
    }
}

impl Log for SledLog {
    fn append(&mut self, frame: &Frame<'_>) -> Result<(), LogError> {
        self.check_poison()?;
        let mut chain = self.chain;
        chain.check(frame).map_err(LogError::Refused)?;
        self.engine.put(frame).map_err(|failure| self.poison(failure.into()))?;
        self.chain = chain;
        self.engine.set_appended(frame.last());
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), LogError> {
        self.check_poison()?;
        self.flush()?;
        if self.durability == Durability::Power || !self.synced_since_open {
            self.sync()?;
            self.synced = self.chain.position();
            self.synced_since_open = true;
        }
        self.durable = self.chain.position();
        Ok(())
    }

    fn tick(&mut self, monotonic: Duration) -> Result<(), LogError> {
        self.check_poison()?;
        if self.last_tick.is_some_and(|last| monotonic.saturating_sub(last) < TICK) {
            return Ok(());
        }
        self.last_tick = Some(monotonic);
        if self.forgets {
            let more = self.engine.remove_forgotten(REMOVED_AT_A_TIME);
            self.forgets = more.map_err(|failure| self.poison(failure.into()))?;
        }
        if self.synced == self.durable && self.head.current().position == self.synced {
            return Ok(());
        }
        if self.synced != self.durable {
            self.sync()?;
            self.synced = self.durable;
        }
        self.anchor_synced()
    }

    fn truncate_prefix(&mut self, start: Start, check: CheckpointCheck) -> Result<(), LogError> {
        self.check_poison()?;
        let (last, now) = (self.durable.seq, self.engine.start());
        check_truncation(start, now, last)?;
        // Deleting is the one thing that cannot be taken back: what is to stand for the prefix is read once more.
        check_behind(start, Frames::new(&self.engine, start.first(), Some(last)))?;
        check(start, &mut Frames::new(&self.engine, start.checkpoint, Some(last)))?;
        // HEAD must not name a frame that is gone.
        self.sync()?;
        self.synced = self.durable;
        self.anchor_synced()?;
        self.engine.put_start(start).map_err(|failure| self.poison(failure.into()))?;
        self.flush()?;
        self.sync()?;
        self.engine.set_start(start);
        self.forgets = true;
        Ok(())
    }

    fn appended(&self) -> Position {
        self.chain.position()
    }

    fn durable(&self) -> Position {
        self.durable
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(SledReader(Arc::clone(&self.engine)))
    }

    fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.check_poison()?;
        self.flush()?;
        self.sync()?;
        // The lock is let go last of all: another writer may only see the final HEAD.
        let SledLog { directory, engine, db, mut head, chain, lock: _lock, .. } = *self;
        let position = chain.position();
        let db_length = match Arc::into_inner(engine) {
            Some(engine) => close_engine(engine, &directory, &db)?,
            // Readers keep sled open, and it may still give free segments at the end of the file back.
            None => 0,
        };
        let closed = Anchor { clean: true, position, db_length, ..head.current() };
        head.write_both(closed).map_err(|source| LogError::Io { doing: "writing", path: directory.head(), source })
    }
}

impl fmt::Debug for SledLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledLog")
            .field("path", &self.directory.path())
            .field("durability", &self.durability)
            .field("appended", &self.chain.position())
            .field("durable", &self.durable)
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}

/// Drops sled, waits until its last thread has let go of `db`, and makes what it wrote meanwhile durable. Returns
/// the final length of `db`.
fn close_engine(engine: SledStore, directory: &Directory, db: &File) -> Result<u64, LogError> {
    drop(engine);
    wait_until_unlocked(db);
    let length = db.sync_data().and_then(|()| db.metadata()).map(|metadata| metadata.len());
    length.map_err(|source| LogError::Io { doing: "syncing", path: directory.db(), source })
}

/// sled holds `db` locked until the last of its threads is through with it. A second is far more than it was ever
/// seen to need; after it the final length is what it is.
fn wait_until_unlocked(db: &File) {
    for _ in 0..200 {
        match db.try_lock() {
            Ok(()) => {
                let _ = db.unlock();
                return;
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::Error(_)) => return,
        }
    }
}

fn check_blobs(directory: &Directory) -> Result<(), LogError> {
    let path = directory.sled().join("blobs");
    match fs::read_dir(&path).map(|mut entries| entries.next()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(LogError::Storage(format!("it put a value into {}, which it never syncs", path.display()))),
        Err(source) => Err(LogError::Io { doing: "listing", path, source }),
    }
}

impl From<SledFailure> for LogError {
    fn from(failure: SledFailure) -> Self {
        LogError::Storage(failure.text)
    }
}
