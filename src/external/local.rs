//! A directory of the local file system as a store. It lists, stats and reads, and must not judge what it finds.
//!
//! The rules of a listing: the source itself may be a symbolic link (the declaration names it); below it links are not
//! followed and are not data, so a loop or a link out of the source cannot be walked. FIFOs, sockets and devices
//! are not data and are never opened. Mounts below the source are walked like directories; one of what the kernel shows as
//! files is an error.
//!
//! If the source says that links are followed, a link is what it leads to, under the link's own name, also outside the
//! source. A link to a directory that it lies in (by device and inode) is a loop and not walked; a directory that two
//! links lead to is listed under both. Links that lead nowhere are told apart: what one led to may be back in a moment, and
//! leaving it out could pass for a file that was removed. One that leads to a device is an error.
//!
//! What is left out by its name, and what makes a table of a directory, is for `skip.rs` to say.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::apart::Apart;
use super::enclosing::Enclosing;
use super::mount;
use super::names::{Found, FoundKind, Names, found_under, stat_of};
use super::skip::Named;
use super::source::is_device;
use super::store::{MAX_DEPTH, MAX_FILES, MAX_PATH_BYTES};
use super::{
    FieldError, FileReader, LeftOut, Listed, Listing, Mount, Mounts, SourceLocation, SourcePath, Stat, StopCheck,
    Store, StoreError, TrafficCounter,
};
use crate::worker::SkipReason;

/// How often a listing begins anew because a directory or file vanished under it. Each further try costs a whole
/// walk; a source that loses files faster than that has to settle first.
const TRIES: u32 = 5;

/// Opening a FIFO that took a file's place after it was listed would wait for a writer that may never come. The
/// value is the one of Linux on these machines; elsewhere that window stays open, as narrow as it is.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
const DO_NOT_WAIT: i32 = 0o4000;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))))]
const DO_NOT_WAIT: i32 = 0;

/// Directories of the local file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalStore;

impl Store for LocalStore {
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        _: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let mut left_out = LeftOut::default();
            match list_once(source, &mut left_out, stop_check)? {
                Walk::Whole(mut files, mounts) => {
                    files.sort_unstable();
                    return Ok(Listed { files, mounts, left_out });
                }
                Walk::Vanished(what) => last = what,
            }
        }
        Err(StoreError::Unsettled { what: last, tries: TRIES })
    }

    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        // No listing has such a path; one that was read from a log may.
        if !path.is_below() {
            return Err(StoreError::Moved { path: path.clone() });
        }
        let full = full_path(source, path)?;
        match if source.follows_links() { fs::metadata(&full) } else { fs::symlink_metadata(&full) } {
            Ok(found) if found.is_file() => Ok(stat_of(&found)),
            Ok(_) => Err(StoreError::Moved { path: path.clone() }),
            Err(error) => Err(vanished_or_unreadable(path, &full, error)),
        }
    }

    fn open(
        &self,
        source: &SourceLocation,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError> {
        // Before it is opened: what is a FIFO or a device now must not be.
        if self.stat(source, path)? != *listed {
            return Err(StoreError::Moved { path: path.clone() });
        }
        let full = full_path(source, path)?;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(DO_NOT_WAIT)
            .open(&full)
            .map_err(|error| vanished_or_unreadable(path, &full, error))?;
        let opened = OpenFile { file, path: path.clone(), full, listed: *listed };
        opened.check()?;
        Ok(Box::new(opened))
    }

    fn serves(&self, source: &SourceLocation) -> Result<(), FieldError> {
        match source.bucket() {
            Some(_) => {
                Err(FieldError::new("source", "lies in an object store, and this program reads local directories only"))
            }
            None => Ok(()),
        }
    }

    fn directory<'s>(&self, source: &'s SourceLocation) -> Option<&'s Path> {
        source.directory()
    }
}

struct OpenFile {
    file: File,
    path: SourcePath,
    full: PathBuf,
    listed: Stat,
}

