//! Objects as files in a directory beside the log: `ab/<64 hex digits>`, where `ab` are the first two digits.
//!
//! The order of the steps is the promise: write a temporary file, sync it, rename it into place, sync the
//! directory. So a file that has a final name is always whole, and an object is durable once `put` returns.
//! Temporary files live in `tmp/`, apart from the objects, so that a listing never meets one and sweeping them
//! reads one directory.
//!
//! *Architecture invariant:* one writer. The process that opens for writing holds the log's lock; readers use
//! [`FileObjects::open_read_only`], which changes nothing on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{MAX_OBJECT_BYTES, ObjectError, Objects, check_len, object_hash};
use crate::core::vocabulary::ObjectHash;

const TEMPORARY: &str = "tmp";
/// One directory per value of the first byte of a hash: at a million objects each holds about 4,000 names.
const FANOUT: usize = 256;

/// Objects as files of one directory. Directories are 0700, files 0600: what a source holds may be private.
#[derive(Debug)]
pub struct FileObjects {
    root: PathBuf,
    writer: Option<Mutex<Writer>>,
    /// The log that they belong to.
    state: Option<PathBuf>,
}

/// What only the writer knows.
#[derive(Debug)]
struct Writer {
    /// Which of the directories were synced since this value was opened, and not changed since. A file found
    /// there is durable. One found in any other may have been renamed by a process that died before it synced
    /// the directory: it is in the page cache and would be gone after a power cut, so that directory is synced.
    synced: [bool; FANOUT],
    /// Counts temporary names.
    next: u64,
    /// After a sync failed the kernel may have dropped the pages and report the next sync as a success, so no
    /// sync is repeated: this value stores nothing any more and has to be opened again.
    poisoned: bool,
}

impl Writer {
    fn sync(&mut self, directory: &Path) -> Result<(), ObjectError> {
        let synced = sync_dir(directory);
        self.poisoned |= synced.is_err();
        synced
    }
}

impl FileObjects {
    /// Opens the directory for writing, creates it where it is missing (its parent must exist), and removes
    /// temporary files that a crash left behind. The caller holds the lock that keeps other writers out.
    ///
    /// # Errors
    /// When the directory cannot be made, synced, or swept.
    pub fn open(directory: impl Into<PathBuf>) -> Result<FileObjects, ObjectError> {
        let root = directory.into();
        make_dir(&root)?;
        let temporary = root.join(TEMPORARY);
        make_dir(&temporary)?;
        // Directories that a process made and did not live to sync are made durable here, once for all.
        sync_dir(parent_of(&root))?;
        sync_dir(&root)?;
        for entry in read_dir(&temporary)? {
            remove_file(&entry)?;
        }
        let writer = Writer { synced: [false; FANOUT], next: 0, poisoned: false };
        Ok(FileObjects { root, writer: Some(Mutex::new(writer)), state: None })
    }

    /// Opens an existing directory to read from. Nothing is created, swept or changed; `put` and `remove` refuse.
    ///
    /// # Errors
    /// When it is not a directory.
    pub fn open_read_only(directory: impl Into<PathBuf>) -> Result<FileObjects, ObjectError> {
        let root = directory.into();
        read_dir(&root)?;
        Ok(FileObjects { root, writer: None, state: None })
    }

    /// The same objects as those of the log in this directory.
    #[must_use]
    pub fn of_log(self, state: impl Into<PathBuf>) -> FileObjects {
        FileObjects { state: Some(state.into()), ..self }
    }

    fn dir_of(&self, hash: ObjectHash) -> PathBuf {
        let [first, ..] = hash.0;
        self.root.join(format!("{first:02x}"))
    }

    fn path_of(&self, hash: ObjectHash) -> PathBuf {
        self.dir_of(hash).join(hash.to_string())
    }

