//! The directory of a log: what lies where, who may touch it, the lock, and room for a full disk.
//!
//! ```text
//! STATE/          0700
//!   LOCK          held (flock) by the writer
//!   HEAD          the anchor
//!   ballast       1 MiB that is given up when the disk is full
//!   objects/      immutable objects, not the log's business
//!   snapshots/    states at some events, a cache
//!   notes/        what attempts have kept for those after them, a cache
//!   sled/         the storage engine's own
//!   new/          sled/ while it is being created
//!   before/       a copy of sled/ while it is being opened
//!   rejected/     sled/ as a failed opening left it, on its way out
//! ```

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::anchor::{Anchor, AnchorError, FILE_LENGTH, decode_file, first_file};
use super::error::OpenError;
use super::lock::WriterLock;
use crate::held::{HeldDirectory, make_directory};

/// 1 MiB. When it opens, sled fills up the segment it stopped in, up to 512 KiB, and writes a snapshot of some bytes
/// per page; the rest is for what comes after.
const BALLAST_LENGTH: usize = 1 << 20;

const FILES: [&str; 4] = ["LOCK", "HEAD", "HEAD.new", "ballast"];
const DIRECTORIES: [&str; 7] = ["sled", "new", "objects", "snapshots", "notes", "before", "rejected"];

/// The paths of one log.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// What people know it by, if its paths go through a descriptor.
    shown: Option<PathBuf>,
}

impl Directory {
    pub(super) fn at(path: &Path) -> Self {
        Directory { path: path.to_owned(), shown: None }
    }

    /// The same directory for as long as `held` lives, whatever its path comes to lead to: its paths go through the
    /// descriptor. Where there is no such path they stay as they are.
    pub(super) fn of_held(held: &HeldDirectory) -> Self {
        match held.path_of_descriptor() {
            Some(path) => Directory { path, shown: Some(held.path().to_owned()) },
            None => Directory::at(held.path()),
        }
    }

    /// What lies in it is reached by this.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory by the path that people know.
    pub(super) fn shown(&self) -> Directory {
        Directory::at(self.shown.as_ref().unwrap_or(&self.path))
    }

    /// The error with the paths that people know.
    pub(super) fn explain(&self, error: OpenError) -> OpenError {
        match &self.shown {
            Some(shown) => error.with_path(&self.path, shown),
            None => error,
        }
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("LOCK")
    }

    pub(super) fn head(&self) -> PathBuf {
        self.path.join("HEAD")
    }

    pub(super) fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    pub(super) fn sled(&self) -> PathBuf {
        self.path.join("sled")
    }

    pub(super) fn db(&self) -> PathBuf {
        self.path.join("sled/db")
    }

    pub(super) fn new_sled(&self) -> PathBuf {
        self.path.join("new")
    }

    pub(super) fn before(&self) -> PathBuf {
        self.path.join("before")
    }

    pub(super) fn rejected(&self) -> PathBuf {
        self.path.join("rejected")
    }

