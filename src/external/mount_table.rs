//! Which mount a directory lies on, found out without touching it: a directory on a dead mount does not answer, and who
//! asks does not come back.
//!
//! *Architecture invariant:* [`MountTable::of`] reads the kernel's table of mounts and compares names. Only [`MountTable::learn`], which
//! the thread that observes calls, asks the file system: it finds the links that a source leads through.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};

/// The table is read again after this long: a new mount is seen within a second, and thousands of sources do not read it
/// thousands of times.
const FRESH: Duration = Duration::from_secs(1);

/// Directories whose links are remembered: more than one process has. Beyond them all are found out anew.
const MOST_KNOWN: usize = 65_536;

/// The mounts of this process's machine, as it sees them.
#[derive(Default)]
pub(super) struct MountTable {
    clock: SystemClock,
    inner: Mutex<Inner>,
}

/// One mount, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountPoint {
    /// No other mount that is there has it.
    id: u64,
    path: PathBuf,
}

#[derive(Default)]
struct Inner {
    /// The mount points, and when they were read.
    table: Option<(Duration, Arc<[MountPoint]>)>,
    /// Where a directory really lies, if that is elsewhere than its name says.
    real: BTreeMap<PathBuf, PathBuf>,
}

impl MountTable {
    /// The mount point that a directory lies below, as far as is known. Touches neither of them.
    pub(super) fn of(&self, directory: &Path) -> Option<PathBuf> {
        let points = self.points()?;
        let inner = self.inner();
        nearest(&points, inner.real.get(directory).map_or(directory, PathBuf::as_path))
    }

    /// What is mounted on a directory and below it, whose name has no links in it. Touches none of it.
    #[cfg(all(feature = "notify", target_os = "linux"))]
    pub(super) fn below(&self, directory: &Path) -> Vec<MountPoint> {
        let points = self.points();
        points
            .iter()
            .flat_map(|points| points.iter())
            .filter(|point| point.path.starts_with(directory))
            .cloned()
            .collect()
    }

    /// Finds out where a directory really lies. Does not return if it lies on a mount that does not answer.
    pub(super) fn learn(&self, directory: &Path) {
        let Ok(real) = directory.canonicalize() else { return };
        let mut inner = self.inner();
        if real == directory {
            inner.real.remove(directory);
            return;
        }
        if inner.real.len() >= MOST_KNOWN {
            inner.real.clear();
        }
        inner.real.insert(directory.to_owned(), real);
    }

    fn points(&self) -> Option<Arc<[MountPoint]>> {
        let now = self.clock.monotonic();
        if let Some((read, points)) = &self.inner().table
            && now.saturating_sub(*read) < FRESH
        {
            return Some(Arc::clone(points));
        }
        let points: Arc<[MountPoint]> = parse(&std::fs::read("/proc/self/mountinfo").ok()?).into();
        self.inner().table = Some((now, Arc::clone(&points)));
        Some(points)
    }

    /// Every change is one insert.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The deepest of the mount points that a directory lies below.
fn nearest(points: &[MountPoint], directory: &Path) -> Option<PathBuf> {
    let above = points.iter().map(|point| &point.path).filter(|path| directory.starts_with(path));
    above.max_by_key(|path| path.components().count()).cloned()
}

/// The mounts of `/proc/self/mountinfo`: the first field of each line is a number, the fifth one a path, in which white
/// space and backslashes are octal numbers.
fn parse(table: &[u8]) -> Vec<MountPoint> {
    let point = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let path = fields.nth(3).filter(|path| path.starts_with(b"/"))?;
        Some(MountPoint { id, path: PathBuf::from(OsString::from_vec(unescape(path))) })
    };
    table.split(|byte| *byte == b'\n').filter_map(point).collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(field.len()), field);
    while let [first, behind @ ..] = rest {
        let octal = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        let escaped = (*first == b'\\').then(|| behind.get(..3).and_then(octal)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { behind.get(3..).unwrap_or_default() } else { behind };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
        36 22 0:44 / /mnt/slow\\040bucket rw,nosuid shared:1 master:2 - fuse.s3 s3:x rw\n\
        37 22 0:45 / /mnt rw - tmpfs tmpfs rw\n\
        38 36 0:46 / /mnt/slow\\040bucket/deep rw - nfs4 host:/x rw\n\
        39 22 0:4 net:[4026532281] /run/netns/x rw - nsfs nsfs rw\n\
        broken line\n";

    #[test]
    fn defect_01_a_directory_belongs_to_the_deepest_mount_above_it() {
        let points = parse(TABLE);
        let of = |directory: &str| nearest(&points, Path::new(directory)).unwrap().to_str().unwrap().to_owned();
        assert_eq!(of("/mnt/slow bucket/a/b"), "/mnt/slow bucket");
        assert_eq!(of("/mnt/slow bucket/deep"), "/mnt/slow bucket/deep");
        assert_eq!(of("/mnt/slow bucket/deeper"), "/mnt/slow bucket");
        assert_eq!(of("/mnt/slow"), "/mnt");
        assert_eq!(of("/data"), "/");
        assert_eq!(unescape(b"a\\134\\011b\\9\\"), b"a\\\tb\\9\\");
    }

    #[test]
    fn defect_01_links_that_were_followed_once_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        let mounts = MountTable::default();
        let before = mounts.of(&link).unwrap();
        assert!(dir.path().starts_with(&before), "the name says where the link lies");
        mounts.learn(&link);
        assert_eq!(mounts.of(&link).unwrap(), Path::new("/proc"));
        mounts.learn(dir.path());
        assert_eq!(mounts.of(dir.path()), Some(before));
        assert_eq!(mounts.of(&dir.path().join("not there")), mounts.of(dir.path()), "nothing is asked for");
    }
}
