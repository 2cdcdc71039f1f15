//! Directories for private copies, none of which outlives its process for long. It owns their names and their locks; it does not
//! know what is put there.
//!
//! A directory is locked (`flock`) by who made it. Once sled has its file open the directory is removed, so that whatever ends the
//! process leaves nothing behind: sled 0.34.7 reads and writes `db` by its descriptor, and by paths only what it stores beside
//! it, which a log never makes. Who is killed before that leaves a directory that nobody has locked, and the next reader removes it.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};

use crate::held;
use crate::log::OpenError;

/// How their names begin. Those of earlier versions began otherwise, and were not locked.
const NAME: &str = "lastword-copy-";

/// A directory that only this process uses, and that is removed with this value, or by [`remove_private_copies`].
pub(super) struct TemporaryDirectory(PathBuf);

/// What keeps others from removing it, and what removing it takes, of which there may be none left by then: a descriptor for
/// each of its levels.
struct Kept {
    _lock: File,
    spare: [File; 3],
}

/// Those of this process; nothing once they were all removed because it ends.
static COPIES: Mutex<Option<BTreeMap<PathBuf, Kept>>> = Mutex::new(Some(BTreeMap::new()));

fn copies() -> MutexGuard<'static, Option<BTreeMap<PathBuf, Kept>>> {
    COPIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every private copy of this process, for one that is about to end by a signal. None can be made afterwards.
pub fn remove_private_copies() {
    let Some(copies) = copies().take() else { return };
    for (path, Kept { spare, _lock }) in copies {
        drop(spare);
        // Who is just copying may add a file while the directory is removed, and hears of it with the next one.
        let _ = (0..3).any(|_| fs::remove_dir_all(&path).is_ok());
    }
}

impl TemporaryDirectory {
    /// Making a directory either succeeds for one or says that the name is taken, and it follows no link, so a
    /// counter is as good as randomness here.
    pub(super) fn create() -> Result<Self, OpenError> {
        let parent = env::temp_dir();
        sweep(&parent);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        let mut copies = copies();
        let Some(copies) = &mut *copies else {
            return Err(OpenError::io("creating a directory in", &parent)(io::ErrorKind::Interrupted.into()));
        };
        let opening = "making a private copy below TMPDIR, which is";
        let spare = || File::open(&parent).map_err(OpenError::io(opening, &parent));
        let spare = [spare()?, spare()?, spare()?];
        for number in 0..10_000 {
            let path = parent.join(format!("{NAME}{}-{number}", process::id()));
            match held::make_directory(&path) {
                Ok(true) => {
                    // Another reader may have taken it for one that was left behind.
                    let locked = lock(&path).map_err(|error| {
                        // It is empty, which takes no descriptor to remove.
                        let _ = fs::remove_dir(&path);
                        OpenError::io("locking", &path)(error)
                    });
                    let Some(lock) = locked? else { continue };
                    copies.insert(path.clone(), Kept { _lock: lock, spare });
                    return Ok(TemporaryDirectory(path));
                }
                Ok(false) => {}
                // Or it was taken for one while it was made.
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {
                    last = error
                }
                Err(error) => return Err(OpenError::io("creating", &path)(error)),
            }
        }
        Err(OpenError::io("creating a directory in", &parent)(last))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let mut copies = copies();
        let kept = copies.as_mut().and_then(|copies| copies.remove(&self.0));
        // Without them there may be no descriptor to remove it with; the lock is let go only after it.
        let lock = kept.map(|Kept { _lock, spare }| {
            drop(spare);
            _lock
        });
        let _ = fs::remove_dir_all(&self.0);
        drop(lock);
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Locks a directory that was just made. Nothing if it was taken away meanwhile.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let directory = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match directory.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        // Where nothing can be locked nobody finds it unlocked either.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    let is_there = fs::symlink_metadata(path)
        .is_ok_and(|found| directory.metadata().is_ok_and(|ours| identity(found) == identity(ours)));
    Ok(is_there.then_some(directory))
}

/// Removes what readers that were killed have left: their locks went with them. What cannot be removed is no reason not to read.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let user = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(NAME) {
            continue;
        }
        let path = entry.path();
        let Ok(directory) = open(&path) else { continue };
        let is_ours = directory.metadata().is_ok_and(|found| found.uid() == user);
        if is_ours && directory.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}
