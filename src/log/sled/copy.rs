//! A private copy of a log for tools that read it and must not change it: sled cannot open without writing. It owns the
//! copy and the attempts to make one; what is checked of it stands in `check.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::check::{Checked, check, check_files};
use super::files::{copy_sled_if_it_fits, make_directory};
use super::reader::SledReader;
use super::store::{Held, SledFailure, SledStore};
use super::temporary::TemporaryDirectory;
use crate::core::vocabulary::Timestamp;
use crate::log::anchor::Anchor;
use crate::log::directory::{Directory, Found};
use crate::log::{Chain, LogReader, OpenError, Position, Visitor};

/// How often a log that changes under the copy is copied again. A copy takes milliseconds to seconds and only a
/// writer that gives a segment back meanwhile spoils it, so five failures in a row mean something else.
const TRIES: u32 = 5;

/// The pause between two copies: a writer's commit takes well below a millisecond, so its state has changed.
const PAUSE: Duration = Duration::from_millis(50);

/// A copy of a log as it was, checked up to its `HEAD`. Nothing of the original is created or changed, and no lock
/// of it is taken, but for an instant to see whether a writer is there.
pub struct PrivateCopy {
    store: Arc<SledStore>,
    anchor: Anchor,
    end: Position,
    time: Timestamp,
    writer_active: bool,
    objects: PathBuf,
    snapshots: PathBuf,
}

impl fmt::Debug for PrivateCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a new field does not compile before it is shown.
        let PrivateCopy { store: _, anchor, end, time, writer_active, objects, snapshots } = self;
        f.debug_struct("PrivateCopy")
            .field("anchor", anchor)
            .field("end", end)
            .field("time", time)
            .field("writer_active", writer_active)
            .field("objects", objects)
            .field("snapshots", snapshots)
            .finish_non_exhaustive()
    }
}

impl PrivateCopy {
    /// Copies the log in `path` to a directory of its own below [`std::env::temp_dir`], opens that, and shows it to a
    /// visitor in passing, which is handed back. `begin` makes a new one for every attempt. The directory goes as soon
    /// as it is open; its room is given back when the last reader goes. [`of`](Self::of), which only checks, stands in `src/open.rs`: it has to read the checkpoint.
    ///
    /// # Errors
    /// [`OpenError::Moving`] if a writer changed the log under every attempt; everything that
    /// [`SledLog::open`](super::SledLog::open) reports about a log, but `Busy`; [`OpenError::Io`] if it cannot be read
    /// or there is no room for the copy.
    pub fn of_visiting<V: Visitor>(
        path: impl AsRef<Path>,
        mut begin: impl FnMut() -> V,
    ) -> Result<(Self, V), OpenError> {
        let directory = Directory::at(path.as_ref());
        if directory.inspect()? != Found::Log {
            return Err(OpenError::Absent { path: directory.path().to_owned() });
        }
        directory.check_kinds()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let active_before = directory.writer_is_active();
            let mut visitor = begin();
            let attempt = attempt(&directory, &mut visitor);
            let writer_active = active_before || directory.writer_is_active();
            match attempt {
                Ok(copy) => return Ok((PrivateCopy { writer_active, ..copy }, visitor)),
                Err(error) if !writer_active => return Err(error),
                Err(last) if tries == TRIES => return Err(OpenError::Moving { tries, last: Box::new(last) }),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// What is left of a damaged log: `store` shows its frames up to `end`.
    pub(super) fn salvaged(store: Arc<SledStore>, anchor: Anchor, end: &Chain, directory: &Directory) -> Self {
        PrivateCopy {
            store,
            anchor,
            end: end.position(),
            time: end.time(),
            writer_active: false,
            objects: directory.shown().objects(),
            snapshots: directory.shown().snapshots(),
        }
    }

    /// Reads the copy.
    #[must_use]
    pub fn reader(&self) -> Box<dyn LogReader> {
        Box::new(SledReader(Arc::clone(&self.store)))
    }

    /// What `HEAD` said just before the rest was copied.
    #[must_use]
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Where the copy ends: at `HEAD` or behind it.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// The time of the last frame; zero in an empty log.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Whether a writer had the log open while it was copied.
    #[must_use]
    pub fn writer_active(&self) -> bool {
        self.writer_active
    }

    /// The directory of the original's objects. They are immutable and need no copy.
    #[must_use]
    pub fn objects(&self) -> &Path {
        &self.objects
    }

    /// The directory of the original's snapshots. They are never changed, only replaced.
    #[must_use]
    pub fn snapshots(&self) -> &Path {
        &self.snapshots
    }
}

pub(super) fn attempt(directory: &Directory, visitor: &mut dyn Visitor) -> Result<PrivateCopy, OpenError> {
    let anchor = directory.read_head()?;
    if !anchor.complete {
        return Err(OpenError::Absent { path: directory.path().to_owned() });
    }
    check_files(directory, &anchor)?;
    let temporary = TemporaryDirectory::create()?;
    let copied = temporary.path().join("sled");
    make_directory(&copied)?;
    copy_sled_if_it_fits(&directory.sled(), &copied)?;
    // It is our disk that may be full, which says nothing about the log.
    let held = Held::Copy { directory: Some(temporary) };
    let mut store = SledStore::open(&copied, held).map_err(SledFailure::while_opening)?;
    store.unlink_copy();
    let Checked { chain, .. } = check(&store, &anchor, visitor)?;
    store.set_appended(chain.position().seq);
    Ok(PrivateCopy {
        store: Arc::new(store),
        anchor,
        end: chain.position(),
        time: chain.time(),
        writer_active: false,
        objects: directory.objects(),
        snapshots: directory.snapshots(),
    })
}
