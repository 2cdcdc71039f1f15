//! The writer: appends, barriers, what is done once a second, the deletion of a prefix, the end.
//!
//! It owns an open store and what is known of how far it has come. It must not know how a log is opened or created:
//! `open.rs` makes it.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::files::kept;
use super::place::Place;
use super::reader::{Frames, SledReader};
use super::store::{SledFailure, SledStore, wait_until_unlocked};
use crate::core::vocabulary::{Seq, Timestamp};
use crate::log::anchor::{Anchor, AnchorFile};
use crate::log::directory::Directory;
use crate::log::lock::WriterLock;
use crate::log::start::{check_behind, check_truncation};
use crate::log::{Chain, CheckpointCheck, Frame, FrameError, FrameHash, Log, LogError, LogReader, Position, Start};

/// How often `HEAD` follows the log, and in [`Durability::Process`] how much a power cut may take.
const TICK: Duration = Duration::from_secs(1);

/// Entries of deleted frames removed in one go, once a tick: some 50 ms of the writer's time. Frames are written
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

/// A log in a directory, open for writing.
///
/// Dropped without [`close`](Log::close) it counts as not cleanly closed, like after a crash. Nothing is lost by
/// that; only, the loss of its very end could then go unnoticed.
pub struct SledLog {
    directory: Directory,
    /// What the path has to lead to.
    place: Place,
    durability: Durability,
    store: Arc<SledStore>,
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
    /// There may be entries of deleted frames left.
    removes_prefix: bool,
    /// Also held by the store, which may outlive this writer for the sake of readers.
    lock: Arc<WriterLock>,
}

/// What opening a log has come to.
pub(super) struct Opened {
    pub(super) directory: Directory,
    pub(super) place: Place,
    pub(super) store: SledStore,
    /// `sled/db`.
    pub(super) db: File,
    pub(super) head: AnchorFile,
    /// The end of the log, which is durable.
    pub(super) chain: Chain,
    pub(super) was_clean: bool,
    pub(super) frames_read: u64,
    pub(super) lock: Arc<WriterLock>,
}

impl SledLog {
    pub(super) fn of(opened: Opened, durability: Durability) -> SledLog {
        let Opened { directory, place, store, db, head, chain, was_clean, frames_read, lock } = opened;
        let durable = chain.position();
        store.set_appended(durable.seq);
        let removes_prefix = !store.start().is_whole();
        SledLog {
            directory,
            place,
            durability,
            store: Arc::new(store),
            db,
            head,
            chain,
            durable,
            synced: durable,
            synced_since_open: false,
            last_tick: None,
            poison: None,
            was_clean,
            frames_read,
            removes_prefix,
            lock,
        }
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
    pub fn time(&self) -> Timestamp {
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

    /// Whether what was left of it when it was damaged is kept beside it, after [`accept_loss`](Self::accept_loss). The
    /// events that were lost may name objects that nothing else names.
    #[must_use]
    pub fn keeps_damaged(&self) -> bool {
        kept(self.directory.path()).is_ok_and(|kept| !kept.is_empty())
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
        self.store.set_start(start);
        self.store.set_appended(seq);
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

    /// What the operating system refuses is no damage.
    fn broken(&mut self, failure: SledFailure) -> LogError {
        self.poison(failure.into_error("writing"))
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.store.flush().map_err(|failure| self.broken(failure))?;
        // A file there would hold a value that is never synced. Listing it costs about 5 µs of a commit's 230, and the
        // frame that caused it is not acknowledged.
        self.place.check_blobs().map_err(|error| self.poison(error))
    }

    /// Whoever asks for the log by its path has to find what is acknowledged. Costs about 5 µs.
    fn check_held(&mut self) -> Result<(), LogError> {
        self.place.check(&self.head).map_err(|error| self.poison(error))
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
        self.store.put(frame).map_err(|failure| self.broken(failure))?;
        self.chain = chain;
        self.store.set_appended(frame.last());
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
        self.check_held()?;
        self.durable = self.chain.position();
        Ok(())
    }

    fn tick(&mut self, monotonic: Duration) -> Result<(), LogError> {
        self.check_poison()?;
        if self.last_tick.is_some_and(|last| monotonic.saturating_sub(last) < TICK) {
            return Ok(());
        }
        self.last_tick = Some(monotonic);
        self.check_held()?;
        if self.removes_prefix {
            let more = self.store.remove_prefix(REMOVED_AT_A_TIME);
            self.removes_prefix = more.map_err(|failure| self.broken(failure))?;
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
        let (last, now) = (self.durable.seq, self.store.start());
        check_truncation(start, now, last)?;
        // Deleting is the one thing that cannot be taken back: what is to stand for the prefix is read once more.
        check_behind(start, Frames::new(&self.store, start.first(), Some(last)))?;
        check(start, &mut Frames::new(&self.store, start.checkpoint, Some(last)))?;
        self.check_held()?;
        // HEAD must not name a frame that is gone.
        self.sync()?;
        self.synced = self.durable;
        self.anchor_synced()?;
        self.store.put_start(start).map_err(|failure| self.broken(failure))?;
        self.flush()?;
        self.sync()?;
        self.store.set_start(start);
        self.removes_prefix = true;
        Ok(())
    }

    fn check_place(&mut self) -> Result<(), LogError> {
        self.check_poison()?;
        self.check_held()
    }

    fn appended(&self) -> Position {
        self.chain.position()
    }

    fn durable(&self) -> Position {
        self.durable
    }

    fn reader(&self) -> Box<dyn LogReader> {
        Box::new(SledReader(Arc::clone(&self.store)))
    }

    fn close(mut self: Box<Self>) -> Result<(), LogError> {
        self.check_poison()?;
        self.flush()?;
        self.sync()?;
        self.check_held()?;
        // The lock is let go last of all: another writer may only see the final HEAD.
        let SledLog { directory, place, store, db, mut head, chain, lock: _lock, .. } = *self;
        let position = chain.position();
        let db_length = match Arc::into_inner(store) {
            Some(store) => close_store(store, &directory, &db)?,
            // Readers keep sled open, and it may still give free segments at the end of the file back.
            None => 0,
        };
        let closed = Anchor { clean: true, position, db_length, ..head.current() };
        head.write_both(closed).map_err(|source| LogError::Io { doing: "writing", path: directory.head(), source })?;
        place.check(&head)
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

/// Closes sled, waits until its last thread has let go of `db`, and makes what it wrote meanwhile durable. Returns
/// the final length of `db`. If sled's last sync fails, the log counts as not closed in order.
fn close_store(store: SledStore, directory: &Directory, db: &File) -> Result<u64, LogError> {
    let closed = store.close();
    wait_until_unlocked(db);
    closed.map_err(|failure| failure.into_error("closing"))?;
    let length = db.sync_data().and_then(|()| db.metadata()).map(|metadata| metadata.len());
    length.map_err(|source| LogError::Io { doing: "syncing", path: directory.db(), source })
}
