//! The path sets that observations compare with, cached, with what was found out since they were stored: stats that
//! moved on, contents that were hashed. Volatile: losing it costs reading.
//!
//! A set is an object only when an event names it, and an observation without a change writes nothing. What such an
//! observation finds out beside the versions is kept here, under the collection and the object, and is written with the
//! next set that is stored anyway. It also saves reading the known set from objects at every observation.
//!
//! Beside the sets it keeps what looks remember. It owns which sets are held and which are evicted. It must not know how a
//! set comes about.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::{Found, Learned, Memory};
use super::{MAX_FILES, Mounts, PathSet, load_set};
use crate::core::vocabulary::{Name, ObjectHash};
use crate::objects::tree::TreeError;
use crate::objects::{ObjectError, Objects};
use crate::unwind;

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
    /// The same collections by when they were used last: the first is evicted first, and found without asking the others.
    by_use: BTreeMap<u64, Name>,
    files: usize,
    /// Counts uses.
    clock: u64,
}

/// Sets that were let go. Freeing a million files takes long, and is done without the lock.
type Evicted = Vec<Arc<PathSet>>;

#[derive(Default)]
struct Collection {
    /// The one used last is last.
    sets: Vec<(ObjectHash, Arc<PathSet>)>,
    /// What looks remember. Nothing while one is under way, and before the first one.
    memory: Option<Memory>,
    /// What the last look found, if all of it is proven, also while the next one is under way.
    proven: Option<Arc<Found>>,
    /// What was learned since the look that is under way began.
    learned: Learned,
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
                unwind::tell(|| {
                    tracing::warn!(target: "lastword::external", collection = %name, set = %root, %error,
                        "what an earlier observation found cannot be read: there is nothing to compare with");
                });
                Ok(None)
            }
        }
    }

    pub(super) fn insert(&self, name: &Name, root: ObjectHash, set: Arc<PathSet>) {
        let evicted = self.entries().insert(name, root, set);
        drop(evicted);
    }

    /// What the looks at a collection's source remember, for the next one, which puts it back.
    pub(super) fn take_memory(&self, name: &Name) -> Memory {
        let mut entries = self.entries();
        let taken =
            entries.change(name, |collection| (collection.memory.take(), std::mem::take(&mut collection.learned)));
        let (memory, learned) = taken.unwrap_or_default();
        let mut memory = memory.unwrap_or_else(Memory::new);
        memory.learned.extend(learned);
        memory
    }

    pub(super) fn put_memory(&self, name: &Name, memory: Memory) {
        let mut entries = self.entries();
        entries.collections.entry(name.clone()).or_default();
        entries.change(name, |collection| {
            collection.proven = memory.proven();
            collection.memory = Some(memory);
        });
        let evicted = entries.evict(name);
        drop(entries);
        drop(evicted);
    }

    /// The mounts that this version was found on, if the last look found it, and all of it was read there where content
    /// decides.
    pub(super) fn mounts(&self, name: &Name, version: [u8; 32]) -> Option<Mounts> {
        let found = self.entries().collections.get(name)?.proven.clone()?;
        (found.version == version).then(|| found.mounts.clone())
    }

    /// Contents that were read while something was built from them: the next look knows them.
    pub(super) fn learn(&self, name: &Name, learned: Learned) {
        self.entries().change(name, |collection| collection.learned.extend(learned));
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn get(&mut self, name: &Name, root: ObjectHash) -> Option<Arc<PathSet>> {
        let collection = self.use_now(name)?;
        let at = collection.sets.iter().position(|(held, _)| *held == root)?;
        let entry = collection.sets.remove(at);
        let set = Arc::clone(&entry.1);
        collection.sets.push(entry);
        Some(set)
    }

    fn insert(&mut self, name: &Name, root: ObjectHash, set: Arc<PathSet>) -> Evicted {
        let mut evicted = Vec::new();
        self.collections.entry(name.clone()).or_default();
        self.change(name, |collection| {
            if let Some(at) = collection.sets.iter().position(|(held, _)| *held == root) {
                evicted.push(collection.sets.remove(at).1);
            }
            if collection.sets.len() == MOST_SETS {
                evicted.push(collection.sets.remove(0).1);
            }
            collection.sets.push((root, set));
        });
        evicted.extend(self.evict(name));
        evicted
    }

    /// Changes what is held of a collection, if it is, and counts what that comes to.
    fn change<T>(&mut self, name: &Name, change: impl FnOnce(&mut Collection) -> T) -> Option<T> {
        let collection = self.use_now(name)?;
        let before = collection.files();
        let changed = change(collection);
        let after = collection.files();
        self.files = self.files - before + after;
        Some(changed)
    }

    /// Evicts until there is room, `name` last.
    fn evict(&mut self, name: &Name) -> Evicted {
        let mut evicted = Vec::new();
        while self.files > MOST_FILES && self.evict_one(name, &mut evicted) {}
        evicted
    }

    /// The collection, as the one that was used last.
    fn use_now(&mut self, name: &Name) -> Option<&mut Collection> {
        self.clock += 1;
        let collection = self.collections.get_mut(name)?;
        self.by_use.remove(&collection.used);
        collection.used = self.clock;
        self.by_use.insert(self.clock, name.clone());
        Some(collection)
    }

    /// Evicts the collection that was not used for longest; at last what `name`, which was used last, has beside its
    /// newest set.
    fn evict_one(&mut self, name: &Name, evicted: &mut Evicted) -> bool {
        if let Some(oldest) = self.by_use.first_entry().filter(|first| first.get() != name) {
            let oldest = self.collections.remove(&oldest.remove());
            self.files -= oldest.as_ref().map_or(0, Collection::files);
            evicted.extend(oldest.into_iter().flat_map(|collection| collection.sets).map(|(_, set)| set));
            return true;
        }
        let Some(collection) = self.collections.get_mut(name).filter(|collection| collection.sets.len() > 1) else {
            return false;
        };
        let (_, set) = collection.sets.remove(0);
        self.files -= set.len();
        evicted.push(set);
        true
    }
}

