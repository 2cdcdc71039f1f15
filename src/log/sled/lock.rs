//! The lock that sled holds on `db`, let go when sled is closed, as that of the writer is.
//!
//! sled closes its descriptor and unlocks nothing: a child that was forked would keep `db` locked, and sled would not open it
//! any more. What sled has opened it gives to nobody, so it is found among what this process has open.
//!
//! *Architecture invariant:* best effort. Where there is no `/proc` or the kernel does not hand out descriptors, sled's lock
//! goes when the last process that has inherited it ends.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::held::{Identity, descriptors_of};

/// What sled has opened, held beside sled.
pub(super) struct SledLock {
    file: File,
    /// sled's own descriptor of it, for as long as sled is open.
    descriptor: i32,
}

impl SledLock {
    /// That of the sled in this process that has `db` open.
    pub(super) fn find(db: &Path) -> Option<SledLock> {
        let another = File::open(db).ok()?;
        let identity = Identity::of(&another).ok()?;
        for descriptor in descriptors_of(&another).ok()? {
            let Ok(file) = again(descriptor) else { continue };
            // Only for what has it locked already it is no obstacle that it is locked.
            if Identity::of(&file).is_ok_and(|found| found == identity) && file.try_lock().is_ok() {
                return Some(SledLock { file, descriptor });
            }
        }
        None
    }

    /// Once sled was dropped: lets go when its last thread has closed what it had opened. A second is far more than that
    /// was ever seen to need.
    pub(super) fn let_go(self) {
        for _ in 0..200 {
            if descriptors_of(&self.file).is_ok_and(|found| !found.contains(&self.descriptor)) {
                let _ = self.file.unlock();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A second descriptor of what this process has open under that number. What it locks is locked for both.
#[cfg(target_os = "linux")]
fn again(descriptor: i32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(&this, descriptor, PidfdGetfdFlags::empty())?.into())
}

#[cfg(not(target_os = "linux"))]
fn again(_descriptor: i32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}
