//! What a source was observed to contain: the set path -> file version, and its digest, the observed version.

use std::fmt;
use std::time::Duration;

use super::wire::{Reader, Writer, hash};
use crate::core::vocabulary::Timestamp;
use crate::objects::tree::Entry;

const DIGEST_CONTEXT: &str = "lastword 2026 path set v1";
const VERSION_CONTEXT: &str = "lastword 2026 file version v1";

/// Tag of a version that is made of what `stat` says. Others (an ETag, a content hash) get tags of their own.
const STAT: u8 = 1;

/// How long after a change of a file a second change may leave no trace in its times: two seconds is the
/// coarsest clock among common file systems (FAT, some network mounts).
const GRANULARITY: Duration = Duration::from_secs(2);

/// The path of a file relative to its source: bytes, separated by `/`, without a leading one. Compared byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePath(pub Vec<u8>);

impl SourcePath {
    /// The path as text that can be turned back: UTF-8 as it is, every other byte as `%` and two upper-case
    /// hexadecimal digits, and `%` itself as `%25`. This is the form of paths in JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        percent_encode(&self.0)
    }

    /// Reads what [`encode`](SourcePath::encode) wrote. `None` when a `%` is not followed by two hexadecimal digits.
    #[must_use]
    pub fn decode(text: &str) -> Option<SourcePath> {
        percent_decode(text).map(SourcePath)
    }
}

/// For people: as [`SourcePath::encode`], with control characters encoded as well. A name with a newline or an
/// escape sequence must not forge a line of a log or take over a terminal.
impl fmt::Display for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.encode().chars() {
            if c.is_control() {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// See [`SourcePath::encode`].
pub(super) fn percent_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

/// Turns `%` and two hexadecimal digits into a byte.
pub(super) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(bytes)
}

/// A time that a file system keeps: seconds and nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// The nanoseconds past them.
    pub nanoseconds: u32,
}

impl Instant {
    /// Microseconds since the Unix epoch. Saturates.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.seconds.saturating_mul(1_000_000).saturating_add(i64::from(self.nanoseconds / 1_000))
    }
}

/// Which version of a file was seen. Two looks that find equal versions found the same bytes, as far as `stat` can
/// tell: `mtime` can be set back, `ctime` cannot, and a file that was replaced by a rename has another inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileVersion {
    /// The length in bytes.
    pub size: u64,
    /// When the content was last modified, as the file says.
    pub mtime: Instant,
    /// When content or metadata were last changed, as the kernel says.
    pub ctime: Instant,
    /// The inode.
    pub inode: u64,
}

impl FileVersion {
    /// How many bytes a version takes in path sets, manifests and keys.
    pub(super) const BYTES: usize = 41;

    /// A short name of the version that does not change: 16 hexadecimal digits of a hash over all of it.
    #[must_use]
    pub fn name(&self) -> String {
        let mut bytes = Writer::default();
        self.write(&mut bytes);
        hash(VERSION_CONTEXT, &bytes.0).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn write(&self, bytes: &mut Writer) {
        bytes.u8(STAT);
        bytes.u64(self.size);
        for time in [self.mtime, self.ctime] {
            bytes.raw(&time.seconds.to_le_bytes());
            bytes.raw(&time.nanoseconds.to_le_bytes());
        }
        bytes.u64(self.inode);
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<FileVersion, &'static str> {
        if bytes.u8()? != STAT {
            return Err("it has a file version of an unknown kind");
        }
        let size = bytes.u64()?;
        let mtime = Instant { seconds: bytes.i64()?, nanoseconds: bytes.u32()? };
        let ctime = Instant { seconds: bytes.i64()?, nanoseconds: bytes.u32()? };
        Ok(FileVersion { size, mtime, ctime, inode: bytes.u64()? })
    }

    /// Whether the file changed so shortly before `now` that it could change again without a trace.
    #[must_use]
    pub fn is_racy(&self, now: Timestamp) -> bool {
        let changed = self.mtime.max(self.ctime).micros();
        let settled = changed.saturating_add(i64::try_from(GRANULARITY.as_micros()).unwrap_or(i64::MAX));
        settled > i64::try_from(now.0).unwrap_or(i64::MAX)
    }
}

/// A set of files with their versions, in ascending order of their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSet {
    files: Vec<(SourcePath, FileVersion)>,
}

