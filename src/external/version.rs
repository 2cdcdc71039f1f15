//! What identifies the content of a file or an object, what is known of it beside that, and when its times can be trusted.
//! It must not read anything: `judge.rs` says which version a file has.

use std::time::Duration;

use super::EntityTag;
use super::wire::{Reader, Writer, hash};
use crate::core::vocabulary::{Timestamp, micros};

const VERSION_CONTEXT: &str = "lastword 2026 file version v1";

/// Kind of a version that is made of what `stat` says.
const STAT: u8 = 1;

/// Kind of a version that is made of what `stat` says and of the content's hash.
const STAT_AND_CONTENT: u8 = 2;

/// Kinds of the same for an object: its size and its tag; for a weak tag, when it was modified.
const OBJECT: u8 = 3;
const OBJECT_AND_CONTENT: u8 = 4;

/// How long after a change of a file a second change may leave no trace in its times: two seconds is the
/// coarsest clock among common file systems (FAT, some network mounts).
pub(super) const GRANULARITY: Duration = Duration::from_secs(2);

/// The plain BLAKE3 of a file's bytes.
pub type ContentHash = [u8; 32];

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

    /// Whether a file that was modified then may still be in the making: not long ago. A time further in the future
    /// than that says nothing about age.
    pub(super) fn is_young(self, now: Timestamp) -> bool {
        self.age(now).is_some_and(|age| age < YOUNG_MICROS)
    }

    /// When a file that was modified then is no longer young.
    pub(super) fn young_for(self, now: Timestamp) -> Option<Duration> {
        let left = YOUNG_MICROS - self.age(now).filter(|age| *age < YOUNG_MICROS)?;
        u64::try_from(left).ok().map(Duration::from_micros)
    }

    fn age(self, now: Timestamp) -> Option<i64> {
        let age = i64::try_from(now.0).unwrap_or(i64::MAX).saturating_sub(self.micros());
        Some(age).filter(|age| *age > -YOUNG_MICROS)
    }

    fn write(self, bytes: &mut Writer) {
        bytes.raw(&self.seconds.to_le_bytes());
        bytes.raw(&self.nanoseconds.to_le_bytes());
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Instant, &'static str> {
        Ok(Instant { seconds: bytes.i64()?, nanoseconds: bytes.u32()? })
    }
}

/// A file that does not grow for so many microseconds is done, whatever it looks like. Eight seconds are longer than
/// most writers pause between two pieces of a file, and short enough that what stays broken is reported soon.
const YOUNG_MICROS: i64 = 8_000_000;

/// What a store says of a file without reading it. Of a file of a file system what `stat` says: `mtime` can be set back,
/// `ctime` cannot, and a file that was replaced by a rename has another inode. Of an object its size and its tag; when it
/// was modified only if the tag is weak, for a copy of an object onto itself changes no more than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stat {
    /// The length in bytes.
    pub size: u64,
    /// When the content was last modified, as the file says.
    pub mtime: Instant,
    /// When content or metadata were last changed, as the kernel says. Zero for an object.
    pub ctime: Instant,
    /// The inode. Zero for an object.
    pub inode: u64,
    /// The tag of an object.
    pub tag: EntityTag,
}

impl Stat {
    /// Whether the file changed so shortly before `now` that it could change again without a trace.
    #[must_use]
    pub fn is_racy(&self, now: Timestamp) -> bool {
        !self.racy_for(now).is_zero()
    }

    /// For how long after `now` it stays so.
    fn racy_for(&self, now: Timestamp) -> Duration {
        let changed = u64::try_from(self.mtime.max(self.ctime).micros()).unwrap_or(0);
        Timestamp(changed).after(GRANULARITY).since(now)
    }

    /// An object's size and tag are all that is told of it, and when it was modified where the tag is weak.
    pub(super) fn of_object(size: u64, tag: EntityTag, modified: Instant) -> Stat {
        Stat { size, mtime: if tag.is_weak() { modified } else { Instant::default() }, tag, ..Stat::default() }
    }

    pub(super) fn write(&self, bytes: &mut Writer) {
        bytes.u64(self.size);
        if self.tag.is_some() {
            self.tag.write(bytes);
            if self.tag.is_weak() {
                self.mtime.write(bytes);
            }
            return;
        }
        self.mtime.write(bytes);
        self.ctime.write(bytes);
        bytes.u64(self.inode);
    }

    pub(super) fn read(bytes: &mut Reader<'_>, is_object: bool) -> Result<Stat, &'static str> {
        let size = bytes.u64()?;
        if is_object {
            let tag = EntityTag::read(bytes)?;
            let modified = if tag.is_weak() { Instant::read(bytes)? } else { Instant::default() };
            return Ok(Stat::of_object(size, tag, modified));
        }
        let (mtime, ctime) = (Instant::read(bytes)?, Instant::read(bytes)?);
        Ok(Stat { size, mtime, ctime, inode: bytes.u64()?, tag: EntityTag::NONE })
    }
}

/// The identity of a file's content: equal versions are equal bytes. It is made when the content is first seen, and
/// stays for as long as the content does, whatever `stat` says later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileVersion {
    /// What `stat` said when this content was first seen.
    pub stat: Stat,
    /// The hash of the content, if the times alone could not tell it from another.
    pub content: Option<ContentHash>,
}

