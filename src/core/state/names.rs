//! Which incarnation has a name: an index by the hash of the name.
//!
//! Names that belong together begin alike, and an ordered index compares a dozen of them to the end for each lookup,
//! each elsewhere in memory. Here numbers are compared, and then one name: that of the collection that was found.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::core::collection::Collection;
use crate::core::vocabulary::{CollectionId, Name, Seq};

/// Names are not kept here: their collections have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(BTreeSet<(u64, CollectionId)>);

impl Names {
    /// The names of these collections.
    ///
    /// # Errors
    /// When two of them have one name.
    pub(super) fn of(collections: &BTreeMap<CollectionId, Box<Collection>>) -> Result<Names, &'static str> {
        let names: BTreeSet<_> = collections.iter().map(|(id, collection)| (hash(&collection.name), *id)).collect();
        let name = |id: &CollectionId| collections.get(id).map(|collection| &collection.name);
        let mut alike: Vec<(u64, &Name)> = Vec::new();
        for (hash, id) in &names {
            alike.retain(|(of_another, _)| of_another == hash);
            let Some(name) = name(id) else { continue };
            if alike.iter().any(|(_, another)| *another == name) {
                return Err("two collections have one name");
            }
            alike.push((*hash, name));
        }
        Ok(Names(names))
    }

    /// The collection that has this name.
    pub(super) fn find(
        &self,
        name: &Name,
        collections: &BTreeMap<CollectionId, Box<Collection>>,
    ) -> Option<CollectionId> {
        let hash = hash(name);
        let alike = self.0.range((hash, CollectionId(Seq::ZERO))..).take_while(|(of_another, _)| *of_another == hash);
        let has_it = |id: &CollectionId| collections.get(id).is_some_and(|collection| collection.name == *name);
        alike.map(|(_, id)| *id).find(has_it)
    }

    pub(super) fn insert(&mut self, name: &Name, id: CollectionId) {
        self.0.insert((hash(name), id));
    }

    pub(super) fn remove(&mut self, name: &Name, id: CollectionId) {
        self.0.remove(&(hash(name), id));
    }

    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The same for the same name throughout a process, which is as long as an index lives.
fn hash(name: &Name) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.as_str().hash(&mut hasher);
    hasher.finish()
}