impl Collection {
    fn files(&self) -> usize {
        let sets: usize = self.sets.iter().map(|(_, set)| set.len()).sum();
        sets + self.memory.as_ref().map_or(0, Memory::files) + self.learned.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{Doubt, Reach};
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

    /// The order of use is an index beside the collections: it names each once, and what is first in it goes first.
    #[test]
    fn defect_29_what_goes_is_found_without_asking_every_collection() {
        let cache = ObservationCache::default();
        let names: Vec<_> = (0..1_000).map(|n| Name::new(&format!("c{n}")).unwrap()).collect();
        names.iter().for_each(|name| cache.insert(name, root(1), set(1)));
        let used_again = &names[3];
        assert!(cache.entries().get(used_again, root(1)).is_some());
        let first_four = |cache: &ObservationCache| {
            let entries = cache.entries();
            assert!(entries.by_use.iter().all(|(used, name)| entries.collections[name].used == *used));
            assert_eq!(entries.by_use.len(), entries.collections.len());
            entries.by_use.values().take(4).cloned().collect::<Vec<_>>()
        };
        assert_eq!(first_four(&cache), [&names[..3], &names[4..5]].concat());
        // So many that ten have to go.
        cache.insert(&Name::new("large").unwrap(), root(1), set(MOST_FILES - names.len() + 10));
        let gone: Vec<_> = names.iter().filter(|name| !cache.entries().collections.contains_key(*name)).collect();
        assert_eq!(gone, names[..11].iter().filter(|name| *name != used_again).collect::<Vec<_>>());
        assert_eq!(first_four(&cache), names[11..15]);
        let entries = cache.entries();
        assert_eq!(entries.files, entries.collections.values().map(Collection::files).sum::<usize>());
    }

    /// An attempt is told the mounts that what it builds was found on, and believes what is weak there.
    #[test]
    fn defect_21_mounts_are_told_of_the_version_that_was_found_on_them_and_read_there() {
        let (cache, name) = (ObservationCache::default(), Name::new("lake").unwrap());
        let mut mounts = Mounts::default();
        mounts.insert(SourcePath(Vec::new()), crate::external::Mount { id: 7, ..Default::default() });
        let look = |doubt: Option<Reach>, version: Option<u8>| {
            let mut memory = cache.take_memory(&name);
            memory.doubt = doubt.map(|reach| Doubt { from: SourcePath(b"x".to_vec()), reach });
            let found = |version| Found { version: [version; 32], mounts: mounts.clone() };
            version.into_iter().for_each(|version| memory.finished(found(version)));
            cache.put_memory(&name, memory);
        };
        let told = |version| cache.mounts(&name, [version; 32]);
        assert_eq!(told(1), None, "nobody has looked");
        look(Some(Reach::Weak), None);
        assert_eq!(told(1), None, "that look found nothing");
        look(Some(Reach::Weak), Some(1));
        assert_eq!(told(1), None, "some of it was only believed");
        for believed in [None, Some(Reach::Known)] {
            look(believed, Some(1));
            assert_eq!(told(1), Some(mounts.clone()), "what is strong need not be read");
            assert_eq!(told(2), None, "that was found elsewhere, or before");
        }
        let taken = cache.take_memory(&name);
        assert_eq!(told(1), Some(mounts.clone()), "the next look is under way");
        cache.put_memory(&name, taken);
        look(None, None);
        assert_eq!(told(1), Some(mounts.clone()), "a look that failed changes nothing");
        look(None, Some(2));
        assert_eq!((told(1), told(2)), (None, Some(mounts.clone())));
        look(Some(Reach::All), None);
        assert_eq!(told(2), None, "somebody doubts it");
        cache.insert(&Name::new("other").unwrap(), root(1), set(MOST_FILES + 1));
        assert_eq!(told(2), None, "it was evicted");
    }
}
