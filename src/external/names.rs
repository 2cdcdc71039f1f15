//! What an open directory names, and what it says lies under a name: both are asked of the directory itself, by its
//! descriptor, whatever has taken its place in the source since. It must not know what is data.
//!
//! On Linux the system is called directly. The library of C takes an ENOENT in the middle of a listing for the end of the
//! directory, and so does what is built on it: a short listing would pass for a whole one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
#[cfg(target_os = "linux")]
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Instant, Stat};

/// What lies under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) kind: FoundKind,
    pub(super) device: u64,
    pub(super) stat: Stat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundKind {
    Directory,
    File,
    Link,
    /// A FIFO, a socket or a device.
    Special,
}

impl Found {
    /// Device and inode.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.stat.inode)
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == FoundKind::Directory
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind == FoundKind::File
    }
}

impl From<&Metadata> for Found {
    fn from(found: &Metadata) -> Found {
        let kind = match found.file_type() {
            kind if kind.is_dir() => FoundKind::Directory,
            kind if kind.is_file() => FoundKind::File,
            kind if kind.is_symlink() => FoundKind::Link,
            _ => FoundKind::Special,
        };
        Found { kind, device: found.dev(), stat: stat_of(found) }
    }
}

pub(super) fn stat_of(found: &Metadata) -> Stat {
    Stat {
        size: found.len(),
        mtime: instant(found.mtime(), found.mtime_nsec()),
        ctime: instant(found.ctime(), found.ctime_nsec()),
        inode: found.ino(),
        ..Stat::default()
    }
}

fn instant(seconds: i64, nanoseconds: impl TryInto<u32>) -> Instant {
    Instant { seconds, nanoseconds: nanoseconds.try_into().unwrap_or(0) }
}

/// The names that an open directory has.
#[cfg(target_os = "linux")]
pub(super) struct Names<'a>(rustix::fs::RawDir<'a, &'a File>);

#[cfg(target_os = "linux")]
impl<'a> Names<'a> {
    /// Of the directory that is open, which `path` leads to. `room` is for what the system writes.
    pub(super) fn of((held, _): (&'a File, &Path), room: &'a mut Vec<u8>) -> io::Result<Names<'a>> {
        /// What one call asks for: some hundreds of names.
        const AT_ONCE: usize = 32 << 10;
        room.clear();
        room.reserve(AT_ONCE);
        Ok(Names(rustix::fs::RawDir::new(held, room.spare_capacity_mut())))
    }
}

/// It does not end with an error: whoever goes on after one asks again.
#[cfg(target_os = "linux")]
impl Iterator for Names<'_> {
    type Item = io::Result<OsString>;

    fn next(&mut self) -> Option<io::Result<OsString>> {
        loop {
            match self.0.next()? {
                Ok(entry) => match entry.file_name().to_bytes() {
                    b"." | b".." => {}
                    name => return Some(Ok(OsStr::from_bytes(name).to_owned())),
                },
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) struct Names<'a>(std::fs::ReadDir, std::marker::PhantomData<&'a ()>);

#[cfg(not(target_os = "linux"))]
impl<'a> Names<'a> {
    pub(super) fn of((_, path): (&'a File, &Path), _: &'a mut Vec<u8>) -> io::Result<Names<'a>> {
        Ok(Names(std::fs::read_dir(path)?, std::marker::PhantomData))
    }
}

#[cfg(not(target_os = "linux"))]
impl Iterator for Names<'_> {
    type Item = io::Result<OsString>;

    fn next(&mut self) -> Option<io::Result<OsString>> {
        self.0.next().map(|entry| entry.map(|entry| entry.file_name()))
    }
}

/// What lies under a name of the open directory; a link is itself.
#[cfg(target_os = "linux")]
pub(super) fn found_under((held, _): (&File, &Path), name: &OsStr) -> io::Result<Found> {
    use rustix::fs::{AtFlags, FileType, statat};

    let found = statat(held, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => FoundKind::Directory,
        FileType::RegularFile => FoundKind::File,
        FileType::Symlink => FoundKind::Link,
        _ => FoundKind::Special,
    };
    let stat = Stat {
        size: u64::try_from(found.st_size).unwrap_or(0),
        mtime: instant(found.st_mtime, found.st_mtime_nsec),
        ctime: instant(found.st_ctime, found.st_ctime_nsec),
        inode: found.st_ino,
        ..Stat::default()
    };
    Ok(Found { kind, device: found.st_dev, stat })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn found_under((_, path): (&File, &Path), name: &OsStr) -> io::Result<Found> {
    Ok(Found::from(&std::fs::symlink_metadata(path.join(name))?))
}
