//! Opening a log, and creating one so that a crash anywhere is finished the next time. It owns the order of steps on
//! the disk; what makes a log whole stands in `check.rs`.
//!
//! Creation: the directory, `LOCK`, `HEAD` at 0 without `complete`, sled in `new/made/`, its files copied to `new/`,
//! everything synced, `new/` renamed to `sled/`, the directory synced, `HEAD` with `complete`. As long as `complete` is
//! not there no frame was ever appended, so what a crash left can be thrown away.
//!
//! *Why a copy:* sled syncs what it has made on threads of its own and keeps to itself that a sync failed. What that
//! has lost no later sync of the same file brings back, nor says. Of the copy every write and sync is ours.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::aside;
use super::check::{Checked, check, check_files};
use super::copy::attempt;
use super::files::{copy_synced, make_directory, remove, sweep_snapshots};
use super::place::Place;
use super::salvage::Unseen;
use super::store::{Held, SledFailure, SledStore, wait_until_unlocked};
use super::writer::{Durability, Opened, SledLog};
use crate::held::HeldDirectory;
use crate::log::anchor::{Anchor, AnchorError, AnchorFile};
use crate::log::directory::{Directory, Found, make_private, set_mode, sync_directory, sync_parent};
use crate::log::{OpenError, Position, Visitor, lock_holder};

/// What to do where there is no log yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    /// Create one.
    Create,
    /// Refuse with [`OpenError::Absent`].
    Refuse,
}

impl SledLog {
    /// Opens the log in `path` for writing, checks all of it up to its end, and shows it to `visitor` in passing, so
    /// that opening and replaying are one pass. If the visitor goes on from a position of its own, only the log behind
    /// that is read and checked. [`open`](Self::open), which only checks, stands in `src/open.rs`: it has to read the
    /// checkpoint.
    ///
    /// # Errors
    /// Every variant of [`OpenError`] but `Moving`. A log that is damaged, shorter than `HEAD` or too new stays as
    /// it is.
    pub fn open_visiting(
        path: impl AsRef<Path>,
        if_absent: IfAbsent,
        durability: Durability,
        visitor: &mut dyn Visitor,
    ) -> Result<Self, OpenError> {
        open(&Directory::at(path.as_ref()), if_absent, durability, visitor)
    }
}

fn open(
    directory: &Directory,
    if_absent: IfAbsent,
    durability: Durability,
    visitor: &mut dyn Visitor,
) -> Result<SledLog, OpenError> {
    make_or_refuse(directory, if_absent)?;
    let held = HeldDirectory::open(directory.path()).map_err(OpenError::io("opening", directory.path()))?;
    Directory::let_owner_in(&held);
    // From here on everything is done in this directory, whatever the path leads to.
    let directory = Directory::of_held(&held);
    open_held(&directory, Arc::new(held), if_absent, durability, visitor).map_err(|error| directory.explain(error))
}

fn open_held(
    directory: &Directory,
    held: Arc<HeldDirectory>,
    if_absent: IfAbsent,
    durability: Durability,
    visitor: &mut dyn Visitor,
) -> Result<SledLog, OpenError> {
    let found = directory.inspect()?;
    directory.check_kinds()?;
    if found == Found::Log {
        directory.check_owner(&held)?;
    } else if if_absent == IfAbsent::Refuse {
        return Err(OpenError::Absent { path: directory.path().to_owned() });
    }
    let lock = Arc::new(directory.take_lock(&held)?);
    check_unused(directory, &held)?;
    let kept = || Held::Log { _lock: Arc::clone(&lock), directory: Arc::clone(&held) };
    aside::finish_interrupted(directory)?;
    let before = match directory.read_head() {
        Err(OpenError::Anchor { found: AnchorError::Missing, .. }) if !directory.sled().exists() => {
            begin_creation(directory, if_absent)?
        }
        head => head?,
    };
    let path = directory.head();
    let file = held.open_writable("HEAD").map_err(OpenError::io("opening", &path))?;
    let mut head = AnchorFile::of(file, before);
    if before.complete {
        check_files(directory, &before)?;
    } else if if_absent == IfAbsent::Refuse {
        return Err(OpenError::Absent { path: directory.path().to_owned() });
    } else {
        finish_creation(directory, &kept)?;
    }
    directory.keep_ballast();
    let is_aside = aside::put_aside(directory)?;
    write_head(directory, &mut head, Anchor { clean: false, complete: true, ..before })?;
    match open_and_check(directory, &held, &kept, &before, visitor) {
        Ok((store, db, Checked { chain, frames })) => {
            aside::give_up(directory)?;
            let mut place = Place::of(Arc::clone(&held), (lock.file(), &head, &db))?;
            place.check_blobs()?;
            place.check(&head)?;
            let (was_clean, frames_read) = (before.clean, frames);
            let directory = directory.shown();
            let opened = Opened { directory, place, store, db, head, chain, was_clean, frames_read, lock };
            Ok(SledLog::of(opened, durability))
        }
        Err(error) => {
            if is_aside {
                aside::restore(directory)?;
                write_head(directory, &mut head, before)?;
                return Err(looked_at_again(directory, error));
            }
            Err(error)
        }
    }
}

