//! Hashing the content of files: whole, when a judgement depends on it; piece by piece within a budget, so that a later
//! scan has a hash to compare with.
//!
//! It reads through a [`Store`] and notes hashes in a set. It must not judge whether a file has changed: `judge.rs`
//! does.

use super::{
    ContentHash, FileReader, Interrupted, ObservedFile, PathSet, SourceLocation, SourcePath, Stat, StopCheck, Store,
};

/// What is read at once between two questions whether to go on.
const PIECE: u64 = 1 << 20;

/// What a file costs at least of the budget of a scan: opening one takes about as long as reading a page or two, and
/// a million tiny files must not be opened by one scan.
const LEAST_COST: u64 = 4 << 10;

/// Hashes the content of the file that was listed. `None` when it is another one by now, changed while it was read,
/// or cannot be read.
pub(super) fn hash_file(
    (store, source): (&dyn Store, &SourceLocation),
    path: &SourcePath,
    listed: &Stat,
    stop_check: StopCheck<'_>,
) -> Result<Option<ContentHash>, Interrupted> {
    let mut partial = PartialHash::begin(path, listed);
    match partial.read_on((store, source), listed.size, stop_check) {
        Step::Read(_) => Ok(partial.finish((store, source))),
        Step::Stopped => Err(Interrupted),
        Step::Failed => Ok(None),
    }
}

/// A file that is hashed piece by piece. That is honest for a proven file: while `stat` says the same, the pieces are
/// of one content.
#[derive(Clone, Debug)]
pub(super) struct PartialHash {
    path: SourcePath,
    stat: Stat,
    hasher: blake3::Hasher,
    offset: u64,
}

enum Step {
    /// So many bytes were read.
    Read(u64),
    Stopped,
    Failed,
}

impl PartialHash {
    fn begin(path: &SourcePath, stat: &Stat) -> PartialHash {
        PartialHash { path: path.clone(), stat: *stat, hasher: blake3::Hasher::new(), offset: 0 }
    }

    fn is_of(&self, path: &SourcePath, file: &ObservedFile) -> bool {
        self.path == *path && self.stat == file.last_stat
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
        let Ok(file) = store.open(source, &self.path, &self.stat) else { return Step::Failed };
        let file: &dyn FileReader = file.as_ref();
        let end = self.offset.saturating_add(most).min(self.stat.size);
        let begun = self.offset;
        while self.offset < end {
            if stop_check().is_err() {
                return Step::Stopped;
            }
            let length = PIECE.min(end - self.offset);
            // Lossless: a piece fits.
            let Ok(bytes) = file.read(self.offset, length as usize) else { return Step::Failed };
            self.hasher.update(&bytes);
            self.offset += length;
        }
        Step::Read(end - begun)
    }

    /// The hash, if the path still means what was read.
    fn finish(&self, (store, source): (&dyn Store, &SourceLocation)) -> Option<ContentHash> {
        let now = store.stat(source, &self.path).ok()?;
        (now == self.stat).then(|| *self.hasher.finalize().as_bytes())
    }
}

/// Hashes proven files of `set` whose content is not known, `first` ones first, reading at most `budget` bytes.
/// `partial` is the file that was not finished by the last scan, and by this one.
pub(super) fn hash_unknown(
    (store, source): (&dyn Store, &SourceLocation),
    set: &mut PathSet,
    first: &[usize],
    partial: &mut Option<PartialHash>,
    budget: u64,
    stop_check: StopCheck<'_>,
) -> Result<(), Interrupted> {
    let mut left = budget;
    let files = set.files_mut();
    let is_unknown = |file: &ObservedFile| file.content.is_none() && file.racy_since.is_none();
    let resumed = partial.as_ref().and_then(|partial| {
        let at = files.binary_search_by(|(path, _)| path.cmp(&partial.path)).ok()?;
        files.get(at).filter(|(path, file)| is_unknown(file) && partial.is_of(path, file)).map(|_| at)
    });
    if resumed.is_none() {
        *partial = None;
    }
    let count = files.len();
    for at in resumed.into_iter().chain(first.iter().copied()).chain(0..count) {
        if left < LEAST_COST {
            break;
        }
        let Some((path, file)) = files.get_mut(at).filter(|(_, file)| is_unknown(file)) else { continue };
        let mut one = partial.take().unwrap_or_else(|| PartialHash::begin(path, &file.last_stat));
        match one.read_on((store, source), left, stop_check) {
            Step::Read(read) => left = left.saturating_sub(read.max(LEAST_COST)),
            Step::Stopped => return Err(Interrupted),
            // It changed or cannot be read; the next listing will tell.
            Step::Failed => {
                left -= LEAST_COST;
                continue;
            }
        }
        if one.is_done() {
            file.content = one.finish((store, source));
        } else {
            *partial = Some(one);
        }
    }
    Ok(())
}
