//! What a source was observed to contain: the set path -> file, and its digest, the observed version. It must not know
//! how files are listed or judged.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::packed::{Along, Packed, PackedFile, Packing, merge};
use super::wire::Reader;
use super::{ObservedFile, SourcePath};
use crate::core::vocabulary::{Missing, Timestamp};
use crate::objects::tree::Entry;

/// Longest path that is named whole, in characters.
const MOST_OF_A_PATH: usize = 256;

const DIGEST_CONTEXT: &str = "lastword 2026 path set v1";

/// A set of files, in ascending order of their paths. They are packed: one takes its path and some fifty bytes. A clone is
/// the same set, not a copy of it.
#[derive(Clone, Debug, Default)]
pub struct PathSet(Arc<Files>);

#[derive(Debug, Default)]
struct Files {
    packed: Packed,
    /// Of the versions. Made when somebody asks for it.
    digest: OnceLock<[u8; 32]>,
    counts: OnceLock<Counts>,
}

/// What has to be counted over all files.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    bytes: u64,
    racy: u64,
}

impl PartialEq for PathSet {
    fn eq(&self, other: &PathSet) -> bool {
        self.is_same(other) || self.0.packed == other.0.packed
    }
}

impl Eq for PathSet {}

impl PathSet {
    /// The set of these files. Of two with the same path the later one counts.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = (SourcePath, ObservedFile)>) -> PathSet {
        let mut packing = Packing::default();
        files.into_iter().for_each(|(path, file)| packing.add(&path.0, &file));
        PathSet::of(packing.done())
    }

    pub(super) fn of(packed: Packed) -> PathSet {
        PathSet(Arc::new(Files { packed, ..Files::default() }))
    }

    pub(super) fn packed(&self) -> &Packed {
        &self.0.packed
    }

    /// The files in ascending order of their paths. Each is unpacked when it is asked for.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = (SourcePath, ObservedFile)> + ExactSizeIterator + '_ {
        self.0.packed.iter().map(|held| (held.source_path(), held.file()))
    }

    /// Whether it is the same set in memory, and not only one with the same files.
    #[must_use]
    pub fn is_same(&self, other: &PathSet) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The set with something else known of some files, which are named by their places.
    pub(super) fn with(self, mut changes: Vec<(usize, ObservedFile)>) -> PathSet {
        changes.sort_by_key(|(place, _)| *place);
        let Some((first, _)) = changes.first() else { return self };
        let (packed, first) = (&self.0.packed, *first);
        let mut packing = packed.first(first, packed.len() - first.min(packed.len()));
        let (mut changes, mut is_other_version) = (changes.into_iter().peekable(), false);
        for (place, held) in packed.iter().enumerate().skip(first) {
            match changes.next_if(|(changed, _)| *changed == place) {
                Some((_, file)) => {
                    is_other_version |= held.version() != file.version;
                    packing.add(held.path, &file);
                }
                None => packing.add_packed(held),
            }
        }
        let digest = if is_other_version { OnceLock::new() } else { self.0.digest.clone() };
        PathSet(Arc::new(Files { packed: packing.done(), digest, counts: OnceLock::new() }))
    }

    /// One file.
    #[must_use]
    pub fn get(&self, path: &SourcePath) -> Option<ObservedFile> {
        let place = self.0.packed.find(&path.0).ok()?;
        self.0.packed.at(place).map(PackedFile::file)
    }

    pub(super) fn has(&self, path: &SourcePath) -> bool {
        self.0.packed.find(&path.0).is_ok()
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.packed.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sizes of all files together, in bytes. Saturates.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.counts().bytes
    }

    /// How many files are not proven: their times could not be trusted yet when they were last hashed.
    #[must_use]
    pub fn racy(&self) -> u64 {
        self.counts().racy
    }

    fn counts(&self) -> Counts {
        *self.0.counts.get_or_init(|| {
            self.0.packed.iter().map(PackedFile::file).fold(Counts::default(), |counts, file| Counts {
                bytes: counts.bytes.saturating_add(file.version.stat.size),
                racy: counts.racy + u64::from(file.racy_since.is_some()),
            })
        })
    }

    /// When the next of those can be proven, by another scan.
    pub(super) fn next_aged(&self, now: Timestamp) -> Option<Duration> {
        if self.racy() == 0 {
            return None;
        }
        self.0.packed.iter().filter_map(|held| held.file().ages_in(now)).min()
    }

    /// The observed version: BLAKE3 over the number of files and, per file, its path behind its length and its version.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *self.0.digest.get_or_init(|| digest(&self.0.packed))
    }

    /// How this set differs from an earlier one.
    #[must_use]
    pub fn difference(&self, earlier: &PathSet) -> Difference {
        let mut found = Difference::default();
        if self.is_same(earlier) {
            return found;
        }
        merge(&self.0.packed, &earlier.0.packed, |now, before| match (now, before) {
            (Some(_), None) => found.added += 1,
            (None, Some(_)) => found.removed += 1,
            (Some(now), Some(before)) if is_other(now, before) => found.changed += 1,
            _ => {}
        });
        found
    }

    /// What of an earlier set is not there any more, and what came in its place.
    #[must_use]
    pub fn missing(&self, earlier: &PathSet) -> Missing {
        let mut found = Missing::default();
        if self.is_same(earlier) {
            return found;
        }
        let size = |held: PackedFile<'_>| held.file().last_stat.size;
        let add = |sum: &mut u64, bytes: u64| *sum = sum.saturating_add(bytes);
        merge(&self.0.packed, &earlier.0.packed, |now, before| match (now, before) {
            (Some(now), None) => {
                found.new_files += 1;
                add(&mut found.new_bytes, size(now));
            }
            (None, Some(before)) => {
                found.files += 1;
                add(&mut found.bytes, size(before));
            }
            (Some(now), Some(before)) if now == before => {}
            (Some(now), Some(before)) => add(&mut found.new_bytes, size(now).saturating_sub(size(before))),
            (None, None) => {}
        });
        found
    }

    /// What has become of an earlier set, for people: which of its files is gone or another one, and how many are. Nothing
    /// if all of them are there as they were. `may_be_written`: some files are no data at this moment, and not in this set.
    pub(super) fn moved_since(&self, earlier: &PathSet, may_be_written: bool) -> Option<String> {
        let mut now = Along::new(Some(&self.0.packed));
        let moved = earlier.0.packed.iter().filter_map(|before| match now.at(before.path) {
            Some((_, now)) if !is_other(now, before) => None,
            now => Some((before, now.is_some())),
        });
        let mut moved = moved.fuse();
        let (before, is_there) = moved.next()?;
        let mut path = before.source_path().to_string();
        if path.chars().count() > MOST_OF_A_PATH {
            path = path.chars().take(MOST_OF_A_PATH).chain("...".chars()).collect();
        }
        let what = match (is_there, may_be_written) {
            (true, _) => "has another content",
            (false, true) => "is gone or being written",
            (false, false) => "is gone",
        };
        Some(match moved.count() {
            0 => format!("{path} {what}"),
            1 => format!("{path} {what}, and one more file has moved"),
            others => format!("{path} {what}, and {others} more files have moved"),
        })
    }

    /// The set as entries of a tree: path -> file.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.0.packed.iter().map(|held| (held.path.to_vec(), held.value.to_vec()))
    }

    /// One file from an entry of a tree.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub fn from_entry((path, value): Entry) -> Result<(SourcePath, ObservedFile), &'static str> {
        let mut bytes = Reader(&value);
        let file = ObservedFile::read(&mut bytes)?;
        bytes.end()?;
        Ok((SourcePath(path), file))
    }
}

