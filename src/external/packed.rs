//! Files with what is known of them, packed: one buffer in ascending order of the paths, and where each file ends in it. A
//! file is its path behind its length and then itself as it lies in a tree, which are some fifty bytes beside the path;
//! unpacked it is six times that. It must not know what a set of files stands for.

use std::cmp::Ordering;

use super::wire::{Reader, Writer};
use super::{FileVersion, ObservedFile, SourcePath};

/// Bytes that a file takes beside its path, more often than not: with times, or with a tag of 34 bytes.
const USUAL: usize = 48;

/// Bytes of the length in front of a path.
const LENGTH: usize = 4;

/// The files, each path once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// Where each file ends.
    ends: Vec<usize>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedFile<'a> {
    pub(super) path: &'a [u8],
    /// As it lies in a tree.
    pub(super) value: &'a [u8],
    /// Both, and the length of the path in front.
    whole: &'a [u8],
}

impl<'a> PackedFile<'a> {
    fn of(whole: &'a [u8]) -> PackedFile<'a> {
        let mut rest = Reader(whole);
        let path = rest.bytes().unwrap_or_default();
        PackedFile { path, value: rest.0, whole }
    }

    pub(super) fn source_path(self) -> SourcePath {
        SourcePath(self.path.to_vec())
    }

    /// What is known of it.
    pub(super) fn file(self) -> ObservedFile {
        // What was written here is always read back.
        ObservedFile::read(&mut Reader(self.value)).unwrap_or(ObservedFile::of(FileVersion::default()))
    }

    pub(super) fn version(self) -> FileVersion {
        FileVersion::read(&mut Reader(self.value)).unwrap_or_default()
    }

    /// The path behind its length, and the version: what identifies it.
    pub(super) fn identity(self) -> &'a [u8] {
        let mut rest = Reader(self.value);
        let beyond = FileVersion::read(&mut rest).map_or(0, |_| rest.0.len());
        self.whole.get(..self.whole.len() - beyond).unwrap_or_default()
    }
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn at(&self, place: usize) -> Option<PackedFile<'_>> {
        let end = *self.ends.get(place)?;
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..end).map(PackedFile::of)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = PackedFile<'_>> + ExactSizeIterator + Clone {
        // There is one at every place.
        (0..self.len()).map(|place| self.at(place).unwrap_or(PackedFile::of(&[])))
    }

    /// Where the file lies that has this path, or where it would.
    pub(super) fn find(&self, path: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let held = self.at(middle).map_or(&[][..], |held| held.path);
            match held.cmp(path) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The first files of it, with room for so many more.
    pub(super) fn first(&self, files: usize, more: usize) -> Packing {
        let ends = self.ends.get(..files).unwrap_or_default();
        let bytes = self.bytes.get(..ends.last().copied().unwrap_or(0)).unwrap_or_default();
        // Those that come are about as long as those that are there.
        let each = self.bytes.len().checked_div(self.len()).unwrap_or(0).max(LENGTH + USUAL);
        let mut packing = Packing::with_room(files + more, bytes.len() + each * more);
        packing.packed.bytes.extend_from_slice(bytes);
        packing.packed.ends.extend_from_slice(ends);
        packing
    }
}

/// Packs files.
#[derive(Default)]
pub(super) struct Packing {
    packed: Packed,
    is_out_of_order: bool,
}

impl Packing {
    fn with_room(files: usize, bytes: usize) -> Packing {
        let packed = Packed { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(files) };
        Packing { packed, is_out_of_order: false }
    }

    /// Room for so many files whose paths have so many bytes together.
    pub(super) fn for_files(files: usize, paths: usize) -> Packing {
        Packing::with_room(files, paths + files * (LENGTH + USUAL))
    }

    pub(super) fn add(&mut self, path: &[u8], file: &ObservedFile) {
        let last = self.packed.len().checked_sub(1).and_then(|last| self.packed.at(last));
        self.is_out_of_order |= last.is_some_and(|last| last.path >= path);
        let mut bytes = Writer(std::mem::take(&mut self.packed.bytes));
        bytes.bytes(path);
        file.write(&mut bytes);
        self.packed.bytes = bytes.0;
        self.packed.ends.push(self.packed.bytes.len());
    }

    /// Adds one that is packed already, behind all that are there.
    pub(super) fn add_packed(&mut self, file: PackedFile<'_>) {
        self.packed.bytes.extend_from_slice(file.whole);
        self.packed.ends.push(self.packed.bytes.len());
    }

    /// What was packed, in order. Of two files with the same path the later one counts.
    pub(super) fn done(self) -> Packed {
        let Packing { mut packed, is_out_of_order } = self;
        if is_out_of_order {
            packed = in_order(&packed);
        }
        packed.bytes.shrink_to_fit();
        packed.ends.shrink_to_fit();
        packed
    }
}

