//! Objects as files in a directory beside the log: `ab/<64 hex digits>`, where `ab` are the first two digits.
//!
//! The order of the steps is the promise: write a temporary file, sync it, rename it into place, sync the
//! directory. So a file that has a final name is always whole, and an object is durable once `put` returns.
//! Temporary files live in `tmp/`, apart from the objects, so that a listing never meets one and sweeping them
//! reads one directory.
//!
//! The directory is held open, and everything is reached through it: should its path come to lead elsewhere, nothing is
//! written there, and nothing counts as stored.
//!
//! *Architecture invariant:* one writer. The process that opens for writing holds the log's lock; readers use
//! [`FileObjects::open_read_only`], which changes nothing on the disk. A store of a writer that has ended may still be in
//! use by a worker that was given up: it shares no name and no knowledge with the next one.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{MAX_OBJECT_BYTES, ObjectError, Objects, check_len, object_hash};
use crate::core::vocabulary::ObjectHash;
use crate::held::{HeldDirectory, NO_INODES, lacks_inodes, make_directory};

const TEMPORARY: &str = "tmp";
/// One directory per value of the first byte of a hash: at a million objects each holds about 4,000 names.
const FANOUT: usize = 256;
/// How many objects are known to be durable, at 40 bytes each. Beyond that it is forgotten, which costs syncs.
const MOST_KNOWN: usize = 1 << 16;

/// Bytes beyond a file's length with which its end is met by the read that follows.
const ROOM_TO_END: usize = 64;

/// Objects as files of one directory. Directories are 0700, files 0600: what a source holds may be private.
#[derive(Debug)]
pub struct FileObjects {
    root: HeldDirectory,
    writer: Option<Mutex<Writer>>,
    /// The log that they belong to.
    state: Option<PathBuf>,
}

/// What only the writer knows.
#[derive(Debug)]
struct Writer {
    /// Objects that are durable: this value has synced their directory since it put or found them there. Any other that
    /// is found may have been renamed by a store that did not live to sync the directory, or has not come to it yet: it
    /// is in the page cache and would be gone after a power cut, so that directory is synced.
    durable: BTreeSet<ObjectHash>,
    /// Names the temporary files of this value, and of no other in any process.
    name: String,
    /// Counts them.
    next: u64,
    /// After a sync failed the kernel may have dropped the pages and report the next sync as a success, so no
    /// sync is repeated: this value stores nothing any more and has to be opened again.
    poisoned: bool,
}

impl FileObjects {
    /// Opens the directory for writing, creates it where it is missing (its parent must exist), and removes
    /// temporary files that a crash left behind: those that nobody writes any more. The caller holds the lock that keeps
    /// other writers out; a worker that was given up may still be storing through an older value.
    ///
    /// # Errors
    /// When the directory cannot be made, synced, or swept.
    pub fn open(directory: impl Into<PathBuf>) -> Result<FileObjects, ObjectError> {
        let path = directory.into();
        // Their names are not durable yet. A link to a directory is none: what is stored and swept here would be stored and
        // swept where it leads.
        make_directory(&path).map_err(failed("create the directory", &path))?;
        let root = HeldDirectory::open(&path).map_err(failed("open", &path))?;
        root.make_directory(TEMPORARY).map_err(failed("create the directory", &path.join(TEMPORARY)))?;
        (0..FANOUT).for_each(|slot| root.let_owner_into(&format!("{slot:02x}")));
        // Directories that a process made and did not live to sync are made durable here, once for all.
        sync_dir(parent_of(&path))?;
        root.sync().map_err(failed("sync the directory", &path))?;
        let name = format!("{:x}-{:016x}", process::id(), RandomState::new().build_hasher().finish());
        let writer = Writer { durable: BTreeSet::new(), name, next: 0, poisoned: false };
        let objects = FileObjects { root, writer: Some(Mutex::new(writer)), state: None };
        objects.sweep_temporary()?;
        Ok(objects)
    }

