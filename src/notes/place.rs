//! Where notebooks lie: in memory, or as files of a directory that is held open. The directory is opened once, and every
//! file is reached through it: what takes the place of its path later is another's, and is never touched.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};

use super::record;
use crate::core::vocabulary::{CollectionId, Epoch, Seq, Token};
use crate::held::make_directory;

/// The directory beside the log.
const DIRECTORY: &str = "notes";

/// The place of all notebooks.
pub(super) enum Place {
    Memory,
    Directory(OwnedFd),
}

/// One notebook, as its attempt writes it.
#[derive(Default)]
pub(super) struct Shelf {
    notes: u64,
    pages: Pages,
}

#[derive(Default)]
enum Pages {
    #[default]
    None,
    Memory(Vec<u8>),
    File(File),
    /// A write failed: where the file ends is unknown, so nothing is written behind it.
    GivenUp,
}

impl Place {
    /// The directory of the notes beside the log in `state`; it is made if it is missing. A link is no directory.
    pub(super) fn open(state: &Path) -> io::Result<Place> {
        let path = state.join(DIRECTORY);
        match make_directory(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Place::Directory(openat(CWD, &path, flags, Mode::empty())?))
    }

    /// The notebooks that are there, with their lengths. What has another kind of name is not ours, and is left alone.
    pub(super) fn list(&self) -> io::Result<Vec<(CollectionId, Token, u64)>> {
        let Place::Directory(directory) = self else { return Ok(Vec::new()) };
        let mut listed = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let Some((collection, token)) = entry.file_name().to_str().ok().and_then(parse) else { continue };
            let Ok(found) = statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
                listed.push((collection, token, u64::try_from(found.st_size).unwrap_or(0)));
            }
        }
        Ok(listed)
    }

    /// Puts a note behind the others of its notebook.
    pub(super) fn append(&self, shelf: &mut Shelf, of: (CollectionId, Token), note: &[u8]) -> io::Result<()> {
        let bytes = record::write(of, shelf.notes, note);
        if matches!(shelf.pages, Pages::None) {
            shelf.pages = match self {
                Place::Memory => Pages::Memory(Vec::new()),
                Place::Directory(directory) => create(directory, of).map_or(Pages::GivenUp, Pages::File),
            };
        }
        let written = match &mut shelf.pages {
            Pages::None | Pages::GivenUp => Err(io::Error::other("an earlier one was not written")),
            Pages::Memory(all) => {
                all.extend_from_slice(&bytes);
                Ok(())
            }
            Pages::File(file) => file.write_all(&bytes),
        };
        match written {
            Ok(()) => shelf.notes += 1,
            Err(_) => shelf.pages = Pages::GivenUp,
        }
        written
    }

    /// The bytes of a notebook, `most` of them at most; nothing if it cannot be read.
    pub(super) fn read(&self, shelf: &Shelf, of: (CollectionId, Token), most: u64) -> Option<Vec<u8>> {
        let directory = match (self, &shelf.pages) {
            (Place::Memory, Pages::Memory(bytes)) => return Some(bytes.clone()),
            (Place::Memory, _) => return Some(Vec::new()),
            (Place::Directory(directory), _) => directory,
        };
        // What a device or a pipe under this name would do when it is opened or read must not be found out.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(directory, name(of), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Some(Vec::new()),
            Err(_) => return None,
        };
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Removes a notebook. One that stays, because the disk refuses, is found and removed by the next opening.
    pub(super) fn remove(&self, collection: CollectionId, token: Token) {
        if let Place::Directory(directory) = self {
            let _ = unlinkat(directory, name((collection, token)), AtFlags::empty());
        }
    }
}

fn create(directory: &OwnedFd, of: (CollectionId, Token)) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(directory, name(of), flags, Mode::RUSR | Mode::WUSR)?))
}

/// Incarnation and token: digits and points, whatever the collection is called.
fn name((collection, token): (CollectionId, Token)) -> String {
    format!("{}.{}.{}", collection.0.0, token.epoch.0, token.seq.0)
}

fn parse(text: &str) -> Option<(CollectionId, Token)> {
    let numbers: Vec<u64> = text.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [collection, epoch, seq] = numbers[..] else { return None };
    let of = (CollectionId(Seq(collection)), Token { epoch: Epoch(epoch), seq: Seq(seq) });
    (name(of) == text).then_some(of)
}
