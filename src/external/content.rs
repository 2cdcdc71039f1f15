//! Reading the content of files: what a judgement depends on, then what is doubted, then what nothing asks for yet, so that
//! a later scan has a hash to compare with.
//!
//! One look reads a bounded number of bytes. A file that has aged is read piece by piece, over as many looks as it takes.
//! A racy one is read whole in one look or not at all: it may change between two looks without a trace.
//!
//! It reads through a [`Store`] and hands out hashes. It must not judge whether a file has changed: `judge.rs` does.

use std::collections::BTreeMap;

use super::mount::Mounts;
use super::{ContentHash, FileReader, Interrupted, SourceLocation, SourcePath, Stat, StopCheck, Store, StoreError};

/// What one look reads at most to find out what a file holds, in bytes: about half a second of one core. What is written
/// within two seconds is seldom more, and waits until it has aged if it is.
pub(super) const MOST_READ: u64 = 512 << 20;

/// What is read at once between two questions whether to go on.
const PIECE: u64 = 1 << 20;

/// What a file costs at least of what a look may read: opening one takes about as long as reading a page or two, and
/// a million tiny files must not be opened by one look.
const LEAST_COST: u64 = 4 << 10;

/// Why a content is not known.
#[derive(Debug)]
pub(super) enum Unread {
    /// The work was told to stop.
    Interrupted,
    /// This look has read what it may.
    Unfinished,
    /// It cannot be read, and this says why: nothing is known of the file.
    Failed(StoreError),
}

impl From<Interrupted> for Unread {
    fn from(_: Interrupted) -> Unread {
        Unread::Interrupted
    }
}

/// What was read and not used up, for the next look at the same source. Volatile: losing it costs reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    /// The mounts that it was read on.
    mounts: Mounts,
    /// The file that was not read to its end, of those that were asked for.
    asked: Option<PartialHash>,
    /// And of those that nobody has asked for.
    ahead: Option<PartialHash>,
    /// Files that were read to their end by looks that could not be finished.
    finished: BTreeMap<SourcePath, (Stat, ContentHash)>,
}

impl Carried {
    /// What was read counts on the same mounts alone.
    pub(super) fn on(self, mounts: &Mounts) -> Carried {
        if self.mounts == *mounts { self } else { Carried { mounts: mounts.clone(), ..Carried::default() } }
    }

    /// How many files it holds.
    pub(super) fn files(&self) -> usize {
        self.finished.len()
    }

    /// How many bytes were read of what was asked for.
    pub(super) fn reached(&self) -> u64 {
        let finished = self.finished.values().map(|(stat, _)| stat.size);
        finished.chain(self.asked.as_ref().map(|partial| partial.offset)).fold(0, u64::saturating_add)
    }

    /// The file whose content nobody has asked for and that was not read to its end.
    pub(super) fn begun_ahead(&self) -> Option<&SourcePath> {
        self.ahead.as_ref().map(|partial| &partial.path)
    }

    /// A look came to its end: what it has read is in what it found.
    pub(super) fn use_up(&mut self) {
        self.finished.clear();
    }
}

/// The reading of one look.
pub(super) struct Reading<'a> {
    place: (&'a dyn Store, &'a SourceLocation),
    stop_check: StopCheck<'a>,
    /// What may still be read.
    left: u64,
}

