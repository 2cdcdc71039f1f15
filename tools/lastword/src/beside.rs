//! Small files that the tool keeps beside a log. *They must not matter for the log*: whoever loses one loses words.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// More than one of them ever has: a line for each of many collections.
const MOST: u64 = 64 << 20;

/// Reads one. What is no file is not read: a link leads elsewhere, and a FIFO waits for a writer that never comes.
pub(crate) fn read(directory: &File, name: &str) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes one.
pub(crate) fn remove(directory: &File, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(error) if error != Errno::NOENT => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whole or not at all, for the owner alone, in the directory that is open, wherever its path leads by now.
pub(crate) fn write(directory: &File, name: &str, text: &str) -> io::Result<()> {
    let new = format!("{name}.new");
    // What a crash left. Not written over: were it a link, that would write over what it leads to.
    remove(directory, &new)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, &new, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    renameat(directory, &new, directory, name)?;
    directory.sync_all()
}

/// Writes over one that is there. Where the disk is full there is no place for a new one, but for a few bytes in place of
/// others there is; a power cut in between leaves it damaged.
pub(crate) fn overwrite(directory: &File, name: &str, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, name, flags, Mode::empty())?);
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}
