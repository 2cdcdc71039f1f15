//! What may be left of a disk when the power goes: everything that was synced, and of the rest whatever chance keeps.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::Dice;
use super::model::{Change, Disk, Ino, Renaming, Write, apply, follow, put};

/// The unit in which a disk writes: whole or not at all.
const SECTOR: usize = 512;

/// How one cut treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// All of it is lost.
    Lost,
    /// All of it is there, as after the end of a process.
    Kept,
    /// Files have their data, names are as they were.
    DataOnly,
    /// Names are there, files are as they were.
    NamesOnly,
    /// Names and lengths are there, and zeros where the data should be.
    LengthsOnly,
    /// Only the last write is there, and all names: the earlier ones are overtaken.
    LastOnly,
    /// All but the first write.
    FirstLost,
    /// The last write is torn: its first half of sectors is there.
    TornEarly,
    /// The same, and its second half.
    TornLate,
    /// Every change is there, torn, or lost, as the dice fall.
    Chance(u64),
}

/// The ones that every cut is tried with, and then chances.
pub const FATES: [Fate; 9] = [
    Fate::Lost,
    Fate::Kept,
    Fate::DataOnly,
    Fate::NamesOnly,
    Fate::LengthsOnly,
    Fate::LastOnly,
    Fate::FirstLost,
    Fate::TornEarly,
    Fate::TornLate,
];

/// A content: what is certain, and what of the rest is left.
#[derive(Clone)]
pub struct Content {
    /// The same number for the same content, within one recording.
    pub identity: u64,
    base: Arc<Vec<u8>>,
    left: Vec<(Change, Left)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Whole,
    /// Only that the file became longer.
    Length,
    FirstSectors,
    LastSectors,
    /// Sectors by dice with this seed.
    Sectors(u64),
    Nothing,
}

/// A directory tree as it may be found. Directories have no content.
pub type Image = BTreeMap<PathBuf, Option<Content>>;

/// What `fate` leaves of `disk`.
pub fn cut(disk: &Disk, fate: Fate) -> Image {
    let mut dice = Dice(if let Fate::Chance(seed) = fate { seed } else { 0 });
    let keeps_all_names = !matches!(fate, Fate::Lost | Fate::DataOnly | Fate::Chance(_));
    // Half of the chances keep all names, as a journal would.
    let by_chance = matches!(fate, Fate::Chance(_)) && dice.coin();
    let journals = matches!(fate, Fate::Chance(_)) && !by_chance;
    let names: Vec<&Renaming> =
        disk.names.iter().filter(|_| keeps_all_names || journals || by_chance && dice.coin()).collect();
    let all: usize = disk.inodes.iter().map(|inode| inode.pending.len()).sum();
    let last = disk.inodes.iter().flat_map(|inode| &inode.pending).map(|write| write.id).max();
    let first = disk.inodes.iter().flat_map(|inode| &inode.pending).map(|write| write.id).min();
    let mut left = |write: &Write| match fate {
        Fate::Lost | Fate::NamesOnly => Left::Nothing,
        Fate::Kept | Fate::DataOnly => Left::Whole,
        Fate::LengthsOnly => Left::Length,
        Fate::LastOnly if Some(write.id) == last => Left::Whole,
        Fate::LastOnly => Left::Nothing,
        Fate::FirstLost if all > 1 && Some(write.id) == first => Left::Nothing,
        Fate::TornEarly if Some(write.id) == last => Left::FirstSectors,
        Fate::TornLate if Some(write.id) == last => Left::LastSectors,
        Fate::FirstLost | Fate::TornEarly | Fate::TornLate => Left::Whole,
        Fate::Chance(_) => match dice.below(6) {
            0..=1 => Left::Whole,
            2..=3 => Left::Nothing,
            4 => Left::Length,
            _ => Left::Sectors(dice.roll()),
        },
    };
    let contents: HashMap<Ino, Content> = disk
        .inodes
        .iter()
        .enumerate()
        .filter(|(_, inode)| !inode.is_directory)
        .map(|(ino, inode)| {
            let mut content = Content { identity: inode.identity, base: Arc::clone(&inode.bytes), left: Vec::new() };
            inode.pending.iter().for_each(|write| content.keep(write, left(write)));
            (ino, content)
        })
        .collect();
    tree(disk, &names, &contents)
}

fn tree(disk: &Disk, names: &[&Renaming], contents: &HashMap<Ino, Content>) -> Image {
    let mut changed: HashMap<Ino, BTreeMap<OsString, Ino>> = HashMap::new();
    for change in names {
        if let Some((parent, name)) = &change.removed {
            changed.entry(*parent).or_insert_with(|| disk.inodes[*parent].entries.clone()).remove(name);
        }
        if let Some((parent, name, ino)) = &change.added {
            let entries = changed.entry(*parent).or_insert_with(|| disk.inodes[*parent].entries.clone());
            entries.insert(name.clone(), *ino);
        }
    }
    let mut image = Image::new();
    let mut open = vec![(PathBuf::new(), 0)];
    while let Some((path, ino)) = open.pop() {
        for (name, child) in changed.get(&ino).unwrap_or(&disk.inodes[ino].entries) {
            let path = path.join(name);
            image.insert(path.clone(), contents.get(child).cloned());
            if disk.inodes[*child].is_directory {
                open.push((path, *child));
            }
        }
    }
    image
}

/// The same number for the same image.
pub fn identity(image: &Image) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in image {
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(&content.as_ref().map_or([0; 8], |content| content.identity.to_le_bytes()));
    }
    *hasher.finalize().as_bytes()
}

impl Content {
    fn keep(&mut self, write: &Write, left: Left) {
        // A length is changed or not.
        let left = match (&write.change, left) {
            (Change::Length(_), Left::Sectors(_) | Left::Length | Left::FirstSectors | Left::LastSectors) => {
                Left::Whole
            }
            (_, left) => left,
        };
        let how = match left {
            Left::Nothing => return,
            Left::Whole => 0,
            Left::Length => 1,
            Left::FirstSectors => 2,
            Left::LastSectors => 3,
            Left::Sectors(seed) => seed | 4,
        };
        self.identity = follow(self.identity, write.id);
        if how > 0 {
            self.identity = follow(self.identity, how);
        }
        self.left.push((write.change.clone(), left));
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut content = Vec::clone(&self.base);
        for (change, left) in &self.left {
            match (change, left) {
                (_, Left::Nothing) => {}
                (change, Left::Whole) | (change @ Change::Length(_), _) => apply(&mut content, change),
                (Change::Data { offset, bytes }, left) => put_partly(&mut content, *offset as usize, bytes, *left),
            }
        }
        content
    }
}

fn put_partly(content: &mut Vec<u8>, offset: usize, bytes: &[u8], left: Left) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    let (first, last) = (offset / SECTOR, end.div_ceil(SECTOR));
    let middle = first + (last - first) / 2;
    let mut dice = Dice(if let Left::Sectors(seed) = left { seed } else { 0 });
    for sector in first..last {
        let is_there = match left {
            Left::FirstSectors => sector < middle,
            Left::LastSectors => sector >= middle,
            Left::Sectors(_) => dice.coin(),
            Left::Whole => true,
            Left::Length | Left::Nothing => false,
        };
        if is_there {
            let (from, to) = ((sector * SECTOR).max(offset), ((sector + 1) * SECTOR).min(end));
            put(content, from, &bytes[from - offset..to - offset]);
        }
    }
}