impl OpenFile {
    /// A link or another file that took the place of the one listed shows by its inode, a rewritten one by its
    /// size or times.
    fn check(&self) -> Result<(), StoreError> {
        let found = self.file.metadata().map_err(|error| unreadable(&self.full, error))?;
        if found.is_file() && stat_of(&found) == self.listed {
            return Ok(());
        }
        Err(StoreError::Moved { path: self.path.clone() })
    }
}

impl FileReader for OpenFile {
    fn len(&self) -> u64 {
        self.listed.size
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.listed.size) {
            let beyond = io::Error::new(io::ErrorKind::InvalidInput, "a range beyond the end was asked for");
            return Err(unreadable(&self.full, beyond));
        }
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, start) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(StoreError::Moved { path: self.path.clone() });
            }
            Err(error) => return Err(unreadable(&self.full, error)),
        }
        // After the read: a file that is unchanged now was unchanged while it was read.
        self.check()?;
        Ok(bytes)
    }
}

enum Walk {
    Whole(Listing, Mounts),
    /// Something was named by its directory and gone when it was asked for.
    Vanished(String),
}

/// A directory still to be read: its path relative to the source, and how deep it lies.
struct Directory {
    relative: Vec<u8>,
    depth: usize,
    /// Device and inode, as the listing of its parent found them.
    identity: (u64, u64),
    /// The device of the directory that it lies in.
    above: Option<u64>,
    /// Device and inode of itself and the directories it lies in; kept only if links are followed.
    trail: Vec<(u64, u64)>,
}

fn list_once(source: &SourceLocation, left_out: &mut LeftOut, stop_check: StopCheck<'_>) -> Result<Walk, StoreError> {
    let root = root_of(source)?;
    let apart = Apart::of(source);
    let found = check_root(source, apart.as_ref())?;
    let (mut files, mut mounts, mut directories) = (Vec::new(), Mounts::default(), 1);
    let identity = (found.dev(), found.ino());
    let trail = if source.follows_links() { vec![identity] } else { Vec::new() };
    // Nothing is above the source: its own mount is noted first.
    let mut room = Vec::new();
    let mut pending = vec![Directory { relative: Vec::new(), depth: 0, identity, above: None, trail }];
    while let Some(directory) = pending.pop() {
        stop_check()?;
        let full = join(root, &directory.relative);
        let failed = |error| match error {
            error if gone(&error) => Ok(Walk::Vanished(shown(&full))),
            error => Err(StoreError::Unreadable { what: shown(&full), source: error }),
        };
        let opened = match OpenDirectory::of(&full, directory.identity) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(Walk::Vanished(shown(&full))),
            Err(error) => return failed(error),
        };
        let names = match Names::of(opened.place(), &mut room) {
            Ok(names) => names,
            Err(error) => return failed(error),
        };
        if directory.above != Some(directory.identity.0) {
            if mount::is_of_kernel(&opened.held) {
                return Err(StoreError::Device { what: shown(&full) });
            }
            mounts.insert(SourcePath(directory.relative.clone()), opened.mount(directory.identity.0));
        }
        for name in names {
            // A slow mount answers for each name by itself, and each answer is a sign of life.
            stop_check()?;
            // Removed while it was listed: that is no end.
            let name = match name {
                Ok(name) => name,
                Err(error) => return failed(error),
            };
            let relative = below(&directory.relative, &name);
            let named = source.rules().named(&relative);
            if let Named::Skipped(reason) = named {
                left_out.skipped.add(reason);
                continue;
            }
            // What it is called. It is asked for through the directory that is open.
            let path = || join(root, &relative);
            if relative.len() > MAX_PATH_BYTES {
                return Err(limit(
                    &path(),
                    format!("a path relative to the source has at most {MAX_PATH_BYTES} bytes"),
                ));
            }
            let found = match metadata(&name, &opened, source.follows_links(), apart.as_ref()) {
                Ok(found) => found,
                Err(EntryError::Gone) => return Ok(Walk::Vanished(shown(&path()))),
                Err(EntryError::Unreadable(error)) => {
                    return Err(StoreError::Unreadable { what: shown(&path()), source: error });
                }
                Err(EntryError::Device(what)) => return Err(StoreError::Device { what }),
                Err(EntryError::State(state)) => return Err(StoreError::HoldsState { what: shown(&path()), state }),
                Err(EntryError::DeadLink) => {
                    left_out.dead_links.push(SourcePath(relative));
                    continue;
                }
            };
            if let Named::Table(format, otherwise) = named {
                if marks_table(&relative, &found) {
                    return Err(table(root, format, relative));
                }
                if let Some(reason) = otherwise {
                    left_out.skipped.add(reason);
                    continue;
                }
            }
            if found.is_dir() {
                if let Some(state) = apart.as_ref().and_then(|apart| apart.met(found.identity())) {
                    return Err(StoreError::HoldsState { what: shown(&path()), state: shown(state) });
                }
                if directory.depth == MAX_DEPTH {
                    return Err(limit(&path(), format!("directories lie at most {MAX_DEPTH} deep in a source")));
                }
                let Some(trail) = step(&directory.trail, &found) else {
                    left_out.skipped.add(SkipReason::Special);
                    continue;
                };
                if directories == MAX_FILES {
                    return Err(limit(root, format!("a source has at most {MAX_FILES} directories")));
                }
                directories += 1;
                let identity = found.identity();
                let above = Some(directory.identity.0);
                pending.push(Directory { relative, depth: directory.depth + 1, identity, above, trail });
            } else if found.is_file() && !source.rules().includes(&relative) {
                left_out.skipped.add(SkipReason::NotIncluded);
            } else if found.is_file() {
                if files.len() == MAX_FILES {
                    return Err(limit(root, format!("a source has at most {MAX_FILES} files")));
                }
                if found.device != directory.identity.0
                    && !mount::is_shared(&opened.held, &name, source.follows_links())
                {
                    let mount = linked_mount(&opened.path.join(&name), found.device);
                    mounts.insert(SourcePath(relative.clone()), mount);
                }
                files.push((SourcePath(relative), found.stat));
            } else {
                left_out.skipped.add(SkipReason::Special);
            }
        }
    }
    Ok(Walk::Whole(files, mounts))
}

