//! A directory that is held open: what lies in it is reached through its descriptor, and whether its path still leads to
//! it can be asked.
//!
//! A path says where something is, and not what it is: under a running program it may come to lead elsewhere, because a
//! backup was put back, a link was moved, or a file system was unmounted. Whoever writes by the path again then writes
//! into what belongs to another.
//!
//! *Architecture invariant:* it knows names and descriptors. What a directory is for, and what has to be done when it is
//! another one, is not its business.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use crate::error::ErrorKind;

/// A path that leads to something else than what is held open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaced {
    /// The path.
    pub path: PathBuf,
    /// What it leads to.
    pub found: Replacement,
}

/// What a path leads to instead of what is held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replacement {
    /// To nothing: it was removed or moved away, or its file system is not mounted any more.
    Nothing,
    /// To something else that was put in its place.
    Another,
    /// To the same file, and its content is not the one that was written last.
    Rewritten,
}

impl Replaced {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::WrongPath
    }
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.found {
            Replacement::Nothing => "was removed or moved away",
            Replacement::Another => "was replaced by another",
            Replacement::Rewritten => "was overwritten",
        };
        write!(f, "{} {what} while it was in use", self.path.display())
    }
}

impl std::error::Error for Replaced {}

/// What tells a file from every other one on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Identity> {
        file.metadata().map(|metadata| Identity::of_metadata(&metadata))
    }

    fn of_metadata(metadata: &fs::Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A directory that is held open. Names are relative to it, whatever its path leads to by now.
#[derive(Debug)]
pub(crate) struct HeldDirectory {
    path: PathBuf,
    /// The path, also if the process goes to another directory.
    absolute: PathBuf,
    directory: File,
    identity: Identity,
}

impl HeldDirectory {
    /// Opens the directory at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<HeldDirectory> {
        let directory = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        HeldDirectory::of(path.to_owned(), directory)
    }

    /// Opens the directory `name` in it. A link is none.
    pub(crate) fn below(&self, name: &str) -> io::Result<HeldDirectory> {
        HeldDirectory::of(self.path.join(name), self.openat(name, DIRECTORY | OFlags::NOFOLLOW)?)
    }

    fn of(path: PathBuf, directory: OwnedFd) -> io::Result<HeldDirectory> {
        let directory = File::from(directory);
        Ok(HeldDirectory { absolute: path::absolute(&path)?, path, identity: Identity::of(&directory)?, directory })
    }

    /// The path by which it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path that leads to it for as long as it is held, whatever becomes of the one by which it was opened: for code
    /// that knows nothing but paths. Nothing where there is no such path, as without `/proc`.
    pub(crate) fn path_of_descriptor(&self) -> Option<PathBuf> {
        let path = self.through_descriptor();
        let found = fs::metadata(&path).ok()?;
        (Identity::of_metadata(&found) == self.identity).then_some(path)
    }

    /// A text with the path that people know in place of [that of the descriptor](Self::path_of_descriptor).
    pub(crate) fn explain(&self, text: &str) -> String {
        with_path(text, &self.through_descriptor(), &self.path)
    }

    /// A path with the one that people know in place of [that of the descriptor](Self::path_of_descriptor).
    pub(crate) fn path_shown(&self, path: PathBuf) -> PathBuf {
        path.strip_prefix(self.through_descriptor()).map(|rest| self.path.join(rest)).unwrap_or(path)
    }

    fn through_descriptor(&self) -> PathBuf {
        path_of(self.directory.as_raw_fd())
    }

    /// What is wrong if the path does not lead to it any more.
    ///
    /// # Errors
    /// When the path cannot be looked at for other reasons.
    pub(crate) fn check(&self) -> io::Result<Option<Replaced>> {
        let found = match fs::metadata(&self.absolute) {
            Ok(metadata) if Identity::of_metadata(&metadata) == self.identity => return Ok(None),
            Ok(_) => Replacement::Another,
            Err(error) if is_gone(&error) => Replacement::Nothing,
            Err(error) => return Err(error),
        };
        Ok(Some(Replaced { path: self.path.clone(), found }))
    }

    /// What is wrong if `name` is not the file `identity` any more.
    ///
    /// # Errors
    /// When it cannot be looked at for other reasons.
    pub(crate) fn check_name(&self, name: &str, identity: Identity) -> io::Result<Option<Replaced>> {
        let found = match self.identity_of(name) {
            Ok(Some(found)) if found == identity => return Ok(None),
            Ok(Some(_)) => Replacement::Another,
            Ok(None) => Replacement::Nothing,
            Err(error) => return Err(error),
        };
        Ok(Some(Replaced { path: self.path.join(name), found }))
    }

    /// What `name` is; nothing if it is not there. A link is not followed.
    pub(crate) fn identity_of(&self, name: &str) -> io::Result<Option<Identity>> {
        match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
            Ok(stat) => Ok(Some(Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 })),
            Err(error) if is_gone(&error.into()) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file to read and write. It is made, readable for its owner alone, if it is not there.
    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(opened))
    }

    /// Opens a file that is there to read and write.
    pub(crate) fn open_writable(&self, name: &str) -> io::Result<File> {
        self.openat(name, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW).map(File::from)
    }

    /// Opens a file to read. What is no file does not block.
    pub(crate) fn open_to_read(&self, name: &str) -> io::Result<File> {
        self.openat(name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK).map(File::from)
    }

    /// Makes a file that only its owner may read. It must not be there.
    pub(crate) fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(opened))
    }

    /// See [`make_directory`]; `name` is in it.
    pub(crate) fn make_directory(&self, name: &str) -> io::Result<bool> {
        make_directory_at(&self.directory, Path::new(name))
    }

    /// Lets the owner read, write and enter it, if that is this user and may not. What does not succeed is met again.
    pub(crate) fn let_owner_in(&self) {
        if let Ok(stat) = rustix::fs::fstat(&self.directory)
            && let Some(mode) = mode_that_lets_in(&stat)
        {
            let _ = rustix::fs::fchmod(&self.directory, mode);
        }
    }

    /// The same for the directory `name` in it. What is none is left alone.
    pub(crate) fn let_owner_into(&self, name: &str) {
        let _ = let_owner_into_at(&self.directory, Path::new(name));
    }

    /// Whether `name` is a directory. A link to one is none.
    pub(crate) fn is_directory(&self, name: &str) -> bool {
        let found = rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
    }

    /// Whether `name` is a file. A link to one is none.
    pub(crate) fn is_file(&self, name: &str) -> bool {
        self.length_of_file(name).is_ok_and(|length| length.is_some())
    }

    /// The length of the file `name` in bytes; nothing if it is no file.
    pub(crate) fn length_of_file(&self, name: &str) -> io::Result<Option<u64>> {
        let stat = rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        Ok(is_file.then(|| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Gives a file another name in it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.directory, from, &self.directory, to)?)
    }

    /// Removes a file. One that is not there is removed.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The names in the directory `name` of it, in no order.
    pub(crate) fn names(&self, name: &str) -> io::Result<Vec<OsString>> {
        let opened = self.openat(name, DIRECTORY | OFlags::NOFOLLOW)?;
        let mut names = Vec::new();
        for entry in Dir::new(opened)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Makes its names durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn openat(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.directory, name, flags, Mode::empty())?)
    }
}

