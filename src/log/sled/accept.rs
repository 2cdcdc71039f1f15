//! Going on with what is left of a damaged log, because a person said so.
//!
//! What is left is put into a new storage directory, frame by frame with its hashes, and takes the place of the damaged
//! one. That and its `HEAD` are kept beside it: nothing is destroyed. It owns the order of steps; a crash between any two
//! is finished when the same is asked for again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aside;
use super::files::{KEPT, kept, make_directory, remove};
use super::open::{check_unused, take_over_made};
use super::salvage::Salvage;
use super::store::{Held, SledFailure, SledStore};
use super::writer::SledLog;
use crate::core::vocabulary::Seq;
use crate::held::HeldDirectory;
use crate::log::OpenError;
use crate::log::anchor::{Anchor, first_file};
use crate::log::directory::{Directory, Found, sync_directory, write_private};

/// Frames are handed to the operating system after about so many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// What became of the wish to go on without what is lost.
#[derive(Debug)]
#[non_exhaustive]
pub enum LossAccepted {
    /// The log ends at that event now. The text says what was found instead of the rest.
    Done(String),
    /// The log is whole: there is no loss.
    NoLoss,
    /// What is left ends at this event, which is not the one that was named. Nothing was changed.
    OtherEnd(Seq),
}

impl SledLog {
    /// Shortens a damaged log to the events up to `last`, which has to be the last event that is left. What was there is
    /// kept in a directory `damaged-N` in the log's own. The log has to be opened afterwards.
    ///
    /// # Errors
    /// When nothing of it can be read, a writer has it open, or the disk refuses.
    pub fn accept_loss(path: impl AsRef<Path>, last: Seq) -> Result<LossAccepted, OpenError> {
        let path = path.as_ref();
        if Directory::at(path).inspect()? != Found::Log {
            return Err(OpenError::Absent { path: path.to_owned() });
        }
        let held = Arc::new(HeldDirectory::open(path).map_err(OpenError::io("opening", path))?);
        Directory::let_owner_in(&held);
        let directory = Directory::of_held(&held);
        SledLog::accept_held(&directory, &held, last).map_err(|error| directory.explain(error))
    }

    fn accept_held(directory: &Directory, held: &Arc<HeldDirectory>, last: Seq) -> Result<LossAccepted, OpenError> {
        directory.check_kinds()?;
        directory.check_owner(held)?;
        let lock = Arc::new(directory.take_lock(held)?);
        check_unused(directory, held)?;
        // First what an opening has left half done: without `sled/` only one of the two was interrupted.
        aside::finish_interrupted(directory)?;
        let kept = kept(directory.path())?;
        finish_interrupted(directory, &kept)?;
        let salvage = Salvage::of_held(directory)?;
        let Some(damage) = &salvage.damage else {
            // Only an anchor that was put in place with what is left knows no length: no writer has opened the log since,
            // to say that events were lost.
            let anchor = salvage.copy.anchor();
            let is_unlogged = !kept.is_empty() && !anchor.clean && anchor.db_length == 0 && salvage.last() == last;
            let found = "the loss was accepted before, and the process ended before that was logged";
            return Ok(if is_unlogged { LossAccepted::Done(found.to_owned()) } else { LossAccepted::NoLoss });
        };
        if salvage.last() != last {
            return Ok(LossAccepted::OtherEnd(salvage.last()));
        }
        let found = damage.to_string();
        let kept_open = Held::Log { _lock: lock, directory: Arc::clone(held) };
        let new = make(directory, &salvage, kept_open)?;
        let numbers =
            kept.iter().filter_map(|kept| kept.file_name()?.to_str()?.strip_prefix(KEPT)?.parse::<u64>().ok());
        let aside = directory.path().join(format!("{KEPT}{}", numbers.max().unwrap_or(0) + 1));
        put_in_place(directory, &salvage, &new, &aside)?;
        Ok(LossAccepted::Done(found))
    }
}

/// Between the two renames there is no `sled/`, and what is to take its place is there.
fn finish_interrupted(directory: &Directory, kept: &[PathBuf]) -> Result<(), OpenError> {
    let sled = directory.sled();
    let is_between = !sled.exists() && directory.new_sled().exists();
    let Some(last) = kept.last().filter(|_| is_between).map(|kept| kept.join("sled")) else { return Ok(()) };
    if last.exists() {
        fs::rename(&last, &sled).map_err(OpenError::io("renaming", &last))?;
        sync_directory(directory.path())?;
    }
    Ok(())
}

/// A storage directory with what is left, durable.
fn make(directory: &Directory, salvage: &Salvage, held: Held) -> Result<PathBuf, OpenError> {
    let new = directory.new_sled();
    remove(&new)?;
    make_directory(&new)?;
    let made = new.join("made");
    make_directory(&made)?;
    let failed = SledFailure::while_opening;
    let store = SledStore::open(&made, held).map_err(failed)?;
    let reader = salvage.copy.reader();
    let start = reader.start();
    if !start.is_whole() {
        store.put_start(start).map_err(failed)?;
    }
    let mut unflushed = 0;
    for frame in reader.frames(Seq::ZERO) {
        let frame = frame?;
        store.put(&frame.as_frame()).map_err(failed)?;
        unflushed += frame.as_frame().bytes().len();
        if unflushed >= BATCH_BYTES {
            store.flush().map_err(failed)?;
            unflushed = 0;
        }
    }
    store.flush().map_err(failed)?;
    store.close().map_err(failed)?;
    take_over_made(&made, &new)?;
    Ok(new)
}

fn put_in_place(directory: &Directory, salvage: &Salvage, new: &Path, aside: &Path) -> Result<(), OpenError> {
    make_directory(aside)?;
    let head = directory.head();
    if let Ok(bytes) = fs::read(&head) {
        let copy = aside.join("HEAD");
        write_private(&copy, &bytes).map_err(OpenError::io("writing", &copy))?;
    }
    sync_directory(aside)?;
    let (sled, old) = (directory.sled(), aside.join("sled"));
    if sled.exists() {
        fs::rename(&sled, &old).map_err(OpenError::io("renaming", &sled))?;
    }
    fs::rename(new, &sled).map_err(OpenError::io("renaming", new))?;
    sync_directory(aside)?;
    sync_directory(directory.path())?;
    // Only now, or it would know of a shorter log than there is. Unclean: the next opening goes through all of it.
    let counter = salvage.copy.anchor().counter;
    let anchor = Anchor { counter, clean: false, complete: true, position: salvage.copy.end(), db_length: 0 };
    let unfinished = directory.path().join("HEAD.new");
    write_private(&unfinished, &first_file(&Anchor { counter: counter + counter % 2, ..anchor }))
        .map_err(OpenError::io("writing", &unfinished))?;
    fs::rename(&unfinished, &head).map_err(OpenError::io("renaming", &unfinished))?;
    sync_directory(directory.path())
}
