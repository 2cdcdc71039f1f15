//! From sorted entries to objects, in one pass and with bounded memory.

use std::fmt;

use super::layout::{Child, encode, put_child, put_entry};
use super::{Entry, MAX_KEY_BYTES, MAX_VALUE_BYTES, Root, TreeError};
use crate::core::vocabulary::ObjectHash;
use crate::objects::{Objects, object_hash};

/// An object ends after one of this many keys, on average. With entries of 60 bytes a leaf is about 4 KiB: one
/// page of the disk, and a changed file of ten thousand costs three such objects.
const ITEMS_PER_OBJECT: u16 = 64;

/// The items of an object take no more than this, but for one entry (or two children) that is longer by itself.
const MAX_ITEM_BYTES: usize = 32 << 10;

/// Keys up to this length are hashed without a hasher of their own, in bytes.
const SHORT_KEY: usize = 127;

/// Objects are handed to the store in batches of about this many bytes: enough that syncing is shared, little
/// enough to hold in memory.
const BATCH_BYTES: usize = 4 << 20;

/// Writes the tree of `entries`, which come in strictly ascending order of their keys.
///
/// # Errors
/// When the entries are not ascending, one is too long, or the store fails. Objects written by then are left for
/// garbage collection.
pub fn build(objects: &dyn Objects, entries: impl IntoIterator<Item = Entry>) -> Result<Root, TreeError> {
    let mut writer = TreeWriter::new(objects);
    for (key, value) in entries {
        writer.push(&key, &value)?;
    }
    writer.finish()
}

/// Writes a tree one entry at a time, for entries that are not all in memory at once.
pub struct TreeWriter<'a> {
    objects: &'a dyn Objects,
    levels: Vec<Level>,
    last_key: Option<Vec<u8>>,
    entries: u64,
    /// The item that is being added, so that not every entry asks for memory.
    item: Vec<u8>,
    batch: Vec<Vec<u8>>,
    batch_bytes: usize,
}

/// What is being filled is left out: it may be long.
impl fmt::Debug for TreeWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeWriter")
            .field("entries", &self.entries)
            .field("last_key", &self.last_key)
            .finish_non_exhaustive()
    }
}

/// The object of one level that is being filled.
#[derive(Default)]
struct Level {
    items: Vec<u8>,
    count: u32,
    first_key: Vec<u8>,
    entries: u64,
    /// The children of the open object, so that a lone one can become the root itself.
    only_child: Option<Child>,
    /// How many objects of this level were finished.
    finished: u64,
}

