//! Copying what sled has stored, making and removing directories that only their owner may read. It knows names of
//! files and nothing of frames.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;

use crate::log::OpenError;

/// Copies what sled has in `from` to the existing directory `to`. `db` goes last: an old snapshot beside a newer
/// `db` is what sled finds after any crash, the opposite it could not open. Half-written snapshots stay behind.
pub(super) fn copy_sled(from: &Path, to: &Path) -> Result<(), OpenError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from).map_err(OpenError::io("listing", from))? {
        let entry = entry.map_err(OpenError::io("listing", from))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let name = entry.file_name();
        if is_file && name != "db" && !name.to_string_lossy().ends_with(".generating") {
            names.push(name);
        }
    }
    names.push("db".into());
    for name in names {
        let (source, target) = (from.join(&name), to.join(&name));
        copy_file(&source, &target).map_err(OpenError::io("copying", &source))?;
    }
    Ok(())
}

/// Like `fs::copy`, but private from the start. On file systems that can, the blocks are shared.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target).map(drop)
}

/// A directory that only this process uses, and that is removed with this value.
pub(super) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Making a directory either succeeds for one or says that the name is taken, and it follows no link, so a
    /// counter is as good as randomness here.
    pub(super) fn create() -> Result<Self, OpenError> {
        let parent = env::temp_dir();
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..10_000 {
            let path = parent.join(format!("lastword-{}-{number}", process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(TemporaryDirectory(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(OpenError::io("creating", &path)(error)),
            }
        }
        Err(OpenError::io("creating a directory in", &parent)(last))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Byte by byte: a copy that shares its blocks would share what is on the disk, and that may be older than what is
/// read.
pub(super) fn copy_synced(mut from: File, to: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    target.write_all(&bytes)?;
    target.sync_all()
}

/// A snapshot that sled did not finish makes it refuse to open: it takes the newest name, whatever its end.
pub(super) fn sweep_snapshots(sled: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(sled).map_err(OpenError::io("listing", sled))? {
        let path = entry.map_err(OpenError::io("listing", sled))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(OpenError::io("removing", &path))?;
        }
    }
    Ok(())
}

pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(OpenError::io("creating", path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("removing", path)(error)),
        _ => Ok(()),
    }
}
