//! A store as foreign code is given it: it reads and stores, and removes nothing.
//!
//! *Architecture invariant:* it adds nothing and keeps nothing. What is stored through it is stored.

use std::path::Path;
use std::sync::Arc;

use super::{ObjectError, Objects};
use crate::core::vocabulary::ObjectHash;

/// A store from which only its owner removes.
pub(crate) struct Lent(pub(crate) Arc<dyn Objects>);

impl Objects for Lent {
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        self.0.put(objects)
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        self.0.get(hash)
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        self.0.list()
    }

    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError> {
        Err(ObjectError::NotRemoved(hash))
    }

    fn state_directory(&self) -> Option<&Path> {
        self.0.state_directory()
    }
}
