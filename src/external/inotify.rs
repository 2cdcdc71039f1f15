//! The one kernel object that watches directories for all sources of the process, and the one thread that reads it. The
//! only file that names `inotify`. What a notice means for a source is for `watch.rs` to say.
//!
//! A user has few of these objects (128 by default), and each takes a thread. Directories are added by the threads that
//! observe, never by the thread that reads: a mount that hangs holds who looks at it, and nobody else. For the same
//! reason no lock is held while the file system is asked.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::unwind;

/// What is read at once: some hundred notices.
const BUFFER_BYTES: usize = 64 << 10;

/// How often a directory is added anew because its watch was removed meanwhile, for somebody else who let go of it.
const TRIES: u32 = 16;

/// The one for all, while somebody watches.
static SHARED: Mutex<Weak<Inotify>> = Mutex::new(Weak::new());

/// What has happened to a watched directory, or in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// Something with this name in it has changed.
    Changed(&'a [u8]),
    /// A directory with this name has come.
    DirectoryCame(&'a [u8]),
    /// A file or a link with this name has come.
    Came(&'a [u8]),
    /// A directory with this name was moved away, with all that is watched below it.
    DirectoryLeft(&'a [u8]),
    /// It has changed itself: its permissions.
    Itself,
    /// It is gone from where it was.
    Gone,
    /// It is there, for all that is known, and not watched any more: its file system was unmounted, or somebody else's
    /// watch of it ended and took this one along.
    Unwatched,
}

/// Who hears of it. Called on the thread that reads, and must not block.
pub(super) trait Listener: Send + Sync {
    /// Something happened in the directory that was added as `place`.
    fn notice(&self, place: &Place, notice: Notice<'_>);

    /// Notices were lost: whatever may have happened.
    fn lost(&self);
}

/// What a directory was added as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its path relative to the source.
    pub(super) relative: Vec<u8>,
    /// Nothing above it is watched: it is the source, or a link leads to it.
    pub(super) is_top: bool,
}

struct Inotify {
    object: OwnedFd,
    /// A watch on what is always there, of which nothing is ever heard: removing it wakes the thread.
    waker: i32,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    watchers: HashMap<u64, Watcher>,
    last: u64,
    /// Who watches what, by the kernel's number of the watch. Directories of several sources have several places.
    directories: HashMap<i32, Vec<(u64, Place)>>,
    /// Watches of directories that were deleted: the kernel ends them.
    deleted: HashSet<i32>,
    /// How many are adding a directory just now, and what was removed since the first of them began.
    adding: usize,
    removed: HashSet<i32>,
    /// The last watcher has gone, and the thread ends.
    ended: bool,
}

struct Watcher {
    listener: Arc<dyn Listener>,
    watches: HashSet<i32>,
}

/// The directories of one source that are watched, until it is dropped.
pub(super) struct Watched {
    inotify: Arc<Inotify>,
    id: u64,
}

impl Watched {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system gives no object, or no watch at all.
    pub(super) fn nothing(listener: Arc<dyn Listener>) -> io::Result<Watched> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inotify) = shared.upgrade()
            && let Some(id) = inotify.register(&listener)
        {
            return Ok(Watched { inotify, id });
        }
        let object = inotify::init(CreateFlags::CLOEXEC)?;
        let waker = inotify::add_watch(&object, "/", WatchFlags::DELETE_SELF | WatchFlags::ONLYDIR)?;
        let inotify = Arc::new(Inotify { object, waker, table: Mutex::default() });
        let reader = Arc::clone(&inotify);
        thread::Builder::new().name("lastword-watch".to_owned()).spawn(move || reader.read())?;
        *shared = Arc::downgrade(&inotify);
        let id = inotify.register(&listener).unwrap_or(0);
        Ok(Watched { inotify, id })
    }

    /// Watches the directory at `path` as well.
    ///
    /// # Errors
    /// When it is not there or is no directory, or the system refuses.
    pub(super) fn add(&self, path: &Path, place: &Place, follows_links: bool) -> io::Result<()> {
        let mut flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        flags.set(WatchFlags::DONT_FOLLOW, !follows_links);
        for _ in 0..TRIES {
            self.inotify.table().adding += 1;
            let added = inotify::add_watch(&self.inotify.object, path, flags);
            let mut table = self.inotify.table();
            table.adding -= 1;
            let was_removed = added.is_ok_and(|watch| table.removed.contains(&watch));
            if table.adding == 0 {
                table.removed.clear();
            }
            let watch = added?;
            if !was_removed {
                table.place(watch, self.id, place);
                return Ok(());
            }
        }
        Err(io::Error::other("its watch was removed as often as it was added"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let unused = self.inotify.table().unregister(self.id);
        for watch in unused {
            // It may be gone with its directory.
            let _ = inotify::remove_watch(&self.inotify.object, watch);
        }
        if self.inotify.table().ended {
            // The thread sees the end of this watch, and then that nobody is left.
            let _ = inotify::remove_watch(&self.inotify.object, self.inotify.waker);
        }
    }
}

impl Table {
    fn place(&mut self, watch: i32, id: u64, place: &Place) {
        let Some(watcher) = self.watchers.get_mut(&id) else { return };
        watcher.watches.insert(watch);
        let places = self.directories.entry(watch).or_default();
        match places.iter_mut().find(|(owner, _)| *owner == id) {
            Some((_, known)) => known.clone_from(place),
            None => places.push((id, place.clone())),
        }
    }

    /// The watches that nobody needs any more.
    fn unregister(&mut self, id: u64) -> Vec<i32> {
        let Some(watcher) = self.watchers.remove(&id) else { return Vec::new() };
        let mut unused = Vec::new();
        for watch in watcher.watches {
            let Some(places) = self.directories.get_mut(&watch) else { continue };
            places.retain(|(owner, _)| *owner != id);
            if places.is_empty() {
                self.directories.remove(&watch);
                unused.push(watch);
            }
        }
        if self.adding > 0 {
            self.removed.extend(&unused);
        }
        self.ended = self.watchers.is_empty();
        unused
    }

    /// Who listens to a watch.
    fn listeners(&self, watch: i32) -> Vec<(Arc<dyn Listener>, Place)> {
        let places = self.directories.get(&watch).map(Vec::as_slice).unwrap_or_default();
        let listener = |id: &u64| self.watchers.get(id).map(|watcher| Arc::clone(&watcher.listener));
        places.iter().filter_map(|(id, place)| Some((listener(id)?, place.clone()))).collect()
    }

    /// The kernel has ended a watch. Whether that was to be expected: its directory was deleted.
    fn forget(&mut self, watch: i32) -> bool {
        for (id, _) in self.directories.remove(&watch).unwrap_or_default() {
            if let Some(watcher) = self.watchers.get_mut(&id) {
                watcher.watches.remove(&watch);
            }
        }
        self.deleted.remove(&watch)
    }
}

impl Inotify {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing if its thread ends.
    fn register(&self, listener: &Arc<dyn Listener>) -> Option<u64> {
        let mut table = self.table();
        if table.ended {
            return None;
        }
        table.last += 1;
        let id = table.last;
        table.watchers.insert(id, Watcher { listener: Arc::clone(listener), watches: HashSet::new() });
        Some(id)
    }

    fn read(&self) {
        // If this thread ends by a panic as well, nobody believes to be watching.
        let _ended = Ended(self);
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.object, &mut buffer);
        while !self.table().ended {
            match reader.next() {
                Ok(event) => self.tell(event.wd(), event.events(), event.file_name().map(CStr::to_bytes)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    unwind::tell(|| {
                        tracing::warn!(target: "lastword::external", %error, "directories are not watched any more");
                    });
                    return;
                }
            }
        }
    }

    fn tell(&self, watch: i32, events: ReadFlags, name: Option<&[u8]>) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.lose();
        }
        let listeners = self.table().listeners(watch);
        let notice = match name {
            None if events.contains(ReadFlags::IGNORED) => match self.table().forget(watch) {
                true => Notice::Gone,
                false => Notice::Unwatched,
            },
            None if events.contains(ReadFlags::UNMOUNT) => Notice::Unwatched,
            None if events.contains(ReadFlags::DELETE_SELF) => {
                // Nobody may watch it any more.
                self.table().deleted.extend((!listeners.is_empty()).then_some(watch));
                Notice::Gone
            }
            None if events.contains(ReadFlags::MOVE_SELF) => Notice::Gone,
            None => Notice::Itself,
            Some(name) if events.contains(ReadFlags::ISDIR | ReadFlags::MOVED_FROM) => Notice::DirectoryLeft(name),
            Some(name) if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) => {
                if events.contains(ReadFlags::ISDIR) { Notice::DirectoryCame(name) } else { Notice::Came(name) }
            }
            Some(name) => Notice::Changed(name),
        };
        listeners.iter().for_each(|(listener, place)| listener.notice(place, notice));
    }

    fn lose(&self) {
        let listeners: Vec<_> = self.table().watchers.values().map(|watcher| Arc::clone(&watcher.listener)).collect();
        listeners.iter().for_each(|listener| listener.lost());
    }
}

