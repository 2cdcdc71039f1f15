//! Immutable, content-addressed objects beside the log: path sets and manifests of every size.
//!
//! An object is durable before the event that names it; events carry only the root's hash and counts.

use crate::core::vocabulary::ObjectHash;

/// A store of immutable objects, each named by the BLAKE3 of its bytes.
pub trait Objects: Send + Sync {
    /// Stores all of `objects` and returns once every one of them is durable. Storing an object that is
    /// there already does nothing.
    ///
    /// # Errors
    /// When one could not be made durable; then none of the batch may be named by an event.
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError>;

    /// The bytes of one object, checked against its name.
    ///
    /// # Errors
    /// When it is missing, damaged or cannot be read.
    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError>;

    /// The names of all objects held, in ascending order.
    ///
    /// # Errors
    /// When the store cannot be listed.
    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError>;

    /// Removes one object. Removing one that is not there does nothing.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, hash: ObjectHash) -> Result<(), ObjectError>;
}

/// Why an object could not be stored or read.
#[derive(Debug)]
pub enum ObjectError {
    /// No object of that name is held.
    Missing(ObjectHash),
    /// The bytes held under that name are not the ones that were stored.
    Damaged(ObjectHash),
    /// The operating system refused; the text says what was tried, on which path.
    Io(String, std::io::Error),
}
