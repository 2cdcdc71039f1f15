//! sled behind a guard: its errors and panics become text, and dropping it cannot block or panic. The only file, beside
//! the iterator of `reader.rs`, that calls sled.

use std::fs::{File, TryLockError};
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ::sled::{Batch, Config, Db, Tree};
use rustix::io::Errno;
use tracing::warn;

use super::lock::SledLock;
use super::nudge::Nudge;
use super::temporary::TemporaryDirectory;
use crate::core::vocabulary::Seq;
use crate::held::HeldDirectory;
use crate::log::holder::lock_holder;
use crate::log::lock::WriterLock;
use crate::log::{Frame, LogError, OpenError, Start};
use crate::unwind::catch_and_tell;

/// Bytes of one entry's value. sled puts pages past a threshold (65,516 bytes were measured) into files that it
/// never syncs, and splits its leaves by count, at 16 entries: sixteen values of this size stay below.
pub(super) const PART_LENGTH: usize = 3_584;

const TREE: &str = "frames";

/// The entry that says where the log begins. No frame begins with event 0, so it is none of theirs.
const START_KEY: [u8; 12] = [0; 12];

/// 64 MiB. The log is written in order and read in order, so a cache earns little; sled counts less than it uses.
const CACHE_CAPACITY: u64 = 64 << 20;

/// An open sled directory. It stays open as long as the writer or a reader needs it.
pub(super) struct SledStore {
    /// That of sled.
    path: PathBuf,
    open: Option<(Db, Tree)>,
    nudge: Option<Nudge>,
    panicked: AtomicBool,
    appended: AtomicU64,
    start: Mutex<Start>,
    /// Let go only after sled is.
    held: Held,
}

/// What a store keeps until sled is closed.
pub(super) enum Held {
    /// The lock of the writer, and the directory of the log: the path that sled has leads through its descriptor.
    Log { _lock: Arc<WriterLock>, directory: Arc<HeldDirectory> },
    /// The directory of a private copy; nothing once it is not needed any more.
    Copy { directory: Option<TemporaryDirectory> },
}

impl Held {
    /// What sled says of what it has at `sled`, with the paths that people know.
    fn explain(&self, failure: SledFailure, sled: &Path) -> SledFailure {
        let path = sled.join("db");
        match self {
            Held::Log { directory, .. } => {
                SledFailure { text: directory.explain(&failure.text), path: directory.path_shown(path), ..failure }
            }
            Held::Copy { .. } => SledFailure { path, ..failure },
        }
    }

    /// Once sled was dropped: its threads may still go by the path, and the number of a descriptor that is closed may soon
    /// be that of another directory. If they do not end, the descriptor stays.
    fn let_go(&self, sled: &Path) {
        let is_log = matches!(self, Held::Log { .. });
        if is_log && !File::open(sled.join("db")).is_ok_and(|db| wait_until_unlocked(&db)) {
            self.keep();
        }
    }

    /// Keeps the descriptor until this process ends.
    fn keep(&self) {
        if let Held::Log { directory, .. } = self {
            mem::forget(Arc::clone(directory));
        }
    }
}

/// An error or panic of sled.
#[derive(Debug)]
pub(super) struct SledFailure {
    pub(super) text: String,
    /// The file of sled, by the path that people know.
    path: PathBuf,
    /// The number of the error of the operating system, if it refused: that says nothing of what is stored.
    refused: Option<i32>,
    /// Another process has the file open.
    is_locked: bool,
}