/// Whether the content of a file is another one than it was.
fn is_other(now: PackedFile<'_>, before: PackedFile<'_>) -> bool {
    now.value != before.value && now.version() != before.version()
}

fn digest(files: &Packed) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
    hasher.update(&u64::try_from(files.len()).unwrap_or(u64::MAX).to_le_bytes());
    files.iter().for_each(|held| {
        hasher.update(held.identity());
    });
    *hasher.finalize().as_bytes()
}

/// Puts a list in ascending order of its paths, each once; of two with the same path the later one counts.
pub(super) fn in_order<T>(list: &mut Vec<(SourcePath, T)>) {
    if list.is_sorted_by(|(a, _), (b, _)| a < b) {
        return;
    }
    // Stable, so that of equal paths the later one stays last. `dedup_by` is asked (later, earlier).
    list.sort_by(|(a, _), (b, _)| a.cmp(b));
    list.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(&mut later.1, &mut earlier.1);
        }
        same
    });
}

/// In how many files two sets differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Files that only the later set has.
    pub added: u64,
    /// Files that only the earlier set has.
    pub removed: u64,
    /// Files that both have, with other content.
    pub changed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::{FileVersion, Instant, Stat};

    #[test]
    fn the_digest_tells_every_part_of_a_version_apart_and_nothing_else() {
        let stat = Stat { size: 1, mtime: Instant::default(), ctime: Instant::default(), inode: 4, ..Stat::default() };
        let version = FileVersion::of(stat);
        let later = Instant { seconds: 0, nanoseconds: 1 };
        let versions = [
            version,
            FileVersion::of(Stat { size: 2, ..stat }),
            FileVersion::of(Stat { mtime: later, ..stat }),
            FileVersion::of(Stat { ctime: later, ..stat }),
            FileVersion::of(Stat { inode: 5, ..stat }),
            FileVersion { content: Some([0; 32]), ..version },
            FileVersion { content: Some([1; 32]), ..version },
        ];
        let digest = |path: &[u8], file| PathSet::new([(SourcePath(path.to_vec()), file)]).digest();
        let mut digests: Vec<_> = versions.iter().map(|version| digest(b"a", ObservedFile::of(*version))).collect();
        digests.push(PathSet::default().digest());
        digests.push(digest(b"b", ObservedFile::of(version)));
        let names: std::collections::BTreeSet<_> = versions.iter().map(FileVersion::name).collect();
        assert_eq!(names.len(), versions.len());
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), versions.len() + 2);
        let last_stat = Stat { ctime: later, ..stat };
        let more = ObservedFile { version, last_stat, content: Some([3; 32]), racy_since: Some(Timestamp(1)) };
        assert_eq!(digest(b"a", more), digest(b"a", ObservedFile::of(version)));
    }

    #[test]
    fn defect_47_what_has_moved_is_named_and_counted() {
        let file = |name: &str, size| {
            (SourcePath(name.into()), ObservedFile::of(FileVersion::of(Stat { size, ..Stat::default() })))
        };
        let earlier = PathSet::new([file("b", 1), file("c", 1), file("d", 1)]);
        let check = |now: &[(SourcePath, ObservedFile)], expected: Option<&str>| {
            let now = PathSet::new(now.iter().cloned());
            assert_eq!(now.moved_since(&earlier, false).as_deref(), expected);
        };
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| file(name, 1));
        check(&[a.clone(), b.clone(), c.clone(), d.clone()], None);
        check(&[b.clone(), d.clone()], Some("c is gone"));
        check(&[file("b", 2), c, d.clone()], Some("b has another content"));
        check(&[a.clone(), b, file("c", 2)], Some("c has another content, and one more file has moved"));
        check(&[a], Some("b is gone, and 2 more files have moved"));
        assert_eq!(
            PathSet::new([d]).moved_since(&earlier, true).unwrap(),
            "b is gone or being written, and one more file has moved"
        );
        let long = PathSet::new([file(&"x".repeat(4_000), 1)]);
        assert!(PathSet::default().moved_since(&long, false).unwrap().len() < 300);
    }
}