    /// Opens an existing directory to read from. Nothing is created, swept or changed; `put` and `remove` refuse.
    ///
    /// # Errors
    /// When it is not a directory.
    pub fn open_read_only(directory: impl Into<PathBuf>) -> Result<FileObjects, ObjectError> {
        let path = directory.into();
        let root = HeldDirectory::open(&path).map_err(failed("open", &path))?;
        Ok(FileObjects { root, writer: None, state: None })
    }

    /// The same objects as those of the log in this directory.
    #[must_use]
    pub fn of_log(self, state: impl Into<PathBuf>) -> FileObjects {
        FileObjects { state: Some(state.into()), ..self }
    }

    /// Who writes a temporary file holds it locked until it has its final name.
    fn sweep_temporary(&self) -> Result<(), ObjectError> {
        let path = self.root.path().join(TEMPORARY);
        for name in self.root.names(TEMPORARY).map_err(failed("list", &path))? {
            let name = format!("{TEMPORARY}/{}", name.to_string_lossy());
            let is_in_use = self.root.open_to_read(&name).map(|file| (file.try_lock(), file));
            if let Ok((Err(TryLockError::WouldBlock), _)) = is_in_use {
                continue;
            }
            self.root.remove_file(&name).map_err(failed("remove", &self.root.path().join(&name)))?;
        }
        Ok(())
    }

    fn path_of(&self, hash: ObjectHash) -> PathBuf {
        self.root.path().join(name_of(hash))
    }

    fn write(&self) -> Result<MutexGuard<'_, Writer>, ObjectError> {
        let refuse = |why: &str| Err(failed("write to", self.root.path())(io::Error::other(why.to_owned())));
        let Some(writer) = &self.writer else {
            return refuse("it was opened to read only");
        };
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.poisoned {
            return refuse("an earlier sync failed; it has to be opened again");
        }
        Ok(writer)
    }

    /// Stores one batch.
    fn put_batch(&self, writer: &mut Writer, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        let mut hashes = Vec::with_capacity(objects.len());
        let mut touched = [false; FANOUT];
        for bytes in objects {
            let hash = object_hash(bytes);
            if !self.holds(hash, bytes)? {
                self.put_one(writer, hash, bytes)?;
                writer.durable.remove(&hash);
            }
            touched[usize::from(hash.0[0])] |= !writer.durable.contains(&hash);
            hashes.push(hash);
        }
        for (slot, _) in touched.iter().enumerate().filter(|(_, touched)| **touched) {
            let name = format!("{slot:02x}");
            let path = self.root.path().join(&name);
            // Without descriptors it cannot be opened. That is no sync that has failed: the next batch does it.
            let directory = self.root.below(&name).map_err(self.not_stored())?;
            let synced = directory.sync();
            writer.poisoned |= synced.is_err();
            synced.map_err(failed("sync the directory", &path))?;
        }
        if writer.durable.len() > MOST_KNOWN {
            writer.durable.clear();
        }
        writer.durable.extend(&hashes);
        Ok(hashes)
    }

    /// Whether exactly these bytes are held under their name. A file that differs is damaged, and is replaced.
    fn holds(&self, hash: ObjectHash, bytes: &[u8]) -> Result<bool, ObjectError> {
        match self.read(hash) {
            Ok(held) => Ok(held == bytes),
            Err(ObjectError::Missing(_) | ObjectError::Damaged(_) | ObjectError::NotRemoved(_)) => Ok(false),
            Err(ObjectError::Io(_, error)) => Err(self.not_stored()(error)),
        }
    }

    /// What lies under a name, whatever it is.
    fn read(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        let name = name_of(hash);
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ObjectError::Missing(hash),
            _ => failed("read", &self.path_of(hash))(error),
        };
        // A symbolic link or a device is not an object, and is not opened: no writer of ours made it.
        let length = self.root.length_of_file(&name).map_err(io)?;
        let Some(length) = length.filter(|length| *length <= MAX_OBJECT_BYTES as u64) else {
            return Err(ObjectError::Damaged(hash));
        };
        let file = self.root.open_to_read(&name).map_err(io)?;
        let opened = file.metadata().map_err(io)?;
        if !opened.is_file() {
            return Err(ObjectError::Damaged(hash));
        }
        // With room for all of it, and to see that nothing follows, it is read in one piece.
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(ROOM_TO_END));
        file.take(MAX_OBJECT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    fn put_one(&self, writer: &mut Writer, hash: ObjectHash, bytes: &[u8]) -> Result<(), ObjectError> {
        let directory = format!("{:02x}", hash.0[0]);
        if self.root.make_directory(&directory).map_err(self.not_stored())? {
            let synced = self.root.sync();
            writer.poisoned |= synced.is_err();
            synced.map_err(failed("sync the directory", self.root.path()))?;
        }
        let (temporary, file) = self.create_temporary(writer)?;
        let written = write_synced(&file, bytes)
            .and_then(|()| self.root.rename(&temporary, &name_of(hash)))
            .map_err(self.not_stored());
        if written.is_err() {
            // Best effort: what stays behind is swept when the directory is opened next.
            let _ = self.root.remove_file(&temporary);
        }
        written
    }

    /// A new file under a name of its own, locked: what is locked is not swept.
    fn create_temporary(&self, writer: &mut Writer) -> Result<(String, File), ObjectError> {
        loop {
            let name = format!("{TEMPORARY}/{}-{}", writer.name, writer.next);
            writer.next = writer.next.saturating_add(1);
            let file = self.root.create_new(&name).map_err(self.not_stored())?;
            // Between the two calls another store that is opened may have swept it.
            match file.try_lock() {
                Ok(()) if self.root.is_file(&name) => return Ok((name, file)),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(self.not_stored()(error)),
            }
        }
    }

    /// An error of one object. It names neither the temporary file nor the step: the same obstacle is met with another file
    /// at every try, and whoever logs a cause when it changes would log each of them.
    fn not_stored(&self) -> impl Fn(io::Error) -> ObjectError {
        failed("store an object in", self.root.path())
    }

    /// What is stored has to be found by whoever is given the path.
    fn check_place(&self) -> Result<(), ObjectError> {
        let found = self.root.check().map_err(failed("look at", self.root.path()))?;
        let refused = |replaced| failed("store objects in", self.root.path())(io::Error::other(replaced));
        found.map_or(Ok(()), |replaced| Err(refused(replaced)))
    }
}

