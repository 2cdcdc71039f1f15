//! Checking trees whose objects come one by one, children before parents, without a store to look them up in.

use std::collections::{BTreeMap, BTreeSet};

use super::TreeError;
use super::layout::{Object, decode};
use crate::core::vocabulary::ObjectHash;
use crate::objects::{ObjectError, object_hash};

/// Takes objects in the order in which [`walk`](super::walk) gives them and checks that each is part of a tree, that
/// everything it names came before it, and that it says the truth of that. Remembers about 100 bytes for each.
#[derive(Debug, Default)]
pub struct Gathering {
    known: BTreeMap<ObjectHash, Known>,
    unnamed: BTreeSet<ObjectHash>,
}

/// What a parent says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    level: u8,
    entries: u64,
    /// The hash of its first key, which may be long.
    first_key: [u8; 32],
}

impl Gathering {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Gathering {
        Gathering::default()
    }

    /// Takes one object.
    ///
    /// # Errors
    /// When it is not part of a tree, came before, names something that did not come, or says something else of it
    /// than it is. It is not taken then.
    pub fn add(&mut self, bytes: &[u8]) -> Result<ObjectHash, TreeError> {
        let hash = object_hash(bytes);
        let malformed = |problem| TreeError::Malformed { hash, problem };
        if self.known.contains_key(&hash) {
            return Err(malformed("it comes a second time"));
        }
        let object = decode(hash, bytes)?;
        let entries = object.entries().ok_or(malformed("it counts too many entries"))?;
        let level = object.level();
        let first_key = *blake3::hash(object.first_key().unwrap_or_default()).as_bytes();
        if let Object::Node { children, .. } = &object {
            for child in children {
                let known = self.known.get(&child.hash).ok_or(ObjectError::Missing(child.hash))?;
                let first_key = *blake3::hash(&child.first_key).as_bytes();
                let said = Known { level: level.saturating_sub(1), entries: child.entries, first_key };
                if *known != said {
                    return Err(malformed("what it says of a child is not so"));
                }
            }
            children.iter().for_each(|child| {
                self.unnamed.remove(&child.hash);
            });
        }
        self.known.insert(hash, Known { level, entries, first_key });
        self.unnamed.insert(hash);
        Ok(hash)
    }

    /// Something outside names this object: whether it came.
    pub fn name(&mut self, root: ObjectHash) -> bool {
        self.unnamed.remove(&root);
        self.known.contains_key(&root)
    }

    /// An object that came and that nothing has named yet.
    #[must_use]
    pub fn unnamed(&self) -> Option<ObjectHash> {
        self.unnamed.first().copied()
    }
}
