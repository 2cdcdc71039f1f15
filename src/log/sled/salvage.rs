//! What is left of a damaged log: its frames from the first one up to the last before the damage, in a private copy.
//!
//! sled refuses, or panics, where it cannot go on. Then the copy is opened without sled's own snapshots, then cut short at
//! one of sled's segments after the other, and at last the bytes of the file are gone through without sled: what is found is
//! held against hashes and chain like always, so that nothing counts that was not written so. It owns these tries; it changes
//! nothing of the log.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::copy::{PrivateCopy, attempt};
use super::files::{copy_sled_if_it_fits, make_directory};
use super::reader::Frames;
use super::scan::{Scanned, scan};
use super::store::{Held, SledFailure, SledStore};
use super::temporary::TemporaryDirectory;
use crate::core::vocabulary::Seq;
use crate::log::anchor::Anchor;
use crate::log::directory::{Directory, Found};
use crate::log::{Chain, OpenError, Position};

/// Bytes of one of sled's segments.
const SEGMENT: u64 = 512 << 10;

/// How many lengths are tried. Each costs a copy; the steps grow, so that the largest file is gone through.
const MOST_CUTS: u32 = 24;

/// A copy of what is left of a log.
#[derive(Debug)]
#[non_exhaustive]
pub struct Salvage {
    /// Its frames up to the damage.
    pub copy: PrivateCopy,
    /// Why the log does not open; nothing if it does.
    pub damage: Option<OpenError>,
}

impl Salvage {
    /// Copies what is left of the log in `path`.
    ///
    /// # Errors
    /// When there is no log, nothing of it can be read, or there is no room for the copy. A log of a newer program is not
    /// damaged.
    pub fn of(path: impl AsRef<Path>) -> Result<Salvage, OpenError> {
        let directory = Directory::at(path.as_ref());
        if directory.inspect()? != Found::Log {
            return Err(OpenError::Absent { path: directory.path().to_owned() });
        }
        directory.check_kinds()?;
        // A writer that goes on is not salvaged from, and what is whole neither.
        Salvage::after(&directory, PrivateCopy::of_visiting(directory.path(), || Unseen).map(|(copy, _)| copy))
    }

    /// The same for whoever holds the lock of the writer.
    pub(super) fn of_held(directory: &Directory) -> Result<Salvage, OpenError> {
        Salvage::after(directory, attempt(directory, &mut Unseen))
    }

    fn after(directory: &Directory, opened: Result<PrivateCopy, OpenError>) -> Result<Salvage, OpenError> {
        match opened {
            Ok(copy) => Ok(Salvage { copy, damage: None }),
            // There is nothing to salvage from.
            Err(missing @ OpenError::FileMissing { .. }) => Err(missing),
            Err(damage) if damage.is_defect() && !damage.is_too_new() => {
                let copy = salvage(directory, &damage)?;
                Ok(Salvage { copy, damage: Some(damage) })
            }
            Err(error) => Err(error),
        }
    }

    /// The last event that is left.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.copy.end().seq
    }
}

/// The frames are read again by whoever wants them; a checkpoint that cannot be read is their matter.
pub(super) struct Unseen;

impl crate::log::Visitor for Unseen {
    fn checkpoint(
        &mut self,
        _start: crate::log::Start,
        _frames: &mut crate::log::FrameIter<'_>,
    ) -> Result<(), crate::log::LogError> {
        Ok(())
    }

