//! Where the data of a run lies, and on what.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::Result;

/// A directory that is gone when the run is over.
pub(crate) struct Place {
    directory: TempDir,
    file_system: String,
}

impl Place {
    /// Below `asked`, or beside this program, which a build has put on a disk.
    pub(crate) fn new(asked: Option<&Path>) -> Result<Place> {
        let program = std::env::current_exe()?;
        let parent = asked.or(program.parent()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent)?;
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(parent)?;
        // PostgreSQL may run as another user, who has to come through.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o711))?;
        let file_system = file_system_of(directory.path())?;
        Ok(Place { directory, file_system })
    }

    pub(crate) fn file_system(&self) -> &str {
        &self.file_system
    }

    /// Makes room: what a suite has left is of no use to the next.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.directory.path())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
        Ok(())
    }

    /// A path that nothing else of this suite uses. Nothing is there yet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        write!(f, "data in {} on {}; {cores} cores", self.directory.path().display(), self.file_system)?;
        if self.file_system.starts_with("tmpfs") {
            f.write_str("; NOT A DISK: nothing durable is measured here, choose another --dir")?;
        }
        Ok(())
    }
}

/// What a directory and everything in it take on the disk, in bytes.
pub(crate) fn bytes_on_disk(path: &Path) -> io::Result<u64> {
    /// What `stat` counts blocks in, whatever the file system does.
    const BLOCK: u64 = 512;
    let found = fs::symlink_metadata(path)?;
    let mut bytes = found.blocks() * BLOCK;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            bytes += bytes_on_disk(&entry?.path())?;
        }
    }
    Ok(bytes)
}

/// Type and device of the file system with the longest mount point above `path`.
fn file_system_of(path: &Path) -> Result<String> {
    let path = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if path.starts_with(point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length) {
            best = Some((point.len(), format!("{kind} ({device})")));
        }
    }
    Ok(best.map_or_else(|| "an unknown file system".to_owned(), |(_, found)| found))
}
