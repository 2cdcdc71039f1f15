//! Opening a log, and creating one so that a crash anywhere is finished the next time.
//!
//! Creation: the directory, `LOCK`, `HEAD` at 0 without `complete`, sled in `new/made/`, its files copied to `new/`,
//! everything synced, `new/` renamed to `sled/`, the directory synced, `HEAD` with `complete`. As long as `complete` is not
//! there no frame was ever appended, so what a crash left can be thrown away.
//!
//! *Why a copy:* sled syncs what it has made on threads of its own and keeps to itself that a sync failed. What that has
//! lost no later sync of the same file brings back, nor says. Of the copy every write and sync is ours.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::copy::copy_sled;
use super::reader::Frames;
use super::store::{Held, SledFailure, SledStore};
use super::{Durability, IfAbsent, SledLog, check_blobs, wait_until_unlocked};
use crate::core::vocabulary::Seq;
use crate::log::anchor::{Anchor, AnchorError, AnchorFile};
use crate::log::directory::{Directory, Found, make_private, set_mode, sync_directory, sync_parent};
use crate::log::{Chain, OpenError, Position, Visitor};

/// 1 GiB: up to here the copy that is put aside costs at most about a second, most of it never reaching the disk.
/// A larger log is opened without it.
const PUT_ASIDE_LIMIT: u64 = 1 << 30;

pub(super) fn open(
    directory: Directory,
    if_absent: IfAbsent,
    durability: Durability,
    visitor: &mut dyn Visitor,
) -> Result<SledLog, OpenError> {
    if directory.inspect()? != Found::Log {
        if if_absent == IfAbsent::Refuse {
            return Err(OpenError::Absent { path: directory.path().to_owned() });
        }
        directory.create()?;
    }
    directory.check_kinds()?;
    let lock = Arc::new(directory.take_lock()?);
    finish_interrupted_restore(&directory)?;
    let before = match directory.read_head() {
        Err(OpenError::Anchor { found: AnchorError::Missing, .. }) if !directory.sled().exists() => {
            begin_creation(&directory, if_absent)?
        }
        head => head?,
    };
    let path = directory.head();
    let mut head = AnchorFile::open(&path, before).map_err(OpenError::io("opening", &path))?;
    if before.complete {
        check_files(&directory, &before)?;
    } else if if_absent == IfAbsent::Refuse {
        return Err(OpenError::Absent { path: directory.path().to_owned() });
    } else {
        finish_creation(&directory, &lock)?;
    }
    directory.keep_ballast();
    let aside = put_aside(&directory);
    write_head(&directory, &mut head, Anchor { clean: false, complete: true, ..before })?;
    match open_and_check(&directory, &lock, &before, visitor) {
        Ok((engine, db, Checked { chain, frames })) => {
            remove(&directory.before())?;
            let durable = chain.position();
            engine.set_appended(durable.seq);
            let forgets = !engine.start().is_whole();
            Ok(SledLog {
                directory,
                durability,
                engine: Arc::new(engine),
                db,
                head,
                chain,
                durable,
                synced: durable,
                synced_since_open: false,
                last_tick: None,
                poison: None,
                was_clean: before.clean,
                frames_read: frames,
                forgets,
                lock,
            })
        }
        Err(error) => {
            if aside {
                restore(&directory)?;
                write_head(&directory, &mut head, before)?;
            }
            Err(error)
        }
    }
}

/// What a check came to.
pub(super) struct Checked {
    pub(super) chain: Chain,
    /// How many frames were read for it.
    pub(super) frames: u64,
}

