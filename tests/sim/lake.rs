//! The sources: numbers that stand for a content, and directories of files in memory whose `stat` is as coarse as that
//! of a real file system.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use lastword::core::vocabulary::Timestamp;
use lastword::external::{
    FileReader, Format, FormatError, Instant, Listed, Listing, RowRange, SourceLocation, SourcePath, Stat, StopCheck,
    Store, StoreError, TrafficCounter,
};

use super::dice::Dice;

/// What a file holds that is none of its format.
const BROKEN: &[u8] = b"broken";

type Files = BTreeMap<SourcePath, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) stat: Stat,
    pub(crate) bytes: Vec<u8>,
}

/// All directories. Clones are the same ones.
#[derive(Clone, Default)]
pub(crate) struct Lake(Arc<Mutex<Directories>>);

#[derive(Default)]
struct Directories {
    files: BTreeMap<String, Files>,
    troubles: BTreeMap<String, &'static str>,
    /// What a directory held at earlier times, to which it may return.
    past: BTreeMap<String, Vec<Files>>,
    /// A change that comes between two calls of one look or build: after so many of them.
    ambush: Option<(u32, String, Timestamp, u64, Dice)>,
    inodes: u64,
    /// The file of each directory that was written last.
    last: BTreeMap<String, SourcePath>,
    /// What a file last held under each of its stats, and in which stretch between two jumps of the clock that was.
    ever: BTreeMap<(String, SourcePath, Stat), (Vec<u8>, u64)>,
}

impl Lake {
    fn held(&self) -> MutexGuard<'_, Directories> {
        self.0.lock().unwrap()
    }

    /// Something happens to a directory at the wall time `now`.
    pub(crate) fn change(&self, directory: &str, now: Timestamp, stretch: u64, dice: &mut Dice) {
        self.held().change(directory, now, stretch, dice);
    }

    /// The file that was written last is written again, with other content of the same length.
    pub(crate) fn rewrite(&self, directory: &str, now: Timestamp, stretch: u64, dice: &mut Dice) {
        let mut held = self.held();
        if let Some(path) = held.last.get(directory).cloned() {
            held.rewrite(directory, &path, now, stretch, dice);
        }
    }

    /// A file comes to it.
    pub(crate) fn grow(&self, directory: &str, n: u32, now: Timestamp, stretch: u64, dice: &mut Dice) {
        let path = SourcePath(format!("grown-{n}.parquet").into_bytes());
        self.held().write(directory, &path, rows(dice), now, stretch);
    }

    /// Something happens to it in the middle of the next look or build.
    pub(crate) fn ambush(&self, directory: &str, now: Timestamp, stretch: u64, dice: &mut Dice) {
        let after = u32::try_from(dice.below(12)).unwrap();
        self.held().ambush = Some((after, directory.to_owned(), now, stretch, Dice::new(dice.roll())));
    }

    pub(crate) fn end_ambush(&self) {
        self.held().ambush = None;
    }

    /// Nothing is unreadable or broken any more, and nothing empty.
    pub(crate) fn heal(&self, directory: &str, now: Timestamp, stretch: u64, dice: &mut Dice) {
        let mut held = self.held();
        held.troubles.remove(directory);
        let files = held.files.get(directory).cloned().unwrap_or_default();
        for path in files.iter().filter(|(_, file)| file.bytes == BROKEN).map(|(path, _)| path) {
            held.write(directory, path, rows(dice), now, stretch);
        }
        if files.is_empty() {
            held.write(directory, &path(dice), rows(dice), now, stretch);
        }
    }

    /// What is there: path and bytes.
    pub(crate) fn files(&self, directory: &str) -> BTreeMap<SourcePath, Vec<u8>> {
        let held = self.held();
        let files = held.files.get(directory).into_iter().flatten();
        files.map(|(path, file)| (path.clone(), file.bytes.clone())).collect()
    }
}

fn path(dice: &mut Dice) -> SourcePath {
    let names = ["a", "b", "c", "d/a", "d/b", "e", "f", "%", "\u{1b}[2J", "z z"];
    SourcePath(format!("{}{}.parquet", dice.pick(&names), dice.below(3)).into_bytes())
}

/// The length of a row group. Some are equal: ties are to be broken by name.
fn group(dice: &mut Dice) -> [u8; 4] {
    (40 * (1 + u32::try_from(dice.below(15)).unwrap())).to_le_bytes()
}

/// The lengths of the row groups of a file.
fn rows(dice: &mut Dice) -> Vec<u8> {
    let groups = dice.below(4);
    (0..groups).flat_map(|_| group(dice)).collect()
}

impl Directories {
    fn change(&mut self, directory: &str, now: Timestamp, stretch: u64, dice: &mut Dice) {
        let files = self.files.entry(directory.to_owned()).or_default();
        let before = files.clone();
        let any = files.keys().nth(dice.index(files.len().max(1))).cloned();
        match (dice.below(20), any) {
            (0..6, _) | (_, None) => self.write(directory, &path(dice), rows(dice), now, stretch),
            (6..10, Some(path)) => self.rewrite(directory, &path, now, stretch, dice),
            (10..12, Some(path)) => drop(self.files.get_mut(directory).unwrap().remove(&path)),
            (12, Some(path)) => {
                let bytes = self.files[directory][&path].bytes.clone();
                self.write(directory, &path, bytes, now, stretch);
            }
            (13, Some(path)) => self.write(directory, &path, BROKEN.to_vec(), now, stretch),
            (14, Some(_)) => self.files.get_mut(directory).unwrap().clear(),
            (15, Some(_)) => drop(self.troubles.insert(directory.to_owned(), dice.pick(&["gone", "forbidden"]))),
            (16..18, Some(_)) => drop(self.troubles.remove(directory)),
            (_, Some(_)) => {
                let past = self.past.get(directory).filter(|past| !past.is_empty());
                if let Some(earlier) = past.map(|past| dice.pick(past)) {
                    self.go_back(directory, earlier, stretch);
                }
            }
        }
        let past = self.past.entry(directory.to_owned()).or_default();
        if past.len() < 3 && !before.is_empty() {
            past.push(before);
        }
    }

