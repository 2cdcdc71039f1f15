//! The socket's place: `STATE/control.sock`, mode 0600, however long the path of the state directory is.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::fail::{CANNOT_OPEN, Fail};

const NAME: &str = "control.sock";

/// Where the socket is made, closed to other users, before it is put in place.
const STAGING: &str = "control.new";

/// The longest path of a socket: `sun_path` has 108 bytes, and the last is zero.
const MOST_PATH: usize = 107;

/// Makes the socket, in place of one that a dead process left. Only for who holds the lock of the log.
pub(super) fn bind(state: &Path) -> io::Result<UnixListener> {
    let staging = state.join(STAGING);
    // What a process left that was killed here.
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&staging)?;
    let listener = by_short_path(&staging, NAME, UnixListener::bind)?;
    let made = staging.join(NAME);
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(&made, state.join(NAME))?;
    fs::remove_dir(&staging)?;
    Ok(listener)
}

/// Takes the socket away.
pub(super) fn remove(state: &Path) {
    // If it is gone already, so much the better; a socket that no run answers does no harm.
    let _ = fs::remove_file(state.join(NAME));
}

/// A connection, if a run answers.
pub(super) fn connect(state: &Path) -> Result<Option<UnixStream>, Fail> {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    // A run makes a socket here. Through a link a command would go to wherever the link leads.
    if fs::symlink_metadata(state.join(NAME)).is_ok_and(|found| found.is_symlink()) {
        let path = state.join(NAME);
        return Err(Fail::new(CANNOT_OPEN, format!("{}: must not be a symbolic link", path.display())));
    }
    match by_short_path(state, NAME, UnixStream::connect) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | ConnectionRefused) => Ok(None),
        Err(error) => Err(Fail::new(CANNOT_OPEN, format!("{}: {error}", state.join(NAME).display()))),
    }
}

/// Reaches a socket whose path may be too long for one: through the open directory it lies in.
fn by_short_path<T>(directory: &Path, name: &str, act: fn(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let path = directory.join(name);
    let length = path.as_os_str().len();
    if length <= MOST_PATH {
        return act(path);
    }
    let open = File::open(directory)?;
    let short = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string());
    if !short.exists() {
        let limit = format!("the path of a socket has at most {MOST_PATH} bytes without /proc, found {length}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, limit));
    }
    act(short.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_length_is_reached_and_a_stale_socket_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        assert!(connect(&deep).unwrap().is_none(), "nothing is there");
        let listener = bind(&deep).unwrap();
        assert_eq!(fs::metadata(deep.join(NAME)).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(connect(&deep).unwrap().is_some());
        drop(listener);
        assert!(connect(&deep).unwrap().is_none(), "no run answers");
        fs::create_dir(deep.join(STAGING)).unwrap();
        let _listener = bind(&deep).unwrap();
        assert!(connect(&deep).unwrap().is_some());
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
        remove(&deep);
        assert!(connect(&deep).unwrap().is_none());
    }
}
