//! Files that a command writes where it was told: whole or not at all.
//!
//! Owns what may be written over and what becomes of a file that was begun. What is there is replaced by a rename, when all of
//! it is on the disk; a terminal, a pipe or a device is written into as it is; what the command reads, and what lies in the
//! directory of a log, stays. `lastword` has it from here. *It must not know* what is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::fail::{Exit, Failure};

/// What a file is called until it is whole.
const UNFINISHED: &str = ".lastword-unfinished-";

/// What this process has begun and not finished. `None` once a signal ends it: nothing is begun any more.
static BEGUN: Mutex<Option<Vec<PathBuf>>> = Mutex::new(Some(Vec::new()));

/// Where something is written.
enum Target {
    /// A terminal, a pipe or a device.
    Stream,
    /// A file, at the end of all links, and the permissions of the one that is there.
    File(PathBuf, Option<fs::Permissions>),
}

/// Writes `bytes` to what is at `path`: a file is replaced as a whole and keeps its permissions, a new one has those of `mode`.
/// Through a link it is what the link leads to. `spared`: what the command reads, files and directories of logs, over which and
/// into which nothing is written.
///
/// # Errors
/// Those of [`check`], and writing fails. What was there is as it was then, if it is a file.
pub fn write(path: &Path, mode: u32, bytes: &[u8], spared: &[&Path]) -> Result<(), Failure> {
    let written = match target(path, spared)? {
        Target::Stream => OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(bytes)),
        Target::File(target, permissions) => Unfinished::beside(&target, mode).and_then(|mut unfinished| {
            permissions.map_or(Ok(()), |permissions| unfinished.file.set_permissions(permissions))?;
            unfinished.file.write_all(bytes)?;
            unfinished.replace()
        }),
    };
    written.map_err(|error| Failure::io("writing", path, &error))
}

/// Whether something may be written there, before it is made.
///
/// # Errors
/// What is there is spared, or is nothing that can be written.
pub fn check(path: &Path, spared: &[&Path]) -> Result<(), Failure> {
    target(path, spared).map(drop)
}

fn target(path: &Path, spared: &[&Path]) -> Result<Target, Failure> {
    let failed = |error: &io::Error| Failure::io("writing", path, error);
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found.map_err(|error| failed(&error))?),
    };
    let kind = found.as_ref().map(fs::Metadata::file_type);
    if kind.is_some_and(|kind| kind.is_fifo() || kind.is_char_device()) {
        return Ok(Target::Stream);
    }
    if kind.is_some_and(|kind| !kind.is_file()) {
        let what = if path.is_dir() { "is a directory; name the file" } else { "is no file, pipe or terminal" };
        return Err(Failure::new(Exit::USAGE, format_args!("{}: {what}", path.display())));
    }
    let file = match fs::symlink_metadata(path) {
        Ok(at) if at.is_symlink() => fs::canonicalize(path).map_err(|error| failed(&error))?,
        _ => path.to_owned(),
    };
    spare(path, &file, found.as_ref(), spared)?;
    let permissions = found.map(|found| fs::Permissions::from_mode(found.permissions().mode() & 0o777));
    Ok(Target::File(file, permissions))
}

/// Refuses to write over what is read, and into what belongs to a log.
fn spare(path: &Path, target: &Path, found: Option<&fs::Metadata>, spared: &[&Path]) -> Result<(), Failure> {
    let directory = fs::canonicalize(directory_of(target)).ok();
    let refused = spared.iter().find_map(|spared| {
        let at = fs::metadata(spared).ok()?;
        if at.is_dir() {
            let root = fs::canonicalize(spared).ok()?;
            let is_within = directory.as_ref().is_some_and(|directory| directory.starts_with(&root));
            return is_within
                .then(|| format!("lies in the directory of the log {}; write it elsewhere", spared.display()));
        }
        let is_same = found.is_some_and(|found| (found.dev(), found.ino()) == (at.dev(), at.ino()));
        is_same.then(|| format!("is {}, which this command reads; write it elsewhere", spared.display()))
    });
    refused.map_or(Ok(()), |why| Err(Failure::new(Exit::USAGE, format_args!("{}: {why}", path.display()))))
}

/// The directory in which a file lies or will.
#[must_use]
pub fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that is being written beside where it will be. Without an end it is gone again.
#[derive(Debug)]
pub struct Unfinished {
    /// What is written into.
    pub file: File,
    hidden: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    /// Begins what will be at `path`, with the permissions of `mode`.
    ///
    /// # Errors
    /// It cannot be made there, or a signal has begun to end this process.
    pub fn beside(path: &Path, mode: u32) -> io::Result<Unfinished> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let hidden = directory_of(path).join(format!("{UNFINISHED}{:016x}", u64::from_le_bytes(name)));
        let mut begun = begun();
        let Some(begun) = begun.as_mut() else { return Err(io::ErrorKind::Interrupted.into()) };
        // Nothing that is there is opened: no link is followed.
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&hidden)?;
        begun.push(hidden.clone());
        Ok(Unfinished { file, hidden, path: path.to_owned() })
    }

    /// Puts it in the place of what is there.
    ///
    /// # Errors
    /// It cannot be made durable or put there.
    pub fn replace(self) -> io::Result<()> {
        self.put(|hidden, path| fs::rename(hidden, path))
    }

    /// Puts it where nothing is yet.
    ///
    /// # Errors
    /// Something is there, or it cannot be made durable or put there.
    pub fn put_new(self) -> io::Result<()> {
        self.put(|hidden, path| match renameat_with(CWD, hidden, CWD, path, RenameFlags::NOREPLACE) {
            // The file system does not know of it.
            Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(hidden, path).and_then(|()| fs::remove_file(hidden)),
            done => Ok(done?),
        })
    }

    fn put(self, put: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        self.file.sync_all()?;
        put(&self.hidden, &self.path)?;
        match File::open(directory_of(&self.path)).and_then(|directory| directory.sync_all()) {
            // Not every file system can, and some do not let it be opened.
            Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has another name if it is finished.
        let _ = fs::remove_file(&self.hidden);
        if let Some(begun) = begun().as_mut() {
            begun.retain(|hidden| *hidden != self.hidden);
        }
    }
}

/// Removes what was begun, before this process ends.
pub(crate) fn remove_unfinished() {
    for hidden in begun().take().unwrap_or_default() {
        let _ = fs::remove_file(hidden);
    }
}

/// A list is whole at any time.
fn begun() -> MutexGuard<'static, Option<Vec<PathBuf>>> {
    BEGUN.lock().unwrap_or_else(PoisonError::into_inner)
}