impl FileVersion {
    /// The version of a file whose times can be trusted.
    #[must_use]
    pub fn of(stat: Stat) -> FileVersion {
        FileVersion { stat, content: None }
    }

    /// A short name of the version that does not change: 16 hexadecimal digits of a hash over all of it.
    #[must_use]
    pub fn name(&self) -> String {
        let mut bytes = Writer::default();
        self.write(&mut bytes);
        hash(VERSION_CONTEXT, &bytes.0).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn write(&self, bytes: &mut Writer) {
        bytes.u8(match (self.stat.tag.is_some(), self.content.is_some()) {
            (false, false) => STAT,
            (false, true) => STAT_AND_CONTENT,
            (true, false) => OBJECT,
            (true, true) => OBJECT_AND_CONTENT,
        });
        self.stat.write(bytes);
        self.content.iter().for_each(|content| bytes.raw(content));
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<FileVersion, &'static str> {
        let (is_object, is_hashed) = match bytes.u8()? {
            STAT => (false, false),
            STAT_AND_CONTENT => (false, true),
            OBJECT => (true, false),
            OBJECT_AND_CONTENT => (true, true),
            _ => return Err("it has a file version of an unknown kind"),
        };
        let stat = Stat::read(bytes, is_object)?;
        Ok(FileVersion { stat, content: if is_hashed { Some(bytes.array()?) } else { None } })
    }
}

/// A file as the observations so far know it: which content it has, and how that is recognised by the next scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedFile {
    /// The identity of its content. Only this is in the digest of a set.
    pub version: FileVersion,
    /// What `stat` said at the last observation.
    pub last_stat: Stat,
    /// The hash of the content, if it is known.
    pub content: Option<ContentHash>,
    /// Since when (wall time of a scan) the file has had the times that it has while its times could not be trusted
    /// yet. Its content is hashed at every scan until they can. `None`: the times tell it from every other content.
    pub racy_since: Option<Timestamp>,
}

/// Bits of what follows the version of a stored file.
const HAS_LAST_STAT: u8 = 1;
const HAS_CONTENT: u8 = 2;
const HAS_RACY: u8 = 4;
const HAS_LAST_OBJECT: u8 = 8;

impl ObservedFile {
    /// A file of which no more than this is known.
    #[must_use]
    pub fn of(version: FileVersion) -> ObservedFile {
        ObservedFile { version, last_stat: version.stat, content: version.content, racy_since: None }
    }

    /// How long after `now` its times can be trusted; nothing when they can be by now, or always could.
    ///
    /// A file changes its times at every write, in steps of the clock's granularity. So they can be trusted once that
    /// span has passed since the change they tell of, or since they were first seen: the latter is for files from the
    /// future, which clocks that are set back or run ahead leave behind.
    pub(super) fn ages_in(&self, now: Timestamp) -> Option<Duration> {
        let since = self.racy_since?;
        Some(self.last_stat.racy_for(now).min(since.after(GRANULARITY).since(now))).filter(|span| !span.is_zero())
    }

    /// The file as it lies in a path set: the version, and more only if more is known.
    pub(super) fn write(&self, bytes: &mut Writer) {
        self.version.write(bytes);
        let last_stat = Some(self.last_stat).filter(|stat| *stat != self.version.stat);
        let content = self.content.filter(|_| self.content != self.version.content);
        let flags = [
            (last_stat.is_some_and(|stat| !stat.tag.is_some()), HAS_LAST_STAT),
            (last_stat.is_some_and(|stat| stat.tag.is_some()), HAS_LAST_OBJECT),
            (content.is_some(), HAS_CONTENT),
            (self.racy_since.is_some(), HAS_RACY),
        ]
        .iter()
        .fold(0, |flags, (is_set, flag)| if *is_set { flags | flag } else { flags });
        if flags != 0 {
            bytes.u8(flags);
        }
        last_stat.iter().for_each(|stat| stat.write(bytes));
        content.iter().for_each(|content| bytes.raw(content));
        self.racy_since.iter().for_each(|since| bytes.u64(since.0));
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<ObservedFile, &'static str> {
        let mut file = ObservedFile::of(FileVersion::read(bytes)?);
        if bytes.0.is_empty() {
            return Ok(file);
        }
        let flags = bytes.u8()?;
        let last = (flags & HAS_LAST_STAT != 0, flags & HAS_LAST_OBJECT != 0);
        if flags == 0 || flags > HAS_LAST_STAT | HAS_CONTENT | HAS_RACY | HAS_LAST_OBJECT || last == (true, true) {
            return Err("it has a file with unknown flags");
        }
        if last.0 || last.1 {
            file.last_stat = Stat::read(bytes, last.1)?;
        }
        if flags & HAS_CONTENT != 0 {
            file.content = Some(bytes.array()?);
        }
        if flags & HAS_RACY != 0 {
            file.racy_since = Some(Timestamp(bytes.u64()?));
        }
        Ok(file)
    }
}

