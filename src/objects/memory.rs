//! Objects in memory, for tests, with the failure that matters: a `put` that did not become durable.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ObjectError, Objects, check_len, object_hash};
use crate::core::vocabulary::ObjectHash;

/// Objects that live as long as this value. Public because users test their own workers with it.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<ObjectHash, Vec<u8>>,
    fail_next_put: bool,
}

impl MemoryObjects {
    /// A store that holds nothing.
    #[must_use]
    pub fn new() -> MemoryObjects {
        MemoryObjects::default()
    }

    /// Makes the next `put` fail as a full disk does. The first half of its batch is kept all the same: a
    /// failed `put` promises nothing about what it left behind.
    pub fn fail_next_put(&self) {
        self.lock().fail_next_put = true;
    }

    /// How many objects are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().held.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts `bytes` under a name that is not theirs, as a damaged disk would.
    pub fn damage(&self, hash: ObjectHash, bytes: Vec<u8>) {
        self.lock().held.insert(hash, bytes);
    }

    /// A panic while the lock was held leaves a map that is still whole: every change is one insert or remove.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for MemoryObjects {
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        let mut inner = self.lock();
        let failing = std::mem::take(&mut inner.fail_next_put);
        let kept = if failing { objects.len() / 2 } else { objects.len() };
        let mut hashes = Vec::with_capacity(objects.len());
        for bytes in objects.iter().take(kept) {
            check_len(bytes)?;
            let hash = object_hash(bytes);
            inner.held.entry(hash).or_insert_with(|| bytes.clone());
            hashes.push(hash);
        }
        if failing {
            let full = io::Error::from(io::ErrorKind::StorageFull);
            return Err(ObjectError::Io("store objects in memory".to_owned(), full));
        }
        Ok(hashes)
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        let bytes = self.lock().held.get(&hash).cloned().ok_or(ObjectError::Missing(hash))?;
        if object_hash(&bytes) == hash { Ok(bytes) } else { Err(ObjectError::Damaged(hash)) }
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        Ok(self.lock().held.keys().copied().collect())
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        self.lock().held.remove(&hash);
        Ok(())
    }
}