/// Makes a directory that only its owner may enter, whatever the umask of this process is, and says whether it was missing.
/// One that is there is put right if its owner, who is this user, may not enter it. A link to a directory is none.
pub(crate) fn make_directory(path: &Path) -> io::Result<bool> {
    make_directory_at(rustix::fs::CWD, path)
}

fn make_directory_at(at: impl AsFd, path: &Path) -> io::Result<bool> {
    let made = rustix::fs::mkdirat(&at, path, Mode::RWXU);
    if made == Err(rustix::io::Errno::EXIST) {
        let is_directory = let_owner_into_at(&at, path).unwrap_or(true);
        return if is_directory { Ok(false) } else { Err(io::ErrorKind::AlreadyExists.into()) };
    }
    made?;
    let_owner_into_at(&at, path).map(|_| true)
}

/// Whether it is a directory.
fn let_owner_into_at(at: impl AsFd, path: &Path) -> io::Result<bool> {
    let stat = rustix::fs::statat(&at, path, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_directory = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    if is_directory && let Some(mode) = mode_that_lets_in(&stat) {
        rustix::fs::chmodat(&at, path, mode, AtFlags::empty())?;
    }
    Ok(is_directory)
}

/// The mode that a directory of this user lacks.
fn mode_that_lets_in(stat: &rustix::fs::Stat) -> Option<Mode> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    (is_ours && !mode.contains(Mode::RWXU)).then_some(mode | Mode::RWXU)
}

/// The numbers of this process' descriptors of what `file` is: its own, and others. They are told apart by where they lead,
/// without asking the file system, which may hang.
pub(crate) fn descriptors_of(file: &File) -> io::Result<Vec<i32>> {
    let where_to = fs::read_link(path_of(file.as_raw_fd()))?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        found.extend(number.filter(|number| fs::read_link(path_of(*number)).is_ok_and(|path| path == where_to)));
    }
    Ok(found)
}

fn path_of(descriptor: i32) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{descriptor}"))
}

/// A text with what lies below `from` told as below `to`.
pub(crate) fn with_path(text: &str, from: &Path, to: &Path) -> String {
    text.replace(&format!("{}/", from.display()), &format!("{}/", to.display()))
}

/// A directory that is known to stay empty, and is looked at without opening anything.
#[derive(Debug)]
pub(crate) struct EmptyDirectory(Dir);

impl EmptyDirectory {
    /// The directory `name` in `directory`.
    pub(crate) fn open(directory: &HeldDirectory, name: &str) -> io::Result<EmptyDirectory> {
        Ok(EmptyDirectory(Dir::new(directory.openat(name, DIRECTORY | OFlags::NOFOLLOW)?)?))
    }

    /// Whether there is something in it after all.
    pub(crate) fn has_something(&mut self) -> io::Result<bool> {
        self.0.rewind();
        while let Some(entry) = self.0.read() {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What is said of a place that [lacks inodes](lacks_inodes).
pub(crate) const NO_INODES: &str = "there is space, and no inodes are left: remove files";

/// Whether the file system of a place has space and cannot have another name. Some count no inodes.
pub(crate) fn lacks_inodes(place: &Path) -> bool {
    let there = place.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(there).is_ok_and(|found| found.f_files > 0 && found.f_favail == 0 && found.f_bavail > 0)
}

/// The path leads to nothing. `ESTALE` is what a file system over a network says of it.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, StaleNetworkFileHandle};
    matches!(error.kind(), NotFound | NotADirectory | StaleNetworkFileHandle)
}
