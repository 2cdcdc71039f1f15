//! The path sets that observations compare with, cached, with what was found out since they were stored: stats that
//! moved on, contents that were hashed. Volatile: losing it costs reading.
//!
//! A set is an object only when an event names it, and an observation without a change writes nothing. What such an
//! observation finds out beside the versions is kept here, under the collection and the object, and is written with the
//! next set that is stored anyway. It also saves reading the known set from objects at every observation.
//!
//! It owns which sets are held and which are evicted. It must not know how a set comes about.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::PartialHash;
use super::{MAX_FILES, PathSet, load_set};
use crate::core::vocabulary::{Name, ObjectHash};
use crate::objects::tree::TreeError;
use crate::objects::{ObjectError, Objects};

/// Most files of all sets together: what a single source may have, so that one bound holds for one observation and for
/// all.
const MOST_FILES: usize = MAX_FILES;

/// Most sets of one collection: known, wanted and applied, and the next.
const MOST_SETS: usize = 4;

/// The sets of all collections that were observed.
#[derive(Default)]
pub(super) struct ObservationCache {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    collections: BTreeMap<Name, Collection>,
    files: usize,
    /// Counts uses, so that what was not used for longest is evicted first.
    clock: u64,
}

#[derive(Default)]
struct Collection {
    /// The one used last is last.
    sets: Vec<(ObjectHash, Arc<PathSet>)>,
    /// The file whose content was not hashed to its end.
    partial: Option<PartialHash>,
    used: u64,
}

impl ObservationCache {
    /// The set that lies under `root`, read from `objects` if it is not cached, with everything that was found out
    /// since. `None` when it is missing or damaged, which is no fault of the source.
    ///
    /// # Errors
    /// When the disk refused: it may not the next time.
    pub(super) fn get(
        &self,
        name: &Name,
        objects: &dyn Objects,
        root: ObjectHash,
    ) -> Result<Option<Arc<PathSet>>, TreeError> {
        if let Some(set) = self.entries().get(name, root) {
            return Ok(Some(set));
        }
        match load_set(objects, root) {
            Ok(set) => {
                let set = Arc::new(set);
                self.insert(name, root, Arc::clone(&set));
                Ok(Some(set))
            }
            Err(error @ TreeError::Object(ObjectError::Io(..))) => Err(error),
            Err(error) => {
                tracing::warn!(target: "lastword::external", collection = %name, set = %root, %error,
                    "what an earlier observation found cannot be read: there is nothing to compare with");
                Ok(None)
            }
        }
    }

    pub(super) fn insert(&self, name: &Name, root: ObjectHash, set: Arc<PathSet>) {
        self.entries().insert(name, root, set);
    }

    /// The file of a collection that was not hashed to its end.
    pub(super) fn take_partial(&self, name: &Name) -> Option<PartialHash> {
        self.entries().collections.get_mut(name).and_then(|collection| collection.partial.take())
    }

    pub(super) fn set_partial(&self, name: &Name, partial: Option<PartialHash>) {
        if let Some(collection) = self.entries().collections.get_mut(name) {
            collection.partial = partial;
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn get(&mut self, name: &Name, root: ObjectHash) -> Option<Arc<PathSet>> {
        self.clock += 1;
        let collection = self.collections.get_mut(name)?;
        collection.used = self.clock;
        let at = collection.sets.iter().position(|(held, _)| *held == root)?;
        let entry = collection.sets.remove(at);
        let set = Arc::clone(&entry.1);
        collection.sets.push(entry);
        Some(set)
    }

    fn insert(&mut self, name: &Name, root: ObjectHash, set: Arc<PathSet>) {
        self.clock += 1;
        let collection = self.collections.entry(name.clone()).or_default();
        collection.used = self.clock;
        let before = size(&collection.sets);
        collection.sets.retain(|(held, _)| *held != root);
        if collection.sets.len() == MOST_SETS {
            collection.sets.remove(0);
        }
        collection.sets.push((root, set));
        self.files = self.files - before + size(&collection.sets);
        while self.files > MOST_FILES && self.evict_one(name) {}
    }

    /// Evicts the collection that was not used for longest; at last what `name` has beside its newest set.
    fn evict_one(&mut self, name: &Name) -> bool {
        let others = self.collections.iter().filter(|(other, _)| *other != name);
        if let Some(oldest) = others.min_by_key(|(_, collection)| collection.used).map(|(name, _)| name.clone()) {
            let evicted = self.collections.remove(&oldest);
            self.files -= evicted.map_or(0, |collection| size(&collection.sets));
            return true;
        }
        let Some(collection) = self.collections.get_mut(name).filter(|collection| collection.sets.len() > 1) else {
            return false;
        };
        let (_, set) = collection.sets.remove(0);
        self.files -= set.len();
        true
    }
}

fn size(sets: &[(ObjectHash, Arc<PathSet>)]) -> usize {
    sets.iter().map(|(_, set)| set.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::{FileVersion, ObservedFile, SourcePath};
    use crate::objects::MemoryObjects;

    fn set(files: usize) -> Arc<PathSet> {
        let file = |n: usize| (SourcePath(n.to_be_bytes().to_vec()), ObservedFile::of(FileVersion::default()));
        Arc::new(PathSet::new((0..files).map(file)))
    }

    fn root(n: u8) -> ObjectHash {
        ObjectHash([n; 32])
    }

    #[test]
    fn the_cache_is_bounded_and_evicts_what_was_not_used_for_longest() {
        let (cache, objects) = (ObservationCache::default(), MemoryObjects::new());
        let [a, b, c] = ["a", "b", "c"].map(|name| Name::new(name).unwrap());
        let holds = |name: &Name, n| cache.get(name, &objects, root(n)).unwrap().is_some();
        cache.insert(&a, root(1), set(400_000));
        cache.insert(&b, root(1), set(400_000));
        assert!(holds(&a, 1));
        cache.insert(&c, root(1), set(400_000));
        assert!(holds(&a, 1) && !holds(&b, 1) && holds(&c, 1));
        // One collection keeps few sets, and at least the newest.
        (2..=7).for_each(|n| cache.insert(&c, root(n), set(1)));
        assert!((1..=3).all(|n| !holds(&c, n)) && (4..=7).all(|n| holds(&c, n)));
        cache.insert(&c, root(9), set(1_000_001));
        assert!(!holds(&a, 1) && !holds(&c, 7) && holds(&c, 9));
    }
}