/// Walks the frames of `engine`, from where the visitor goes on or else from the first one, and holds their end against
/// `anchor`.
pub(super) fn check(engine: &SledStore, anchor: &Anchor, visitor: &mut dyn Visitor) -> Result<Checked, OpenError> {
    engine.read_start()?;
    let named = anchor.position;
    let mut read = 0;
    let resumed = begin(engine, visitor, &mut read)?;
    // From HEAD on if the visitor goes on behind it: what HEAD names has to be there, and chained to the end.
    let mut frames = Frames::new(engine, resumed.min(named.seq), None);
    while let Some(frame) = frames.next().transpose()? {
        read += 1;
        let frame = frame.as_frame();
        if frame.first() <= named.seq && named.seq <= frame.last() && Position::of(&frame) != named {
            return Err(OpenError::OtherThanAnchor { seq: named.seq, expected: named.hash, found: frame.hash() });
        }
        if frame.first() > resumed {
            visitor.frame(&frame);
        }
    }
    let (anchor_seq, found) = (named.seq, frames.so_far().position().seq);
    if found < anchor_seq {
        return Err(OpenError::ShorterThanAnchor { anchor: anchor_seq, found });
    }
    if found > anchor_seq && (anchor.clean || !anchor.complete) {
        return Err(OpenError::LongerThanAnchor { anchor: anchor_seq, found });
    }
    Ok(Checked { chain: frames.so_far(), frames: read })
}

/// Finds out from where the visitor goes on: the event after which it wants to see frames.
fn begin(engine: &SledStore, visitor: &mut dyn Visitor, read: &mut u64) -> Result<Seq, OpenError> {
    let start = engine.start();
    for known in visitor.known() {
        if known.seq < start.first() {
            continue;
        }
        *read += 1;
        let there = Frames::new(engine, known.seq, None).next();
        let there = there.is_some_and(|frame| frame.is_ok_and(|frame| Position::of(&frame.as_frame()) == known));
        if there && visitor.resume(known) {
            return Ok(known.seq);
        }
    }
    if !start.is_whole() {
        visitor.checkpoint(start, &mut Frames::new(engine, start.checkpoint, None).inspect(|_| *read += 1))?;
    }
    Ok(Seq::ZERO)
}

/// What can be known before sled touches the files. `db` may rightly be shorter than an unclean `HEAD` says, because
/// sled gives free segments at its end back; after a clean close it may not.
pub(super) fn check_files(directory: &Directory, anchor: &Anchor) -> Result<(), OpenError> {
    let path = directory.db();
    let found = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(OpenError::io("looking at", &path)(error)),
    };
    let expected = if anchor.clean { anchor.db_length } else { 0 };
    if found == 0 || found < expected {
        return Err(OpenError::FileShorterThanAnchor { path, expected: anchor.db_length, found });
    }
    Ok(())
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

fn finish_creation(directory: &Directory, lock: &Arc<File>) -> Result<(), OpenError> {
    let new = directory.new_sled();
    remove(&new)?;
    if directory.sled().exists() {
        return Ok(());
    }
    make_directory(&directory.objects())?;
    make_directory(&new)?;
    let made = new.join("made");
    make_directory(&made)?;
    let engine =
        or_without_ballast(directory, &made, || SledStore::open(&made, Held::Lock { _file: Arc::clone(lock) }))?;
    engine.flush().map_err(|failure| OpenError::Storage(failure.text))?;
    drop(engine);
    for name in ["db", "conf"] {
        let (from, to) = (made.join(name), new.join(name));
        let file = File::open(&from).map_err(OpenError::io("opening", &from))?;
        wait_until_unlocked(&file);
        copy_synced(file, &to).map_err(OpenError::io("copying", &from))?;
    }
    remove(&made)?;
    make_directory(&new.join("blobs"))?;
    sync_directory(&new.join("blobs"))?;
    sync_directory(&new)?;
    fs::rename(&new, directory.sled()).map_err(OpenError::io("renaming", &new))?;
    sync_directory(directory.path())?;
    sync_parent(directory.path())
}

/// Byte by byte: a copy that shares its blocks would share what is on the disk, and that may be older than what is read.
fn copy_synced(mut from: File, to: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    target.write_all(&bytes)?;
    target.sync_all()
}

fn open_and_check(
    directory: &Directory,
    lock: &Arc<File>,
    anchor: &Anchor,
    visitor: &mut dyn Visitor,
) -> Result<(SledStore, File, Checked), OpenError> {
    let sled = directory.sled();
    sweep_snapshots(&sled)?;
    // Before sled opens it: a sync of sled's that fails meanwhile, and of which it says nothing, is told to this one.
    let path = directory.db();
    let db = OpenOptions::new().read(true).write(true).open(&path).map_err(OpenError::io("opening", &path))?;
    let engine =
        or_without_ballast(directory, &sled, || SledStore::open(&sled, Held::Lock { _file: Arc::clone(lock) }))?;
    make_private(&sled)?;
    let checked = check(&engine, anchor, visitor)?;
    check_blobs(directory)?;
    // What sled repaired while it opened, and a snapshot it may have renamed into place.
    db.sync_data().map_err(OpenError::io("syncing", &path))?;
    sync_directory(&sled)?;
    Ok((engine, db, checked))
}