impl SledStore {
    /// Opens, or creates, the sled directory `path`. sled goes by this path for as long as it is open: that of a log leads
    /// through the descriptor of what is held.
    ///
    /// sled's `flock` on `db` outlives a dropped `Db` for the moments in which its threads finish. The caller holds
    /// `LOCK`, so no other writer can have it unless that was removed, and waiting for a second is enough.
    pub(super) fn open(path: &Path, held: Held) -> Result<SledStore, SledFailure> {
        for _ in 0..100 {
            match open_once(path).map_err(|failure| held.explain(failure, path)) {
                Err(failure) if failure.is_locked => thread::sleep(Duration::from_millis(10)),
                Err(failure) => return Err(failure),
                Ok(open) => {
                    let (panicked, appended) = (AtomicBool::new(false), AtomicU64::new(0));
                    let start = Mutex::new(Start::WHOLE);
                    let db = open.0.clone();
                    let nudge = Nudge::new(move || drop(catch(|| db.flush()))).map_err(|error| SledFailure {
                        refused: error.raw_os_error(),
                        path: path.join("db"),
                        ..SledFailure::of(&format!("no thread to watch over it: {error}"))
                    })?;
                    return Ok(SledStore {
                        open: Some(open),
                        nudge: Some(nudge),
                        panicked,
                        appended,
                        start,
                        held,
                        path: path.to_owned(),
                    });
                }
            }
        }
        Err(held.explain(SledFailure { is_locked: true, ..SledFailure::of("it stays locked") }, path))
    }

    /// Removes the directory of a private copy, which stays readable by what sled has open. Nothing may be stored in it from here
    /// on: sled would make a file of its own by a path that is gone.
    pub(super) fn unlink_copy(&mut self) {
        if let Held::Copy { directory } = &mut self.held {
            drop(directory.take());
        }
    }

    /// Stores a frame: as one entry if it fits, which is atomic by itself and a quarter faster, else as a batch.
    pub(super) fn put(&self, frame: &Frame<'_>) -> Result<(), SledFailure> {
        let (base, bytes) = (frame.first(), frame.bytes());
        self.guard(|_, tree| {
            if bytes.len() <= PART_LENGTH {
                return tree.insert(key(base, 0), bytes).map(drop);
            }
            let mut batch = Batch::default();
            for (part, value) in (0..).zip(bytes.chunks(PART_LENGTH)) {
                batch.insert(&key(base, part), value);
            }
            tree.apply_batch(batch)
        })
    }

    /// Hands everything to the operating system. Not durable: on Linux sled neither syncs the length of the file
    /// nor the cache of the drive.
    pub(super) fn flush(&self) -> Result<(), SledFailure> {
        self.guard(|db, _| db.flush().map(drop))
    }

    /// Runs `work`; after a panic every further call is refused.
    pub(super) fn guard<T>(&self, work: impl FnOnce(&Db, &Tree) -> ::sled::Result<T>) -> Result<T, SledFailure> {
        let Some((db, tree)) = self.open.as_ref().filter(|_| !self.panicked.load(Ordering::Acquire)) else {
            return Err(SledFailure::of("it panicked earlier"));
        };
        let _call = self.nudge.as_ref().map(Nudge::call);
        catch(|| work(db, tree)).map_err(|failure| {
            if failure.is_panic() {
                self.panicked.store(true, Ordering::Release);
            }
            self.held.explain(failure, &self.path)
        })
    }

    /// The last event that readers may go to. sled shows the parts of a batch one by one; a reader that stops here
    /// never sees half a frame.
    pub(super) fn appended(&self) -> Seq {
        Seq(self.appended.load(Ordering::Acquire))
    }

    pub(super) fn set_appended(&self, seq: Seq) {
        self.appended.store(seq.0, Ordering::Release);
    }