/// A directory that is open. What is asked below `path` is asked of it, whatever has taken its place in the source
/// since: otherwise a link could be put in its place between two steps of the walk, by any process that may write
/// there, and files be listed that lie elsewhere.
struct OpenDirectory {
    /// Keeps the directory open, and with it `path` meaning what it does.
    held: File,
    path: PathBuf,
}

impl OpenDirectory {
    /// Opens the directory at `full`; nothing if it is not the one that was listed.
    fn of(full: &Path, identity: (u64, u64)) -> io::Result<Option<OpenDirectory>> {
        let held = OpenOptions::new().read(true).custom_flags(DO_NOT_WAIT).open(full)?;
        let found = held.metadata()?;
        if !found.is_dir() || (found.dev(), found.ino()) != identity {
            return Ok(None);
        }
        let through = Path::new("/proc/self/fd").join(held.as_raw_fd().to_string());
        // Without /proc the window stays open, as narrow as it is.
        let path = if through.exists() { through } else { full.to_owned() };
        Ok(Some(OpenDirectory { held, path }))
    }

    fn place(&self) -> (&File, &Path) {
        (&self.held, &self.path)
    }

    fn mount(&self, device: u64) -> Mount {
        mount::of_open(&self.held, device)
    }
}

/// The mount of a file that a link leads to. One that cannot be opened is told by its device alone.
fn linked_mount(path: &Path, device: u64) -> Mount {
    let opened = OpenOptions::new().read(true).custom_flags(DO_NOT_WAIT).open(path);
    opened
        .map_or(Mount { id: device, file_system: device, ..Mount::default() }, |opened| mount::of_open(&opened, device))
}

/// Why it cannot be said what lies under a name that a directory has.
enum EntryError {
    /// It is gone by now.
    Gone,
    Unreadable(io::Error),
    /// It leads to one.
    Device(String),
    /// It leads into the state directory.
    State(String),
    /// It leads nowhere.
    DeadLink,
}

