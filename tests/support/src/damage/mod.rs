//! Damages, and what may come of them.

mod judge;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use lastword::log::{Frame, FrameBuilder};

use crate::disk::Dice;
pub use judge::{Truth, Verdict, judge};

/// One damage. As text it is one line, from which it can be told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit of a file.
    Flip { file: PathBuf, at: usize, bit: u32 },
    /// A file ends here.
    Cut { file: PathBuf, length: usize },
    /// A sector of a file is zero.
    Zero { file: PathBuf, sector: usize },
    /// A file or a directory is gone.
    Lose { path: PathBuf },
    /// Two entries of the storage engine have each other's values.
    Swap { one: usize, other: usize },
    /// An entry has the value of another one as well.
    Repeat { from: usize, to: usize },
    /// An entry is gone.
    Remove { entry: usize },
    /// The value of an entry is there once more, behind the last one.
    Append { entry: usize },
    /// The value of an entry ends here.
    Shorten { entry: usize, length: usize },
    /// A frame holds another payload, and hash and checks are right for it.
    Reseal { entry: usize },
}

impl Damage {
    pub fn parse(line: &str) -> Damage {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        let file = || PathBuf::from(words[1]);
        match words[0] {
            "flip" => Damage::Flip { file: file(), at: number(2), bit: words[3].parse().unwrap() },
            "cut" => Damage::Cut { file: file(), length: number(2) },
            "zero" => Damage::Zero { file: file(), sector: number(2) },
            "lose" => Damage::Lose { path: file() },
            "swap" => Damage::Swap { one: number(1), other: number(2) },
            "repeat" => Damage::Repeat { from: number(1), to: number(2) },
            "remove" => Damage::Remove { entry: number(1) },
            "append" => Damage::Append { entry: number(1) },
            "shorten" => Damage::Shorten { entry: number(1), length: number(2) },
            "reseal" => Damage::Reseal { entry: number(1) },
            other => panic!("no such damage: {other}"),
        }
    }

    /// Every damage of every byte, and of every entry.
    pub fn all(whole: &Path) -> Vec<Damage> {
        let mut all = Damage::of_entries(whole);
        for (file, length) in files(whole) {
            all.push(Damage::Lose { path: file.clone() });
            all.extend((0..length).map(|at| Damage::Flip { file: file.clone(), at, bit: at as u32 % 8 }));
            all.extend((0..length).map(|length| Damage::Cut { file: file.clone(), length }));
        }
        all
    }

    /// Some of each kind: every file lost, every entry, and samples of bits and lengths, half of them of `db`.
    pub fn some(whole: &Path, samples: u64, dice: &mut Dice) -> Vec<Damage> {
        let files = files(whole);
        let mut some: Vec<Damage> = files.iter().map(|(path, _)| Damage::Lose { path: path.clone() }).collect();
        let directories = ["sled", "sled/blobs", "objects", "objects/tmp", "snapshots"];
        some.extend(directories.map(|path| Damage::Lose { path: path.into() }));
        some.extend(Damage::of_entries(whole));
        let (db, used) = (PathBuf::from("sled/db"), used(&whole.join("sled/db")));
        for n in 0..samples {
            let (file, length) = match n % 2 {
                0 => (db.clone(), used),
                _ => files[dice.below(files.len() as u64) as usize].clone(),
            };
            let at = dice.below(length.max(1) as u64) as usize;
            some.push(match n % 10 {
                0..=6 => Damage::Flip { file, at, bit: dice.below(8) as u32 },
                7..=8 => Damage::Cut { file, length: at },
                _ => Damage::Zero { file, sector: at / 512 },
            });
        }
        some
    }

    fn of_entries(whole: &Path) -> Vec<Damage> {
        let copy = tempfile::tempdir().unwrap();
        crate::log_writer::copy_tree(whole, copy.path());
        let lengths: Vec<usize> =
            with_entries(copy.path(), |_, entries| entries.iter().map(|(_, v)| v.len()).collect());
        let count = lengths.len();
        let mut all = Vec::new();
        for (entry, length) in lengths.into_iter().enumerate() {
            all.push(Damage::Remove { entry });
            all.push(Damage::Append { entry });
            all.push(Damage::Reseal { entry });
            all.push(Damage::Shorten { entry, length: length / 2 });
            all.push(Damage::Swap { one: entry, other: (entry + 1) % count });
            all.push(Damage::Swap { one: entry, other: (entry * 7 + 3) % count });
            all.push(Damage::Repeat { from: entry, to: (entry + 1) % count });
        }
        all.retain(|damage| !matches!(damage, Damage::Swap { one, other } if one == other));
        all
    }

    /// Whether it is done to the entries, by somebody who uses the storage engine.
    pub fn is_of_entries(&self) -> bool {
        self.file().is_none()
    }

