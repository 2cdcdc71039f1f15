//! Sources with mounts below them: real ones, where this user may mount.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system that is mounted, until it is dropped.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts with these arguments of `mount`; nothing if this user may not, or the machine cannot.
    pub fn new(arguments: &[&str], target: &Path) -> Option<Mounted> {
        run(Command::new("mount").args(arguments).arg(target)).then(|| Mounted(target.to_owned()))
    }

    pub fn tmpfs(target: &Path) -> Option<Mounted> {
        Mounted::new(&["-t", "tmpfs", "tmpfs"], target)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn run(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