impl Objects for FileObjects {
    fn state_directory(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        objects.iter().try_for_each(|bytes| check_len(bytes))?;
        let mut writer = self.write()?;
        let hashes = self.put_batch(&mut writer, objects)?;
        self.check_place()?;
        Ok(hashes)
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        let bytes = self.read(hash)?;
        if object_hash(&bytes) == hash { Ok(bytes) } else { Err(ObjectError::Damaged(hash)) }
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        let mut hashes = Vec::new();
        for slot in 0..FANOUT {
            let directory = format!("{slot:02x}");
            // A link to a directory is none: what it leads to is not ours to sweep.
            if !self.root.is_directory(&directory) {
                continue;
            }
            let names = self.root.names(&directory).map_err(failed("list", &self.root.path().join(&directory)))?;
            // Names that are no hash, or lie in another hash's directory, are not ours and are left alone.
            let ours = |hash: &ObjectHash| usize::from(hash.0[0]) == slot;
            hashes.extend(names.iter().filter_map(|name| ObjectHash::from_hex(name.to_str()?).filter(ours)));
        }
        hashes.sort_unstable();
        Ok(hashes)
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        let mut writer = self.write()?;
        writer.durable.remove(&hash);
        // Not synced: an object that comes back after a power cut is one that nothing names, and goes next time.
        self.root.remove_file(&name_of(hash)).map_err(failed("remove", &self.path_of(hash)))
    }
}

/// Relative to the root.
fn name_of(hash: ObjectHash) -> String {
    format!("{:02x}/{hash}", hash.0[0])
}

fn write_synced(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_dir(path: &Path) -> Result<(), ObjectError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync the directory", path))
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> ObjectError {
    move |error| {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let error = match full && lacks_inodes(path) {
            true => io::Error::new(io::ErrorKind::StorageFull, format!("{error}: {NO_INODES}")),
            false => error,
        };
        ObjectError::Io(format!("{doing} {}", path.display()), error)
    }
}