    /// The file or directory that it is done to.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Damage::Flip { file, .. } | Damage::Cut { file, .. } | Damage::Zero { file, .. } => Some(file),
            Damage::Lose { path } => Some(path),
            Damage::Swap { .. }
            | Damage::Repeat { .. }
            | Damage::Remove { .. }
            | Damage::Append { .. }
            | Damage::Shorten { .. }
            | Damage::Reseal { .. } => None,
        }
    }

    pub fn inflict(&self, state: &Path) {
        let change = |file: &Path, how: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = fs::read(state.join(file)).unwrap();
            how(&mut bytes);
            fs::write(state.join(file), bytes).unwrap();
        };
        match self {
            // An empty file has no bit.
            Damage::Flip { file, at, bit } => change(file, &|bytes| {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte ^= 1 << bit;
                }
            }),
            Damage::Cut { file, length } => change(file, &|bytes| bytes.truncate(*length)),
            Damage::Zero { file, sector } => change(file, &|bytes| {
                bytes.iter_mut().skip(sector * 512).take(512).for_each(|byte| *byte = 0);
            }),
            Damage::Lose { path } if state.join(path).is_dir() => fs::remove_dir_all(state.join(path)).unwrap(),
            Damage::Lose { path } => fs::remove_file(state.join(path)).unwrap(),
            entries => with_entries(state, |tree, all| entries.inflict_on(tree, all)),
        }
    }

    fn inflict_on(&self, tree: &sled::Tree, all: &[(Vec<u8>, Vec<u8>)]) {
        let put = |key: &[u8], value: &[u8]| drop(tree.insert(key, value).unwrap());
        match *self {
            Damage::Swap { one, other } => {
                put(&all[one].0, &all[other].1);
                put(&all[other].0, &all[one].1);
            }
            Damage::Repeat { from, to } => put(&all[to].0, &all[from].1),
            Damage::Remove { entry } => drop(tree.remove(&all[entry].0).unwrap()),
            Damage::Append { entry } => {
                let mut key = all.last().unwrap().0.clone();
                let last = u64::from_be_bytes(key[..8].try_into().unwrap());
                key[..8].copy_from_slice(&(last + 1).to_be_bytes());
                key[8..].fill(0);
                put(&key, &all[entry].1);
            }
            Damage::Shorten { entry, length } => put(&all[entry].0, &all[entry].1[..length]),
            Damage::Reseal { entry } => match resealed(&all[entry].1) {
                Some(bytes) => put(&all[entry].0, &bytes),
                // A part of a larger frame.
                None => drop(tree.remove(&all[entry].0).unwrap()),
            },
            Damage::Flip { .. } | Damage::Cut { .. } | Damage::Zero { .. } | Damage::Lose { .. } => unreachable!(),
        }
    }
}

/// The same frame with one more bit in its wall time, whole in itself.
fn resealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let frame = Frame::parse(bytes).ok()?;
    let header = frame.header();
    let mut builder = FrameBuilder::new();
    for record in frame.records() {
        builder.push(record.event_type, record.version, record.payload).unwrap();
    }
    let wall = lastword::core::vocabulary::Timestamp(header.wall.0 ^ 1);
    let sealed = builder.seal(header.base, header.epoch, header.time, wall, header.previous).unwrap();
    Some(sealed.bytes().to_vec())
}

fn with_entries<R>(state: &Path, work: impl FnOnce(&sled::Tree, &[(Vec<u8>, Vec<u8>)]) -> R) -> R {
    let db = sled::Config::new().path(state.join("sled")).flush_every_ms(None).open().unwrap();
    let tree = db.open_tree("frames").unwrap();
    let all: Vec<_> = tree.iter().map(Result::unwrap).map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let result = work(&tree, &all);
    db.flush().unwrap();
    result
}

/// Behind its data sled fills up `db` with one and the same byte.
fn used(db: &Path) -> usize {
    let bytes = fs::read(db).unwrap();
    bytes.iter().rposition(|byte| Some(byte) != bytes.last()).map_or(bytes.len(), |last| last + 1)
}

/// Every file but the lock and the ballast, which hold nothing, with its length.
fn files(state: &Path) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    let mut open = vec![state.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if !["LOCK", "ballast"].contains(&entry.file_name().to_str().unwrap()) {
                let length = entry.metadata().unwrap().len() as usize;
                found.push((path.strip_prefix(state).unwrap().to_owned(), length));
            }
        }
    }
    found.sort();
    found
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Flip { file, at, bit } => write!(f, "flip {} {at} {bit}", file.display()),
            Damage::Cut { file, length } => write!(f, "cut {} {length}", file.display()),
            Damage::Zero { file, sector } => write!(f, "zero {} {sector}", file.display()),
            Damage::Lose { path } => write!(f, "lose {}", path.display()),
            Damage::Swap { one, other } => write!(f, "swap {one} {other}"),
            Damage::Repeat { from, to } => write!(f, "repeat {from} {to}"),
            Damage::Remove { entry } => write!(f, "remove {entry}"),
            Damage::Append { entry } => write!(f, "append {entry}"),
            Damage::Shorten { entry, length } => write!(f, "shorten {entry} {length}"),
            Damage::Reseal { entry } => write!(f, "reseal {entry}"),
        }
    }
}
