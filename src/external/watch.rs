//! Watching a source, as a hint that it is worth an observation.
//!
//! Nothing here decides anything: an observation says whether something has changed, and without any hint observations
//! come by themselves, only later. So a hint too many costs an observation, and a hint too few costs time.
//!
//! Every directory of a source has a watch of its own. One that has come since is added right before the next
//! observation, which its coming has asked for: what lies in it by then is listed, what comes later is heard of. A watch
//! is dead when it may miss something from now on: notices were lost, a directory was moved with what lies below it, the
//! source is not the directory any more that the watch was begun on, or something below it was mounted or unmounted. The
//! engine asks, drops it, and begins another. A mount gives no hint: it is noticed by the next observation.
//!
//! What is not hinted at: files that another machine writes to a network mount, and the targets of links to files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SourceLocation;
use super::inotify::{Listener, Notice, Place, Watched};
use super::mount_table::{MountPoint, MountTable};
use super::skip::{Named, Rules};
use super::source::is_device;
use super::store::{MAX_DEPTH, MAX_FILES};
use crate::unwind;
use crate::worker::{Hint, SourceWatch};

/// Directories that have come and are not watched yet. Beyond that all are gone through again.
const MOST_NEW: usize = 1_024;

/// Watches the directory of a source and everything below it. A hint is given when anything that may be data moves.
/// `None` if it cannot be watched: why is told once, and not at every observation.
pub(super) fn watch(
    directory: &Path,
    source: &SourceLocation,
    table: &Arc<MountTable>,
    hint: Hint,
) -> Option<Box<dyn SourceWatch>> {
    if troubles().rests(directory) {
        return None;
    }
    let begun = DirectoryWatch::begin(directory, source, table, hint);
    let troubles = &mut *troubles();
    match begun {
        Ok(watch) => {
            troubles.over(directory);
            Some(Box::new(watch))
        }
        Err(error) => {
            troubles.met(directory, &error);
            None
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

struct DirectoryWatch {
    directory: PathBuf,
    root: PathBuf,
    identity: (u64, u64),
    table: Arc<MountTable>,
    /// What is mounted on it and below it.
    mounted: Vec<MountPoint>,
    follows_links: bool,
    listening: Arc<Listening>,
    watched: Watched,
}

impl DirectoryWatch {
    fn begin(
        directory: &Path,
        source: &SourceLocation,
        table: &Arc<MountTable>,
        hint: Hint,
    ) -> io::Result<DirectoryWatch> {
        let root = fs::canonicalize(directory)?;
        let identity = identity(&root).ok_or(io::ErrorKind::NotFound)?;
        let (rules, heard) = (source.rules().clone(), Mutex::default());
        let listening = Arc::new(Listening { hint, rules, follows_links: source.follows_links(), heard });
        let watched = Watched::nothing(Arc::clone(&listening) as Arc<dyn Listener>)?;
        let (directory, follows_links) = (directory.to_owned(), source.follows_links());
        let (table, mounted) = (Arc::clone(table), table.below(&root));
        let watch = DirectoryWatch { directory, root, identity, table, mounted, follows_links, listening, watched };
        watch.walk(Vec::new())?;
        Ok(watch)
    }

    /// Watches a directory and those below it. First it is watched, then listed: none is missed.
    fn walk(&self, relative: Vec<u8>) -> io::Result<()> {
        let real = match relative.is_empty() {
            true => self.root.clone(),
            false => self.root.join(std::ffi::OsStr::from_bytes(&relative)),
        };
        let depth = relative.iter().filter(|byte| **byte == b'/').count();
        let mut pending = vec![Directory { is_top: relative.is_empty(), relative, real, depth, trail: Vec::new() }];
        let mut count = 0;
        while let Some(mut directory) = pending.pop() {
            count += 1;
            if directory.depth > MAX_DEPTH || count > MAX_FILES {
                return Err(io::Error::other("it has more directories than a source may have"));
            }
            if !self.follow(&mut directory)? {
                continue;
            }
            let place = Place { relative: directory.relative.clone(), is_top: directory.is_top };
            let listed = self
                .watched
                .add(&directory.real, &place, directory.is_top)
                .and_then(|()| fs::read_dir(&directory.real)?.collect::<io::Result<Vec<_>>>());
            match listed {
                Ok(entries) => entries.iter().for_each(|entry| pending.extend(self.below(&directory, entry))),
                // What vanishes is told of by the directory that it was in.
                Err(error) if is_gone(&error) && !directory.relative.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes where a link leads. Whether there is a directory to watch.
    fn follow(&self, directory: &mut Directory) -> io::Result<bool> {
        let found = match fs::symlink_metadata(&directory.real) {
            Err(error) if is_gone(&error) && !directory.relative.is_empty() => return Ok(false),
            found => found?,
        };
        let found = if found.is_symlink() && self.follows_links {
            let Ok(real) = fs::canonicalize(&directory.real) else { return Ok(false) };
            if is_device(&real) {
                return Ok(false);
            }
            directory.is_top = true;
            directory.real = real;
            fs::symlink_metadata(&directory.real)?
        } else {
            found
        };
        let here = (found.dev(), found.ino());
        let is_circle = directory.trail.contains(&here);
        directory.trail.push(here);
        Ok(found.is_dir() && !is_circle)
    }

    /// A directory in a directory, if it may hold data; or a link that is followed.
    fn below(&self, directory: &Directory, entry: &fs::DirEntry) -> Option<Directory> {
        let ty = entry.file_type().ok()?;
        let relative = join(&directory.relative, entry.file_name().as_bytes());
        let is_one = (ty.is_dir() || (ty.is_symlink() && self.follows_links))
            && matches!(self.listening.rules.named(&relative), Named::Data);
        // Without links there are no circles.
        let trail = if self.follows_links { directory.trail.clone() } else { Vec::new() };
        is_one.then(|| Directory { relative, real: entry.path(), depth: directory.depth + 1, is_top: false, trail })
    }
}

/// A directory on the way through a source.
struct Directory {
    relative: Vec<u8>,
    real: PathBuf,
    depth: usize,
    is_top: bool,
    /// Device and inode of those that it lies in, as far as links are followed.
    trail: Vec<(u64, u64)>,
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
    [directory, slash, name].concat()
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl SourceWatch for DirectoryWatch {
    fn is_alive(&self) -> bool {
        // Also when a link was turned elsewhere or something was mounted, which no notice tells of.
        let is_it = identity(&self.directory) == Some(self.identity) && self.table.below(&self.root) == self.mounted;
        if self.listening.heard().is_dead || !is_it {
            return false;
        }
        let new = std::mem::take(&mut self.listening.heard().new);
        let added = new.into_iter().try_for_each(|relative| self.walk(relative));
        added.inspect_err(|error| troubles().met(&self.directory, error)).is_ok()
    }
}

/// What is heard between two observations.
struct Listening {
    hint: Hint,
    rules: Rules,
    follows_links: bool,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    is_dead: bool,
    /// Directories, and links that may lead to some, relative to the source.
    new: Vec<Vec<u8>>,
}

impl Listening {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Listening {
    fn notice(&self, place: &Place, notice: Notice<'_>) {
        let name = match notice {
            // Of a directory in another the other one tells.
            Notice::Gone if !place.is_top => return,
            Notice::Gone | Notice::Unwatched => None,
            Notice::Itself => Some(place.relative.clone()),
            Notice::Changed(name) | Notice::Came(name) | Notice::DirectoryCame(name) | Notice::DirectoryLeft(name) => {
                Some(join(&place.relative, name))
            }
        };
        if name.as_ref().is_some_and(|name| !self.rules.may_matter(name)) {
            return;
        }
        let mut heard = self.heard();
        match (notice, name) {
            (Notice::Gone | Notice::Unwatched | Notice::DirectoryLeft(_), _) => heard.is_dead = true,
            // A link may lead to a directory.
            (Notice::Came(_), _) if !self.follows_links => {}
            (Notice::DirectoryCame(_) | Notice::Came(_), Some(name)) if heard.new.len() < MOST_NEW => {
                heard.new.push(name)
            }
            (Notice::DirectoryCame(_) | Notice::Came(_), _) => heard.is_dead = true,
            (Notice::Changed(_) | Notice::Itself, _) => {}
        }
        drop(heard);
        self.hint.give();
    }

    fn lost(&self) {
        self.heard().is_dead = true;
        self.hint.give();
    }
}

/// Why sources are not watched: told when it changes, and tried less and less often where a limit is in the way.
static TROUBLES: Mutex<Troubles> = Mutex::new(Troubles { of: BTreeMap::new(), limit: None });

struct Troubles {
    of: BTreeMap<PathBuf, Trouble>,
    /// The limit that was told of last, until a watch succeeds.
    limit: Option<&'static str>,
}

struct Trouble {
    text: String,
    /// How often a limit was in the way, and how many observations go by before it is tried again.
    met: u32,
    rest: u32,
}

/// Most sources whose trouble is known; beyond that all are told of again.
const MOST_TROUBLES: usize = 10_000;

/// Most observations that go by before a source that met a limit is tried again: half an hour of them.
const LONGEST_REST: u32 = 64;

fn troubles() -> MutexGuard<'static, Troubles> {
    TROUBLES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Troubles {
    fn rests(&mut self, source: &Path) -> bool {
        let Some(trouble) = self.of.get_mut(source).filter(|trouble| trouble.rest > 0) else { return false };
        trouble.rest -= 1;
        true
    }

    fn over(&mut self, source: &Path) {
        self.limit = None;
        if self.of.remove(source).is_some() {
            unwind::tell(|| {
                tracing::info!(target: "lastword::external", source = %source.display(), "the source is watched again");
            });
        }
    }

    fn met(&mut self, source: &Path, error: &io::Error) {
        let limit = limit_of(error);
        let text = limit.map_or_else(|| error.to_string(), said);
        if self.of.len() >= MOST_TROUBLES {
            self.of.clear();
        }
        let trouble = self.of.entry(source.to_owned()).or_insert(Trouble { text: String::new(), met: 0, rest: 0 });
        let is_new = trouble.text != text;
        // A limit is one cause for all.
        let is_told = limit.is_some() && self.limit == limit;
        if is_new && !is_told {
            unwind::tell(|| {
                tracing::warn!(target: "lastword::external", source = %source.display(), cause = text,
                    "not watched, so observed at intervals only");
            });
        }
        if limit.is_some() {
            trouble.met += 1;
            trouble.rest = LONGEST_REST.min(1 << trouble.met.min(6));
            self.limit = limit;
        }
        trouble.text = text;
    }
}

/// The limit of the system that an error is about.
fn limit_of(error: &io::Error) -> Option<&'static str> {
    use rustix::io::Errno;
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if is(Errno::NOSPC) {
        Some("max_user_watches")
    } else if is(Errno::MFILE) {
        // One number for two limits: if nothing else can be opened either it is that of the process.
        Some(if fs::File::open("/dev/null").is_ok() { "max_user_instances" } else { OPEN_FILES })
    } else if is(Errno::NFILE) {
        Some(OPEN_FILES)
    } else {
        None
    }
}

/// The limit that is none of inotify's.
const OPEN_FILES: &str = "open files";

fn said(limit: &'static str) -> String {
    if limit == OPEN_FILES {
        return "no more files can be opened; raise the limit of open files (ulimit -n)".to_owned();
    }
    let now = fs::read_to_string(format!("/proc/sys/fs/inotify/{limit}")).unwrap_or_default();
    let now: u64 = now.trim().parse().unwrap_or(0);
    let more = now.max(1_024).saturating_mul(4);
    format!(
        "the limit fs.inotify.{limit} ({now} for all programs of this user) is reached; raise it with: \
         sysctl fs.inotify.{limit}={more}"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How many hints a notice in a source gives, whether its watch lives on, and what is to be watched as well.
    fn check(relative: &str, is_top: bool, notice: Option<Notice<'_>>) -> (usize, bool, usize) {
        let hints = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&hints);
        let hint = Hint::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let (rules, heard) = (Rules::default(), Mutex::default());
        let listening = Listening { hint, rules, follows_links: false, heard };
        match notice {
            Some(notice) => listening.notice(&Place { relative: relative.into(), is_top }, notice),
            None => listening.lost(),
        }
        let heard = listening.heard();
        (hints.load(Ordering::Relaxed), !heard.is_dead, heard.new.len())
    }

    #[test]
    fn what_may_be_missed_from_now_on_ends_the_watch_and_is_a_hint() {
        assert_eq!(check("", true, None), (1, false, 0));
        assert_eq!(check("", true, Some(Notice::Gone)), (1, false, 0));
        assert_eq!(check("behind/a/link", true, Some(Notice::Gone)), (1, false, 0));
        assert_eq!(check("d", false, Some(Notice::Gone)), (0, true, 0));
        assert_eq!(check("d", false, Some(Notice::Unwatched)), (1, false, 0));
        assert_eq!(check("", true, Some(Notice::DirectoryLeft(b"d"))), (1, false, 0));
        assert_eq!(check("", true, Some(Notice::DirectoryLeft(b"_temporary"))), (0, true, 0));
        assert_eq!(check("d", false, Some(Notice::DirectoryCame(b"e"))), (1, true, 1));
        assert_eq!(check("d", false, Some(Notice::Came(b"e"))), (1, true, 0));
        assert_eq!(check("d", false, Some(Notice::DirectoryCame(b"e.tmp"))), (0, true, 0));
        assert_eq!(check("_temporary", false, Some(Notice::Changed(b"a"))), (0, true, 0));
        assert_eq!(check("", true, Some(Notice::Changed(b"a"))), (1, true, 0));
    }

    #[test]
    fn defect_24_a_limit_is_told_once_and_tried_less_and_less_often() {
        let mut troubles = Troubles { of: BTreeMap::new(), limit: None };
        let (a, full) = (Path::new("/a"), io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        let mut tries = 0;
        for _ in 0..1_000 {
            if !troubles.rests(a) {
                tries += 1;
                troubles.met(a, &full);
            }
        }
        assert!((10..30).contains(&tries), "{tries}");
        assert!(troubles.of[a].text.starts_with("the limit fs.inotify.max_user_watches ("), "{}", troubles.of[a].text);
        assert_eq!(troubles.limit, Some("max_user_watches"));
        // What is not there is tried at every observation.
        let b = Path::new("/b");
        for _ in 0..10 {
            assert!(!troubles.rests(b));
            troubles.met(b, &io::ErrorKind::NotFound.into());
        }
        troubles.over(a);
        assert!(!troubles.rests(a) && troubles.limit.is_none() && troubles.of.len() == 1);
    }
}