impl<'a> Reading<'a> {
    /// Reads at most `most` bytes.
    pub(super) fn new(place: (&'a dyn Store, &'a SourceLocation), stop_check: StopCheck<'a>, most: u64) -> Reading<'a> {
        Reading { place, stop_check, left: most }
    }

    /// The content of a racy file. `None` when it is another file by now, or changed while it was read.
    pub(super) fn racy(&mut self, path: &SourcePath, listed: &Stat) -> Result<Option<ContentHash>, Unread> {
        if listed.size.max(LEAST_COST) > self.left {
            return Err(Unread::Unfinished);
        }
        self.read(&mut None, path, listed)
    }

    /// The content of a file that has aged, read on from where the last look stopped. `None` as above.
    pub(super) fn aged(
        &mut self,
        carried: &mut Carried,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Option<ContentHash>, Unread> {
        if let Some((_, content)) = carried.finished.get(path).filter(|(stat, _)| stat == listed) {
            return Ok(Some(*content));
        }
        // One file at a time is read in part, the first one. It is another one if that is not asked for any more.
        let content = self.read(&mut carried.asked, path, listed)?;
        carried.finished.extend(content.map(|content| (path.clone(), (*listed, content))));
        Ok(content)
    }

    /// The same for a file that nobody has asked for.
    pub(super) fn ahead(
        &mut self,
        carried: &mut Carried,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Option<ContentHash>, Unread> {
        self.read(&mut carried.ahead, path, listed)
    }

    /// Whether nothing more may be read.
    pub(super) fn is_over(&self) -> bool {
        self.left < LEAST_COST
    }

    /// Goes on with `partial` if it is of this file, and leaves there what is not at its end.
    fn read(
        &mut self,
        partial: &mut Option<PartialHash>,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Option<ContentHash>, Unread> {
        if self.is_over() {
            return Err(Unread::Unfinished);
        }
        let resumed = partial.take_if(|partial| partial.is_of(path, listed));
        let mut one = resumed.unwrap_or_else(|| PartialHash::begin(path, listed));
        let step = one.read_on(self.place, self.left, self.stop_check);
        match step {
            Step::Read(read) => self.left = self.left.saturating_sub(read.max(LEAST_COST)),
            Step::Stopped => {}
            // The next listing will tell.
            Step::Changed => {
                self.left -= LEAST_COST;
                return Ok(None);
            }
            Step::Failed(error) => {
                self.left -= LEAST_COST;
                // What was read of it holds for as long as it is the same file.
                *partial = Some(one);
                return Err(Unread::Failed(error));
            }
        }
        if one.is_done() {
            return one.finish(self.place).map_err(Unread::Failed);
        }
        *partial = Some(one);
        Err(if matches!(step, Step::Stopped) { Unread::Interrupted } else { Unread::Unfinished })
    }
}

/// Hashes the content of the file that was listed, however large it is. `None` when it is another one by now, changed
/// while it was read, or cannot be read.
pub(super) fn hash_file(
    place: (&dyn Store, &SourceLocation),
    path: &SourcePath,
    listed: &Stat,
    stop_check: StopCheck<'_>,
) -> Result<Option<ContentHash>, Interrupted> {
    let mut whole = PartialHash::begin(path, listed);
    match whole.read_on(place, listed.size, stop_check) {
        Step::Read(_) => Ok(whole.finish(place).ok().flatten()),
        Step::Stopped => Err(Interrupted),
        Step::Changed | Step::Failed(_) => Ok(None),
    }
}

/// A file that is hashed piece by piece. That is honest for one that has aged: while `stat` says the same, the pieces are
/// of one content.
#[derive(Clone, Debug)]
struct PartialHash {
    path: SourcePath,
    stat: Stat,
    hasher: blake3::Hasher,
    offset: u64,
}

enum Step {
    /// So many bytes were read.
    Read(u64),
    Stopped,
    /// It is another file by now, or none.
    Changed,
    /// It cannot be read.
    Failed(StoreError),
}

impl Step {
    fn of(error: StoreError) -> Step {
        match error {
            StoreError::Moved { .. } => Step::Changed,
            StoreError::Interrupted => Step::Stopped,
            error => Step::Failed(error),
        }
    }
}

impl PartialHash {
    fn begin(path: &SourcePath, stat: &Stat) -> PartialHash {
        PartialHash { path: path.clone(), stat: *stat, hasher: blake3::Hasher::new(), offset: 0 }
    }

    fn is_of(&self, path: &SourcePath, listed: &Stat) -> bool {
        self.path == *path && self.stat == *listed
    }

    fn is_done(&self) -> bool {
        self.offset == self.stat.size
    }

    /// Reads at most `most` bytes further.
    fn read_on(
        &mut self,
        (store, source): (&dyn Store, &SourceLocation),
        most: u64,
        stop_check: StopCheck<'_>,
    ) -> Step {
        let file = match store.open(source, &self.path, &self.stat) {
            Ok(file) => file,
            Err(error) => return Step::of(error),
        };
        let file: &dyn FileReader = file.as_ref();
        let end = self.offset.saturating_add(most).min(self.stat.size);
        let begun = self.offset;
        while self.offset < end {
            if stop_check().is_err() {
                return Step::Stopped;
            }
            let length = PIECE.min(end - self.offset);
            // Lossless: a piece fits.
            match file.read(self.offset, length as usize) {
                Ok(bytes) => self.hasher.update(&bytes),
                Err(error) => return Step::of(error),
            };
            self.offset += length;
        }
        Step::Read(end - begun)
    }

    /// The hash, if the path still means what was read.
    fn finish(&self, (store, source): (&dyn Store, &SourceLocation)) -> Result<Option<ContentHash>, StoreError> {
        match store.stat(source, &self.path) {
            Ok(now) => Ok((now == self.stat).then(|| *self.hasher.finalize().as_bytes())),
            Err(StoreError::Moved { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