    /// What the directory holds, before anything is touched: a log, nothing yet, or what belongs to another program.
    pub(super) fn inspect(&self) -> Result<Found, OpenError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return dangling_link(&self.path).map_or(Ok(Found::Nothing), Err);
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(OpenError::NotALog { path: self.path.clone(), found: "a file".to_owned() });
            }
            Err(error) => return Err(OpenError::io("listing", &self.path)(error)),
        };
        let mut foreign = None;
        let (mut head, mut sled) = (false, false);
        for entry in entries {
            let entry = entry.map_err(OpenError::io("listing", &self.path))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            head |= name == "HEAD";
            sled |= name == "sled";
            if !FILES.contains(&name.as_str()) && !DIRECTORIES.contains(&name.as_str()) {
                foreign = Some(name);
            }
        }
        match (head || sled, foreign) {
            (true, _) => Ok(Found::Log),
            (false, Some(found)) => Err(OpenError::NotALog { path: self.path.clone(), found }),
            (false, None) => Ok(Found::Empty),
        }
    }

    /// Refuses symbolic links and other things in place of the log's own files: through a link planted there, the
    /// log would write somewhere else.
    pub(super) fn check_kinds(&self) -> Result<(), OpenError> {
        let inside = ["sled/db", "sled/conf"].map(|name| (name, false));
        let files = FILES.map(|name| (name, false));
        let directories = DIRECTORIES.map(|name| (name, true));
        let all = files.into_iter().chain(directories).chain(inside).chain([("sled/blobs", true)]);
        for (name, is_directory) in all {
            let path = self.path.join(name);
            let kind = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(OpenError::io("looking at", &path)(error)),
            };
            if is_directory && !kind.is_dir() {
                return Err(OpenError::WrongKind { path, expected: "a directory" });
            }
            if !is_directory && !kind.is_file() {
                return Err(OpenError::WrongKind { path, expected: "a file" });
            }
        }
        Ok(())
    }

    /// Makes the directory and whatever leads to it.
    pub(super) fn create(&self) -> Result<(), OpenError> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<&Path> = self.path.ancestors().take_while(is_missing).collect();
        for path in missing.iter().rev() {
            make_directory(path).map_err(OpenError::io("creating", &self.path))?;
        }
        for created in missing {
            sync_parent(created)?;
        }
        Ok(())
    }

    /// Lets its owner into the directory and what lies in it, if that is this user: a process of a short umask, or an
    /// earlier version in one, may have made them so that nobody may enter.
    pub(super) fn let_owner_in(held: &HeldDirectory) {
        held.let_owner_in();
        DIRECTORIES.into_iter().chain(["sled/blobs"]).for_each(|name| held.let_owner_into(name));
    }

    /// Refuses the log of another user, which root could write. Where every file belongs to one user, whoever makes it,
    /// nothing is refused.
    pub(super) fn check_owner(&self, held: &HeldDirectory) -> Result<(), OpenError> {
        let path = self.path();
        let user = rustix::process::geteuid().as_raw();
        let owner = fs::metadata(self.head()).or_else(|_| fs::metadata(path));
        let owner = owner.map_err(OpenError::io("looking at", path))?.uid();
        if owner == user {
            return Ok(());
        }
        let probe = format!("owner-{}", std::process::id());
        let made = held.create_new(&probe).map_err(OpenError::io("creating a file in", path))?;
        let made_by = made.metadata().map(|metadata| metadata.uid());
        held.remove_file(&probe).map_err(OpenError::io("removing a file in", path))?;
        if made_by.map_err(OpenError::io("looking at", path))? == owner {
            return Ok(());
        }
        Err(OpenError::ForeignOwner { path: path.to_owned(), owner, user })
    }

    /// Takes the lock of the writer.
    pub(super) fn take_lock(&self, held: &HeldDirectory) -> Result<WriterLock, OpenError> {
        let path = self.lock();
        let file = held.open_or_create("LOCK").map_err(OpenError::io("opening", &path))?;
        WriterLock::take(file, &path)
    }

    /// Whether a writer holds the lock at this moment. Where that was removed the one of its storage engine says so.
    pub(super) fn writer_is_active(&self) -> bool {
        let lock = File::open(self.lock()).or_else(|_| File::open(self.db()));
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    pub(super) fn read_head(&self) -> Result<Anchor, OpenError> {
        let path = self.head();
        // Two slots are all that is read of it, however long the file is.
        let read = |file: File| {
            let mut bytes = Vec::new();
            file.take(FILE_LENGTH).read_to_end(&mut bytes).map(|_| bytes)
        };
        match File::open(&path).and_then(read) {
            Ok(bytes) => decode_file(&bytes).map_err(|found| OpenError::Anchor { path, found }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(OpenError::Anchor { path, found: AnchorError::Missing })
            }
            Err(error) => Err(OpenError::io("reading", &path)(error)),
        }
    }

    /// Writes the first `HEAD`: it is there whole or not at all.
    pub(super) fn create_head(&self, anchor: &Anchor) -> Result<(), OpenError> {
        let path = self.path.join("HEAD.new");
        write_private(&path, &first_file(anchor)).map_err(OpenError::io("writing", &path))?;
        fs::rename(&path, self.head()).map_err(OpenError::io("renaming", &path))?;
        sync_directory(&self.path)
    }

    /// Puts the ballast in place if it is not. A disk without room for it is no reason not to open.
    pub(super) fn keep_ballast(&self) {
        let path = self.ballast();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == BALLAST_LENGTH as u64) {
            return;
        }
        // Bytes that do not compress: a file system that stores zeros as nothing would keep no room for us.
        let mut bytes = vec![0; BALLAST_LENGTH];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        if write_private(&path, &bytes).is_err() {
            self.give_up_ballast();
        }
    }

    /// Gives the room back; whether there was any.
    pub(super) fn give_up_ballast(&self) -> bool {
        fs::remove_file(self.ballast()).is_ok()
    }
}

/// The first link on the way to `path` that leads to nothing.
fn dangling_link(path: &Path) -> Option<OpenError> {
    path.ancestors().find_map(|path| {
        let target = fs::read_link(path).ok()?;
        (!path.exists()).then(|| OpenError::DanglingLink { path: path.to_owned(), target })
    })
}

/// What lies at the path of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Empty,
    Log,
}

/// Makes what another program created private: directories 0700, files 0600.
pub(super) fn make_private(path: &Path) -> Result<(), OpenError> {
    let metadata = fs::symlink_metadata(path).map_err(OpenError::io("looking at", path))?;
    if metadata.is_dir() {
        set_mode(path, 0o700)?;
        for entry in fs::read_dir(path).map_err(OpenError::io("listing", path))? {
            make_private(&entry.map_err(OpenError::io("listing", path))?.path())?;
        }
    } else if metadata.is_file() {
        set_mode(path, 0o600)?;
    }
    Ok(())
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), OpenError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(OpenError::io("setting the mode of", path))
}

/// Makes the entries of a directory durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), OpenError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(OpenError::io("syncing", path))
}

pub(super) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
