//! Which process holds the lock of a log, as the kernel tells.
//!
//! It is for messages alone. What decides is the lock; nothing here is asked before something is done.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The process that holds the lock file of a log for writing. `None` if none does, or that cannot be known: on another
/// system than Linux, or where the process is not visible from here.
#[must_use]
pub fn lock_holder(lock: &Path) -> Option<u32> {
    let file = fs::metadata(lock).ok()?;
    holder_in(&fs::read_to_string("/proc/locks").ok()?, file.dev(), file.ino())
}

/// A line is `1: FLOCK  ADVISORY  WRITE 412 08:02:5374 0 EOF`: the process, then the device, in hexadecimal, and the inode.
fn holder_in(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) =
        (((device >> 8) & 0xFFF) | ((device >> 32) & !0xFFF), (device & 0xFF) | ((device >> 12) & !0xFF));
    let mut elsewhere = None;
    for line in locks.lines() {
        // Who waits for a lock has `->` behind the number.
        let mut words = line.split_whitespace().skip(1);
        if words.next() != Some("FLOCK") || words.nth(1) != Some("WRITE") {
            continue;
        }
        let (Some(Ok(pid)), Some(place)) = (words.next().map(str::parse::<i64>), words.next()) else { continue };
        let (Some((of, at)), Ok(pid)) = (place.rsplit_once(':'), u32::try_from(pid)) else { continue };
        if pid == 0 || at.parse() != Ok(inode) {
            continue;
        }
        let here = of.split_once(':').is_some_and(|(of_major, of_minor)| {
            u64::from_str_radix(of_major, 16) == Ok(major) && u64::from_str_radix(of_minor, 16) == Ok(minor)
        });
        if here {
            return Some(pid);
        }
        // Some file systems have another device here than they tell those who ask.
        elsewhere = Some(pid);
    }
    elsewhere
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn defect_47_the_process_that_holds_a_lock_is_found() {
        let locks = "1: POSIX  ADVISORY  WRITE 9 08:02:77 0 EOF\n\
                     2: FLOCK  ADVISORY  READ 8 08:02:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 7 00:31:77 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 412 08:02:77 0 EOF\n\
                     4: -> FLOCK  ADVISORY  WRITE 6 08:02:77 0 EOF\n";
        assert_eq!(holder_in(locks, 0x802, 77), Some(412));
        assert_eq!(holder_in(locks, 0x9999, 77), Some(412), "another device than is told");
        assert_eq!(holder_in(locks, 0x802, 78), None);
        assert_eq!(holder_in("3: FLOCK  ADVISORY  WRITE -1 08:02:77 0 EOF\nnonsense\n", 0x802, 77), None);

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let file = File::create(&path).unwrap();
        assert_eq!(lock_holder(&path), None);
        file.lock().unwrap();
        assert!(lock_holder(&path).is_none_or(|pid| pid == std::process::id()));
    }
}