    /// The same length, other rows.
    fn rewrite(&mut self, directory: &str, path: &SourcePath, now: Timestamp, stretch: u64, dice: &mut Dice) {
        let Some(file) = self.files.get(directory).and_then(|files| files.get(path)) else { return };
        let groups = file.bytes.len() / 4;
        self.write(directory, path, (0..groups).flat_map(|_| group(dice)).collect(), now, stretch);
    }

    /// Writes a file in place. Under times, length and inode that another content had it comes only if that was so short
    /// a while ago that no clock could tell: that is as far as real file systems go.
    fn write(&mut self, directory: &str, path: &SourcePath, bytes: Vec<u8>, now: Timestamp, stretch: u64) {
        self.last.insert(directory.to_owned(), path.clone());
        let seconds = i64::try_from(now.0 / 1_000_000).unwrap();
        let coarse = Instant { seconds, nanoseconds: 0 };
        let before = self.files.get(directory).and_then(|files| files.get(path));
        let inode = before.map_or(0, |file| file.stat.inode);
        let stat = Stat { size: bytes.len() as u64, mtime: coarse, ctime: coarse, inode, ..Stat::default() };
        let file = self.told_apart(directory, path, File { stat, bytes }, |then| then == stretch, stretch);
        self.files.entry(directory.to_owned()).or_default().insert(path.clone(), file);
    }

    /// The directory is what it was, as if everything had been renamed back.
    fn go_back(&mut self, directory: &str, earlier: Files, stretch: u64) {
        let mut files = Files::new();
        for (path, file) in earlier {
            let file = self.told_apart(directory, &path, file, |_| false, stretch);
            files.insert(path, file);
        }
        self.files.insert(directory.to_owned(), files);
    }

    fn told_apart(
        &mut self,
        directory: &str,
        path: &SourcePath,
        mut file: File,
        may_collide: impl Fn(u64) -> bool,
        stretch: u64,
    ) -> File {
        let key = |stat| (directory.to_owned(), path.clone(), stat);
        let known = self.ever.get(&key(file.stat));
        if file.stat.inode == 0 || known.is_some_and(|(bytes, then)| *bytes != file.bytes && !may_collide(*then)) {
            self.inodes += 1;
            file.stat.inode = self.inodes;
        }
        self.ever.insert(key(file.stat), (file.bytes.clone(), stretch));
        file
    }

    /// Lets the ambush come closer.
    fn called(&mut self) {
        let Some((after, directory, now, stretch, mut dice)) = self.ambush.take() else { return };
        match after.checked_sub(1) {
            Some(after) => self.ambush = Some((after, directory, now, stretch, dice)),
            None => self.change(&directory, now, stretch, &mut dice),
        }
    }

    fn readable(&self, source: &SourceLocation) -> Result<&Files, StoreError> {
        let what = source.directory().unwrap().display().to_string();
        match self.troubles.get(&what) {
            Some(&"gone") => Err(StoreError::Missing { what }),
            Some(_) => Err(StoreError::Unreadable { what, source: io::ErrorKind::PermissionDenied.into() }),
            None => self.files.get(&what).ok_or(StoreError::Missing { what }),
        }
    }
}

impl Store for Lake {
    fn list(
        &self,
        source: &SourceLocation,
        stop_check: StopCheck<'_>,
        _: &TrafficCounter,
    ) -> Result<Listed, StoreError> {
        stop_check()?;
        let mut held = self.held();
        held.called();
        Ok(held.readable(source)?.iter().map(|(path, file)| (path.clone(), file.stat)).collect::<Listing>().into())
    }

    fn stat(&self, source: &SourceLocation, path: &SourcePath) -> Result<Stat, StoreError> {
        let mut held = self.held();
        held.called();
        let found = held.readable(source)?.get(path).map(|file| file.stat);
        found.ok_or_else(|| StoreError::Moved { path: path.clone() })
    }

    fn open(
        &self,
        source: &SourceLocation,
        path: &SourcePath,
        listed: &Stat,
    ) -> Result<Box<dyn FileReader>, StoreError> {
        let mut held = self.held();
        held.called();
        let found = held.readable(source)?.get(path).filter(|file| file.stat == *listed);
        let file = found.ok_or_else(|| StoreError::Moved { path: path.clone() })?;
        Ok(Box::new(Book(file.bytes.clone())))
    }
}

struct Book(Vec<u8>);

impl FileReader for Book {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, start: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        Ok(self.0[usize::try_from(start).unwrap()..][..length].to_vec())
    }
}

/// Files that are nothing but the lengths of their row groups.
pub(crate) struct Rows;

impl Format for Rows {
    fn fragments(&self, file: &dyn FileReader, _: Option<&[String]>) -> Result<Vec<RowRange>, FormatError> {
        let bytes = file.read(0, usize::try_from(file.len()).unwrap())?;
        ranges(&bytes).ok_or_else(|| FormatError::Corrupt("it is broken".to_owned()))
    }
}

/// The row groups of a file of these bytes.
pub(crate) fn ranges(bytes: &[u8]) -> Option<Vec<RowRange>> {
    let mut end = 0;
    let mut range = |length: &[u8]| {
        let start = end;
        end += u64::from(u32::from_le_bytes(length.try_into().unwrap()));
        RowRange { start, end }
    };
    if bytes == BROKEN { None } else { Some(bytes.chunks_exact(4).map(&mut range).collect()) }
}
