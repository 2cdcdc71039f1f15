//! What the looks at one source remember from one to the next. Volatile: after a restart, or when it was evicted, what is
//! weak is believed once more until it has been read.
//!
//! It owns what was read and is not used up, what is doubted, and how long what could not be read has rested. It must not
//! know how a file is judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::content::Carried;
use super::{ContentHash, Mounts, SourcePath, Stat, StoreError};
use crate::core::vocabulary::Timestamp;

/// Before a look goes on with what another has begun: the threads that look, and the disk, are not for one source alone.
pub(super) const SOON: Duration = Duration::from_millis(500);

/// Contents of files under what `stat` said of them.
pub(super) type Learned = BTreeMap<SourcePath, (Stat, ContentHash)>;

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// What the last look found.
    pub(super) found: Option<Arc<Found>>,
    /// There is no look before and none after: nothing makes up for what is not known.
    pub(super) is_alone: bool,
    pub(super) carried: Carried,
    pub(super) doubt: Option<Doubt>,
    /// Contents that were read while something was built from them, under these stats.
    pub(super) learned: Learned,
    /// Racy files that are too large for one look, and since when they have had their times.
    resting: BTreeMap<SourcePath, (Stat, Timestamp)>,
    /// What is said of a look that could not be finished. It stays the same until one is: each new text is an event.
    said: Option<(SourcePath, u64)>,
    /// How much the last look that could not be finished had read, with those before it, in bytes.
    reached: u64,
    /// It has come further than the one before.
    pub(super) has_advanced: bool,
}

/// What a look found, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) version: [u8; 32],
    pub(super) mounts: Mounts,
}

/// Files that are believed by what `stat` says of them, and are to be read. They are read in the order of their paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The first that was not read.
    pub(super) from: SourcePath,
    pub(super) reach: Reach,
}

/// Which files are doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Weak ones.
    Weak,
    /// Those whose content was read before: they lie on another file system, and say the same.
    Known,
    /// All of them: somebody asked for it.
    All,
}

impl Memory {
    /// Before the first look at a source: nothing is known of the mounts that earlier ones found.
    pub(super) fn new() -> Memory {
        let mut memory = Memory::default();
        memory.doubt(Reach::Weak);
        memory
    }

    /// Of a look that is alone: it is told the mounts, and nothing is doubted.
    pub(super) fn of_one(mounts: Option<&Mounts>) -> Memory {
        let found = mounts.map(|mounts| Arc::new(Found { mounts: mounts.clone(), ..Found::default() }));
        Memory { found, ..Memory::default() }
    }

    /// Doubts from the beginning, as far as this reaches or what is doubted already.
    pub(super) fn doubt(&mut self, reach: Reach) {
        if reach == Reach::All {
            // What was read before counts as little as what stat says.
            (self.carried, self.learned) = Default::default();
        }
        let reach = self.doubt.as_ref().map_or(reach, |doubt| doubt.reach.max(reach));
        self.doubt = Some(Doubt { from: SourcePath(Vec::new()), reach });
    }

    /// What the last look found, if nothing of it is only believed because nobody knows better.
    pub(super) fn proven(&self) -> Option<Arc<Found>> {
        let is_doubted = self.doubt.as_ref().is_some_and(|doubt| doubt.reach != Reach::Known);
        self.found.clone().filter(|_| !is_doubted)
    }

    /// How much it holds, in files.
    pub(super) fn files(&self) -> usize {
        self.carried.files() + self.learned.len() + self.resting.len()
    }

    /// Whether the times of this racy file can be trusted, because it has had them for long enough.
    pub(super) fn has_rested(&self, path: &SourcePath, listed: &Stat, now: Timestamp) -> bool {
        let since = self.resting.get(path).filter(|(stat, _)| stat == listed).map(|(_, since)| *since);
        since.is_some_and(|since| since.after(super::version::GRANULARITY) <= now)
    }

    /// Notes the files that kept a look from being finished, and says what is to be said of them.
    pub(super) fn unfinished(&mut self, files: Vec<(SourcePath, Stat)>, now: Timestamp) -> StoreError {
        let before = std::mem::take(&mut self.resting);
        let since = |path: &SourcePath, stat: &Stat| {
            let rested = before.get(path).filter(|(before, _)| before == stat);
            rested.map_or(now, |(_, since)| (*since).min(now))
        };
        // What is too large to be read while it is racy has to rest, which takes time and no reading.
        let rests = |(path, stat): &(SourcePath, Stat)| {
            let since = since(path, stat);
            stat.is_racy(now) && since < now && since.after(super::version::GRANULARITY) > now
        };
        let reached = self.carried.reached();
        self.has_advanced = self.said.is_none() || reached > self.reached || files.iter().any(rests);
        self.reached = reached;
        let first = files.first().map_or_else(|| SourcePath(Vec::new()), |(path, _)| path.clone());
        let (path, others) = self.said.get_or_insert((first, (files.len() as u64).saturating_sub(1))).clone();
        self.resting = files
            .into_iter()
            .map(|(path, stat)| {
                let since = since(&path, &stat);
                (path, (stat, since))
            })
            .collect();
        StoreError::Unfinished { path, others }
    }

    /// A look was finished.
    pub(super) fn finished(&mut self, found: Found) {
        self.found = Some(Arc::new(found));
        self.carried.use_up();
        self.learned.clear();
        self.resting.clear();
        self.said = None;
        self.reached = 0;
    }
}
