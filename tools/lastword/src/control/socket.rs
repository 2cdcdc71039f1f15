//! The socket's place: `STATE/control.sock`, mode 0600, however long the path of the state directory is.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::fail::{CANNOT_OPEN, Fail};

const NAME: &str = "control.sock";

/// Where the socket is made, closed to other users, before it is put in place.
const STAGING: &str = "control.new";

/// The socket in its staging place.
const STAGED: &str = "control.new/control.sock";

/// The longest path of a socket: `sun_path` has 108 bytes, and the last is zero.
const MOST_PATH: usize = 107;

/// How often it is looked whether the socket is still in its place: one `stat`.
const TURN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A socket in its place. Whatever the path of the state directory leads to by now, it is removed where it was made, and
/// only if it is still there.
pub(crate) struct Socket {
    state: PathBuf,
    listener: UnixListener,
    /// Something to read here means that nothing more is to be accepted.
    woken: UnixStream,
    waker: UnixStream,
    place: SocketPlace,
    /// That the socket cannot be made again was said.
    is_told: bool,
}

/// Where a socket is, and which one it is; none once it was taken away for good.
#[derive(Clone)]
pub(crate) struct SocketPlace {
    directory: Arc<File>,
    file: Arc<Mutex<Option<(u64, u64)>>>,
}

impl Socket {
    /// Makes the socket, in place of one that a dead process left. Only for who holds the lock of the log.
    pub(crate) fn bind(state: &Path) -> io::Result<Socket> {
        let directory = File::open(state)?;
        let (listener, file) = make(state, &directory)?;
        let (woken, waker) = UnixStream::pair()?;
        let place = SocketPlace { directory: Arc::new(directory), file: Arc::new(Mutex::new(Some(file))) };
        Ok(Socket { state: state.to_owned(), listener, woken, waker, place, is_told: false })
    }

    /// What ends [`accept`](Socket::accept) when it is shut down, and where the socket is.
    pub(crate) fn end(&self) -> io::Result<(UnixStream, SocketPlace)> {
        Ok((self.waker.try_clone()?, self.place.clone()))
    }

    /// Makes the socket again if somebody has removed it. What is there instead is another's and stays, and where the path
    /// leads to another directory there is nothing to be made: the run will find that out itself.
    fn restore(&mut self) -> io::Result<()> {
        let mut file = self.place.lock();
        let directory = &*self.place.directory;
        if file.is_none() || !identity(directory, NAME).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        if identity(&File::open(&self.state)?, ".")? == identity(directory, ".")? {
            let (listener, made) = make(&self.state, directory)?;
            (self.listener, *file) = (listener, Some(made));
            tracing::warn!(target: "lastword::control", "the socket was removed by another, and is made again");
        }
        Ok(())
    }

    /// Says that the socket cannot be made again, once until it is: it is tried at every turn.
    fn tell(&mut self, restored: io::Result<()>) {
        match restored {
            Ok(()) => self.is_told = false,
            Err(error) if !self.is_told => {
                self.is_told = true;
                tracing::warn!(target: "lastword::control", %error, "the socket is gone and cannot be made again for now");
            }
            Err(_) => {}
        }
    }

    /// The next connection; nothing after it was woken.
    pub(crate) fn accept(&mut self) -> io::Result<Option<UnixStream>> {
        loop {
            let restored = self.restore();
            self.tell(restored);
            let mut both = [
                PollFd::from_borrowed_fd(self.woken.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
            ];
            match poll(&mut both, Some(&TURN)) {
                Err(Errno::INTR) | Ok(0) => continue,
                polled => polled?,
            };
            if !both[0].revents().is_empty() {
                return Ok(None);
            }
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(Some(stream));
                }
                // Who connected has gone again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl SocketPlace {
    /// Takes the socket away, if it is still this one.
    pub(crate) fn remove(&self) {
        // If it is gone already, so much the better; a socket that no run answers does no harm.
        let file = self.lock().take();
        if identity(&self.directory, NAME).is_ok_and(|found| Some(found) == file) {
            let _ = unlinkat(&*self.directory, NAME, AtFlags::empty());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u64, u64)>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket in the directory that `state` leads to, and which one it is.
fn make(state: &Path, directory: &File) -> io::Result<(UnixListener, (u64, u64))> {
    // What a process left that was killed here.
    gone(unlinkat(directory, STAGED, AtFlags::empty()))?;
    gone(unlinkat(directory, STAGING, AtFlags::REMOVEDIR))?;
    mkdirat(directory, STAGING, Mode::RWXU)?;
    let listener = by_short_path(&state.join(STAGING), NAME, UnixListener::bind)?;
    listener.set_nonblocking(true)?;
    let opened = openat(directory, STAGING, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::chmodat(&opened, NAME, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
    let file = identity(directory, STAGED)?;
    renameat(directory, STAGED, directory, NAME)?;
    unlinkat(directory, STAGING, AtFlags::REMOVEDIR)?;
    Ok((listener, file))
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
fn identity(directory: &File, name: &str) -> io::Result<(u64, u64)> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((found.st_dev as u64, found.st_ino as u64))
}

/// Removing what is not there is no error.
fn gone(removed: Result<(), Errno>) -> io::Result<()> {
    match removed {
        Err(error) if error != Errno::NOENT => Err(error.into()),
        _ => Ok(()),
    }
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
        Err(error) => Err(Fail::io(state.join(NAME).display(), &error).of_owner(state)),
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_path_of_any_length_is_reached_and_a_stale_socket_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200)).join("e".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        assert!(connect(&deep).unwrap().is_none(), "nothing is there");
        let socket = Socket::bind(&deep).unwrap();
        assert_eq!(fs::metadata(deep.join(NAME)).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(connect(&deep).unwrap().is_some());
        drop(socket);
        assert!(connect(&deep).unwrap().is_none(), "no run answers");
        fs::create_dir(deep.join(STAGING)).unwrap();
        let socket = Socket::bind(&deep).unwrap();
        assert!(connect(&deep).unwrap().is_some());
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
        let (_, place) = socket.end().unwrap();
        place.remove();
        assert!(connect(&deep).unwrap().is_none());
    }

    #[test]
    fn defect_10_only_its_own_socket_is_removed_and_its_own_waker_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Socket::bind(dir.path()).unwrap();
        let mut second = Socket::bind(dir.path()).unwrap();
        let (waker, place) = first.end().unwrap();
        place.remove();
        assert!(connect(dir.path()).unwrap().is_some(), "the socket of another was removed");
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| first.accept().unwrap().is_none());
            waker.shutdown(std::net::Shutdown::Both).unwrap();
            assert!(accepting.join().unwrap());
        });
        assert!(second.accept().unwrap().is_some());
        second.end().unwrap().1.remove();
        assert!(!dir.path().join(NAME).exists());
    }
}