    /// Where the log begins. What is stored before that is on its way out.
    pub(super) fn start(&self) -> Start {
        *self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_start(&self, start: Start) {
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = start;
    }

    /// Reads where the log begins from what is stored.
    pub(super) fn read_start(&self) -> Result<(), LogError> {
        let Some(bytes) = self.guard(|_, tree| tree.get(START_KEY))? else { return Ok(()) };
        let start = Start::decode(&bytes).map_err(|found| LogError::Damaged { at: Seq(1), found })?;
        self.set_start(start);
        Ok(())
    }

    /// Stores where the log begins from now on.
    pub(super) fn put_start(&self, start: Start) -> Result<(), SledFailure> {
        self.guard(|_, tree| tree.insert(START_KEY, start.encode().as_slice()).map(drop))
    }

    /// Removes at most `limit` entries of frames before the start, the oldest first. Whether there may be more.
    pub(super) fn remove_prefix(&self, limit: usize) -> Result<bool, SledFailure> {
        let end = key(self.start().first(), 0);
        self.guard(|_, tree| {
            let old: Vec<_> = tree.range(key(Seq(1), 0)..end).keys().take(limit).collect::<Result<_, _>>()?;
            old.iter().try_for_each(|name| tree.remove(name).map(drop))?;
            Ok(old.len() == limit)
        })
    }

    /// Closes sled. It syncs its file once more, and panics if that fails; what was synced before stays so.
    pub(super) fn close(mut self) -> Result<(), SledFailure> {
        self.let_go()
    }

    /// sled flushes in a loop when it is dropped. After an I/O error that ends at once; after a panic it may wait for
    /// ever for a thread that is gone, so then it is left alone: the directory stays locked, and held, until this process ends.
    fn let_go(&mut self) -> Result<(), SledFailure> {
        drop(self.nudge.take());
        let Some(open) = self.open.take() else { return Ok(()) };
        let is_log = matches!(self.held, Held::Log { .. });
        let lock = if is_log { SledLock::find(&self.path.join("db")) } else { None };
        if self.panicked.load(Ordering::Acquire) {
            mem::forget(open);
            self.held.keep();
            return Ok(());
        }
        let closed = catch(move || {
            drop(open);
            Ok(())
        });
        lock.into_iter().for_each(SledLock::let_go);
        self.held.let_go(&self.path);
        closed.map_err(|failure| self.held.explain(failure, &self.path))
    }
}

/// Of a log that readers have held open for longer than its writer: what was acknowledged had been synced by then.
impl Drop for SledStore {
    fn drop(&mut self) {
        if let Err(failure) = self.let_go()
            && matches!(self.held, Held::Log { .. })
        {
            let error = failure.into_error("closing");
            warn!(%error, "the disk fails; what was acknowledged had been synced before");
        }
    }
}

const PANICKED: &str = "it panicked: ";

impl SledFailure {
    pub(super) fn of(text: &str) -> Self {
        SledFailure { text: text.to_owned(), path: PathBuf::new(), refused: None, is_locked: false }
    }

    pub(super) fn disk_is_full(&self) -> bool {
        self.refused == Some(Errno::NOSPC.raw_os_error())
    }

    /// What it means for a log that was to be opened. What the operating system refuses is no damage.
    pub(super) fn while_opening(self) -> OpenError {
        if self.is_locked {
            return OpenError::Busy { holder: lock_holder(&self.path), path: self.path };
        }
        self.into_error("opening").into()
    }

    /// What it means for a log that is open.
    pub(super) fn into_error(self, doing: &'static str) -> LogError {
        match self.refused {
            Some(number) => LogError::Io { doing, path: self.path, source: io::Error::from_raw_os_error(number) },
            None => LogError::Storage(self.text),
        }
    }

    fn is_panic(&self) -> bool {
        self.text.starts_with(PANICKED)
    }
}

/// The name of one part of a frame; big-endian, so that sled's order is the log's.
pub(super) fn key(base: Seq, part: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&base.0.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// sled holds `db` locked until the last of its threads is through with it. A second is far more than it was ever
/// seen to need; after it the final length is what it is. Whether it is unlocked.
pub(super) fn wait_until_unlocked(db: &File) -> bool {
    for _ in 0..200 {
        match db.try_lock() {
            Ok(()) => return db.unlock().is_ok(),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::Error(_)) => return false,
        }
    }
    false
}

fn open_once(path: &Path) -> Result<(Db, Tree), SledFailure> {
    catch(|| {
        // No background flusher: a thread that syncs on its own would make failures land outside our calls.
        let db = Config::new().path(path).cache_capacity(CACHE_CAPACITY).flush_every_ms(None).open()?;
        let tree = db.open_tree(TREE)?;
        Ok((db, tree))
    })
}

/// Runs `work` and turns an error or panic of sled into text. The panic message still goes to the program's panic
/// hook, which is not ours to change; that of our own programs leaves what the operating system refuses to this one.
fn catch<T>(work: impl FnOnce() -> ::sled::Result<T>) -> Result<T, SledFailure> {
    match catch_and_tell(work) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            // A lock is refused with the number of what passes by itself.
            let is_locked = is_lock(&error);
            let refused = match &error {
                ::sled::Error::Io(error) if !is_locked => number_of(error),
                _ => None,
            };
            Err(SledFailure { refused, is_locked, ..SledFailure::of(&said(&error)) })
        }
        Err(text) => Err(SledFailure { refused: number_in(&text), ..SledFailure::of(&format!("{PANICKED}{text}")) }),
    }
}