/// Refuses what another writer has open. It holds `LOCK` as well, unless somebody removed that: the lock of its storage
/// engine is looked at before anything is written.
pub(super) fn check_unused(directory: &Directory, held: &HeldDirectory) -> Result<(), OpenError> {
    // What is missing or cannot be opened is told by whoever needs it.
    match held.open_to_read("sled/db") {
        Ok(db) if !wait_until_unlocked(&db) && matches!(db.try_lock(), Err(TryLockError::WouldBlock)) => {
            let path = directory.db();
            Err(OpenError::Busy { holder: lock_holder(&path), path })
        }
        _ => Ok(()),
    }
}

/// The storage engine takes a part of its file that the disk did not give for one that was never written. What is damaged is
/// so when it is read again; what is whole then was not read.
fn looked_at_again(directory: &Directory, found: OpenError) -> OpenError {
    if !found.is_defect() || found.is_too_new() {
        return found;
    }
    let path = directory.db();
    let passed = || io::Error::other("it could not be read a moment ago, and it is whole now: try again");
    match attempt(directory, &mut Unseen) {
        // Of a log that begins later the checkpoint was not looked at.
        Ok(copy) if copy.reader().start().is_whole() => OpenError::io("reading", &path)(passed()),
        Err(OpenError::Io { doing, path, source }) if aside::is_of_the_disk(&source) => {
            OpenError::Io { doing, path, source }
        }
        _ => found,
    }
}

fn make_or_refuse(directory: &Directory, if_absent: IfAbsent) -> Result<(), OpenError> {
    match if_absent {
        _ if directory.inspect()? == Found::Log => Ok(()),
        IfAbsent::Refuse => Err(OpenError::Absent { path: directory.path().to_owned() }),
        IfAbsent::Create => directory.create(),
    }
}

fn begin_creation(directory: &Directory, if_absent: IfAbsent) -> Result<Anchor, OpenError> {
    if if_absent == IfAbsent::Refuse {
        return Err(OpenError::Absent { path: directory.path().to_owned() });
    }
    set_mode(directory.path(), 0o700)?;
    make_directory(&directory.objects())?;
    let anchor = Anchor { counter: 0, clean: false, complete: false, position: Position::START, db_length: 0 };
    directory.create_head(&anchor)?;
    Ok(anchor)
}

fn finish_creation(directory: &Directory, held: &dyn Fn() -> Held) -> Result<(), OpenError> {
    let new = directory.new_sled();
    remove(&new)?;
    if directory.sled().exists() {
        return Ok(());
    }
    make_directory(&directory.objects())?;
    make_directory(&new)?;
    let made = new.join("made");
    make_directory(&made)?;
    let store = or_without_ballast(directory, &made, || SledStore::open(&made, held()))?;
    store.flush().map_err(SledFailure::while_opening)?;
    store.close().map_err(SledFailure::while_opening)?;
    take_over_made(&made, &new)?;
    fs::rename(&new, directory.sled()).map_err(OpenError::io("renaming", &new))?;
    sync_directory(directory.path())?;
    sync_parent(directory.shown().path())
}

/// Takes over into `new` what sled made in `made`, durable: of a copy every write and sync is ours. sled has been closed.
pub(super) fn take_over_made(made: &Path, new: &Path) -> Result<(), OpenError> {
    for name in ["db", "conf"] {
        let (from, to) = (made.join(name), new.join(name));
        let file = File::open(&from).map_err(OpenError::io("opening", &from))?;
        wait_until_unlocked(&file);
        copy_synced(file, &to).map_err(OpenError::io("copying", &from))?;
    }
    remove(made)?;
    make_directory(&new.join("blobs"))?;
    sync_directory(&new.join("blobs"))?;
    sync_directory(new)
}

fn open_and_check(
    directory: &Directory,
    held: &HeldDirectory,
    kept: &dyn Fn() -> Held,
    anchor: &Anchor,
    visitor: &mut dyn Visitor,
) -> Result<(SledStore, File, Checked), OpenError> {
    let sled = directory.sled();
    sweep_snapshots(&sled)?;
    // Before sled opens it: a sync of sled's that fails meanwhile, and of which it says nothing, is told to this one.
    let path = directory.db();
    let db = held.open_writable("sled/db").map_err(OpenError::io("opening", &path))?;
    let store = or_without_ballast(directory, &sled, || SledStore::open(&sled, kept()))?;
    make_private(&sled)?;
    let checked = check(&store, anchor, visitor)?;
    // What sled repaired while it opened, and a snapshot it may have renamed into place.
    db.sync_data().map_err(OpenError::io("syncing", &path))?;
    sync_directory(&sled)?;
    Ok((store, db, checked))
}

/// sled does not open when the disk is full. Then the ballast goes, once. The failed attempt leaves half a snapshot,
/// and with that the next one would call the log corrupt.
fn or_without_ballast(
    directory: &Directory,
    sled: &Path,
    open: impl Fn() -> Result<SledStore, SledFailure>,
) -> Result<SledStore, OpenError> {
    let full = match open() {
        Ok(store) => return Ok(store),
        Err(failure) if !failure.disk_is_full() => return Err(failure.while_opening()),
        Err(failure) => failure,
    };
    if directory.give_up_ballast() {
        sweep_snapshots(sled)?;
        return open().map_err(|failure| match failure.disk_is_full() {
            true => OpenError::Full { path: directory.path().to_owned(), text: failure.text },
            false => failure.while_opening(),
        });
    }
    Err(OpenError::Full { path: directory.path().to_owned(), text: full.text })
}

fn write_head(directory: &Directory, head: &mut AnchorFile, next: Anchor) -> Result<(), OpenError> {
    head.write_both(next).map_err(OpenError::io("writing", &directory.head()))
}