struct Ended<'a>(&'a Inotify);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.table().ended = true;
        self.0.lose();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    struct Telling(Mutex<Sender<String>>);

    impl Listener for Telling {
        fn notice(&self, place: &Place, notice: Notice<'_>) {
            let path = String::from_utf8_lossy(&place.relative);
            let _ = self.0.lock().unwrap().send(format!("{path}: {notice:?}"));
        }

        fn lost(&self) {
            let _ = self.0.lock().unwrap().send("lost".to_owned());
        }
    }

    /// One source lets go of a directory while another begins to watch it: the kernel has one watch for both, which the
    /// first one ends.
    #[test]
    fn defect_24_who_loses_a_watch_to_another_source_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { relative: b"d".to_vec(), is_top: false };
        let source = || {
            let (sender, heard) = channel();
            (Watched::nothing(Arc::new(Telling(Mutex::new(sender)))).unwrap(), heard)
        };
        let ((first, _), (second, heard)) = (source(), source());
        first.add(dir.path(), &place, false).unwrap();
        // In the middle of `first` being dropped.
        let unused = first.inotify.table().unregister(first.id);
        second.add(dir.path(), &place, false).unwrap();
        unused.iter().for_each(|watch| inotify::remove_watch(&first.inotify.object, *watch).unwrap());
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)).unwrap(), "d: Unwatched");
        // What was removed from the disk is told of by the directory that it was in.
        second.add(dir.path(), &place, false).unwrap();
        std::fs::remove_dir(dir.path()).unwrap();
        let told = [(); 2].map(|()| heard.recv_timeout(Duration::from_secs(30)).unwrap());
        assert_eq!(told, ["d: Gone", "d: Gone"], "it was deleted, and its watch ended with it");
    }
}