impl PathSet {
    /// The set of these files. Of two with the same path the later one counts.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = (SourcePath, FileVersion)>) -> PathSet {
        let mut files: Vec<_> = files.into_iter().collect();
        // Stable, so that of equal paths the later one stays last; `dedup_by` is asked (later, earlier).
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        files.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 = later.1;
            }
            same
        });
        PathSet { files }
    }

    /// The files in ascending order of their paths.
    #[must_use]
    pub fn files(&self) -> &[(SourcePath, FileVersion)] {
        &self.files
    }

    /// The version of one file.
    #[must_use]
    pub fn get(&self, path: &SourcePath) -> Option<&FileVersion> {
        let at = self.files.binary_search_by(|(held, _)| held.cmp(path)).ok()?;
        self.files.get(at).map(|(_, version)| version)
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The sizes of all files together, in bytes. Saturates.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, (_, version)| sum.saturating_add(version.size))
    }

    /// How many files are racy at `now` (wall time); see [`FileVersion::is_racy`].
    #[must_use]
    pub fn racy(&self, now: Timestamp) -> usize {
        self.files.iter().filter(|(_, version)| version.is_racy(now)).count()
    }

    /// The observed version: BLAKE3 over the number of files and, per file, its path behind its length and its version.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
        hasher.update(&u64::try_from(self.files.len()).unwrap_or(u64::MAX).to_le_bytes());
        for (path, version) in &self.files {
            let mut bytes = Writer::default();
            bytes.bytes(&path.0);
            version.write(&mut bytes);
            hasher.update(&bytes.0);
        }
        *hasher.finalize().as_bytes()
    }

    /// The set as entries of a tree: path -> version.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.files.iter().map(|(path, version)| {
            let mut bytes = Writer(Vec::with_capacity(FileVersion::BYTES));
            version.write(&mut bytes);
            (path.0.clone(), bytes.0)
        })
    }

    /// One file from an entry of a tree.
    ///
    /// # Errors
    /// What is wrong with the entry.
    pub fn from_entry((path, value): Entry) -> Result<(SourcePath, FileVersion), &'static str> {
        let mut bytes = Reader(&value);
        let version = FileVersion::read(&mut bytes)?;
        bytes.end()?;
        Ok((SourcePath(path), version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_24_paths_survive_being_shown() {
        for (bytes, json, shown) in [
            (&b"a b/c.parquet"[..], "a b/c.parquet", "a b/c.parquet"),
            (b"100%", "100%25", "100%25"),
            (b"%41", "%2541", "%2541"),
            ("grün".as_bytes(), "grün", "grün"),
            (b"bad\xff\xfe", "bad%FF%FE", "bad%FF%FE"),
            (b"line\nfeed\x1b[2J", "line\nfeed\u{1b}[2J", "line%0Afeed%1B[2J"),
            ("c1\u{85}".as_bytes(), "c1\u{85}", "c1%C2%85"),
        ] {
            let path = SourcePath(bytes.to_vec());
            assert_eq!((path.encode().as_str(), path.to_string().as_str()), (json, shown));
            assert_eq!(SourcePath::decode(json), Some(path.clone()));
            assert_eq!(SourcePath::decode(shown), Some(path));
        }
        for text in ["%", "%4", "%zz", "50%"] {
            assert_eq!(SourcePath::decode(text), None);
        }
    }

    #[test]
    fn the_digest_tells_every_part_of_a_version_apart() {
        let version = FileVersion { size: 1, mtime: Instant::default(), ctime: Instant::default(), inode: 4 };
        let later = Instant { seconds: 0, nanoseconds: 1 };
        let versions = [
            version,
            FileVersion { size: 2, ..version },
            FileVersion { mtime: later, ..version },
            FileVersion { ctime: later, ..version },
            FileVersion { inode: 5, ..version },
        ];
        let mut digests: Vec<_> =
            versions.iter().map(|version| PathSet::new([(SourcePath(b"a".to_vec()), *version)]).digest()).collect();
        digests.push(PathSet::default().digest());
        digests.push(PathSet::new([(SourcePath(b"b".to_vec()), version)]).digest());
        let names: std::collections::BTreeSet<_> = versions.iter().map(FileVersion::name).collect();
        assert_eq!(names.len(), versions.len());
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), versions.len() + 2);
    }

    #[test]
    fn a_version_is_racy_until_the_clock_has_moved_on() {
        let at = |seconds| Instant { seconds, nanoseconds: 0 };
        let version = FileVersion { size: 1, mtime: at(10), ctime: at(20), inode: 1 };
        assert!(version.is_racy(Timestamp(21_999_999)));
        assert!(!version.is_racy(Timestamp(22_000_000)));
        // A file from the future may change under the same time for as long as it lies there.
        assert!(FileVersion { mtime: at(1_000), ..version }.is_racy(Timestamp(500_000_000)));
    }
}