fn in_order(packed: &Packed) -> Packed {
    let mut files: Vec<_> = packed.iter().collect();
    // Stable, so that of equal paths the later one stays last. `dedup_by` is asked (later, earlier).
    files.sort_by_key(|file| file.path);
    files.dedup_by(|later, earlier| {
        let same = later.path == earlier.path;
        if same {
            *earlier = *later;
        }
        same
    });
    let mut sorted = Packing::with_room(files.len(), packed.bytes.len());
    files.into_iter().for_each(|file| sorted.add_packed(file));
    sorted.packed
}

/// Finds what is packed of each path of a sorted list, in one walk along both.
pub(super) struct Along<'a> {
    files: Option<&'a Packed>,
    next: usize,
}

impl<'a> Along<'a> {
    pub(super) fn new(files: Option<&'a Packed>) -> Along<'a> {
        Along { files, next: 0 }
    }

    /// What is packed of this path, which is behind all that were asked for before, and its place.
    pub(super) fn at(&mut self, path: &[u8]) -> Option<(usize, PackedFile<'a>)> {
        while let Some(held) = self.files?.at(self.next) {
            match held.path.cmp(path) {
                Ordering::Less => self.next += 1,
                Ordering::Equal => {
                    self.next += 1;
                    return Some((self.next - 1, held));
                }
                Ordering::Greater => return None,
            }
        }
        None
    }
}

/// Walks along two packs together: every path once, with what each has of it.
pub(super) fn merge<'a>(
    a: &'a Packed,
    b: &'a Packed,
    mut visit: impl FnMut(Option<PackedFile<'a>>, Option<PackedFile<'a>>),
) {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (Some(left), Some(right)) => left.path.cmp(right.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let left = if order.is_le() { a.next() } else { None };
        let right = if order.is_ge() { b.next() } else { None };
        visit(left, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::Stat;

    fn file(size: u64) -> ObservedFile {
        let version = FileVersion::of(Stat { size, ..Stat::default() });
        ObservedFile { content: size.is_multiple_of(3).then_some([7; 32]), ..ObservedFile::of(version) }
    }

    fn packed(files: &[(&str, u64)]) -> Packed {
        let mut packing = Packing::default();
        files.iter().for_each(|(path, size)| packing.add(path.as_bytes(), &file(*size)));
        packing.done()
    }

    fn unpacked(packed: &Packed) -> Vec<(String, u64)> {
        let text = |held: PackedFile<'_>| String::from_utf8(held.path.to_vec()).unwrap();
        packed.iter().map(|held| (text(held), held.file().version.stat.size)).collect()
    }

    #[test]
    fn what_is_packed_is_found_in_order_and_the_later_of_two_counts() {
        let mixed = packed(&[("c", 3), ("a", 1), ("", 9), ("b", 2), ("a", 6), ("abc", 5)]);
        let sorted = packed(&[("", 9), ("a", 6), ("abc", 5), ("b", 2), ("c", 3)]);
        assert_eq!(mixed, sorted);
        assert_eq!(unpacked(&mixed)[1], ("a".to_owned(), 6));
        for (place, held) in mixed.iter().enumerate() {
            assert_eq!((mixed.find(held.path), mixed.at(place)), (Ok(place), Some(held)));
            assert_eq!(held.file(), file(held.file().version.stat.size));
            assert_eq!(held.version(), held.file().version);
        }
        assert_eq!([&b"aa"[..], b"d"].map(|path| mixed.find(path)), [Err(2), Err(5)]);
        assert_eq!((Packed::default().find(b"a"), mixed.at(5)), (Err(0), None));
    }

    #[test]
    fn a_walk_along_finds_each_path_that_is_there() {
        let files = packed(&[("a", 1), ("c", 3), ("d", 4)]);
        let mut along = Along::new(Some(&files));
        let found = ["", "a", "b", "d", "e"].map(|path| along.at(path.as_bytes()).map(|(place, _)| place));
        assert_eq!(found, [None, Some(0), None, Some(2), None]);
        assert_eq!(Along::new(None).at(b"a"), None);
        let (mut left, other) = (Vec::new(), packed(&[("b", 2), ("c", 3)]));
        merge(&files, &other, |a, b| left.push((a.is_some(), b.is_some())));
        assert_eq!(left, [(true, false), (false, true), (true, true), (true, false)]);
    }

    #[test]
    fn the_first_files_can_be_gone_on_with() {
        let files = packed(&[("a", 1), ("c", 3), ("d", 4)]);
        let mut packing = files.first(2, 1);
        packing.add(b"e", &file(5));
        assert_eq!(packing.done(), packed(&[("a", 1), ("c", 3), ("e", 5)]));
        assert_eq!(files.first(0, 0).done(), Packed::default());
    }
}