/// Whether another process, or a thread of a store that was dropped, has the file locked. Where no lock can be had at all,
/// the operating system has another number.
fn is_lock(error: &::sled::Error) -> bool {
    let ::sled::Error::Io(error) = error else { return false };
    let text = error.to_string();
    text.contains("could not acquire lock") && number_written_in(&text) == Some(Errno::AGAIN.raw_os_error())
}

/// The number of what the operating system refused. sled wraps an error of which it speaks a second time.
fn number_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().filter(|number| is_refusal(*number)).or_else(|| number_in(&error.to_string()))
}

/// The same out of the text of a panic or of a wrapped error, which has the notation of the program.
fn number_in(text: &str) -> Option<i32> {
    number_written_in(text).filter(|number| is_refusal(*number))
}

fn number_written_in(text: &str) -> Option<i32> {
    let (_, behind) = text.split_once("Os { code: ")?;
    behind.split_once(',')?.0.parse().ok()
}

/// Whether an error of the operating system says something of the system: a disk that does not answer, something that is
/// short, a limit, a right. The others are what a damaged number or name in a file leads to.
fn is_refusal(number: i32) -> bool {
    use Errno as E;
    let of_what_is_stored =
        [E::NOENT, E::NOTDIR, E::ISDIR, E::INVAL, E::OVERFLOW, E::NAMETOOLONG, E::BADF, E::NOTEMPTY, E::EXIST];
    of_what_is_stored.iter().all(|errno| errno.raw_os_error() != number)
}

/// What sled says, but for its own notation of places and an empty backtrace.
fn said(error: &::sled::Error) -> String {
    match error {
        ::sled::Error::Corruption { at: Some(at), .. } => format!("what it reads at byte {} is damaged", at.lid()),
        ::sled::Error::Corruption { at: None, .. } => "what it reads is damaged".to_owned(),
        // What it says again of an error that it had before is in the notation of the program.
        ::sled::Error::Io(error) if error.raw_os_error().is_none() => format!("IO error: {}", error.kind()),
        error => error.to_string(),
    }
}

/// Of a log that is read.
impl From<SledFailure> for LogError {
    fn from(failure: SledFailure) -> Self {
        failure.into_error("reading")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn failure(error: io::Error) -> SledFailure {
        catch(|| Err::<(), _>(::sled::Error::Io(error))).unwrap_err()
    }

    #[test]
    fn defect_41_what_is_short_is_read_out_of_a_panic() {
        for errno in [Errno::MFILE, Errno::IO, Errno::ROFS] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            let said = format!("called `Result::unwrap()` on an `Err` value: {:?}", ::sled::Error::Io(error));
            assert_eq!(number_in(&said), Some(errno.raw_os_error()));
        }
        assert_eq!(number_in("index out of bounds"), None);
    }

    /// An error of the disk is none of what is stored, also when sled says it a second time; an end that comes too early,
    /// and a place that no file has, are.
    #[test]
    fn what_the_operating_system_refuses_is_no_damage() {
        for errno in [Errno::IO, Errno::ROFS, Errno::NOSPC, Errno::ACCESS, Errno::DQUOT] {
            let error = io::Error::from(errno);
            let again = ::sled::Error::Io(io::Error::from(errno)).clone();
            let ::sled::Error::Io(again) = again else { unreachable!("it stays what it is") };
            for error in [error, again] {
                let shown = format!("{error:?}");
                assert_eq!(failure(error).while_opening().kind(), ErrorKind::Io, "{shown}");
            }
        }
        for damage in [io::ErrorKind::UnexpectedEof.into(), io::Error::other("torn"), Errno::INVAL.into()] {
            let shown = format!("{damage:?}");
            assert_eq!(failure(damage).while_opening().kind(), ErrorKind::Damaged, "{shown}");
        }
    }
}