/// What lies under a name that the directory which is open has.
fn metadata(
    name: &OsStr,
    opened: &OpenDirectory,
    follows_links: bool,
    apart: Option<&Apart>,
) -> Result<Found, EntryError> {
    let found = found_under(opened.place(), name)
        .map_err(|error| if gone(&error) { EntryError::Gone } else { EntryError::Unreadable(error) })?;
    if !(follows_links && found.kind == FoundKind::Link) {
        return Ok(found);
    }
    let real = fs::canonicalize(opened.path.join(name))
        .map_err(|error| if leads_nowhere(&error) { EntryError::DeadLink } else { EntryError::Unreadable(error) })?;
    if is_device(&real) {
        return Err(EntryError::Device(shown(&real)));
    }
    if let Some(state) = apart.and_then(|apart| apart.is_around(&real)) {
        return Err(EntryError::State(shown(state)));
    }
    fs::metadata(&real).map(|found| Found::from(&found)).map_err(EntryError::Unreadable)
}

/// The trail one directory further; `None` if it leads in a circle. Without a trail links are not followed, and there
/// are no circles.
fn step(trail: &[(u64, u64)], directory: &Found) -> Option<Vec<(u64, u64)>> {
    let here = directory.identity();
    if trail.contains(&here) {
        return None;
    }
    let mut trail = trail.to_vec();
    if !trail.is_empty() {
        trail.push(here);
    }
    Some(trail)
}

/// The source itself: it exists, is a directory, does not lead (by a link) to a device or into the state directory, and is
/// no part of a table.
fn check_root(source: &SourceLocation, apart: Option<&Apart>) -> Result<Metadata, StoreError> {
    let root = root_of(source)?;
    let error = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { what: shown(root) },
        _ => StoreError::Unreadable { what: shown(root), source: error },
    };
    let real = fs::canonicalize(root).map_err(error)?;
    if is_device(&real) {
        return Err(StoreError::Device { what: shown(&real) });
    }
    if let Some(state) = apart.and_then(|apart| apart.is_around(&real)) {
        return Err(StoreError::HoldsState { what: shown(root), state: shown(state) });
    }
    if let Some(Enclosing { table, format, mark }) = Enclosing::of(&real, source.rules()) {
        return Err(StoreError::Table { what: shown(&table), format, mark: SourcePath(mark) });
    }
    let found = fs::metadata(&real).map_err(error)?;
    if found.is_dir() { Ok(found) } else { Err(StoreError::NotADirectory { what: shown(root) }) }
}

/// Iceberg is known by a file, the others by a directory.
fn marks_table(relative: &[u8], found: &Found) -> bool {
    if relative.ends_with(b".json") { found.is_file() } else { found.is_dir() }
}

fn table(root: &Path, format: &'static str, mark: Vec<u8>) -> StoreError {
    let levels = if mark.ends_with(b".json") { 2 } else { 1 };
    let place = join(root, &mark);
    let table = place.ancestors().nth(levels).unwrap_or(root);
    StoreError::Table { what: shown(table), format, mark: SourcePath(mark) }
}

fn below(directory: &[u8], name: &OsStr) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    path
}

fn join(root: &Path, relative: &[u8]) -> PathBuf {
    if relative.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(relative)) }
}

fn full_path(source: &SourceLocation, path: &SourcePath) -> Result<PathBuf, StoreError> {
    Ok(join(root_of(source)?, &path.0))
}

fn root_of(source: &SourceLocation) -> Result<&Path, StoreError> {
    source.directory().ok_or_else(|| StoreError::NotServed { what: source.url(), by: "local directories" })
}

/// Also a link that leads to itself.
fn leads_nowhere(error: &io::Error) -> bool {
    gone(error) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn vanished_or_unreadable(path: &SourcePath, full: &Path, error: io::Error) -> StoreError {
    if gone(&error) { StoreError::Moved { path: path.clone() } } else { unreadable(full, error) }
}

/// A file that cannot be read is named with its directory, as a directory is: several sources have a file of one name.
fn unreadable(full: &Path, source: io::Error) -> StoreError {
    StoreError::Unreadable { what: shown(full), source }
}

fn limit(path: &Path, limit: String) -> StoreError {
    StoreError::Limit { what: shown(path), limit }
}

/// A path of the file system as it may be shown.
fn shown(path: &Path) -> String {
    SourcePath(path.as_os_str().to_os_string().into_vec()).to_string()
}
