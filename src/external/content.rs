//! Reading files for their hash: whole, when a look depends on it; piece by piece, to know more at a later look.

use super::{
    ContentHash, FileReader, Interrupted, ObservedFile, PathSet, SourceLocation, SourcePath, Stat, StopCheck, Store,
};

/// What is read at once between two questions whether to go on.
const PIECE: u64 = 1 << 20;

/// What a file costs at least of what a look may learn: opening one takes about as long as reading a page or two, and
/// a million tiny files must not be opened at one look.
const LEAST_COST: u64 = 4 << 10;

/// Hashes the content of the file that was listed. `None` when it is another one by now, changed while it was read,
/// or cannot be read.
pub(super) fn hash_file(
    (store, source): (&dyn Store, &SourceLocation),
    path: &SourcePath,
    listed: &Stat,
    stop_check: StopCheck<'_>,
) -> Result<Option<ContentHash>, Interrupted> {
    let mut reading = Reading::begin(path, listed);
    match reading.go_on((store, source), listed.size, stop_check) {
        Go::On(_) => Ok(reading.finish((store, source))),
        Go::Stop => Err(Interrupted),
        Go::Fail => Ok(None),
    }
}

/// A file that is hashed piece by piece. That is honest for a proven file: while `stat` says the same, the pieces are
/// of one content.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    path: SourcePath,
    stat: Stat,
    hasher: blake3::Hasher,
    offset: u64,
}

enum Go {
    /// So many bytes were read.
    On(u64),
    Stop,
    Fail,
}

impl Reading {
    fn begin(path: &SourcePath, stat: &Stat) -> Reading {
        Reading { path: path.clone(), stat: *stat, hasher: blake3::Hasher::new(), offset: 0 }
    }

    fn is_of(&self, path: &SourcePath, file: &ObservedFile) -> bool {
        self.path == *path && self.stat == file.seen
    }

    fn is_done(&self) -> bool {
        self.offset == self.stat.size
    }

    /// Reads at most `most` bytes further.
    fn go_on(&mut self, (store, source): (&dyn Store, &SourceLocation), most: u64, stop_check: StopCheck<'_>) -> Go {
        let Ok(file) = store.open(source, &self.path, &self.stat) else { return Go::Fail };
        let file: &dyn FileReader = file.as_ref();
        let end = self.offset.saturating_add(most).min(self.stat.size);
        let begun = self.offset;
        while self.offset < end {
            if stop_check().is_err() {
                return Go::Stop;
            }
            let length = PIECE.min(end - self.offset);
            // Lossless: a piece fits.
            let Ok(bytes) = file.read(self.offset, length as usize) else { return Go::Fail };
            self.hasher.update(&bytes);
            self.offset += length;
        }
        Go::On(end - begun)
    }

    /// The hash, if the path still means what was read.
    fn finish(&self, (store, source): (&dyn Store, &SourceLocation)) -> Option<ContentHash> {
        let now = store.stat(source, &self.path).ok()?;
        (now == self.stat).then(|| *self.hasher.finalize().as_bytes())
    }
}

/// Hashes proven files of `set` whose content is not known, `first` ones first, reading at most `budget` bytes.
/// `reading` is the file that was not finished at the last look, and at this one.
pub(super) fn learn(
    (store, source): (&dyn Store, &SourceLocation),
    set: &mut PathSet,
    first: &[usize],
    reading: &mut Option<Reading>,
    budget: u64,
    stop_check: StopCheck<'_>,
) -> Result<(), Interrupted> {
    let mut left = budget;
    let files = set.files_mut();
    let is_unknown = |file: &ObservedFile| file.content.is_none() && file.racy_since.is_none();
    let resumed = reading.as_ref().and_then(|reading| {
        let at = files.binary_search_by(|(path, _)| path.cmp(&reading.path)).ok()?;
        files.get(at).filter(|(path, file)| is_unknown(file) && reading.is_of(path, file)).map(|_| at)
    });
    if resumed.is_none() {
        *reading = None;
    }
    let count = files.len();
    for at in resumed.into_iter().chain(first.iter().copied()).chain(0..count) {
        if left < LEAST_COST {
            break;
        }
        let Some((path, file)) = files.get_mut(at).filter(|(_, file)| is_unknown(file)) else { continue };
        let mut one = reading.take().unwrap_or_else(|| Reading::begin(path, &file.seen));
        match one.go_on((store, source), left, stop_check) {
            Go::On(read) => left = left.saturating_sub(read.max(LEAST_COST)),
            Go::Stop => return Err(Interrupted),
            // It changed or cannot be read; the next listing will tell.
            Go::Fail => {
                left -= LEAST_COST;
                continue;
            }
        }
        if one.is_done() {
            file.content = one.finish((store, source));
        } else {
            *reading = Some(one);
        }
    }
    Ok(())
}
