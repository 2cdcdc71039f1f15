//! A mount that never answers: a FUSE file system whose server reads no request. Whoever lists it waits until it is
//! taken away.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A directory below which nothing answers, as long as this lives.
pub struct DeadMount {
    at: PathBuf,
    /// Closing it ends the mount: whoever waits is told that nothing is connected.
    server: Option<File>,
}

impl DeadMount {
    /// Mounts one at `at`, which is created. `None` where that is not allowed: it needs root and /dev/fuse.
    pub fn at(at: &Path) -> Option<DeadMount> {
        fs::create_dir_all(at).unwrap();
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let server = server.inspect_err(|error| eprintln!("no dead mount here, /dev/fuse: {error}")).ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0\0", server.as_raw_fd());
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).unwrap();
        mount("dead", at, "fuse", MountFlags::empty(), options)
            .inspect_err(|error| eprintln!("no dead mount here: {error}"))
            .ok()?;
        Some(DeadMount { at: at.to_owned(), server: Some(server) })
    }
}

impl Drop for DeadMount {
    fn drop(&mut self) {
        self.server.take();
        let _ = unmount(&*self.at, UnmountFlags::DETACH);
    }
}
