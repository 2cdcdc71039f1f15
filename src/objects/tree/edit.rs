//! From one tree to the next: what does not change is named and not read, and the result is the tree that
//! [`build`](super::build) makes of the entries that there are then.
//!
//! An object is taken over as it is where all objects before it have ended, no entry of it changes, and the entry behind it
//! neither: then whatever made it end does so again. The last object of a level ends because nothing follows, so it is
//! always opened; so is the root.

use std::iter::Peekable;

use super::build::TreeWriter;
use super::layout::{Child, Object};
use super::read::{fetch, fetch_child};
use super::{Entry, Root, TreeError};
use crate::core::vocabulary::ObjectHash;
use crate::objects::Objects;

/// Writes the tree that has the entries of tree `root` but for `changes`, in strictly ascending order of the keys: each sets
/// the value of a key, or removes it. Tree `root` has to be durable and whole: what is taken over of it is not looked at.
///
/// # Errors
/// When the changes are not ascending, one is too long, an object of `root` that has to be opened cannot be read, or the
/// store fails.
pub fn edit(
    objects: &dyn Objects,
    root: ObjectHash,
    changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
) -> Result<Root, TreeError> {
    let mut editing = Editing { objects, writer: TreeWriter::new(objects), changes: changes.into_iter().peekable() };
    editing.open(fetch(objects, root)?, None)?;
    editing.set_before(None)?;
    editing.writer.finish()
}

struct Editing<'a, I: Iterator> {
    objects: &'a dyn Objects,
    writer: TreeWriter<'a>,
    changes: Peekable<I>,
}

impl<I: Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>> Editing<'_, I> {
    /// Goes through an object, behind which the one that begins with the key `next` follows, if any.
    fn open(&mut self, object: Object, next: Option<&[u8]>) -> Result<(), TreeError> {
        match object {
            Object::Leaf(entries) => entries.into_iter().try_for_each(|entry| self.entry(entry)),
            Object::Node { level, children } => {
                for (at, child) in children.iter().enumerate() {
                    let next = children.get(at + 1).map(|next| next.first_key.as_slice()).or(next);
                    self.set_before(Some(&child.first_key))?;
                    if !self.take_over(level, child, next) {
                        self.open(fetch_child(self.objects, child, level)?, next)?;
                    } else {
                        self.writer.add_child(level, child)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether a child of a node of `level` is in the tree as it is.
    fn take_over(&mut self, level: u8, child: &Child, next: Option<&[u8]>) -> bool {
        let Some(next) = next.filter(|_| self.writer.is_between(level, &child.first_key)) else { return false };
        self.changes.peek().is_none_or(|(changed, _)| changed.as_slice() > next)
    }

    fn entry(&mut self, (key, value): Entry) -> Result<(), TreeError> {
        self.set_before(Some(&key))?;
        match self.changes.next_if(|(changed, _)| *changed == key) {
            Some((_, Some(value))) => self.writer.push(&key, &value),
            Some((_, None)) => Ok(()),
            None => self.writer.push(&key, &value),
        }
    }

    /// Sets what comes before a key, or all that is left.
    fn set_before(&mut self, key: Option<&[u8]>) -> Result<(), TreeError> {
        while let Some((changed, value)) =
            self.changes.next_if(|(changed, _)| key.is_none_or(|key| changed.as_slice() < key))
        {
            // What is not there need not be removed.
            if let Some(value) = value {
                self.writer.push(&changed, &value)?;
            }
        }
        Ok(())
    }
}