impl<'a> TreeWriter<'a> {
    /// A writer of a tree without entries.
    #[must_use]
    pub fn new(objects: &'a dyn Objects) -> TreeWriter<'a> {
        TreeWriter {
            objects,
            levels: vec![Level::default()],
            last_key: None,
            entries: 0,
            item: Vec::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Adds one entry behind the last one.
    ///
    /// # Errors
    /// When its key is not greater than the last one, key or value are too long, or the store fails.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), TreeError> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            return Err(TreeError::Unsorted);
        }
        for (what, found, allowed) in [("key", key.len(), MAX_KEY_BYTES), ("value", value.len(), MAX_VALUE_BYTES)] {
            if found > allowed {
                return Err(TreeError::TooLong { what, found, allowed });
            }
        }
        let mut item = std::mem::take(&mut self.item);
        item.clear();
        put_entry(&mut item, key, value)?;
        self.set_last(key);
        self.entries = self.entries.saturating_add(1);
        let added = self.add(0, key, &item, 1, None);
        self.item = item;
        added
    }

    fn set_last(&mut self, key: &[u8]) {
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
    }

    /// Whether all objects below `level` have ended, and `key` lies behind everything that was added.
    pub(super) fn is_between(&self, level: u8, key: &[u8]) -> bool {
        let below = self.levels.iter().take(usize::from(level));
        below.clone().all(|level| level.count == 0) && self.last_key.as_deref().is_none_or(|last| last < key)
    }

    /// Adds a child of a node of `level` that is in the store and ends as it would here, behind everything that was added.
    pub(super) fn add_child(&mut self, level: u8, child: &Child) -> Result<(), TreeError> {
        let level = usize::from(level);
        while self.levels.len() < level {
            self.levels.push(Level::default());
        }
        self.levels.iter_mut().take(level).for_each(|below| below.finished += 1);
        // Not the last of its keys, but all that come next are checked against it and lie behind those too.
        self.set_last(&child.first_key);
        self.entries = self.entries.saturating_add(child.entries);
        let mut item = Vec::with_capacity(44 + child.first_key.len());
        put_child(&mut item, child)?;
        self.add(level, &child.first_key, &item, child.entries, Some(child.clone()))
    }

    /// Finishes the tree. When this returns every object of it is durable.
    ///
    /// # Errors
    /// When the store fails.
    pub fn finish(mut self) -> Result<Root, TreeError> {
        let hash = self.close_all()?;
        self.put_batch()?;
        Ok(Root { hash, entries: self.entries })
    }

    fn close_all(&mut self) -> Result<ObjectHash, TreeError> {
        let mut at = 0;
        loop {
            let top = at + 1 == self.levels.len();
            let Some(level) = self.levels.get_mut(at) else {
                // Unreachable: closing an object at a level always makes the level above.
                return Err(TreeError::Unsorted);
            };
            if let (true, 0, 1, Some(child)) = (top, level.finished, level.count, &level.only_child) {
                return Ok(child.hash);
            }
            if top && level.finished == 0 {
                return self.store_open(at).map(|child| child.hash);
            }
            if level.count > 0 {
                self.close(at)?;
            }
            at += 1;
        }
    }

    /// Adds an item to the open object of a level, and ends that object where the rule says so.
    fn add(&mut self, at: usize, key: &[u8], item: &[u8], entries: u64, child: Option<Child>) -> Result<(), TreeError> {
        // A node with one child would be a level that gains nothing.
        let least = if at == 0 { 1 } else { 2 };
        let (count, bytes) = self.levels.get(at).map_or((0, 0), |level| (level.count, level.items.len()));
        if count >= least && bytes.saturating_add(item.len()) > MAX_ITEM_BYTES {
            self.close(at)?;
        }
        if self.levels.len() == at {
            self.levels.push(Level::default());
        }
        let Some(level) = self.levels.get_mut(at) else { return Ok(()) };
        if level.count == 0 {
            level.first_key = key.to_vec();
        }
        level.only_child = if level.count == 0 { child } else { None };
        level.items.extend_from_slice(item);
        level.count += 1;
        level.entries = level.entries.saturating_add(entries);
        if level.count >= least && is_boundary(at, key) {
            self.close(at)?;
        }
        Ok(())
    }

    /// Ends the open object of a level and makes it a child one level up.
    fn close(&mut self, at: usize) -> Result<(), TreeError> {
        let child = self.store_open(at)?;
        if let Some(level) = self.levels.get_mut(at) {
            level.finished += 1;
        }
        let mut item = Vec::with_capacity(44 + child.first_key.len());
        put_child(&mut item, &child)?;
        let (key, entries) = (child.first_key.clone(), child.entries);
        self.add(at + 1, &key, &item, entries, Some(child))
    }

    fn store_open(&mut self, at: usize) -> Result<Child, TreeError> {
        let level = self.levels.get_mut(at).map(std::mem::take).unwrap_or_default();
        if let Some(emptied) = self.levels.get_mut(at) {
            emptied.finished = level.finished;
        }
        let bytes = encode(u8::try_from(at).unwrap_or(u8::MAX), level.count, &level.items);
        let child = Child { first_key: level.first_key, hash: object_hash(&bytes), entries: level.entries };
        self.batch_bytes = self.batch_bytes.saturating_add(bytes.len());
        self.batch.push(bytes);
        if self.batch_bytes >= BATCH_BYTES {
            self.put_batch()?;
        }
        Ok(child)
    }

    fn put_batch(&mut self) -> Result<(), TreeError> {
        if !self.batch.is_empty() {
            self.objects.put(&self.batch)?;
            self.batch.clear();
            self.batch_bytes = 0;
        }
        Ok(())
    }
}

fn is_boundary(level: usize, key: &[u8]) -> bool {
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    // Nearly all keys are short, and are hashed in one piece.
    let mut short = [level; SHORT_KEY + 1];
    let hash = match short.get_mut(1..=key.len()) {
        Some(rest) => {
            rest.copy_from_slice(key);
            blake3::hash(short.get(..=key.len()).unwrap_or_default())
        }
        None => blake3::Hasher::new().update(&[level]).update(key).finalize(),
    };
    let [low, high, ..] = *hash.as_bytes();
    u16::from_le_bytes([low, high]) % ITEMS_PER_OBJECT == 0
}