/// The shortest wait for a file to age: a wall clock that runs a little slower than the one that waits must not make
/// a burst of observations.
pub(super) fn wait_for(span: Duration) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(10);
    Duration::from_micros(micros(span)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant { seconds, nanoseconds: 0 }
    }

    #[test]
    fn a_version_is_racy_until_the_clock_has_moved_on() {
        let stat = Stat { size: 1, mtime: at(10), ctime: at(20), inode: 1, ..Stat::default() };
        assert!(stat.is_racy(Timestamp(21_999_999)));
        assert!(!stat.is_racy(Timestamp(22_000_000)));
        // From the future, as far as its own times go.
        assert!(Stat { mtime: at(1_000), ..stat }.is_racy(Timestamp(500_000_000)));
    }

    #[test]
    fn a_file_has_aged_when_its_times_or_the_looks_at_it_are_old_enough() {
        let stat = Stat { size: 1, mtime: at(10), ctime: at(20), inode: 1, ..Stat::default() };
        let file = |stat, since| ObservedFile {
            racy_since: Some(Timestamp(since)),
            ..ObservedFile::of(FileVersion::of(stat))
        };
        let second = Duration::from_secs(1);
        assert_eq!(file(stat, 20_500_000).ages_in(Timestamp(21_000_000)), Some(second));
        assert_eq!(file(stat, 20_500_000).ages_in(Timestamp(22_000_000)), None);
        let future = Stat { ctime: at(9_000), ..stat };
        assert_eq!(file(future, 21_000_000).ages_in(Timestamp(22_000_000)), Some(second));
        assert_eq!(file(future, 21_000_000).ages_in(Timestamp(23_000_000)), None);
        assert_eq!(ObservedFile::of(FileVersion::of(stat)).ages_in(Timestamp(0)), None);
    }

    impl FileVersion {
        fn written(&self) -> usize {
            let mut bytes = Writer::default();
            self.write(&mut bytes);
            bytes.0.len()
        }
    }

    #[test]
    fn a_copy_of_an_object_onto_itself_is_no_change_where_its_tag_is_strong() {
        let listed = |tag, modified| Stat::of_object(1, EntityTag::new(tag).unwrap(), at(modified));
        assert_eq!(listed(Some("\"a\""), 10), listed(Some("\"a\""), 20));
        assert_ne!(listed(Some("\"a\""), 10), listed(Some("\"b\""), 10));
        assert_ne!(listed(None, 10), listed(None, 20));
        // Nothing of a strong one is waited for; a weak one that was modified a moment ago may be again.
        let now = Timestamp(20_500_000);
        assert!(!listed(Some("\"a\""), 20).is_racy(now) && listed(None, 20).is_racy(now));
    }

    #[test]
    fn what_is_stored_is_read_back_and_nothing_else_is() {
        let stat = Stat { size: 1, mtime: at(-10), ctime: at(20), inode: 1, ..Stat::default() };
        let plain = ObservedFile::of(FileVersion::of(stat));
        let hashed = ObservedFile::of(FileVersion { stat, content: Some([7; 32]) });
        let moved = ObservedFile { last_stat: Stat { ctime: at(21), ..stat }, ..plain };
        let all = ObservedFile { content: Some([8; 32]), racy_since: Some(Timestamp(5)), ..moved };
        let tag = |tag| Stat::of_object(9, EntityTag::new(tag).unwrap(), at(30));
        let (object, weak) = (ObservedFile::of(FileVersion::of(tag(Some("\"x\"")))), FileVersion::of(tag(None)));
        let weak = ObservedFile::of(FileVersion { content: Some([9; 32]), ..weak });
        // A content that was in a file before it was in an object.
        let copied = ObservedFile { last_stat: object.last_stat, ..hashed };
        let lengths = [
            (plain, 41),
            (hashed, 73),
            (moved, 82),
            (all, 41 + 1 + 40 + 32 + 8),
            (object, 1 + 8 + 2),
            (weak, 1 + 8 + 3 + 12 + 32),
            (copied, 73 + 1 + 10),
        ];
        for (file, length) in lengths {
            let mut bytes = Writer::default();
            file.write(&mut bytes);
            assert_eq!(bytes.0.len(), length);
            assert_eq!(ObservedFile::read(&mut Reader(&bytes.0)), Ok(file));
            for cut in 1..length {
                let read = ObservedFile::read(&mut Reader(&bytes.0[..cut]));
                let is_whole = cut == file.version.written();
                assert!(read.is_err() || is_whole, "{cut} of {length}");
            }
        }
        let mut bytes = Writer::default();
        plain.write(&mut bytes);
        for flags in [0, 9, 16, 255] {
            let with = [&bytes.0[..], &[flags]].concat();
            assert_eq!(ObservedFile::read(&mut Reader(&with)), Err("it has a file with unknown flags"));
        }
    }
}