/// sled does not open when the disk is full. Then the ballast goes, once. The failed attempt leaves half a snapshot,
/// and with that the next one would call the log corrupt.
fn or_without_ballast(
    directory: &Directory,
    sled: &Path,
    open: impl Fn() -> Result<SledStore, SledFailure>,
) -> Result<SledStore, OpenError> {
    let full = match open() {
        Ok(engine) => return Ok(engine),
        Err(failure) if !failure.disk_is_full => return Err(OpenError::Storage(failure.text)),
        Err(failure) => failure,
    };
    if directory.give_up_ballast() {
        sweep_snapshots(sled)?;
        return open().map_err(|failure| match failure.disk_is_full {
            true => OpenError::Full { path: directory.path().to_owned(), text: failure.text },
            false => OpenError::Storage(failure.text),
        });
    }
    Err(OpenError::Full { path: directory.path().to_owned(), text: full.text })
}

/// A snapshot that sled did not finish makes it refuse to open: it takes the newest name, whatever its end.
fn sweep_snapshots(sled: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(sled).map_err(OpenError::io("listing", sled))? {
        let path = entry.map_err(OpenError::io("listing", sled))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(OpenError::io("removing", &path))?;
        }
    }
    Ok(())
}

/// Copies `sled/` to `before/`. sled, when it opens, overwrites what it cannot read and everything behind it, and
/// this is what a damaged log is put back from. It is not synced: it is needed only until the check has passed.
/// Without room for it the log is opened without it. Whether the copy is there.
fn put_aside(directory: &Directory) -> bool {
    let before = directory.before();
    let small = fs::metadata(directory.db()).is_ok_and(|metadata| metadata.len() <= PUT_ASIDE_LIMIT);
    let copied = small && make_directory(&before).is_ok() && copy_sled(&directory.sled(), &before).is_ok();
    if !copied {
        let _ = remove(&before);
    }
    copied
}

/// Puts the copy back in place of what sled made of a damaged log.
fn restore(directory: &Directory) -> Result<(), OpenError> {
    let (sled, before, rejected) = (directory.sled(), directory.before(), directory.rejected());
    for entry in fs::read_dir(&before).map_err(OpenError::io("listing", &before))? {
        let path = entry.map_err(OpenError::io("listing", &before))?.path();
        sync_directory(&path)?;
    }
    sync_directory(&before)?;
    fs::rename(&sled, &rejected).map_err(OpenError::io("renaming", &sled))?;
    fs::rename(&before, &sled).map_err(OpenError::io("renaming", &before))?;
    sync_directory(directory.path())?;
    remove(&rejected)
}

/// A crash between the two renames of [`restore`] leaves no `sled/`, and `before/` synced. A `before/` beside a
/// `sled/` is of an opening that was interrupted; it may be half a copy, and `sled/` is all there is.
fn finish_interrupted_restore(directory: &Directory) -> Result<(), OpenError> {
    let (sled, before, rejected) = (directory.sled(), directory.before(), directory.rejected());
    if rejected.exists() && before.exists() && !sled.exists() {
        fs::rename(&before, &sled).map_err(OpenError::io("renaming", &before))?;
        sync_directory(directory.path())?;
    }
    remove(&before)?;
    remove(&rejected)
}

fn write_head(directory: &Directory, head: &mut AnchorFile, next: Anchor) -> Result<(), OpenError> {
    head.write_both(next).map_err(OpenError::io("writing", &directory.head()))
}

fn make_directory(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(OpenError::io("creating", path)(error)),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("removing", path)(error)),
        _ => Ok(()),
    }
}

impl From<SledFailure> for OpenError {
    fn from(failure: SledFailure) -> Self {
        OpenError::Storage(failure.text)
    }
}