    fn write(&self) -> Result<MutexGuard<'_, Writer>, ObjectError> {
        let refuse = |why: &str| Err(failed("write to", &self.root)(io::Error::other(why.to_owned())));
        let Some(writer) = &self.writer else {
            return refuse("it was opened to read only");
        };
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.poisoned {
            return refuse("an earlier sync failed; it has to be opened again");
        }
        Ok(writer)
    }

    /// Stores one batch; the caller marks the writer as poisoned where a sync fails.
    fn put_batch(&self, writer: &mut Writer, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        let mut hashes = Vec::with_capacity(objects.len());
        let mut touched = [false; FANOUT];
        for bytes in objects {
            let hash = object_hash(bytes);
            let slot = usize::from(hash.0[0]);
            if !self.holds(hash, bytes)? {
                self.put_one(writer, hash, bytes)?;
                writer.synced[slot] = false;
            }
            touched[slot] |= !writer.synced[slot];
            hashes.push(hash);
        }
        for (slot, _) in touched.iter().enumerate().filter(|(_, touched)| **touched) {
            writer.sync(&self.root.join(format!("{slot:02x}")))?;
            writer.synced[slot] = true;
        }
        Ok(hashes)
    }

    /// Whether exactly these bytes are held under their name. A file that differs is damaged, and is replaced.
    fn holds(&self, hash: ObjectHash, bytes: &[u8]) -> Result<bool, ObjectError> {
        match self.get(hash) {
            Ok(held) => Ok(held == bytes),
            Err(ObjectError::Missing(_) | ObjectError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn put_one(&self, writer: &mut Writer, hash: ObjectHash, bytes: &[u8]) -> Result<(), ObjectError> {
        if make_dir(&self.dir_of(hash))? {
            writer.sync(&self.root)?;
        }
        let temporary = self.root.join(TEMPORARY).join(writer.next.to_string());
        writer.next = writer.next.saturating_add(1);
        let written = write_synced(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, self.path_of(hash)).map_err(failed("rename", &temporary)));
        if written.is_err() {
            // Best effort: what stays behind is swept when the directory is opened next.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

impl Objects for FileObjects {
    fn state_directory(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        objects.iter().try_for_each(|bytes| check_len(bytes))?;
        let mut writer = self.write()?;
        self.put_batch(&mut writer, objects)
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        let path = self.path_of(hash);
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ObjectError::Missing(hash),
            _ => failed("read", &path)(error),
        };
        // A symbolic link or a device is not an object, and is not opened: no writer of ours made it.
        let listed = fs::symlink_metadata(&path).map_err(io)?;
        if !listed.is_file() || listed.len() > MAX_OBJECT_BYTES as u64 {
            return Err(ObjectError::Damaged(hash));
        }
        let file = File::open(&path).map_err(io)?;
        let opened = file.metadata().map_err(io)?;
        if !opened.is_file() {
            return Err(ObjectError::Damaged(hash));
        }
        let mut bytes = Vec::new();
        file.take(MAX_OBJECT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        if object_hash(&bytes) == hash { Ok(bytes) } else { Err(ObjectError::Damaged(hash)) }
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        let mut hashes = Vec::new();
        for slot in 0..FANOUT {
            let directory = self.root.join(format!("{slot:02x}"));
            if !directory.is_dir() {
                continue;
            }
            // Names that are no hash, or lie in another hash's directory, are not ours and are left alone.
            let names = read_dir(&directory)?.into_iter().filter_map(|path| {
                let hash = ObjectHash::from_hex(path.file_name()?.to_str()?)?;
                (self.path_of(hash) == path).then_some(hash)
            });
            hashes.extend(names);
        }
        hashes.sort_unstable();
        Ok(hashes)
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        let _writer = self.write()?;
        // Not synced: an object that comes back after a power cut is one that nothing names, and goes next time.
        remove_file(&self.path_of(hash))
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ObjectError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// Makes one directory and says whether it was missing. Its name is not durable yet. A link to a directory is none:
/// what is stored and swept here would be stored and swept where it leads.
fn make_dir(path: &Path) -> Result<bool, ObjectError> {
    let is_there = || fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_there() => Ok(false),
        Err(error) => Err(failed("create the directory", path)(error)),
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_dir(path: &Path) -> Result<(), ObjectError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync the directory", path))
}

fn read_dir(path: &Path) -> Result<Vec<PathBuf>, ObjectError> {
    fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(failed("list", path))
}

fn remove_file(path: &Path) -> Result<(), ObjectError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> ObjectError {
    move |error| ObjectError::Io(format!("{doing} {}", path.display()), error)
}
