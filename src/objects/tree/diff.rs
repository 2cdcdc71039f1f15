//! What changed between two trees, without reading what they share.

use std::cmp::Ordering;
use std::fmt;

use super::layout::{Child, Object};
use super::read::{fetch, fetch_child};
use super::{Entry, TreeError};
use crate::core::vocabulary::ObjectHash;
use crate::objects::Objects;

/// One entry that differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second tree has the key.
    Added {
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Only the first tree has the key.
    Removed {
        /// The key.
        key: Vec<u8>,
        /// The value it had.
        value: Vec<u8>,
    },
    /// Both have the key, with different values.
    Changed {
        /// The key.
        key: Vec<u8>,
        /// The value in the first tree.
        before: Vec<u8>,
        /// The value in the second tree.
        after: Vec<u8>,
    },
}

/// The changes that lead from tree `before` to tree `after`, in ascending order of their keys. An object that both
/// have in the same place is not read. The iteration ends after the first error.
pub fn diff(objects: &dyn Objects, before: ObjectHash, after: ObjectHash) -> Diff<'_> {
    let pending = |root| vec![Item::Root(root)];
    Diff { before: Side { objects, pending: pending(before) }, after: Side { objects, pending: pending(after) } }
}

/// See [`diff`].
pub struct Diff<'a> {
    before: Side<'a>,
    after: Side<'a>,
}

/// What is left to be compared is left out: it may be long.
impl fmt::Debug for Diff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diff").finish_non_exhaustive()
    }
}

/// What one tree still has to offer, the next item last.
struct Side<'a> {
    objects: &'a dyn Objects,
    pending: Vec<Item>,
}

enum Item {
    Root(ObjectHash),
    /// A child of a node of the level given.
    Child(u8, Child),
    Entry(Entry),
}

impl Item {
    fn hash(&self) -> Option<ObjectHash> {
        match self {
            Item::Root(hash) => Some(*hash),
            Item::Child(_, child) => Some(child.hash),
            Item::Entry(_) => None,
        }
    }

    /// Higher objects are opened first, so that both sides come down to comparable ones. A root may be anything.
    fn height(&self) -> u16 {
        match self {
            Item::Root(_) => u16::MAX,
            Item::Child(level, _) => u16::from(*level),
            Item::Entry(_) => 0,
        }
    }

    fn first_key(&self) -> &[u8] {
        match self {
            Item::Root(_) => &[],
            Item::Child(_, child) => &child.first_key,
            Item::Entry((key, _)) => key,
        }
    }
}

impl Iterator for Diff<'_> {
    type Item = Result<Change, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step().transpose();
        if matches!(next, Some(Err(_))) {
            self.before.pending.clear();
            self.after.pending.clear();
        }
        next
    }
}

impl Diff<'_> {
    fn step(&mut self) -> Result<Option<Change>, TreeError> {
        loop {
            let (before, after) = match (self.before.pending.last(), self.after.pending.last()) {
                (None, None) => return Ok(None),
                (Some(_), None) => match self.before.take()? {
                    Some((key, value)) => return Ok(Some(Change::Removed { key, value })),
                    None => continue,
                },
                (None, Some(_)) => match self.after.take()? {
                    Some((key, value)) => return Ok(Some(Change::Added { key, value })),
                    None => continue,
                },
                (Some(before), Some(after)) => (before, after),
            };
            if before.hash().is_some() && before.hash() == after.hash() {
                self.before.pending.pop();
                self.after.pending.pop();
                continue;
            }
            let order = before.first_key().cmp(after.first_key());
            match (before, after, order) {
                // An entry before everything the other side still has is on this side only.
                (Item::Entry(_), _, Ordering::Less) => {
                    if let Some((key, value)) = self.before.take()? {
                        return Ok(Some(Change::Removed { key, value }));
                    }
                }
                (_, Item::Entry(_), Ordering::Greater) => {
                    if let Some((key, value)) = self.after.take()? {
                        return Ok(Some(Change::Added { key, value }));
                    }
                }
                (Item::Entry(_), Item::Entry(_), _) => {
                    if let Some(change) = self.compare()? {
                        return Ok(Some(change));
                    }
                }
                _ => match before.height().cmp(&after.height()).then(order.reverse()) {
                    Ordering::Greater => self.before.open()?,
                    Ordering::Less => self.after.open()?,
                    Ordering::Equal => {
                        self.before.open()?;
                        self.after.open()?;
                    }
                },
            }
        }
    }

    /// Both sides stand at an entry of the same key.
    fn compare(&mut self) -> Result<Option<Change>, TreeError> {
        let (Some((key, before)), Some((_, after))) = (self.before.take()?, self.after.take()?) else {
            return Ok(None);
        };
        Ok((before != after).then_some(Change::Changed { key, before, after }))
    }
}

impl Side<'_> {
    /// Takes the next item if it is an entry; opens it otherwise.
    fn take(&mut self) -> Result<Option<Entry>, TreeError> {
        if let Some(Item::Entry(_)) = self.pending.last() {
            let Some(Item::Entry(entry)) = self.pending.pop() else { return Ok(None) };
            return Ok(Some(entry));
        }
        self.open()?;
        Ok(None)
    }

    /// Puts what the next object holds in its place.
    fn open(&mut self) -> Result<(), TreeError> {
        let object = match self.pending.pop() {
            Some(Item::Root(hash)) => fetch(self.objects, hash)?,
            Some(Item::Child(level, child)) => fetch_child(self.objects, &child, level)?,
            Some(entry @ Item::Entry(_)) => {
                self.pending.push(entry);
                return Ok(());
            }
            None => return Ok(()),
        };
        match object {
            Object::Leaf(entries) => self.pending.extend(entries.into_iter().rev().map(Item::Entry)),
            Object::Node { level, children } => {
                self.pending.extend(children.into_iter().rev().map(|child| Item::Child(level, child)));
            }
        }
        Ok(())
    }
}