    fn frame(&mut self, _frame: &crate::log::Frame<'_>) {}
}

fn salvage(directory: &Directory, damage: &OpenError) -> Result<PrivateCopy, OpenError> {
    let anchor = directory.read_head().ok();
    let length = fs::metadata(directory.db()).map_or(0, |metadata| metadata.len());
    let mut best: Option<(Arc<SledStore>, Chain)> = None;
    let mut last_error = None;
    for attempt in attempts(length) {
        // A shorter file has no more than a longer one that opens.
        if matches!(attempt, Attempt::Cut(_)) && best.is_some() {
            break;
        }
        match try_one(directory, attempt) {
            Ok((store, chain)) => {
                let end = left(&chain, anchor.as_ref(), damage, &store);
                let is_better = best.as_ref().is_none_or(|(_, found)| end.position().seq > found.position().seq);
                if is_better && (end.position().seq > Seq::ZERO || matches!(attempt, Attempt::AsItIs)) {
                    best = Some((store, end));
                }
                if best.as_ref().is_some_and(|(_, found)| reaches(found, anchor.as_ref())) {
                    break;
                }
            }
            Err(error) if error.is_defect() => last_error = Some(error),
            Err(error) => return Err(error),
        }
    }
    if !best.as_ref().is_some_and(|(_, found)| reaches(found, anchor.as_ref())) {
        let scanned = scan(&directory.db(), anchor.as_ref())?;
        let last = scanned.frames.last().map_or(Seq::ZERO, |frame| frame.as_frame().last());
        // Also where both come as far: cut short, sled shows what a later writer had put something else in the place of.
        if best.as_ref().map_or(last > Seq::ZERO, |(_, found)| last >= found.position().seq) {
            let (store, chain) = store_of(&scanned)?;
            let end = left(&chain, anchor.as_ref(), damage, &store);
            best = Some((store, end));
        }
    }
    let Some((store, end)) = best else {
        return Err(last_error.unwrap_or_else(|| OpenError::Absent { path: directory.path().to_owned() }));
    };
    store.set_appended(end.position().seq);
    let anchor = anchor.unwrap_or(NO_ANCHOR);
    Ok(PrivateCopy::salvaged(store, anchor, &end, directory))
}

/// What is said of a log whose `HEAD` cannot be read.
const NO_ANCHOR: Anchor = Anchor { counter: 0, clean: false, complete: true, position: Position::START, db_length: 0 };

fn reaches(chain: &Chain, anchor: Option<&Anchor>) -> bool {
    anchor.is_some_and(|anchor| chain.position().seq >= anchor.position.seq)
}

/// Another frame than the one that `HEAD` knows is not what was acknowledged: what is left ends before it.
fn left(chain: &Chain, anchor: Option<&Anchor>, damage: &OpenError, store: &SledStore) -> Chain {
    let (OpenError::OtherThanAnchor { seq, .. }, Some(_)) = (damage, anchor) else { return *chain };
    let mut end = store.start().chain();
    for frame in Frames::new(store, Seq::ZERO, Some(chain.position().seq)).map_while(Result::ok) {
        if frame.as_frame().last() >= *seq || end.check(&frame.as_frame()).is_err() {
            break;
        }
    }
    end
}

/// How the copy is made.
#[derive(Clone, Copy)]
enum Attempt {
    AsItIs,
    WithoutSnapshots,
    /// Without snapshots, and so long.
    Cut(u64),
}

fn attempts(length: u64) -> impl Iterator<Item = Attempt> {
    let segments = length.div_ceil(SEGMENT);
    // 1, 2, 3 and so on from the end, then ever larger steps.
    let cuts = (0..MOST_CUTS).scan(0, |cut: &mut u64, number| {
        *cut += 1 + u64::from(number / 8) * u64::from(number);
        Some(*cut)
    });
    let cuts = cuts.take_while(move |cut| *cut < segments).map(move |cut| Attempt::Cut((segments - cut) * SEGMENT));
    [Attempt::AsItIs, Attempt::WithoutSnapshots].into_iter().chain(cuts)
}

fn try_one(directory: &Directory, attempt: Attempt) -> Result<(Arc<SledStore>, Chain), OpenError> {
    let temporary = TemporaryDirectory::create()?;
    let copied = temporary.path().join("sled");
    make_directory(&copied)?;
    copy_sled_if_it_fits(&directory.sled(), &copied)?;
    if !matches!(attempt, Attempt::AsItIs) {
        remove_snapshots(&copied)?;
    }
    if let Attempt::Cut(length) = attempt {
        let db = copied.join("db");
        let cut = File::options().write(true).open(&db).and_then(|file| file.set_len(length));
        cut.map_err(OpenError::io("shortening", &db))?;
    }
    let opened = SledStore::open(&copied, Held::Copy { directory: Some(temporary) });
    let mut store = opened.map_err(SledFailure::while_opening)?;
    store.unlink_copy();
    store.read_start()?;
    let mut frames = Frames::new(&store, Seq::ZERO, None);
    // To the first that is not whole.
    while let Some(Ok(_)) = frames.next() {}
    let chain = frames.so_far();
    Ok((Arc::new(store), chain))
}

/// A store of its own with what was found.
fn store_of(scanned: &Scanned) -> Result<(Arc<SledStore>, Chain), OpenError> {
    let temporary = TemporaryDirectory::create()?;
    let made = temporary.path().join("sled");
    make_directory(&made)?;
    let opened = SledStore::open(&made, Held::Copy { directory: Some(temporary) });
    let store = opened.map_err(SledFailure::while_opening)?;
    store.set_start(scanned.start);
    if !scanned.start.is_whole() {
        store.put_start(scanned.start).map_err(SledFailure::while_opening)?;
    }
    let mut chain = scanned.start.chain();
    for frame in &scanned.frames {
        let frame = frame.as_frame();
        store.put(&frame).map_err(SledFailure::while_opening)?;
        chain.check(&frame).map_err(|found| OpenError::Damaged { at: frame.first(), found })?;
    }
    Ok((Arc::new(store), chain))
}

fn remove_snapshots(sled: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(sled).map_err(OpenError::io("listing", sled))? {
        let path = entry.map_err(OpenError::io("listing", sled))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")) {
            fs::remove_file(&path).map_err(OpenError::io("removing", &path))?;
        }
    }
    Ok(())
}
