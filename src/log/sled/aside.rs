//! The copy of `sled/` that is kept while a log is opened, and what is put back from it.
//!
//! sled, when it opens, overwrites what it cannot read and everything behind it. A damaged log is put back as it was, also
//! if the process that opened it is killed: the copy has a note of what it consists of and of `HEAD`, written last. As long
//! as that is whole, no check has passed, and so nothing was appended.
//!
//! It owns `before/` and `rejected/`; it must not know what is wrong with a log.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;

use super::files::{copy_sled, make_directory, names, remove};
use crate::log::anchor::{Anchor, FILE_LENGTH};
use crate::log::directory::{Directory, sync_directory, write_private};
use crate::log::{OpenError, Position};

/// 1 GiB: up to here the copy that is put aside costs at most about a second, most of it never reaching the disk.
/// A larger log is opened without it.
const LIMIT: u64 = 1 << 30;

/// In the copy: the bytes of `HEAD`, a line for each file, and a CRC of all that.
const NOTE: &str = "whole";

/// Copies `sled/` to `before/`. It is not synced: it is needed only until the check has passed, and its note says whether
/// all of it has reached the disk. Without room for it the log is opened without it. Whether the copy is there.
///
/// # Errors
/// When the disk does not give what is stored: the storage engine would take it for damage, and write over it.
pub(super) fn put_aside(directory: &Directory) -> Result<bool, OpenError> {
    let before = directory.before();
    if !fs::metadata(directory.db()).is_ok_and(|metadata| metadata.len() <= LIMIT) {
        let _ = remove(&before);
        return Ok(false);
    }
    if let Err(error) = make_directory(&before).and_then(|()| copy_sled(&directory.sled(), &before)) {
        let _ = remove(&before);
        let is_of_the_disk = matches!(&error, OpenError::Io { source, .. } if is_of_the_disk(source));
        return if is_of_the_disk { Err(error) } else { Ok(false) };
    }
    if let (Ok(mut note), Ok(files)) = (fs::read(directory.head()), lines(&before)) {
        note.extend_from_slice(&files);
        let crc = crc32c::crc32c(&note);
        note.extend_from_slice(&crc.to_le_bytes());
        // Without it only a kill is not provided for.
        let _ = fs::write(before.join(NOTE), note);
    }
    Ok(true)
}

/// Whether a disk, or the way to it, has failed.
pub(super) fn is_of_the_disk(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// The check has passed. The note has to be gone for good before anything is appended.
pub(super) fn give_up(directory: &Directory) -> Result<(), OpenError> {
    let before = directory.before();
    if before.exists() {
        remove_note(&before)?;
    }
    remove(&before)
}

/// Puts the copy back in place of what sled made of a damaged log. `HEAD` is left to the caller.
pub(super) fn restore(directory: &Directory) -> Result<(), OpenError> {
    put_back(directory)?;
    remove_note(&directory.sled())?;
    remove(&directory.rejected())
}

/// What an opening that was killed has left. A copy that is not whole beside a `sled/` is of one that had not come so far,
/// or of one whose check had passed: `sled/` is all there is.
pub(super) fn finish_interrupted(directory: &Directory) -> Result<(), OpenError> {
    let (sled, before, rejected) = (directory.sled(), directory.before(), directory.rejected());
    match sled.exists() {
        true if is_whole(directory) => put_back(directory)?,
        // Between the two renames.
        false if rejected.exists() && before.exists() => put_in_place(directory)?,
        true | false => {}
    }
    if let Some((bytes, _)) = noted(&sled) {
        let (head, unfinished) = (directory.head(), directory.path().join("HEAD.new"));
        write_private(&unfinished, &bytes).map_err(OpenError::io("writing", &unfinished))?;
        fs::rename(&unfinished, &head).map_err(OpenError::io("renaming", &unfinished))?;
        sync_directory(directory.path())?;
        remove_note(&sled)?;
    }
    remove(&before)?;
    remove(&rejected)
}

fn put_back(directory: &Directory) -> Result<(), OpenError> {
    let (sled, before) = (directory.sled(), directory.before());
    for entry in fs::read_dir(&before).map_err(OpenError::io("listing", &before))? {
        let path = entry.map_err(OpenError::io("listing", &before))?.path();
        sync_directory(&path)?;
    }
    sync_directory(&before)?;
    let rejected = directory.rejected();
    remove(&rejected)?;
    fs::rename(&sled, &rejected).map_err(OpenError::io("renaming", &sled))?;
    put_in_place(directory)
}

fn put_in_place(directory: &Directory) -> Result<(), OpenError> {
    let before = directory.before();
    fs::rename(&before, directory.sled()).map_err(OpenError::io("renaming", &before))?;
    sync_directory(directory.path())
}

fn remove_note(from: &Path) -> Result<(), OpenError> {
    let note = from.join(NOTE);
    match fs::remove_file(&note) {
        Ok(()) => sync_directory(from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OpenError::io("removing", &note)(error)),
    }
}

/// Whether the copy is what was put aside, and the log has not gone on since.
fn is_whole(directory: &Directory) -> bool {
    let before = directory.before();
    let Some((head, files)) = noted(&before) else { return false };
    let position = |anchor: Anchor| -> Position { anchor.position };
    let noted = Anchor::parse(&head).ok().map(position);
    noted.is_some()
        && directory.read_head().ok().map(position) == noted
        && lines(&before).is_ok_and(|found| found == files)
}

/// The bytes of `HEAD` and the lines of a note that is whole.
fn noted(copy: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = fs::read(copy.join(NOTE)).ok()?;
    let crc = head.split_off(head.len().checked_sub(4)?);
    if crc32c::crc32c(&head).to_le_bytes() != *crc {
        return None;
    }
    let at = usize::try_from(FILE_LENGTH).ok().filter(|length| *length <= head.len())?;
    let files = head.split_off(at);
    Some((head, files))
}

/// What lies in a copy: length, CRC and name of each file.
fn lines(copy: &Path) -> Result<Vec<u8>, OpenError> {
    let mut lines = Vec::new();
    let mut names = names(copy)?;
    names.sort();
    for name in names.into_iter().filter(|name| name != NOTE) {
        let path = copy.join(&name);
        let (length, crc) = File::open(&path).and_then(checksum).map_err(OpenError::io("reading", &path))?;
        lines.extend_from_slice(format!("{length} {crc:08x} {}\n", name.to_string_lossy()).as_bytes());
    }
    Ok(lines)
}

fn checksum(mut file: File) -> io::Result<(u64, u32)> {
    let (mut buffer, mut length, mut crc) = (vec![0; 1 << 20], 0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, crc));
        }
        crc = crc32c::crc32c_append(crc, buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
}
