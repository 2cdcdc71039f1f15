//! Watching a directory, as a hint that it is worth an observation. The only file that names the crate `notify`.
//!
//! Nothing here decides anything: an observation says whether something has changed, and without any hint observations
//! come by themselves, only later. So a hint too many costs an observation, and a hint too few costs time.
//!
//! A watcher is dead when it may miss something from now on: its thread has ended, its queue has run over (then
//! directories may have come unseen), the kernel gives it no more watches, or the directory is not the one any more
//! that it was begun on. The engine asks, drops it, and begins another.
//!
//! What is not hinted at: files that another machine writes to a network mount, and the targets of links to files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode};
use notify::{Config, Event, EventHandler, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::worker::{Hint, SourceWatch};

/// Watches a source and everything below it. A hint is given when anything that may be data moves.
///
/// # Errors
/// When the source is not there, or the system refuses to watch it, for example because there are too many watches.
pub(super) fn watch(source: &Path, follows_links: bool, hint: Hint) -> notify::Result<Box<dyn SourceWatch>> {
    let watched = fs::canonicalize(source).map_err(notify::Error::io)?;
    let identity = identity(&watched).ok_or_else(notify::Error::path_not_found)?;
    let alive = Arc::new(AtomicBool::new(true));
    let listener = Listener { root: watched.clone(), hint, alive: Alive(Arc::clone(&alive)) };
    let config = Config::default().with_follow_symlinks(follows_links);
    let mut watcher = RecommendedWatcher::new(listener, config)?;
    watcher.watch(&watched, RecursiveMode::Recursive)?;
    Ok(Box::new(DirectoryWatch { source: source.to_owned(), identity, alive, watcher: Some(watcher) }))
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

struct DirectoryWatch {
    source: PathBuf,
    identity: (u64, u64),
    alive: Arc<AtomicBool>,
    /// Watches until it is dropped. There until then.
    watcher: Option<RecommendedWatcher>,
}

/// The crate panics when a watcher is dropped whose thread has panicked.
impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        let watcher = self.watcher.take();
        if catch_unwind(AssertUnwindSafe(|| drop(watcher))).is_err() {
            tracing::warn!(target: "lastword::external", source = %self.source.display(), "its watcher had panicked");
        }
    }
}

impl SourceWatch for DirectoryWatch {
    fn is_alive(&self) -> bool {
        // Also when a link was turned elsewhere, which no event tells of.
        self.alive.load(Ordering::Acquire) && identity(&self.source) == Some(self.identity)
    }
}

/// What the watcher's thread holds: when the thread ends, also by a panic, this is dropped.
struct Listener {
    root: PathBuf,
    hint: Hint,
    alive: Alive,
}

struct Alive(Arc<AtomicBool>);

impl Alive {
    fn end(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.end();
    }
}

impl EventHandler for Listener {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.alive.end(),
            Ok(event) if !self.is_worth_observing(&event) => return,
            Ok(event) if event.paths.contains(&self.root) && is_end(event.kind) => self.alive.end(),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(target: "lastword::external", root = %self.root.display(), %error, "the watch has ended");
                self.alive.end();
            }
        }
        self.hint.give();
    }
}

/// Whether the path is gone or means something else from now on.
fn is_end(kind: EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(notify::event::ModifyKind::Name(_)))
}

impl Listener {
    /// Reading is no change: an observation reads files itself, and must not ask for the next one.
    fn is_worth_observing(&self, event: &Event) -> bool {
        let is_change = match event.kind {
            EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => {
                true
            }
        };
        is_change && (event.paths.is_empty() || event.paths.iter().any(|path| self.may_be_data(path)))
    }

    fn may_be_data(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        {
            use std::os::unix::ffi::OsStrExt;
            super::skip::Rules::default().may_matter(below.as_os_str().as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use notify::event::{CreateKind, Flag};

    use super::*;

    /// How many hints a listener at `/lake` gives for an event, and whether the watch lives on.
    fn check(event: notify::Result<Event>) -> (usize, bool) {
        let (hints, alive) = (Arc::<AtomicUsize>::default(), Arc::new(AtomicBool::new(true)));
        let counted = Arc::clone(&hints);
        let hint = Hint::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let mut listener = Listener { root: "/lake".into(), hint, alive: Alive(Arc::clone(&alive)) };
        listener.handle_event(event);
        let lives = alive.load(Ordering::Relaxed);
        drop(listener);
        assert!(!alive.load(Ordering::Relaxed), "its thread has ended");
        (hints.load(Ordering::Relaxed), lives)
    }

    #[test]
    fn a_queue_that_ran_over_and_an_error_are_hints_and_the_end_of_the_watch() {
        assert_eq!(check(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))), (1, false));
        assert_eq!(check(Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch))), (1, false));
        let created = |path: &str| Event::new(EventKind::Create(CreateKind::File)).add_path(path.into());
        assert_eq!(check(Ok(created("/lake/a"))), (1, true));
        assert_eq!(check(Ok(created("/lake/_temporary/a"))), (0, true));
        let removed = Event::new(EventKind::Remove(notify::event::RemoveKind::Folder));
        assert_eq!(check(Ok(removed.clone().add_path("/lake/d".into()))), (1, true));
        assert_eq!(check(Ok(removed.add_path("/lake".into()))), (1, false));
    }
}
