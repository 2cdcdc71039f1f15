//! Copying what sled has stored, making and removing directories that only their owner may read. It knows names of
//! files and nothing of frames.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::held;
use crate::log::OpenError;

/// Copies what sled has in `from` to the existing directory `to`. `db` goes last: an old snapshot beside a newer
/// `db` is what sled finds after any crash, the opposite it could not open. Half-written snapshots stay behind.
pub(super) fn copy_sled(from: &Path, to: &Path) -> Result<(), OpenError> {
    for name in names(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        copy_file(&source, &target).map_err(OpenError::io("copying", &source))?;
    }
    Ok(())
}

/// What is copied, in this order.
pub(super) fn names(from: &Path) -> Result<Vec<OsString>, OpenError> {
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
    Ok(names)
}

/// Copies what sled has in `from` to the existing directory `to` of another place, if there is room for it. Where the file
/// system can, blocks are shared and no room is needed.
pub(super) fn copy_sled_if_it_fits(from: &Path, to: &Path) -> Result<(), OpenError> {
    let names = names(from)?;
    let mut checked = false;
    for (index, name) in names.iter().enumerate() {
        let (source, target) = (from.join(name), to.join(name));
        let io = || OpenError::io("copying", &source);
        let (read, written) = open_both(&source, &target).map_err(io())?;
        if is_cloned(&read, &written) {
            continue;
        }
        if !checked {
            check_room(from, names.get(index..).unwrap_or_default(), to)?;
            checked = true;
        }
        io::copy(&mut &read, &mut &written).map_err(io())?;
    }
    Ok(())
}

/// What sled writes when it opens.
const ROOM_TO_OPEN: u64 = 1 << 20;

fn check_room(from: &Path, names: &[OsString], to: &Path) -> Result<(), OpenError> {
    let mut needed = ROOM_TO_OPEN;
    for name in names {
        // A file that is gone is not copied either.
        needed += fs::metadata(from.join(name)).map_or(0, |metadata| metadata.len());
    }
    let there = rustix::fs::statvfs(to).map_err(|error| OpenError::io("looking at", to)(error.into()))?;
    let free = there.f_bavail.saturating_mul(there.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let place = to.parent().and_then(Path::parent).unwrap_or(to).display();
    let problem =
        format!("a private copy takes {needed} bytes, and {place} has {free} bytes free; TMPDIR names another place");
    Err(OpenError::io("copying", from)(io::Error::new(io::ErrorKind::StorageFull, problem)))
}

/// Whether the two share their blocks now.
fn is_cloned(source: &File, target: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::ioctl_ficlone(target, source).is_ok();
    #[cfg(not(target_os = "linux"))]
    return false;
}

fn open_both(from: &Path, to: &Path) -> io::Result<(File, File)> {
    let (source, target) = (File::open(from)?, OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?);
    // Whatever the umask is: sled opens it again.
    target.set_permissions(Permissions::from_mode(0o600))?;
    Ok((source, target))
}

/// Like `fs::copy`, but private from the start. On file systems that can, the blocks are shared.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (mut source, mut target) = open_both(from, to)?;
    io::copy(&mut source, &mut target).map(drop)
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

/// How the directories begin that keep what a loss was accepted of.
pub(super) const KEPT: &str = "damaged-";

/// What was kept of damaged logs.
pub(super) fn kept(path: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(OpenError::io("listing", path))? {
        let entry = entry.map_err(OpenError::io("listing", path))?;
        if entry.file_name().to_string_lossy().starts_with(KEPT) {
            found.push(entry.path());
        }
    }
    found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    Ok(found)
}

pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    match held::make_directory(path) {
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
