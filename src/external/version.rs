//! What identifies the content of a file, what is known of a file beside that, and when its times can be trusted. It
//! must not read anything: `judge.rs` says which version a file has.

use std::time::Duration;

use super::wire::{Reader, Writer, hash};
use crate::core::vocabulary::{Timestamp, micros};

const VERSION_CONTEXT: &str = "lastword 2026 file version v1";

/// Kind of a version that is made of what `stat` says.
const STAT: u8 = 1;

/// Kind of a version that is made of what `stat` says and of the content's hash.
const STAT_AND_CONTENT: u8 = 2;

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
}

/// A file that does not grow for so many microseconds is done, whatever it looks like. Eight seconds are longer than
/// most writers pause between two pieces of a file, and short enough that what stays broken is reported soon.
const YOUNG_MICROS: i64 = 8_000_000;

/// What `stat` says of a file: `mtime` can be set back, `ctime` cannot, and a file that was replaced by a rename has
/// another inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stat {
    /// The length in bytes.
    pub size: u64,
    /// When the content was last modified, as the file says.
    pub mtime: Instant,
    /// When content or metadata were last changed, as the kernel says.
    pub ctime: Instant,
    /// The inode.
    pub inode: u64,
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

    fn write(&self, bytes: &mut Writer) {
        bytes.u64(self.size);
        for time in [self.mtime, self.ctime] {
            bytes.raw(&time.seconds.to_le_bytes());
            bytes.raw(&time.nanoseconds.to_le_bytes());
        }
        bytes.u64(self.inode);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Stat, &'static str> {
        let size = bytes.u64()?;
        let mtime = Instant { seconds: bytes.i64()?, nanoseconds: bytes.u32()? };
        let ctime = Instant { seconds: bytes.i64()?, nanoseconds: bytes.u32()? };
        Ok(Stat { size, mtime, ctime, inode: bytes.u64()? })
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
        bytes.u8(if self.content.is_some() { STAT_AND_CONTENT } else { STAT });
        self.stat.write(bytes);
        self.content.iter().for_each(|content| bytes.raw(content));
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<FileVersion, &'static str> {
        let is_hashed = match bytes.u8()? {
            STAT => false,
            STAT_AND_CONTENT => true,
            _ => return Err("it has a file version of an unknown kind"),
        };
        let stat = Stat::read(bytes)?;
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
            (last_stat.is_some(), HAS_LAST_STAT),
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
        if flags == 0 || flags > HAS_LAST_STAT | HAS_CONTENT | HAS_RACY {
            return Err("it has a file with unknown flags");
        }
        if flags & HAS_LAST_STAT != 0 {
            file.last_stat = Stat::read(bytes)?;
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
        let stat = Stat { size: 1, mtime: at(10), ctime: at(20), inode: 1 };
        assert!(stat.is_racy(Timestamp(21_999_999)));
        assert!(!stat.is_racy(Timestamp(22_000_000)));
        // From the future, as far as its own times go.
        assert!(Stat { mtime: at(1_000), ..stat }.is_racy(Timestamp(500_000_000)));
    }

    #[test]
    fn a_file_has_aged_when_its_times_or_the_looks_at_it_are_old_enough() {
        let stat = Stat { size: 1, mtime: at(10), ctime: at(20), inode: 1 };
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

    #[test]
    fn what_is_stored_is_read_back_and_nothing_else_is() {
        let stat = Stat { size: 1, mtime: at(-10), ctime: at(20), inode: 1 };
        let plain = ObservedFile::of(FileVersion::of(stat));
        let hashed = ObservedFile::of(FileVersion { stat, content: Some([7; 32]) });
        let moved = ObservedFile { last_stat: Stat { ctime: at(21), ..stat }, ..plain };
        let all = ObservedFile { content: Some([8; 32]), racy_since: Some(Timestamp(5)), ..moved };
        let lengths = [(plain, 41), (hashed, 73), (moved, 82), (all, 41 + 1 + 40 + 32 + 8)];
        for (file, length) in lengths {
            let mut bytes = Writer::default();
            file.write(&mut bytes);
            assert_eq!(bytes.0.len(), length);
            assert_eq!(ObservedFile::read(&mut Reader(&bytes.0)), Ok(file));
            for cut in 1..length {
                let read = ObservedFile::read(&mut Reader(&bytes.0[..cut]));
                assert!(read.is_err() || cut == 41, "{cut} of {length}");
            }
        }
        let mut bytes = Writer::default();
        plain.write(&mut bytes);
        for flags in [0, 8, 255] {
            let with = [&bytes.0[..], &[flags]].concat();
            assert_eq!(ObservedFile::read(&mut Reader(&with)), Err("it has a file with unknown flags"));
        }
    }
}
